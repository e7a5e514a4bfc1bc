"""KITTI_rectangles: a text file beside each image, a line of 15 columns an object, of which class and box are used."""

from __future__ import annotations

from pathlib import Path

from chipwright.chips.formats.boxes import boxed_part
from chipwright.chips.formats.esri import Export, counted
from chipwright.chips.formats.label_files import read_labels
from chipwright.chips.formats.layouts import box_folders
from chipwright.chips.formats.pairing import paired
from chipwright.chips.formats.part import Part
from chipwright.chips.formats.survey import survey
from chipwright.chips.formats.text_labels import LABEL_SUFFIXES, TextLabel, lines_of, note_unread, numbers
from chipwright.errors import listed

KEYWORD = "KITTI_rectangles"

COLUMNS = 15
"""Class, truncated, occluded, alpha, xmin, ymin, xmax, ymax, then eight of objects in space; a detector's score may follow."""

_MOST_WORDS = 40

_IGNORED = "dontcare"
"""The original's class of regions that nobody labelled."""


def read_kitti(export: Export) -> Part:
    """Return the folder's chips with their boxes.

    The exporter writes the class value into the first column, the original a name, other tools names of several words.

    Raises:
        DataError: if chips differ in bands or pixel type, no line is an object, or objects are there but no class is known.
    """
    found = survey(export, paired(export, *box_folders(export), LABEL_SUFFIXES))
    labels = read_labels(export, found, read_label, "readable text")
    note_unread(export, labels, f"{COLUMNS} columns: the class, three numbers, xmin, ymin, xmax, ymax, and seven more numbers")
    kept = []
    regions = []
    for chip, label in labels:
        objects = [one for one in label.objects if one[0].casefold() != _IGNORED]
        regions += [chip.sample.name] * (len(label.objects) - len(objects))
        kept.append((chip, objects))
    if regions:
        export.account.warnings.append(
            f"Skipped {counted(len(regions), 'region')} marked DontCare ({listed(dict.fromkeys(regions))}); objects there "
            "count as background."
        )
    return boxed_part(export, KEYWORD, found, kept)


def read_label(path: Path) -> TextLabel:
    """Return the objects of one label file.

    Raises:
        DataError: if the file is too long.
        OSError, ValueError: if it cannot be read, or is no text.
    """
    label = TextLabel()
    for words in lines_of(path):
        # class names may have blanks, so the columns begin with the numbers
        starts = range(1, len(words)) if len(words) <= _MOST_WORDS else ()
        columns: list[float] = next((found for at in starts if (found := numbers(words[at:])) is not None), [])
        if not COLUMNS - 8 <= len(columns) <= COLUMNS:
            label.unread += 1
            continue
        left, top, right, bottom = columns[3:7]
        label.add(" ".join(words[: -len(columns)]), (left, top, right, bottom))
    return label
