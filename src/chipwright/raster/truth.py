"""What is true of a tile, from polygons or from a raster of class values: its pixels, objects and classes."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy.ndimage import find_objects, label
from shapely.geometry.base import BaseGeometry

from chipwright.chips.chipset import BACKGROUND, ClassInfo
from chipwright.chips.reading import representable, whole_numbers
from chipwright.chips.writers.new_chip import NewObject
from chipwright.chips.writers.rasters import label_type
from chipwright.raster.features import Features
from chipwright.raster.grid import Tile
from chipwright.raster.imagery import Imagery

_LEAST = 1.0
"""Pixels: an object of which less shows, in width or height, is left out of the chip, as the readers would do."""

_MARGIN = 2.0
"""Pixels around a tile to which large polygons are cut before they are drawn."""

_MANY = 2000
"""Vertices from which on cutting a polygon costs less than drawing all of it."""


class Truth(Protocol):
    """Labels of tiles.

    Attributes:
        classes: sorted by value.
    """

    classes: tuple[ClassInfo, ...]

    def pixels(self, tile: Tile) -> NDArray[Any]:
        """Return the class value of each pixel as (height, width), 0 where there is none."""
        ...

    def objects(self, tile: Tile, masks: bool) -> tuple[NewObject, ...]:
        """Return the objects as far as they show in the tile; with their masks if asked for."""
        ...

    def values(self, tile: Tile) -> tuple[int, ...]:
        """Return the classes that show in the tile, sorted."""
        ...


class PolygonTruth:
    """Labels drawn as polygons.

    Args:
        features: on the pixel grid of the imagery.
        least_share: of an object's area that must lie in a tile for the object to belong to it.
    """

    def __init__(self, features: Features, least_share: float = 0.0) -> None:
        self.features = features
        self.classes = features.classes
        self.least_share = least_share
        self._type = label_type([info.value for info in features.classes])

    def pixels(self, tile: Tile) -> NDArray[Any]:
        """Return class values; where polygons overlap the later feature is on top. A pixel is what its centre lies in."""
        near = self.features.near(tile)
        shapes = tile.seen(self.features.shapes[near])
        large = shapely.get_num_coordinates(shapes) >= _MANY
        frame = -_MARGIN, -_MARGIN, tile.width + _MARGIN, tile.height + _MARGIN
        shapes[large] = shapely.clip_by_rect(shapes[large], *frame)
        drawn = zip(shapes, self.features.values[near].tolist(), shapely.is_empty(shapes).tolist(), strict=True)
        return _burnt([(shape, value) for shape, value, empty in drawn if not empty], tile, self._type)

    def objects(self, tile: Tile, masks: bool) -> tuple[NewObject, ...]:
        """Return the objects of which enough lies in the tile."""
        frame = shapely.box(0, 0, tile.width, tile.height)
        near = self.features.near(tile)
        found = []
        shapes = tile.seen(self.features.shapes[near])
        parts = zip(shapes, shapely.intersection(shapes, frame), self.features.values[near].tolist(), strict=True)
        for geometry, inside, value in parts:
            left, top, right, bottom = inside.bounds if not inside.is_empty else (0, 0, 0, 0)
            if right - left < _LEAST or bottom - top < _LEAST or inside.area < self.least_share * geometry.area:
                continue
            box = max(left, 0.0), max(top, 0.0), min(right, tile.width), min(bottom, tile.height)
            found.append(NewObject(value, box, _mask(inside, tile) if masks else None))
        return tuple(found)

    def values(self, tile: Tile) -> tuple[int, ...]:
        """Return the classes of all features that touch the tile's inside."""
        inner = tile.footprint.buffer(-1e-6)
        near = self.features.near(tile)
        return tuple(sorted({self.features.values[at].item() for at in near if self.features.shapes[at].intersects(inner)}))


class RasterTruth:
    """Labels as a raster of class values; its objects are connected areas of one value within the tile.

    Args:
        imagery: categorical, one band, on the pixel grid of the imagery.
        classes: sorted by value; other values count as 0.
    """

    def __init__(self, imagery: Imagery, classes: tuple[ClassInfo, ...]) -> None:
        self.imagery = imagery
        self.classes = classes
        self._type = label_type([info.value for info in classes])
        self._known = np.array([info.value for info in classes])

    def pixels(self, tile: Tile) -> NDArray[Any]:
        """Return class values, 0 where the raster has none."""
        pixels, held = self.imagery.read(tile)
        values = class_values(pixels[0], held, self.imagery.nodata)
        return np.where(np.isin(values, self._known), values, BACKGROUND).astype(self._type)

    def objects(self, tile: Tile, masks: bool) -> tuple[NewObject, ...]:
        """Return the connected areas of each class; pixels that touch at a corner belong together."""
        pixels = self.pixels(tile)
        found = []
        for value in self.values_in(pixels):
            numbered, _ = label(pixels == value, np.ones((3, 3)))
            for number, (rows, columns) in enumerate(find_objects(numbered), 1):
                box = float(columns.start), float(rows.start), float(columns.stop), float(rows.stop)
                found.append(NewObject(value, box, numbered == number if masks else None))
        return tuple(found)

    def values(self, tile: Tile) -> tuple[int, ...]:
        """Return the classes in the tile."""
        return self.values_in(self.pixels(tile))

    @staticmethod
    def values_in(pixels: NDArray[Any]) -> tuple[int, ...]:
        """Return the class values of pixels, sorted, without background."""
        return tuple(value for value in np.unique(pixels).tolist() if value != BACKGROUND)


def class_values(pixels: NDArray[Any], held: NDArray[np.bool_] | None, nodata: float | None) -> NDArray[Any]:
    """Return (height, width) pixels as whole class values, 0 where there is no data."""
    values = whole_numbers(pixels)
    gone = np.zeros(pixels.shape, bool) if held is None else ~held
    if representable(nodata, pixels.dtype):
        gone |= pixels == pixels.dtype.type(nodata)
    if pixels.dtype.kind == "f":
        gone |= ~np.isfinite(pixels)
    return np.where(gone, values.dtype.type(BACKGROUND), values)


def _burnt(shapes: list[tuple[BaseGeometry, int]], tile: Tile, dtype: np.dtype[Any]) -> NDArray[Any]:
    if not shapes:
        return np.zeros((tile.height, tile.width), dtype)
    burnt: NDArray[Any] = rasterize(shapes, (tile.height, tile.width), dtype="uint32" if dtype == np.uint64 else dtype.name)
    return burnt


def _mask(inside: BaseGeometry, tile: Tile) -> NDArray[np.bool_]:
    """Return where a geometry is; one that meets no pixel's centre takes all pixels that it touches."""
    size = tile.height, tile.width
    mask = rasterize([inside], size, dtype="uint8").astype(bool)
    return mask if mask.any() else rasterize([inside], size, dtype="uint8", all_touched=True).astype(bool)
