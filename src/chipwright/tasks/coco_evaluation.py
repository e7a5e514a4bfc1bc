"""COCO's precision and recall by faster-coco-eval, handed arrays and overlaps instead of a file's worth of annotations.

Building annotations and indices for COCO's own interface takes longer than the evaluation itself. What overlaps are measured
of, boxes or masks, makes no difference here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_coco_eval import COCOeval_faster
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Compared:
    """An image's truth (t) and detections (d), these in falling order of score; labels from 1.

    Attributes:
        labels: of the truth, (t,).
        found_labels, scores: of the detections, (d,).
        overlaps: IoU of every detection with every truth, (d, t).
    """

    labels: Labels
    found_labels: Labels
    scores: Floats
    overlaps: Floats


def precision_and_recall(images: Sequence[Compared], classes: int, max_detections: int) -> tuple[Floats, Floats]:
    """Return precision (10 IoUs from 0.5 to 0.95, 101 recalls, classes) and recall (10 IoUs, classes); -1 where undefined.

    Of an image's detections the `max_detections` best of each class count.
    """
    evaluation = _Evaluation(images, classes, max_detections)
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval["precision"][:, :, :, 0, 0], evaluation.eval["recall"][:, :, 0, 0]


class _Evaluation(COCOeval_faster):
    """The evaluation with its two inputs, annotations and overlaps, put in their place directly."""

    def __init__(self, images: Sequence[Compared], classes: int, max_detections: int) -> None:
        super().__init__(None, None, "bbox")
        self.images = images
        self.params.imgIds = list(range(1, len(images) + 1))
        self.params.catIds = list(range(1, classes + 1))
        self.params.areaRng, self.params.areaRngLbl = [[0, 1e10]], ["all"]
        self.params.maxDets = [max_detections]

    def _prepare(self) -> None:
        """Fill the data sets. Ids count from 1: there 0 means "not matched"."""
        numbered = 0
        for number, image in enumerate(self.images, 1):
            for id_, label in enumerate(image.labels.tolist(), numbered + 1):
                self.gt_dataset.append_ref(number, label, {"id": id_, "area": 1.0, "iscrowd": 0, "ignore": 0})
            numbered += len(image.labels)
        numbered = 0
        for number, image in enumerate(self.images, 1):
            ranked = zip(image.found_labels.tolist(), image.scores.tolist(), strict=True)
            for id_, (label, score) in enumerate(ranked, numbered + 1):
                self.dt_dataset.append_ref(number, label, {"id": id_, "area": 1.0, "score": score})
            numbered += len(image.scores)

    def computeIoU(self, imgId: int, catId: int) -> Any:  # noqa: N802, N803
        """Return the overlaps of an image's detections of a class, best first, with its truth of that class."""
        image = self.images[imgId - 1]
        found = np.flatnonzero(image.found_labels == catId)[: self.params.maxDets[-1]]
        truth = np.flatnonzero(image.labels == catId)
        return image.overlaps[np.ix_(found, truth)] if len(found) and len(truth) else []
