"""The pixel grid of a raster, and tiles cut from it: upright ones at whole pixels, turned ones anywhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from rasterio.crs import CRS
from rasterio.transform import Affine
from shapely.geometry.base import BaseGeometry

from chipwright.chips.chipset import GeoReference
from chipwright.errors import OptionError

_SAME = 1e-3
"""Pixels by which grids may differ and still be the same."""


@dataclass(frozen=True)
class Grid:
    """Where a raster's pixels lie.

    Attributes:
        transform: from pixels (column, row) to map units.
        crs: reference system, if known.
        width, height: in pixels.
    """

    transform: Affine
    crs: CRS | None
    width: int
    height: int

    @property
    def cell(self) -> tuple[float, float]:
        """Return the (x, y) size of a pixel in map units, whatever its rotation."""
        return math.hypot(self.transform.a, self.transform.d), math.hypot(self.transform.b, self.transform.e)

    @property
    def located(self) -> bool:
        """Return whether anything says where the raster lies."""
        return self.crs is not None or not self.transform.almost_equals(Affine.identity())

    @property
    def footprint(self) -> BaseGeometry:
        """Return the outline in pixels."""
        return shapely.box(0, 0, self.width, self.height)

    def on_map(self, shapes: Any) -> Any:
        """Return geometries, or an array of them, from this raster's pixels in map units.

        Without a georeference rows count downwards from zero, as GIS programs show a picture.
        """
        matrix = self.transform if self.located else Affine.scale(1, -1)
        a, b, c, d, e, f = tuple(matrix)[:6]
        linear, shift = np.array([[a, d], [b, e]]), np.array([c, f])
        return shapely.transform(shapes, lambda points: points @ linear + shift)

    def with_cell_size(self, cell_size: float) -> Grid:
        """Return the grid of the same ground with square cells of `cell_size` map units.

        Raises:
            OptionError: if not one cell of that size fits onto the ground.
        """
        x, y = (cell_size / side for side in self.cell)
        width, height = math.floor(self.width / x + _SAME), math.floor(self.height / y + _SAME)
        if not width or not height:
            sides = " x ".join(f"{count * side:.4g}" for count, side in zip((self.width, self.height), self.cell, strict=True))
            raise OptionError(f"Cells of {cell_size:g} map units are larger than the raster, which has {sides}.")
        return Grid(self.transform * Affine.scale(x, y), self.crs, width, height)

    def offset_in(self, other: Grid) -> tuple[int, int] | None:
        """Return the (column, row) in `other` of this grid's first pixel, or None where pixels do not fall on pixels."""
        if self.crs != other.crs:
            return None
        placed = ~other.transform * self.transform
        column, row = round(placed.c), round(placed.f)
        reach = max(self.width, self.height)
        scaled = abs(placed.a - 1), abs(placed.e - 1), abs(placed.b), abs(placed.d)
        moved = abs(placed.c - column), abs(placed.f - row)
        return (column, row) if max(moved) < _SAME and max(scaled) * reach < _SAME else None


@dataclass(frozen=True)
class Tile:
    """A chip-to-be.

    Attributes:
        matrix: from the tile's pixels to the raster's pixels.
        width, height: in pixels.
        feature: index of the feature that it was cut for, where tiles are cut for features.
    """

    matrix: Affine
    width: int
    height: int
    feature: int | None = None

    @classmethod
    def at(cls, column: int, row: int, width: int, height: int, feature: int | None = None) -> Tile:
        """Return the upright tile whose first pixel is the raster's (column, row)."""
        return cls(Affine.translation(column, row), width, height, feature)

    @property
    def window(self) -> tuple[int, int, int, int] | None:
        """Return (column, row, width, height) of an upright tile, None of a turned one."""
        m = self.matrix
        return (int(m.c), int(m.f), self.width, self.height) if (m.a, m.b, m.d, m.e) == (1, 0, 0, 1) else None

    @property
    def footprint(self) -> BaseGeometry:
        """Return the outline in the raster's pixels."""
        corners = [(0, 0), (self.width, 0), (self.width, self.height), (0, self.height)]
        return shapely.Polygon([self.matrix * corner for corner in corners])

    def turned(self, degrees: float) -> Tile:
        """Return the tile turned about its centre."""
        if degrees % 360 == 0:
            return self
        middle = self.width / 2, self.height / 2
        matrix = (
            self.matrix * Affine.translation(*middle) * Affine.rotation(degrees) * Affine.translation(-middle[0], -middle[1])
        )
        return Tile(matrix, self.width, self.height, self.feature)

    def seen(self, geometries: Any) -> Any:
        """Return a geometry, or an array of them, in the raster's pixels as they lie in the tile's pixels."""
        inverse = ~self.matrix
        a, b, c, d, e, f = tuple(inverse)[:6]
        linear, shift = np.array([[a, d], [b, e]]), np.array([c, f])
        return shapely.transform(geometries, lambda points: points @ linear + shift)

    def georeference(self, grid: Grid) -> GeoReference | None:
        """Return where the tile lies, None where its raster does not say."""
        if not grid.located:
            return None
        transform = tuple(grid.transform * self.matrix)[:6]
        return GeoReference(transform, grid.crs.to_string() if grid.crs else None, self.width, self.height)
