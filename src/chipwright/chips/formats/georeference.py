"""Where a chip lies: from the raster itself, its world file, or the .aux.xml beside it.

The side-cars are read here and not by GDAL, which would list the whole folder for each chip (see `raster_options`) and spends a
hundredth of a second on each coordinate system that Esri wrote into an .aux.xml.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from html import unescape
from pathlib import Path

import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError

from chipwright.chips.chipset import GeoReference

Transform = tuple[float, float, float, float, float, float]

_IDENTITY: Transform = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

_HEAD = 256 * 2**10
"""Characters of an .aux.xml that are looked at: what matters stands before the histograms."""

_LONGEST = 4096
"""Characters of a world file that are looked at: six numbers."""

# Plain searches: an XML parser would have to be guarded against hostile files for three values.
_SRS = re.compile(r"<SRS\b[^>]*>([^<]*)</SRS>")
_GEOTRANSFORM = re.compile(r"<GeoTransform>([^<]*)</GeoTransform>")
_NODATA = re.compile(r"<NoDataValue\b[^>]*>([^<]*)</NoDataValue>")


@dataclass(frozen=True)
class SideCar:
    """What an .aux.xml adds to its raster; None for what it does not say."""

    transform: Transform | None = None
    crs: str | None = None
    nodata: float | None = None


def locate(file: rasterio.DatasetReader, path: Path, siblings: Mapping[str, str]) -> tuple[GeoReference | None, float | None]:
    """Return (where an open raster lies, its nodata value), each None where nothing says so.

    Args:
        file: the open raster.
        path: its path.
        siblings: names of the files beside it, by their lower-case names.
    """
    transform: Transform | None = tuple(file.transform)[:6]
    crs = file.crs.to_string() if file.crs else None
    nodata = file.nodata
    aux = siblings.get(f"{path.name}.aux.xml".lower())
    if aux and (transform == _IDENTITY or crs is None or nodata is None):
        side_car = read_side_car(path.with_name(aux))
        transform = side_car.transform if transform == _IDENTITY and side_car.transform else transform
        crs = crs or side_car.crs
        nodata = side_car.nodata if nodata is None else nodata
    if transform == _IDENTITY:
        transform = read_world_file(path, siblings)
    if transform is None:
        return None, nodata
    return GeoReference(transform, crs, file.width, file.height), nodata


def read_world_file(path: Path, siblings: Mapping[str, str]) -> Transform | None:
    """Return the transform that an image's world file gives, or None without a readable one.

    A world file holds six lines (https://en.wikipedia.org/wiki/World_file): x scale, y skew, x skew, y scale, and the centre of
    the upper left pixel.
    """
    for ending in world_file_endings(path):
        name = siblings.get(f"{path.stem}.{ending}".lower())
        if name is None:
            continue
        try:
            lines = _beginning(path.with_name(name), _LONGEST).replace(",", ".").split()
            a, d, b, e, x, y = (float(line) for line in lines[:6])
        except (OSError, ValueError):
            continue
        return _sound((a, b, x - (a + b) / 2, d, e, y - (d + e) / 2))
    return None


def world_file_endings(path: Path) -> tuple[str, ...]:
    """Return the endings that an image's world file may have, the usual one first: jgw, jpgw and wld for a .jpg."""
    suffix = path.suffix[1:].lower()
    return f"{suffix[:1]}{suffix[-1:]}w", f"{suffix}w", "wld"


def read_side_car(path: Path) -> SideCar:
    """Return what an .aux.xml says; nothing where it cannot be read."""
    try:
        text = _beginning(path, _HEAD)
    except OSError:
        return SideCar()
    transform, nodata = None, None
    if found := _GEOTRANSFORM.search(text):
        with suppress(ValueError):
            x, a, b, y, d, e = (float(number) for number in found[1].split(","))
            transform = _sound((a, b, x, d, e, y))
    if found := _NODATA.search(text):
        with suppress(ValueError):
            nodata = float(found[1])
    srs = _SRS.search(text)
    return SideCar(transform, crs_text(unescape(srs[1])) if srs else None, nodata)


def _beginning(path: Path, length: int) -> str:
    """Return the first characters of a text file; none of what is no file, a pipe for instance.

    Raises:
        OSError: if it cannot be read.
    """
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(length)


def _sound(transform: Transform) -> Transform | None:
    a, b, _, d, e, _ = transform
    return transform if all(map(math.isfinite, transform)) and a * e - b * d != 0 and transform != _IDENTITY else None


@lru_cache(maxsize=64)
def crs_text(wkt: str) -> str | None:
    """Return a coordinate system as "EPSG:code" where it has one, else as the text given; None if it is none."""
    if not wkt.strip():
        return None
    try:
        return str(CRS.from_wkt(wkt).to_string())
    except CRSError:
        return None
