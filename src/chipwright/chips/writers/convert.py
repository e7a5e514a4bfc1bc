"""Training data from one format into another, chip by chip, as far as what the labels say allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError

from chipwright.chips.chipset import Account, Chip, ChipSet, ClassInfo
from chipwright.chips.folders import read_chips
from chipwright.chips.formats.panoptic import KEYWORD as PANOPTIC
from chipwright.chips.formats.panoptic import THINGS
from chipwright.chips.formats.table import CAPTIONS, CHANGE_PAIRS, TIME_SERIES, TRACKING
from chipwright.chips.reading import read_image, read_instances, read_label
from chipwright.chips.writers.new_chip import ChipBox, ChipFormat, ExportFacts, NewChip, NewObject
from chipwright.chips.writers.rasters import SUFFIXES
from chipwright.chips.writers.table import CYCLEGAN, WRITERS
from chipwright.chips.writers.writing import check_free, open_writer
from chipwright.console import track
from chipwright.errors import OptionError, listed, suggestion

_RECTANGLES = ("PASCAL_VOC_rectangles", "KITTI_rectangles", "COCO_rectangles", "YOLO_rectangles")
_TILES = ("Labeled_Tiles", "MultiLabeled_Tiles", "Imagenet")
_PLAIN = "Export_Tiles"

TARGETS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_RECTANGLES, (*_RECTANGLES, _PLAIN)),
    **dict.fromkeys(_TILES, (*_TILES, _PLAIN)),
    "RCNN_Masks": ("RCNN_Masks", *_RECTANGLES, _PLAIN),
    "Classified_Tiles": ("Classified_Tiles", _PLAIN),
    PANOPTIC: (PANOPTIC, "Classified_Tiles", "RCNN_Masks", *_RECTANGLES, _PLAIN),
    CHANGE_PAIRS: (CHANGE_PAIRS, _PLAIN),
    CAPTIONS: (CAPTIONS, _PLAIN),
    TRACKING: (TRACKING, _PLAIN),
    TIME_SERIES: (TIME_SERIES, _PLAIN),
    _PLAIN: (_PLAIN,),
    CYCLEGAN: (CYCLEGAN,),
}
"""Formats that each format can be turned into: those whose labels can be had from its own."""

_NEEDS = {
    **dict.fromkeys(_RECTANGLES, "boxes of objects"),
    **dict.fromkeys(_TILES, "classes of whole chips"),
    "RCNN_Masks": "outlines of objects",
    "Classified_Tiles": "a class for each pixel",
    PANOPTIC: "a class for each pixel and outlines of objects",
    CHANGE_PAIRS: "pairs of images and what changed between them",
    CAPTIONS: "captions",
    TRACKING: "outlines of objects in frames of videos",
    TIME_SERIES: "images of several dates",
    CYCLEGAN: "two kinds of imagery",
}


@dataclass(frozen=True)
class Converted:
    """What came of a conversion: the folder, its chips and classes, and the account of the folders that were read."""

    folder: Path
    chips: int
    classes: tuple[ClassInfo, ...]
    account: Account


def convert(
    folders: Sequence[Path] | Path,
    out_folder: Path,
    keyword: str,
    *,
    chip_format: ChipFormat | None = None,
    start_index: int = 0,
    overwrite: bool = False,
) -> Converted:
    """Write training data in another format, or anew in their own: several folders become one.

    Image files are copied byte for byte, with what says where they lie, where the chip format stays. Chips of one folder keep
    their names, where these can be names in the other format; else they are numbered.

    Args:
        folders: what `read_chips` takes.
        out_folder: one that does not exist or is empty.
        keyword: of the format to write.
        chip_format: None keeps the chips' own, or TIFF where they differ or are of none that is written (BMP, JPEG 2000).
        start_index: number of the first chip, where chips are numbered.
        overwrite: replace an earlier export of chipwright.

    Raises:
        DataError: if the folders cannot be read.
        OptionError: if the labels cannot be had in the format, or the output folder cannot be used.
    """
    out = Path(out_folder)
    if keyword not in WRITERS:
        raise OptionError(f"{keyword!r} is no metadata format.{suggestion(keyword, WRITERS)} There are {listed(WRITERS, 20)}.")
    check_free(out, overwrite)
    chips = read_chips(folders)
    _check_target(chips, keyword)
    for root in chips.folders:
        if out.resolve().is_relative_to(root.resolve()):
            raise OptionError(
                f"{out} lies in the folder {root} that is read, into which nothing is written. Name another folder."
            )
    facts = _facts(chips, keyword, chip_format or _own_format(chips), start_index)
    with open_writer(out, keyword, facts, overwrite=overwrite) as writer:
        for chip in _new_chips(chips, keyword, facts.chip_format):
            writer.write(chip)
    return Converted(out, writer.count, facts.classes, chips.account)


def _check_target(chips: ChipSet, keyword: str) -> None:
    """Raise `OptionError` unless the labels of a format can be had from these."""
    if keyword not in TARGETS[chips.format]:
        raise OptionError(
            f"{listed(chips.folders)} holds {chips.format} data, which cannot be turned into {keyword}: that needs "
            f"{_NEEDS[keyword]}. They can be turned into {listed(TARGETS[chips.format], 20)}."
        )
    if keyword in ("Labeled_Tiles", "Imagenet"):
        others = [chip.name for chip in chips.chips if len(chip.values) != 1]
        if others:
            raise OptionError(
                f"{keyword} chips have one class each, and {len(others)} of the {len(chips)} chips in {listed(chips.folders)} "
                f"have none or several ({listed(others)}). Choose MultiLabeled_Tiles."
            )


def _own_format(chips: ChipSet) -> ChipFormat:
    suffixes = {path.suffix.lower() for chip in chips.chips for path in chip.images}
    own = [name for name, endings in SUFFIXES.items() if suffixes <= set(endings)]
    return own[0] if own else "TIFF"


def _facts(chips: ChipSet, keyword: str, chip_format: ChipFormat, start_index: int) -> ExportFacts:
    where = next((chip.georeference for chip in chips.chips if chip.georeference), None)
    cell = (1.0, 1.0)
    if where is not None:
        a, b, _, d, e, _ = where.transform
        cell = (float(np.hypot(a, d)), float(np.hypot(b, e)))
    second = chips.second
    things = tuple(int(row["Value"]) for row in chips.metadata.get(THINGS, []))
    counts_only = chips.format == PANOPTIC and keyword in ("RCNN_Masks", *_RECTANGLES)
    return ExportFacts(
        classes=tuple(info for info in chips.classes if info.value in things) if counts_only else chips.classes,
        bands=chips.bands,
        tile_size=chips.tile_size,
        second_bands=second.bands if second else (),
        chip_format=chip_format,
        start_index=start_index,
        nodata=chips.nodata,
        second_nodata=None if second is None else float("nan") if second.nodata is None else second.nodata,
        cell_size=cell,
        wkid=_wkid(where.crs) if where else None,
        image_space=chips.image_space,
        instance_classes=things,
        metadata={key: value for key, value in chips.metadata.items() if key != THINGS or keyword == PANOPTIC},
    )


def _wkid(crs: str | None) -> int | None:
    try:
        return CRS.from_user_input(crs).to_epsg() if crs else None
    except CRSError:
        return None


def _new_chips(chips: ChipSet, keyword: str, chip_format: ChipFormat) -> Iterator[NewChip]:
    keep = _names_stay(chips, keyword)
    ordered = chips.chips
    if keyword == TRACKING:  # frames are numbered through all videos: their order is what counts
        ordered = tuple(sorted(ordered, key=lambda chip: (chip.folder, chip.sequence or "", chip.frame or 0)))
    for chip in track(ordered, "Converting chips", len(ordered)):
        yield _new_chip(chips, chip, keyword, chip_format, chip.name.rpartition("/")[2] if keep else None)


def _names_stay(chips: ChipSet, keyword: str) -> bool:
    """Return whether chips keep their file stems."""
    if len(chips.folders) > 1 or keyword == TRACKING:
        return False
    stems = [(chip.domain, chip.name.rpartition("/")[2].casefold()) for chip in chips.chips]
    return len(set(stems)) == len(stems)


def _new_chip(chips: ChipSet, chip: Chip, keyword: str, chip_format: ChipFormat, name: str | None) -> NewChip:
    pairs = keyword == CHANGE_PAIRS or (keyword == _PLAIN and chips.second is not None and len(chip.images) > 1)
    paths = chip.images if pairs else chip.images[:1]
    read = [read_image(path) for path in paths]
    labelled = chip.label is not None and (keyword != _PLAIN or chips.format == _PLAIN)
    label = read_label(chip.label) if labelled and chip.label is not None else None
    return NewChip(
        images=tuple(pixels for pixels, _ in read),
        label=label,
        objects=tuple(_objects(chip, keyword)),
        values=chip.values,
        texts=chip.texts,
        sequence=chip.sequence,
        georeference=chip.georeference,
        name=name,
        domain=chip.domain,
        valid=tuple(mask for _, mask in read),
        image_files=paths,
        label_file=chip.label if label is not None and chip.label and chip.label.suffix.lower() in SUFFIXES["TIFF"] else None,
    )


def _objects(chip: Chip, keyword: str) -> Iterator[NewObject]:
    if keyword == _PLAIN:
        return
    if chip.boxes is not None and chip.box_values is not None and not chip.masks:
        for box, value in zip(chip.boxes.tolist(), chip.box_values.tolist(), strict=True):
            yield NewObject(value, (box[0], box[1], box[2], box[3]))
    for value, path in chip.masks:
        instances, ids = read_instances(path)
        for layer in instances:
            for number in np.unique(layer[layer > 0]).tolist():
                mask = layer == number
                yield NewObject(value, _hull(mask), mask, int(ids[number - 1]) if keyword == TRACKING else None)


def _hull(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> ChipBox:
    """Return the box around a mask's pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
