"""Models that make images beside what costs nothing, on the same validation chips.

SUPERRESOLUTION on `export_tiles_naip`, beside enlargement: both are given what is left of a chip at a quarter of its size, and
the network sees it enlarged bilinearly. Types of pairs on `pix2pix_naip`, beside the input as it is. Figures are PSNR and SSIM.
CYCLEGAN on `cyclegan_naip`, beside images left as they are and beside its own first weights; figures are the cycle error and
the histogram distance. A network trains for `--epochs`, else for as many as fit into the time given, told by one beforehand.

    python benchmarks/translation_quality.py --seconds 480 --backbone RESNET18
    python benchmarks/translation_quality.py --model-type PIX2PIXHD --epochs 90 --rate 5e-4 --seed 42 --percentage 10 \
        --batch 1 --arguments gen_network=global vgg_loss=False lambda_l1=100 n_gen_filters=32 n_downsample_global=1 \
        n_blocks_global=3 n_dscr_filters=16
    python benchmarks/translation_quality.py --model-type PIX2PIX --epochs 200 --batch 4 --rate 5e-4 --seed 42 \
        --percentage 10 --arguments n_gen_filters=32 n_dscr_filters=16
    python benchmarks/translation_quality.py --model-type CYCLEGAN --epochs 20 --batch 1 --rate 2e-4 --arguments \
        n_gen_filters=16 n_dscr_filters=16 gen_blocks=3
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
from chipwright.engine.devices import choose_device, choose_precision, place, start_accelerator
from chipwright.engine.feed import Feed
from chipwright.engine.measure import measure
from chipwright.networks.cyclegan import Cycled
from chipwright.options import TrainOptions
from chipwright.preparation import prepare
from chipwright.tasks.image_metrics import ImageMetrics

FACTOR = 4
SINGLE, PAIRS, DOMAINS = "export_tiles_naip", "pix2pix_naip", "cyclegan_naip"


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


def untrained(folder: Path, out: Path, options: Any, given: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the figures of a CYCLEGAN's validation images as they are, and as the first weights of a training make them."""
    device = choose_device("CPU")
    precision = choose_precision("auto", device)
    setup = prepare(TrainOptions(in_folder=(folder,), out_folder=out, **run_options(options, given, 1)), precision)
    chips = setup.chips.subset(setup.split.validation).chips
    feed = Feed(setup.task, setup.task.units(chips), ChipReader.of(setup.chips), options.batch)
    metrics = setup.task.metrics()
    for batch in feed.batches():
        a, b = (setup.task.to_device(batch, device)[key] for key in ("image", "target"))
        metrics.update([Cycled(one, other, one, other) for one, other in zip(a, b, strict=True)], {"image": a, "target": b})
    first = measure(place(setup.network, device), setup.task, feed, start_accelerator(device, precision))
    return {"images as they are": metrics.compute().scalars, "first weights": first.scalars}


def run_options(options: Any, given: dict[str, Any], epochs: int) -> dict[str, Any]:
    """Return the options of a training."""
    backbone = {"backbone_model": options.backbone, "backbone_weights": options.weights} if options.backbone else {}
    return {
        "model_type": options.model_type, "arguments": given, "seed": options.seed, "max_epochs": epochs,
        "batch_size": options.batch, "learning_rate": options.rate, "validation_percentage": options.percentage,
        "split": "block", "processor_type": "CPU", "stop_training": False,
    } | backbone  # fmt: skip


def trained(folder: Path, out: Path, options: Any, given: dict[str, Any], epochs: int) -> tuple[dict[str, float], float]:
    """Return the figures of a training's best epoch, and the seconds that it took."""
    started = time.perf_counter()
    result = api.train(folder, out, **run_options(options, given, epochs))
    return result.metrics, time.perf_counter() - started


def main() -> None:
    """Train, measure and print."""
    options = arguments(
        __doc__ or "", model_type="SUPERRESOLUTION", arguments=[""], seconds=480.0, epochs=0, backbone="", weights="none",
        seed=0, batch=8, rate=1e-3, percentage=20.0,
    )  # fmt: skip
    given: dict[str, Any] = dict(word.split("=", 1) for word in options.arguments if word)
    free: dict[str, Callable[[Tensor], Tensor]] = {"the input as it is": lambda image: image}
    folder = data_folder() / PAIRS
    names = ["psnr", "ssim"]
    if options.model_type == "SUPERRESOLUTION":
        options.backbone = options.backbone or "RESNET18"
        folder = data_folder() / SINGLE
        given = {"perceptual_loss": False, "downsample_factor": FACTOR} | given
        free = {mode: enlarged(mode) for mode in ("bilinear", "bicubic")}
    if options.model_type == "CYCLEGAN":
        folder, free = data_folder() / DOMAINS, {}
        names = ["cycle_error", "histogram_distance", "histogram_distance_a", "histogram_distance_b"]
    chips = read_chips([folder])
    held = chips.subset(split_chips(chips, options.percentage, "block", options.seed).validation)
    figures = {method: measured(held, guess) for method, guess in free.items()}
    with scratch() as temporary:
        if not free:
            figures = untrained(folder, Path(temporary) / "untrained", options, given)
        epochs = options.epochs
        if not epochs:
            _, probe = trained(folder, Path(temporary) / "probe", options, given, 1)
            epochs = max(2, int(options.seconds / probe))
        best, seconds = trained(folder, Path(temporary) / "model", options, given, epochs)
    name = " ".join(word for word in (options.model_type, options.backbone) if word)
    figures[f"{name}, {epochs} epochs, {seconds:.0f} s"] = best
    rows = [{"method": method, **{name: f"{found[name]:.3f}" for name in names}} for method, found in figures.items()]
    show(f"{options.model_type}: {len(held.chips)} validation chips of {folder.name}", rows)


if __name__ == "__main__":
    main()
