"""Figures of instance masks: those of detectors, with overlaps measured between masks, and the boxes' beside.

Masks are kept as COCO's run lengths, which take a few hundred bytes each however large the image is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipwright.tasks.base import Evaluation
from chipwright.tasks.detection_metrics import (
    DetectionMetrics,
    Floats,
    Image,
    Objects,
    RunLengths,
    between_boxes,
    class_means,
    figure,
    mean_of_known,
)


class InstanceMetrics(DetectionMetrics):
    """What `DetectionMetrics` gives, of masks; and `box_average_precision` and `box_coco_ap` of the boxes around them."""

    truth_keys = ("boxes", "labels", "instances")

    def image(self, truth: dict[str, NDArray[Any]], found: dict[str, NDArray[Any]]) -> Image:
        """Return what is kept of an image.

        Args:
            truth: `instances` (layers, height, width) hold the numbers of the objects, from 1.
            found: `masks` bool (count, height, width).
        """
        image = super().image(truth, found)
        instances, masks = truth["instances"], found["masks"]
        size = instances.shape[-2:]
        outlines = [
            run_lengths((instances[(slice(None), *window)] == number).any(axis=0), window, size)
            for number, window in enumerate(windows(image.truth.boxes, size), 1)
        ]
        found_outlines = [
            run_lengths(mask[window], window, size)
            for mask, window in zip(masks, windows(image.found.boxes, size), strict=True)
        ]
        return Image(replace(image.truth, outlines=outlines), replace(image.found, outlines=found_outlines))

    def overlaps(self, first: Objects, second: Objects) -> Floats:
        """Return the IoU of every mask of `first` with every one of `second` as (first, second)."""
        return mask_overlaps(first.outlines, second.outlines)

    def compute(self) -> Evaluation:
        """Return all figures; `per_class` holds None where a class has no truth."""
        figures = super().compute()
        precision, _ = self.coco(self.measured(between_boxes))
        ap, ap50 = class_means(precision), class_means(precision[:1])
        boxes = {"box_average_precision": mean_of_known(ap50), "box_coco_ap": mean_of_known(ap)}
        rows = [row | {"box_ap50": figure(value)} for row, value in zip(figures.per_class, ap50, strict=True)]
        note = "Overlaps are measured between masks; the figures of boxes are named so."
        return replace(figures, scalars=figures.scalars | boxes, per_class=rows, notes=[note, *figures.notes])


Window = tuple[slice, slice]
"""Rows and columns."""


def windows(boxes: NDArray[Any], size: tuple[int, int]) -> list[Window]:
    """Return the whole pixels that boxes (count, 4) touch in an image of (height, width)."""
    height, width = size
    return [
        (
            slice(max(math.floor(top), 0), min(math.ceil(bottom), height)),
            slice(max(math.floor(left), 0), min(math.ceil(right), width)),
        )
        for left, top, right, bottom in boxes.tolist()
    ]


def run_lengths(
    mask: NDArray[np.bool_], window: Window = (slice(0, None), slice(0, None)), size: tuple[int, int] | None = None
) -> RunLengths:
    """Return a mask as COCO's compressed run lengths, column after column.

    Args:
        mask: bool, of the window alone.
        window: where it lies in the image; beyond it there is nothing.
        size: (height, width) of the image; that of the mask if not given.
    """
    from faster_coco_eval.core.mask import frPyObjects

    height, width = size or mask.shape
    framed = np.zeros((mask.shape[1], mask.shape[0] + 2), np.int8)
    framed[:, 1:-1] = mask.T
    # in each column a run begins where the difference is 1 and has ended where it is -1
    columns, rows = np.nonzero(np.diff(framed, axis=1))
    places = (columns + window[1].start) * height + rows + window[0].start
    joined = np.flatnonzero(places[1:] == places[:-1])  # a run to the foot of a column goes on at the head of the next
    places = np.delete(places, [*joined, *(joined + 1)])
    counts = np.diff(places, prepend=0, append=height * width)
    counts = counts[: len(counts) - (counts[-1] == 0)]
    outline: RunLengths = frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    return outline


def mask_overlaps(first: Sequence[RunLengths], second: Sequence[RunLengths]) -> Floats:
    """Return the IoU of every mask of `first` with every one of `second` as (first, second)."""
    from faster_coco_eval.core.mask import iou

    if not len(first) or not len(second):
        return np.zeros((len(first), len(second)))
    return np.asarray(iou(list(first), list(second), [0] * len(second)), np.float64)
