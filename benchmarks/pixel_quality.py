"""The special pixel classifiers beside a plain U-Net: same chips, split, backbone weights and time, measured alike.

    python benchmarks/pixel_quality.py --contest edges --seconds 600
    python benchmarks/pixel_quality.py --contest land --seconds 600 --seeds 0 1 2
    python benchmarks/pixel_quality.py --contest series --seconds 120

Contests: `edges` (ODS on edges_dubai), `land` and `land4` (mean IoU on classified_dubai and classified_naip4) and `series`
(mean IoU on timeseries_eolearn by place, all dates as bands for the U-Net). A short run tells how many epochs fit into the
time, unless they are given (`--epochs PSETAE=60 UNET=120`).
"""

from __future__ import annotations

import csv
import json
import math
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import arguments, data_folder, mean_and_spread, scratch, show

from chipwright import api, console
from chipwright.chips.chipset import ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.engine.feed import Feed
from chipwright.options import TrainOptions
from chipwright.preparation import prepare

WEIGHTS, BACKBONE = "weights/mobilenet_v2_imagenet_from_quant.safetensors", "MOBILENET_V2"
PERCENTAGE, MOST_EPOCHS = 20.0, 200


@dataclass(frozen=True)
class Contest:
    """Which chips, whose figures, which of them, and what each contestant is given beside the common options."""

    data: str
    figures: tuple[str, ...]
    contestants: dict[str, dict[str, Any]] = field(default_factory=dict)
    stacked: bool = False


UNET: dict[str, Any] = {"model_type": "UNET"}
BY_PLACE = {"split": "block", "validation_percentage": 33.0}
CONTESTS = {
    "edges": Contest(
        "edges_dubai", ("ods", "ois", "edge_average_precision"),
        {"HED_EDGEDETECTOR": {"model_type": "HED_EDGEDETECTOR", "arguments": {"monitor": "ods"}},
         "BDCN_EDGEDETECTOR": {"model_type": "BDCN_EDGEDETECTOR", "arguments": {"monitor": "ods"}}, "UNET": UNET},
    ),
    "land": Contest(
        "classified_dubai", ("miou", "accuracy"),
        {"PSPNET": {"model_type": "PSPNET"},
         "PSPNET as published": {"model_type": "PSPNET", "arguments": {"use_unet": False}},
         "DEEPLAB": {"model_type": "DEEPLAB"}, "UNET": UNET},
    ),
    "land4": Contest(
        "classified_naip4", ("miou", "accuracy"),
        {"PSPNET": {"model_type": "PSPNET"}, "DEEPLAB": {"model_type": "DEEPLAB"}, "UNET": UNET},
    ),
    "series": Contest(
        "timeseries_eolearn", ("miou", "accuracy", "IoU forest", "IoU grassland", "IoU shrubland"),
        {"PSETAE": {"model_type": "PSETAE", "batch_size": 32} | BY_PLACE,
         "UNET": UNET | {"arguments": {"ignore_classes": [0]}} | BY_PLACE}, stacked=True,
    ),
}  # fmt: skip


def stacked_series(chips: ChipSet, reader: ChipReader, out: Path) -> Path:
    """Write a time series as Classified_Tiles, all dates as bands, and return the folder."""
    import rasterio

    template = data_folder() / "classified_naip4"
    for name in ("images", "labels"):
        (out / name).mkdir(parents=True)
    for chip in chips.chips:
        image = np.nan_to_num(reader.image(chip))
        label = np.zeros(image.shape[1:], np.uint8)
        for value, masks in reader.instances(chip).items():
            label[masks.any(0)] = value
        for name, array in (("images", image), ("labels", label[None])):
            place, profile = chip.georeference, {"driver": "GTiff", "count": len(array)}
            profile |= {"height": array.shape[1], "width": array.shape[2]}
            if place is not None:  # so that both are split alike
                profile |= {"transform": rasterio.Affine(*place.transform), "crs": place.crs}
            with rasterio.open(out / name / f"{chip.name}.tif", "w", dtype=array.dtype, **profile) as file:
                file.write(array)
    emd = json.loads(next(template.glob("*.emd")).read_text(encoding="utf-8-sig"))
    kept = {key: emd[key] for key in emd if not key.startswith(("AllTilesStats", "InputRasters", "Num", "MinCell", "MaxCell"))}
    kept["Classes"] = [
        {"Value": info.value, "Name": info.name, "Color": list(info.color)} for info in chips.classes if info.value
    ]
    kept |= {"ImageHeight": chips.tile_size[1], "ImageWidth": chips.tile_size[0]}
    (out / "esri_model_definition.emd").write_text(json.dumps(kept), encoding="utf-8")
    (out / "map.txt").write_text(
        "".join(f"images/{chip.name}.tif  labels/{chip.name}.tif\n" for chip in chips.chips), encoding="utf-8"
    )
    return out


