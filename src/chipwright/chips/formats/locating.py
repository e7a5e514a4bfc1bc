"""Where in the folder a user named the export lies, and what to tell them where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from chipwright.chips.formats.esri import EMD, MAP, TOTALS, Export, entries_of, open_export
from chipwright.chips.formats.layouts import (
    IMAGE_FOLDERS,
    LABEL_FOLDERS,
    captions_file,
    domain_folders,
    is_class_tree,
    is_labelled,
    split_folders,
)
from chipwright.chips.formats.pairing import EMPTY, holding
from chipwright.errors import DataError, listed, suggestion

_IMAGE_FOLDERS = tuple(name.lower() for name in (*IMAGE_FOLDERS, "images_before"))

_PARTS = (*_IMAGE_FOLDERS, "images2", "images_after", *(name.lower() for name in LABEL_FOLDERS))

_MODEL_SUFFIXES = (".dlpk", ".pth", ".safetensors")

_EXPECTED = (
    f"expected the folders images and labels with {EMD} and {TOTALS}, as Export Training Data For Deep Learning writes them"
)


def locate_export(given: Path) -> Export:
    """Return the export in a folder, or in the one folder beneath it that holds an export.

    Raises:
        DataError: if there is no such folder, or no export in it; the sentence says what there is instead.
    """
    _check_folder(given)
    entries = entries_of(given)
    if _looks_exported(given, entries):
        return open_export(given, given, entries)
    _refuse_model(given, entries)
    above = given.parent
    if given.name.lower() in _PARTS and _looks_exported(above, entries_of(above)):
        raise DataError(f"{given} is a part of an export; give the folder above it, {above}.")
    nested = []
    for name in sorted(entries.values()):
        if (given / name).is_dir():
            beneath = entries_of(given / name)
            if _looks_exported(given / name, beneath):
                nested.append((given / name, beneath))
    if len(nested) == 1:
        return open_export(given, *nested[0])
    if nested:
        raise DataError(
            f"{given} holds {len(nested)} exports, {listed(folder.name for folder, _ in nested)}; name the ones to use, "
            "each with its own path."
        )
    if captions_file(given, entries) or is_class_tree(given, entries):
        return open_export(given, given, entries)
    found = holding(given, entries.values())
    also = "" if found == EMPTY else " and no images folder"
    raise DataError(f"{given} is no training-data folder: {found}{also}; {_EXPECTED}.")


def _check_folder(given: Path) -> None:
    if given.is_dir():
        return
    if given.is_file():
        if given.suffix.lower() in _MODEL_SUFFIXES:
            raise DataError(f"{given} is a trained model, not training data; give the folder that Export Training Data wrote.")
        raise DataError(f"{given} is a file; give the folder that holds the export.")
    hint = ""
    if given.parent.is_dir():
        siblings = [name for name in entries_of(given.parent).values() if (given.parent / name).is_dir()]
        hint = suggestion(given.name, siblings)
    else:
        hint = f" Nor is there a folder {given.parent}."
    raise DataError(f"There is no folder {given}.{hint}")


def _looks_exported(folder: Path, entries: Mapping[str, str]) -> bool:
    """Whether a folder itself is an export, of any format and whatever it lacks."""
    if any(name in entries for name in (EMD, TOTALS)):
        return True
    if any(name in entries and (folder / entries[name]).is_dir() for name in _IMAGE_FOLDERS):
        return True
    return bool(domain_folders(folder, entries) or split_folders(folder, entries) or is_labelled(folder, entries))


def _refuse_model(given: Path, entries: Mapping[str, str]) -> None:
    models = [name for lower, name in entries.items() if lower.endswith((*_MODEL_SUFFIXES, ".emd"))]
    if models:
        raise DataError(
            f"{given} holds a trained model ({listed(sorted(models))}), not training data; give the folder that "
            "Export Training Data wrote."
        )
    if MAP in entries:
        raise DataError(
            f"{given} has a {MAP} and no images folder ({holding(given, entries.values())}); a part of the export is missing, "
            "copy it whole."
        )
