"""Labeled_Tiles and MultiLabeled_Tiles: whole chips with one class, or with several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from chipwright.chips.chipset import Chip
from chipwright.chips.formats.classes import DraftClass, Lookup, declared, named
from chipwright.chips.formats.esri import Export, counted
from chipwright.chips.formats.pairing import NO_LABEL, images_folder, paired
from chipwright.chips.formats.part import Part, assemble
from chipwright.chips.formats.survey import Surveyed, bare_chip, check_type, survey
from chipwright.chips.formats.voc_xml import LABEL_SUFFIXES, Annotation, read_annotations
from chipwright.errors import DataError, listed

LABELED = "Labeled_Tiles"
MULTILABELED = "MultiLabeled_Tiles"

NO_CLASS = "no class of the export in its label"

Split = Callable[[str, Lookup], list[str]]


def read_labeled_tiles(export: Export) -> Part:
    """Return the folder's chips, each with the one class that the first object of its label names.

    Chips may differ in size, as the exporter's Variable_Size makes them.

    Raises:
        DataError: if a label is missing (the class of such a chip is not known, and no class is no answer), a label file is
            hostile, chips differ in bands or pixel type, or no chip has a known class.
    """
    return _read(export, LABELED, lambda text, lookup: [text] if text else [], keep_empty=False)


def read_multilabeled_tiles(export: Export) -> Part:
    """Return the folder's chips, each with the classes that the first object of its label lists between commas.

    A label without an object means that the chip shows none of the classes.

    Raises:
        DataError: as for Labeled_Tiles.
    """
    return _read(export, MULTILABELED, _split_list, keep_empty=True)


def _split_list(text: str, lookup: Lookup) -> list[str]:
    # a class name may hold a comma itself
    if lookup(text) is not None:
        return [text]
    return [part.strip() for part in text.split(",") if part.strip()]


def _read(export: Export, keyword: str, split: Split, keep_empty: bool) -> Part:
    samples = paired(export, images_folder(export), export.directory("labels"), LABEL_SUFFIXES)
    if missing := export.account.dropped.get(NO_LABEL):
        raise DataError(
            f"{export.root} has {counted(len(missing), 'chip')} without a label ({listed(missing)}); in {keyword} every chip "
            "has one. Export the folder again, or remove these images."
        )
    found = survey(export, samples)
    check_type(export, found)
    labels = read_annotations(export, found)
    texts = [_text(label) for _, label in labels]
    classes = declared(export)
    own_values = not classes
    if own_values:
        nothing = Lookup(())
        classes = named(part for text in texts for part in split(text, nothing))
        export.account.warnings.append(
            f"The metadata of {export.root} name no classes; the labels name {listed((draft.name for draft in classes), 20)}."
        )
    chips = _labelled(export, [one for one, _ in labels], texts, classes, split, keep_empty)
    return assemble(export, keyword, found, chips, classes, own_values)


def _text(label: Annotation) -> str:
    return label.objects[0].name if label.objects else ""


def _labelled(
    export: Export,
    found: Sequence[Surveyed],
    texts: Sequence[str],
    classes: Sequence[DraftClass],
    split: Split,
    keep_empty: bool,
) -> list[Chip]:
    lookup = Lookup(classes)
    unknown: Counter[str] = Counter()
    chips = []
    for one, text in zip(found, texts, strict=True):
        meant = {part: lookup(part) for part in split(text, lookup)}
        unknown.update(part for part, value in meant.items() if value is None)
        values = tuple(sorted({value for value in meant.values() if value is not None}))
        if values or (keep_empty and not meant):
            chips.append(replace(bare_chip(one), values=values))
        else:
            export.account.drop(NO_CLASS, one.sample.images[0].name)
    if unknown:
        names = (f"{name!r:.60} ({count})" for name, count in unknown.most_common())
        export.account.warnings.append(
            f"Labels name classes that the export does not list, which were skipped: {listed(names)}."
        )
    if not any(chip.values for chip in chips):
        raise DataError(
            f"No chip in {export.root} has a class that its metadata list: the labels say "
            f"{listed(f'{name!r:.60}' for name in unknown) or 'nothing'}, the metadata "
            f"{listed(draft.name for draft in classes)}. Correct the Classes of the .emd, or the labels."
        )
    return chips
