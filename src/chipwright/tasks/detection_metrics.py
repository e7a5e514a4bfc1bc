"""Figures of detectors: average precision as COCO defines it, and what a score threshold gives at an IoU of 0.5.

Average precision and recall come from faster-coco-eval. Precision, recall and F1 at one threshold, and the curve, are of the
ranked detections themselves, not of COCO's interpolated envelope, so that they hold for what is put on a map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipwright.chips.chipset import ClassInfo
from chipwright.tasks.base import Batch, Evaluation, Metrics

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
RunLengths = dict[str, Any]

MATCH_IOU = 0.5
"""Overlap from which a detection counts as right, but for `coco_ap` and `average_recall`, which go from 0.5 to 0.95."""

_COCO_RECALLS = 101
_CURVE_POINTS = 200


@dataclass(frozen=True)
class Objects:
    """What an image holds, in truth or by prediction: boxes (count, 4) as corners, labels from 1.

    Attributes:
        scores: (count,); all 0 of the truth.
        outlines: the masks as COCO's run lengths, where masks are measured.
    """

    boxes: Floats
    labels: Labels
    scores: Floats
    outlines: Sequence[RunLengths] = ()


@dataclass(frozen=True)
class Image:
    """Truth and detections of one image, the detections in falling order of score."""

    truth: Objects
    found: Objects


class DetectionMetrics(Metrics):
    """Average precision, recall and F1 over everything taken in.

    Scalars: `average_precision` (mean over classes of AP at IoU 0.5), `ap75`, `coco_ap` (0.5 to 0.95),
    `average_recall` (0.5 to 0.95, all detections), and, at the score threshold of the highest F1 over all classes,
    `best_threshold`, `precision`, `recall`, `f1`. Classes without truth are left out of means; without any truth all are 0.

    Attributes:
        truth_keys: what of a batch is the truth.
    """

    truth_keys: tuple[str, ...] = ("boxes", "labels")

    def __init__(self, classes: Sequence[ClassInfo], max_detections: int = 100) -> None:
        """Start empty.

        Args:
            classes: of labels 1, 2, ...
            max_detections: how many of an image's detections of a class count, the best first.
        """
        self.classes = tuple(classes)
        self.max_detections = max_detections
        self._images: list[Image] = []

    def update(self, predictions: Sequence[Any], batch: Batch) -> None:
        """Take in detections and the `boxes` and `labels` of their batch."""
        columns = [batch[key] for key in self.truth_keys]
        for prediction, values in zip(predictions, zip(*columns, strict=True), strict=True):
            truth = {key: as_array(value) for key, value in zip(self.truth_keys, values, strict=True)}
            order = np.argsort(-as_array(prediction["scores"]), kind="stable")
            found = {key: as_array(value)[order] for key, value in prediction.items()}
            self._images.append(self.image(truth, found))

    def image(self, truth: dict[str, NDArray[Any]], found: dict[str, NDArray[Any]]) -> Image:
        """Return what is kept of an image's truth and detections, the latter in falling order of score."""
        return Image(_objects(truth), _objects(found))

    def merge(self, other: Metrics) -> None:
        """Take in another process's images."""
        assert isinstance(other, DetectionMetrics)
        self._images.extend(other._images)

    def compute(self) -> Evaluation:
        """Return all figures; `per_class` holds None where a class has no truth."""
        count = len(self.classes)
        overlaps = self.measured(self.overlaps)
        precision, recall = self.coco(overlaps)
        ap, ap50, ap75 = (class_means(part) for part in (precision, precision[:1], precision[5:6]))
        ar = class_means(recall[:, None])
        ranked = self._ranked(overlaps)
        threshold, chosen = _best_threshold(ranked)
        scalars = {
            "average_precision": mean_of_known(ap50),
            "ap75": mean_of_known(ap75),
            "coco_ap": mean_of_known(ap),
            "average_recall": mean_of_known(ar),
            "best_threshold": threshold,
            "precision": chosen.precision,
            "recall": chosen.recall,
            "f1": chosen.f1,
        }
        rows, curves = [], {}
        for index, info in enumerate(self.classes):
            own = ranked.of(index + 1)
            at = own.at(threshold)
            absent = own.truth == 0
            rows.append(
                {
                    "class": info.name,
                    "value": info.value,
                    "ap50": figure(ap50[index]),
                    "coco_ap": figure(ap[index]),
                    "average_recall": figure(ar[index]),
                    "boxes": own.truth,
                    "predictions": at.detections,
                    "precision": None if absent and not at.detections else at.precision,
                    "recall": None if absent else at.recall,
                    "f1": None if absent else at.f1,
                }
            )
            if not absent:
                title = "Precision and recall" if count == 1 else f"Precision and recall: {info.name}"
                curves[title] = own.curve()
        return Evaluation(scalars=scalars, per_class=rows, curves=curves, notes=self._notes(ranked))

    def _notes(self, ranked: _Ranking) -> list[str]:
        notes = []
        absent = [info.name for index, info in enumerate(self.classes) if not ranked.of(index + 1).truth]
        if not ranked.truth:
            notes.append("The samples measured hold no object, so average precision is undefined and given as 0.")
        elif absent:
            notes.append(f"Without objects in the samples measured, and left out of the means: {', '.join(absent)}.")
        if ranked.truth and not len(ranked.scores):
            notes.append(
                "The model found nothing: no box scored high enough to be kept. Train longer, or lower the score threshold of "
                "the model's arguments."
            )
        return notes

    def _pairs(self) -> list[tuple[Objects, Objects]]:
        return [(image.truth, image.found) for image in self._images]

    def measured(self, overlaps: Callable[[Objects, Objects], Floats]) -> list[Floats]:
        """Return the overlaps of every image's detections with its truth."""
        return [overlaps(found, truth) for truth, found in self._pairs()]

    def _ranked(self, overlaps: Sequence[Floats]) -> _Ranking:
        pairs = self._pairs()
        hits = [
            matches(one, found.labels, truth.labels, found.scores) >= 0
            for (truth, found), one in zip(pairs, overlaps, strict=True)
        ]
        return _Ranking(
            _joined([found.scores for _, found in pairs], np.float64),
            _joined([found.labels for _, found in pairs], np.int64),
            _joined(hits, np.bool_),
            _joined([truth.labels for truth, _ in pairs], np.int64),
        )

    def overlaps(self, first: Objects, second: Objects) -> Floats:
        """Return the IoU of every object of `first` with every one of `second` as (first, second)."""
        return between_boxes(first, second)

    def coco(self, measured: Sequence[Floats]) -> tuple[Floats, Floats]:
        """Return COCO's precision (10 IoUs, 101 recalls, classes) and recall (10 IoUs, classes); -1 where undefined.

        Args:
            measured: of every image, as `measured` returns them.
        """
        count = len(self.classes)
        if not any(len(image.truth.labels) for image in self._images):
            return np.full((10, _COCO_RECALLS, count), -1.0), np.full((10, count), -1.0)
        from chipwright.tasks.coco_evaluation import Compared, precision_and_recall

        compared = [
            Compared(truth.labels, found.labels, found.scores, overlaps)
            for (truth, found), overlaps in zip(self._pairs(), measured, strict=True)
        ]
        return precision_and_recall(compared, count, self.max_detections)


