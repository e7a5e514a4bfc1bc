"""MASKRCNN: Mask R-CNN with a feature pyramid, torchvision's, or with PointRend's masks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from chipwright.chips.chipset import ChipSet
from chipwright.models.base import Arguments, BackboneRule
from chipwright.models.detector import DetectorType, most_boxes
from chipwright.models.fasterrcnn import TINY_REGIONS, RegionArguments, fitted_anchors
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights
    from chipwright.tasks.base import Task

USUAL_DETECTIONS = 100
"""Most objects returned for an image, unless its chips hold more."""

_ROOM = 1.5
"""Objects returned for each that the fullest chip holds: what is found twice, or falsely, must not crowd others out."""


class MaskArguments(RegionArguments):
    """Arguments of Mask R-CNN."""

    box_detections_per_img: int | None = Field(  # type: ignore[assignment]  # left open, it is fitted
        None,
        ge=1,
        description="Most objects returned for an image, all classes together; default: 100, or half as many again as the "
        "fullest training chip holds if that is more.",
    )
    pointrend: bool = Field(
        False,
        description="Draw masks point by point (PointRend), 224 cells a side instead of 28: finer outlines of large objects.",
    )


class MaskRcnn(DetectorType):
    """Mask R-CNN (He et al. 2017) with a feature pyramid."""

    keyword = "MASKRCNN"
    title = "Mask R-CNN (object detection with instance masks)"
    paper = "He et al.: Mask R-CNN. ICCV 2017, arXiv:1703.06870"
    formats = ("RCNN_Masks",)
    labelled = "an object in its masks"
    arguments: ClassVar[type[Arguments]] = MaskArguments
    backbones = BackboneRule("RESNET34", families=("resnet", "mobilenet"))
    tiny = TINY_REGIONS
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "_maskrcnn_inferencing",
        "ModelType": "InstanceDetection",
        "ModelName": "MaskRCNN",
        "SupportsVariableTileSize": True,
    }

    def fit(self, chips: ChipSet, arguments: Arguments, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return `anchor_sizes` as FASTERRCNN, `box_detections_per_img` where it was left open, and `notes`."""
        fitted, notes = fitted_anchors(chips, earlier)
        given = arguments.model_dump()
        if given["box_detections_per_img"] is None:
            most = most_boxes(chips)
            fitted["box_detections_per_img"] = max(USUAL_DETECTIONS, math.ceil(_ROOM * most / 10) * 10)
            if fitted["box_detections_per_img"] > USUAL_DETECTIONS:
                notes.append(
                    f"A chip holds {most} objects: {fitted['box_detections_per_img']} at most are returned for an image "
                    "(box_detections_per_img)."
                )
        else:
            notes += self.crowded(chips, given, " (box_detections_per_img); raise that, or leave it out, to find them all")
        return fitted | ({"notes": notes} if notes else {})

    def task(self, spec: ModelSpec) -> Task:
        """Return the task of instance segmentation."""
        from chipwright.tasks.instances import InstanceTask

        return self.tuned(InstanceTask(spec, self.detections(_settled(spec))))

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network for the spec's classes and the background."""
        from chipwright.networks.backbones import create_backbone
        from chipwright.networks.maskrcnn import MaskRCNN

        arguments = MaskArguments.model_validate(_settled(spec))
        backbone = create_backbone(
            spec.backbone or self.backbones.default,
            len(spec.bands),
            weights,
            weight_init_scheme=arguments.weight_init_scheme,
        )
        return MaskRCNN(
            backbone,
            len(spec.classes) + 1,
            pointrend=arguments.pointrend,
            anchor_sizes=spec.fitted.get("anchor_sizes"),
            **arguments.network_settings(),
        )

    def emd_keys(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the `.emd` keys of the reference's Mask R-CNN."""
        arguments = MaskArguments.model_validate(_settled(spec))
        return super().emd_keys(spec) | {"MaskRCNNkwargs": arguments.network_settings(), "pointrend": arguments.pointrend}


def _settled(spec: ModelSpec) -> dict[str, Any]:
    """Return a spec's arguments with what was fitted where they were left open."""
    fitted = {"box_detections_per_img": spec.fitted.get("box_detections_per_img", USUAL_DETECTIONS)}
    return fitted | {name: value for name, value in spec.arguments.items() if value is not None}


MASKRCNN = MaskRcnn()
