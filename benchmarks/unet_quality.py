"""Mean IoU and time of UNET on `classified_dubai` beside a plain smp + PyTorch float32 loop: same split, augmentation, epochs.

python benchmarks/unet_quality.py --seeds 0 1 2
"""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
from common import arguments, data_folder, mean_and_spread, scratch, show
from torch.nn import functional as F

from chipwright import api, console
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.chips.split import split_chips
from chipwright.engine.feed import Feed
from chipwright.engine.seeds import seed_build
from chipwright.spec import ModelSpec

BATCH, RATE, PERCENTAGE = 8, 1e-3, 20.0


def ours(folder: Path, seed: int, epochs: int, precision: str) -> tuple[float, float, ModelSpec]:
    """Return (mean IoU of the kept epoch, seconds of all training steps, the model's spec)."""
    with scratch() as out:
        result = api.train(
            folder, Path(out) / "m", model_type="UNET", backbone_weights="none", freeze=False, max_epochs=epochs,
            batch_size=BATCH, learning_rate=RATE, stop_training=False, seed=seed, precision=precision,
            validation_percentage=PERCENTAGE,
        )  # fmt: skip
        with (Path(out) / "m" / "training_log.csv").open() as file:
            seconds = sum(float(row["seconds"]) for row in csv.DictReader(file))
        spec = api.load(result.folder).spec
    return result.metrics["miou"], seconds, spec


def plain(folder: Path, seed: int, epochs: int, spec: ModelSpec, schedule: str) -> tuple[float, float]:
    """Return (mean IoU after the last epoch, seconds of all training steps) of a plain float32 loop."""
    from chipwright import catalog

    chips = read_chips([folder])
    split = split_chips(chips, PERCENTAGE, None, seed)
    task: Any = catalog.find("UNET").task(spec)
    reader = ChipReader(chips.nodata, cache_bytes=2**31)
    training = Feed(task, chips.subset(split.training).chips, reader, BATCH, seed=seed, shuffle=True, augment=True)
    validation = Feed(task, chips.subset(split.validation).chips, reader, BATCH)
    seed_build(seed)
    network = smp.Unet("resnet34", encoder_weights=None, classes=len(spec.classes) + 1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.01)
    one_cycle = None
    if schedule == "one_cycle":
        one_cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=epochs * len(training))
    seconds = 0.0
    for epoch in range(epochs):
        network.train()
        started = time.perf_counter()
        for batch in training.batches(epoch):
            batch = task.to_device(batch, torch.device("cpu"))
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(network(batch["image"]), batch["mask"].long(), ignore_index=-100).backward()
            optimizer.step()
            if one_cycle:
                one_cycle.step()
        seconds += time.perf_counter() - started
        console.say(f"plain loop, seed {seed}: epoch {epoch + 1} of {epochs}, {seconds:.0f} s")
    network.eval()
    count = len(spec.classes) + 1
    confusion = np.zeros((count, count), np.int64)
    with torch.inference_mode():
        for batch in validation.batches():
            batch = task.to_device(batch, torch.device("cpu"))
            truth, guess = batch["mask"].long().flatten(), network(batch["image"]).argmax(1).flatten()
            known = truth >= 0
            confusion += np.bincount((truth[known] * count + guess[known]).numpy(), minlength=count**2).reshape(count, count)
    overlap = np.diag(confusion) / (confusion.sum(0) + confusion.sum(1) - np.diag(confusion))
    return float(np.nanmean(overlap[1:])), seconds  # background is left out, as in the report


def main() -> None:
    """Run both for every seed and print means, spreads and the ratio of times."""
    options = arguments(__doc__.splitlines()[0], seeds=[0, 1, 2], epochs=10, precision="auto", schedule="constant", out="")
    folder = data_folder() / "classified_dubai"
    scores: dict[str, list[float]] = {"chipwright": [], "plain": []}
    times: dict[str, list[float]] = {"chipwright": [], "plain": []}
    for seed in options.seeds:
        score, seconds, spec = ours(folder, seed, options.epochs, options.precision)
        scores["chipwright"].append(score)
        times["chipwright"].append(seconds)
        score, seconds = plain(folder, seed, options.epochs, spec, options.schedule)
        scores["plain"].append(score)
        times["plain"].append(seconds)
        print(
            {name: values[-1] for name, values in scores.items()},
            {name: values[-1] for name, values in times.items()},
            flush=True,
        )
    rows = [
        {
            "": label,
            "mean IoU": mean_and_spread(scores[name]),
            "seconds": f"{np.mean(times[name]):.0f}",
            "time ratio": f"{sum(times[name]) / sum(times['plain']):.2f}",
        }
        for name, label in (("chipwright", "chipwright"), ("plain", f"plain smp loop, float32, {options.schedule} rate"))
    ]
    show(f"UNET on classified_dubai, {options.epochs} epochs, seeds {options.seeds}", rows, options.out)


if __name__ == "__main__":
    main()
