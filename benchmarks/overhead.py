"""What the engine's step costs over a bare step of the same network, the two taken in turn so that a busy machine slows both.

The bare step trains on one batch, ready in memory; ours draws and augments its samples, moves and normalises them. The
medians are compared; chips are decoded beforehand, as from a run's second epoch on.

    python benchmarks/overhead.py --steps 20
    python benchmarks/overhead.py --model-type SSD --backbone MOBILENET_V2 --batch 4
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from common import arguments, data_folder, show

from chipwright import catalog
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.engine.devices import choose_device, choose_precision, place, start_accelerator
from chipwright.engine.feed import Feed
from chipwright.normalization import choose_normalization
from chipwright.spec import ModelSpec

DATA = {
    "Classified_Tiles": "classified_dubai",
    "PASCAL_VOC_rectangles": "voc_palm",
    "Labeled_Tiles": "labeled_scenes",
    "RCNN_Masks": "rcnn_nuclei",
}
"""Real chips by the model type's most usual format."""


def main() -> None:
    """Print the medians and their ratio."""
    options = arguments(__doc__.splitlines()[0], model_type="UNET", backbone="", batch=8, steps=20, out="")
    device = choose_device(None)
    precision = choose_precision("auto", device)
    accelerator = start_accelerator(device, precision)
    model = catalog.find(options.model_type)
    backbone = model.backbones.resolve(options.backbone, model.keyword) if model.backbones else None
    chips = read_chips([data_folder() / DATA[model.formats[0]]])
    spec = ModelSpec(
        model_type=model.keyword,
        arguments=model.arguments().model_dump(),
        backbone=backbone,
        classes=chips.classes,
        bands=chips.bands,
        dtype=chips.dtype,
        chip_size=chips.tile_size,
        normalization=choose_normalization(chips, None),
        statistics=chips.statistics,
        metadata_format=chips.format,
        fitted=model.fit(chips, model.arguments()),
    )
    task, reader = model.task(spec), ChipReader(None, cache_bytes=2**31)
    network = place(model.build(spec, None), device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    feed = Feed(task, task.units(chips.chips), reader, options.batch, shuffle=True, augment=True)
    for _ in feed.batches(0):
        pass  # decoded once, and kept
    ready = task.to_device(next(feed.batches(0)), device)

    def step(batch: dict[str, Any]) -> None:
        optimizer.zero_grad(set_to_none=True)
        with accelerator.autocast():
            losses = task.losses({"network": network}, batch, task.phases[0])
        accelerator.backward(torch.stack([loss.float() for loss in losses.values()]).sum())
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    def bare() -> None:
        step(ready)

    def ours(batch: dict[str, Any]) -> None:
        step(task.to_device(batch, device))

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
    size = " x ".join(map(str, chips.tile_size))
    title = f"{model.keyword} {backbone}, {size}, batch {options.batch}, {precision}: a step in turn with a bare one"
    show(title, rows, options.out)


if __name__ == "__main__":
    main()
