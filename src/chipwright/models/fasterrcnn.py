"""FASTERRCNN: Faster R-CNN with a feature pyramid, torchvision's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from chipwright.chips.chipset import ChipSet
from chipwright.models.base import Arguments, BackboneRule, Tiny
from chipwright.models.detector import DetectorArguments, DetectorType, LeastScore, MostOverlap, fitted_sizes
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights

PYRAMID_STRIDES = (4, 8, 16, 32, 64)
"""Levels that anchor sizes are fitted for; a backbone without some of them takes the sizes of those it has."""

TINY_REGIONS = Tiny(
    arguments={
        "rpn_pre_nms_top_n_train": 64,
        "rpn_pre_nms_top_n_test": 64,
        "rpn_post_nms_top_n_train": 32,
        "rpn_post_nms_top_n_test": 32,
        "rpn_batch_size_per_image": 64,
        "box_batch_size_per_image": 16,
    },
    learning_rate=3e-4,
    epochs=5,
)
"""Few proposals, for the contract suite."""


class RegionArguments(DetectorArguments):
    """Arguments of the region networks, under torchvision's names and with its defaults."""

    rpn_pre_nms_top_n_train: int = Field(
        2000, ge=1, description="Proposals a pyramid level keeps before non-maximum suppression, in training."
    )
    rpn_pre_nms_top_n_test: int = Field(
        1000, ge=1, description="Proposals a pyramid level keeps before non-maximum suppression, in inference."
    )
    rpn_post_nms_top_n_train: int = Field(
        2000, ge=1, description="Proposals an image keeps after non-maximum suppression, in training."
    )
    rpn_post_nms_top_n_test: int = Field(
        1000, ge=1, description="Proposals an image keeps after non-maximum suppression, in inference."
    )
    rpn_nms_thresh: float = Field(0.7, ge=0, le=1, description="IoU above which the weaker of two proposals is suppressed.")
    rpn_fg_iou_thresh: float = Field(0.7, ge=0, le=1, description="Least IoU of an anchor with an object to be taught as one.")
    rpn_bg_iou_thresh: float = Field(
        0.3, ge=0, le=1, description="IoU with every object below which an anchor is taught as background."
    )
    rpn_batch_size_per_image: int = Field(256, ge=1, description="Anchors of an image that the proposal loss is computed on.")
    rpn_positive_fraction: float = Field(0.5, gt=0, le=1, description="Most that may be objects among these anchors.")
    box_score_thresh: LeastScore = 0.05
    box_nms_thresh: MostOverlap = 0.5
    box_detections_per_img: int = Field(100, ge=1, description="Most boxes returned for an image, all classes together.")
    box_fg_iou_thresh: float = Field(0.5, ge=0, le=1, description="Least IoU of a proposal with an object to be taught as one.")
    box_bg_iou_thresh: float = Field(
        0.5, ge=0, le=1, description="IoU with every object below which a proposal is taught as background."
    )
    box_batch_size_per_image: int = Field(
        512, ge=1, description="Proposals of an image that the box and class losses are computed on."
    )
    box_positive_fraction: float = Field(0.25, gt=0, le=1, description="Most that may be objects among these proposals.")

    @model_validator(mode="after")
    def _ordered(self) -> RegionArguments:
        for part in ("rpn", "box"):
            low, high = getattr(self, f"{part}_bg_iou_thresh"), getattr(self, f"{part}_fg_iou_thresh")
            if low > high:
                raise ValueError(
                    f"{part}_bg_iou_thresh is {low:g}, but must not be above {part}_fg_iou_thresh, which is {high:g}"
                )
        return self

    def network_settings(self) -> dict[str, Any]:
        """Return the arguments that the network takes, by name."""
        return {name: value for name, value in self.model_dump().items() if name.startswith(("rpn_", "box_"))}


class FasterRcnn(DetectorType):
    """Faster R-CNN (Ren et al. 2015) with a feature pyramid (Lin et al. 2017)."""

    keyword = "FASTERRCNN"
    title = "Faster R-CNN (object detection)"
    paper = (
        "Ren et al.: Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks. NeurIPS 2015, "
        "arXiv:1506.01497"
    )
    arguments: ClassVar[type[Arguments]] = RegionArguments
    backbones = BackboneRule("RESNET34", families=("resnet", "mobilenet"))
    tiny = TINY_REGIONS
    learning_rate = 1e-4  # AdamW on few chips: at three times that the box head swings (docs/performance.md)
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "_model_extension_inferencing",
        "ModelType": "ObjectDetection",
        "ModelName": "FasterRCNN",
        "SupportsVariableTileSize": False,
    }

    def fit(self, chips: ChipSet, arguments: Arguments, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return `anchor_sizes` for strides 4, 8, ... where torchvision's match the boxes badly, and `notes` on the boxes."""
        fitted, notes = fitted_anchors(chips, earlier)
        notes += self.crowded(chips, arguments.model_dump())
        return fitted | ({"notes": notes} if notes else {})

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network for the spec's classes and the background."""
        from chipwright.networks.backbones import create_backbone
        from chipwright.networks.fasterrcnn import FasterRCNN

        arguments = RegionArguments.model_validate(spec.arguments)
        backbone = create_backbone(
            spec.backbone or self.backbones.default,
            len(spec.bands),
            weights,
            weight_init_scheme=arguments.weight_init_scheme,
        )
        return FasterRCNN(
            backbone,
            len(spec.classes) + 1,
            anchor_sizes=spec.fitted.get("anchor_sizes"),
            **arguments.network_settings(),
        )


def fitted_anchors(chips: ChipSet, earlier: Mapping[str, Any] | None) -> tuple[dict[str, Any], list[str]]:
    """Return {"anchor_sizes": sides in pixels} where torchvision's anchors match the boxes badly, and what to say of it."""
    return fitted_sizes(chips, earlier, PYRAMID_STRIDES)


FASTERRCNN = FasterRcnn()
