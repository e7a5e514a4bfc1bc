"""PASCAL_VOC_rectangles: boxes in an XML file beside each image; the exporter's, and plain Pascal VOC folders of any origin."""

from __future__ import annotations

from chipwright.chips.chipset import Chip
from chipwright.chips.formats.boxes import BoxAccount, fit_boxes
from chipwright.chips.formats.classes import Lookup, declared, named
from chipwright.chips.formats.esri import Export
from chipwright.chips.formats.pairing import images_folder, paired
from chipwright.chips.formats.part import Part, assemble
from chipwright.chips.formats.survey import check_type, survey
from chipwright.chips.formats.voc_xml import CORNERS, LABEL_SUFFIXES, Annotation, Marked, read_annotations
from chipwright.errors import DataError, listed

KEYWORD = "PASCAL_VOC_rectangles"

IMAGE_FOLDERS = ("images", "JPEGImages")
LABEL_FOLDERS = ("labels", "Annotations")


def read_pascal_voc(export: Export) -> Part:
    """Return the folder's chips with their boxes; chips without an object are kept, they teach what is none.

    The exporter writes the class value into `name`, other tools write the class name: both are understood.

    Raises:
        DataError: if a label file is hostile, chips differ in bands or pixel type, or objects are there but no class is known.
    """
    samples = paired(export, images_folder(export, *IMAGE_FOLDERS), export.directory(*LABEL_FOLDERS), LABEL_SUFFIXES)
    found = survey(export, samples)
    check_type(export, found)
    labels = read_annotations(export, found)
    classes = declared(export)
    own_values = not classes
    if own_values:
        classes = named(marked.name for _, label in labels for marked in label.objects)
        if classes and export.esri:
            names = listed((draft.name for draft in classes), 20)
            export.account.warnings.append(f"The metadata of {export.root} name no classes; the labels name {names}.")
    value_of = Lookup(classes)
    account = BoxAccount()
    chips = []
    for one, label in labels:
        facts = one.images[0]
        boxes, values = fit_boxes(_marked(label), facts.size, one.sample.name, value_of, account)
        chips.append(
            Chip(
                name=one.sample.name,
                folder=0,
                images=one.sample.images,
                width=facts.width,
                height=facts.height,
                boxes=boxes,
                box_values=values,
                georeference=facts.georeference,
            )
        )
    account.close(export)
    if account.unknown and not any(len(chip.boxes) for chip in chips if chip.boxes is not None):
        raise DataError(
            f"No object in the labels of {export.root} is of a class that its metadata list: the labels say "
            f"{listed(f'{name!r:.60}' for name in sorted(account.unknown))}, the metadata "
            f"{listed(draft.name for draft in classes)}. Correct the Classes of the .emd, or the labels."
        )
    return assemble(export, KEYWORD, found, chips, classes, own_values)


def _marked(label: Annotation) -> list[tuple[str, tuple[float, float, float, float]]]:
    return [(marked.name, _corners(marked)) for marked in label.objects]


def _corners(marked: Marked) -> tuple[float, float, float, float]:
    left, top, right, bottom = (marked.corners.get(corner, float("nan")) for corner in CORNERS)
    return left, top, right, bottom
