"""Cutting labelled chips from a raster and polygons, as Classified_Tiles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
import shapely
from pyogrio.raw import read
from rasterio.features import rasterize
from rasterio.windows import Window
from rasterio.windows import transform as window_transform

from chipwright.chips.chipset import ClassInfo, GeoReference
from chipwright.chips.writers.new_chip import ExportFacts, NewChip
from chipwright.chips.writers.writing import open_writer
from chipwright.errors import DataError


def export_classified_tiles(
    raster: Path, labels: Path, folder: Path, classes: tuple[ClassInfo, ...], tile_size: int, stride: int | None = None
) -> int:
    """Cut chips of `tile_size` pixels every `stride` from `raster`, labelled by the polygons of `labels`; return their number.

    The polygons carry `classvalue`; where none lies the label is 0. Labels must be in the raster's reference system. Windows
    that would leave the raster are moved inward, so that no chip is padded.

    Raises:
        DataError: if the raster is smaller than one tile.
        OptionError: if `folder` is not empty.
    """
    with rasterio.open(raster) as source:
        if min(source.width, source.height) < tile_size:
            raise DataError(f"{raster} has {source.width} x {source.height} pixels, less than one tile of {tile_size}.")
        _, _, geometry, columns = read(labels, columns=["classvalue"])
        shapes = list(zip(shapely.from_wkb(geometry), columns[0].tolist(), strict=True))
        tree = shapely.STRtree([shape for shape, _ in shapes])
        facts = ExportFacts(
            classes=classes,
            bands=tuple(name or f"Band_{index}" for index, name in enumerate(source.descriptions, 1)),
            tile_size=(tile_size, tile_size),
            nodata=source.nodata,
            cell_size=(abs(source.transform.a), abs(source.transform.e)),
            wkid=source.crs.to_epsg() if source.crs else None,
        )
        crs = source.crs.to_string() if source.crs else None
        with open_writer(folder, "Classified_Tiles", facts) as writer:
            for window in _windows(source.width, source.height, tile_size, stride or tile_size):
                transform = window_transform(window, source.transform)
                extent = shapely.box(*rasterio.windows.bounds(window, source.transform))
                near = [shapes[position] for position in tree.query(extent)]
                label = np.zeros((tile_size, tile_size), np.uint8)
                if near:
                    label = rasterize(near, label.shape, transform=transform, dtype="uint8")
                where = GeoReference(tuple(transform)[:6], crs, tile_size, tile_size)
                writer.write(NewChip((source.read(window=window),), label=label, georeference=where))
        return writer.count


def _windows(width: int, height: int, tile: int, stride: int) -> Iterator[Window]:
    for row in _starts(height, tile, stride):
        for column in _starts(width, tile, stride):
            yield Window(column, row, tile, tile)


def _starts(length: int, tile: int, stride: int) -> list[int]:
    starts = list(range(0, length - tile + 1, stride))
    return starts if starts[-1] == length - tile else [*starts, length - tile]
