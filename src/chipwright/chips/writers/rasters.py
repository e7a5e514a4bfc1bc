"""Chips and label rasters as files: TIFF, PNG, JPEG and MRF, with what says where they lie."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.transform import Affine

from chipwright.chips.chipset import GeoReference
from chipwright.chips.formats.georeference import world_file_endings
from chipwright.chips.reading import raster_options, representable
from chipwright.chips.writers.new_chip import ChipFormat
from chipwright.errors import ChipwrightError, OptionError

SUFFIXES: dict[ChipFormat, tuple[str, ...]] = {
    "TIFF": (".tif", ".tiff"),
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "MRF": (".mrf",),
}
"""Endings of each chip format; the first is written."""

_CREATION: dict[ChipFormat, dict[str, Any]] = {
    "TIFF": {"driver": "GTiff", "compress": "deflate"},
    "PNG": {"driver": "PNG"},
    "JPEG": {"driver": "JPEG", "quality": 95},  # a model should learn the ground, not the compression
    "MRF": {"driver": "MRF", "compress": "DEFLATE"},  # the default, PNG, takes 8 and 16 bits only
}

_TAKES = {
    "PNG": ("1 to 4 bands of 8 or 16 bits without sign", (1, 2, 3, 4), ("uint8", "uint16")),
    "JPEG": ("1 or 3 bands of 8 bits without sign", (1, 3), ("uint8",)),
}


def check_chip_format(chip_format: ChipFormat, pixels: NDArray[Any]) -> None:
    """Raise `OptionError` unless (bands, height, width) pixels fit a chip format."""
    if chip_format in _TAKES:
        text, bands, types = _TAKES[chip_format]
        if len(pixels) not in bands or pixels.dtype.name not in types:
            raise OptionError(
                f"{chip_format} chips hold {text}; these chips have {len(pixels)} of {pixels.dtype.name}. "
                "Choose the chip format TIFF."
            )
    if pixels.dtype.kind not in "iuf" or pixels.dtype.name == "float16":
        raise OptionError(f"Chips hold whole numbers or decimal numbers of 32 or 64 bits; these have {pixels.dtype.name}.")
    if chip_format == "MRF" and "MRF" not in _drivers():
        raise OptionError("This build of GDAL cannot write MRF. Choose the chip format TIFF.")


@lru_cache(maxsize=1)
def _drivers() -> frozenset[str]:
    with rasterio.Env() as env:
        return frozenset(env.drivers())


def write_image(
    path: Path,
    pixels: NDArray[Any],
    chip_format: ChipFormat,
    bands: Sequence[str] = (),
    nodata: float | None = None,
    georeference: GeoReference | None = None,
    valid: NDArray[np.bool_] | None = None,
) -> None:
    """Write (bands, height, width) pixels and, beside what is no TIFF, the files that say where they lie and what is nodata.

    Args:
        bands: names; Red, Green, Blue are shown as such.
        valid: (height, width), where there is data; TIFF only.

    Raises:
        ChipwrightError: if the file cannot be written.
    """
    declared = nodata if representable(nodata, pixels.dtype) else None
    count, height, width = pixels.shape
    profile = _CREATION[chip_format] | {"count": count, "height": height, "width": width, "dtype": pixels.dtype.name}
    if chip_format == "TIFF":
        colors = tuple(name.casefold() for name in bands[:3]) == ("red", "green", "blue")
        # else GDAL takes the fourth band of 8-bit pixels for transparency
        profile |= {"photometric": "RGB" if colors else "MINISBLACK", "alpha": "NO", "nodata": declared}
        if georeference is not None:
            profile |= {"transform": Affine(*georeference.transform), "crs": _crs(georeference.crs)}
    elif chip_format == "MRF":
        profile["nodata"] = declared
    try:
        with raster_options(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as file:
            file.write(pixels)
            if valid is not None and chip_format == "TIFF":
                file.write_mask(valid)
        if chip_format != "TIFF":
            _write_side_cars(path, georeference, declared)
    except (RasterioError, OSError) as error:
        raise ChipwrightError(f"{path} cannot be written: {error}. Is the disk full?") from error


def write_label(path: Path, layers: NDArray[Any], georeference: GeoReference | None) -> None:
    """Write a label raster (bands, height, width) of whole numbers, in the format of the path's suffix (TIFF or PNG).

    Raises:
        ChipwrightError: if the file cannot be written.
    """
    write_image(path, layers, "PNG" if path.suffix == ".png" else "TIFF", georeference=georeference)


def label_type(values: Sequence[int]) -> np.dtype[Any]:
    """Return the smallest pixel type that holds class values and 0."""
    return np.result_type(np.uint8, *(np.min_scalar_type(value) for value in values))


def copy_raster(source: Path, path: Path) -> None:
    """Copy a raster and the side-cars that say where it lies, byte for byte.

    Raises:
        ChipwrightError: if a file cannot be read or written.
    """
    endings = world_file_endings(source)
    pairs = [(source, path), (source.with_name(f"{source.name}.aux.xml"), path.with_name(f"{path.name}.aux.xml"))]
    pairs += [
        (source.with_suffix(f".{spelled}"), path.with_suffix(f".{ending}"))
        for ending in endings
        for spelled in (ending, ending.upper())
    ]
    try:
        for old, new in pairs:
            if old == source or (old.is_file() and not new.exists()):
                shutil.copyfile(old, new)
    except OSError as error:
        raise ChipwrightError(f"{source} cannot be copied to {path}: {error.strerror or error}.") from error


def _write_side_cars(path: Path, georeference: GeoReference | None, nodata: float | None) -> None:
    """Write the world file that every program reads, and an .aux.xml with what a world file has no place for."""
    aux = []
    if georeference is not None:
        a, b, c, d, e, f = georeference.transform
        world = path.with_suffix(f".{world_file_endings(path)[0]}")
        rows = (a, d, b, e, c + (a + b) / 2, f + (d + e) / 2)
        world.write_text("".join(f"{_positional(row)}\n" for row in rows), encoding="ascii", newline="\n")
        if georeference.crs is not None and (crs := _crs(georeference.crs)) is not None:
            aux.append(f"  <SRS>{escape(crs.to_wkt(), quote=False)}</SRS>\n")
        aux.append(f"  <GeoTransform>{', '.join(f'{value:.16e}' for value in (c, a, b, f, d, e))}</GeoTransform>\n")
    if nodata is not None:
        value = f"    <NoDataValue>{nodata:.17g}</NoDataValue>\n"
        aux.append(f'  <PAMRasterBand band="1">\n{value}  </PAMRasterBand>\n')
    if aux:
        text = f"<PAMDataset>\n{''.join(aux)}</PAMDataset>\n"
        path.with_name(f"{path.name}.aux.xml").write_text(text, encoding="utf-8", newline="\n")


def _positional(value: float) -> str:
    """Return a number as world files have it: ten decimals, or as many more as it takes."""
    return np.format_float_positional(value, unique=True, trim="k", min_digits=10)


@lru_cache(maxsize=64)
def _crs(text: str | None) -> CRS | None:
    try:
        return CRS.from_user_input(text) if text else None
    except CRSError:
        return None
