"""PASCAL_VOC_rectangles: boxes in an XML file beside each image; the exporter's, and plain Pascal VOC folders of any origin."""

from __future__ import annotations

from chipwright.chips.formats.boxes import Marked, boxed_part
from chipwright.chips.formats.esri import Export
from chipwright.chips.formats.pairing import images_folder, paired
from chipwright.chips.formats.part import Part
from chipwright.chips.formats.survey import survey
from chipwright.chips.formats.voc_xml import CORNERS, LABEL_SUFFIXES, Annotation, read_annotations

KEYWORD = "PASCAL_VOC_rectangles"

IMAGE_FOLDERS = ("images", "JPEGImages")
LABEL_FOLDERS = ("labels", "Annotations")


def read_pascal_voc(export: Export) -> Part:
    """Return the folder's chips with their boxes.

    The exporter writes the class value into `name`, other tools write the class name: both are understood.

    Raises:
        DataError: if a label file is hostile, chips differ in bands or pixel type, or objects are there but no class is known.
    """
    samples = paired(export, images_folder(export, *IMAGE_FOLDERS), export.directory(*LABEL_FOLDERS), LABEL_SUFFIXES)
    found = survey(export, samples)
    labels = [(one, _objects(label)) for one, label in read_annotations(export, found)]
    return boxed_part(export, KEYWORD, found, labels)


def _objects(label: Annotation) -> list[Marked]:
    nan = float("nan")
    found = []
    for one in label.objects:
        left, top, right, bottom = (one.corners.get(corner, nan) for corner in CORNERS)
        found.append((one.name, (left, top, right, bottom)))
    return found
