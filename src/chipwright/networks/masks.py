"""Masks within boxes: what a mask head learns from, and how the masks that it makes come back into the image.

Both take pixel i of a row to lie at the coordinate i, as torchvision's training targets do. torchvision's way back does not:
it moves boxes to whole pixels and makes them a pixel larger, which for objects of 20 pixels costs a tenth of the overlap with
the truth, however good the mask. Here the way back is the inverse of the way in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import roi_align

_MOST_PIXELS = 2**22
"""Pixels of masks that are held as floats at a time."""

LEVEL = 0.5
"""Least probability of a pixel of the object."""


def separated(instances: Tensor, count: int) -> Tensor:
    """Return the masks of the objects 1 to `count` as bool (count, height, width).

    Args:
        instances: whole numbers (layers, height, width), the number of the object that a pixel belongs to, 0 for none.
    """
    numbers = torch.arange(1, count + 1, device=instances.device, dtype=instances.dtype)[:, None, None]
    masks = torch.zeros((count, *instances.shape[1:]), dtype=torch.bool, device=instances.device)
    for layer in instances:
        masks |= layer == numbers
    return masks


def mask_targets(masks: Tensor, boxes: Tensor, matched: Tensor, size: int) -> Tensor:
    """Return the part of a mask within each box as float32 (boxes, size, size): how much of a cell the object covers.

    The figures are torchvision's, but only the masks of a few boxes at a time become floats.

    Args:
        masks: bool (count, height, width).
        boxes: (boxes, 4) in pixels.
        matched: (boxes,) the mask of each.
    """
    targets = boxes.new_zeros((len(boxes), size, size), dtype=torch.float32)
    for some in _slices(len(boxes), max(1, _MOST_PIXELS // max(1, math.prod(masks.shape[1:])))):
        own = masks[matched[some]][:, None].float()
        places = torch.arange(len(own), device=own.device, dtype=torch.float32)[:, None]
        targets[some] = roi_align(own, torch.cat([places, boxes[some].float()], 1), size)[:, 0]
    return targets


def _slices(count: int, length: int) -> Iterator[slice]:
    return (slice(start, start + length) for start in range(0, count, length))


def sampled_masks(masks: Tensor, matched: Tensor, points: Tensor) -> Tensor:
    """Return the masks' values at points as float32 (boxes, points), interpolated between pixels and 0 beyond the image.

    Args:
        masks: bool (count, height, width).
        matched: (boxes,) the mask of each box.
        points: (boxes, points, 2) as x and y, in the coordinates of the masks' pixels.
    """
    height, width = masks.shape[1:]
    low = points.floor()
    share = points - low
    values = points.new_zeros(points.shape[:2], dtype=torch.float32)
    for right, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
        x, y = low[..., 0].long() + right, low[..., 1].long() + down
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        corner = masks[matched[:, None], y.clamp(0, height - 1), x.clamp(0, width - 1)] & inside
        across, along = (abs(1 - step - share[..., axis]) for axis, step in enumerate((right, down)))
        values += corner * across * along
    return values


def pasted(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return masks as they lie in the image: bool (count, height, width), true where the probability reaches `LEVEL`.

    Nothing lies outside the boxes. Works on the CPU.

    Args:
        masks: probabilities (count, side, side) of equal cells of the boxes.
        boxes: (count, 4) in pixels.
        size: (height, width) of the image.
    """
    height, width = size
    whole = np.zeros((len(masks), height, width), bool)
    for place, mask, box in zip(whole, masks.detach().float().numpy(), boxes.tolist(), strict=True):
        rows, down = _cells(box[1], box[3], height, len(mask))
        columns, across = _cells(box[0], box[2], width, len(mask))
        place[rows, columns] = _interpolated(_interpolated(mask, down).T, across).T >= LEVEL
    return torch.from_numpy(whole)


def _cells(low: float, high: float, limit: int, side: int) -> tuple[slice, NDArray[np.float32]]:
    """Return the pixels whose middle lies between `low` and `high`, at least one, and where each lies among the box's cells."""
    first, last = math.ceil(low - 0.5), math.floor(high - 0.5)
    if first > last:
        first = last = math.floor((low + high) / 2)
    first, last = max(first, 0), min(last, limit - 1)
    at = (np.arange(first, last + 1) - low) * (side / max(high - low, 1e-6)) - 0.5
    return slice(first, last + 1), np.clip(at, 0, side - 1).astype(np.float32)


def _interpolated(rows: NDArray[np.float32], at: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows at fractional places."""
    below = at.astype(np.intp)
    share = (at - below)[:, None]
    mixed: NDArray[np.float32] = rows[below] * (1 - share) + rows[np.minimum(below + 1, len(rows) - 1)] * share
    return mixed
