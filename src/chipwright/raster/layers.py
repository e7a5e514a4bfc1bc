"""Rasters that are written piece by piece and end as one Cloud Optimized GeoTIFF, with colours and an attribute table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import rasterio
import rasterio.shutil
import torch
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from chipwright.chips.chipset import ClassInfo
from chipwright.errors import ChipwrightError
from chipwright.files import whole_file, write_text
from chipwright.raster.grid import Grid
from chipwright.raster.virtual import virtual_raster

_BLOCK = 512
_EFFORT = 3
"""Of deflate, 1 to 9; its usual 6 takes three times as long for files a fourteenth smaller (maps of classes)."""


@dataclass(frozen=True)
class Layer:
    """What a raster of results holds.

    Attributes:
        dtype: pixel type.
        nodata: value of pixels without data, None if there is none.
        bands: names of the bands.
        classes: whose values the pixels are, by value; empty for anything that is measured.
    """

    dtype: str
    nodata: float | None
    bands: tuple[str, ...]
    classes: tuple[ClassInfo, ...] = ()

    def empty(self, height: int, width: int) -> NDArray[Any]:
        """Return pixels without data, (bands, height, width)."""
        return np.full((len(self.bands), height, width), 0 if self.nodata is None else self.nodata, self.dtype)


@dataclass
class Figures:
    """Statistics of one band, gathered part by part."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    low: float = np.inf
    high: float = -np.inf
    counts: dict[int, int] = field(default_factory=dict)

    def add(self, values: NDArray[Any], categorical: bool) -> None:
        """Take in values (count,), those without data left out."""
        if not values.size:
            return
        if not categorical:
            self._take(values, values.size, float(values.sum(dtype=np.float64)), np.square(values, dtype=np.float64).sum())
            return
        counted = _counted(values)
        for value, count in counted:
            self.counts[value] = self.counts.get(value, 0) + count
        found, often = (np.array(column, np.float64) for column in zip(*counted, strict=True))
        self._take(found, values.size, float(found @ often), found**2 @ often)

    def _take(self, found: NDArray[Any], count: int, total: float, squares: Any) -> None:
        """Take in the sums over `count` values, and which ones were found."""
        self.count += count
        self.total += total
        self.squares += float(squares)
        self.low, self.high = min(self.low, float(found.min())), max(self.high, float(found.max()))

    @property
    def mean(self) -> float:
        """Mean of the values."""
        return self.total / self.count

    @property
    def deviation(self) -> float:
        """Their standard deviation."""
        return float(np.sqrt(max(0.0, self.squares / self.count - self.mean**2)))


def write_piece(path: Path, pixels: NDArray[Any]) -> None:
    """Write pixels (bands, height, width) quickly; they are read again soon."""
    profile: dict[str, Any] = {
        "driver": "GTiff", "dtype": pixels.dtype.name,
        "count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2],
        "compress": "zstd", "zstd_level": 1, "tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "pixel",
        "sparse_ok": True,
    }  # fmt: skip
    with whole_file(path) as part, rasterio.open(part, "w", **profile) as file:
        file.write(pixels)


def assemble(
    pieces: Sequence[tuple[Path, int]], grid: Grid, layer: Layer, out: Path, masks: Sequence[tuple[Path, int]] = ()
) -> list[Figures]:
    """Write a raster from its pieces, whole or not at all, and return each band's statistics.

    Beside it stands `NAME.aux.xml` with statistics and, for classes, the attribute table: programs that build on GDAL, ArcGIS
    Pro among them, read it.

    Args:
        pieces: (file, first row), full rows of pixels each.
        grid: of the raster.
        layer: what it holds.
        out: Cloud Optimized GeoTIFF.
        masks: pieces of the raster's mask, 0 where there is no data and 255 elsewhere, of the pieces' sizes; none where the
            nodata value tells, or where there are data everywhere.

    Raises:
        ChipwrightError: if it cannot be written.
    """
    virtual = pieces[0][0].parent / "pieces.vrt"
    write_text(virtual, virtual_raster(pieces, masks, grid, layer))
    options: dict[str, Any] = {
        "compress": "deflate", "level": _EFFORT, "blocksize": _BLOCK, "bigtiff": "IF_SAFER", "num_threads": "ALL_CPUS",
        "predictor": "NO" if layer.classes else "YES", "overview_resampling": "nearest" if layer.classes else "average",
    }  # fmt: skip
    try:
        with (
            whole_file(out) as part,
            ThreadPoolExecutor(1) as beside,
            rasterio.Env(GDAL_PAM_ENABLED=False, **_environment(layer)),
        ):
            measuring = beside.submit(_figures, pieces, masks, layer)
            rasterio.shutil.copy(virtual, part, driver="COG", **options)
            figures = measuring.result()
            _auxiliary(out, figures, layer)
    except (RasterioError, OSError) as error:
        raise ChipwrightError(f"{out} cannot be written: {error}.") from error
    return figures


