"""Models that make images beside what costs nothing, in PSNR and SSIM of the same validation chips.

SUPERRESOLUTION on `export_tiles_naip`, beside enlargement: both are given what is left of a chip at a quarter of its size, and
the network sees it enlarged bilinearly. Types of pairs on `pix2pix_naip`, beside the input as it is. A network trains for as
many epochs as fit into the time given, told by one epoch beforehand.

    python benchmarks/translation_quality.py --seconds 480 --backbone RESNET18
    python benchmarks/translation_quality.py --model-type PIX2PIXHD --seconds 2000 --seed 42 --percentage 10 --batch 1 \
        --arguments vgg_loss=False lambda_l1=100 n_gen_filters=16 n_downsample_global=2 n_blocks_global=3 \
        n_blocks_local=2 n_dscr_filters=16
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import arguments, data_folder, scratch, show
from torch import Tensor
from torch.nn import functional as F

from chipwright import api
from chipwright.chips.chipset import Chip, ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.chips.split import split_chips
from chipwright.tasks.image_metrics import ImageMetrics

FACTOR = 4
SINGLE, PAIRS = "export_tiles_naip", "pix2pix_naip"


def measured(chips: ChipSet, guess: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """Return the figures of what `guess` makes of 8-bit chips' first images, against their last ones."""
    metrics, reader = ImageMetrics(0, 255), ChipReader.of(chips)

    def image(chip: Chip, index: int) -> Tensor:
        return torch.from_numpy(reader.image(chip, index).astype(np.float32))

    for chip in chips.chips:
        metrics.update([guess(image(chip, 0))], {"target": image(chip, len(chip.images) - 1)[None]})
    return metrics.compute().scalars


def enlarged(mode: str) -> Callable[[Tensor], Tensor]:
    """Return what brings an image to 1 / `FACTOR` of its size and enlarges it again by plain interpolation."""

    def guess(image: Tensor) -> Tensor:
        size = list(image.shape[1:])
        small = F.interpolate(image[None], size=[side // FACTOR for side in size], mode="bilinear", antialias=True)
        return F.interpolate(small.round(), size=size, mode=mode)[0].round().clamp(0, 255)

    return guess


def trained(folder: Path, out: Path, options: Any, given: dict[str, Any], epochs: int) -> tuple[dict[str, float], float]:
    """Return the figures of a training's best epoch, and the seconds that it took."""
    started = time.perf_counter()
    backbone = {"backbone_model": options.backbone, "backbone_weights": options.weights} if options.backbone else {}
    result = api.train(
        folder, out, model_type=options.model_type, arguments=given, seed=options.seed, max_epochs=epochs,
        batch_size=options.batch, learning_rate=options.rate, validation_percentage=options.percentage, split="block",
        processor_type="CPU", stop_training=False, **backbone,
    )  # fmt: skip
    return result.metrics, time.perf_counter() - started


def main() -> None:
    """Train, measure and print."""
    options = arguments(
        __doc__ or "", model_type="SUPERRESOLUTION", arguments=[""], seconds=480.0, backbone="", weights="none", seed=0,
        batch=8, rate=1e-3, percentage=20.0,
    )  # fmt: skip
    given: dict[str, Any] = dict(word.split("=", 1) for word in options.arguments if word)
    free = {"the input as it is": lambda image: image}
    folder = data_folder() / PAIRS
    if options.model_type == "SUPERRESOLUTION":
        options.backbone = options.backbone or "RESNET18"
        folder = data_folder() / SINGLE
        given = {"perceptual_loss": False, "downsample_factor": FACTOR} | given
        free = {mode: enlarged(mode) for mode in ("bilinear", "bicubic")}
    chips = read_chips([folder])
    held = chips.subset(split_chips(chips, options.percentage, "block", options.seed).validation)
    figures = {method: measured(held, guess) for method, guess in free.items()}
    with scratch() as temporary:
        _, probe = trained(folder, Path(temporary) / "probe", options, given, 1)
        epochs = max(2, int(options.seconds / probe))
        best, seconds = trained(folder, Path(temporary) / "model", options, given, epochs)
    figures[f"{options.model_type} {options.backbone}, {epochs} epochs, {seconds:.0f} s"] = best
    rows = [
        {"method": method, **{name: f"{found[name]:.3f}" for name in ("psnr", "ssim")}} for method, found in figures.items()
    ]
    show(f"{options.model_type}: {len(held.chips)} validation chips of {folder.name}", rows)


if __name__ == "__main__":
    main()
