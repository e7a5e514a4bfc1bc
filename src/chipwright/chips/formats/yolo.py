"""YOLO_rectangles: a text file beside each image, a line an object: class, then centre x and y, width, height as shares.

Classes are counted from 0 in the order of a names file (`data.yaml`, `classes.txt`, `obj.names`); they get the values 1, 2,
..., since 0 is background in class values. Without a names file the numbers are taken for class values if the metadata list
them. A line with more than five columns outlines the object (class x1 y1 x2 y2 ...) and gives its bounding box. An image
without a label file shows no object, as the tools that write this format have it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from chipwright.chips.formats.boxes import Marked, boxed_part
from chipwright.chips.formats.classes import DraftClass, declared, whole
from chipwright.chips.formats.esri import Export, entries_of
from chipwright.chips.formats.label_files import read_labels
from chipwright.chips.formats.layouts import box_folders
from chipwright.chips.formats.pairing import IMAGE_SUFFIXES, Sample, paired
from chipwright.chips.formats.part import Part
from chipwright.chips.formats.survey import Surveyed, survey
from chipwright.chips.formats.text_labels import LABEL_SUFFIXES, TextLabel, lines_of, note_unread, numbers
from chipwright.chips.formats.texts import read_text
from chipwright.errors import DataError

KEYWORD = "YOLO_rectangles"

NAMES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names", "_darknet.labels", "labels.txt")
"""Files that may list the class names, in the folder, beside the labels, or one folder up."""

_LONGEST_NAMES = 2**20

_Loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""Reads every value as text: a class may be called "no" or "1e3", and nothing that YAML can spell is made."""

_MOST_CLASSES = 100_000


def read_yolo(export: Export) -> Part:
    """Return the folder's chips with their boxes.

    Images and labels may lie one level down in folders of the same names (images/train and labels/train).

    Raises:
        DataError: if chips differ in bands or pixel type, no line is an object, or objects are there but no class is known.
    """
    found = survey(export, _samples(export))
    labels = read_labels(export, found, read_label, "readable text", missing=TextLabel())
    note_unread(export, labels, "a class number and the box as centre x, centre y, width and height between 0 and 1")
    names = _class_names(export)
    text_of, classes = _meaning(export, names, {text for _, label in labels for text, _ in label.objects})
    marked = [(chip, _in_pixels(label, chip, text_of)) for chip, label in labels]
    return boxed_part(export, KEYWORD, found, marked, classes)


def _samples(export: Export) -> list[Sample]:
    images, labels = box_folders(export)
    inner = [name for name in sorted(entries_of(images).values()) if (images / name).is_dir()]
    if not inner or any(Path(name).suffix.lower() in IMAGE_SUFFIXES for name in entries_of(images).values()):
        return paired(export, images, labels, LABEL_SUFFIXES, optional=True)
    samples = []
    for name in inner:
        beneath = labels / name if labels and (labels / name).is_dir() else None
        for sample in paired(export, images / name, beneath, LABEL_SUFFIXES, optional=True):
            samples.append(replace(sample, name=f"{name}/{sample.name}"))
    return samples


def read_label(path: Path) -> TextLabel:
    """Return the objects of one label file, corners as shares of the image.

    Raises:
        DataError: if the file is too long.
        OSError, ValueError: if it cannot be read, or is no text.
    """
    label = TextLabel()
    for words in lines_of(path):
        values = numbers(words[1:])
        if values is None or len(values) < 4 or (len(values) > 5 and len(values) % 2):
            label.unread += 1
        elif len(values) <= 5:  # a detector's score may follow the box
            x, y, width, height = values[:4]
            label.add(words[0], (x - width / 2, y - height / 2, x + width / 2, y + height / 2))
        else:
            label.add(words[0], (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])))
    return label


def _in_pixels(label: TextLabel, chip: Surveyed, text_of: dict[str, str]) -> list[Marked]:
    width, height = chip.images[0].size
    return [
        (text_of.get(text, f"number {text}"), (left * width, top * height, right * width, bottom * height))
        for text, (left, top, right, bottom) in label.objects
    ]


def _meaning(export: Export, names: Sequence[str], written: set[str]) -> tuple[dict[str, str], tuple[DraftClass, ...]]:
    """Return (class number as written -> class value as text, classes by the names)."""
    positions = {text: whole(text) for text in written}
    values = [draft.value for draft in declared(export)]
    if values and not names and set(positions.values()) <= set(values):
        return {text: text for text in written}, ()
    if not values:
        count = max((position for position in positions.values() if position is not None), default=-1) + 1
        if count > _MOST_CLASSES:
            raise DataError(
                f"Labels in {export.root} hold the class number {count - 1}; they count from 0. Are these YOLO labels?"
            )
        names = names or [str(position) for position in range(count)]
        values = list(range(1, len(names) + 1))
    text_of = {
        text: str(values[position])
        for text, position in positions.items()
        if position is not None and 0 <= position < len(values)
    }
    return text_of, tuple(map(DraftClass, values, names))


def _class_names(export: Export) -> list[str]:
    """Return the class names of a names file in their order, or nothing."""
    labels = box_folders(export)[1]
    above = [export.root.parent] if os.access(export.root.parent, os.R_OK) else []
    for folder in (export.root, *([labels] if labels else []), *above):
        entries = entries_of(folder)
        for name in NAMES:
            if name in entries:
                return _names_in(folder / entries[name])
    return []


def _names_in(path: Path) -> list[str]:
    text, _ = read_text(path, _LONGEST_NAMES)
    if path.suffix.lower() not in (".yaml", ".yml"):
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        content: Any = yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DataError(f"{path} is not valid YAML ({str(error).splitlines()[0]}); mend the file, or remove it.") from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict):
        numbered = {whole(str(key)): name for key, name in names.items()}
        positions = [position for position in numbered if position is not None and 0 <= position < _MOST_CLASSES]
        return [_name(numbered.get(position), position) for position in range(max(positions, default=-1) + 1)]
    return [_name(name, position) for position, name in enumerate(names)] if isinstance(names, list) else []


def _name(given: Any, position: int) -> str:
    # lists are no names, and as text one whose parts repeat each other by reference can have any length
    return given.strip() if isinstance(given, str) and given.strip() else str(position)
