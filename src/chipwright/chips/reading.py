"""Reading chips as arrays, in the files' own pixel type, from any number of threads and processes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeGuard, TypeVar

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from chipwright.chips.chipset import IGNORE, Chip, ChipSet
from chipwright.chips.instances import joined, numbered
from chipwright.chips.memory import Arrays, Key, Memory
from chipwright.console import track
from chipwright.errors import ChipwrightError

_DRIVERS = ["GTiff", "PNG", "JPEG", "MRF", "BMP", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_THREADS = 8
"""Most threads that read at once. GDAL lets go of Python's lock while it decodes; beyond this, disks are the limit."""

_AHEAD_BYTES = 2**28
"""Most memory that chips decoded ahead take beside the cache."""

Image = tuple[NDArray[Any], NDArray[np.bool_] | None]
"""An image's pixels, (bands, height, width) in the file's pixel type, and its own mask, (height, width), if it has one."""

# Chips without coordinates are ordinary here, and a filter set and unset around each call is not safe in threads.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


class Decoded(Protocol):
    """Arrays decoded before."""

    def get(self, key: Key) -> NDArray[Any] | None:
        """Return an array, not to be written to, or None where it is not there."""
        ...


def raster_options() -> rasterio.Env:
    """Return the GDAL settings that every file is opened under, as a context.

    Without them GDAL lists the folder at each opening, which takes seconds where it holds many thousands of chips. Side-car
    files are then not seen by GDAL: `chipwright.chips.formats.georeference` reads those that matter.
    """
    return rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO")


def open_chip(path: Path, **options: Any) -> DatasetReader:
    """Open a raster of training data, under `raster_options`, with options of GDAL's driver.

    Only drivers of chips look at it: others follow the paths and addresses that a file holds, a VRT called .tif for instance.

    Raises:
        RasterioError: if it cannot be opened.
    """
    return DatasetReader(path, driver=_DRIVERS, **options)


@contextmanager
def opened_for_pixels(path: Path) -> Iterator[DatasetReader]:
    """Open a raster of which pixels are wanted and not the place, as a context.

    Working out where a GeoTIFF lies takes as long as decoding a small one, and a folder's chips are read over and over.

    Raises:
        RasterioError, OSError: if it cannot be opened.
    """
    # an option of the file, not of GDAL: settings made in the main thread are seen by all of the program's threads
    options = {"GEOREF_SOURCES": "NONE"} if path.suffix.lower() in (".tif", ".tiff") else {}
    with raster_options(), open_chip(path, **options) as file:
        yield file


def in_threads(function: Callable[[Item], Result], items: Sequence[Item], label: str) -> Iterator[Result]:
    """Yield `function(item)` in the order of `items`, computed by several threads, while showing how far the work has come."""
    workers = min(_THREADS, (os.cpu_count() or 1) + 1, max(1, len(items)))
    pool = ThreadPoolExecutor(workers)
    try:
        yield from track(pool.map(function, items), label, len(items))
    finally:
        pool.shutdown(cancel_futures=True)  # an interruption must not wait for the chips still in the queue


def own_mask(file: rasterio.DatasetReader) -> bool:
    """Return whether an open file carries a mask of its own that is neither nodata nor an alpha band.

    An alpha band is not asked: GDAL takes the fourth band of any 8-bit TIFF for one, near infrared included.
    """
    flags = file.mask_flag_enums[0]
    return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags and MaskFlags.nodata not in flags


def valid_pixels(image: NDArray[Any], nodata: float | None, mask: NDArray[np.bool_] | None = None) -> NDArray[np.bool_] | None:
    """Return which pixels of a (bands, height, width) image hold data as (height, width), or None where all do.

    A pixel holds none where every band equals `nodata`, where any band is NaN or infinite, or where `mask` is False.
    """
    valid = mask
    if image.dtype.kind == "f":
        finite = np.isfinite(image).all(axis=0)
        valid = finite if valid is None else valid & finite
    if representable(nodata, image.dtype):
        held = (image != image.dtype.type(nodata)).any(axis=0)
        valid = held if valid is None else valid & held
    return None if valid is None or valid.all() else valid


def representable(value: float | None, dtype: np.dtype[Any]) -> TypeGuard[float]:
    """Return whether there is a value and pixels of a type can hold it, so that comparing them with it means something."""
    if value is None:
        return False
    if dtype.kind == "f":
        return bool(np.isfinite(value)) and abs(value) <= float(np.finfo(dtype).max) * (1 + 1e-6)
    limits = np.iinfo(dtype)
    return float(value).is_integer() and limits.min <= value <= limits.max


