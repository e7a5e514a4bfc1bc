"""YOLO_rectangles: a line an object, with the class's index and centre and size as shares of the chip; names in data.yaml."""

from __future__ import annotations

from pathlib import Path

import yaml

from chipwright.chips.writers.labels import Labels, Written, boxed
from chipwright.chips.writers.new_chip import ExportFacts, NewChip
from chipwright.files import write_text


class YoloLabels(Labels):
    """YOLO_rectangles: index 0 is the class with the lowest value."""

    def __init__(self, folder: Path, facts: ExportFacts) -> None:
        super().__init__(folder, facts)
        self.index = {info.value: index for index, info in enumerate(facts.classes)}

    def write(self, chip: NewChip, stem: str, image: str) -> Written:
        text, path = self.path("labels", f"{stem}.txt")
        _, height, width = chip.images[0].shape
        lines = []
        for one in chip.objects:
            left, top, right, bottom = one.box
            shares = ((left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height)
            lines.append(" ".join([str(self.index[one.value]), *(f"{share:.8f}" for share in shares)]) + "\n")
        path.write_text("".join(lines), encoding="ascii", newline="\n")
        return Written((text,), boxed(chip.objects))

    def close(self) -> None:
        names = {self.index[info.value]: info.name for info in self.facts.classes}
        about = {"path": ".", "train": "images", "val": "images", "nc": len(names), "names": names}
        write_text(self.folder / "data.yaml", yaml.safe_dump(about, allow_unicode=True, sort_keys=False))
