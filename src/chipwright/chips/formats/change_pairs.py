"""ChangeDetection: the same ground at two dates, and a raster of what changed between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from chipwright.chips.chipset import BACKGROUND, IGNORE
from chipwright.chips.formats.classes import DraftClass, declared
from chipwright.chips.formats.esri import Export, counted, entries_of, open_export
from chipwright.chips.formats.layouts import second_folder, split_folders
from chipwright.chips.formats.pairing import IMAGE_SUFFIXES, Sample, images_folder, paired, with_second
from chipwright.chips.formats.part import Part, assemble
from chipwright.chips.formats.survey import (
    Surveyed,
    check_label_rasters,
    check_pairs,
    check_size,
    check_type,
    check_values,
    survey,
)
from chipwright.errors import DataError, listed

KEYWORD = "ChangeDetection"

CHANGE = "Change"

_BEFORE_FOLDERS = ("images", "images_before")


def read_change_pairs(export: Export) -> Part:
    """Return the folder's pairs of images, before and after, with their label rasters.

    Value 0 is no change and every other value is change: one class, which has the value that the labels use for it where they
    use one only. `Chip.pixels` counts all changed pixels under that value.

    Files belong together by their names; where a folder shares no name with the images before, by order.

    Raises:
        DataError: if images differ in size, bands or pixel type, within a date or between the dates, or labels do not fit
            them.
    """
    parts = split_folders(export.root, export.entries)
    if parts and not export.directory(*_BEFORE_FOLDERS):
        export, samples = _of_parts(export, parts)
    else:
        samples = _pairs(export)
    found = survey(export, samples, raster_labels=True)
    check_size(export, found)
    for index in range(2):
        check_type(export, found, index)
    check_pairs(export, found, alike=True)
    check_label_rasters(export, found)
    classes, change = _classes(export, found)
    found = [_binary(one, change) for one in found]
    check_values(export, found, {change})
    return assemble(export, KEYWORD, found, [one.chip() for one in found], classes)


def _pairs(export: Export) -> list[Sample]:
    second = second_folder(export.root, export.entries)
    if second is None:
        raise DataError(f"{export.root} holds change pairs and no folder images2 with the later images; copy the whole export.")
    images = images_folder(export, *_BEFORE_FOLDERS)
    samples = paired(export, images, export.directory("labels"), IMAGE_SUFFIXES, in_order=True)
    return with_second(export, samples, second, in_order=True)


def _of_parts(export: Export, folders: Sequence[Path]) -> tuple[Export, list[Sample]]:
    """Return the export, and the pairs of its folders train and val as one list, named "train/..." and "val/..."."""
    account = export.account
    samples: list[Sample] = []
    for folder in folders:
        part = open_export(folder, folder, entries_of(folder))
        samples += [replace(sample, name=f"{folder.name}/{sample.name}") for sample in _pairs(part)]
        for reason, names in part.account.dropped.items():
            for name in names:
                account.drop(reason, f"{folder.name}/{name}")
        account.warnings.extend(f"{folder.name}: {text}" for text in part.account.warnings)
        if not export.esri:  # facts of the first part serve for all, but not its statistics
            export = replace(part.without_statistics(), given=export.given, root=export.root, account=account)
    account.warnings.append(
        f"The pairs of {listed(folder.name for folder in folders)} are read as one set; which of them validate is chosen anew."
    )
    return export, samples


def _classes(export: Export, chips: Sequence[Surveyed]) -> tuple[tuple[DraftClass, ...], int]:
    """Return (classes, value of change): no change only where the export names it, and change."""
    named = declared(export)
    changes = [draft for draft in named if draft.value != BACKGROUND]
    values = {value for chip in chips for value in _changed_values(chip)}
    change = changes[0] if len(changes) == 1 else DraftClass(1, CHANGE)
    if len(changes) > 1:
        export.account.warnings.append(
            f"The metadata of {export.root} name {len(changes)} classes ({listed(draft.name for draft in changes)}); in change "
            "pairs every value but 0 counts as change."
        )
    if len(values) == 1 and change.value not in values:
        value = values.pop()
        if changes:
            export.account.warnings.append(
                f"The labels in {export.root} hold {value} for change, the metadata say {change.value}; the labels count."
            )
        change = replace(change, value=value)
    elif len(values) > 1:
        export.account.warnings.append(
            f"The labels in {export.root} hold {counted(len(values), 'value')} beside 0 ({listed(sorted(values))}); "
            "all of them count as change."
        )
    return (*(draft for draft in named if draft.value == BACKGROUND), change), change.value


def _changed_values(chip: Surveyed) -> set[int]:
    if chip.label is None:
        return set()
    return {value for value, _ in chip.label.pixels if value not in (BACKGROUND, IGNORE, chip.label.nodata)}


def _binary(chip: Surveyed, change: int) -> Surveyed:
    """Return the same with the pixels of all values of change counted under one."""
    changed = _changed_values(chip)
    if chip.label is None or not changed:
        return chip
    others = [(value, count) for value, count in chip.label.pixels if value not in changed]
    total = sum(count for value, count in chip.label.pixels if value in changed)
    return replace(chip, label=replace(chip.label, pixels=tuple(sorted([*others, (change, total)]))))
