"""Export_Tiles: images alone, pairs of images from two rasters, or images with a thematic raster each."""

from __future__ import annotations

from pathlib import Path

from chipwright.chips.formats.classes import declared
from chipwright.chips.formats.classified_tiles import classes_in
from chipwright.chips.formats.esri import Export, entries_of
from chipwright.chips.formats.layouts import has_images, second_folder
from chipwright.chips.formats.pairing import IMAGE_SUFFIXES, holding, images_folder, paired, unlabelled, with_second
from chipwright.chips.formats.part import Part, assemble
from chipwright.chips.formats.survey import (
    check_label_rasters,
    check_pairs,
    check_size,
    check_type,
    check_values,
    survey,
)

KEYWORD = "Export_Tiles"


def read_export_tiles(export: Export) -> Part:
    """Return the folder's chips, each with its second image where there is a folder of them, else with its label raster where
    there are labels.

    The second images may have other bands and another pixel type than the first. Chips without their partner are dropped.

    Raises:
        DataError: if chips differ in size, bands or pixel type, the images of a pair in size, or labels do not fit them.
    """
    images = images_folder(export)
    second = second_folder(export.root, export.entries)
    labels = _thematic_folder(export, second)
    samples = paired(export, images, labels, IMAGE_SUFFIXES) if labels else unlabelled(export, images)
    if second:
        samples = with_second(export, samples, second)
    found = survey(export, samples, raster_labels=labels is not None)
    check_size(export, found)
    check_type(export, found)
    if second:
        check_type(export, found, 1)
        check_pairs(export, found, alike=False)
    classes = declared(export)
    if labels:
        check_label_rasters(export, found)
        classes = classes or classes_in(export, found)
        check_values(export, found, {draft.value for draft in classes})
    return assemble(export, KEYWORD, found, [one.chip() for one in found], classes)


def _thematic_folder(export: Export, second: Path | None) -> Path | None:
    """Return the folder of label rasters, if there is one and it is used: second images go before it."""
    labels = export.directory("labels")
    if labels is None or not (entries := entries_of(labels)):
        return None
    if second is None and has_images(labels):
        return labels
    reason = f"the images of {second.name} are the partners" if second else "label rasters were expected"
    export.account.warnings.append(f"{labels} is not used: {holding(labels, entries.values())}, and {reason}.")
    return None
