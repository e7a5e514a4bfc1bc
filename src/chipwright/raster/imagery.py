"""Rasters as one stream of tiles: a file or a mosaic of files on one pixel grid, read part by part in the files' pixel type."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import RasterioError
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.warp import reproject, transform_bounds
from rasterio.windows import Window

from chipwright import console
from chipwright.chips.reading import own_mask, valid_pixels
from chipwright.errors import ChipwrightError, DataError, listed
from chipwright.raster.grid import Grid, Tile

CACHE = 256 * 2**20
"""Bytes of blocks that GDAL keeps: a few rows of tiles of a wide raster, whatever share of memory GDAL would take."""

_OPEN = 32
"""Most files that a mosaic holds open."""

_LOOK = 512
"""Side in pixels of the sample by which a transparency band is told from near infrared."""

_TOLERANCE = 0.01
"""Pixels by which GDAL may be off where it resamples."""

_FLAT = CRS.from_epsg(3857)
"""Any reference system: resampling within one plane needs a name for it."""

Pixels = tuple[NDArray[Any], NDArray[np.bool_] | None]


@dataclass(frozen=True)
class _File:
    """What is known of one file without keeping it open."""

    path: Path
    grid: Grid
    bands: tuple[int, ...]
    alpha: int | None
    names: tuple[str, ...]
    dtype: str
    nodata: float | None
    masked: bool


class Imagery:
    """A raster, or several as one, on a grid of pixels. A context manager; used by one thread at a time.

    Where files of a mosaic overlap, the first one that has data is taken. Files that do not lie on the grid are resampled onto
    it as they are read.

    Args:
        paths: files that GDAL reads; all of one pixel type and with the same number of bands.
        grid: onto which to put them; the first file's, enlarged to hold all, if not given.
        cell_size: of the grid, in map units; that of the first file if not given. Not with `grid`.
        categorical: whether pixels are class values, which cannot be interpolated.

    Raises:
        DataError: if a file is no raster, or the files do not go together.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        grid: Grid | None = None,
        cell_size: float | None = None,
        categorical: bool = False,
    ) -> None:
        self.paths = tuple(paths)
        self.categorical = categorical
        self._files = [_survey(path) for path in self.paths]
        self._check()
        first = self._files[0]
        self.bands, self.dtype, self.nodata = first.names, first.dtype, first.nodata
        self.grid = grid or _united([file.grid for file in self._files])
        if grid is None and cell_size is not None:
            self.grid = self.grid.with_cell_size(cell_size)
        self._files = [_settled(file, self.grid) for file in self._files]
        self._placed = [_bounds(file.grid, self.grid) for file in self._files]
        self._open: OrderedDict[int, Any] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all files."""
        while self._open:
            self._open.popitem()[1].close()

    def read(self, tile: Tile) -> Pixels:
        """Return a tile as ((bands, height, width), where it holds data as (height, width) or None for everywhere).

        The declared nodata value and NaN are not looked for: they stay in the pixels, as in the files.

        Raises:
            ChipwrightError: if a file can no longer be read.
        """
        window = tile.window
        if window is not None:
            return self._window(*window)
        return self._turned(tile)

    def _turned(self, tile: Tile) -> Pixels:
        """Resample a turned tile out of the window around it."""
        left, top, right, bottom = tile.footprint.bounds
        column, row = math.floor(left) - 2, math.floor(top) - 2
        width, height = math.ceil(right) + 2 - column, math.ceil(bottom) + 2 - row
        source, mask = self._window(column, row, width, height)
        valid = valid_pixels(source, self.nodata, mask)
        place = Affine.translation(-column, -row) * tile.matrix
        method = Resampling.nearest if self.categorical else Resampling.bilinear
        pixels = np.empty((len(source), tile.height, tile.width), source.dtype)
        options: dict[str, Any] = {
            "src_transform": Affine.identity(), "dst_transform": place, "src_crs": _FLAT, "dst_crs": _FLAT,
        }  # fmt: skip
        reproject(source, pixels, resampling=method, **options)
        if valid is None:
            return pixels, None
        # data next to a hole would be mixed with what stands in it: such pixels keep the nearest value instead
        reach = np.empty(pixels.shape[1:], np.float32)
        reproject(valid.astype(np.float32), reach, resampling=method, **options)
        nearest = np.empty_like(pixels)
        reproject(source, nearest, resampling=Resampling.nearest, **options)
        pixels = np.where(reach > 1 - 1e-6, pixels, nearest)
        if mask is None:
            return pixels, None
        held = np.empty(pixels.shape[1:], np.uint8)
        reproject(mask.astype(np.uint8), held, resampling=Resampling.nearest, **options)
        return pixels, held != 0

    def _window(self, column: int, row: int, width: int, height: int) -> Pixels:
        """Return the pixels of a window of the grid, in part beyond it or not, and where they hold data."""
        pixels: NDArray[Any] | None = None
        filled: NDArray[np.bool_] | None = None
        for number, (file, (left, top, right, bottom)) in enumerate(zip(self._files, self._placed, strict=True)):
            if left >= column + width or right <= column or top >= row + height or bottom <= row:
                continue
            part, mask = self._part(number, file, column, row, width, height)
            if pixels is None:
                pixels, filled = part, mask
            elif filled is not None:
                new = ~filled if mask is None else mask & ~filled
                pixels[:, new] = part[:, new]
                filled |= new
            if filled is None and len(self._files) == 1:
                return pixels, None
            if len(self._files) > 1:
                filled = valid_pixels(pixels, self.nodata, filled)
            if filled is None or filled.all():
                return pixels, None
        if pixels is None:
            pixels = np.full((len(self.bands), height, width), self.nodata or 0, self.dtype)
            filled = np.zeros((height, width), bool)
        return pixels, filled

    def _part(self, number: int, file: _File, column: int, row: int, width: int, height: int) -> Pixels:
        """Return one file's pixels of a window of the grid."""
        offset = file.grid.offset_in(self.grid)
        frame = file.grid if offset is not None else self.grid
        shift = offset or (0, 0)
        left, top = column - shift[0], row - shift[1]
        inner = max(left, 0), max(top, 0), min(left + width, frame.width), min(top + height, frame.height)
        window = Window(inner[0], inner[1], inner[2] - inner[0], inner[3] - inner[1])
        try:
            source = self._opened(number, file, offset is not None)
            pixels = source.read(file.bands, window=window)
            mask = _mask(source, file, window, offset is not None)
        except (RasterioError, OSError) as error:
            raise ChipwrightError(f"{file.path} cannot be read any further: {error}.") from error
        if (window.width, window.height) == (width, height):
            return pixels, mask
        whole = np.full((len(pixels), height, width), self.nodata or 0, pixels.dtype)
        held = np.zeros((height, width), bool)
        place = np.s_[inner[1] - top : inner[3] - top, inner[0] - left : inner[2] - left]
        whole[:, place[0], place[1]] = pixels
        held[place] = True if mask is None else mask
        return whole, held

    def _opened(self, number: int, file: _File, aligned: bool) -> Any:
        """Return the file, open, on the grid; the ones used longest ago are closed."""
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        source: Any = rasterio.open(gdal_name(file.path))
        if not aligned:
            source = self._warped(source, file)
        self._open[number] = source
        if len(self._open) > _OPEN:
            self._open.popitem(last=False)[1].close()
        return source

    def _warped(self, source: Any, file: _File) -> Any:
        """Return an open file as a virtual raster on the grid."""
        crs, transform = file.grid.crs or self.grid.crs or _FLAT, file.grid.transform
        finer = max(self.grid.cell) > 1.5 * max(file.grid.cell) and file.grid.crs == self.grid.crs
        smooth = Resampling.average if finer else Resampling.bilinear
        return WarpedVRT(
            source,
            src_crs=crs,
            src_transform=transform,
            crs=self.grid.crs or crs,
            transform=self.grid.transform,
            width=self.grid.width,
            height=self.grid.height,
            resampling=Resampling.nearest if self.categorical else smooth,
            add_alpha=file.alpha is None and file.nodata is None,
            tolerance=_TOLERANCE,
        )

    def _check(self) -> None:
        """Raise `DataError` unless all files go together."""
        first = self._files[0]
        for file in self._files[1:]:
            if not file.grid.located or not first.grid.located:
                raise DataError(
                    f"{file.path.name} and {first.path.name} cannot be laid side by side: one does not say where it lies. "
                    "Choose the processing mode PROCESS_ITEMS_SEPARATELY."
                )
            for what, mine, other in (
                ("bands", len(file.bands), len(first.bands)),
                ("pixel type", file.dtype, first.dtype),
                ("nodata value", str(file.nodata), str(first.nodata)),
            ):
                if mine != other:
                    raise DataError(
                        f"The rasters do not go together: {what} {mine} in {file.path.name}, {other} in {first.path.name}. "
                        "Export them one by one, each into its own folder."
                    )


