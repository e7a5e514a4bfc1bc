"""Faster R-CNN with a feature pyramid (Ren et al. 2015, 1506.01497; Lin et al. 2017, 1612.03144), from torchvision's parts.

The region proposal network, the heads and every default are torchvision's, so the figures published for
`fasterrcnn_resnet50_fpn` hold, parameter for parameter. Ours are the ways in and out: any backbone, any number of bands, images
normalised and sized by the caller (nothing is scaled here), and reduced precision that leaves box arithmetic exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from chipwright.networks.anchors import RATIOS, level_sizes
from chipwright.networks.detection import Detection, ExactAnchors, Losses, Target, loss_branch, padded_batch
from chipwright.networks.fpn import FeaturePyramid
from chipwright.networks.region_pooling import RegionPool

if TYPE_CHECKING:
    from chipwright.networks.backbones import Backbone


class FasterRCNN(nn.Module):
    """Faster R-CNN over the backbone's maps of stride 4 and more, with a max-pooled level on top.

    See `chipwright.networks.detection` for how it is called. Under autocast the convolutions and the box head run in reduced
    precision; anchors, box arithmetic, scores and losses are float32.

    Example:
        >>> network = FasterRCNN(create_backbone("RESNET50", bands=3), classes=91)
        >>> sum(parameter.numel() for parameter in network.parameters())
        41808406
    """

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        *,
        anchor_sizes: Sequence[float] | None = None,
        rpn_pre_nms_top_n_train: int = 2000,
        rpn_pre_nms_top_n_test: int = 1000,
        rpn_post_nms_top_n_train: int = 2000,
        rpn_post_nms_top_n_test: int = 1000,
        rpn_nms_thresh: float = 0.7,
        rpn_fg_iou_thresh: float = 0.7,
        rpn_bg_iou_thresh: float = 0.3,
        rpn_batch_size_per_image: int = 256,
        rpn_positive_fraction: float = 0.5,
        box_score_thresh: float = 0.05,
        box_nms_thresh: float = 0.5,
        box_detections_per_img: int = 100,
        box_fg_iou_thresh: float = 0.5,
        box_bg_iou_thresh: float = 0.5,
        box_batch_size_per_image: int = 512,
        box_positive_fraction: float = 0.25,
        pyramid_channels: int = 256,
        representation: int = 1024,
        heads: type[RoIHeads] = RoIHeads,
    ) -> None:
        """Make the network; arguments from `rpn_` to `box_` are torchvision's.

        Args:
            backbone: gives maps and their strides.
            classes: counted with the background, as torchvision's `num_classes`.
            anchor_sizes: side of the square anchor at strides 4, 8, 16, ...; 8 times the stride if not given.
            pyramid_channels, representation: widths of the pyramid and of the box head's hidden layers.
            heads: what is done with the proposals.
        """
        super().__init__()
        self.backbone = backbone
        self.pyramid = FeaturePyramid(backbone.channels, backbone.strides, out_channels=pyramid_channels)
        sizes = level_sizes(self.pyramid.strides, anchor_sizes)
        self.rpn = RegionProposalNetwork(
            ExactAnchors(tuple((size,) for size in sizes), (RATIOS,) * len(sizes)),
            _ProposalHead(pyramid_channels, len(RATIOS)),
            rpn_fg_iou_thresh,
            rpn_bg_iou_thresh,
            rpn_batch_size_per_image,
            rpn_positive_fraction,
            {"training": rpn_pre_nms_top_n_train, "testing": rpn_pre_nms_top_n_test},
            {"training": rpn_post_nms_top_n_train, "testing": rpn_post_nms_top_n_test},
            rpn_nms_thresh,
        )
        names = self.pyramid.names
        pool = RegionPool(names, self.pyramid.strides[: len(names)], size=7)
        self.roi_heads = heads(
            pool,
            TwoMLPHead(pyramid_channels * math.prod(pool.output_size), representation),
            _BoxPredictor(representation, classes),
            box_fg_iou_thresh,
            box_bg_iou_thresh,
            box_batch_size_per_image,
            box_positive_fraction,
            None,
            box_score_thresh,
            box_nms_thresh,
            box_detections_per_img,
        )

    def forward(self, images: Sequence[Tensor], targets: Sequence[Target] | None = None) -> Any:
        """Return losses in training mode, one dict of boxes, labels and scores an image otherwise."""
        batch = padded_batch(images)
        detections, losses = self._regions(batch, self.pyramid(self.backbone(batch.tensors)), targets)
        return losses if self.training else detections

    def losses_and_detections(self, images: Sequence[Tensor], targets: Sequence[Target]) -> tuple[Losses, list[Detection]]:
        """Return both from one pass through backbone and pyramid, in evaluation mode."""
        batch = padded_batch(images)
        levels = self.pyramid(self.backbone(batch.tensors))
        with loss_branch(self):
            _, losses = self._regions(batch, levels, targets)
        detections, _ = self._regions(batch, levels, None)
        return losses, detections

    def _regions(
        self, batch: ImageList, levels: dict[str, Tensor], targets: Sequence[Target] | None
    ) -> tuple[list[Detection], Losses]:
        targets = None if targets is None else list(targets)
        proposals, proposal_losses = self.rpn(batch, levels, targets)
        detections, box_losses = self.roi_heads(levels, proposals, batch.image_sizes, targets)
        return detections, {**box_losses, **proposal_losses}

    def class_tensors(self) -> dict[str, tuple[int, int]]:
        """Return the tensors with rows for classes: name -> (rows a class, first row of the first class).

        The rows before are the background's. Fine-tuning on other classes keeps the rows of those that stay.
        """
        predictor = "roi_heads.box_predictor"
        return {
            f"{predictor}.cls_score.weight": (1, 1),
            f"{predictor}.cls_score.bias": (1, 1),
            f"{predictor}.bbox_pred.weight": (4, 4),
            f"{predictor}.bbox_pred.bias": (4, 4),
        }


class _ProposalHead(RPNHead):
    """Proposal head whose results are float32."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return scores and offsets of every level."""
        scores, offsets = super().forward(x)
        return [score.float() for score in scores], [offset.float() for offset in offsets]


class _BoxPredictor(FastRCNNPredictor):
    """Last layers, computed in float32: they are small, and scores and offsets are read off them."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return class scores (regions, classes) and offsets (regions, 4 * classes)."""
        with torch.autocast(x.device.type, enabled=False):
            scores, offsets = super().forward(x.to(self.cls_score.weight.dtype))
        return scores.float(), offsets.float()
