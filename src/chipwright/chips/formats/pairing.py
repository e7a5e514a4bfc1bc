"""Which image belongs to which label: by file stem, with map.txt as a second opinion."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from chipwright.chips.formats.esri import MAP, Export, counted, entries_of
from chipwright.errors import DataError, listed

IMAGE_SUFFIXES = (".tif", ".tiff", ".jpg", ".jpeg", ".png", ".mrf", ".bmp", ".jp2")
"""Suffixes of chips; everything else beside them (.tfw, .ovr, .aux.xml, .idx, ...) is a side-car."""

NO_LABEL = "no label file"
EMPTY = "it is empty"


@dataclass(frozen=True, slots=True)
class Sample:
    """Files of one chip: its stem, its images, and its label file if it has one."""

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
    for name in sorted(entries_of(folder).values()):
        path = folder / name
        if path.suffix.lower() not in suffixes or name.startswith("."):
            continue
        other = found.get(path.stem)
        if other is not None:
            shared.append(path.stem)
            path = min((other, path), key=lambda one: order.index(one.suffix.lower()))
        found[path.stem] = path
    return found, list(dict.fromkeys(shared))


def paired(
    export: Export, images: Path, labels: Path | None, suffixes: Collection[str], optional: bool = False
) -> list[Sample]:
    """Return the chips that have a label, in the order of their names; the rest is counted in the export's account.

    Args:
        export: whose map.txt says which suffix wins, and where a label of another name lies.
        images, labels: the folders.
        suffixes: of label files.
        optional: whether chips without a label are kept, too.

    Raises:
        DataError: if there is no image, or none has a label that needs one.
    """
    account = export.account
    rows = export.rows or ()
    of_images, shared = stems(images, IMAGE_SUFFIXES, _usual_suffix(export, 0))
    if not of_images:
        raise DataError(f"{images} holds no chips: {_holding(images)}; expected files such as 000000000000.tif.")
    if shared:
        account.warnings.append(
            f"Found {counted(len(shared), 'chip name')} with several images ({listed(shared)}); one each was used."
        )
    of_labels = stems(labels, suffixes, _usual_suffix(export, -1))[0] if labels else {}
    for row in rows:
        image, label = row.parts[0], row.parts[-1]
        if len(row.parts) > 1 and image and label:
            stem = Path(image[-1]).stem
            path = export.root.joinpath(*label)
            if stem in of_images and stem not in of_labels and path.suffix.lower() in suffixes and path.is_file():
                of_labels[stem] = path
    absent = [row.texts[0] for row in rows if row.parts[0] and Path(row.parts[0][-1]).stem not in of_images]
    if absent:
        account.warnings.append(
            f"{MAP} lists {counted(len(absent), 'chip')} whose image is missing ({listed(absent)}); the rest is used."
        )
    orphans = [of_labels[stem].name for stem in of_labels if stem not in of_images]
    if orphans and not absent:
        account.warnings.append(f"Ignored {counted(len(orphans), 'label')} without an image ({listed(orphans)}).")
    _note_blanks(export, list(of_images))
    samples = []
    for stem, image_path in of_images.items():
        if optional or stem in of_labels:
            samples.append(Sample(stem, (image_path,), of_labels.get(stem)))
        else:
            account.drop(NO_LABEL, image_path.name)
    if not samples:
        where = labels or export.root / "labels"
        holds = _holding(where) if labels else "there is no such folder"
        raise DataError(
            f"None of the {counted(len(of_images), 'chip')} in {images} has a label in {where} ({holds}); "
            f"expected files of the same names ending in {listed(suffixes, 9)}."
        )
    return samples


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
