"""One folder of chips being written: images, labels, map.txt, and the figures that its metadata will say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chipwright.chips.formats.esri import MAP
from chipwright.chips.formats.survey import value_counts
from chipwright.chips.reading import valid_pixels
from chipwright.chips.statistics import Moments, measured, pooled
from chipwright.chips.writers.labels import Labels
from chipwright.chips.writers.metadata import LINE_END, map_line, write_metadata
from chipwright.chips.writers.new_chip import ExportFacts, NewChip
from chipwright.chips.writers.rasters import SUFFIXES, check_chip_format, copy_raster, write_image
from chipwright.chips.writers.tally import FeatureTally, PixelTally
from chipwright.errors import OptionError


class ExportFolder:
    """Takes chips one by one; keeps sums only.

    Args:
        folder: where to; made here.
        mode: MetaDataMode of the metadata.
        kind: what writes the labels.
        facts: of the export.

    Raises:
        OptionError: if the facts lack what the format needs.
    """

    def __init__(self, folder: Path, mode: str, kind: type[Labels], facts: ExportFacts) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.mode = mode
        self.facts = facts
        self.labels = kind(folder, facts)
        self.labels.metadata()  # what is missing is said before anything is written
        self.features = FeatureTally(facts.classes)
        self.pixels = PixelTally(facts.classes)
        self.values = {info.value for info in facts.classes}
        self.bands = [facts.bands] + ([facts.second_bands] if kind.pairs or facts.second_bands else [])
        self.nodata = (facts.nodata, facts.nodata if facts.second_nodata is None else facts.second_nodata)
        self.moments: list[Moments] = []
        self.count = 0
        self.next_index = facts.start_index
        self.map = (folder / MAP).open("w", encoding="utf-8", newline=LINE_END)

    def write(self, chip: NewChip) -> str:
        """Write one chip and return its file stem (see `ChipWriter.write`)."""
        self._check(chip)
        stem = self.labels.stem(chip, self.facts.start_index + self.count)
        images = self._write_images(chip, stem)
        written = self.labels.write(chip, stem, images[0].rpartition("/")[2])
        cell = self._cell_area(chip)
        self.features.add((value, area * cell) for value, area in written.features)
        if self.labels.pixels and chip.label is not None:
            self.pixels.add(dict(value_counts(chip.label)))
        self._measure(chip)
        self.map.write(map_line(images, written.files) + "\n")
        self.count += 1
        if stem.isdecimal():
            self.next_index = max(self.next_index, int(stem) + 1)
        return stem

    def close(self) -> None:
        """Write what is said once, at the end."""
        self.map.close()
        self.labels.close()
        tallies: list[FeatureTally | PixelTally] = [
            *([self.pixels] if self.labels.pixels else []),
            *([self.features] if self.labels.features else []),
        ]
        counts = (self.count, self.next_index)
        write_metadata(self.folder, self.mode, self.facts, self.labels, self.moments, tallies, *counts)

    def abandon(self) -> None:
        """Close open files, so that the folder can be removed on every system."""
        self.map.close()
        self.labels.abandon()

    def _check(self, chip: NewChip) -> None:
        """Raise `ValueError` for a chip that contradicts itself or the facts, `OptionError` for what a format cannot hold."""
        found, expected = [len(image) for image in chip.images], [len(names) for names in self.bands]
        if found != expected:
            raise ValueError(f"a chip has images of {found} bands; the export's have {expected}")
        size = chip.images[0].shape[1:]
        rasters = [*chip.images[1:], *([] if chip.label is None else [chip.label])]
        rasters += [one.mask for one in chip.objects if one.mask is not None]
        if any(raster.shape[-2:] != size for raster in rasters):
            raise ValueError(f"a chip's images, label and masks differ in size: {size}, {[one.shape for one in rasters]}")
        unknown = ({one.value for one in chip.objects} | set(chip.values)) - self.values
        if unknown and self.values:
            raise ValueError(f"{sorted(unknown)} are not values of the export's classes ({sorted(self.values)})")
        for image in chip.images:
            check_chip_format(self.facts.chip_format, image)

    def _write_images(self, chip: NewChip, stem: str) -> list[str]:
        if not stem or stem in (".", "..") or set(stem) & set("/\\:"):
            raise ValueError(f"{stem!r} is no file stem")
        facts = self.facts
        endings = SUFFIXES[facts.chip_format]
        found = []
        for at, (pixels, place) in enumerate(zip(chip.images, self.labels.image_folders(chip, stem), strict=True)):
            source = chip.image_files[at] if at < len(chip.image_files) else None
            copied = source is not None and facts.chip_format != "MRF" and source.suffix.lower() in endings
            suffix = source.suffix.lower() if source is not None and copied else endings[0]
            text, path = self.labels.path(*place.split("/"), f"{stem}{suffix}")
            if path.exists():
                raise OptionError(f"Two chips would have the name {path.name}; chips of one export need names of their own.")
            if source is not None and copied:
                copy_raster(source, path)
            else:
                about = (self.bands[at], self.nodata[at], chip.georeference, _masks(chip)[at])
                write_image(path, pixels, facts.chip_format, *about)
            found.append(text)
        return found

    def _measure(self, chip: NewChip) -> None:
        masked = zip(chip.images, self.nodata, _masks(chip), strict=False)
        parts = [measured(image, valid_pixels(image, nodata, mask)) for image, nodata, mask in masked]
        self.moments = [pooled(pair) for pair in zip(self.moments, parts, strict=True)] if self.moments else parts

    def _cell_area(self, chip: NewChip) -> float:
        """Return the area of a pixel in map units."""
        if chip.georeference is None:
            return self.facts.cell_size[0] * self.facts.cell_size[1]
        a, b, _, d, e, _ = chip.georeference.transform
        return abs(a * e - b * d)


def _masks(chip: NewChip) -> Sequence[NDArray[np.bool_] | None]:
    return chip.valid or [None] * len(chip.images)


def domains(facts: ExportFacts) -> Sequence[ExportFacts]:
    """Return the facts of CycleGAN's two folders."""
    nodata = facts.nodata if facts.second_nodata is None else facts.second_nodata
    second = replace(facts, bands=facts.second_bands or facts.bands, nodata=nodata)
    return [replace(one, second_bands=(), second_nodata=None) for one in (facts, second)]
