"""Classifiers on a map: a label for every feature, or for every tile of a raster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from chipwright import console
from chipwright.chips.augmentation.pixels import fill_invalid
from chipwright.errors import DataError, OptionError, listed
from chipwright.prediction.job import Job
from chipwright.prediction.outputs import VECTORS, wanted
from chipwright.prediction.stream import Seen, batched, computed
from chipwright.prediction.windows import Box, Window
from chipwright.prediction.work import Work
from chipwright.raster.background import ahead
from chipwright.raster.features import Features
from chipwright.raster.grid import Tile
from chipwright.raster.tiling import feature_tiles, grid_tiles
from chipwright.raster.vector_files import read_features
from chipwright.raster.vector_writing import write_features
from chipwright.tasks.base import Batch
from chipwright.tasks.classification import ClassificationTask

_CHUNK = 512
"""Tiles in a piece of the work."""

_AHEAD = 2


def predict_labels(job: Job) -> tuple[dict[str, int], list[Path]]:
    """Write every feature's, or every tile's, label with its probability; return (how many of each class, the files)."""
    options, model, grid = job.options, job.model, job.source.grid
    wanted(options.out, VECTORS, "Labels")
    if options.probabilities or options.polygons:
        raise OptionError(f"{model.name} labels whole tiles; --probabilities and --polygons are for pixel classifiers.")
    task = model.task
    assert isinstance(task, ClassificationTask)
    shapes, boxes = _places(job, task)
    facts = job.facts("labels") | {"places": len(boxes), "features": str(options.features)}
    work = Work(options.out, facts)
    chunks = [boxes[start : start + _CHUNK] for start in range(0, len(boxes), _CHUNK)]
    for chunk in console.track(work.missing(len(chunks)), "Labelling", len(chunks)):
        found = np.full((len(chunks[chunk]), len(model.spec.classes)), np.nan, np.float32)
        for one in _labelled(job, chunks[chunk], shapes[chunk * _CHUNK : (chunk + 1) * _CHUNK], task):
            if one.result is not None:
                found[one.row] = one.result.probabilities
        with work.piece(chunk, "npy").open("wb") as file:
            np.save(file, found)
        work.finish(chunk)
    probabilities = np.concatenate([np.load(work.piece(chunk, "npy")) for chunk in range(len(chunks))])
    seen = ~np.isnan(probabilities).any(1)
    if not seen.any():
        raise DataError("None of the places to label holds data.")
    counts = _write(job, task, grid.on_map(shapes[seen]), probabilities[seen])
    if (~seen).any():
        console.warn(f"{int((~seen).sum())} places hold no data and got no label.")
    work.clear()
    return counts, [options.out]


def _places(job: Job, task: ClassificationTask) -> tuple[NDArray[Any], list[Box]]:
    """Return (outlines in the raster's pixels, what the network sees for each)."""
    options, grid, size = job.options, job.source.grid, job.model.spec.chip_size
    if options.features is None:
        tiles = [tile.window for tile in grid_tiles(grid, (min(size[0], grid.width), min(size[1], grid.height)), size)]
        boxes = [(left, top, left + width, top + height) for left, top, width, height in filter(None, tiles)]
        shapes = shapely.box(*np.array(boxes, np.float64).T)
        inside = job.source.inside
        kept = np.ones(len(boxes), bool) if inside is None else shapely.intersects(inside, shapely.centroid(shapes))
        return shapes[kept], [box for box, one in zip(boxes, kept.tolist(), strict=True) if one]
    features: Features = read_features(options.features, classes=False)
    placed = features.on(grid)
    if not len(placed):
        raise features.elsewhere(grid)
    smaller = size[0] > grid.width or size[1] > grid.height
    seen = (min(size[0], grid.width), min(size[1], grid.height)) if smaller else size
    found, boxes = [], []
    for tile in feature_tiles(grid, seen, placed, task.squished):
        if tile.window is not None and tile.feature is not None:
            left, top, width, height = tile.window
            found.append(placed.shapes[tile.feature])
            boxes.append((left, top, left + width, top + height))
    return np.array(found, object), boxes


def _labelled(job: Job, boxes: Sequence[Box], shapes: NDArray[Any], task: ClassificationTask) -> Iterator[Seen]:
    """Yield the places with what was predicted for each; `row` is its number."""
    black = job.options.features is not None and bool(job.model.spec.metadata.get("BlackenAroundFeature"))

    def compute(batch: Batch) -> Sequence[Any]:
        return task.predict(job.model.network, batch)

    def windows() -> Iterator[Seen]:
        for number, box in enumerate(boxes):
            sample, held = job.source.read(box)
            if sample is not None and black:
                tile = Tile.at(box[0], box[1], box[2] - box[0], box[3] - box[1])
                sample["image"] = blackened(sample["image"], tile.seen(shapes[number]))
            yield Seen(number, Window(box, box), sample, held)

    with ahead(lambda: batched(windows(), job.batch_size), _AHEAD) as ready:
        for batch in ready:
            yield from computed(job.model, batch, compute)


def blackened(image: NDArray[Any], shape: Any) -> NDArray[Any]:
    """Return an image (bands, height, width) with 0 around a shape in its pixels, as such training chips have it."""
    from rasterio.features import rasterize

    inside: NDArray[np.uint8] = rasterize([shape], image.shape[1:], dtype="uint8")
    return fill_invalid(image, inside != 0, (0.0,) * len(image))


def _write(job: Job, task: ClassificationTask, shapes: NDArray[Any], probabilities: NDArray[np.float32]) -> dict[str, int]:
    spec, crs = job.model.spec, job.source.grid.crs
    names = [info.name for info in spec.classes]
    threshold = 0.5 if job.options.threshold is None else job.options.threshold
    chosen: list[list[int]]
    if task.several:
        chosen = [np.flatnonzero(one >= threshold).tolist() for one in probabilities]
        texts = [
            ";".join(f"{100 * own[place]:.1f}" for place in places) for own, places in zip(probabilities, chosen, strict=True)
        ]
        confidence = np.array(texts, object)
    else:
        chosen = [[int(one.argmax())] for one in probabilities]
        confidence = np.round(100 * probabilities.max(1).astype(np.float64), 2)
    labels = np.array([";".join(names[place] for place in places) for places in chosen], object)
    fields: dict[str, NDArray[Any]] = {job.options.label_field: labels, "Confidence": confidence}
    if not task.several:
        fields["classvalue"] = np.array([spec.classes[places[0]].value for places in chosen], np.int32)
    kinds = {shapely.GeometryType(kind).name for kind in np.unique(shapely.get_type_id(shapes)).tolist()}
    if kinds == {"POLYGON"}:
        kind = "Polygon"
    elif kinds <= {"POLYGON", "MULTIPOLYGON"}:
        kind, shapes = (
            "MultiPolygon",
            np.array([shapely.MultiPolygon(shapely.get_parts(one).tolist()) for one in shapes], object),
        )
    else:
        kind = "Unknown"
    write_features(job.options.out, shapes, fields, crs, "labels", kind)
    counts = {name: sum(place in places for places in chosen) for place, name in enumerate(names)}
    if not any(counts.values()):
        console.warn(f"No place got any of the labels {listed(names, 8)} at a probability of {threshold:.2g} or more.")
    return counts
