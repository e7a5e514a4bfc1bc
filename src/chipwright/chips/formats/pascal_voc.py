"""PASCAL_VOC_rectangles: boxes in an XML file beside each image; the exporter's, and plain Pascal VOC folders of any origin."""

from __future__ import annotations

from chipwright.chips.formats.boxes import Marked, boxed_part
from chipwright.chips.formats.esri import Export
from chipwright.chips.formats.layouts import box_folders
from chipwright.chips.formats.pairing import paired
from chipwright.chips.formats.part import Part
from chipwright.chips.formats.survey import survey
from chipwright.chips.formats.voc_xml import CORNERS, LABEL_SUFFIXES, Annotation, read_annotations

KEYWORD = "PASCAL_VOC_rectangles"


def read_pascal_voc(export: Export) -> Part:
    """Return the folder's chips with their boxes.

    The exporter writes the class value into `name`, other tools write the class name: both are understood.

    Raises:
        DataError: if a label file is hostile, chips differ in bands or pixel type, or objects are there but no class is known.
    """
    found = survey(export, paired(export, *box_folders(export), LABEL_SUFFIXES))
    labels = [(one, _objects(label)) for one, label in read_annotations(export, found)]
    return boxed_part(export, KEYWORD, found, labels)


def _objects(label: Annotation) -> list[Marked]:
    nan = float("nan")
    found = []
    for one in label.objects:
        left, top, right, bottom = (one.corners.get(corner, nan) for corner in CORNERS)
        found.append((one.name, (left, top, right, bottom)))
    return found
