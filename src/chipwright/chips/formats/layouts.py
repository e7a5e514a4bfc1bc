"""Layouts that are told by the names of folders and files: pairs, two domains, folders of classes, captions in JSON.

They stand here apart from their readers because what finds an export, what sniffs its format and what reads it all ask.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from chipwright.chips.formats.esri import EMD, TOTALS, Export, entries_of, sub_folder
from chipwright.chips.formats.pairing import IMAGE_SUFFIXES

CAPTION_FOLDERS = ("images", "RSICD_images")
"""Where the images of captions in JSON lie; else beside the JSON."""

_SPLITS = ("train", "val")

_RESERVED = frozenset({"images", "images2", "images_before", "images_after", "jpegimages", "labels", "labels2", "annotations"})
"""Folders that make those beside them no folders of classes."""

_HEAD = 64 * 2**10
"""Bytes at the start of a JSON file by which captions are known."""


def second_folder(root: Path, entries: Mapping[str, str]) -> Path | None:
    """Return the folder of second images (the other raster, the later date), or None; `entries` are the root's."""
    return sub_folder(root, entries, "images2", "images_after")


def split_folders(root: Path, entries: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the folders train and val where each holds pairs of images, else none."""
    found = tuple(folder for name in _SPLITS if (folder := sub_folder(root, entries, name)))
    paired = len(found) == len(_SPLITS) and all(second_folder(folder, entries_of(folder)) for folder in found)
    return found if paired else ()


def domain_folders(root: Path, entries: Mapping[str, str]) -> tuple[Path, Path] | None:
    """Return the folders of the domains A and B, each an export; or Images/train_a and Images/train_b as they once were."""
    first, second = sub_folder(root, entries, "A"), sub_folder(root, entries, "B")
    if first and second and all(_is_export(folder) for folder in (first, second)):
        return first, second
    if images := sub_folder(root, entries, "images"):
        names = entries_of(images)
        first, second = sub_folder(images, names, "train_a"), sub_folder(images, names, "train_b")
        return (first, second) if first and second else None
    return None


def _is_export(folder: Path) -> bool:
    entries = entries_of(folder)
    return EMD in entries or TOTALS in entries or sub_folder(folder, entries, "images") is not None


def class_folders(folder: Path) -> dict[Path, bool]:
    """Return the folders in a folder, by name, and whether images lie directly in each; hidden ones are left out."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".") and (folder / entry.name).is_dir()]
    return {folder / name: has_images(folder / name) for name in sorted(names)}


def is_sorted(images: Path) -> bool:
    """Return whether chips lie in folders of their classes: no chip beside the folders, or chips in two or more of them."""
    folders = class_folders(images)
    return bool(folders) and (sum(folders.values()) > 1 or not has_images(images))


def is_class_tree(root: Path, entries: Mapping[str, str]) -> bool:
    """Return whether a folder is one of class folders and no export: two or more with chips, none with a name of a part."""
    return not _RESERVED & entries.keys() and sum(class_folders(root).values()) > 1


def has_images(folder: Path) -> bool:
    """Return whether a folder holds an image itself; one that cannot be read shows none."""
    with suppress(OSError), os.scandir(folder) as entries:
        return any(Path(entry.name).suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith(".") for entry in entries)
    return False


def captions_file(root: Path, entries: Mapping[str, str]) -> Path | None:
    """Return the JSON file in which captions are listed as in RSICD, by its first bytes, or None."""
    for lower in sorted(entries):
        path = root / entries[lower]
        if lower.endswith(".json") and path.is_file():
            head = b""
            with suppress(OSError), path.open("rb") as file:
                head = file.read(_HEAD)
            if all(key in head for key in (b'"filename"', b'"sentences"', b'"raw"')):
                return path
    return None


def is_captioned(export: Export) -> bool:
    """Return whether the label field of labelled tiles was one of captions."""
    return export.text("SingleLabelFieldFound").casefold() == "caption"
