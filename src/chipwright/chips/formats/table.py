"""The formats of training data: one row each, whether read already or only recognised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chipwright.chips.formats import classified_tiles, labeled_tiles, pascal_voc
from chipwright.chips.formats.esri import Export
from chipwright.chips.formats.part import Part


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        keyword: its name in messages; of a format with a reader, the metadata keyword that `ChipSet.format` holds.
        read: turns a folder into a part; None where there is no reader yet.
        several: whether folders of it may be given together.
    """

    keyword: str
    read: Callable[[Export], Part] | None = None
    several: bool = False


FORMATS: dict[str, Format] = {
    row.keyword: row
    for row in (
        Format("Classified_Tiles", classified_tiles.read_classified_tiles, several=True),
        Format("PASCAL_VOC_rectangles", pascal_voc.read_pascal_voc, several=True),
        Format("Labeled_Tiles", labeled_tiles.read_labeled_tiles, several=True),
        Format("MultiLabeled_Tiles", labeled_tiles.read_multilabeled_tiles, several=True),
        Format("RCNN_Masks", several=True),
        Format("KITTI_rectangles"),
        Format("COCO_rectangles"),
        Format("YOLO_rectangles"),
        Format("Imagenet"),
        Format("Export_Tiles"),
        Format("CycleGAN"),
        Format("Panoptic_Segmentation"),
        Format("ChangeDetection (Classified_Tiles with a second image folder)"),
        Format("ImageCaptioning (MultiLabeled_Tiles whose label field is Caption)"),
    )
}

CHANGE_PAIRS, CAPTIONS = list(FORMATS)[-2:]
"""Formats that share a metadata keyword with another and are told apart by content."""

READABLE = tuple(row.keyword for row in FORMATS.values() if row.read is not None)
