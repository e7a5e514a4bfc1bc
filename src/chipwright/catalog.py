"""The table of model types: keyword -> title and where it lives. Listing them imports none of them.

Third parties add rows through the entry-point group `chipwright.model_types`: the entry's name is the keyword, its value a
`ModelType` instance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from chipwright.errors import OptionError, listed, suggestion

if TYPE_CHECKING:
    from chipwright.models.base import ModelType

ENTRY_POINTS = "chipwright.model_types"


@dataclass(frozen=True)
class Row:
    """One model type: keyword, title, and "module:name" of its `ModelType`, or None where this version has it not yet."""

    keyword: str
    title: str
    location: str | None = None


_ROWS = (
    Row("SSD", "Single Shot Detector (object detection)", "chipwright.models.ssd:SSD"),
    Row("RETINANET", "RetinaNet (object detection)", "chipwright.models.retinanet:RETINANET"),
    Row("YOLOV3", "YOLOv3 (object detection)", "chipwright.models.yolov3:YOLOV3"),
    Row("FASTERRCNN", "Faster R-CNN (object detection)", "chipwright.models.fasterrcnn:FASTERRCNN"),
    Row("MMDETECTION", "MMDetection (object detection)", "chipwright.models.mmdetection:MMDETECTION"),
    Row("DETREG", "DETReg (object detection)"),
    Row("MASKRCNN", "Mask R-CNN (object detection with instance masks)", "chipwright.models.maskrcnn:MASKRCNN"),
    Row("UNET", "U-Net (pixel classification)", "chipwright.models.unet:UNET"),
    Row("PSPNET", "Pyramid Scene Parsing Network (pixel classification)", "chipwright.models.pspnet:PSPNET"),
    Row("DEEPLAB", "DeepLabV3 (pixel classification)", "chipwright.models.deeplab:DEEPLAB"),
    Row("MMSEGMENTATION", "MMSegmentation (pixel classification)", "chipwright.models.mmsegmentation:MMSEGMENTATION"),
    Row("BDCN_EDGEDETECTOR", "Bi-Directional Cascade Network (edge detection)", "chipwright.models.edges:BDCN"),
    Row("HED_EDGEDETECTOR", "Holistically-Nested Edge Detection", "chipwright.models.edges:HED"),
    Row(
        "MULTITASK_ROADEXTRACTOR", "Multi Task Road Extractor (road network)", "chipwright.models.roads:MULTITASK_ROADEXTRACTOR"
    ),
    Row("CONNECTNET", "ConnectNet (road network)", "chipwright.models.roads:CONNECTNET"),
    Row("CHANGEDETECTOR", "Change detector (two dates)", "chipwright.models.changedetector:CHANGEDETECTOR"),
    Row(
        "PSETAE",
        "Pixel-Set Encoder and Temporal Attention Encoder (time-series classification)",
        "chipwright.models.psetae:PSETAE",
    ),
    Row(
        "FEATURE_CLASSIFIER",
        "Feature classifier (object or image classification)",
        "chipwright.models.feature_classifier:FEATURE_CLASSIFIER",
    ),
    Row("PIX2PIX", "Pix2Pix (paired image translation)", "chipwright.models.pix2pix:PIX2PIX"),
    Row("PIX2PIXHD", "Pix2PixHD (paired image translation, high resolution)", "chipwright.models.pix2pixhd:PIX2PIXHD"),
    Row("CYCLEGAN", "CycleGAN (unpaired image translation)", "chipwright.models.cyclegan:CYCLEGAN"),
    Row("SUPERRESOLUTION", "Super-resolution (image translation)", "chipwright.models.superresolution:SUPERRESOLUTION"),
    Row("IMAGECAPTIONER", "Image captioner (image to text)", "chipwright.models.image_captioner:IMAGECAPTIONER"),
    Row("SIAMMASK", "SiamMask (single-object tracking)"),
    Row("DEEPSORT", "DeepSORT (many-object tracking)"),
    Row("MAXDEEPLAB", "MaX-DeepLab (panoptic segmentation)"),
)


def rows() -> dict[str, Row]:
    """Return every row by keyword, third parties' after our own."""
    table = {row.keyword: row for row in _ROWS}
    for entry in entry_points(group=ENTRY_POINTS):
        table.setdefault(entry.name.upper(), Row(entry.name.upper(), entry.name, entry.value))
    return table


def available() -> tuple[str, ...]:
    """Return the keywords of the types this version can train."""
    return tuple(keyword for keyword, row in rows().items() if row.location)


@cache
def find(keyword: str) -> ModelType:
    """Return the model type of a keyword, whatever its case ("UNET", "MaskRCNN").

    Raises:
        OptionError: if there is no such type, or this version cannot train it yet.
    """
    table = rows()
    row = table.get(keyword.strip().upper())
    if row is None:
        raise OptionError(f"There is no model type {keyword!r}.{suggestion(keyword, table)} Types: {listed(table, 30)}.")
    if row.location is None:
        raise OptionError(f"{row.keyword} is not part of this version yet. It trains {listed(available(), 30)}.")
    module, name = row.location.split(":")
    return getattr(import_module(module), name)


def fitting(format_name: str) -> tuple[str, ...]:
    """Return the keywords of the available types that take a metadata format."""
    return tuple(keyword for keyword in available() if format_name in find(keyword).formats)


_PICKED = {
    "PASCAL_VOC_rectangles": "SSD",
    "KITTI_rectangles": "SSD",
    "COCO_rectangles": "SSD",
    "YOLO_rectangles": "SSD",
    "RCNN_Masks": "MASKRCNN",
    "TimeSeries": "PSETAE",
    "Classified_Tiles": "UNET",
    "Labeled_Tiles": "FEATURE_CLASSIFIER",
    "MultiLabeled_Tiles": "FEATURE_CLASSIFIER",
    "Imagenet": "FEATURE_CLASSIFIER",
    "Export_Tiles": "SUPERRESOLUTION",
    "CycleGAN": "CYCLEGAN",
    "ChangeDetection": "CHANGEDETECTOR",
    "ImageCaptioning": "IMAGECAPTIONER",
    "Panoptic_Segmentation": "MAXDEEPLAB",
}
"""What the reference picks for a metadata format."""


_PICKED_OF_TILES = {"paired": "PIX2PIX", "labelled": "PIX2PIXHD"}
"""What it picks for Export_Tiles that hold more than single images."""


def pick(format_name: str, *, paired: bool = False, labelled: bool = False) -> str:
    """Return the model type for chips of a format when none is given: the reference's pick, or the first available that fits.

    Args:
        format_name: of the chips.
        paired, labelled: whether they have second images, or label rasters.

    Raises:
        OptionError: if no available type takes the format.
    """
    fits = fitting(format_name)
    if not fits:
        raise OptionError(f"No model type of this version trains on {format_name} yet. It trains {listed(available(), 30)}.")
    picked = _PICKED.get(format_name, "")
    if format_name == "Export_Tiles" and (paired or labelled):
        picked = _PICKED_OF_TILES["paired" if paired else "labelled"]
    return picked if picked in fits else fits[0]
