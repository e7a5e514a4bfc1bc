"""Samples per second and memory of a U-Net (ResNet-34, from scratch) on `classified_dubai`: chipwright, a bare loop, TorchGeo.

The bare loop trains the same network in the same precision on one batch held in memory: the cost of the network alone.
TorchGeo's trainer is run as its users do, if it is installed (`pip install torchgeo`). Each contestant runs in a process of its
own; rounds alternate, and the medians are compared.

    python benchmarks/throughput.py --rounds 3
"""

from __future__ import annotations

import csv
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from common import arguments, data_folder, scratch, show

BATCH, SIZE, RATE = 8, 256, 1e-3


def ours(epochs: int) -> float:
    """Return samples per second of `chipwright train` from first to last step; validation is not counted, as in the others."""
    from chipwright import api

    with scratch() as folder:
        api.train(
            data_folder() / "classified_dubai", Path(folder) / "m", model_type="UNET", backbone_weights="none", freeze=False,
            max_epochs=epochs, batch_size=BATCH, learning_rate=RATE, stop_training=False,
        )  # fmt: skip
        with (Path(folder) / "m" / "training_log.csv").open() as file:
            rows = list(csv.DictReader(file))
    return statistics.median(float(row["samples_per_second"]) for row in rows)


def bare(steps: int, precision: str) -> float:
    """Return samples per second of a plain loop over the same network with one batch held in memory."""
    from torch.nn import functional as F

    from chipwright.engine.devices import choose_device, place
    from chipwright.networks.backbones import create_backbone
    from chipwright.networks.unet import Unet

    torch.manual_seed(0)
    device = choose_device(None)
    network = place(Unet(create_backbone("RESNET34", 3), 6), device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, fused=True)
    images = torch.randn(BATCH, 3, SIZE, SIZE).to(device).to(memory_format=torch.channels_last)
    target = torch.randint(0, 6, (BATCH, SIZE, SIZE)).to(device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = F.cross_entropy(network(images).float(), target)
        loss.backward()
        optimizer.step()

    for _ in range(3):
        step()
    started = time.perf_counter()
    for _ in range(steps):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return steps * BATCH / (time.perf_counter() - started)


def torchgeo(epochs: int) -> float:
    """Return samples per second of TorchGeo's SemanticSegmentationTask over the same chips read from disk."""
    import numpy as np
    import rasterio
    from lightning.pytorch import Callback, Trainer
    from torch.utils.data import DataLoader, Dataset
    from torchgeo.trainers import SemanticSegmentationTask

    folder = data_folder() / "classified_dubai"

    class Chips(Dataset):
        def __init__(self) -> None:
            self.names = sorted(path.stem for path in (folder / "images").glob("*.jpg"))

        def __len__(self) -> int:
            return len(self.names)

        def __getitem__(self, index: int) -> dict[str, Any]:
            with rasterio.open(folder / "images" / f"{self.names[index]}.jpg") as file:
                image = torch.from_numpy(file.read().astype(np.float32) / 255)
            with rasterio.open(folder / "labels" / f"{self.names[index]}.tif") as file:
                mask = torch.from_numpy(file.read(1).astype(np.int64))
            return {"image": image, "mask": mask}

    class Clock(Callback):
        """Times the training steps of an epoch; the validation that ends it is not counted."""

        def __init__(self) -> None:
            self.rates: list[float] = []

        def on_train_epoch_start(self, *_: Any) -> None:
            self.started = time.perf_counter()

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
            if index + 1 == trainer.num_training_batches:
                self.rates.append((index + 1) * BATCH / (time.perf_counter() - self.started))

    clock = Clock()
    loader = DataLoader(Chips(), BATCH, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True)
    task = SemanticSegmentationTask(model="unet", backbone="resnet34", weights=None, in_channels=3, num_classes=6, lr=RATE)
    with scratch() as logs:
        trainer = Trainer(
            max_epochs=epochs, accelerator="auto", callbacks=[clock], logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=logs, limit_val_batches=1,
            num_sanity_val_steps=0,
        )  # fmt: skip
        trainer.fit(task, loader, DataLoader(Chips(), BATCH))
    return statistics.median(clock.rates)


def main() -> None:
    """Run the contestants in turn and print rates, memory and ratios."""
    options = arguments(__doc__.splitlines()[0], rounds=3, epochs=2, steps=30, only="", out="")
    from chipwright.engine.devices import choose_device, choose_precision

    precision = choose_precision("auto", choose_device(None))
    calls = {
        "chipwright": lambda: ours(options.epochs),
        "bare loop": lambda: bare(options.steps, precision),
        "bare loop, float32": lambda: bare(options.steps // 2, "float32"),
        "TorchGeo": lambda: torchgeo(options.epochs),
    }
    if options.only:
        rate = calls[options.only]()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"rate": rate, "memory": peak}))
        return
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(options.rounds):
        for name in calls:
            command = [sys.executable, __file__, "--only", name, "--epochs", str(options.epochs), "--steps", str(options.steps)]
            run = subprocess.run(command, capture_output=True, text=True)
            if run.returncode == 0:
                found.setdefault(name, []).append(json.loads(run.stdout.splitlines()[-1]))
            else:
                print(f"{name}: left out ({run.stderr.strip().splitlines()[-1]})")
    median = {name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in found.items()}
    rows = [
        {
            "": name,
            "chips/s": f"{figures['rate']:.2f}",
            "chipwright's ratio": f"{median['chipwright']['rate'] / figures['rate']:.2f}",
            "memory MiB": f"{figures['memory']:.0f}",
            "memory ratio": f"{median['chipwright']['memory'] / figures['memory']:.2f}",
        }
        for name, figures in median.items()
    ]
    show(f"U-Net ResNet-34, {SIZE} x {SIZE}, batch {BATCH}, {precision}: training throughput", rows, options.out)


if __name__ == "__main__":
    main()
