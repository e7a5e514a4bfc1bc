"""Figures of detectors: average precision as COCO defines it, and what a score threshold gives at an IoU of 0.5.

Average precision and recall come from faster-coco-eval. Precision, recall and F1 at one threshold, and the curve, are of the
ranked detections themselves, not of COCO's interpolated envelope, so that they hold for what is put on a map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipwright.chips.chipset import ClassInfo
from chipwright.tasks.base import Batch, Evaluation, Metrics

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

MATCH_IOU = 0.5
"""Overlap from which a detection counts as right, but for `coco_ap` and `average_recall`, which go from 0.5 to 0.95."""

_COCO_RECALLS = 101
_CURVE_POINTS = 200


@dataclass(frozen=True)
class _Image:
    """Truth and detections of one image; boxes (count, 4) as corners, labels from 1."""

    boxes: Floats
    labels: Labels
    found: Floats
    found_labels: Labels
    scores: Floats


class DetectionMetrics(Metrics):
    """Average precision, recall and F1 over everything taken in.

    Scalars: `average_precision` (mean over classes of AP at IoU 0.5), `ap75`, `coco_ap` (0.5 to 0.95),
    `average_recall` (0.5 to 0.95, all detections), and, at the score threshold of the highest F1 over all classes,
    `best_threshold`, `precision`, `recall`, `f1`. Classes without truth are left out of means; without any truth all are 0.
    """

    def __init__(self, classes: Sequence[ClassInfo], max_detections: int = 100) -> None:
        """Start empty.

        Args:
            classes: of labels 1, 2, ...
            max_detections: how many of an image's detections of a class count, the best first.
        """
        self.classes = tuple(classes)
        self.max_detections = max_detections
        self._images: list[_Image] = []

    def update(self, predictions: Sequence[Any], batch: Batch) -> None:
        """Take in detections and the `boxes` and `labels` of their batch."""
        for prediction, boxes, labels in zip(predictions, batch["boxes"], batch["labels"], strict=True):
            scores = _array(prediction["scores"], np.float64)
            order = np.argsort(-scores, kind="stable")
            self._images.append(
                _Image(
                    _array(boxes, np.float64).reshape(-1, 4),
                    _array(labels, np.int64),
                    _array(prediction["boxes"], np.float64).reshape(-1, 4)[order],
                    _array(prediction["labels"], np.int64)[order],
                    scores[order],
                )
            )

    def merge(self, other: Metrics) -> None:
        """Take in another process's images."""
        assert isinstance(other, DetectionMetrics)
        self._images.extend(other._images)

    def compute(self) -> Evaluation:
        """Return all figures; `per_class` holds None where a class has no truth."""
        count = len(self.classes)
        precision, recall = self._coco()
        ap, ap50, ap75 = (_class_means(part) for part in (precision, precision[:1], precision[5:6]))
        ar = _class_means(recall[:, None])
        ranked = self._ranked()
        threshold, chosen = _best_threshold(ranked)
        scalars = {
            "average_precision": _mean(ap50),
            "ap75": _mean(ap75),
            "coco_ap": _mean(ap),
            "average_recall": _mean(ar),
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
                    "ap50": _figure(ap50[index]),
                    "coco_ap": _figure(ap[index]),
                    "average_recall": _figure(ar[index]),
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

    def _ranked(self) -> _Ranking:
        hits = [
            matches(image.boxes, image.labels, image.found, image.found_labels, image.scores) >= 0 for image in self._images
        ]
        return _Ranking(
            _joined([image.scores for image in self._images], np.float64),
            _joined([image.found_labels for image in self._images], np.int64),
            _joined(hits, np.bool_),
            _joined([image.labels for image in self._images], np.int64),
        )

    def _coco(self) -> tuple[Floats, Floats]:
        """Return COCO's precision (10 IoUs, 101 recalls, classes) and recall (10 IoUs, classes); -1 where undefined."""
        count = len(self.classes)
        if not any(len(image.boxes) for image in self._images):
            return np.full((10, _COCO_RECALLS, count), -1.0), np.full((10, count), -1.0)
        from chipwright.tasks.coco_evaluation import Compared, precision_and_recall

        compared = [
            Compared(image.labels, image.found_labels, image.scores, box_overlaps(image.found, image.boxes))
            for image in self._images
        ]
        return precision_and_recall(compared, count, self.max_detections)


def matches(
    boxes: NDArray[Any], labels: NDArray[Any], found: NDArray[Any], found_labels: NDArray[Any], scores: NDArray[Any]
) -> NDArray[np.int64]:
    """Return for every detection the truth box it is matched to, or -1.

    COCO's rule at `MATCH_IOU`: in falling order of score, each takes that box of its label, of those not taken yet, which it
    overlaps most.
    """
    matched = np.full(len(found), -1, np.int64)
    if not len(found) or not len(boxes):
        return matched
    overlaps = box_overlaps(found, boxes)
    overlaps[found_labels[:, None] != labels[None]] = 0
    rows, columns = np.nonzero(overlaps >= MATCH_IOU)
    taken = np.zeros(len(boxes), bool)
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


def _class_means(values: Floats) -> Floats:
    """Return the mean over all but the last axis, NaN for classes that COCO marks with -1."""
    means: Floats = values.mean(axis=tuple(range(values.ndim - 1)))
    return np.where((values < 0).all(axis=tuple(range(values.ndim - 1))), np.nan, means)


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def _figure(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _joined(parts: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate([*parts, np.zeros(0, dtype)]).astype(dtype)


def _array(values: Any, dtype: Any) -> NDArray[Any]:
    array = values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)
    return array.astype(dtype)
