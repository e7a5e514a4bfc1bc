"""Looking at every chip once, when a folder is opened: facts of its rasters, and whether they can be read at all.

Damage shows only when pixels are decoded: the header of half a JPEG is whole. So every image is decoded here, in threads. That
costs one epoch's reading at most, a small part of any training, and a damaged chip is named before training begins instead of
ending it hours later. Only where the images take more than `DECODED` bytes on disk is a part of each looked at: its last block,
which is what a file that was cut short lacks.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from defusedxml import ElementTree
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.windows import Window

from chipwright.chips.chipset import BACKGROUND, IGNORE, Chip, GeoReference
from chipwright.chips.formats.esri import Export, counted, entries_of
from chipwright.chips.formats.georeference import locate
from chipwright.chips.formats.pairing import Sample
from chipwright.chips.reading import in_threads, open_chip, opened_for_pixels, raster_options, representable, whole_numbers
from chipwright.errors import DataError, listed

DECODED = 4 * 2**30
"""Bytes on disk up to which all images are decoded whole."""

LARGEST = 2**30
"""Bytes a chip may take when decoded. A damaged or hostile header can claim a size that no memory holds."""

MOST_BANDS = 2**12
"""Bands a chip or a mask may have. GDAL takes minutes to read a hundred times as many, however few the pixels."""

MOST_DAMAGED = 0.2
"""Share of the chips that may be damaged; they are dropped. With more, the export as a whole is not to be trusted."""

UNREADABLE = "cannot be read"

_HARMLESS = 2**27
"""Bytes that any chip may take when decoded."""

_MOST_SHRUNK = 1000
"""Times that a larger chip may be smaller on disk; only files that hold nothing but one value shrink like this."""

_PNG, _MRF = b"\x89PNG\r\n\x1a\n", b"<MRF_MET"

_LONGEST_MRF = 2**20
"""Bytes of an MRF's header that are looked at; real ones have some hundreds."""

_MRF_PATHS = frozenset({"datafile", "indexfile", "cachedsource", "source"})


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the header of an image says. `band_names` are the file's own, as good as it has them."""

    width: int
    height: int
    bands: int
    dtype: str
    nodata: float | None
    band_names: tuple[str, ...]
    georeference: GeoReference | None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.width, self.height


@dataclass(frozen=True, slots=True)
class LabelFacts:
    """What a label raster holds: its size, its bands, its nodata, and how many pixels have which value."""

    width: int
    height: int
    bands: int
    nodata: float | None
    pixels: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Surveyed:
    """A chip that can be read, and the facts of its files."""

    sample: Sample
    images: tuple[ImageFacts, ...]
    label: LabelFacts | None = None

    def chip(self, **labels: Any) -> Chip:
        """Return the chip, with its label raster if that was looked at, and with other `labels` as given."""
        facts = self.images[0]
        raster: dict[str, Any] = {} if self.label is None else {"label": self.sample.label, "pixels": self.label.pixels}
        return Chip(
            name=self.sample.name,
            folder=0,
            images=self.sample.images,
            width=facts.width,
            height=facts.height,
            georeference=facts.georeference,
            **raster,
            **labels,
        )


@dataclass(frozen=True, slots=True)
class Damaged:
    """A file that cannot be used, and why. `kind` is what it is counted under."""

    file: str
    reason: str
    kind: str = UNREADABLE


def survey(export: Export, samples: Sequence[Sample], raster_labels: bool = False) -> list[Surveyed]:
    """Return the chips that can be read, in order; damaged ones are counted in the export's account.

    Args:
        export: the folder.
        samples: its chips; at least one.
        raster_labels: whether labels are rasters to be looked at as well.

    Raises:
        DataError: if more than `MOST_DAMAGED` of the chips cannot be read, or a file is no chip at all.
    """
    folders = {path.parent for sample in samples for path in sample.images}
    siblings = {folder: entries_of(folder) for folder in folders}
    decode = sum(_bytes_of(path) for sample in samples for path in sample.images) <= DECODED
    look = partial(_look, siblings=siblings, raster_labels=raster_labels, decode=decode)
    found, damaged = [], []
    for result in in_threads(look, samples, "Reading chips"):
        if isinstance(result, Damaged):
            damaged.append(result)
        else:
            found.append(result)
    drop_damaged(export, damaged, len(samples))
    return found