def rasters_in(path: Path) -> tuple[Path, ...]:
    """Return the raster files that a path means: itself, or those in a folder, side-cars and overviews left out.

    Raises:
        DataError: if there is none.
    """
    if not path.exists() and ":" not in str(path)[2:]:  # GDAL's own names, as of subdatasets, are no files
        raise DataError(f"There is no file or folder {path}.")
    if not path.is_dir() or path.suffix.lower() in (".zarr", ".gdb", ".safe"):
        return (path,)
    endings = {".tif", ".tiff", ".img", ".jp2", ".png", ".jpg", ".jpeg", ".vrt", ".mrf", ".ecw", ".sid", ".nc", ".bil", ".dat"}
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in endings and not file.name.startswith("."))
    if not found:
        raise DataError(f"{path} holds no raster ({listed(sorted(endings), 20)}). Name a raster, or a folder of rasters.")
    return tuple(found)


def gdal_name(path: Path) -> str | Path:
    """Return a path as GDAL takes it: of the two slashes in the name of an HDF5 file's subdataset pathlib leaves one."""
    found = _HDF5.fullmatch(str(path))
    return f"{found[1]}://{found[2]}".replace("\\", "/") if found else path


def _survey(path: Path) -> _File:
    try:
        with rasterio.open(gdal_name(path)) as file:
            if not file.count:
                names = listed(file.subdatasets)
                raise DataError(
                    f"{path} holds several rasters and none by itself. Name one of them: {names}."
                    if names
                    else f"{path} holds no bands."
                )
            alpha = _alpha(file)
            bands = tuple(band for band in file.indexes if band != alpha)
            grid = Grid(file.transform, file.crs, file.width, file.height)
            dtypes = {file.dtypes[band - 1] for band in bands}
            if len(dtypes) > 1 or not dtypes <= set(_TYPES):
                raise DataError(
                    f"The bands of {path} have the pixel types {listed(sorted(dtypes))}; chips have one, a plain number."
                )
            nodata = None if file.nodata is None or math.isnan(file.nodata) else float(file.nodata)
            return _File(path, grid, bands, alpha, _names(file, bands), dtypes.pop(), nodata, own_mask(file))
    except (RasterioError, OSError) as error:
        raise DataError(f"{path} cannot be read as a raster: {error}. Is it whole, and of a format that GDAL reads?") from error


