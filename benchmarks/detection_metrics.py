"""Seconds that the figures of a detector take: 500 chips with 100 boxes each, found with some error.

python benchmarks/detection_metrics.py --classes 1 3
"""

from __future__ import annotations

import time

import numpy as np
from common import arguments, show

from chipwright.chips.chipset import ClassInfo
from chipwright.tasks.detection_metrics import DetectionMetrics

AIM = 1.0
"""Seconds on one idle core."""


def filled(chips: int, boxes: int, classes: int) -> DetectionMetrics:
    """Return metrics that have taken in chips with boxes, all found, a tenth under another class."""
    rng = np.random.default_rng(0)
    names = [ClassInfo(value=value, name=f"class {value}", color=(0, 0, 0)) for value in range(1, classes + 1)]
    metrics = DetectionMetrics(names, boxes)
    for _ in range(chips):
        corners, sides = rng.uniform(0, 900, (boxes, 2)), rng.uniform(10, 90, (boxes, 2))
        truth, labels = np.concatenate([corners, corners + sides], 1), rng.integers(1, classes + 1, boxes)
        found = {
            "boxes": truth + rng.normal(0, 6, truth.shape),
            "labels": np.where(rng.random(boxes) < 0.9, labels, rng.integers(1, classes + 1, boxes)),
            "scores": rng.random(boxes),
        }
        metrics.update([found], {"boxes": [truth], "labels": [labels]})
    return metrics


def main() -> None:
    """Print the seconds of wall and processor time, the least of several rounds."""
    options = arguments(__doc__.splitlines()[0], chips=500, boxes=100, classes=[1, 3], rounds=5, out="")
    rows = []
    for classes in options.classes:
        metrics = filled(options.chips, options.boxes, classes)
        wall, processor = [], []
        for _ in range(options.rounds):
            started, used = time.perf_counter(), time.process_time()
            metrics.compute()
            wall.append(time.perf_counter() - started)
            processor.append(time.process_time() - used)
        rows.append(
            {"classes": classes, "seconds": f"{min(wall):.2f}", "processor seconds": f"{min(processor):.2f}", "aim": AIM}
        )
    show(f"Detection metrics, {options.chips} chips with {options.boxes} boxes", rows, options.out)


if __name__ == "__main__":
    main()
