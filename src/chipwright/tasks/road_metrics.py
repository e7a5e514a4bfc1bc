"""Figures of road extraction: areas with and without a tolerance, and the lengths of ways along the roads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from chipwright.roads.apls import SNAP, SPACING, apls
from chipwright.roads.graph import measured_graph
from chipwright.tasks.base import Batch, Evaluation
from chipwright.tasks.binary import BinaryMetrics
from chipwright.tasks.pixel_classes import PixelClasses
from chipwright.tasks.pixel_metrics import PixelMetrics

BUFFER = 4.0
"""Pixels that a road may be off in relaxed IoU."""

MOST_CHIPS = 500
"""Chips, in each process, whose road graphs are compared: a chip takes about 50 ms."""


class RoadMetrics(BinaryMetrics):
    """IoU, relaxed IoU and APLS of roads; accuracy, mean IoU of road and background, Dice, precision and recall.

    Predictions are road masks (height, width) of 0 and 1, one a sample; the truth is `batch["mask"]`.

    APLS is the mean over the chips with a road in truth or prediction (see `chipwright.roads.apls`).
    """

    def __init__(self, classes: PixelClasses) -> None:
        super().__init__(classes)
        self.relaxed: NDArray[np.int64] = np.zeros(3, np.int64)
        self.similarities: list[float] = []
        self.chips = 0

    def update(self, predictions: Sequence[Tensor], batch: Batch) -> None:
        """Take in one batch."""
        super().update(predictions, batch)
        for prediction, mask in zip(predictions, batch["mask"], strict=True):
            truth = mask.cpu().numpy()
            true, found = truth == 1, (prediction.numpy() == 1) & (truth >= 0)
            self.relaxed += relaxed_counts(true, found)
            self.chips += 1
            if self.chips <= MOST_CHIPS:
                self.similarities.append(apls(measured_graph(true), measured_graph(found)))

    def merge(self, other: PixelMetrics) -> None:  # type: ignore[override]
        """Take in what another process counted."""
        super().merge(other)
        assert isinstance(other, RoadMetrics)
        self.relaxed = self.relaxed + other.relaxed
        self.similarities += other.similarities
        self.chips += other.chips

    def compute(self) -> Evaluation:
        """Return the figures; NaN where there is no road in truth and prediction."""
        whole = super().compute()
        given = whole.scalars
        hits = np.diag(self.counts)
        unions = self.counts.sum(0) + self.counts.sum(1) - hits
        known = [value for value in self.similarities if not math.isnan(value)]
        scalars = {
            "iou": given["iou"],
            "relaxed_iou": float(self.relaxed[0] / self.relaxed.sum()) if self.relaxed.sum() else math.nan,
            "apls": math.fsum(known) / len(known) if known else math.nan,
            "accuracy": given["accuracy"],
            "miou": float(np.mean([hit / union for hit, union in zip(hits, unions, strict=True) if union] or [math.nan])),
            "dice": given["f1"],
            "precision": given["precision"],
            "recall": given["recall"],
        }
        return Evaluation(scalars, whole.per_class, whole.confusion, notes=self._about())

    def _about(self) -> list[str]:
        notes = [
            f"Relaxed IoU takes a road pixel for right within {BUFFER:g} pixels. APLS compares shortest ways between points "
            f"{SPACING:g} pixels apart on the roads' centre lines, looked up within {SNAP:g} pixels on the other side; a "
            "chip counts as 0 where one side has no road."
        ]
        if self.chips > len(self.similarities):
            notes.append(f"APLS is that of {len(self.similarities):,} of the {self.chips:,} chips.")
        return notes


def relaxed_counts(true: NDArray[Any], found: NDArray[Any], buffer: float = BUFFER) -> NDArray[np.int64]:
    """Return int64 (3,) of road pixels (height, width, bool) found within `buffer` of true ones, found elsewhere, and missed.

    Missed are true pixels farther than `buffer` from any that was found. Relaxed IoU is the first over all three (after Mnih &
    Hinton 2010).
    """
    right = int((found & _near(true, buffer)).sum())
    missed = int((true & ~_near(found, buffer)).sum())
    return np.array([right, int(found.sum()) - right, missed], np.int64)


def _near(pixels: NDArray[Any], reach: float) -> NDArray[np.bool_]:
    return np.asarray(ndimage.distance_transform_edt(~pixels) <= reach) if pixels.any() else np.zeros(pixels.shape, bool)
