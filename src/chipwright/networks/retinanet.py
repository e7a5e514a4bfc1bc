"""RetinaNet (Lin et al. 2017, 1708.02002), from torchvision's parts.

Head, losses and every default but the anchors' sides are torchvision's, so the figures published for
`retinanet_resnet50_fpn` hold, parameter for parameter. Ours are the ways in and out: any backbone, any number of bands, images
normalised and sized by the caller (nothing is scaled here), and reduced precision that leaves box arithmetic exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import box_iou, clip_boxes_to_image
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from chipwright.networks.anchors import RATIOS, level_sizes
from chipwright.networks.detection import Detection, ExactAnchors, Losses, Target, best_scores, padded_batch, suppressed
from chipwright.networks.fpn import FeaturePyramid

if TYPE_CHECKING:
    from chipwright.networks.backbones import Backbone

FINEST_STRIDE = 8
"""Of level P3, the first."""

SIZE_PER_STRIDE = 4.0
"""Side of a level's square anchor of scale 1 over the level's stride: 32 px on P3 to 512 px on P7, as in the paper."""

SCALES = (1.0, 0.8, 0.63)
"""Thirds of an octave, downwards: together with the levels' doubling a ladder of even steps. The paper's go upwards."""


class RetinaNet(nn.Module):
    """RetinaNet over the backbone's maps of stride 8 and more, with two strided convolutions on top (P3 to P7).

    See `chipwright.networks.detection` for how it is called. Under autocast the convolutions run in reduced precision; anchors,
    box arithmetic, scores and losses are float32.

    Example:
        >>> network = RetinaNet(create_backbone("RESNET50", bands=3), classes=91)
        >>> sum(parameter.numel() for parameter in network.parameters())
        34068119
    """

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        *,
        scales: Sequence[float] = SCALES,
        ratios: Sequence[float] = RATIOS,
        anchor_sizes: Sequence[float] | None = None,
        box_score_thresh: float = 0.05,
        box_nms_thresh: float = 0.5,
        box_detections_per_img: int = 300,
        candidates: int = 1000,
        pyramid_channels: int = 256,
    ) -> None:
        """Make the network.

        Args:
            backbone: gives maps and their strides.
            classes: counted without a background, which has no output: a place is background where no class scores.
            scales: a level's anchors have its side times each of these.
            ratios: heights over widths of the anchors.
            anchor_sizes: side of scale 1 at strides 8, 16, ...; 4 times the stride if not given.
            box_score_thresh, box_nms_thresh, box_detections_per_img: torchvision's `score_thresh`, `nms_thresh`,
                `detections_per_img`.
            candidates: most boxes that a level passes on to suppression, the best first.
            pyramid_channels: width of pyramid and head.
        """
        super().__init__()
        self.backbone = backbone
        self.pyramid = FeaturePyramid(
            backbone.channels,
            backbone.strides,
            finest=FINEST_STRIDE,
            out_channels=pyramid_channels,
            top=LastLevelP6P7(pyramid_channels, pyramid_channels),
            top_levels=2,
        )
        sides = level_sizes(self.pyramid.strides, anchor_sizes, FINEST_STRIDE, SIZE_PER_STRIDE)
        self.anchor_generator = ExactAnchors(
            tuple(tuple(side * scale for scale in scales) for side in sides), (tuple(ratios),) * len(sides)
        )
        self.head = RetinaNetHead(pyramid_channels, len(scales) * len(ratios), classes)
        _start_level(self.head)
        self.matcher = Matcher(0.5, 0.4, allow_low_quality_matches=True)
        self.coder = BoxCoder(weights=(1.0, 1.0, 1.0, 1.0))
        self.box_score_thresh = box_score_thresh
        self.box_nms_thresh = box_nms_thresh
        self.box_detections_per_img = box_detections_per_img
        self.candidates = candidates

    def forward(self, images: Sequence[Tensor], targets: Sequence[Target] | None = None) -> Any:
        """Return losses in training mode, one dict of boxes, labels and scores an image otherwise."""
        batch = padded_batch(images)
        levels, outputs, anchors = self._outputs(batch)
        if self.training:
            return self._losses(outputs, anchors, targets or ())
        return self._detections(batch, levels, outputs, anchors)

    def losses_and_detections(self, images: Sequence[Tensor], targets: Sequence[Target]) -> tuple[Losses, list[Detection]]:
        """Return both from one pass, in evaluation mode."""
        batch = padded_batch(images)
        levels, outputs, anchors = self._outputs(batch)
        return self._losses(outputs, anchors, targets), self._detections(batch, levels, outputs, anchors)

    def _outputs(self, batch: ImageList) -> tuple[list[Tensor], dict[str, Tensor], list[Tensor]]:
        """Return levels; `cls_logits` (batch, anchors, classes), `bbox_regression` (batch, anchors, 4); anchors an image."""
        levels = list(self.pyramid(self.backbone(batch.tensors)).values())
        outputs = {name: tensor.float() for name, tensor in self.head(levels).items()}
        return levels, outputs, self.anchor_generator(batch, levels)

    def _losses(self, outputs: dict[str, Tensor], anchors: list[Tensor], targets: Sequence[Target]) -> Losses:
        rows = [{"boxes": target["boxes"], "labels": target["labels"] - 1} for target in targets]
        matches = [self._matched(target["boxes"], own) for target, own in zip(rows, anchors, strict=True)]
        losses: Losses = self.head.compute_loss(rows, outputs, anchors, matches)
        return losses

    def _matched(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        """Return for every anchor the row of its box, -1 for background, -2 for neither."""
        if not len(boxes):
            return torch.full((len(anchors),), Matcher.BELOW_LOW_THRESHOLD, dtype=torch.int64, device=anchors.device)
        matched: Tensor = self.matcher(box_iou(boxes, anchors))
        return matched

    def _detections(
        self, batch: ImageList, levels: list[Tensor], outputs: dict[str, Tensor], anchors: list[Tensor]
    ) -> list[Detection]:
        counts = [level.shape[2] * level.shape[3] * self.head.classification_head.num_anchors for level in levels]
        images = zip(outputs["cls_logits"], outputs["bbox_regression"], anchors, batch.image_sizes, strict=True)
        return [
            self._of_image(torch.split(logits, counts), torch.split(offsets, counts), torch.split(own, counts), size)
            for logits, offsets, own, size in images
        ]

    def _of_image(
        self, logits: Sequence[Tensor], offsets: Sequence[Tensor], anchors: Sequence[Tensor], size: tuple[int, int]
    ) -> Detection:
        """Return one image's boxes from its levels': the best of each, decoded, clipped and suppressed class by class."""
        found = []
        for level_logits, level_offsets, level_anchors in zip(logits, offsets, anchors, strict=True):
            rows, labels, scores = best_scores(level_logits, self.box_score_thresh, self.candidates)
            boxes = self.coder.decode_single(level_offsets[rows], level_anchors[rows])
            found.append((clip_boxes_to_image(boxes, size), labels, scores))
        boxes, labels, scores = (torch.cat(parts) for parts in zip(*found, strict=True))
        return suppressed(boxes, labels, scores, self.box_nms_thresh, self.box_detections_per_img)

    def class_tensors(self) -> dict[str, tuple[int, int, int]]:
        """Return the tensors with rows for classes: name -> (rows a class, first row, times the whole repeats)."""
        last, anchors = "head.classification_head.cls_logits", self.head.classification_head.num_anchors
        return {f"{last}.weight": (1, 0, anchors), f"{last}.bias": (1, 0, anchors)}


def _start_level(head: RetinaNetHead) -> None:
    """Let the head start from the paper's prior everywhere, and learn from the first step on.

    The paper draws all weights with a deviation of 0.01: four layers of that let a thousandth of the signal through, and AdamW,
    which makes up for it, overshoots with few samples. Layers that keep the signal's variance (He et al. 2015) under last
    ones of zero give the same outputs at first and learn steadily.
    """
    for part, last in (
        (head.classification_head, head.classification_head.cls_logits),
        (head.regression_head, head.regression_head.bbox_reg),
    ):
        for layer in part.conv.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(last.weight)
