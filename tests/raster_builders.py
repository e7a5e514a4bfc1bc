"""Small rasters and vector files to cut chips from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from pyogrio.raw import write
from rasterio.transform import Affine
from shapely.geometry.base import BaseGeometry

UTM = "EPSG:32633"
ORIGIN = (500_000.0, 5_300_000.0)
CELL = 2.0
"""Metres a pixel."""


def to_map(column: float, row: float) -> tuple[float, float]:
    """Return the map coordinates of a pixel's corner in rasters of `write_imagery`."""
    return ORIGIN[0] + CELL * column, ORIGIN[1] - CELL * row


def pixel_box(left: float, top: float, right: float, bottom: float) -> BaseGeometry:
    """Return a rectangle given in pixels as a polygon in map coordinates."""
    (x0, y1), (x1, y0) = to_map(left, top), to_map(right, bottom)
    return shapely.box(x0, y0, x1, y1)


def texture(bands: int, height: int, width: int, dtype: str = "uint8", seed: int = 0) -> NDArray[Any]:
    """Return random pixels (bands, height, width), none of them 0."""
    high = 255 if dtype == "uint8" else 4000
    return np.random.default_rng(seed).integers(1, high, (bands, height, width)).astype(dtype)


def write_imagery(
    path: Path, pixels: NDArray[Any], shift: tuple[float, float] = (0, 0), cell: float = CELL, **profile: Any
) -> Path:
    """Write a GeoTIFF whose first pixel lies `shift` (columns, rows) from the common origin."""
    x, y = to_map(*shift)
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {"driver": "GTiff", "crs": UTM, "transform": Affine(cell, 0, x, 0, -cell, y)} | profile
    count, height, width = pixels.shape
    with rasterio.open(path, "w", count=count, height=height, width=width, dtype=pixels.dtype.name, **settings) as file:
        file.write(pixels)
    return path


def write_vector(
    path: Path,
    shapes: Sequence[BaseGeometry],
    fields: Mapping[str, Sequence[Any]] | None = None,
    crs: str | None = UTM,
    **options: Any,
) -> Path:
    """Write features; fields of text are lists of str."""
    drivers = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".shp": "ESRI Shapefile"}
    columns = {
        name: np.array(values, object if isinstance(values[0], str) else None) for name, values in (fields or {}).items()
    }
    write(
        path,
        geometry=shapely.to_wkb(np.array(shapes, object)),
        field_data=list(columns.values()),
        fields=np.array(list(columns), object),
        geometry_type=options.pop("geometry_type", "Unknown" if path.suffix == ".gpkg" else shapes[0].geom_type),
        crs=crs,
        driver=drivers[path.suffix],
        **options,
    )
    return path
