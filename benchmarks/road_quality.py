"""IoU, relaxed IoU and APLS of road networks and of UNET on `roads_epfl`, in equal time: the same 20 % validate all.

Every type trains for as many epochs as fit into the seconds given, validation included, told by two epochs beforehand; or for
the epochs given to each. Over a backbone, all have MOBILENET_V2 with the same weights, trained along; the hourglass has none.

    python benchmarks/road_quality.py --seconds 600 --seeds 0 1 2
    python benchmarks/road_quality.py --types linknet UNET --epochs 60 80 --device GPU          (as many numbers as types)

Types: linknet and hourglass (of MULTITASK_ROADEXTRACTOR), linknet_soft_iou and hourglass_soft_iou with the paper's loss of
roads, linknet_refined with three rounds of refinement, UNET. "untrained" rows are of the first type's network as it begins.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import arguments, data_folder, mean_and_spread, scratch, show

from chipwright import api, console
from chipwright.chips.chipset import ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.chips.split import split_chips
from chipwright.engine.feed import Feed
from chipwright.model import Model
from chipwright.tasks.road_metrics import RoadMetrics

BACKBONE, WEIGHTS = "MOBILENET_V2", "weights/mobilenet_v2_imagenet_from_quant.safetensors"
PERCENTAGE = 20.0
TYPES: dict[str, tuple[str, dict[str, Any]]] = {
    "linknet": ("MULTITASK_ROADEXTRACTOR", {"mtl_model": "linknet"}),
    "hourglass": ("MULTITASK_ROADEXTRACTOR", {}),
    "linknet_soft_iou": ("MULTITASK_ROADEXTRACTOR", {"mtl_model": "linknet", "road_loss": "soft_iou"}),
    "hourglass_soft_iou": ("MULTITASK_ROADEXTRACTOR", {"road_loss": "soft_iou"}),
    "linknet_refined": ("MULTITASK_ROADEXTRACTOR", {"mtl_model": "linknet", "refinement": 3}),
    "UNET": ("UNET", {}),
}
FIGURES = {"iou": "IoU", "relaxed_iou": "relaxed IoU (4 px)", "apls": "APLS"}


def measured(model: Model, chips: ChipSet, batch: int) -> dict[str, float]:
    """Return the figures of any model's road masks on chips, all by the same code."""
    task: Any = model.task
    metrics = RoadMetrics(task.classes)
    with torch.inference_mode():
        for item in Feed(task, chips.chips, ChipReader.of(chips), batch).batches():
            moved = task.to_device(item, model.accelerator.device)
            with model.accelerator.autocast():
                found = task.predict(model.network, moved)
            metrics.update([getattr(one, "mask", one) for one in found], item)
    return metrics.compute().scalars


def trained(folder: Path, name: str, seed: int, epochs: int, options: Any) -> tuple[dict[str, float], float]:
    """Return (figures of the kept epoch on the validation chips, seconds) of `chipwright train`; 0 epochs train nothing."""
    keyword, its_arguments = TYPES[name]
    given: dict[str, Any] = {"arguments": its_arguments | ({"chip_size": options.chip_size} if options.chip_size else {})}
    if not name.startswith("hourglass"):
        given |= {"backbone_model": BACKBONE, "backbone_weights": str(data_folder() / WEIGHTS), "freeze": False}
    rate = options.learning_rate if epochs else 1e-12
    with scratch() as out:
        result = api.train(
            folder, Path(out) / "m", model_type=keyword, max_epochs=max(epochs, 1), seed=seed, batch_size=options.batch,
            validation_percentage=PERCENTAGE, split="random", stop_training=False, learning_rate=rate,
            precision=options.precision, processor_type=options.device or None, **given,
        )  # fmt: skip
        chips = read_chips([folder])
        held_back = chips.subset(split_chips(chips, PERCENTAGE, "random", seed).validation)
        model = api.load(result.folder, processor_type=options.device or None, precision=options.precision)
        return measured(model, held_back, options.batch), result.seconds


def epochs_within(folder: Path, name: str, seed: int, options: Any) -> int:
    """Return how many epochs fit into the time, told by two of them: the first also starts the run."""
    with scratch() as out:
        keyword, its_arguments = TYPES[name]
        backbone = {} if name.startswith("hourglass") else {"backbone_model": BACKBONE, "backbone_weights": "none"}
        result = api.train(
            folder, Path(out) / "m", model_type=keyword, max_epochs=2, seed=seed, batch_size=options.batch,
            validation_percentage=PERCENTAGE, split="random", stop_training=False, learning_rate=1e-3,
            precision=options.precision, processor_type=options.device or None,
            arguments=its_arguments | ({"chip_size": options.chip_size} if options.chip_size else {}), **backbone,
        )  # fmt: skip
        with (Path(out) / "m" / "training_log.csv").open() as file:
            first, second = (float(row["seconds"]) for row in csv.DictReader(file))
        overhead = result.seconds - first - second
        console.say(f"{name}: epochs of {first:.0f} and {second:.0f} s, and {overhead:.0f} s beside them")
        return max(1, math.floor(options.seconds / (result.seconds / 2)))


def main() -> None:
    """Train all types for every seed, measure them and print means and spreads."""
    options = arguments(
        __doc__.splitlines()[0], types=["linknet", "hourglass", "UNET"], seeds=[0, 1, 2], seconds=600.0, epochs=[0], batch=4,
        chip_size=0, learning_rate=3e-3, device="", precision="auto", out="",
    )  # fmt: skip
    folder = data_folder() / "roads_epfl"
    fixed = dict(zip(options.types, options.epochs, strict=True)) if options.epochs != [0] else {}
    scores: dict[str, list[dict[str, float]]] = {}
    times: dict[str, list[float]] = {}
    epochs: dict[str, int] = {"untrained": 0}
    for seed in options.seeds:
        for name in ["untrained", *options.types]:
            first = options.types[0] if name == "untrained" else name
            if name not in epochs:
                epochs[name] = fixed.get(name) or epochs_within(folder, name, seed, options)
            figures, seconds = trained(folder, first, seed, epochs[name], options)
            scores.setdefault(name, []).append(figures)
            times.setdefault(name, []).append(seconds)
            text = ", ".join(f"{label} {figures[key]:.3f}" for key, label in FIGURES.items())
            print(f"seed {seed}, {name}, {epochs[name]} epochs: {text} in {seconds:.0f} s", flush=True)
    rows = [
        {
            "": name,
            "epochs": epochs[name],
            **{label: mean_and_spread([one[key] for one in found]) for key, label in FIGURES.items()},
            "seconds": f"{np.mean(times[name]):.0f}",
        }
        for name, found in scores.items()
    ]
    title = f"roads_epfl, {PERCENTAGE:.0f} % validate, {BACKBONE} where there is one, precision {options.precision}"
    show(f"{title}, seeds {options.seeds}", rows, options.out)


if __name__ == "__main__":
    main()