_HDF5 = re.compile(r'(HDF5:"[^"]*"):[/\\]+(.*)', re.IGNORECASE)

_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")


def _names(file: rasterio.DatasetReader, bands: Sequence[int]) -> tuple[str, ...]:
    """Return band names: the file's own, or those that colours say, or numbers."""
    colors = {ColorInterp.red: "Red", ColorInterp.green: "Green", ColorInterp.blue: "Blue"}
    colored = [colors.get(file.colorinterp[band - 1]) for band in bands[:3]] == ["Red", "Green", "Blue"]
    return tuple(
        file.descriptions[band - 1]
        or (("Red", "Green", "Blue")[position] if colored and position < 3 else f"Band_{position + 1}")
        for position, band in enumerate(bands)
    )


def _alpha(file: rasterio.DatasetReader) -> int | None:
    """Return the band that says where the others are transparent, if one does.

    GDAL takes any fourth band of 8-bit pixels for one, near infrared included; it is one if nothing but 0 and 255 stands in it.
    """
    last = file.count
    if last not in (2, 4) or file.colorinterp[last - 1] != ColorInterp.alpha:
        return None
    shape = min(_LOOK, file.height), min(_LOOK, file.width)
    if not np.isin(file.read(last, out_shape=shape), (0, 255 if file.dtypes[last - 1] == "uint8" else 65535)).all():
        return None
    console.say(f"Band {last} of {file.name} is taken for transparency: chips have the other {last - 1}.")
    return last


def _mask(source: Any, file: _File, window: Window, aligned: bool) -> NDArray[np.bool_] | None:
    if aligned and file.alpha is None and not file.masked:
        return None
    levels = source.read_masks(1, window=window) if file.alpha is None else source.read(file.alpha, window=window)
    mask: NDArray[np.bool_] = levels != 0
    return None if mask.all() else mask


def _united(grids: Sequence[Grid]) -> Grid:
    """Return the first grid enlarged to the ground of all."""
    first = grids[0]
    if len(grids) == 1:
        return first
    places = [_bounds(grid, first) for grid in grids]
    left, top = math.floor(min(place[0] for place in places)), math.floor(min(place[1] for place in places))
    right, bottom = math.ceil(max(place[2] for place in places)), math.ceil(max(place[3] for place in places))
    return Grid(first.transform * Affine.translation(left, top), first.crs, right - left, bottom - top)


def _bounds(grid: Grid, frame: Grid) -> tuple[float, float, float, float]:
    """Return (left, top, right, bottom) of a grid in the pixels of another."""
    corners = [grid.transform * corner for corner in ((0, 0), (grid.width, 0), (0, grid.height), (grid.width, grid.height))]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    bounds = min(xs), min(ys), max(xs), max(ys)
    if grid.crs and frame.crs and grid.crs != frame.crs:
        bounds = transform_bounds(grid.crs, frame.crs, *bounds, densify_pts=21)
    left, bottom, right, top = bounds
    inverse = ~frame.transform
    places = [inverse * corner for corner in ((left, top), (right, top), (left, bottom), (right, bottom))]
    columns, rows = [column for column, _ in places], [row for _, row in places]
    snapped = [value if abs(value - round(value)) > 1e-3 else float(round(value)) for value in (*columns, *rows)]
    return min(snapped[:4]), min(snapped[4:]), max(snapped[:4]), max(snapped[4:])


def _settled(file: _File, grid: Grid) -> _File:
    """Return a file with the place that it takes on a grid: its own, or the grid's where neither file says and the sizes agree.

    Raises:
        DataError: if nothing says how the two lie to each other.
    """
    if file.grid.located and grid.located:
        return file
    if (file.grid.width, file.grid.height) == (grid.width, grid.height):
        return replace(file, grid=grid)
    raise DataError(
        f"{file.path} does not say where it lies, or the other raster does not, and their sizes differ "
        f"({file.grid.width} x {file.grid.height} and {grid.width} x {grid.height} pixels). Georeference both."
    )
