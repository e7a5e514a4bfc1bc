"""Which format a folder is in: what its metadata say, and where they are silent what it holds; always with the evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from chipwright.chips.formats.esri import EMD, TOTALS, Export, entries_of
from chipwright.chips.formats.layouts import (
    IMAGE_FOLDERS,
    LABEL_FOLDERS,
    captions_file,
    class_folders,
    domain_folders,
    has_images,
    is_captioned,
    is_class_tree,
    is_sorted,
    labels_beside,
    listing,
    second_folder,
    split_folders,
)
from chipwright.chips.formats.pairing import IMAGE_SUFFIXES, NO_LABELS, files_in, holding
from chipwright.chips.formats.table import CAPTIONS, CHANGE_PAIRS, FORMATS, READABLE, TIME_SERIES, TRACKING, Format
from chipwright.chips.formats.tracking import video_folders
from chipwright.chips.formats.tracking_evidence import tracking_evidence
from chipwright.errors import DataError, listed, suggestion

_KITTI_COLUMNS = 15


def format_of(export: Export) -> Format:
    """Return the format of a folder.

    Raises:
        DataError: if it is unknown; the sentence says what was found and which formats can be read.
    """
    keyword, evidence = _sniff(export)
    export.account.evidence = evidence
    return FORMATS[keyword]


def _sniff(export: Export) -> tuple[str, str]:
    """Return (format keyword, evidence)."""
    said = _declared(export)
    keyword, evidence = _refined(export, *(said or _by_content(export)))
    if said is None and export.esri:
        export.account.warnings.append(
            f"The metadata of {export.root} name no format; it was read as {keyword}, since it holds {evidence}."
        )
    return keyword, evidence


def _refined(export: Export, keyword: str, evidence: str) -> tuple[str, str]:
    """Return (format keyword, evidence) where several formats share a MetaDataMode."""
    if keyword == "Classified_Tiles" and (pairs := _change_evidence(export)):
        return CHANGE_PAIRS, f"{evidence}, and {pairs}"
    if keyword == "MultiLabeled_Tiles" and is_captioned(export):
        return CAPTIONS, f"{evidence}, and SingleLabelFieldFound is Caption"
    if keyword == "RCNN_Masks" and export.flag("IsMultidimensional"):
        return TIME_SERIES, f"{evidence}, and IsMultidimensional is true"
    if keyword == "RCNN_Masks" and (sequences := tracking_evidence(export)):
        return TRACKING, f"{evidence}, and {sequences}"
    return keyword, evidence


def _change_evidence(export: Export) -> str:
    """Return by what a folder holds pairs of images, or an empty text."""
    if second := second_folder(export.root, export.entries):
        return f"a second image folder, {second.name}"
    if parts := split_folders(export.root, export.entries):
        return f"pairs of images in {listed(part.name for part in parts)}"
    return ""


def _declared(export: Export) -> tuple[str, str] | None:
    """Return what MetaDataMode says, or None. The JSON has it in every release, the .emd only in newer ones."""
    said = [
        (text.strip(), name)
        for source, name in ((export.totals, TOTALS), (export.emd, EMD))
        if isinstance(text := source.get("MetaDataMode"), str) and text.strip() and not text.lower().startswith("e.g.")
    ]
    if not said:
        return None
    known = {_plain(keyword): keyword for keyword in FORMATS}
    found = [(known[_plain(text)], f"MetaDataMode in {name}") for text, name in said if _plain(text) in known]
    if not found:
        text, name = said[0]
        raise DataError(
            f"{name} in {export.root} says MetaDataMode {text!r:.80}, which is no known format.{suggestion(text, FORMATS)} "
            f"This version reads {listed(READABLE, 20)}."
        )
    if len({keyword for keyword, _ in found}) > 1:
        export.account.warnings.append(
            f"The metadata of {export.root} contradict each other: {TOTALS} says {found[0][0]}, {EMD} says {found[1][0]}; "
            "the first was followed."
        )
    return found[0]


def _plain(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _by_content(export: Export) -> tuple[str, str]:
    """Return (format keyword, evidence) from what the folder holds.

    Raises:
        DataError: if that is like no format.
    """
    if domains := domain_folders(export.root, export.entries):
        return "CycleGAN", f"the folders {listed(folder.name for folder in domains)}"
    images, labels = export.directory(*IMAGE_FOLDERS), export.directory(*LABEL_FOLDERS)
    if pairs := _change_evidence(export):
        return ("Export_Tiles" if images and not labels else CHANGE_PAIRS), pairs
    if captions := captions_file(export.root, export.entries):
        return CAPTIONS, f"captions in {captions.name}"
    if name := listing(export.entries):
        return "COCO_rectangles", f"a file {name}"
    if export.directory("labels2"):
        return "Panoptic_Segmentation", "the folders labels and labels2"
    if video_folders(export):
        return TRACKING, "folders of frames in JPEGImages and of their masks in Annotations"
    if labels is not None:
        return _by_labels(export, labels)
    if beside := _by_labels_beside(images or export.root):
        return beside
    if images is not None:
        if is_sorted(images):
            return "Imagenet", f"the folders {listed(folder.name for folder in class_folders(images))} in {images.name}"
        if has_images(images):
            return "Export_Tiles", "images and no labels"
    elif is_class_tree(export.root, export.entries):
        return "Imagenet", "folders of chips, one a class"
    raise DataError(
        f"{export.root} is like no format of training data: {holding(export.root, export.entries.values())}; expected a folder "
        f"images beside labels, {EMD} and {TOTALS}, as Export Training Data For Deep Learning writes them."
    )


def _by_labels_beside(images: Path) -> tuple[str, str] | None:
    """Return (format keyword, evidence) where labels lie among the images of a folder."""
    entries = entries_of(images)
    if name := listing(entries):
        return "COCO_rectangles", f"a file {name} beside the images in {images.name}"
    labels = labels_beside(images, entries)
    if not labels:
        return None
    where = f"beside the images of the same names in {images.name}"
    if labels[0].suffix.lower() == ".xml":
        return "PASCAL_VOC_rectangles", f"{len(labels)} .xml files {where}"
    keyword, columns = _by_columns(labels)
    return keyword, f"{len(labels)} .txt files of {columns} columns {where}"


def _by_labels(export: Export, labels: Path) -> tuple[str, str]:
    suffixes, folders = _contents(labels)
    if suffixes[".xml"]:
        return "PASCAL_VOC_rectangles", f"{suffixes['.xml']} .xml files in {labels.name}"
    if suffixes[".txt"]:
        keyword, columns = _by_columns(
            [labels / name for name in files_in(labels) if name.lower().endswith(".txt") and name.lower() not in NO_LABELS]
        )
        return keyword, f".txt files of {columns} columns in {labels.name}"
    if suffixes[".json"]:
        return "COCO_rectangles", f".json files in {labels.name}"
    rasters = sum(suffixes[suffix] for suffix in IMAGE_SUFFIXES)
    if rasters:
        return "Classified_Tiles", f"{rasters} rasters in {labels.name}"
    if folders and _contents(labels / folders[0])[0][".txt"]:
        return _by_labels(export, labels / folders[0])
    if folders:
        return "RCNN_Masks", f"the folders {listed(folders)} in {labels.name}"
    raise DataError(
        f"{labels} holds no labels: {holding(labels, entries_of(labels).values())}; expected .xml files or label rasters."
    )


def _contents(folder: Path) -> tuple[Counter[str], list[str]]:
    """Return (count of files by suffix, names of folders)."""
    suffixes: Counter[str] = Counter()
    folders = []
    for name in sorted(entries_of(folder).values()):
        suffix = Path(name).suffix.lower()
        if not suffix and (folder / name).is_dir():
            folders.append(name)
        elif not name.startswith("."):
            suffixes[suffix] += 1
    return suffixes, folders


def _by_columns(labels: Sequence[Path]) -> tuple[str, int]:
    """Return (format keyword, columns) by the first line of text labels that is not empty."""
    for path in labels:
        with path.open(encoding="latin-1") as file:
            line = file.readline(4096).split()
        if line:
            return ("KITTI_rectangles" if len(line) >= _KITTI_COLUMNS else "YOLO_rectangles"), len(line)
    return "YOLO_rectangles", 0