def between_boxes(first: Objects, second: Objects) -> Floats:
    """Return the IoU of every box of `first` with every one of `second` as (first, second)."""
    return box_overlaps(first.boxes, second.boxes)


def matches(
    overlaps: NDArray[Any],
    found_labels: NDArray[Any],
    labels: NDArray[Any],
    scores: NDArray[Any],
    least_iou: float = MATCH_IOU,
) -> NDArray[np.int64]:
    """Return for every detection the true object it is matched to, or -1.

    COCO's rule: in falling order of score, each takes that object of its label, of those not taken yet, which it
    overlaps most.

    Args:
        overlaps: IoU (detections, objects).
        found_labels, scores: of the detections.
        labels: of the true objects.
        least_iou: overlap that is asked for.
    """
    matched = np.full(len(found_labels), -1, np.int64)
    same = found_labels[:, None] == labels[None]
    rows, columns = np.nonzero(same & (overlaps >= least_iou) & (overlaps > 0))
    taken = np.zeros(len(labels), bool)
    for place in np.lexsort((-overlaps[rows, columns], rows, -scores[rows])):
        row, column = rows[place], columns[place]
        if matched[row] < 0 and not taken[column]:
            matched[row] = column
            taken[column] = True
    return matched


def box_overlaps(first: NDArray[Any], second: NDArray[Any]) -> Floats:
    """Return the IoU of every box of `first` (n, 4) with every box of `second` (m, 4) as (n, m)."""
    left, top, right, bottom = (
        pick(first[:, None, side], second[None, :, side])
        for side, pick in enumerate((np.maximum, np.maximum, np.minimum, np.minimum))
    )
    shared = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    union = _areas(first)[:, None] + _areas(second)[None] - shared
    return np.divide(shared, union, out=np.zeros(shared.shape), where=union > 0)