def _bytes_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # what cannot be read is dropped where it is looked at
        return 0


def drop_damaged(export: Export, damaged: Sequence[Damaged], total: int) -> None:
    """Count damaged chips in the export's account.

    Raises:
        DataError: if they are more than `MOST_DAMAGED` of the `total`.
    """
    if len(damaged) > MOST_DAMAGED * total:
        raise DataError(
            f"{len(damaged)} of {counted(total, 'chip')} in {export.root} cannot be read "
            f"({listed(one.file for one in damaged)}; {damaged[0].reason}). Up to {MOST_DAMAGED:.0%} are dropped, "
            "more are not; export the folder again or remove them."
        )
    for one in damaged:
        export.account.drop(one.kind, one.file)


def _look(sample: Sample, siblings: Mapping[Path, Mapping[str, str]], raster_labels: bool, decode: bool) -> Surveyed | Damaged:
    path = sample.images[0]
    try:
        with raster_options():
            images = []
            for path in sample.images:
                images.append(_look_at_image(path, siblings[path.parent], decode))
            label = None
            if raster_labels and sample.label is not None:
                path = sample.label
                label = _look_at_label(path)
    except (RasterioError, OSError, ValueError) as error:
        reason = str(error.__cause__ or error).strip()
        return Damaged(path.name, reason)
    return Surveyed(sample, tuple(images), label)


