"""What a format does with a chip beside writing its images; each format's own file says how its labels look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from chipwright.chips.writers.new_chip import ExportFacts, NewChip, NewObject
from chipwright.errors import OptionError


@dataclass(frozen=True)
class Written:
    """What was written for one chip.

    Attributes:
        files: label files below the export's folder as "labels/000000000000.xml", in the order of map.txt.
        features: (class value, area in pixels) of what the statistics count.
    """

    files: tuple[str, ...] = ()
    features: tuple[tuple[int, float], ...] = ()


class Labels:
    """Writes the labels of one export; this one writes none, for CycleGAN.

    Attributes:
        pixels, features: whether the statistics count the pixels of label rasters, and features.
        pairs: whether each chip has two images.
    """

    pixels: ClassVar[bool] = False
    features: ClassVar[bool] = True
    pairs: ClassVar[bool] = False

    def __init__(self, folder: Path, facts: ExportFacts) -> None:
        self.folder = folder
        self.facts = facts

    @property
    def lists_classes(self) -> bool:
        """Whether the metadata have a list of classes; formats that have none may leave it out."""
        return bool(self.facts.classes)

    def metadata(self) -> dict[str, Any]:
        """Return keys of the .emd that the format brings; the export's own facts go before them.

        Raises:
            OptionError: if the facts lack what the format needs.
        """
        return {}

    def stem(self, chip: NewChip, number: int) -> str:
        """Return the file stem of the chip that is number `number`."""
        return f"{number:012d}" if chip.name is None else chip.name

    def image_folders(self, chip: NewChip, stem: str) -> tuple[str, ...]:
        """Return the folders of the chip's images, below the export's folder."""
        return ("images", "images2")[: len(chip.images)]

    def write(self, chip: NewChip, stem: str, image: str) -> Written:
        """Write the labels of one chip.

        Args:
            chip: the chip, its images already written.
            stem: its file stem.
            image: file name of its first image.

        Raises:
            OptionError: if the chip lacks what the format is about.
        """
        return Written()

    def close(self) -> None:
        """Finish what was written along the way."""

    def abandon(self) -> None:
        """Close open files of an export that is given up."""

    def path(self, *parts: str) -> tuple[str, Path]:
        """Return a file below the export's folder as (text with slashes, path), its folder made."""
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return "/".join(parts), path


def only_value(chip: NewChip, stem: str, keyword: str) -> int:
    """Return the one class value of a whole chip.

    Raises:
        OptionError: if it has none or several.
    """
    if len(chip.values) != 1:
        raise OptionError(
            f"{keyword} chips have one class each; chip {stem} has {len(chip.values) or 'none'}. "
            "MultiLabeled_Tiles takes any number."
        )
    return chip.values[0]


def boxed(objects: Sequence[NewObject]) -> tuple[tuple[int, float], ...]:
    """Return (class value, area in pixels) of objects: of the mask where there is one, else of the box."""
    return tuple((one.value, _area(one)) for one in objects)


def _area(one: NewObject) -> float:
    if one.mask is not None:
        return int(one.mask.sum())
    left, top, right, bottom = one.box
    return (right - left) * (bottom - top)
