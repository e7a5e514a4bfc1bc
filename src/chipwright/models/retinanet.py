"""RETINANET: RetinaNet, torchvision's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from chipwright.chips.chipset import ChipSet
from chipwright.models.base import Arguments, BackboneRule, Tiny
from chipwright.models.detector import BoxArguments, DetectorType, MostOverlap, fitted_sizes
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights

PYRAMID_STRIDES = (8, 16, 32, 64, 128)
"""Levels P3 to P7; anchor sizes are fitted for them."""

Factors = Annotated[list[Annotated[float, Field(gt=0, le=16)]], Field(min_length=1, max_length=9)]


class RetinaArguments(BoxArguments):
    """Arguments of RETINANET."""

    scales: Factors = Field([1.0, 0.8, 0.63], description="Anchor sizes at a place, as factors of its level's: 4 cells.")
    ratios: Factors = Field([0.5, 1.0, 2.0], description="Heights over widths of the anchors at a place.")
    # things on the ground hardly hide each other from above: what overlaps more is mostly one of them found twice
    box_nms_thresh: MostOverlap = 0.3


class RetinaNetType(DetectorType):
    """RetinaNet (Lin et al. 2017): one stage, a feature pyramid, and a loss that easy background hardly counts in."""

    keyword = "RETINANET"
    title = "RetinaNet (object detection)"
    paper = "Lin et al.: Focal Loss for Dense Object Detection. ICCV 2017, arXiv:1708.02002"
    arguments: ClassVar[type[Arguments]] = RetinaArguments
    backbones = BackboneRule("RESNET34", families=("resnet", "mobilenet"))
    tiny = Tiny(learning_rate=3e-4, epochs=5)
    gradient_clip = 1.0  # of thousands of anchors some step out of line early on, and AdamW remembers it
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "_RetinaNet_Inference",
        "ModelType": "ObjectDetection",
        "ModelName": "RetinaNet",
        "SupportsVariableTileSize": False,
    }

    def fit(self, chips: ChipSet, arguments: Arguments, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return `anchor_sizes` of P3 to P7 where the usual ones match the boxes badly, and `notes` on the boxes."""
        from chipwright.networks.retinanet import SIZE_PER_STRIDE

        assert isinstance(arguments, RetinaArguments)
        fitted, notes = fitted_sizes(
            chips,
            earlier,
            PYRAMID_STRIDES,
            ratios=arguments.ratios,
            scales=arguments.scales,
            per_stride=SIZE_PER_STRIDE,
        )
        notes += self.crowded(chips, arguments.model_dump())
        return fitted | ({"notes": notes} if notes else {})

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network with an output for each of the spec's classes."""
        from chipwright.networks.backbones import create_backbone
        from chipwright.networks.retinanet import RetinaNet

        arguments = RetinaArguments.model_validate(spec.arguments)
        backbone = create_backbone(
            spec.backbone or self.backbones.default,
            len(spec.bands),
            weights,
            weight_init_scheme=arguments.weight_init_scheme,
        )
        return RetinaNet(
            backbone,
            len(spec.classes),
            scales=arguments.scales,
            ratios=arguments.ratios,
            anchor_sizes=spec.fitted.get("anchor_sizes"),
            **arguments.box_settings(),
        )


RETINANET = RetinaNetType()
