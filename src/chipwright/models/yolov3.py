"""YOLOV3: YOLOv3 on Darknet-53 or any backbone with maps of strides 8, 16 and 32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from chipwright.chips.chipset import ChipSet
from chipwright.models.base import Arguments, BackboneRule, Tiny
from chipwright.models.detector import BoxArguments, DetectorType, LeastScore, MostOverlap, boxes_of
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights

ANCHORS = 9

SCALE_BOUNDS = (34.0, 92.0)
"""Pixels between the box sizes (square root of the area) of the strides 8, 16 and 32: midway between the paper's anchors."""

Side = Annotated[float, Field(gt=0)]


class YoloArguments(BoxArguments):
    """Arguments of YOLOV3."""

    anchors: list[tuple[Side, Side]] | None = Field(
        None,
        min_length=ANCHORS,
        max_length=ANCHORS,
        description="Nine widths and heights of anchors in pixels; default: clustered from the training boxes.",
    )
    match_iou_thresh: float = Field(
        0.5,
        gt=0,
        le=1,
        description="IoU in shape from which an anchor is taught an object beside the likest one; 1 as in the paper.",
    )
    box_loss: Literal["iou", "paper"] = Field(
        "iou", description="What boxes are taught by: their complete IoU, or places and sizes apart as in the paper."
    )
    box_score_thresh: LeastScore = 0.01
    box_nms_thresh: MostOverlap = 0.45


class YoloV3(DetectorType):
    """YOLOv3 (Redmon & Farhadi 2018)."""

    keyword = "YOLOV3"
    title = "YOLOv3 (object detection)"
    paper = "Redmon, Farhadi: YOLOv3: An Incremental Improvement. 2018, arXiv:1804.02767"
    arguments: ClassVar[type[Arguments]] = YoloArguments
    backbones = BackboneRule("DARKNET53", families=("darknet", "mobilenet"))
    tiny = Tiny(learning_rate=3e-3)
    learning_rate = 5e-4  # measured on `voc_palm`
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "_yolov3_inference",
        "ModelType": "ObjectDetection",
        "ModelName": "YOLOv3",
        "SupportsVariableTileSize": False,
    }

    def fit(self, chips: ChipSet, arguments: Arguments, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return `anchors`, nine (width, height) in pixels by rising area, and `notes` on them and on the boxes."""
        assert isinstance(arguments, YoloArguments)
        anchors, notes = fitted_anchors(chips, arguments.anchors, earlier)
        notes += self.crowded(chips, arguments.model_dump())
        return {"anchors": anchors} | ({"notes": notes} if notes else {})

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network for the spec's classes."""
        from chipwright.networks.backbones import create_backbone
        from chipwright.networks.yolov3 import YOLOv3

        arguments = YoloArguments.model_validate(spec.arguments)
        backbone = create_backbone(
            spec.backbone or self.backbones.default,
            len(spec.bands),
            weights,
            weight_init_scheme=arguments.weight_init_scheme,
        )
        return YOLOv3(
            backbone,
            len(spec.classes),
            anchors=spec.fitted["anchors"],
            match_iou_thresh=arguments.match_iou_thresh,
            box_loss=arguments.box_loss,
            **arguments.box_settings(),
        )

    def emd_keys(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the family's keys: anchors and number of bands."""
        return self.emd | {"anchors": spec.fitted["anchors"], "n_bands": len(spec.bands)}


def fitted_anchors(
    chips: ChipSet, given: list[tuple[float, float]] | None, earlier: Mapping[str, Any] | None
) -> tuple[list[list[float]], list[str]]:
    """Return nine anchors as (width, height) in pixels by rising area, and what to say of them.

    Those `given` come first, then a pretrained model's own, `earlier`, since its heads know no others. Else each scale's three
    are clustered from the boxes of the sizes that the paper gives to it, and are the paper's where these are fewer than three.
    """
    from chipwright.networks.anchor_shapes import cluster_shapes, shape_overlaps
    from chipwright.networks.yolov3 import ANCHORS_PER_SCALE, COCO_ANCHORS, STRIDES

    if given is not None:
        return sorted(([w, h] for w, h in given), key=lambda size: size[0] * size[1]), []
    if earlier is not None and "anchors" in earlier:
        return earlier["anchors"], []
    boxes = boxes_of(chips)
    sizes = boxes[:, 2:] - boxes[:, :2]
    scales = np.digitize(np.sqrt(sizes.prod(1)), SCALE_BOUNDS)
    by_scale = np.array(COCO_ANCHORS, np.float64).reshape(len(STRIDES), ANCHORS_PER_SCALE, 2)
    counts, usual = [], []
    for scale, stride in enumerate(STRIDES):
        own = sizes[scales == scale]
        found = cluster_shapes(own, ANCHORS_PER_SCALE)
        counts.append(f"{len(own)} of stride {stride}")
        if found is None:
            usual.append(str(stride))
        else:
            by_scale[scale] = np.maximum(found.round(1), 1.0)
    anchors = by_scale.reshape(ANCHORS, 2)
    text = ", ".join(f"{width:.0f} x {height:.0f}" for width, height in anchors)
    note = f"Anchors clustered from {len(sizes)} boxes ({', '.join(counts)}): {text} px"
    if len(sizes):
        note += f" (mean best IoU {shape_overlaps(sizes, anchors).max(1).mean():.2f})"
    if usual:
        note += f"; those of stride {' and '.join(usual)} are the paper's, for want of boxes of three sizes there"
    return [[float(width), float(height)] for width, height in anchors], [note + "."]


YOLOV3 = YoloV3()