def options_for(folder: Path, out: Path, given: dict[str, Any], epochs: int, seed: int, batch: int) -> dict[str, Any]:
    """Return one contestant's options."""
    backbone = {"backbone_model": BACKBONE, "backbone_weights": str(data_folder() / WEIGHTS)}
    return {
        "in_folder": folder, "out_folder": out, "max_epochs": epochs, "seed": seed, "batch_size": batch,
        "validation_percentage": PERCENTAGE, "stop_training": False,
    } | ({} if given["model_type"] == "PSETAE" else backbone) | given  # fmt: skip


def measured(name: str, network: torch.nn.Module, task: Any, chips: ChipSet) -> dict[str, float]:
    """Return the contest's figures of a network on chips; edges of a U-Net are its probability of the edge class."""
    from chipwright.tasks.edges import EdgeMetrics, EdgeTask

    edges = name == "edges"
    metrics: Any = EdgeMetrics(task.classes) if edges else task.metrics()
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        for batch in Feed(task, task.units(chips.chips), ChipReader.of(chips), 4).batches():
            batch = task.to_device(batch, device)
            if edges and not isinstance(task, EdgeTask):
                found = list(network(batch["image"]).float().softmax(1)[:, 1].cpu())
            else:
                found = task.predict(network, batch)
            metrics.update(found, batch)
    found = metrics.compute()
    return found.scalars | {f"IoU {row['class']}": row["IoU"] for row in found.per_class if "IoU" in row}


def run(name: str, given: dict[str, Any], folder: Path, epochs: int, seed: int, batch: int) -> tuple[Any, Any, float]:
    """Return (figures before training, figures after it, seconds of an epoch with its measuring)."""
    with scratch() as place, console.quiet():
        out = Path(place) / f"{name}-model"
        options = options_for(folder, out, given, epochs, seed, batch)
        setup = prepare(TrainOptions(**{**options, "in_folder": [folder]}), "float32")
        held = setup.chips.subset(setup.split.validation)
        before = measured(name, setup.network, setup.task, held)
        result = api.train(**options)
        model = api.load(result.folder)
        with (out / "training_log.csv").open() as file:
            rows = list(csv.DictReader(file))
        after = measured(name, model.network, model.task, held)
        return before, after, result.seconds / len(rows)


def fitting(asked: Any, given: dict[str, Any], folder: Path) -> int:
    """Return how many epochs fit into the time."""
    _, _, long = run(asked.contest, given, folder, 1, 0, asked.batch)
    _, _, short = run(asked.contest, given, folder, 4, 0, asked.batch)
    once = max((4 * short - long) / 3, 0.05)  # an epoch without what a run costs once
    return max(1, min(MOST_EPOCHS, math.floor(asked.seconds / once)))


def main() -> None:
    """Train every contestant and print a table."""
    asked = arguments(
        __doc__.splitlines()[0], contest="edges", seconds=600.0, seeds=[0], batch=8, freeze=1, only=[""], epochs=[""],
        device="CPU", out="",
    )  # fmt: skip
    fixed = {name: int(count) for name, _, count in (text.rpartition("=") for text in asked.epochs) if name}
    contest = CONTESTS[asked.contest]
    with scratch() as place:
        source = folder = data_folder() / contest.data
        if contest.stacked:
            chips = read_chips([source])
            folder = stacked_series(chips, ChipReader.of(chips), Path(place) / "stacked")
        rows = []
        for label, given in contest.contestants.items():
            given = given | {"freeze": bool(asked.freeze), "processor_type": asked.device}
            if asked.only != [""] and label not in asked.only:
                continue
            own = folder if given["model_type"] == "UNET" else source
            epochs = fixed.get(label) or fitting(asked, given, own)
            found = [run(asked.contest, given, own, epochs, seed, asked.batch) for seed in asked.seeds]
            row = {"": label, "epochs": epochs}
            for figure in contest.figures:
                row[f"{figure}, untrained"] = mean_and_spread([before[figure] for before, _, _ in found])
                row[figure] = mean_and_spread([after[figure] for _, after, _ in found])
            rows.append(row)
            print(row, flush=True)
        shutil.rmtree(Path(place) / "stacked", ignore_errors=True)
    show(f"{contest.data}, {asked.seconds:.0f} s each, seeds {asked.seeds}", rows, asked.out)


if __name__ == "__main__":
    main()
