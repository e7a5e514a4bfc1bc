"""CHANGEDETECTOR (PAM and BAM) beside a plain UNET on both dates stacked as bands, on `change_naip` and `change_levir`.

Each contestant trains for as many epochs as fit into the time given, told by one epoch beforehand: the steps of an epoch
repeat, the rest of that run (start, report) does not. Backbone, weights (frozen), seed, validation chips and the measure are
the same for all, and each keeps its epoch of the highest F1 on the validation chips. The untrained networks are measured, too.

    python benchmarks/change_quality.py --seconds 600 --seeds 0 1 2
    python benchmarks/change_quality.py --data change_levir --types PAM UNET
    python benchmarks/change_quality.py --fixed PAM=30 BAM=40 UNET=90 --device GPU      (epochs told by a probe elsewhere)
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import arguments, data_folder, mean_and_spread, scratch, show

from chipwright import api
from chipwright.chips.chipset import ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.chips.split import split_chips
from chipwright.chips.writers.new_chip import ExportFacts, NewChip
from chipwright.chips.writers.writing import open_writer
from chipwright.engine.devices import choose_device, choose_precision, place
from chipwright.engine.feed import Feed
from chipwright.option_values import make_options
from chipwright.preparation import prepare
from chipwright.tasks.binary import BinaryMetrics

BACKBONE, WEIGHTS = "MOBILENET_V2", "weights/mobilenet_v2_imagenet_from_quant.safetensors"
PERCENTAGE, BATCH = 20.0, 16
FIGURES = ("precision", "recall", "f1", "iou")

CONTESTANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "PAM": ("CHANGEDETECTOR", {"attention_type": "PAM", "monitor": "f1"}),
    "BAM": ("CHANGEDETECTOR", {"attention_type": "BAM", "monitor": "f1"}),
    "UNET": ("UNET", {"monitor": "dice"}),  # of one named class that is its F1
}


def stacked(folder: Path, out: Path) -> Path:
    """Write the pairs of `folder` as chips that hold both dates' bands, with the same names and labels, and return `out`."""
    chips = read_chips([folder])
    reader = ChipReader.of(chips)
    bands = tuple(f"{name} {date}" for date in (1, 2) for name in chips.bands)
    facts = ExportFacts(chips.classes, bands, chips.tile_size, image_space=chips.image_space)
    with open_writer(out, "Classified_Tiles", facts) as writer:
        for chip in chips.chips:
            both = np.concatenate([reader.image(chip, date) for date in (0, 1)])
            writer.write(NewChip((both,), reader.label(chip), georeference=chip.georeference, name=chip.name))
    return out


def held_back(folder: Path, seed: int, split: str) -> ChipSet:
    """Return the chips that a training with this seed validates on."""
    chips = read_chips([folder])
    return chips.subset(split_chips(chips, PERCENTAGE, split, seed).validation)


def measured(network: Any, task: Any, chips: ChipSet, device: torch.device) -> dict[str, float]:
    """Return the figures of change over all labelled pixels; both kinds of network give maps of 0 and 1."""
    metrics = BinaryMetrics(task.classes)
    with torch.inference_mode():
        for batch in Feed(task, chips.chips, ChipReader.of(chips), BATCH).batches():
            batch = task.to_device(batch, device)
            metrics.update(task.predict(network, batch), batch)
    return metrics.compute().scalars


def settings(name: str, folder: Path, out: Path, seed: int, epochs: int, options: Any) -> dict[str, Any]:
    """Return the options of one training."""
    keyword, given = CONTESTANTS[name]
    scheme = {"weight_init_scheme": options.scheme} if keyword == "UNET" else {}
    device = {"processor_type": options.device.upper()} if options.device else {}
    return device | {
        "in_folder": folder, "out_folder": out, "model_type": keyword, "arguments": given | scheme, "backbone_model": BACKBONE,
        "backbone_weights": str(data_folder() / WEIGHTS), "split": options.split, "validation_percentage": PERCENTAGE,
        "seed": seed, "max_epochs": epochs, "batch_size": BATCH, "precision": options.precision, "stop_training": False,
    }  # fmt: skip


def untrained(name: str, folder: Path, seed: int, options: Any) -> dict[str, float]:
    """Return the figures of a contestant before its first step."""
    device = choose_device(options.device.upper() or None)
    with scratch() as out:
        given = make_options(settings(name, folder, Path(out) / "m", seed, 1, options))
        setup = prepare(given, choose_precision(options.precision, device))
    return measured(place(setup.network, device).eval(), setup.task, held_back(folder, seed, options.split), device)


def trained(name: str, folder: Path, seed: int, epochs: int, options: Any) -> tuple[dict[str, float], float, float]:
    """Return (figures of the kept epoch, seconds of the run, seconds of one epoch's steps)."""
    with scratch() as out:
        result = api.train(**settings(name, folder, Path(out) / "m", seed, epochs, options))
        with (result.folder / "training_log.csv").open() as file:
            steps = [float(row["seconds"]) for row in csv.DictReader(file)]
        model = api.load(result.folder, processor_type=options.device.upper() or None)
        figures = measured(model.network, model.task, held_back(folder, seed, options.split), model.accelerator.device)
    return figures, result.seconds, float(np.mean(steps))


def compare(data: str, options: Any) -> None:
    """Train and measure all contestants on one folder for every seed, and print the table."""
    fixed = {name: int(count) for name, _, count in (word.partition("=") for word in options.fixed if word)}
    epochs, found, times = dict(fixed), dict[str, list[dict[str, float]]](), dict[str, list[float]]()
    with scratch() as made:
        pairs, bands = data_folder() / data, stacked(data_folder() / data, Path(made) / "stacked")
        for seed in options.seeds:
            names = [[chip.name for chip in held_back(folder, seed, options.split).chips] for folder in (pairs, bands)]
            assert names[0] == names[1], "both kinds of chips must be validated on the same ones"
            for name in options.types:
                folder = bands if CONTESTANTS[name][0] == "UNET" else pairs
                found.setdefault(f"{name} untrained", []).append(untrained(name, folder, seed, options))
                if name not in epochs:
                    _, once, steps = trained(name, folder, seed, 1, options)
                    epochs[name] = max(1, math.floor((options.seconds - (once - steps)) / steps))
                figures, seconds, _ = trained(name, folder, seed, epochs[name], options)
                found.setdefault(name, []).append(figures)
                times.setdefault(name, []).append(seconds)
                print(f"{data}, seed {seed}, {name}: F1 {figures['f1']:.3f} in {seconds:.0f} s", flush=True)
    rows = [
        {
            "": name,
            "epochs": epochs[name] if name in times else 0,
            **{figure: mean_and_spread([one[figure] for one in figures]) for figure in FIGURES},
            "seconds": f"{np.mean(times[name]):.0f}" if name in times else "",
        }
        for name, figures in found.items()
    ]
    title = f"Change on {data}, {BACKBONE} frozen, {options.split} split, precision {options.precision}, seeds {options.seeds}"
    show(title, rows, options.out)


def main() -> None:
    """Compare on every folder asked for."""
    options = arguments(
        __doc__.splitlines()[0], data=["change_naip", "change_levir"], types=list(CONTESTANTS), seeds=[0, 1, 2], seconds=600.0,
        fixed=[""], device="", split="random", scheme="red_band", precision="auto", out="",
    )  # fmt: skip
    for data in options.data:
        compare(data, options)


if __name__ == "__main__":
    main()
