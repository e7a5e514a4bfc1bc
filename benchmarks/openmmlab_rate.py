"""Chips per second of an MMSegmentation network: chipwright's training beside a bare loop over the same network.

The bare loop lets the network compute its own losses on one batch held in memory. Rounds alternate; medians are compared.

    python benchmarks/openmmlab_rate.py --model deeplabv3 --rounds 3
"""

from __future__ import annotations

import csv
import statistics
import time
from pathlib import Path

import torch
from common import arguments, data_folder, scratch, show

RATE = 1e-3


def ours(model: str, size: int, batch: int) -> float:
    """Return chips per second of `chipwright train`, validation not counted."""
    from chipwright import api, console

    with scratch() as folder, console.quiet():
        api.train(
            data_folder() / "classified_dubai", Path(folder) / "m", model_type="MMSEGMENTATION", max_epochs=1, batch_size=batch,
            arguments={"model": model, "chip_size": size}, learning_rate=RATE, validation_percentage=80.0,
        )  # fmt: skip
        with (Path(folder) / "m" / "training_log.csv").open() as file:
            return statistics.median(float(row["samples_per_second"]) for row in csv.DictReader(file))


def bare(model: str, size: int, batch: int, steps: int) -> float:
    """Return chips per second of a plain loop."""
    from mmengine.structures import PixelData

    from chipwright.engine.devices import choose_device, choose_precision, place
    from chipwright.openmmlab import configs, descriptions
    from chipwright.openmmlab.building import build_network
    from chipwright.openmmlab.segmenters import CONFIGS

    device = choose_device(None)
    half = choose_precision("auto", device) == "bfloat16"
    description = descriptions.adapted(configs.read_model(configs.shipped("mmseg", CONFIGS[model])), 6)
    network = place(build_network("mmseg", description, 3), device).train()
    from mmseg.structures import SegDataSample

    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, fused=True)
    images = torch.randn(batch, 3, size, size).to(device).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 6, (batch, 1, size, size), device=device)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            losses = network.loss(images, samples)
        torch.stack([value for name, value in losses.items() if "loss" in name]).sum().backward()
        optimizer.step()

    step()
    started = time.perf_counter()
    for _ in range(steps):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return steps * batch / (time.perf_counter() - started)


def main() -> None:
    """Run both in turn and print rates and their ratio."""
    options = arguments(__doc__.splitlines()[0], model="deeplabv3", size=128, batch=4, rounds=3, steps=8, out="")
    rates: dict[str, list[float]] = {"chipwright": [], "bare loop": []}
    for _ in range(options.rounds):
        rates["bare loop"].append(bare(options.model, options.size, options.batch, options.steps))
        rates["chipwright"].append(ours(options.model, options.size, options.batch))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    rows = [
        {
            "": name,
            "chips/s": f"{rate:.3f}",
            "rounds": ", ".join(f"{found:.3f}" for found in rates[name]),
            "chipwright's ratio": f"{medians['chipwright'] / rate:.3f}",
        }
        for name, rate in medians.items()
    ]
    title = f"MMSEGMENTATION {options.model}, {options.size} x {options.size}, batch {options.batch}"
    show(title, rows, options.out)


if __name__ == "__main__":
    main()
