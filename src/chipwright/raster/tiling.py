"""Which tiles an export cuts: a grid of them, or one around each feature; turned copies; inside an area of interest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from chipwright.errors import DataError
from chipwright.raster.features import Features
from chipwright.raster.grid import Grid, Tile

_SLACK = 1e-6
"""Pixels by which a tile may stick out of an area and still count as inside."""


def grid_tiles(grid: Grid, size: tuple[int, int], stride: tuple[int, int]) -> Iterator[Tile]:
    """Yield tiles of `size` (width, height) every `stride` (x, y) pixels, row by row from the top left.

    Tiles that would leave the raster at its right or lower edge are moved inward, so that none is padded.
    """
    for row in _starts(grid.height, size[1], stride[1]):
        for column in _starts(grid.width, size[0], stride[0]):
            yield Tile.at(column, row, *size)


def grid_count(grid: Grid, size: tuple[int, int], stride: tuple[int, int]) -> int:
    """Return how many tiles `grid_tiles` yields."""
    return len(_starts(grid.width, size[0], stride[0])) * len(_starts(grid.height, size[1], stride[1]))


def feature_tiles(grid: Grid, size: tuple[int, int], features: Features, whole: bool) -> Iterator[Tile]:
    """Yield a tile for each feature: of `size` with the feature in its centre, or, if `whole`, just as large as the feature.

    Tiles stay within the raster: at its edges the feature is not in the centre.
    """
    for index, (left, top, right, bottom) in enumerate(shapely.bounds(features.shapes).tolist()):
        if whole:
            first = max(0, math.floor(left + _SLACK)), max(0, math.floor(top + _SLACK))
            last = min(grid.width, math.ceil(right - _SLACK)), min(grid.height, math.ceil(bottom - _SLACK))
            if last[0] > first[0] and last[1] > first[1]:
                yield Tile.at(*first, last[0] - first[0], last[1] - first[1], index)
            continue
        column, row = round((left + right - size[0]) / 2), round((top + bottom - size[1]) / 2)
        column, row = min(max(column, 0), grid.width - size[0]), min(max(row, 0), grid.height - size[1])
        yield Tile.at(column, row, *size, index)


def turns(angle: float) -> Sequence[float]:
    """Return the angles in degrees at which each tile is cut: 0, the angle and its multiples below 360."""
    return [0.0] if angle == 0 else np.arange(0, 360 - 1e-9, angle).tolist()


def check_size(grid: Grid, size: tuple[int, int], name: str) -> None:
    """Raise `DataError` if a raster is smaller than one tile."""
    if grid.width < size[0] or grid.height < size[1]:
        raise DataError(
            f"{name} has {grid.width} x {grid.height} pixels, less than a tile of {size[0]} x {size[1]}. Choose smaller tiles."
        )


class Area:
    """The ground in which tiles may lie: the raster, and the polygons of a mask if there are any."""

    def __init__(self, grid: Grid, mask: Features | None) -> None:
        inside: BaseGeometry = grid.footprint
        if mask is not None:
            inside = shapely.intersection(inside, shapely.union_all(mask.shapes))
        self._inside = shapely.buffer(inside, _SLACK)
        self._upright_everywhere = mask is None
        shapely.prepare(self._inside)

    def holds(self, tile: Tile) -> bool:
        """Return whether a tile lies completely within."""
        if self._upright_everywhere and tile.window is not None:
            return True
        return bool(shapely.covers(self._inside, tile.footprint))


def _starts(length: int, tile: int, stride: int) -> list[int]:
    starts = list(range(0, length - tile + 1, stride))
    return starts if starts[-1] == length - tile else [*starts, length - tile]
