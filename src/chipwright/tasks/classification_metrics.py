"""Figures of chips that are classified as a whole: with one class each, or with several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chipwright.chips.chipset import ClassInfo
from chipwright.errors import listed
from chipwright.tasks.base import Batch, Evaluation, Metrics

THRESHOLD = 0.5
"""Probability above which a chip has a class, where it may have several."""

_BETA = 2.0


@dataclass(frozen=True, eq=False)
class ChipClasses:
    """What was predicted for one chip.

    Attributes:
        values: class values: the likeliest one, or all above `THRESHOLD` where a chip may have several (perhaps none).
        probabilities: float32 (classes,) in the order of `ModelSpec.classes`; they sum to 1 where a chip has one class.
    """

    values: tuple[int, ...]
    probabilities: NDArray[np.float32]


class ClassificationMetrics(Metrics):
    """Accumulates probabilities and truth; the truth is `batch["target"]` (batch, classes) of zeros and ones.

    One class a chip: `accuracy`, and `f1`, the mean of the classes' F1 scores. Chips without a known class do not count.

    Several classes a chip, decided at a probability of 0.5: `accuracy` over all pairs of chip and class, `multi_label_fbeta`
    (beta 2, over all pairs: recall counts more than precision), `f1` and `multi_label_average_precision` as means over the
    classes. Means are over classes that occur in truth or prediction.

    Args:
        classes: as `ModelSpec.classes`.
        several: whether a chip may have several classes.
    """

    def __init__(self, classes: Sequence[ClassInfo], several: bool) -> None:
        self.classes = tuple(classes)
        self.several = several
        self._probabilities: list[NDArray[np.float32]] = []
        self._truth: list[NDArray[np.bool_]] = []

    def update(self, predictions: Sequence[ChipClasses], batch: Batch) -> None:
        """Take in one batch."""
        target: Tensor = batch["target"]
        self._probabilities += [prediction.probabilities for prediction in predictions]
        self._truth += list(target.cpu().numpy() > 0)

    def merge(self, other: Metrics) -> None:
        """Add another process's chips."""
        assert isinstance(other, ClassificationMetrics)
        self._probabilities += other._probabilities
        self._truth += other._truth

    def compute(self) -> Evaluation:
        """Return the figures; NaN where a class does not occur."""
        probabilities = np.array(self._probabilities, np.float32).reshape(-1, len(self.classes))
        truth = np.array(self._truth, bool).reshape(-1, len(self.classes))
        return self._several(probabilities, truth) if self.several else self._one(probabilities, truth)

    def _one(self, probabilities: NDArray[np.float32], truth: NDArray[np.bool_]) -> Evaluation:
        known = truth.any(axis=1)
        count = len(self.classes)
        true, predicted = truth[known].argmax(1), probabilities[known].argmax(1)
        confusion = np.bincount(true * count + predicted, minlength=count * count).reshape(count, count)
        rows = self._rows(np.diag(confusion), confusion.sum(1), confusion.sum(0))
        scalars = {"accuracy": float(np.mean(true == predicted)) if len(true) else math.nan, "f1": _mean(rows, "F1")}
        names = [info.name for info in self.classes]
        return Evaluation(scalars, rows, (names, confusion.tolist()), notes=self._notes(rows))

    def _several(self, probabilities: NDArray[np.float32], truth: NDArray[np.bool_]) -> Evaluation:
        predicted = probabilities > THRESHOLD
        hits, true, found = (truth & predicted).sum(0), truth.sum(0), predicted.sum(0)
        rows = self._rows(hits, true, found)
        for index, row in enumerate(rows):
            row["multi_label_average_precision"] = _average_precision(probabilities[:, index], truth[:, index])
        weighted = _BETA**2 * true.sum() + found.sum()
        scalars = {
            "accuracy": float(np.mean(truth == predicted)) if len(truth) else math.nan,
            "multi_label_fbeta": float((1 + _BETA**2) * hits.sum() / weighted) if weighted else math.nan,
            "f1": _mean(rows, "F1"),
            "multi_label_average_precision": _mean(rows, "multi_label_average_precision"),
        }
        decided = (
            f"A chip has the classes whose probability is above {THRESHOLD:g}; accuracy counts every pair of chip and class."
        )
        return Evaluation(scalars, rows, notes=[decided, *self._notes(rows)])

    def _rows(self, hits: NDArray[Any], true: NDArray[Any], found: NDArray[Any]) -> list[dict[str, Any]]:
        return [
            {
                "class": info.name,
                "value": info.value,
                "precision": _ratio(hits[index], found[index]),
                "recall": _ratio(hits[index], true[index]),
                "F1": _ratio(2 * hits[index], true[index] + found[index]),
                "chips": int(true[index]),
            }
            for index, info in enumerate(self.classes)
        ]

    def _notes(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        absent = [row["class"] for row in rows if math.isnan(row["F1"])]
        if not absent:
            return []
        return [f"Neither in the truth nor predicted, so left out of the means: {listed(absent, 20)}."]


def _average_precision(scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """Return the area under the steps of the precision-recall curve; NaN for a class without a chip."""
    if not truth.any():
        return math.nan
    from torchmetrics.functional.classification import binary_average_precision

    return float(binary_average_precision(torch.from_numpy(scores.copy()), torch.from_numpy(truth.astype(np.int64))))


def _ratio(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else math.nan


def _mean(rows: Sequence[dict[str, Any]], column: str) -> float:
    known = [row[column] for row in rows if not math.isnan(row[column])]
    return float(np.mean(known)) if known else math.nan
