"""What the engine's step costs over a bare step of the same network, the two taken in turn so that a busy machine slows both.

The bare step trains on one batch in memory; ours draws and augments its samples, moves and normalises them, and takes the
task's loss. The medians are compared; chips are decoded beforehand, as from a run's second epoch on.

    python benchmarks/overhead.py --steps 20
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from common import arguments, data_folder, show
from torch.nn import functional as F

from chipwright import catalog
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.engine.devices import choose_precision, start_accelerator
from chipwright.engine.feed import Feed
from chipwright.normalization import choose_normalization
from chipwright.spec import ModelSpec

BATCH = 8


def main() -> None:
    """Print the medians and their ratio."""
    options = arguments(__doc__.splitlines()[0], steps=20, out="")
    device = torch.device("cpu")
    precision = choose_precision("auto", device)
    accelerator = start_accelerator(device, precision)
    chips, model = read_chips([data_folder() / "classified_dubai"]), catalog.find("UNET")
    spec = ModelSpec(
        model_type="UNET",
        arguments=model.arguments().model_dump(),
        backbone="RESNET34",
        classes=chips.classes,
        bands=chips.bands,
        dtype=chips.dtype,
        chip_size=chips.tile_size,
        normalization=choose_normalization(chips, None),
        statistics=chips.statistics,
        metadata_format=chips.format,
    )
    task, reader = model.task(spec), ChipReader(None, cache_bytes=2**31)
    network = model.build(spec, None).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    for chip in chips.chips:
        reader.image(chip), reader.label(chip)
    feed = Feed(task, chips.chips, reader, BATCH, shuffle=True, augment=True)
    images = torch.randn(BATCH, 3, *chips.tile_size).to(memory_format=torch.channels_last)
    target = torch.randint(0, len(chips.classes) + 1, (BATCH, *chips.tile_size))

    def bare() -> None:
        optimizer.zero_grad(set_to_none=True)
        with accelerator.autocast():
            logits = network(images)
        F.cross_entropy(logits.float(), target).backward()
        optimizer.step()

    def ours(batch: dict[str, Any]) -> None:
        batch = task.to_device(batch, device)
        optimizer.zero_grad(set_to_none=True)
        with accelerator.autocast():
            losses = task.losses({"network": network}, batch, task.phases[0])
        accelerator.backward(torch.stack([loss.float() for loss in losses.values()]).sum())
        optimizer.step()

    bare()
    ours(next(feed.batches(0)))
    times: dict[str, list[float]] = {"bare step": [], "engine's step": []}
    for epoch, _ in enumerate(range(0, options.steps, len(feed))):
        batches = feed.batches(epoch)
        for _ in range(min(options.steps, len(feed))):
            started = time.perf_counter()
            bare()
            between = time.perf_counter()
            ours(next(batches))
            times["bare step"].append(between - started)
            times["engine's step"].append(time.perf_counter() - between)
    medians = {name: statistics.median(values) for name, values in times.items()}
    rows = [
        {"": name, "ms": f"{1000 * value:.0f}", "bare / this": f"{medians['bare step'] / value:.3f}"}
        for name, value in medians.items()
    ]
    show(f"U-Net ResNet-34, 256 x 256, batch {BATCH}, {precision}: a step in turn with a bare one", rows, options.out)


if __name__ == "__main__":
    main()
