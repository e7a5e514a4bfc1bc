"""Pixel classification with one class beside the background: changed ground, edges, roads.

A prediction is a map of 0 and 1 (height, width), uint8, on the CPU, as that of any pixel classification.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipwright.chips.chipset import IGNORE
from chipwright.chips.display import Panel
from chipwright.tasks.base import Evaluation
from chipwright.tasks.pixel_metrics import PixelMetrics

ERROR_COLORS = ((255, 255, 255), (230, 60, 60), (60, 120, 255))
"""Of what is found, missed and false, told apart by people who cannot tell red from green as well."""

ERROR_NAMES = "white found, red missed, blue false"


class BinaryMetrics(PixelMetrics):
    """Precision, recall, F1 and IoU of the one class, and accuracy over all labelled pixels."""

    def compute(self) -> Evaluation:
        """Return the figures; NaN where the class does not occur."""
        whole = super().compute()
        row = next(row for row in whole.per_class if row["class"] == self.classes.names[-1])
        scalars = {  # the line of an epoch shows the first three
            "f1": row["F1"],
            "precision": row["precision"],
            "recall": row["recall"],
            "iou": row["IoU"],
            "accuracy": whole.scalars["accuracy"],
        }
        return Evaluation(scalars, whole.per_class, whole.confusion, notes=[])


def error_panel(title: str, image: NDArray[np.uint8], truth: NDArray[Any], found: NDArray[Any]) -> Panel:
    """Return a picture of what was found, missed and found falsely.

    Args:
        title: of the panel.
        image: (height, width, 3) that it lies over.
        truth: (height, width) of 0, 1 and `IGNORE`.
        found: bool (height, width).
    """
    true = truth == 1
    errors = np.full(truth.shape, IGNORE, np.int16)
    errors[true & found] = 0
    errors[true & ~found] = 1
    errors[(truth == 0) & found] = 2
    hits, all_true, all_found = (int(np.count_nonzero(part)) for part in (true & found, true, found & (truth >= 0)))
    text = (
        f"F1 {2 * hits / (all_true + all_found):.2f}; {ERROR_NAMES}" if all_true + all_found else "nothing there, nothing found"
    )
    return Panel(title, image, classes=errors, palette=ERROR_COLORS, text=text)
