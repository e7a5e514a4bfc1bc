"""The formats whose labels are rasters of class values: Classified_Tiles, ChangeDetection and half of Panoptic_Segmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chipwright.chips.writers.labels import Labels, Written
from chipwright.chips.writers.new_chip import ExportFacts, NewChip
from chipwright.chips.writers.rasters import copy_raster, label_type, write_label
from chipwright.errors import OptionError


class ClassifiedTiles(Labels):
    """Classified_Tiles: a TIFF of class values a chip, of the smallest pixel type that holds all classes."""

    pixels = True
    features = False

    def __init__(self, folder: Path, facts: ExportFacts) -> None:
        super().__init__(folder, facts)
        self.type = label_type([info.value for info in facts.classes])

    def write(self, chip: NewChip, stem: str, image: str) -> Written:
        if chip.label is None:
            raise OptionError(f"The labels of this format are rasters of class values; chip {stem} has none.")
        text, path = self.path("labels", f"{stem}.tif")
        if chip.label_file is not None:
            copy_raster(chip.label_file, path)
            return Written((text,))
        low, high = int(chip.label.min()), int(chip.label.max())
        limits = np.iinfo(self.type)
        fits = limits.min <= low and high <= limits.max
        kind = self.type if fits else np.result_type(self.type, label_type([low, high]))
        write_label(path, chip.label[None].astype(kind), chip.georeference)
        return Written((text,))


class ThematicTiles(ClassifiedTiles):
    """Export_Tiles: images alone, or with a second image, or with a raster of what they show."""

    pixels = False
    features = True

    def write(self, chip: NewChip, stem: str, image: str) -> Written:
        return Written() if chip.label is None else super().write(chip, stem, image)


class ChangeTiles(ClassifiedTiles):
    """ChangeDetection: two images, and a raster of what changed."""

    pairs = True
