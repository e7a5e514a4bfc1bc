"""Seconds that the figures of a detector take: of 500 chips with 100 boxes each, found with some error, and of 300 masks.

python benchmarks/detection_metrics.py --classes 1 3
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from common import arguments, show

from chipwright.chips.chipset import ClassInfo
from chipwright.tasks.detection_metrics import DetectionMetrics
from chipwright.tasks.instance_metrics import InstanceMetrics

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


def masks_taken_in(size: int, count: int) -> Callable[[], None]:
    """Return what takes in one chip of `size` pixels a side with small objects, all found, by their masks."""
    corners = np.random.default_rng(0).integers(0, size - 30, (count, 2))
    boxes = np.concatenate([corners, corners + 25], 1).astype(np.float32)
    masks = np.zeros((count, size, size), bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.astype(int), strict=True):
        mask[top:bottom, left:right] = True
    labels = np.ones(count, np.int64)
    batch = {"boxes": [boxes], "labels": [labels], "instances": [np.zeros((1, size, size), np.int32)]}
    found = {"boxes": boxes, "labels": labels, "scores": np.linspace(1, 0, count), "masks": masks}
    classes = [ClassInfo(value=1, name="class 1", color=(0, 0, 0))]
    return lambda: InstanceMetrics(classes).update([found], batch)


def least(run: Callable[[], Any], rounds: int) -> dict[str, str]:
    """Return the least seconds of wall and processor time of several rounds."""
    wall, processor = [], []
    for _ in range(rounds):
        started, used = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    return {"seconds": f"{min(wall):.2f}", "processor seconds": f"{min(processor):.2f}", "aim": f"{AIM}"}


def main() -> None:
    """Print the seconds of wall and processor time, the least of several rounds."""
    options = arguments(__doc__.splitlines()[0], chips=500, boxes=100, classes=[1, 3], rounds=5, out="")
    rows = [
        {"classes": str(classes)} | least(filled(options.chips, options.boxes, classes).compute, options.rounds)
        for classes in options.classes
    ]
    rows.append({"classes": "300 masks of 1024 x 1024 pixels"} | least(masks_taken_in(1024, 300), options.rounds))
    show(f"Detection metrics, {options.chips} chips with {options.boxes} boxes", rows, options.out)


if __name__ == "__main__":
    main()
