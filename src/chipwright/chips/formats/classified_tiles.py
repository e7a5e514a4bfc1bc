"""Classified_Tiles: a label raster under each image, each pixel a class value, 0 where no class was drawn."""

from __future__ import annotations

from chipwright.chips.chipset import BACKGROUND, IGNORE
from chipwright.chips.formats.classes import DraftClass, declared
from chipwright.chips.formats.esri import Export
from chipwright.chips.formats.pairing import IMAGE_SUFFIXES, images_folder, paired
from chipwright.chips.formats.part import Part, assemble
from chipwright.chips.formats.survey import (
    Surveyed,
    check_label_rasters,
    check_size,
    check_type,
    check_values,
    survey,
)
from chipwright.errors import DataError, listed

KEYWORD = "Classified_Tiles"


def read_classified_tiles(export: Export) -> Part:
    """Return the folder's chips with their label rasters.

    Raises:
        DataError: if chips differ in size, bands or pixel type, or labels do not fit them.
    """
    found, classes = checked_tiles(export)
    return assemble(export, KEYWORD, found, [one.chip() for one in found], classes)


def checked_tiles(export: Export) -> tuple[list[Surveyed], tuple[DraftClass, ...]]:
    """Return (chips with their label rasters, classes).

    Raises:
        DataError: if chips differ in size, bands or pixel type, or labels do not fit them.
    """
    samples = paired(export, images_folder(export), export.directory("labels"), IMAGE_SUFFIXES)
    found = survey(export, samples, raster_labels=True)
    check_size(export, found)
    check_type(export, found)
    check_label_rasters(export, found)
    classes = declared(export) or classes_in(export, found)
    check_values(export, found, {draft.value for draft in classes})
    return found, classes


def classes_in(export: Export, chips: list[Surveyed]) -> tuple[DraftClass, ...]:
    """Return a class for each value in the labels, for folders whose metadata name none."""
    values = {value for chip in chips if chip.label for value, _ in chip.label.pixels if value != chip.label.nodata}
    values -= {BACKGROUND, IGNORE}
    if not values:
        raise DataError(f"{export.root} names no classes, and its labels hold background only; there is nothing to learn.")
    if len(values) > 255:
        raise DataError(
            f"{export.root} names no classes, and its labels hold {len(values)} different values; class rasters hold few. "
            "Are these continuous values?"
        )
    export.account.warnings.append(
        f"The metadata of {export.root} name no classes; the label values were taken for classes: {listed(sorted(values), 20)}."
    )
    return tuple(DraftClass(value, str(value)) for value in sorted(values))
