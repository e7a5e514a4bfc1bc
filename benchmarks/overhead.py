"""What the engine's step costs over a bare step of the same network, the two taken in turn so that a busy machine slows both.

The bare step trains on one batch, ready in memory; ours draws and augments its samples, moves and normalises them. The
medians are compared; chips are decoded beforehand, as from a run's second epoch on.

    python benchmarks/overhead.py --steps 20
    python benchmarks/overhead.py --model-type SSD --backbone MOBILENET_V2 --batch 4
    python benchmarks/overhead.py --model-type CHANGEDETECTOR --arguments attention_type=BAM
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import torch
from common import arguments, data_folder, scratch, show

from chipwright import catalog
from chipwright.chips.reading import ChipReader
from chipwright.engine.devices import choose_device, choose_precision, place, start_accelerator
from chipwright.engine.feed import Feed
from chipwright.options import TrainOptions
from chipwright.preparation import Setup, prepare

DATA = {
    "Classified_Tiles": "classified_dubai",
    "PASCAL_VOC_rectangles": "voc_palm",
    "Labeled_Tiles": "labeled_scenes",
    "RCNN_Masks": "rcnn_nuclei",
    "ChangeDetection": "change_naip",
    "TimeSeries": "timeseries_eolearn",
    "ImageCaptioning": "captions_dubai",
    "Export_Tiles": "export_tiles_naip",
    "CycleGAN": "cyclegan_naip",
}
"""Real chips by the model type's most usual format."""

OWN_DATA = {
    "HED_EDGEDETECTOR": "edges_dubai",
    "BDCN_EDGEDETECTOR": "edges_dubai",
    "MULTITASK_ROADEXTRACTOR": "roads_epfl",
    "CONNECTNET": "roads_epfl",
    "PIX2PIX": "pix2pix_naip",
    "PIX2PIXHD": "pix2pix_naip",
}
"""Those of types that need other chips of their format."""


def prepared(options: Any, out: str, precision: str) -> Setup:
    """Return a run before its first step, its network random and trained whole."""
    model = catalog.find(options.model_type)
    folder = data_folder() / (OWN_DATA.get(model.keyword) or DATA[model.formats[0]])
    return prepare(
        TrainOptions(
            in_folder=(folder,), out_folder=Path(out), model_type=model.keyword, backbone_model=options.backbone or None,
            backbone_weights="none", arguments=dict(word.split("=", 1) for word in options.arguments if word),
        ),
        precision,
    )  # fmt: skip


def main() -> None:
    """Print the medians and their ratio."""
    options = arguments(__doc__.splitlines()[0], model_type="UNET", backbone="", arguments=[""], batch=8, steps=20, out="")
    device = choose_device(None)
    precision = choose_precision("auto", device)
    accelerator = start_accelerator(device, precision)
    with scratch() as out:
        setup = prepared(options, out, precision)
    task, reader = setup.task, ChipReader(None, cache_bytes=2**31)
    network = place(setup.network, device).train()
    parts = task.parts(network)
    optimizers = {
        phase.name: task.optimizer(task.parameter_groups([parts[name] for name in phase.parts]), phase) for phase in task.phases
    }
    for group in [group for optimizer in optimizers.values() for group in optimizer.param_groups]:
        group["lr"] *= 1e-4
    units = task.training_units(setup.chips.subset(setup.split.training).chips)
    feed = Feed(task, units, reader, options.batch, shuffle=True, augment=True)
    for _ in feed.batches(0):
        pass  # decoded once, and kept
    ready = task.to_device(next(feed.batches(0)), device)

    def step(batch: dict[str, Any]) -> None:
        for phase in task.phases:
            optimizers[phase.name].zero_grad(set_to_none=True)
            with accelerator.autocast():
                losses = task.losses(parts, batch, phase)
            accelerator.backward(torch.stack([loss.float() for loss in losses.values()]).sum())
            optimizers[phase.name].step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    def bare() -> None:
        step(dict(ready))

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
    size = " x ".join(map(str, setup.spec.chip_size))
    spec = setup.spec
    title = f"{spec.model_type} {spec.backbone}, {size}, batch {options.batch}, {precision}: a step in turn with a bare one"
    show(title, rows, options.out)


if __name__ == "__main__":
    main()
