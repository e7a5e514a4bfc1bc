"""Figures of pixel classification, all from one confusion matrix over every labelled pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chipwright.errors import listed
from chipwright.tasks.base import Batch, Evaluation, Metrics
from chipwright.tasks.pixel_classes import PixelClasses


def confusion_counts(truth: Tensor, prediction: Tensor, classes: int) -> Tensor:
    """Return int64 (classes, classes) pixel counts, true class by predicted class, on the tensors' device.

    Pixels whose truth is negative (`IGNORE`) do not count. One `bincount`, without waiting for the device.
    """
    cells = classes * classes
    pairs = truth.long() * classes + prediction.long()
    return torch.bincount(torch.where(truth >= 0, pairs, cells).flatten(), minlength=cells + 1)[:cells].view(classes, classes)


class PixelMetrics(Metrics):
    """Accuracy, IoU, precision, recall and F1 from the confusion of class indices.

    Predictions are index maps (height, width), one a sample; the truth is `batch["mask"]` (batch, height, width).

    `accuracy` is over all labelled pixels, background included. `miou` and `dice` are means over the named classes that
    occur in truth or prediction; the background is none of them unless the export names it.
    """

    def __init__(self, classes: PixelClasses) -> None:
        self.classes = classes
        self.counts: NDArray[np.int64] = np.zeros((len(classes), len(classes)), np.int64)

    def update(self, predictions: Sequence[Tensor], batch: Batch) -> None:
        """Count one batch's pixels."""
        truth = batch["mask"]
        pairs = [(truth, torch.stack(list(predictions)))] if isinstance(truth, Tensor) else zip(truth, predictions, strict=True)
        for mask, prediction in pairs:
            self.counts += confusion_counts(mask, prediction.to(mask.device), len(self.classes)).cpu().numpy()

    def merge(self, other: Metrics) -> None:
        """Add another process's counts."""
        assert isinstance(other, PixelMetrics)
        self.counts = self.counts + other.counts

    def compute(self) -> Evaluation:
        """Return the figures; NaN where a class does not occur."""
        hits = np.diag(self.counts)
        truth, predicted = self.counts.sum(1), self.counts.sum(0)
        columns = {
            "IoU": _ratio(hits, truth + predicted - hits),
            "precision": _ratio(hits, predicted),
            "recall": _ratio(hits, truth),
            "F1": _ratio(2 * hits, truth + predicted),
        }
        measured = list(self.classes.measured)
        rows = [self._row(index, columns, int(truth[index])) for index in measured]
        total = self.counts.sum()
        scalars = {
            "accuracy": float(hits.sum() / total) if total else math.nan,
            "miou": _mean(columns["IoU"][measured]),
            "dice": _mean(columns["F1"][measured]),
        }
        return Evaluation(scalars, rows, self._confusion(), notes=self._notes(columns["IoU"]))

    def _row(self, index: int, columns: dict[str, NDArray[np.float64]], pixels: int) -> dict[str, Any]:
        figures = {name: float(values[index]) for name, values in columns.items()}
        return {"class": self.classes.names[index], "value": self.classes.values[index], **figures, "pixels": pixels}

    def _background_occurs(self) -> bool:
        return bool(self.counts[0].any() or self.counts[:, 0].any())

    def _confusion(self) -> tuple[list[str], list[list[int]]]:
        shown = [index for index in self.classes.kept if index >= self.classes.first or self._background_occurs()]
        return [self.classes.names[index] for index in shown], self.counts[np.ix_(shown, shown)].tolist()

    def _notes(self, iou: NDArray[np.float64]) -> list[str]:
        classes, notes = self.classes, []
        if not classes.background_named and 0 in classes.kept and self._background_occurs():
            notes.append("Background (value 0) counts in accuracy; it is no class of mean IoU, Dice and the table.")
        absent = [classes.names[index] for index in classes.measured if np.isnan(iou[index])]
        if absent:
            notes.append(f"Neither in the truth nor predicted, so left out of the means: {listed(absent, 20)}.")
        if classes.ignored:
            names = listed((classes.names[index] for index in classes.ignored), 20)
            notes.append(f"Ignored in training and in all figures: {names}.")
        return notes


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(part.shape, math.nan), where=whole > 0)


def _mean(values: NDArray[np.float64]) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else math.nan
