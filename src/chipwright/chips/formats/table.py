"""The formats of training data: one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chipwright.chips.formats import (
    captions,
    change_pairs,
    classified_tiles,
    coco,
    cyclegan,
    export_tiles,
    imagenet,
    kitti,
    labeled_tiles,
    panoptic,
    pascal_voc,
    rcnn_masks,
    time_series,
    tracking,
    yolo,
)
from chipwright.chips.formats.esri import Export
from chipwright.chips.formats.part import Part


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        keyword: what `ChipSet.format` holds, model types list, and messages say: the reference's MetaDataMode, or a name of
            our own for a format that shares its MetaDataMode with another.
        read: turns a folder into a part.
        several: whether folders of it may be given together.
        mode: the MetaDataMode written, where it is not the keyword.
    """

    keyword: str
    read: Callable[[Export], Part]
    several: bool = False
    mode: str | None = None


FORMATS: dict[str, Format] = {
    row.keyword: row
    for row in (
        Format("Classified_Tiles", classified_tiles.read_classified_tiles, several=True),
        Format("PASCAL_VOC_rectangles", pascal_voc.read_pascal_voc, several=True),
        Format("Labeled_Tiles", labeled_tiles.read_labeled_tiles, several=True),
        Format("MultiLabeled_Tiles", labeled_tiles.read_multilabeled_tiles, several=True),
        Format("RCNN_Masks", rcnn_masks.read_rcnn_masks, several=True),
        Format("KITTI_rectangles", kitti.read_kitti),
        Format("COCO_rectangles", coco.read_coco, several=True),
        Format("YOLO_rectangles", yolo.read_yolo, several=True),
        Format("Imagenet", imagenet.read_imagenet),
        Format("Export_Tiles", export_tiles.read_export_tiles),
        Format("CycleGAN", cyclegan.read_cyclegan),
        Format("Panoptic_Segmentation", panoptic.read_panoptic),
        Format("ChangeDetection", change_pairs.read_change_pairs, mode="Classified_Tiles"),
        Format("ImageCaptioning", captions.read_captions, mode="MultiLabeled_Tiles"),
        Format("ObjectTracking", tracking.read_tracking, mode="RCNN_Masks"),
        Format("TimeSeries", time_series.read_time_series, mode="RCNN_Masks"),
    )
}

CHANGE_PAIRS, CAPTIONS, TRACKING, TIME_SERIES = list(FORMATS)[-4:]
"""Formats that share a MetaDataMode with another and are told apart by content."""

READABLE = tuple(FORMATS)
