"""COCO_rectangles: the boxes of all images in one JSON file, as categories, images and annotations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from chipwright.chips.formats.boxes import Marked, boxed_part
from chipwright.chips.formats.classes import DraftClass, whole
from chipwright.chips.formats.esri import EMD, TOTALS, Export, counted, entries_of, file_within
from chipwright.chips.formats.layouts import IMAGE_FOLDERS, LABEL_FOLDERS
from chipwright.chips.formats.pairing import IMAGE_SUFFIXES, Sample
from chipwright.chips.formats.part import Part
from chipwright.chips.formats.survey import survey
from chipwright.chips.formats.texts import read_object
from chipwright.errors import DataError, listed

KEYWORD = "COCO_rectangles"

LONGEST = 2**30
"""Bytes of a label file; that of the original's 118,000 images has half of them."""

_FOLDERS = (*IMAGE_FOLDERS, "data")


@dataclass
class _Labels:
    """What label files say: of each image its box lists, by the path of the image."""

    categories: dict[int, str] = field(default_factory=dict)
    boxes: dict[Path, list[Marked]] = field(default_factory=dict)
    sizes: dict[Path, tuple[Any, Any]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    crowds: int = 0
    loose: int = 0


def read_coco(export: Export) -> Part:
    """Return the chips that the label file lists, with their boxes; the category ids are the class values.

    Boxes that stand for a crowd (`iscrowd`) are left out. Several label files (one for training, one for validation) are read
    together.

    Raises:
        DataError: if there is no label file with images and categories, none of its images is there, chips differ in bands or
            pixel type, or objects are there but no class is known.
    """
    files = label_files(export)
    if not files:
        raise DataError(f"{export.root} has no COCO labels; expected a file labels.json or annotations.json.")
    labels = _Labels()
    for path in files:
        _read(export, path, labels)
    if not labels.boxes:
        raise DataError(
            f"None of the {counted(len(labels.missing), 'image')} that {listed(path.name for path in files)} lists is in "
            f"{export.root} ({listed(labels.missing)}). Put the images into its folder images."
        )
    _note(export, labels)
    samples = [Sample(_name(export, path), (path,)) for path in sorted(labels.boxes)]
    found = survey(export, samples)
    marked = [(chip, labels.boxes[chip.sample.images[0]]) for chip in found]
    _note_sizes(export, labels, {chip.sample.images[0]: chip.images[0].size for chip in found})
    used = {text for boxes in labels.boxes.values() for text, _ in boxes}
    # some tools list a category 0 for the whole set, which no object has
    classes = [DraftClass(value, name) for value, name in sorted(labels.categories.items()) if value or "0" in used]
    return boxed_part(export, KEYWORD, found, marked, classes)


def label_files(export: Export) -> list[Path]:
    """Return the JSON files that may be COCO labels, in the folder, its labels or annotations folder, or beside the images."""
    folders = [export.root]
    for names in (LABEL_FOLDERS, _FOLDERS):
        if found := export.directory(*names):
            folders.append(found)
    for folder in folders:
        entries = entries_of(folder)
        paths = [
            folder / name for lower, name in sorted(entries.items()) if lower.endswith(".json") and lower not in (EMD, TOTALS)
        ]
        paths = [
            path for path in paths if path.is_file() and not path.name.lower().startswith(("captions", "person_keypoints"))
        ]
        if paths:
            return paths
    return []


def _read(export: Export, path: Path, labels: _Labels) -> None:
    content, _ = read_object(path, LONGEST)
    if not isinstance(content.get("images"), list) or not isinstance(content.get("annotations"), list):
        raise DataError(f"{path} holds no COCO labels: expected lists of images, annotations and categories.")
    for category in _records(content, "categories"):
        value = whole(str(category.get("id", "")))
        if value is None:
            continue
        name = str(category.get("name", value)).strip()
        if labels.categories.setdefault(value, name) != name:
            raise DataError(
                f"The label files of {export.root} contradict each other: category {value} is "
                f"{labels.categories[value]!r:.60} and {name!r:.60}. Put them into folders of their own."
            )
    path_of: dict[Any, Path] = {}
    for image in _records(content, "images"):
        said = image.get("file_name")
        found = _image(export, path, said) if isinstance(said, str) else None
        if found is None:
            labels.missing.append(str(said)[:200])
            continue
        path_of[_key(image.get("id"))] = found
        labels.boxes.setdefault(found, [])
        labels.sizes[found] = (image.get("width"), image.get("height"))
    for annotation in _records(content, "annotations"):
        place = path_of.get(_key(annotation.get("image_id")))
        if place is None:
            labels.loose += 1
        elif annotation.get("iscrowd") in (1, True):
            labels.crowds += 1
        else:
            labels.boxes[place].append((str(annotation.get("category_id")), _corners(annotation.get("bbox"))))


def _records(content: Mapping[str, Any], key: str) -> Iterator[dict[str, Any]]:
    rows = content.get(key)
    return (row for row in rows if isinstance(row, dict)) if isinstance(rows, list) else iter(())


def _key(number: Any) -> Any:
    """Return an id that can be looked up, whatever a file has for it."""
    return number if isinstance(number, int | str) else repr(number)


def _corners(box: Any) -> tuple[float, float, float, float]:
    """Return the corners of [x, y, width, height]; NaN where it is no such list."""
    nan = float("nan")
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(part, int | float) for part in box):
        return nan, nan, nan, nan
    try:
        left, top, width, height = map(float, box)
    except OverflowError:  # a whole number of more than 308 digits
        return nan, nan, nan, nan
    return left, top, left + width, top + height


