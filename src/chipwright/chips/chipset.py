"""What the rest of the program knows of a training-data folder: chips, classes, bands, statistics, and the account of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

IGNORE = -100
"""Target value of pixels and labels without meaning (nodata, ignored classes, augmentation fill), in loss and metrics alike."""

BACKGROUND = 0
"""Class value that a label raster uses where no class was drawn."""


DOMAINS = ("A", "B")
"""Names of the two kinds of imagery in unpaired data, by `Chip.domain`."""


class ClassInfo(BaseModel):
    """One class: the value written in labels, its name, and the colour that maps show it in."""

    model_config = ConfigDict(frozen=True)

    value: int
    name: str
    color: tuple[int, int, int]


class BandStatistics(BaseModel):
    """Per-band statistics over all chips, in the units of the files."""

    model_config = ConfigDict(frozen=True)

    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str
    """Where they come from: "export" (the folder's metadata) or "computed" (from the chips)."""

    def select(self, bands: Sequence[int]) -> BandStatistics:
        """Return those of some bands, in the order given."""
        columns = {name: getattr(self, name) for name in ("minimum", "maximum", "mean", "std")}
        return BandStatistics(
            source=self.source, **{name: tuple(values[band] for band in bands) for name, values in columns.items()}
        )


class SecondImages(BaseModel):
    """What the second images of a set are: those of pairs (`Chip.images[1]`), or those of domain B (`Chip.domain` 1).

    The fields mean what they mean in `ChipSet`, which describes the first images.
    """

    model_config = ConfigDict(frozen=True)

    bands: tuple[str, ...]
    dtype: str
    tile_size: tuple[int, int]
    statistics: BandStatistics
    nodata: float | None = None


@dataclass(frozen=True, slots=True)
class GeoReference:
    """Where a chip lies: affine transform (a, b, c, d, e, f) from pixel (column, row) to map units, and the CRS if known."""

    transform: tuple[float, float, float, float, float, float]
    crs: str | None
    width: int
    height: int

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Return (left, bottom, right, top) of the chip in map units, whatever its rotation."""
        a, b, c, d, e, f = self.transform
        corners = [(0, 0), (self.width, 0), (0, self.height), (self.width, self.height)]
        xs = [a * col + b * row + c for col, row in corners]
        ys = [d * col + e * row + f for col, row in corners]
        return min(xs), min(ys), max(xs), max(ys)


@dataclass(frozen=True, slots=True, eq=False)
class Chip:
    """One training sample on disk, with whichever labels its format has. Arrays are read through a `ChipReader`.

    Attributes:
        name: unique within its folder: the file stem, with the folder before it where a format has several ("Forest/0001").
        folder: index into `ChipSet.folders`.
        images: image paths; one, or two where a sample is a pair (two dates, two rasters) of the same size.
        width, height: size of the first image in pixels.
        label: raster of class values, if the format has one.
        masks: instance rasters as (class value, path), if the format has them.
        boxes: float32 (count, 4) as xmin, ymin, xmax, ymax in pixels, origin at the top left; None if the format has no boxes.
            Where there are masks, the boxes around their instances, class by class in the order of `ChipReader.instances`.
        box_values: int64 (count,) class values of the boxes.
        identities: int64 (count,) ids of the boxes' objects: the same object has the same one in all frames of its sequence.
            None except in videos.
        values: class values of the whole chip (labelled tiles: one; multi-labelled: several).
        texts: captions.
        sequence, frame: place in a video.
        domain: 0; 1 for a chip of the other kind of imagery (B) in unpaired data, described by `ChipSet.second`.
        georeference: where it lies, if the file says so.
        pixels: (class value, pixel count) pairs of the label raster, or of a time series' sample pixels, by ascending value,
            counted when the folder was opened.
    """

    name: str
    folder: int
    images: tuple[Path, ...]
    width: int
    height: int
    label: Path | None = None
    masks: tuple[tuple[int, Path], ...] = ()
    boxes: NDArray[np.float32] | None = None
    box_values: NDArray[np.int64] | None = None
    identities: NDArray[np.int64] | None = None
    values: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()
    sequence: str | None = None
    frame: int | None = None
    domain: int = 0
    georeference: GeoReference | None = None
    pixels: tuple[tuple[int, int], ...] = ()

    @property
    def image(self) -> Path:
        """The first (often only) image path."""
        return self.images[0]

    def renumbered(self, new: Mapping[int, int]) -> Chip:
        """Return the chip with other class values, those that `new` does not hold as they are; rasters keep theirs."""
        boxes = self.box_values
        return replace(
            self,
            values=tuple(sorted({new.get(value, value) for value in self.values})),
            box_values=None if boxes is None else np.array([new.get(value, value) for value in boxes.tolist()], np.int64),
            masks=tuple((new.get(value, value), path) for value, path in self.masks),
            pixels=tuple(sorted((new.get(value, value), count) for value, count in self.pixels)),
        )


@dataclass(slots=True)
class Account:
    """What was kept, what was dropped and why; printed before training and written into the report."""

    kept: int = 0
    dropped: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> names of the chips (or files) dropped for it."""
    warnings: list[str] = field(default_factory=list)
    """Sentences about what was found odd and what was done about it."""
    evidence: str = ""
    """What told the format."""

    def drop(self, reason: str, name: str) -> None:
        """Count one chip dropped for `reason`."""
        self.dropped.setdefault(reason, []).append(name)

    def merge(self, other: Account) -> None:
        """Add another folder's account to this one."""
        self.kept += other.kept
        self.evidence = self.evidence or other.evidence
        for reason, names in other.dropped.items():
            self.dropped.setdefault(reason, []).extend(names)
        self.warnings.extend(warning for warning in other.warnings if warning not in self.warnings)


@dataclass(frozen=True)
class ChipSet:
    """One or more folders of chips of one format, as a format reader returns them.

    Attributes:
        folders: the folders given, resolved to where the export lies.
        format: metadata format keyword, such as "Classified_Tiles".
        chips: the usable chips, in the order of their folders and names.
        classes: classes sorted by value. Value 0 is listed only where the export names it.
        bands: band names, in file order.
        dtype: numpy name of the chips' pixel type ("uint8", "uint16", "float32", ...).
        tile_size: (width, height) in pixels that most chips have and the export declares.
        statistics: per band.
        nodata: declared nodata value of the images, if any.
        second: the second images, of formats that have some; `bands`, `dtype`, `tile_size`, `statistics` and `nodata` are
            those of the first.
        image_space: "MAP_SPACE" (north up) or "PIXEL_SPACE" (oriented imagery).
        metadata: other facts of the export that a model type or the package needs, under the reference's key names
            (MinCellSize, MaxCellSize, CropTileMode, BlackenAroundFeature, SingleLabelFieldFound, DimensionValues, ...).
        account: what was kept and dropped.
    """

    folders: tuple[Path, ...]
    format: str
    chips: tuple[Chip, ...]
    classes: tuple[ClassInfo, ...]
    bands: tuple[str, ...]
    dtype: str
    tile_size: tuple[int, int]
    statistics: BandStatistics
    nodata: float | None = None
    second: SecondImages | None = None
    image_space: str = "MAP_SPACE"
    metadata: dict[str, Any] = field(default_factory=dict)
    account: Account = field(default_factory=Account)

    def __len__(self) -> int:
        return len(self.chips)

    def subset(self, indices: Sequence[int]) -> ChipSet:
        """Return the same set with only the chips at `indices`, in that order."""
        return replace(self, chips=tuple(self.chips[index] for index in indices))
