"""Anchor boxes as plain arrays: how well they fit the boxes of a training set, and sizes that fit better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATIOS = (0.5, 1.0, 2.0)
"""Heights over widths of the anchors at every place (Ren et al. 2015, 1506.01497)."""

SIZE_PER_STRIDE = 8.0
"""Side of a level's square anchor over the level's stride: 32 px at stride 4 to 512 px at stride 64 (Lin et al. 2017)."""

_MOST_BOXES = 20_000
_FINEST_SIZES = tuple(4.0 * 2 ** (step / 4) for step in range(17))
_STEPS = (2**0.5, 2.0)


def default_sizes(strides: Sequence[int], per_stride: float = SIZE_PER_STRIDE) -> tuple[float, ...]:
    """Return the usual anchor side for levels of these strides; torchvision's Faster R-CNN's if `per_stride` is not given."""
    return tuple(per_stride * stride for stride in strides)


def level_sizes(
    strides: Sequence[int], anchor_sizes: Sequence[float] | None, finest: int = 4, per_stride: float = SIZE_PER_STRIDE
) -> tuple[float, ...]:
    """Return the anchor side of every level from sides given for strides `finest`, twice that, ..., or the usual ones.

    Levels beyond the last side given go on in its proportion to the stride.
    """
    if not anchor_sizes:
        return default_sizes(strides, per_stride)
    last = len(anchor_sizes) - 1
    places = [max(0, round(math.log2(stride / finest))) for stride in strides]
    return tuple(anchor_sizes[min(place, last)] * 2.0 ** max(0, place - last) for place in places)


def best_overlaps(
    boxes: NDArray[Any], sizes: Sequence[float], strides: Sequence[int], ratios: Sequence[float] = RATIOS
) -> NDArray[np.float64]:
    """Return for every box (count, 4) the IoU of the anchor that overlaps it most, where the grid puts it.

    Anchors are torchvision's: centred on the cells' upper left corners, half sides rounded to whole pixels.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    best = np.zeros(len(boxes))
    centers, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    for (size, stride), ratio in product(zip(sizes, strides, strict=True), ratios):
        half = np.round(np.array([size / ratio**0.5, size * ratio**0.5]) / 2)
        offset = np.abs(centers - np.round(centers / stride) * stride)
        shared = np.clip(np.minimum(sides / 2, offset + half) - np.maximum(-sides / 2, offset - half), 0, None).prod(1)
        union = sides.prod(1) + 4 * half.prod() - shared
        np.maximum(best, np.divide(shared, union, out=np.zeros(len(boxes)), where=union > 0), out=best)
    return best


@dataclass(frozen=True)
class AnchorFit:
    """Anchor sides that suit a set of boxes, fine to coarse, and the median best IoU before and after."""

    sizes: tuple[float, ...]
    before: float
    after: float


def fit_sizes(
    boxes: NDArray[Any],
    strides: Sequence[int],
    ratios: Sequence[float] = RATIOS,
    scales: Sequence[float] = (1.0,),
    per_stride: float = SIZE_PER_STRIDE,
) -> AnchorFit | None:
    """Return anchor sides fitted to boxes (count, 4), or None where the usual ones match them well.

    They match well when both the median box and half of all boxes reach an IoU of 0.5 with some anchor. Otherwise sides rise
    geometrically from a finest one, both chosen for the highest mean IoU. The search is exhaustive: no chance is in it.

    Args:
        boxes: in pixels.
        strides: of the levels, each of which has one side.
        ratios: heights over widths of a place's anchors.
        scales: a place's anchors have a level's side times each of these.
        per_stride: the usual side over the stride.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    if not len(boxes):
        return None
    boxes = boxes[:: -(-len(boxes) // _MOST_BOXES)]

    def overlaps(sides: Sequence[float]) -> NDArray[np.float64]:
        scaled = [side * scale for side in sides for scale in scales]
        return best_overlaps(boxes, scaled, np.repeat(strides, len(scales)).tolist(), ratios)

    before = overlaps(default_sizes(strides, per_stride))
    if np.median(before) >= 0.5:
        return None

    def rising(finest: float, step: float) -> tuple[float, ...]:
        return tuple(2.0 * max(1, round(finest * step**level / 2)) for level in range(len(strides)))

    candidates = dict.fromkeys(rising(finest, step) for step, finest in product(_STEPS, _FINEST_SIZES))
    best = max(candidates, key=lambda sides: float(overlaps(sides).mean()))
    after = overlaps(best)
    if after.mean() < before.mean() + 0.05:
        return None
    return AnchorFit(best, float(np.median(before)), float(np.median(after)))
