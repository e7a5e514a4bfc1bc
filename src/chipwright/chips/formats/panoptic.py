"""Panoptic_Segmentation: label rasters as in Classified_Tiles, and instance masks of the classes that are things.

labels2 has a folder for each of these classes, as in RCNN_Masks. Chips that show none of a class may lack its mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from chipwright.chips.formats.classes import DraftClass, Lookup
from chipwright.chips.formats.classified_tiles import checked_tiles
from chipwright.chips.formats.esri import Export
from chipwright.chips.formats.mask_folders import MaskFolders, countable, folders_in, sorted_masks
from chipwright.chips.formats.mask_survey import survey_masks
from chipwright.chips.formats.part import Part, assemble
from chipwright.errors import listed

KEYWORD = "Panoptic_Segmentation"

THINGS = "Panoptic_Segmentation_Instance_Classes"
"""Key of the classes that are counted one by one, as [{"Value": 4, "Name": "Building"}, ...]."""


def read_panoptic(export: Export) -> Part:
    """Return the folder's chips with their label rasters, instance masks, and the boxes around the instances.

    The set's metadata name the things under `THINGS`: as the export does, or else after the folders in labels2.

    Raises:
        DataError: as for Classified_Tiles and RCNN_Masks.
    """
    found, classes = checked_tiles(export)
    said = _declared_things(export, classes)
    folders = _instances(export, classes if said is None else said, classes)
    masked = survey_masks(export, found, folders.of_chip)
    chips = [one.outlined(one.found.chip()) for one in masked]
    part = assemble(export, KEYWORD, [one.found for one in masked], chips, classes)
    with_masks = {value for masks in folders.of_chip.values() for value, _ in masks}
    things = [draft for draft in classes if draft.value in with_masks] if said is None else said
    rows: list[dict[str, Any]] = [{"Value": draft.value, "Name": draft.name} for draft in things]
    return replace(part, metadata=part.metadata | {THINGS: rows})


def _declared_things(export: Export, classes: Sequence[DraftClass]) -> tuple[DraftClass, ...] | None:
    """Return the classes that the metadata call things, or None where they say nothing of it."""
    rows = export.fact(THINGS)
    if not isinstance(rows, list):
        return None
    value_of = Lookup(classes)
    values, unknown = set(), []
    for row in rows:
        texts = [str(row[key]) for key in ("Value", "Name") if key in row] if isinstance(row, dict) else [str(row)]
        meant = next((value for text in texts if (value := value_of(text)) is not None), None)
        if meant is None:
            unknown.append(f"{row!r:.80}")
        else:
            values.add(meant)
    if unknown:
        export.account.warnings.append(f"{THINGS} of {export.root} lists what is no class: {listed(unknown)}; it was left out.")
    return countable(export, [draft for draft in classes if draft.value in values])


def _instances(export: Export, things: Sequence[DraftClass], classes: Sequence[DraftClass]) -> MaskFolders:
    nothing = MaskFolders(tuple(things))
    folder = export.directory("labels2")
    if folder is None:
        if things:
            export.account.warnings.append(f"{export.root} has no folder labels2, so that no instances are known.")
        return nothing
    folders = folders_in(export, folder, "one for each class that is counted")
    stuff = {draft.value for draft in classes} - {draft.value for draft in things}
    value_of = Lookup(classes)
    others = [one.name for one in folders if value_of(one.name) in stuff]
    if others:
        export.account.warnings.append(
            f"Skipped the instances of {listed(others)} in labels2: {THINGS} does not list "
            f"{'this class' if len(others) == 1 else 'these classes'}."
        )
    return sorted_masks(export, folders, nothing, classes)
