"""The formats whose labels number instances: RCNN_Masks, time series, video, and the other half of Panoptic_Segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipwright.chips.chipset import ClassInfo
from chipwright.chips.formats.mask_folders import FIRST_VALUE
from chipwright.chips.writers.labels import Labels, Written, boxed
from chipwright.chips.writers.names import class_folders, safe
from chipwright.chips.writers.new_chip import ExportFacts, NewChip, NewObject
from chipwright.chips.writers.raster_labels import ClassifiedTiles
from chipwright.chips.writers.rasters import write_label
from chipwright.errors import OptionError, listed


def instance_bands(objects: Sequence[NewObject], size: tuple[int, int]) -> NDArray[Any]:
    """Return the instances of (height, width) masks as (bands, height, width) numbers from 1, 0 where none is.

    One band where no two overlap, else each instance in the first band where it fits. The pixel type is the smallest of uint8,
    uint16 and uint32 that holds the largest number.
    """
    numbers = [position if one.identity is None else one.identity for position, one in enumerate(objects, 1)]
    bands = [np.zeros(size, np.min_scalar_type(max(numbers, default=0)))]
    for number, one in zip(numbers, objects, strict=True):
        free = (band for band in bands if not band[one.mask].any())
        band = next(free, None)
        if band is None:
            band = np.zeros_like(bands[0])
            bands.append(band)
        band[one.mask] = number
    return np.stack(bands)


def outlined(objects: Sequence[NewObject], stem: str) -> list[NewObject]:
    """Return the objects that show in the chip.

    Raises:
        OptionError: if an object has no mask.
    """
    if any(one.mask is None for one in objects):
        raise OptionError(f"This format needs the outlines of objects; chip {stem} has objects with boxes only.")
    return [one for one in objects if one.mask is not None and one.mask.any()]


class RcnnMasks(Labels):
    """RCNN_Masks: a folder a class, and in it a TIFF of instance numbers for each chip that shows the class.

    A chip without any object gets an empty raster in the first class's folder: without a label it would not count as a chip.
    Classes under `FIRST_VALUE` have no folder, which readers would leave out.
    """

    def __init__(self, folder: Path, facts: ExportFacts) -> None:
        super().__init__(folder, facts)
        self.folders = self.folder_names([info for info in facts.classes if info.value >= FIRST_VALUE])

    def folder_names(self, classes: Sequence[ClassInfo]) -> dict[int, str]:
        """Return the folder of each class value."""
        return class_folders(classes)

    def write(self, chip: NewChip, stem: str, image: str) -> Written:
        if lost := sorted({one.value for one in chip.objects} - self.folders.keys()):
            raise OptionError(
                f"Chip {stem} has objects of the class values {listed(lost)}; the values of classes with instances must start "
                f"at {FIRST_VALUE}. Give the classes other values."
            )
        return write_instances(self, "labels", self.folders, chip, stem, empty=True)


class TimeSeries(RcnnMasks):
    """Multidimensional time series: RCNN_Masks whose folders are class values."""

    def folder_names(self, classes: Sequence[ClassInfo]) -> dict[int, str]:
        return {info.value: str(info.value) for info in classes}

    def metadata(self) -> dict[str, Any]:
        dates = self.facts.metadata.get("DimensionValues")
        if not isinstance(dates, list | tuple) or not dates:
            raise OptionError("A time series needs the dates of its images: DimensionValues, days with 1900-01-01 = 2.")
        if len(self.facts.bands) % len(dates):
            raise OptionError(
                f"The {len(self.facts.bands)} bands of a time series are not a multiple of its {len(dates)} dates; "
                "each date has the same bands, in turn."
            )
        return {"IsMultidimensional": True}


class PanopticLabels(ClassifiedTiles):
    """Panoptic_Segmentation: class values in labels, instances of the classes that are counted in labels2."""

    features = True

    def __init__(self, folder: Path, facts: ExportFacts) -> None:
        super().__init__(folder, facts)
        names = class_folders(facts.classes)
        self.folders = {value: names[value] for value in facts.instance_classes}

    def metadata(self) -> dict[str, Any]:
        things = [info for info in self.facts.classes if info.value in self.folders]
        rows = [{"Value": info.value, "Name": info.name} for info in things]
        return {"Panoptic_Segmentation_Instance_Classes": rows}

    def write(self, chip: NewChip, stem: str, image: str) -> Written:
        label = super().write(chip, stem, image)
        masks = write_instances(self, "labels2", self.folders, chip, stem, empty=False)
        return Written(label.files + masks.files, masks.features)


class TrackedMasks(Labels):
    """ObjectTracking: images are numbered frames, labels/<sequence>/<frame>.png numbers the objects through all frames."""

    def stem(self, chip: NewChip, number: int) -> str:
        return f"{chip.frame:012d}" if chip.name is None and chip.frame is not None else super().stem(chip, number)

    def write(self, chip: NewChip, stem: str, image: str) -> Written:
        if chip.sequence is None or not safe(chip.sequence):
            raise OptionError(
                f"Chips of ObjectTracking belong to a video whose name can be a folder; chip {stem} has {chip.sequence!r}."
            )
        objects = outlined(chip.objects, stem)
        layers = instance_bands(objects, chip.images[0].shape[1:])
        suffix = ".png" if len(layers) <= 4 and layers.dtype.itemsize <= 2 else ".tif"
        text, path = self.path("labels", chip.sequence, f"{stem}{suffix}")
        write_label(path, layers, None if suffix == ".png" else chip.georeference)
        return Written((text,), boxed(objects))


def write_instances(labels: Labels, root: str, folders: dict[int, str], chip: NewChip, stem: str, empty: bool) -> Written:
    """Write one raster of instances for each class that the chip shows.

    Args:
        labels: whose folder it is.
        root: its sub-folder.
        folders: folder of each class value that is written.
        empty: whether a chip without objects gets an empty raster.
    """
    objects = [one for one in outlined(chip.objects, stem) if one.value in folders]
    values = sorted({one.value for one in objects}) or list(folders)[: int(empty)]
    files = []
    for value in values:
        text, path = labels.path(root, folders[value], f"{stem}.tif")
        mine = [one for one in objects if one.value == value]
        write_label(path, instance_bands(mine, chip.images[0].shape[1:]), chip.georeference)
        files.append(text)
    return Written(tuple(files), boxed(objects))