def read_image(path: Path) -> Image:
    """Return an image's pixels and its own mask.

    Raises:
        ChipwrightError: if the file cannot be read.
    """
    try:
        with opened_for_pixels(path) as file:
            pixels = file.read()
            return pixels, file.read_masks(1) != 0 if own_mask(file) else None
    except (RasterioError, OSError) as error:
        raise _unreadable(path, error) from error


def read_label(path: Path) -> NDArray[Any]:
    """Return a label raster's first band as whole numbers, (height, width); palette rasters give their indices.

    Float rasters are rounded to int64, NaN becoming `IGNORE`.

    Raises:
        ChipwrightError: if the file cannot be read.
    """
    try:
        with opened_for_pixels(path) as file:
            return whole_numbers(file.read(1))
    except (RasterioError, OSError) as error:
        raise _unreadable(path, error) from error


def whole_numbers(label: NDArray[Any]) -> NDArray[Any]:
    """Return class values as whole numbers: integers as they are, floats rounded to int64 with `IGNORE` where not finite."""
    if label.dtype.kind != "f":
        return label
    within = np.isfinite(label) & (np.abs(label) < 2**53)
    return np.where(within, np.rint(np.where(within, label, 0)), IGNORE).astype(np.int64)


def instance_ids(mask: NDArray[Any], nodata: float | None) -> NDArray[Any]:
    """Return the object ids of a mask as whole numbers of the same shape, 0 where there is no object.

    Floats are rounded. Negative ids (unsigned 64-bit ones too large for signed among them), NaN and declared nodata are none.
    """
    ids = whole_numbers(mask)
    ids = ids.view(np.int64) if ids.dtype == np.uint64 else ids
    held = ids > 0
    if representable(nodata, mask.dtype):
        held &= mask != mask.dtype.type(nodata)
    return np.where(held, ids, ids.dtype.type(0))


