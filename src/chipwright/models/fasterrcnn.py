"""FASTERRCNN: Faster R-CNN with a feature pyramid, torchvision's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from chipwright.chips.chipset import ChipSet
from chipwright.errors import DataError
from chipwright.models.base import Arguments, BackboneArguments, BackboneRule, ModelType, Tiny
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights
    from chipwright.tasks.base import Task

PYRAMID_STRIDES = (4, 8, 16, 32, 64)
"""Levels that anchor sizes are fitted for; a backbone without some of them takes the sizes of those it has."""


class RegionArguments(BackboneArguments):
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
    box_score_thresh: float = Field(0.05, ge=0, lt=1, description="Least score of the boxes returned in inference.")
    box_nms_thresh: float = Field(
        0.5, ge=0, le=1, description="IoU above which the weaker of two boxes of a class is suppressed."
    )
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


class FasterRcnn(ModelType):
    """Faster R-CNN (Ren et al. 2015) with a feature pyramid (Lin et al. 2017)."""

    keyword = "FASTERRCNN"
    title = "Faster R-CNN (object detection)"
    paper = (
        "Ren et al.: Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks. NeurIPS 2015, "
        "arXiv:1506.01497"
    )
    formats = ("PASCAL_VOC_rectangles", "KITTI_rectangles", "COCO_rectangles", "YOLO_rectangles")
    arguments: ClassVar[type[Arguments]] = RegionArguments
    monitors = ("valid_loss", "average_precision")
    backbones = BackboneRule("RESNET34", families=("resnet", "mobilenet"))
    tiny = Tiny(
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
    emd: ClassVar[dict[str, Any]] = {
        "ModelType": "ObjectDetection",
        "ModelName": "FasterRCNN",
        "SupportsVariableTileSize": False,
    }

    def check(self, chips: ChipSet, arguments: Arguments) -> None:
        """Raise `DataError` where no chip has a box."""
        if not any(chip.boxes is not None and len(chip.boxes) for chip in chips.chips):
            raise DataError(
                f"None of the {len(chips)} chips has a labelled box; object detection needs some. Check that the labels belong "
                "to the images, and that the features of the export lay within its rasters."
            )

    def fit(self, chips: ChipSet, arguments: Arguments, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return `anchor_sizes` for strides 4, 8, ... where torchvision's match the boxes badly, and `notes` on the boxes."""
        import numpy as np

        from chipwright.networks.anchors import default_sizes, fit_sizes

        assert isinstance(arguments, RegionArguments)
        boxes = [chip.boxes for chip in chips.chips if chip.boxes is not None]
        fitted: dict[str, Any] = {}
        notes = []
        fit = fit_sizes(np.concatenate([*boxes, np.zeros((0, 4))]), PYRAMID_STRIDES)
        if earlier is not None:  # the pretrained proposal head knows its own anchors
            fitted |= {name: value for name, value in earlier.items() if name == "anchor_sizes"}
        elif fit is not None:
            usual = default_sizes(PYRAMID_STRIDES)
            fitted["anchor_sizes"] = list(fit.sizes)
            notes.append(
                f"Anchors of {_sides(fit.sizes)} px were fitted to the boxes: the usual {_sides(usual)} px match them badly "
                f"(median best IoU {fit.before:.2f}, now {fit.after:.2f})."
            )
        most = max((len(some) for some in boxes), default=0)
        if most > arguments.box_detections_per_img:
            notes.append(
                f"A chip has {most} boxes, but the model returns {arguments.box_detections_per_img} at most "
                "(box_detections_per_img); raise that to find them all."
            )
        if notes:
            fitted["notes"] = notes
        return fitted

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

    def task(self, spec: ModelSpec) -> Task:
        """Return the detection task."""
        from chipwright.tasks.detection import DetectionTask

        return DetectionTask(spec)


def _sides(sizes: Any) -> str:
    return ", ".join(f"{size:g}" for size in sizes)


FASTERRCNN = FasterRcnn()