def _look_at_image(path: Path, siblings: Mapping[str, str], decode: bool) -> ImageFacts:
    check_content(path)
    with open_chip(path) as file:
        georeference, nodata = locate(file, path, siblings)
        dtype = real_type(file)
        if dtype is None:
            raise DataError(
                f"{path} has {file.dtypes[0]} pixels; chips need whole or decimal numbers. Export real-valued rasters."
            )
        facts = ImageFacts(
            file.width, file.height, file.count, dtype.name, _usable(nodata, dtype), _band_names(file), georeference
        )
        check_memory(file, dtype, path)
        if decode:
            file.read()
        else:
            rows, columns = file.block_shapes[-1]
            corner = ((file.width - 1) // columns * columns, (file.height - 1) // rows * rows)
            file.read(file.count, window=Window(*corner, 1, 1))
    return facts


def _look_at_label(path: Path) -> LabelFacts:
    check_content(path)
    with opened_for_pixels(path) as file:
        dtype = real_type(file)
        if dtype is None:
            raise ValueError(f"it has {file.dtypes[0]} pixels, which are no class values")
        check_memory(file, dtype, path)
        return LabelFacts(file.width, file.height, file.count, file.nodata, value_counts(whole_numbers(file.read(1))))


def real_type(file: rasterio.DatasetReader) -> np.dtype[Any] | None:
    """Return the pixel type of an open raster, or None where its pixels are no real numbers."""
    name = file.dtypes[0]
    return None if name.startswith("complex") else np.dtype(name)


def check_memory(file: rasterio.DatasetReader, dtype: np.dtype[Any], path: Path) -> None:
    """Raise ValueError for a raster of more than `MOST_BANDS`, or that takes over `LARGEST` bytes or far more than its file."""
    size = file.width * file.height * file.count * dtype.itemsize
    if file.count > MOST_BANDS or size > LARGEST or (size > _HARMLESS and size > _MOST_SHRUNK * path.stat().st_size):
        raise ValueError(f"it claims {file.width} x {file.height} pixels in {file.count} bands, which is no chip")


def check_content(path: Path) -> None:
    """Look at a raster before GDAL does, whatever its suffix says it is.

    Raises:
        ValueError: for a PNG without its last part, since GDAL fills what is missing with zeros and says nothing; for an MRF
            that names files elsewhere, since GDAL reads those, and writes copies of them beside the MRF.
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(len(_PNG))
        if head == _PNG:
            file.seek(max(0, path.stat().st_size - 1024))
            if b"IEND" not in file.read():
                raise ValueError("the PNG is cut short")
        elif head.upper() == _MRF:
            check_mrf(head + file.read(_LONGEST_MRF))
        elif b":MRF:" in os.fsencode(path.name).upper():
            raise ValueError("its name asks for a part of another file")


def check_mrf(header: bytes) -> None:
    """Raise ValueError for the header of an MRF that is no XML, or names files other than those beside it."""
    try:
        root = ElementTree.fromstring(header)
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"the header of the MRF cannot be read: {error}") from error
    for element in root.iter():
        # GDAL takes an attribute for what an element of its name would be, and knows no namespaces
        for tag, value in [(element.tag, element.text or ""), *element.attrib.items()]:
            name = tag.rpartition("}")[2]
            beside = name.casefold() in ("datafile", "indexfile") and not set(value) & set("/\\:")
            if name.casefold() in _MRF_PATHS and not beside:
                raise ValueError(f"the MRF names a file elsewhere ({name} {value.strip()!r:.60})")


def value_counts(label: NDArray[Any]) -> tuple[tuple[int, int], ...]:
    """Return (value, pixels) pairs of a whole-number raster, by ascending value."""
    if label.dtype.kind == "u" and label.dtype.itemsize <= 2:
        counts = np.bincount(label.ravel())
        values = np.flatnonzero(counts)
        counts = counts[values]
    else:
        values, counts = np.unique(label, return_counts=True)
    return tuple(zip(values.tolist(), counts.tolist(), strict=True))


def _usable(nodata: float | None, dtype: np.dtype[Any]) -> float | None:
    # NaN and infinities are no data whatever is declared, and must not reach the package's JSON
    return float(nodata) if representable(nodata, dtype) and np.isfinite(nodata) else None


def _band_names(file: rasterio.DatasetReader) -> tuple[str, ...]:
    if all(file.descriptions):
        return tuple(file.descriptions)
    names = [f"Band_{band}" for band in range(1, file.count + 1)]
    if tuple(file.colorinterp[:3]) == (ColorInterp.red, ColorInterp.green, ColorInterp.blue):
        names[:3] = ["Red", "Green", "Blue"]
    return tuple(names)


def place_of(export: Export, chips: Sequence[Surveyed], index: int) -> Path:
    """Return the folder that sentences about image `index` name."""
    return chips[0].sample.images[index].parent if index else export.root


def check_type(export: Export, chips: Sequence[Surveyed], index: int = 0) -> None:
    """Raise `DataError` unless all chips have the same bands and pixel type."""
    by_bands = _grouped(chips, [f"{chip.images[index].bands}" for chip in chips])
    if len(by_bands) > 1:
        raise DataError(
            f"The chips in {place_of(export, chips, index)} differ in their number of bands: {_groups(by_bands)}. "
            "All chips need the same bands; export them again, or remove the odd ones."
        )
    by_dtype = _grouped(chips, [chip.images[index].dtype for chip in chips])
    if len(by_dtype) > 1:
        raise DataError(
            f"The chips in {place_of(export, chips, index)} differ in their pixel type: {_groups(by_dtype)}. "
            "All chips need the same pixel type; export them again, or remove the odd ones."
        )


def check_size(export: Export, chips: Sequence[Surveyed]) -> None:
    """Raise `DataError` unless all chips have the same size."""
    by_size = _grouped(chips, ["{} x {}".format(*chip.images[0].size) for chip in chips])
    if len(by_size) > 1:
        raise DataError(
            f"The chips in {export.root} differ in size: {_groups(by_size)}. "
            "All chips need the same size; export them again, or remove the odd ones."
        )


def check_pairs(export: Export, chips: Sequence[Surveyed], alike: bool) -> None:
    """Raise `DataError` unless the two images of each chip have one size and, if `alike`, all the same bands and pixel type.

    Sizes are compared within each pair; bands and types must have been found the same within each folder (`check_type`).
    """
    first, second = (f"{path.parent.name}" for path in chips[0].sample.images)
    other = [chip for chip in chips if chip.images[0].size != chip.images[1].size]
    if other:
        one = other[0]
        sizes = ["{} x {}".format(*facts.size) for facts in one.images]
        raise DataError(
            f"{export.root} has {counted(len(other), 'pair')} of images that differ in size "
            f"({listed(chip.sample.name for chip in other)}; {one.sample.name} has {sizes[0]} pixels in {first} and {sizes[1]} "
            f"in {second}). The two images of a pair need the same size; export both with one cell size, or resample them."
        )
    kinds = [f"{counted(facts.bands, 'band')} of {facts.dtype}" for facts in chips[0].images]
    if alike and kinds[0] != kinds[1]:
        raise DataError(
            f"The two dates in {export.root} differ: {first} has {kinds[0]}, {second} has {kinds[1]}. Both dates need the same "
            "bands and pixel type; export them alike."
        )


def check_label_rasters(export: Export, chips: Sequence[Surveyed]) -> None:
    """Raise `DataError` unless each label raster has one band and its image's size."""
    several = [chip.sample.name for chip in chips if chip.label and chip.label.bands != 1]
    if several:
        raise DataError(
            f"{export.root} has {counted(len(several), 'label raster')} with more than one band ({listed(several)}); a label "
            "raster holds class values in a single band, not colours. Export them as class values."
        )
    other = [chip for chip in chips if chip.label and (chip.label.width, chip.label.height) != chip.images[0].size]
    if other:
        first = other[0]
        assert first.label is not None
        raise DataError(
            f"{export.root} has {counted(len(other), 'label raster')} of another size than the image "
            f"({listed(chip.sample.name for chip in other)}; {first.sample.name} has a label of {first.label.width} x "
            f"{first.label.height} pixels under an image of {first.images[0].width} x {first.images[0].height}). "
            "Export these chips again, or remove them."
        )


def check_values(export: Export, chips: Sequence[Surveyed], values: set[int]) -> None:
    """Warn of label pixels whose value is no class, and of chips without any class.

    Raises:
        DataError: if labels hold values other than background, and none of them is a class.
    """
    account = export.account
    unknown: dict[int, list[str]] = defaultdict(list)
    bare = []
    for chip in chips:
        if chip.label is None:
            continue
        present = {value for value, _ in chip.label.pixels if value not in (BACKGROUND, IGNORE, chip.label.nodata)}
        for value in sorted(present - values):
            unknown[value].append(chip.sample.name)
        if not present & (values - {BACKGROUND}):
            bare.append(chip.sample.name)
    if unknown and len(bare) == len(chips):
        raise DataError(
            f"The labels in {export.root} hold the values {listed(unknown)}, and none of them is a class of the export "
            f"({listed(sorted(values)) or 'which names no class'}). Label rasters hold class values: correct the labels or the "
            "Classes of the .emd."
        )
    if unknown:
        names = sorted({name for found in unknown.values() for name in found})
        account.warnings.append(
            f"Found {counted(len(names), 'label')} with values that are no class: {listed(sorted(unknown))} "
            f"({listed(names)}); these pixels are ignored, in training and in the figures."
        )
    if bare:
        account.warnings.append(
            f"Found {len(bare)} of {counted(len(chips), 'chip')} without any class, only background ({listed(bare)})."
        )


def _grouped(chips: Sequence[Surveyed], keys: Sequence[Hashable]) -> dict[Hashable, list[str]]:
    groups: dict[Hashable, list[str]] = defaultdict(list)
    for chip, key in zip(chips, keys, strict=True):
        groups[key].append(chip.sample.name)
    return groups


def _groups(groups: Mapping[Hashable, list[str]]) -> str:
    """Return `"5 chips have 4, 3 have 3 (a, b and c)"`: the most frequent first, only the others by name."""
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    texts = [f"{counted(len(ordered[0][1]), 'chip')} with {ordered[0][0]}"]
    texts += [f"{len(names)} with {key} ({listed(names)})" for key, names in ordered[1:]]
    return ", ".join(texts)
