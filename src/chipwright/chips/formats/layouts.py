"""Layouts that are told by the names of folders and files: labels apart from or among images, pairs, two domains, folders of
classes, captions in JSON.

They stand here apart from their readers because what finds an export, what sniffs its format and what reads it all ask.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from chipwright.chips.formats.esri import EMD, TOTALS, Export, entries_of, names_in, sub_folder
from chipwright.chips.formats.pairing import IMAGE_SUFFIXES, files_in, images_folder

IMAGE_FOLDERS = ("images", "JPEGImages", "image_2", "obj_train_data")
LABEL_FOLDERS = ("labels", "Annotations", "label_2")
"""Where images and labels of boxes lie, as the exporter, Pascal VOC, KITTI and darknet call it."""

LISTINGS = ("labels.json", "annotations.json", "_annotations.coco.json", "result.json")
"""Names that COCO's label file has, beside `instances_*.json`."""

CAPTION_FOLDERS = ("images", "RSICD_images")
"""Where the images of captions in JSON lie; else beside the JSON."""

_SPLITS = ("train", "val")

_RESERVED = frozenset({"images", "images2", "images_before", "images_after", "jpegimages", "labels", "labels2", "annotations"})
"""Folders that make those beside them no folders of classes."""

_HEAD = 64 * 2**10
"""Bytes at the start of a JSON file by which captions are known."""

_LABEL_HEAD = 4096
"""Bytes at the start of a label file by which it is known as one."""

_LOOK = 100
"""Label files that are looked at for one that is not empty."""


def box_folders(export: Export) -> tuple[Path, Path | None]:
    """Return (folder of images, folder of labels or None): one folder twice where a labelling tool left both together.

    Raises:
        DataError: if there is no folder of images.
    """
    images = export.directory(*IMAGE_FOLDERS)
    if images is None:
        images = export.root if labels_beside(export.root, export.entries) else images_folder(export)
    labels = export.directory(*LABEL_FOLDERS)
    return images, labels or (images if labels_beside(images, entries_of(images)) else None)


def labels_beside(folder: Path, entries: Mapping[str, str]) -> list[Path]:
    """Return the label files (.xml or .txt) that lie beside images of the same names, or nothing where these are no labels.

    Other things may lie beside images under their names, such as what a satellite's operator says of them: the first file that
    is not empty must begin like a label. `entries` are the folder's.
    """
    of_suffix: dict[str, list[str]] = {".xml": [], ".txt": []}
    images = {Path(name).stem for name in entries.values() if Path(name).suffix.lower() in IMAGE_SUFFIXES}
    for name in files_in(folder) if images else ():
        path = Path(name)
        if path.suffix.lower() in of_suffix and path.stem in images and not name.startswith("."):
            of_suffix[path.suffix.lower()].append(name)
    for suffix, names in of_suffix.items():
        with suppress(OSError):
            for name in names[:_LOOK]:
                with (folder / name).open("rb") as file:
                    head = file.read(_LABEL_HEAD)
                if head.strip():
                    if b"<annotation" in head if suffix == ".xml" else _begins_with_a_box(head):
                        return [folder / name for name in names]
                    break
    return []


def _begins_with_a_box(head: bytes) -> bool:
    """Return whether the first line of a text has a class and the four numbers of a box or more."""
    words = head.decode("latin-1").strip().splitlines()[0].split()
    try:
        return len(words) >= 5 and all(float(word) == float(word) for word in words[-4:])
    except ValueError:
        return False


def listing(entries: Mapping[str, str]) -> str | None:
    """Return the name of a file that is called like COCO's label files, or None."""
    found = [lower for lower in sorted(entries) if lower.startswith("instances_") and lower.endswith(".json")]
    return next((entries[name] for name in (*LISTINGS, *found) if name in entries), None)


def is_labelled(folder: Path, entries: Mapping[str, str]) -> bool:
    """Return whether a folder holds images together with their labels, as labelling tools leave them."""
    if listing(entries) and (sub_folder(folder, entries, "data") or has_images(folder)):
        return True
    return bool(labels_beside(folder, entries))


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
    names = [name for name in names_in(folder) if not name.startswith(".") and (folder / name).is_dir()]
    return {folder / name: has_images(folder / name) for name in names}


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