def _environment(layer: Layer) -> dict[str, Any]:
    """Return GDAL's settings while it puts a raster together.

    Overviews are drawn into a file of their own first, which GDAL compresses with more effort than the result; for classes,
    bytes as a rule, none is made. The file then takes a third of a byte a pixel until the raster is written.
    """
    return {"GDAL_CACHEMAX": 128} | ({"COG_TMP_COMPRESSION": "NONE"} if layer.classes else {})


def _figures(pieces: Sequence[tuple[Path, int]], masks: Sequence[tuple[Path, int]], layer: Layer) -> list[Figures]:
    """Return each band's statistics over all pieces."""
    figures = [Figures() for _ in layer.bands]
    for (path, _), (mask, _) in zip(pieces, masks or ((None, 0),) * len(pieces), strict=True):
        with rasterio.open(path) as file, nullcontext() if mask is None else rasterio.open(mask) as valid:
            for _, window in file.block_windows(1):
                held = None if valid is None else valid.read(1, window=window) != 0
                for band, one in zip(figures, file.read(window=window), strict=True):
                    band.add(_held(one, layer) if held is None else one[held], bool(layer.classes))
    return figures


def _counted(values: NDArray[Any]) -> list[tuple[int, int]]:
    """Return the values that occur with their counts; those of 8 bits without sorting."""
    if values.dtype == np.uint8:
        counts = torch.bincount(torch.from_numpy(values)).tolist()
        return [(value, count) for value, count in enumerate(counts) if count]
    found, often = np.unique(values, return_counts=True)
    return list(zip(found.tolist(), often.tolist(), strict=True))


def _held(pixels: NDArray[Any], layer: Layer) -> NDArray[Any]:
    if layer.nodata is None:
        return pixels.ravel()
    return pixels[~np.isnan(pixels)] if np.isnan(layer.nodata) else pixels[pixels != np.dtype(layer.dtype).type(layer.nodata)]


_COLUMNS = (  # name, GDAL's type (0 whole number, 2 text) and its use of the column
    ("Value", 0, 5), ("Class", 2, 2), ("Count", 0, 1), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8),
)  # fmt: skip
_TYPE_NAMES = {0: "Integer", 2: "String"}
_USE_NAMES = {5: "MinMax", 2: "Name", 1: "PixelCount", 6: "Red", 7: "Green", 8: "Blue"}


def _auxiliary(out: Path, figures: Sequence[Figures], layer: Layer) -> None:
    """Write statistics and attribute table as GDAL keeps them beside a raster."""
    root = ET.Element("PAMDataset")
    for number, band in enumerate(figures, 1):
        element = ET.SubElement(root, "PAMRasterBand", band=str(number))
        if band.count:
            _metadata(element, {
                "STATISTICS_MINIMUM": band.low, "STATISTICS_MAXIMUM": band.high, "STATISTICS_MEAN": band.mean,
                "STATISTICS_STDDEV": band.deviation,
            })  # fmt: skip
        if layer.classes:
            table = ET.SubElement(element, "GDALRasterAttributeTable", tableType="thematic")
            for place, (name, kind, use) in enumerate(_COLUMNS):
                column = ET.SubElement(table, "FieldDefn", index=str(place))
                ET.SubElement(column, "Name").text = name
                ET.SubElement(column, "Type", typeAsString=_TYPE_NAMES[kind]).text = str(kind)
                ET.SubElement(column, "Usage", usageAsString=_USE_NAMES[use]).text = str(use)
            for place, info in enumerate(layer.classes):
                row = ET.SubElement(table, "Row", index=str(place))
                for value in (info.value, info.name, band.counts.get(info.value, 0), *info.color):
                    ET.SubElement(row, "F").text = str(value)
    write_text(out.with_name(out.name + ".aux.xml"), ET.tostring(root, encoding="unicode"))


def _metadata(element: ET.Element, values: Mapping[str, float]) -> None:
    metadata = ET.SubElement(element, "Metadata")
    for key, value in values.items():
        ET.SubElement(metadata, "MDI", key=key).text = repr(float(value))
