"""Folders of instance masks: a class each (or a video each), and in them a raster for each chip that shows any of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chipwright.chips.formats.classes import DraftClass, Lookup, declared, named
from chipwright.chips.formats.esri import Export, counted, entries_of, names_in
from chipwright.chips.formats.pairing import IMAGE_SUFFIXES, NO_LABEL, Sample, holding, images_folder, paired, stems
from chipwright.errors import DataError, listed

FIRST_VALUE = 1
"""Lowest value of a class with instances; 0 is where there is none."""

Masks = tuple[tuple[int, Path], ...]
"""The masks of one chip as (class value, path), by ascending value."""


@dataclass
class MaskFolders:
    """The folders of masks that are used.

    Attributes:
        classes: the export's classes, or the folders' where it declares none.
        own_values: whether class values were made up from folder names.
        of_chip: the masks of each file stem.
        empty: the folders without any mask.
    """

    classes: tuple[DraftClass, ...]
    own_values: bool = False
    of_chip: dict[str, Masks] = field(default_factory=dict)
    empty: list[Path] = field(default_factory=list)


def labels_folder(export: Export) -> Path:
    """Return the folder of labels.

    Raises:
        DataError: if there is none.
    """
    found = export.directory("labels")
    if found is None:
        raise DataError(f"{export.root} has no folder labels ({holding(export.root, export.entries.values())}); copy it whole.")
    return found


def inner_folders(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return (folders within a folder, links in it to folders elsewhere), each in the order of names, hidden ones left out."""
    home = folder.resolve()
    inside: list[Path] = []
    outside: list[Path] = []
    for name in names_in(folder):
        path = folder / name
        if not name.startswith(".") and path.is_dir():
            (inside if path.resolve().is_relative_to(home) else outside).append(path)
    return inside, outside


def folders_in(export: Export, labels: Path, what: str) -> list[Path]:
    """Return the folders in `labels`; links that lead out of it are not followed, with a warning.

    Raises:
        DataError: if there are none; `what` says what each would be ("one for each class").
    """
    inside, outside = inner_folders(labels)
    if outside:
        links = listed(path.name for path in outside)
        export.account.warnings.append(
            f"{labels} holds {counted(len(outside), 'link')} to folders elsewhere ({links}), which were not followed; put the "
            "masks themselves there."
        )
    if not inside:
        raise DataError(
            f"{labels} holds no folders of masks: {holding(labels, entries_of(labels).values())}; expected {what}, with "
            "a raster of object numbers for each image."
        )
    return inside


def find_masks(export: Export, labels: Path) -> MaskFolders:
    """Return the masks in folders that are called like classes, by name or by value.

    Where the metadata declare no classes, the folders are the classes.

    Raises:
        DataError: if there is no such folder.
    """
    folders = folders_in(export, labels, "one for each class")
    drafts = declared(export)
    own_values = not drafts
    if own_values:
        drafts = named(folder.name for folder in folders)
        if export.esri:
            export.account.warnings.append(
                f"The metadata of {export.root} name no classes; the folders in {labels.name} are taken for classes: "
                f"{listed((draft.name for draft in drafts), 20)}."
            )
    classes = countable(export, drafts)
    if not classes:
        raise DataError(
            f"{export.root} has no class but {listed(draft.value for draft in drafts)}; the values of classes with instances "
            f"must start at {FIRST_VALUE}. Correct the Classes of the .emd, and the folders' names where they are values."
        )
    return sorted_masks(export, folders, MaskFolders(classes, own_values), drafts)


def countable(export: Export, drafts: Sequence[DraftClass]) -> tuple[DraftClass, ...]:
    """Return the classes that can have instances; of the others a warning tells."""
    left_out = [draft for draft in drafts if draft.value < FIRST_VALUE]
    if left_out:
        names = listed(f"{draft.value} ({draft.name!r:.60})" for draft in left_out)
        export.account.warnings.append(
            f"Left out the class {names}: the values of classes with instances must start at {FIRST_VALUE}."
        )
    return tuple(draft for draft in drafts if draft.value >= FIRST_VALUE)


def sorted_masks(
    export: Export, folders: Sequence[Path], found: MaskFolders, drafts: Sequence[DraftClass] | None = None
) -> MaskFolders:
    """Sort the masks of folders into `found`, whose classes count; folders of no class are skipped with a warning.

    Args:
        export: the export.
        folders: of masks.
        found: what to fill, and return.
        drafts: all classes that folders can mean; those that are not of `found` are passed over in silence.

    Raises:
        DataError: if no folder is of a class.
    """
    known = drafts or found.classes
    value_of = Lookup(known)
    counting = {draft.value for draft in found.classes}
    unknown = []
    masks: dict[str, list[tuple[int, Path]]] = {}
    several: list[str] = []
    for folder in folders:
        value = value_of(folder.name)
        if value is None:
            unknown.append(folder.name)
        elif value in counting:
            paths, shared = stems(folder, IMAGE_SUFFIXES)
            several += [f"{folder.name}/{stem}" for stem in shared]
            if not paths:
                found.empty.append(folder)
            for stem, path in paths.items():
                masks.setdefault(stem, []).append((value, path))
    found.of_chip = {stem: tuple(sorted(those)) for stem, those in masks.items()}
    if several:
        export.account.warnings.append(
            f"Found {counted(len(several), 'mask')} in several files ({listed(several)}); one was used."
        )
    if len(unknown) == len(folders):
        raise DataError(
            f"No folder of masks in {folders[0].parent} is called like a class: there are {listed(unknown)}, the classes "
            f"are {listed(draft.name for draft in known)}. Correct the Classes of the .emd, or the folders' names."
        )
    if unknown:
        export.account.warnings.append(
            f"Skipped {counted(len(unknown), 'folder')} of masks in {folders[0].parent.name} that "
            f"{'is' if len(unknown) == 1 else 'are'} called like no class of the export ({listed(unknown)}); what "
            "they outline counts as background."
        )
    return found


def labelled(export: Export, masks: Mapping[str, Masks]) -> list[Sample]:
    """Return the chips in the images folder that have a mask, in the order of their names; the others are counted.

    Raises:
        DataError: if there is none.
    """
    samples = paired(export, images_folder(export), None, (), optional=True)
    names = {sample.name for sample in samples}
    listed_too = {Path(row.parts[0][-1]).stem for row in export.rows or () if row.parts[0]}
    orphans = [those[0][1].name for stem, those in masks.items() if stem not in names and stem not in listed_too]
    if orphans:
        export.account.warnings.append(f"Ignored {counted(len(orphans), 'mask')} without an image ({listed(orphans)}).")
    return with_masks(export, samples, masks)


def with_masks(export: Export, samples: Sequence[Sample], masks: Mapping[str, Masks]) -> list[Sample]:
    """Return the samples that have a mask; the others are counted.

    Raises:
        DataError: if there is none.
    """
    found = []
    for sample in samples:
        if sample.name in masks:
            found.append(sample)
        else:
            export.account.drop(NO_LABEL, sample.images[0].name)
    if not found:
        raise DataError(
            f"None of the {counted(len(samples), 'chip')} in {export.root} has a mask of the same name "
            f"({samples[0].images[0].name} has none, for instance); there are masks of {counted(len(masks), 'other name')}."
        )
    return found
