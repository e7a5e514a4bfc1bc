"""Labelled features: polygons, or points and lines with a radius, with their classes, laid onto a raster's pixel grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.warp import transform

from chipwright import console
from chipwright.chips.chipset import ClassInfo
from chipwright.errors import DataError
from chipwright.raster.grid import Grid, Tile


@dataclass(frozen=True, eq=False)
class Features:
    """Labelled features.

    Attributes:
        source: file they come from.
        shapes: valid geometries, in units of `crs` or, once placed, in a raster's pixels.
        values: int64 class values.
        classes: sorted by value.
        texts: what the class field says, where it holds text.
        crs: reference system, None where the file names none.
        fields: whatever else the file says of each, where it was asked for: name -> values.
    """

    source: Path
    shapes: NDArray[Any]
    values: NDArray[np.int64]
    classes: tuple[ClassInfo, ...]
    texts: tuple[str, ...] = ()
    crs: CRS | None = None
    fields: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.shapes)

    @cached_property
    def tree(self) -> shapely.STRtree:
        """Return the spatial index."""
        return shapely.STRtree(self.shapes)

    def near(self, tile: Tile) -> NDArray[np.int64]:
        """Return the indices of features whose surroundings touch a tile's, in the file's order."""
        found: NDArray[np.int64] = np.sort(self.tree.query(tile.footprint))
        return found

    def on(self, grid: Grid, buffer_radius: float = 0.0) -> Features:
        """Return the features in a raster's pixels, those that do not lie on the raster left out.

        Args:
            grid: of the raster.
            buffer_radius: by which points, lines and polygons grow; in units of the labels' own reference system, or of the
                raster's where the labels are in degrees.
        """
        shapes, crs = self.shapes, self.crs
        if crs is None or not grid.located or grid.crs is None:
            shapes = _unplaced(self, grid)
        elif crs != grid.crs:
            projected = not crs.is_geographic
            if buffer_radius and projected:
                shapes = shapely.buffer(shapes, buffer_radius)
                buffer_radius = 0.0
            shapes = shapely.transform(shapes, _reprojection(crs, grid.crs))
            shapes = shapely.make_valid(shapes)
        if buffer_radius:
            shapes = shapely.buffer(shapes, buffer_radius)
        mirrored = not grid.located and len(shapes) and shapely.total_bounds(shapes)[3] <= 0
        inverse = Affine.scale(1, -1) if mirrored else ~grid.transform  # GIS programs show a picture's rows below zero
        a, b, c, d, e, f = tuple(inverse)[:6]
        linear, shift = np.array([[a, d], [b, e]]), np.array([c, f])
        placed = shapely.transform(shapes, lambda points: points @ linear + shift)
        finite = np.isfinite(shapely.bounds(placed)).all(axis=1)
        kept = finite & shapely.intersects(placed, grid.footprint)
        return replace(self, shapes=placed, crs=None).taken(kept)

    def taken(self, kept: NDArray[Any]) -> Features:
        """Return some of the features, by a mask or by places."""
        texts = tuple(np.array(self.texts, object)[kept].tolist()) if self.texts else ()
        fields = {name: values[kept] for name, values in self.fields.items()}
        return replace(self, shapes=self.shapes[kept], values=self.values[kept], texts=texts, fields=fields)

    def in_system(self, crs: CRS | None) -> Features:
        """Return the features in another reference system; as they are where either is not known."""
        if self.crs is None or crs is None or self.crs == crs:
            return self
        return replace(self, shapes=shapely.make_valid(shapely.transform(self.shapes, _reprojection(self.crs, crs))), crs=crs)

    def elsewhere(self, grid: Grid) -> DataError:
        """Return the error that none of the features lies on a raster."""
        shapes = self.shapes
        if self.crs is not None and grid.crs is not None and self.crs != grid.crs:
            shapes = shapely.transform(shapes, _reprojection(self.crs, grid.crs))
        left, bottom, right, top = (f"{edge:.6g}" for edge in shapely.total_bounds(shapes))
        return DataError(
            f"None of the {len(self)} features in {self.source.name} lies on the raster: in its reference system they span "
            f"{left} to {right} by {bottom} to {top}, the raster {_span(grid)}. Is a reference system wrong, or are they of "
            "another place?"
        )

    def flat(self, buffer_radius: float) -> bool:
        """Return whether some features have no area, and no radius gives them any."""
        return not buffer_radius and bool((shapely.get_dimensions(self.shapes) < 2).any())


def _unplaced(features: Features, grid: Grid) -> NDArray[Any]:
    """Return shapes whose reference system or whose raster's is not known: they are taken to be the same."""
    if grid.located:
        missing = features.source.name if features.crs is None else "the raster"
        console.warn(f"Nothing says in which reference system {missing} is; it is taken to be the other's.")
    return features.shapes


def _reprojection(source: CRS, target: CRS) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    def reprojected(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(transform(source, target, points[:, 0], points[:, 1])) if len(points) else points

    return reprojected


def _span(grid: Grid) -> str:
    corners = [grid.transform * corner for corner in ((0, 0), (grid.width, 0), (0, grid.height), (grid.width, grid.height))]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return f"{min(xs):.6g} to {max(xs):.6g} by {min(ys):.6g} to {max(ys):.6g}"
