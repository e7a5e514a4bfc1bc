"""Rasters of class values: told from vector files, and what classes they hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
from pyogrio.errors import DataSourceError
from rasterio.errors import RasterioError
from rasterio.windows import Window

from chipwright.chips.chipset import BACKGROUND, ClassInfo
from chipwright.errors import DataError
from chipwright.raster.class_tables import ClassTable
from chipwright.raster.truth import class_values

_BLOCK = 2048
"""Side in pixels of the parts in which a raster is looked through."""

_MOST = 1000
"""More distinct values than this are no classes."""


def is_raster(path: Path) -> bool:
    """Return whether labels are a raster (or a folder of them) rather than a vector file."""
    if path.is_dir() and path.suffix.lower() != ".gdb":
        return True
    try:
        return not len(pyogrio.list_layers(path))
    except (DataSourceError, OSError, ValueError):
        pass
    try:
        with rasterio.open(path):
            return True
    except (RasterioError, OSError):
        return False  # neither: the reader of vectors says what is wrong


def raster_classes(paths: Sequence[Path], empty: bool = False) -> tuple[ClassInfo, ...]:
    """Return the classes in rasters of class values, sorted; every pixel is looked at, part by part.

    Names and colours are those of the attribute table (`NAME.tif.vat.dbf`, or GDAL's in `NAME.tif.aux.xml`), colours else those
    of the colour table.

    Args:
        paths: of the rasters.
        empty: whether they may hold no class at all, as a map on which nothing was found.

    Raises:
        DataError: if a raster holds something other than class values.
    """
    present: set[int] = set()
    table = ClassTable()
    for path in paths:
        for found in _values(path):
            present |= found
            if len(present) > _MOST:
                raise DataError(
                    f"{path} holds over {_MOST} distinct values: imagery, not classes. Name a raster of class values."
                )
        _look_up(path, table)
    present.discard(BACKGROUND)
    if not present and not empty:
        raise DataError(f"{paths[0]} holds no class: every pixel is 0 or nodata.")
    if min(present, default=0) < 0:
        raise DataError(
            f"{paths[0]} holds the class value {min(present)}; class values are whole numbers from 1, 0 is background."
        )
    return table.classes(present)


def _values(path: Path) -> Iterator[set[int]]:
    try:
        with rasterio.open(path) as file:
            if file.count != 1:
                raise DataError(f"{path} has {file.count} bands; labels have one, of class values.")
            for row in range(0, file.height, _BLOCK):
                for column in range(0, file.width, _BLOCK):
                    size = min(_BLOCK, file.width - column), min(_BLOCK, file.height - row)
                    pixels = file.read(1, window=Window(column, row, *size))
                    if pixels.dtype.kind == "f" and not np.array_equal(pixels, np.rint(pixels), equal_nan=True):
                        raise DataError(f"{path} holds decimal numbers; class values are whole numbers.")
                    yield set(np.unique(class_values(pixels, None, file.nodata)).tolist())
    except (RasterioError, OSError) as error:
        raise DataError(f"{path} cannot be read as a raster: {error}.") from error


def _look_up(path: Path, table: ClassTable) -> None:
    """Add what the attribute table and the colour table say; a table that cannot be read says nothing."""
    try:
        meta, _, _, data = pyogrio.raw.read(path.with_name(f"{path.name}.vat.dbf"))
        columns = {str(name).lower(): column for name, column in zip(meta["fields"], data, strict=True)}
        table.add([int(value) for value in columns.get("value", ())], columns)
    except (DataSourceError, OSError, ValueError):
        pass
    for value, name in attribute_names(path).items():
        table.name(value, name)
    with rasterio.open(path) as file:
        try:
            colormap = file.colormap(1)
        except ValueError:
            return
    for value, (red, green, blue, _) in colormap.items():
        if (red, green, blue) != (0, 0, 0):
            table.color(value, (red, green, blue))


def attribute_names(path: Path) -> dict[int, str]:
    """Return class value -> name of the attribute table that GDAL keeps beside a raster, those without a pixel included."""
    from defusedxml import ElementTree
    from defusedxml.common import DefusedXmlException

    try:
        root = ElementTree.parse(path.with_name(f"{path.name}.aux.xml")).getroot()
    except (OSError, ElementTree.ParseError, DefusedXmlException):
        return {}
    table = root.find("PAMRasterBand/GDALRasterAttributeTable")
    if table is None:
        return {}
    columns = [column.findtext("Name", "").lower() for column in table.findall("FieldDefn")]
    if not {"value", "class"} <= set(columns):
        return {}
    value, name = columns.index("value"), columns.index("class")
    rows = [[field.text or "" for field in row.findall("F")] for row in table.findall("Row")]
    return {int(row[value]): row[name] for row in rows if len(row) == len(columns) and row[value].isdecimal()}
