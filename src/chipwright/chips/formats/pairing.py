"""Which image belongs to which label: by file stem, with map.txt as a second opinion."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from chipwright.chips.formats.esri import MAP, Export, counted, entries_of, file_within, names_in
from chipwright.errors import DataError, listed

IMAGE_SUFFIXES = (".tif", ".tiff", ".jpg", ".jpeg", ".png", ".mrf", ".bmp", ".jp2")
"""Suffixes of chips; everything else beside them (.tfw, .ovr, .aux.xml, .idx, ...) is a side-car."""

NO_LABELS = ("classes.txt", "labels.txt", "notes.txt", "train.txt", "valid.txt", "val.txt", "test.txt")
"""Files that labelling tools leave among labels and that are none, beside those called README."""

NO_LABEL = "no label file"
NO_SECOND = "no second image"
EMPTY = "it is empty"


@dataclass(frozen=True, slots=True)
class Sample:
    """Files of one chip: its name, its images, and its label file if it has one."""

    name: str
    images: tuple[Path, ...]
    label: Path | None = None


def images_folder(export: Export, *names: str) -> Path:
    """Return the folder of images ("images" unless named otherwise).

    Raises:
        DataError: if there is none.
    """
    found = export.directory(*(names or ("images",)))
    if found is None:
        raise DataError(f"{export.root} has the metadata of an export and no images folder; copy the whole export.")
    return found


def stems(folder: Path, suffixes: Collection[str], first: str | None = None) -> tuple[dict[str, Path], list[str]]:
    """Return (files by stem, stems that several files share) in order of names, for files of the suffixes.

    Where several files share a stem, the one with suffix `first` wins, else the one whose suffix comes first in `suffixes`.
    """
    order = [first, *suffixes] if first else list(suffixes)
    found: dict[str, Path] = {}
    shared = []
    for name in names_in(folder):
        path = folder / name
        if path.suffix.lower() not in suffixes or name.startswith(".") or name.lower().endswith(".aux.xml"):
            continue
        other = found.get(path.stem)
        if other is not None:
            shared.append(path.stem)
            path = min((other, path), key=lambda one: order.index(one.suffix.lower()))
        found[path.stem] = path
    return found, list(dict.fromkeys(shared))


def unlabelled(export: Export, images: Path) -> list[Sample]:
    """Return the chips of a format without label files, in the order of their names.

    Raises:
        DataError: if there is none.
    """
    return [Sample(stem, (path,)) for stem, path in _images(export, images)[0].items()]


def paired(
    export: Export,
    images: Path,
    labels: Path | None,
    suffixes: Collection[str],
    in_order: bool = False,
    optional: bool = False,
) -> list[Sample]:
    """Return the chips that have a label, in the order of their names; the rest is counted in the export's account.

    Args:
        export: whose map.txt says which suffix wins, and where a label of another name lies.
        images, labels: the folders.
        suffixes: of label files.
        in_order: whether labels that share no name with any image belong to the images by their order.
        optional: whether chips without a label are kept, too.

    Raises:
        DataError: if there is no image, or none has a label that needs one.
    """
    of_images, absent = _images(export, images)
    of_labels = stems(labels, suffixes, _usual_suffix(export, -1))[0] if labels else {}
    for row in export.rows or ():
        image, label = row.parts[0], row.parts[-1]
        if len(row.parts) > 1 and image and label:
            stem, suffix = Path(image[-1]).stem, Path(label[-1]).suffix.lower()
            if stem in of_images and stem not in of_labels and suffix in suffixes:
                path = file_within(export.root, label)
                of_labels |= {stem: path} if path else {}
    if in_order and labels:
        of_labels = _matched_in_order(export, of_images, of_labels, labels)
    _note_orphans(export, of_images, of_labels, "label", silent=absent)
    samples = []
    for stem, image_path in of_images.items():
        if optional or stem in of_labels:
            samples.append(Sample(stem, (image_path,), of_labels.get(stem)))
        else:
            export.account.drop(NO_LABEL, image_path.name)
    if not samples:
        where = labels or export.root / "labels"
        holds = _holding(where) if labels else "there is no such folder"
        raise DataError(
            f"None of the {counted(len(of_images), 'chip')} in {images} has a label in {where} ({holds}); "
            f"expected files of the same names ending in {listed(suffixes, 9)}."
        )
    return samples


def with_second(export: Export, samples: Sequence[Sample], folder: Path, in_order: bool = False) -> list[Sample]:
    """Return the samples with the image of the same name in `folder` as their second; those without one are dropped and
    counted.

    Args:
        export: whose map.txt says which suffix wins.
        samples: chips with one image each, all from one folder.
        folder: of the second images.
        in_order: whether second images that share no name with any first belong to the first by their order.

    Raises:
        DataError: if none has a second image.
    """
    first_folder = samples[0].images[0].parent
    firsts = stems(first_folder, IMAGE_SUFFIXES, _usual_suffix(export, 0))[0]
    found = stems(folder, IMAGE_SUFFIXES, _usual_suffix(export, 1))[0]
    if in_order:
        found = _matched_in_order(export, firsts, found, folder)
    _note_orphans(export, firsts, found, "second image")
    pairs = []
    for sample in samples:
        if sample.name in found:
            pairs.append(replace(sample, images=(*sample.images, found[sample.name])))
        else:
            export.account.drop(NO_SECOND, sample.images[0].name)
    if not pairs:
        raise DataError(
            f"None of the {counted(len(samples), 'chip')} in {first_folder} has a second image in {folder} "
            f"({_holding(folder)}); expected images of the same names."
        )
    return pairs


def _images(export: Export, images: Path) -> tuple[dict[str, Path], bool]:
    """Return (images by stem, whether map.txt lists others that are missing); at least one image."""
    account = export.account
    of_images, shared = stems(images, IMAGE_SUFFIXES, _usual_suffix(export, 0))
    if not of_images:
        raise DataError(f"{images} holds no chips: {_holding(images)}; expected files such as 000000000000.tif.")
    if shared:
        account.warnings.append(
            f"Found {counted(len(shared), 'chip name')} with several images ({listed(shared)}); one each was used."
        )
    absent = note_absent(export, of_images)
    _note_blanks(export, list(of_images))
    return of_images, absent


def note_absent(export: Export, names: Collection[str], levels: int = 1) -> bool:
    """Say which images map.txt lists beyond those there are, and return whether it lists any.

    Args:
        export: the folder.
        names: of the chips there are.
        levels: parts of a path that make a chip's name; 1 is its stem alone.
    """
    rows = [row for row in export.rows or () if row.parts[0]]
    absent = [row.texts[0] for row in rows if _name_of(row.parts[0] or (), levels) not in names]
    if absent:
        export.account.warnings.append(
            f"{MAP} lists {counted(len(absent), 'chip')} whose image is missing ({listed(absent)}); the rest is used."
        )
    return bool(absent)


def _name_of(parts: tuple[str, ...], levels: int) -> str:
    return "/".join((*parts[-levels:-1], Path(parts[-1]).stem))


def _matched_in_order(export: Export, images: Mapping[str, Path], others: dict[str, Path], folder: Path) -> dict[str, Path]:
    """Return the others by the images' stems: as they are where any stem is the same, else by order, numbers as numbers.

    Raises:
        DataError: if no stem is the same and their counts differ.
    """
    if not others or images.keys() & others.keys():
        return others
    first, second = sorted(images, key=_natural), sorted(others, key=_natural)
    if len(first) != len(second):
        raise DataError(
            f"The {counted(len(first), 'image')} in {images[first[0]].parent} and the {counted(len(second), 'file')} in "
            f"{folder} share no name ({images[first[0]].name}, {others[second[0]].name}), and as their numbers differ, their "
            "order does not tell which belong together. Give files that belong together the same name."
        )
    export.account.warnings.append(
        f"The files in {folder} have other names than the images; they were paired in order, {images[first[0]].name} with "
        f"{others[second[0]].name} to {images[first[-1]].name} with {others[second[-1]].name}. Make sure that this is right."
    )
    return {one: others[other] for one, other in zip(first, second, strict=True)}


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts numbers within names by their value: a2 before a10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"([0-9]{1,18})", name)]


def _note_orphans(export: Export, images: Collection[str], others: Mapping[str, Path], what: str, silent: bool = False) -> None:
    orphans = [path.name for stem, path in others.items() if stem not in images and not _is_no_label(path.name.lower())]
    if orphans and not silent:
        export.account.warnings.append(f"Ignored {counted(len(orphans), what)} without an image ({listed(orphans)}).")


def _is_no_label(lower: str) -> bool:
    return lower in NO_LABELS or lower.startswith("readme")


def _usual_suffix(export: Export, position: int) -> str | None:
    """Return the suffix of the image (0) or label (-1) in the first usable row of map.txt."""
    for row in export.rows or ():
        if len(row.texts) > 1 or position == 0:
            return Path(row.texts[position].replace("\\", "/")).suffix.lower()
    return None


def _note_blanks(export: Export, names: list[str]) -> None:
    blanks = [name for name in names if " " in name]
    if blanks:
        export.account.warnings.append(
            f"Found {counted(len(blanks), 'chip name')} with blanks ({listed(blanks)}); ArcGIS cannot read these, "
            "chipwright can."
        )


def _holding(folder: Path) -> str:
    """Return what a folder holds, for people: "12 .tif files and 1 folder"."""
    return holding(folder, entries_of(folder).values())


def holding(folder: Path, names: Collection[str]) -> str:
    """Return what some entries of a folder are, for people: "it holds 12 .tif files and the folder a". Hidden files do
    not count."""
    counts: dict[str, int] = {}
    folders = []
    for name in sorted(names):
        if name.startswith("."):
            continue
        if (folder / name).is_dir():
            folders.append(name)
        else:
            suffix = Path(name).suffix.lower() or "nameless"
            counts[suffix] = counts.get(suffix, 0) + 1
    most = sorted(counts.items(), key=lambda item: -item[1])
    kinds = [f"{count} {suffix} file{'' if count == 1 else 's'}" for suffix, count in most[:4]]
    if len(most) > 4:
        kinds.append(counted(sum(count for _, count in most[4:]), "other file"))
    if folders:
        kinds.append(f"the folder{'' if len(folders) == 1 else 's'} {listed(folders)}")
    return f"it holds {listed(kinds, 9)}" if kinds else EMPTY
