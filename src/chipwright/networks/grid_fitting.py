"""Grids and anchors of SSD that suit the boxes of a training set, as plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipwright.networks.anchor_shapes import cluster_shapes, shape_overlaps

Ratios = tuple[tuple[float, float], ...]
"""Width and height of a cell's anchors over the cell's, times the zoom."""

SQUARE: Ratios = ((1.0, 1.0),)
"""The usual ratios: one anchor, as wide and as high as its cell times the zoom."""

WORTH_IT = 0.05
"""Mean IoU that one more grid, or anchors of other ratios, must gain."""

_MOST_GRIDS = 4
_ALIKE = 1.2
"""Grids whose cells differ by less than this factor are one."""
_SMALLEST_CELL = 4.0
_LARGEST_GRID = 128
_LENGTHS = (2.0, 3.0, 5.0)


def pick_grids(boxes: NDArray[Any], chip_size: tuple[int, int], cell: float = 1.0) -> tuple[int, ...]:
    """Return two to four grids, fine to coarse, for the sizes that boxes (count, 4) mostly have.

    Box sizes are clustered (k-means by IoU); a third and a fourth cluster are taken where each gains a mean IoU of 0.05. A
    grid has as many cells along a side as make them the share `cell` of its cluster's mean box. Sizes too alike for two give
    one.

    Args:
        boxes: in pixels.
        chip_size: width and height of the chips trained on, in pixels.
        cell: side of a cell over that of its cluster's boxes.
    """
    sizes = _sizes(boxes)
    centers, gained = sizes.mean(0, keepdims=True), 0.0
    for count in range(2, _MOST_GRIDS + 1):
        found = cluster_shapes(sizes, count)
        if found is None:
            break
        mean = float(shape_overlaps(sizes, found).max(1).mean())
        if count > 2 and mean < gained + WORTH_IT:
            break
        centers, gained = found, mean
    side = np.sqrt(np.prod(chip_size))
    most = min(_LARGEST_GRID, int(min(chip_size) / _SMALLEST_CELL))
    grids = np.clip(np.round(side / cell / np.sqrt(centers.prod(1))), 1, max(1, most)).astype(int)
    kept: list[int] = []
    for grid in sorted({int(grid) for grid in grids}, reverse=True):
        if not kept or grid < kept[-1] / _ALIKE:  # long and tall boxes of one area make two clusters of one size
            kept.append(grid)
    return tuple(kept)


def grid_cells(grids: Sequence[int], chip_size: tuple[int, int]) -> list[tuple[float, float]]:
    """Return width and height in pixels of each grid's cells: 4 means 4 x 4 of them over a chip of (width, height)."""
    return [(chip_size[0] / grid, chip_size[1] / grid) for grid in grids]


def anchor_overlaps(
    boxes: NDArray[Any],
    cells: Sequence[tuple[float, float]],
    zooms: Sequence[float],
    ratios: Sequence[tuple[float, float]],
) -> NDArray[np.float64]:
    """Return for every box (count, 4) the IoU of the anchor that is most of its size, laid in the box's centre."""
    shapes = [(zoom * ratio[0] * cell[0], zoom * ratio[1] * cell[1]) for cell, zoom, ratio in product(cells, zooms, ratios)]
    best: NDArray[np.float64] = shape_overlaps(_sizes(boxes), np.array(shapes)).max(1)
    return best


def pick_ratios(boxes: NDArray[Any], cells: Sequence[tuple[float, float]], zooms: Sequence[float]) -> Ratios:
    """Return ratios for elongated boxes, upright and lying anchors beside the square one, or `SQUARE` where that does.

    It does where the median box has an IoU of 0.5 with an anchor of its size, or where others gain less than 0.05 in the
    mean. Others keep the square anchor's area.
    """

    def overlaps(ratios: Ratios) -> NDArray[np.float64]:
        return anchor_overlaps(boxes, cells, zooms, ratios)

    square = overlaps(SQUARE)
    if np.median(square) >= 0.5:
        return SQUARE
    candidates: list[Ratios] = [(*SQUARE, (length**0.5, length**-0.5), (length**-0.5, length**0.5)) for length in _LENGTHS]
    best = max(candidates, key=lambda ratios: float(overlaps(ratios).mean()))
    return best if overlaps(best).mean() >= square.mean() + WORTH_IT else SQUARE


def out_of_reach(
    boxes: NDArray[Any],
    cells: Sequence[tuple[float, float]],
    zooms: Sequence[float],
    ratios: Sequence[tuple[float, float]],
) -> float:
    """Return the share of boxes that no anchor can become: their sides are not 0.5 to 1.5 times those of any."""
    shapes = np.array([(z * r[0] * c[0], z * r[1] * c[1]) for c, z, r in product(cells, zooms, ratios)])
    factors = _sizes(boxes)[:, None] / shapes[None]
    return float(1 - ((factors >= 0.5) & (factors <= 1.5)).all(2).any(1).mean())


def _sizes(boxes: NDArray[Any]) -> NDArray[np.float64]:
    """Return widths and heights (count, 2) in pixels, none below one."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    return np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0)