def read_instances(path: Path) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return (instances, ids) of an instance mask: (bands, height, width) numbered as in `chipwright.chips.instances`, and the
    id that each object has in the file.

    Raises:
        ChipwrightError: if the file cannot be read.
    """
    try:
        with opened_for_pixels(path) as file:
            return numbered(instance_ids(file.read(), file.nodata))
    except (RasterioError, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ChipwrightError:
    # every chip was read once when the folder was opened, so this one changed since
    return ChipwrightError(f"{path} could be read before and cannot be now: {error}. Was it moved, or has the disk gone?")


class ChipReader:
    """Reads chips as arrays; the `Reader` that tasks are handed.

    Arrays may come out of a cache: whoever wants to change one copies it first. The cache keeps what was read first and
    takes nothing more once it is full, since every epoch shows every chip and a rolling cache would only ever miss.

    A reader may be pickled (its cache stays behind) and used by several threads; it keeps no file open.

    Args:
        nodata: declared nodata value of the images, if any.
        cache_bytes: memory that decoded arrays may take; 0 keeps none.
        second_nodata: declared nodata value of the second images (see `SecondImages`), if any.
        decoded: arrays decoded before, by the keys of `arrays`; looked at first, and shared with pickled copies.
    """

    def __init__(
        self,
        nodata: float | None,
        cache_bytes: int = 0,
        second_nodata: float | None = None,
        decoded: Decoded | None = None,
    ) -> None:
        self.nodata = nodata
        self.cache_bytes = cache_bytes
        self.second_nodata = second_nodata
        self.decoded = decoded
        self._forget()

    @classmethod
    def of(cls, chips: ChipSet, cache_bytes: int = 0, decoded: Decoded | None = None) -> ChipReader:
        """Return a reader of a set's chips."""
        return cls(chips.nodata, cache_bytes, chips.second.nodata if chips.second else None, decoded)

    def _forget(self) -> None:
        self._kept = Memory(self.cache_bytes)
        self._ahead = Memory(_AHEAD_BYTES)
        self._last: tuple[Path, Image] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("nodata", "cache_bytes", "second_nodata", "decoded")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def image(self, chip: Chip, index: int = 0) -> NDArray[Any]:
        """Return image `index` of the chip as (bands, height, width) in the file's pixel type; not to be changed in place.

        Raises:
            ChipwrightError: if the file cannot be read.
        """
        return self._image(chip.images[index])[0]

    def valid(self, chip: Chip, index: int = 0) -> NDArray[np.bool_] | None:
        """Return which pixels of image `index` hold data as (height, width), or None where all do (see `valid_pixels`)."""
        pixels, mask = self._image(chip.images[index])
        return valid_pixels(pixels, self.second_nodata if index or chip.domain else self.nodata, mask)

    def label(self, chip: Chip) -> NDArray[Any]:
        """Return the chip's class values as (height, width) whole numbers; not to be changed in place.

        Raises:
            ChipwrightError: if the file cannot be read.
            ValueError: if the chip has no label raster.
        """
        if chip.label is None:
            raise ValueError(f"chip {chip.name} has no label raster")
        return self._single("label", chip.label)

    def instances(self, chip: Chip) -> dict[int, NDArray[np.int32]]:
        """Return the chip's objects by class value; not to be changed in place.

        Each array is (bands, height, width) and holds the number of the object that a pixel belongs to, 0 for none. The objects
        of a class are numbered from 1 without gaps, through all bands, in the order of `Chip.boxes`: number i is the i-th of
        the boxes of that class. Classes without a mask are not listed; a mask without objects is all 0.

        Raises:
            ChipwrightError: if a file cannot be read.
        """
        found: dict[int, list[NDArray[np.int32]]] = {}
        for value, path in chip.masks:
            found.setdefault(value, []).append(self._single("mask", path))
        return {value: joined(masks) for value, masks in found.items()}

    def arrays(self, chip: Chip) -> list[tuple[Key, NDArray[Any]]]:
        """Return everything decoded that a chip has, by keys that stay the same: what `decoded` may hold.

        Raises:
            ChipwrightError: if a file cannot be read.
        """
        found: list[tuple[Key, NDArray[Any]]] = []
        for kind, path in _files(chip):
            if kind == "image":
                pixels, mask = self._image(path)
                # the mask first: pixels that are there without their mask would count as data
                found += [(("valid", path), mask)] if mask is not None else []
                found.append(((kind, path), pixels))
            else:
                found.append(((kind, path), self._single(kind, path)))
        return found

    def has(self, chip: Chip) -> bool:
        """Return whether everything of a chip was decoded before and is at hand."""
        return all(key in self._kept or key in self._ahead or self._before(*key) is not None for key in _files(chip))

    def read_ahead(self, chip: Chip) -> None:
        """Decode what is not at hand of a chip that will be asked for soon; meant for other threads than the one that asks.

        What the cache has no room for is held until it is asked for once, as long as there is room for that.

        Raises:
            ChipwrightError: if a file cannot be read.
        """
        for key in _files(chip):
            if key in self._kept or key in self._ahead or self._ahead.full or self._before(*key) is not None:
                continue
            found = _decoded(*key)
            if not self._kept.add(key, found):
                self._ahead.add(key, found)

    def _image(self, path: Path) -> Image:
        pixels = self._before("image", path)
        if pixels is not None:
            return pixels, self._before("valid", path)
        last = self._last  # `image` and `valid` of one chip are asked for in turn: decode it once even without a cache
        if last is not None and last[0] == path:
            return last[1]
        pixels, mask = self._arrays("image", path)
        assert pixels is not None, "only masks may be lacking"
        self._last = path, (pixels, mask)
        return pixels, mask

    def _single(self, kind: str, path: Path) -> NDArray[Any]:
        found = self._before(kind, path)
        if found is None:
            found = self._arrays(kind, path)[0]
            assert found is not None, "only masks may be lacking"
        return found

    def _arrays(self, kind: str, path: Path) -> Arrays:
        """Return what a file holds, from wherever it is first found."""
        key = kind, path
        found = self._kept.get(key)
        if found is None:
            found = self._ahead.take(key) or _decoded(kind, path)
            self._kept.add(key, found)
        return found

    def _before(self, kind: str, path: Path) -> NDArray[Any] | None:
        return None if self.decoded is None else self.decoded.get((kind, path))


def _files(chip: Chip) -> Iterator[Key]:
    """Yield the files of a chip with what each is."""
    for path in chip.images:
        yield "image", path
    if chip.label is not None:
        yield "label", chip.label
    for _, path in chip.masks:
        yield "mask", path


def _decoded(kind: str, path: Path) -> Arrays:
    if kind == "image":
        return read_image(path)
    return (read_label(path) if kind == "label" else read_instances(path)[0],)
