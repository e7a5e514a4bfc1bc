"""Detectors on a map: every object once, with its class and score, as box or outline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from chipwright import console
from chipwright.errors import OptionError
from chipwright.files import whole_file
from chipwright.prediction.job import Job
from chipwright.prediction.outputs import VECTORS, wanted
from chipwright.prediction.polygons import mask_outline
from chipwright.prediction.stream import Seen, predicted
from chipwright.prediction.work import Work
from chipwright.raster.suppression import overlapping, survivors
from chipwright.raster.vector_writing import write_features
from chipwright.tasks.base import Batch

CUT_SHARE = 0.5
"""Share of the smaller object's area from which what a window's border cut is part of what another window saw whole."""


SPARE = 8
"""Pixels beyond what is kept of a window in which the middle of an object may lie that the window beside does not see there."""


@dataclass(frozen=True, eq=False)
class Objects:
    """Objects on a raster, in its pixels.

    Attributes:
        shapes: polygons.
        labels: of the model's classes, from 1.
        scores: 0 to 1.
        windows: which window saw each.
        cut: whether it touches a border of its window that is none of the raster.
        spare: whether its middle lies beyond what is kept of its window: it counts where no other window saw it. Two windows
            that see an object between them need not agree on its middle to the pixel.
    """

    shapes: NDArray[Any]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    windows: NDArray[np.int64]
    cut: NDArray[np.bool_]
    spare: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.shapes)

    @staticmethod
    def joined(parts: Sequence[Objects]) -> Objects:
        """Return the objects of all parts."""
        if not parts:
            return Objects(np.array([], object), *(np.zeros(0, kind) for kind in (np.int64, np.float64, np.int64, bool, bool)))
        return Objects(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Objects)))

    def taken(self, kept: Any) -> Objects:
        """Return some of the objects, by a mask or by places."""
        return Objects(*(getattr(self, one.name)[kept] for one in fields(Objects)))


def predict_objects(job: Job) -> tuple[dict[str, int], list[Path]]:
    """Write the objects found and return (how many of each class, the files)."""
    options, model = job.options, job.model
    wanted(options.out, VECTORS, "Objects")
    if options.probabilities or options.polygons:
        raise OptionError(
            f"{model.name} finds objects, which go to --out; --probabilities and --polygons are for pixel classifiers."
        )
    threshold = model.task.score_threshold
    work = Work(options.out, job.facts("objects") | {"threshold": threshold, "spare": SPARE})
    plan = job.plan

    def compute(batch: Batch) -> Sequence[Any]:
        return model.task.predict(model.network, batch)

    rows = work.missing(len(plan.rows))
    stream = predicted(model, job.source, plan, rows, job.batch_size, compute)
    windows = len(plan) // len(plan.rows) * len(rows)
    for row, some in groupby(console.track(stream, "Detecting", windows), attrgetter("row")):
        _store(work.piece(row, "npz"), Objects.joined([*_found(some, job, threshold or 0.0)]))
        work.finish(row)
    everything = Objects.joined([_stored(work.piece(row, "npz")) for row in range(len(plan.rows))])
    found = merged(everything, options.nms_overlap)
    if job.source.inside is not None and len(found):
        found = found.taken(shapely.intersects(job.source.inside, shapely.centroid(found.shapes)))
    counts = write_objects(job, found)
    if not len(found):
        console.warn(
            f"Nothing was found at a score of {threshold:.2g} or more. If that is wrong, lower --threshold, or compare the "
            "raster's bands, pixel type and cell size with the training chips'."
        )
    work.clear()
    return counts, [options.out]


def write_objects(job: Job, found: Objects) -> dict[str, int]:
    """Write objects with class and score, and return how many there are of each class."""
    classes, grid = job.model.spec.classes, job.source.grid
    names = np.array([info.name for info in classes], object)[found.labels - 1]
    columns = {
        "Class": names,
        "classvalue": np.array([info.value for info in classes], np.int32)[found.labels - 1],
        "Confidence": np.round(100 * found.scores, 2),
    }
    outlines = bool(len(found)) and shapely.get_type_id(found.shapes[0]) == shapely.GeometryType.MULTIPOLYGON
    write_features(
        job.options.out, grid.on_map(found.shapes), columns, grid.crs, "objects", "MultiPolygon" if outlines else "Polygon"
    )
    return {info.name: int((found.labels == label).sum()) for label, info in enumerate(classes, 1)}


def _found(windows: Iterator[Seen], job: Job, threshold: float) -> Iterator[Objects]:
    """Yield the objects of each window whose middle lies in the part that is kept, or a little beyond it."""
    limits = np.array(job.plan.area)
    for one in windows:
        if one.result is None:
            continue
        left, top, right, bottom = one.window.seen
        kept = one.window.kept
        boxes = one.result["boxes"].numpy().astype(np.float64) + np.array([left, top, left, top])
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        middles = np.minimum(middles, np.array([job.plan.width, job.plan.height]) - 1e-3)
        scores = one.result["scores"].numpy().astype(np.float64)
        inner = (middles >= kept[:2]).all(1) & (middles < kept[2:]).all(1)
        near = (middles >= np.array(kept[:2]) - SPARE).all(1) & (middles < np.array(kept[2:]) + SPARE).all(1)
        near &= (middles >= limits[:2]).all(1) & (middles < limits[2:]).all(1)
        mine = (scores >= threshold) & (inner | near)
        if one.held is not None:  # ground without data holds nothing, whatever the network makes of it
            places = np.clip(middles - (left, top), 0, np.array(one.held.shape[::-1]) - 1).astype(np.intp)
            mine &= one.held[places[:, 1], places[:, 0]]
        boxes, places = boxes[mine], np.flatnonzero(mine)
        if "masks" in one.result:
            masks = one.result["masks"].numpy()
            shapes = np.array([mask_outline(masks[place], left, top) for place in places], object)
        else:
            shapes = shapely.box(*boxes.T)
        border = np.array([left if left else -9, top if top else -9, right, bottom], np.float64)
        border[2:] = np.where(border[2:] == (job.plan.width, job.plan.height), np.inf, border[2:])
        cut = (boxes[:, :2] < border[:2] + 1).any(1) | (boxes[:, 2:] > border[2:] - 1).any(1)
        whole = ~shapely.is_missing(shapes)
        number = left + top * job.plan.width
        labels = one.result["labels"].numpy().astype(np.int64)
        yield Objects(shapes, labels[places], scores[places], np.full(len(places), number), cut, ~inner[places]).taken(whole)


def merged(objects: Objects, overlap: float) -> Objects:
    """Return objects without those that another window saw better, the best first.

    Of two of a class, from different windows, whose IoU exceeds `overlap`, the one of the lower score goes; and what a window's
    border cut goes where another window saw most of it as part of something whole. Spare ones beat spare ones alone.
    """
    # what lies where its window is kept comes first, then what was seen whole before what was cut, then the higher score
    order = np.lexsort((-objects.scores, objects.cut, objects.spare))
    objects = objects.taken(order)
    first, second, shared = overlapping(objects.shapes)
    areas = shapely.area(objects.shapes)
    union = areas[first] + areas[second] - shared
    part = objects.cut[second] & ~objects.cut[first] & (shared > CUT_SHARE * np.minimum(areas[first], areas[second]))
    rivals = (objects.labels[first] == objects.labels[second]) & (objects.windows[first] != objects.windows[second])
    beaten = rivals & ((shared > overlap * union) | part)
    kept = objects.taken(survivors(len(objects), first[beaten], second[beaten]))
    return kept.taken(np.argsort(-kept.scores, kind="stable"))


def _store(path: Path, objects: Objects) -> None:
    written = [np.frombuffer(one, np.uint8) for one in shapely.to_wkb(objects.shapes)]
    lengths = np.array([len(one) for one in written], np.int64)
    shapes = np.concatenate(written) if written else np.zeros(0, np.uint8)
    with whole_file(path) as part, part.open("wb") as file:
        np.savez(
            file, shapes=shapes, lengths=lengths, labels=objects.labels, scores=objects.scores, windows=objects.windows,
            cut=objects.cut, spare=objects.spare,
        )  # fmt: skip


def _stored(path: Path) -> Objects:
    with np.load(path, allow_pickle=False) as file:
        data = file["shapes"].tobytes()
        ends = np.cumsum(file["lengths"]).tolist()
        shapes = shapely.from_wkb([data[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=False)])
        return Objects(np.asarray(shapes, object), file["labels"], file["scores"], file["windows"], file["cut"], file["spare"])
