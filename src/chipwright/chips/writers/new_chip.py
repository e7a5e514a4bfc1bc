"""What is handed to a writer: one training sample in memory, and the facts that all samples of an export share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chipwright.chips.chipset import ClassInfo, GeoReference

ChipFormat = Literal["TIFF", "PNG", "JPEG", "MRF"]

ChipBox = tuple[float, float, float, float]
"""(xmin, ymin, xmax, ymax) in pixels of the chip, origin at its top left corner."""


@dataclass(frozen=True, slots=True, eq=False)
class NewObject:
    """One labelled object as far as it shows in the chip.

    Attributes:
        value: its class value.
        box: its bounding box, within the chip.
        mask: (height, width), True where the object is; None where only the box is known.
        identity: its number through all frames of a video, from 1; None numbers the objects of a chip in order.
    """

    value: int
    box: ChipBox
    mask: NDArray[np.bool_] | None = None
    identity: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class NewChip:
    """One training sample about to be written; a format writes what it has a place for.

    Attributes:
        images: one (bands, height, width) array, or two (second raster, second date).
        label: class values as (height, width) whole numbers.
        objects: boxes and instances.
        values: class values of the whole chip.
        texts: captions.
        sequence, frame: place in a video.
        georeference: where it lies.
        name: file stem to keep; None numbers the chips.
        domain: of CycleGAN, 0 for A and 1 for B.
        valid: for each image (height, width), True where it holds data, or None: what the source's own mask says beside its
            nodata value and NaN. It goes into TIFF chips as their mask, and into the statistics.
        image_files: files that hold the images exactly; those in the export's chip format are copied instead of encoded.
        label_file: a TIFF that holds the label exactly, copied likewise.
    """

    images: tuple[NDArray[Any], ...]
    label: NDArray[Any] | None = None
    objects: tuple[NewObject, ...] = ()
    values: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()
    sequence: str | None = None
    frame: int | None = None
    georeference: GeoReference | None = None
    name: str | None = None
    domain: int = 0
    valid: tuple[NDArray[np.bool_] | None, ...] = ()
    image_files: tuple[Path, ...] = ()
    label_file: Path | None = None


@dataclass(frozen=True)
class ExportFacts:
    """What all chips of an export share.

    Attributes:
        classes: sorted by value.
        bands: names, in file order; `second_bands` those of the second image, where there is one.
        tile_size: (width, height) in pixels.
        chip_format: of the images; label rasters are TIFF, those of ObjectTracking PNG.
        start_index: number of the first chip.
        nodata: of the images, if any; `second_nodata` that of the second images where it is another (NaN: none).
        cell_size: (x, y) in units of the reference system.
        wkid: EPSG code of the reference system, if it has one.
        image_space: "MAP_SPACE" or "PIXEL_SPACE".
        instance_classes: class values whose objects are counted one by one (Panoptic_Segmentation).
        metadata: further keys for the .emd under the reference's names (CropTileMode, BlackenAroundFeature,
            SingleLabelFieldFound, IsMultidimensional, DimensionValues, ...).
    """

    classes: tuple[ClassInfo, ...]
    bands: tuple[str, ...]
    tile_size: tuple[int, int]
    second_bands: tuple[str, ...] = ()
    chip_format: ChipFormat = "TIFF"
    start_index: int = 0
    nodata: float | None = None
    second_nodata: float | None = None
    cell_size: tuple[float, float] = (1.0, 1.0)
    wkid: int | None = None
    image_space: str = "MAP_SPACE"
    instance_classes: tuple[int, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
