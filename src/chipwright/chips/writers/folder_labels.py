"""Imagenet: no label files; the folder of an image is its class."""

from __future__ import annotations

from pathlib import Path

from chipwright.chips.writers.labels import Labels, Written, only_value
from chipwright.chips.writers.names import class_folders
from chipwright.chips.writers.new_chip import ExportFacts, NewChip


class ImagenetFolders(Labels):
    """Imagenet: images/<class>/<chip>."""

    def __init__(self, folder: Path, facts: ExportFacts) -> None:
        super().__init__(folder, facts)
        self.folders = class_folders(facts.classes)

    def image_folders(self, chip: NewChip, stem: str) -> tuple[str, ...]:
        return (f"images/{self.folders[only_value(chip, stem, 'Imagenet')]}",)

    def write(self, chip: NewChip, stem: str, image: str) -> Written:
        _, height, width = chip.images[0].shape
        return Written((), ((chip.values[0], width * height),))
