"""Imagenet: chips in a folder of their class; the exporter's, and plain folders of class folders of any origin."""

from __future__ import annotations

from chipwright.chips.formats.classes import Lookup, declared, named
from chipwright.chips.formats.esri import Export, counted, entries_of
from chipwright.chips.formats.labeled_tiles import labelled
from chipwright.chips.formats.layouts import class_folders
from chipwright.chips.formats.pairing import IMAGE_SUFFIXES, Sample, holding, note_absent, stems
from chipwright.chips.formats.part import Part, assemble
from chipwright.chips.formats.survey import check_type, survey
from chipwright.errors import DataError, listed

KEYWORD = "Imagenet"

NO_FOLDER = "in no class folder"


def read_imagenet(export: Export) -> Part:
    """Return the chips of all class folders, each with the class its folder names; chips may differ in size.

    A chip is named "class folder/file stem". Where no metadata list classes, values count from 1 in the order of the names.

    Raises:
        DataError: if there is no class folder with a chip, no folder names a class of the export, or chips differ in bands or
            pixel type.
    """
    found = survey(export, _samples(export))
    check_type(export, found)
    texts = [one.sample.images[0].parent.name for one in found]
    classes = declared(export)
    own_values = not classes
    if own_values:
        classes = named(texts)
        names = listed((draft.name for draft in classes), 20)
        export.account.warnings.append(f"No metadata of {export.root} name classes; its folders were taken for them: {names}.")
    chips = labelled(export, found, texts, classes, _whole, keep_empty=False, where="folder")
    return assemble(export, KEYWORD, found, chips, classes, own_values)


def _whole(text: str, lookup: Lookup) -> list[str]:
    return [text]


def _samples(export: Export) -> list[Sample]:
    account = export.account
    images = export.directory("images") or export.root
    folders = class_folders(images)
    samples: list[Sample] = []
    shared: list[str] = []
    for folder, filled in folders.items():
        if filled:
            of_images, several = stems(folder, IMAGE_SUFFIXES)
            samples += [Sample(f"{folder.name}/{stem}", (path,)) for stem, path in of_images.items()]
            shared += [f"{folder.name}/{stem}" for stem in several]
    if not samples:
        raise DataError(
            f"{images} has no class folder with chips: {holding(images, entries_of(images).values())}; in {KEYWORD} each chip "
            f"lies in a folder of its class, such as {images.name}/Forest/000000000000.tif."
        )
    for path in stems(images, IMAGE_SUFFIXES)[0].values():
        account.drop(NO_FOLDER, path.name)
    note_absent(export, {sample.name for sample in samples}, levels=2)
    empty = [folder.name for folder, filled in folders.items() if not filled]
    if empty:
        account.warnings.append(f"Found {counted(len(empty), 'class folder')} without a chip ({listed(empty)}).")
    if shared:
        account.warnings.append(
            f"Found {counted(len(shared), 'chip name')} with several images ({listed(shared)}); one each was used."
        )
    return samples