@dataclass(frozen=True)
class _AtThreshold:
    """Counts of the detections from one score up."""

    detections: int
    hits: int
    truth: int

    @property
    def precision(self) -> float:
        return self.hits / self.detections if self.detections else 0.0

    @property
    def recall(self) -> float:
        return self.hits / self.truth if self.truth else 0.0

    @property
    def f1(self) -> float:
        return 2 * self.hits / (self.detections + self.truth) if self.detections + self.truth else 0.0


class _Ranking:
    """Detections of many images in falling order of score, each a hit or not, and the labels of the truth."""

    def __init__(self, scores: Floats, labels: Labels, hits: NDArray[np.bool_], truth_labels: Labels) -> None:
        order = np.argsort(-scores, kind="stable")
        self.scores, self.labels, self.hits = scores[order], labels[order], hits[order]
        self.truth_labels = truth_labels
        self.truth = len(truth_labels)

    def of(self, label: int) -> _Ranking:
        """Return the part of one label."""
        own = self.labels == label
        return _Ranking(self.scores[own], self.labels[own], self.hits[own], self.truth_labels[self.truth_labels == label])

    def at(self, threshold: float) -> _AtThreshold:
        """Return the counts of the detections with at least this score."""
        count = int(np.searchsorted(-self.scores, -threshold, side="right"))
        return _AtThreshold(count, int(self.hits[:count].sum()), self.truth)

    def steps(self) -> tuple[Floats, Floats, Floats]:
        """Return score, hits and detections at the end of every run of equal scores: what thresholds can give."""
        last = np.flatnonzero(np.diff(self.scores, append=-np.inf))
        hits: Floats = np.cumsum(self.hits)[last].astype(np.float64)
        detections: Floats = (last + 1).astype(np.float64)
        return self.scores[last], hits, detections

    def curve(self) -> dict[str, Any]:
        """Return precision over recall for the report, thinned to a few hundred points."""
        _, hits, detections = self.steps()
        places = np.unique(np.linspace(0, len(hits) - 1, min(len(hits), _CURVE_POINTS)).round().astype(int))
        recall, precision = (hits / self.truth)[places], (hits / detections)[places]
        return {"x": recall.tolist(), "y": precision.tolist(), "x_label": "Recall", "y_label": "Precision at IoU 0.5"}


def _best_threshold(ranked: _Ranking) -> tuple[float, _AtThreshold]:
    """Return the score of the highest F1 over all classes (the higher score of equals), 0.5 where nothing is right anywhere."""
    scores, hits, detections = ranked.steps()
    if not len(scores) or not hits[-1]:
        return 0.5, ranked.at(0.5)
    threshold = float(scores[int(np.argmax(2 * hits / (detections + ranked.truth)))])
    return threshold, ranked.at(threshold)


def _areas(boxes: NDArray[Any]) -> Floats:
    areas: Floats = np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    return areas


def class_means(values: Floats) -> Floats:
    """Return the mean over all but the last axis, NaN for classes that COCO marks with -1."""
    means: Floats = values.mean(axis=tuple(range(values.ndim - 1)))
    return np.where((values < 0).all(axis=tuple(range(values.ndim - 1))), np.nan, means)


def mean_of_known(values: Floats) -> float:
    """Return the mean of the figures that are defined, 0 where none is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def figure(value: float) -> float | None:
    """Return a class's figure, None where it is not defined."""
    return None if np.isnan(value) else float(value)


def _joined(parts: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate([*parts, np.zeros(0, dtype)]).astype(dtype)


def as_array(values: Any) -> NDArray[Any]:
    """Return a tensor of any device, or what else holds numbers, as an array."""
    return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)


def _objects(columns: dict[str, NDArray[Any]]) -> Objects:
    labels = columns["labels"].astype(np.int64)
    scores = columns.get("scores", np.zeros(len(labels)))
    return Objects(columns["boxes"].astype(np.float64).reshape(-1, 4), labels, scores.astype(np.float64))
