"""SUPERRESOLUTION beside bicubic enlargement on `export_tiles_naip`, in PSNR and SSIM of the same validation chips.

The network trains for as many epochs as fit into the time given, told by one epoch beforehand. Both are given what is left
of a chip at a quarter of its size; the network sees it enlarged bilinearly.

    python benchmarks/translation_quality.py --seconds 480 --backbone RESNET18
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import arguments, data_folder, scratch, show
from torch.nn import functional as F

from chipwright import api
from chipwright.chips.chipset import ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.chips.split import split_chips
from chipwright.tasks.image_metrics import ImageMetrics

FACTOR, PERCENTAGE, BATCH, RATE = 4, 20.0, 8, 1e-3


def enlarged(chips: ChipSet, mode: str, factor: int) -> dict[str, float]:
    """Return the figures of 8-bit chips at 1 / `factor` of their size enlarged again by plain interpolation."""
    metrics, reader = ImageMetrics(0, 255), ChipReader.of(chips)
    for chip in chips.chips:
        true = torch.from_numpy(reader.image(chip).astype(np.float32))
        small = F.interpolate(true[None], size=[side // factor for side in true.shape[1:]], mode="bilinear", antialias=True)
        large = F.interpolate(small.round(), size=list(true.shape[1:]), mode=mode)[0]
        metrics.update([large.round().clamp(0, 255)], {"target": true[None]})
    return metrics.compute().scalars


def trained(folder: Path, out: Path, options: Any, epochs: int) -> tuple[dict[str, float], float]:
    """Return the figures of a training's best epoch, and the seconds that it took."""
    started = time.perf_counter()
    result = api.train(
        folder, out, model_type="SUPERRESOLUTION", backbone_model=options.backbone, backbone_weights=options.weights,
        arguments={"perceptual_loss": False, "downsample_factor": FACTOR}, seed=options.seed, max_epochs=epochs,
        batch_size=BATCH, learning_rate=RATE, validation_percentage=PERCENTAGE, split="block",
        processor_type="CPU", stop_training=False,
    )  # fmt: skip
    return result.metrics, time.perf_counter() - started


def main() -> None:
    """Train, measure and print."""
    options = arguments(__doc__ or "", seconds=480.0, backbone="RESNET18", weights="none", seed=0, data="export_tiles_naip")
    folder = data_folder() / options.data
    chips = read_chips([folder])
    held = chips.subset(split_chips(chips, PERCENTAGE, "block", options.seed).validation)
    rows = []
    for mode in ("bilinear", "bicubic"):
        rows.append({"method": mode, **{name: f"{value:.3f}" for name, value in enlarged(held, mode, FACTOR).items()}})
    with scratch() as temporary:
        _, probe = trained(folder, Path(temporary) / "probe", options, 1)
        epochs = max(2, int(options.seconds / probe))
        figures, seconds = trained(folder, Path(temporary) / "model", options, epochs)
    named = {name: f"{figures[name]:.3f}" for name in ("psnr", "ssim")}
    rows.append({"method": f"{options.backbone}, {epochs} epochs, {seconds:.0f} s", **named})
    show(f"{FACTOR} times finer: {len(held.chips)} validation chips of {options.data}", rows)


if __name__ == "__main__":
    main()
