"""Pixel classifiers on a map: class values with their colours, probabilities, polygons, lines of roads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from chipwright import console
from chipwright.chips.chipset import BACKGROUND, ClassInfo
from chipwright.errors import OptionError
from chipwright.prediction.job import Job
from chipwright.prediction.outputs import RASTERS, VECTORS, wanted
from chipwright.prediction.polygons import class_polygons
from chipwright.prediction.rasters import Target, pieces_of, write_rasters
from chipwright.prediction.road_lines import road_value, traced, write_lines
from chipwright.prediction.work import Work
from chipwright.raster.layers import Layer
from chipwright.raster.vector_writing import driver_for, write_features
from chipwright.roads.graph import require_scikit_image
from chipwright.tasks.base import Batch
from chipwright.tasks.pixels import PixelTask
from chipwright.tasks.roads import RoadTask

_SCALE = 254
"""Probability 1 as it is written: bytes keep the raster small, and 255 stands for no data."""


def predict_classes(job: Job) -> tuple[dict[str, int], list[Any]]:
    """Write class values, and what else was asked for; return (pixels, polygons or lines by class, the files)."""
    task, options = job.model.task, job.options
    assert isinstance(task, PixelTask)
    wanted(options.out, (*RASTERS, *VECTORS), "Classes of pixels")
    as_raster = options.out.suffix.lower() in RASTERS
    vectors = options.polygons if as_raster else options.out
    if vectors is not None:
        driver_for(vectors, "Polygons and lines")
        if isinstance(task, RoadTask):
            require_scikit_image("Tracing roads")
    if not as_raster and options.polygons is not None:
        raise OptionError(f"{options.out} holds polygons already; --polygons goes with a raster.")
    layer, more = class_layer(task), {}
    if options.probabilities is not None:
        wanted(options.probabilities, RASTERS, "Probabilities")
        more["probabilities"] = Target(probability_layer(task, job.model.name), options.probabilities)
    work = Work(options.out, job.facts("classes") | {"threshold": task.score_threshold})
    targets = {"classes": Target(layer, options.out if as_raster else work.folder / "classes.tif"), **more}

    def paint(batch: Batch) -> Sequence[Mapping[str, NDArray[Any]]]:
        return painted(job, task, batch, layer.dtype, options.probabilities is not None)

    figures = write_rasters(job, targets, paint, work)
    names = {info.value: info.name for info in layer.classes}
    counts = {names[value]: count for value, count in sorted(figures["classes"][0].counts.items())}
    outputs = [options.out, *([options.probabilities] if options.probabilities else [])]
    if vectors is not None:
        found = _vectors(job, task, work, vectors)
        outputs = [*outputs, vectors] if as_raster else outputs
        counts = counts if as_raster else found
    _look(counts, job)
    work.clear()
    return counts, outputs


def painted(job: Job, task: PixelTask, batch: Batch, dtype: str, probable: bool) -> list[dict[str, NDArray[Any]]]:
    """Return the layers of every sample."""
    logits = task.logits(job.model.network, batch[task.image_keys[0]])
    results = [{"classes": task.class_values(found).astype(dtype)[None]} for found in task.decide(logits)]
    if probable:
        probabilities = task.probabilities(logits)
        assert probabilities is not None, "refused before"
        scaled = (probabilities * _SCALE).round().to(torch.uint8).cpu().numpy()
        for result, own in zip(results, scaled, strict=True):
            result["probabilities"] = own
    return results


def class_layer(task: PixelTask) -> Layer:
    """Return what a raster of class values holds; its largest value stands for no data."""
    classes = tuple(
        ClassInfo(value=value, name=name, color=color)
        for value, name, color in zip(task.classes.values, task.classes.names, task.classes.colors, strict=True)
    )
    low, high = min(task.classes.values), max(task.classes.values)
    dtype = next(
        name for name in ("uint8", "uint16", "int32", "int64") if np.iinfo(name).min <= low and high < np.iinfo(name).max
    )
    return Layer(dtype, float(np.iinfo(dtype).max), ("Class",), classes)


def probability_layer(task: PixelTask, name: str) -> Layer:
    """Return what a raster of probabilities holds: 0 to 254 for 0 to 1, a band a class."""
    with torch.no_grad():
        if task.probabilities(torch.zeros(1, len(task.classes), 1, 1)) is None:
            raise OptionError(f"{name} gives no probabilities: it decides by a distance. Leave --probabilities out.")
    return Layer("uint8", 255.0, tuple(f"{one} (254 = 1.0)" for one in task.probability_names))


def _vectors(job: Job, task: PixelTask, work: Work, out: Any) -> dict[str, int]:
    """Write polygons of the classes, or the lines of roads, and return how many there are of each."""
    grid, pieces = job.plan_grid, pieces_of(work, job.plan, "classes")
    if isinstance(task, RoadTask):
        lines = traced(pieces, grid, road_value(job.model))
        write_lines(lines, grid, out)
        return {"roads": len(lines)}
    classes = [info for info in class_layer(task).classes if info.value != BACKGROUND or task.classes.background_named]
    shapes, values = class_polygons(pieces, [info.value for info in classes])
    names = {info.value: info.name for info in classes}
    fields = {
        "classvalue": values.astype(np.int32),
        "Class": np.array([names[value] for value in values.tolist()], object),
    }
    write_features(out, grid.on_map(shapes), fields, grid.crs, "classes", "Polygon")
    return {info.name: int((values == info.value).sum()) for info in classes}


def _look(counts: Mapping[str, int], job: Job) -> None:
    """Warn of a map that says nothing."""
    if len(counts) == 1 and len(job.model.spec.classes) > 1:
        console.warn(
            f"The whole map is {next(iter(counts))}. If that is wrong, compare the raster's bands, pixel type and cell size "
            "with the training chips'."
        )
