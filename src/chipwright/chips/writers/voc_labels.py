"""The formats whose labels are Pascal VOC's XML: rectangles, labelled tiles and captions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from chipwright.chips.writers.labels import Labels, Written, boxed, only_value
from chipwright.chips.writers.names import lookup_of
from chipwright.chips.writers.new_chip import ChipBox, ExportFacts, NewChip
from chipwright.errors import OptionError

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to write."""


class VocLabels(Labels):
    """PASCAL_VOC_rectangles: an XML file a chip; `name` holds the class value, as the exporter writes it."""

    def write(self, chip: NewChip, stem: str, image: str) -> Written:
        file = self._write_xml(chip, stem, image, ((str(one.value), one.box) for one in chip.objects))
        return Written((file,), boxed(chip.objects))

    def _write_xml(self, chip: NewChip, stem: str, image: str, objects: Iterable[tuple[str, ChipBox]]) -> str:
        text, path = self.path("labels", f"{stem}.xml")
        bands, height, width = chip.images[0].shape
        rows = [
            '<?xml version="1.0"?>',
            "<annotation>",
            f"    <filename>{escape(image)}</filename>",
            "    <source>",
            "        <annotation>chipwright</annotation>",
            "    </source>",
            "    <size>",
            f"        <width>{width}</width>",
            f"        <height>{height}</height>",
            f"        <depth>{bands}</depth>",
            "    </size>",
        ]
        for name, box in objects:
            rows += ["    <object>", f"        <name>{escape(_NO_XML.sub(' ', name))}</name>", "        <bndbox>"]
            rows += [
                f"            <{corner}>{at:.2f}</{corner}>"
                for corner, at in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
            ]
            rows += ["        </bndbox>", "    </object>"]
        path.write_text("\n".join([*rows, "</annotation>", ""]), encoding="utf-8", newline="\n")
        return text

    def _label_tile(self, chip: NewChip, stem: str, image: str, texts: Iterable[str], values: Iterable[int]) -> Written:
        """Write texts about the whole chip."""
        _, height, width = chip.images[0].shape
        file = self._write_xml(chip, stem, image, ((text, (0, 0, width, height)) for text in texts))
        return Written((file,), tuple((value, width * height) for value in values))


class LabeledTiles(VocLabels):
    """Labeled_Tiles: one class value a chip."""

    def write(self, chip: NewChip, stem: str, image: str) -> Written:
        value = only_value(chip, stem, "Labeled_Tiles")
        return self._label_tile(chip, stem, image, [str(value)], [value])


class MultiLabeledTiles(VocLabels):
    """MultiLabeled_Tiles: names of classes between commas; values instead where names would be misread. No object: no class."""

    def __init__(self, folder: Path, facts: ExportFacts) -> None:
        super().__init__(folder, facts)
        self.meant = lookup_of(facts.classes)
        self.texts = {
            info.value: info.name if self._plain(info.name) and self.meant(info.name) == info.value else str(info.value)
            for info in facts.classes
        }

    @staticmethod
    def _plain(name: str) -> bool:
        return not (set(name) & set(",\r") or _NO_XML.search(name))  # XML turns \r into \n

    def write(self, chip: NewChip, stem: str, image: str) -> Written:
        text = ",".join(self.texts.get(value, str(value)) for value in chip.values)
        if len(chip.values) > 1 and self.meant(text) is not None:  # the name of another class, commas and all
            text = ",".join(map(str, chip.values))
        return self._label_tile(chip, stem, image, [text] if text else [], chip.values)


class Captions(VocLabels):
    """ImageCaptioning: one object a caption; the reference reads the first."""

    @property
    def lists_classes(self) -> bool:
        return True  # an empty one

    def metadata(self) -> dict[str, Any]:
        return {"SingleLabelFieldFound": "Caption"}

    def write(self, chip: NewChip, stem: str, image: str) -> Written:
        if not chip.texts:
            raise OptionError(f"ImageCaptioning chips have at least one caption each; chip {stem} has none.")
        return self._label_tile(chip, stem, image, chip.texts, ())
