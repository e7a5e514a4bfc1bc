"""What writes the labels of each format."""

from __future__ import annotations

from chipwright.chips.formats.table import CAPTIONS, CHANGE_PAIRS, TIME_SERIES, TRACKING
from chipwright.chips.writers.coco_labels import CocoLabels
from chipwright.chips.writers.folder_labels import ImagenetFolders
from chipwright.chips.writers.kitti_labels import KittiLabels
from chipwright.chips.writers.labels import Labels
from chipwright.chips.writers.mask_labels import PanopticLabels, RcnnMasks, TimeSeries, TrackedMasks
from chipwright.chips.writers.raster_labels import ChangeTiles, ClassifiedTiles, ThematicTiles
from chipwright.chips.writers.voc_labels import Captions, LabeledTiles, MultiLabeledTiles, VocLabels
from chipwright.chips.writers.yolo_labels import YoloLabels

CYCLEGAN = "CycleGAN"

WRITERS: dict[str, type[Labels]] = {
    "Classified_Tiles": ClassifiedTiles,
    "PASCAL_VOC_rectangles": VocLabels,
    "Labeled_Tiles": LabeledTiles,
    "MultiLabeled_Tiles": MultiLabeledTiles,
    "RCNN_Masks": RcnnMasks,
    "KITTI_rectangles": KittiLabels,
    "COCO_rectangles": CocoLabels,
    "YOLO_rectangles": YoloLabels,
    "Imagenet": ImagenetFolders,
    "Export_Tiles": ThematicTiles,
    CYCLEGAN: Labels,
    "Panoptic_Segmentation": PanopticLabels,
    CHANGE_PAIRS: ChangeTiles,
    CAPTIONS: Captions,
    TRACKING: TrackedMasks,
    TIME_SERIES: TimeSeries,
}