def _image(export: Export, labels: Path, name: str) -> Path | None:
    """Return the image of a name, within the folder: its path from there, from the label file, or from the folder of images."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or len(name) > 1000 or "\0" in name or Path(parts[-1]).suffix.lower() not in IMAGE_SUFFIXES:
        return None
    images = export.directory(*_FOLDERS)
    starts = [start for start in (images, export.root, labels.parent) if start is not None]
    if ".." not in parts and not parts[0].startswith("/") and ":" not in parts[0]:
        for start in starts:
            if found := file_within(start, parts):
                return found
    for start in starts:  # the path that the labelling tool knew
        if found := file_within(start, parts[-1:]):
            return found
    return None


def _name(export: Export, path: Path) -> str:
    """Return the chip's name: its path within the folder of images, without suffix."""
    images = export.directory(*_FOLDERS)
    inside = images if images is not None and path.is_relative_to(images) else export.root
    return path.relative_to(inside).with_suffix("").as_posix()


def _note(export: Export, labels: _Labels) -> None:
    warnings = export.account.warnings
    if labels.missing:
        warnings.append(
            f"The labels list {counted(len(labels.missing), 'image')} missing from the folder ({listed(labels.missing)}); "
            "the rest is used."
        )
    if labels.crowds:
        warnings.append(f"Left out {counted(labels.crowds, 'annotation')} of crowds (iscrowd), which are no single objects.")
    if labels.loose and not labels.missing:
        warnings.append(f"Ignored {counted(labels.loose, 'annotation')} of images that the labels do not list.")
    images = export.directory(*_FOLDERS) or export.root
    beside = [name for name in sorted(entries_of(images).values()) if Path(name).suffix.lower() in IMAGE_SUFFIXES]
    known = {path.name for path in labels.boxes}
    if extra := [name for name in beside if name not in known]:
        warnings.append(f"Ignored {counted(len(extra), 'image')} that the labels do not list ({listed(extra)}).")


def _note_sizes(export: Export, labels: _Labels, sizes: Mapping[Path, tuple[int, int]]) -> None:
    other = [
        path.name
        for path, size in sizes.items()
        if (claimed := labels.sizes[path]) != size and all(isinstance(side, int) and side > 0 for side in claimed)
    ]
    if other:
        export.account.warnings.append(
            f"The labels state another size for {counted(len(other), 'image')} than the file has ({listed(other)}); "
            "if the images were resized after labelling, their boxes are wrong."
        )
