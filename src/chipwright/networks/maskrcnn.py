"""Mask R-CNN (He et al. 2017, 1703.06870): Faster R-CNN that also outlines what it finds, from torchvision's parts.

With the mask head of the paper the network is torchvision's `maskrcnn_resnet50_fpn`, parameter for parameter; with PointRend's
(`chipwright.networks.pointrend`) outlines are drawn point by point.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss

from chipwright.networks.detection import Detection, Losses, Target
from chipwright.networks.fasterrcnn import FasterRCNN
from chipwright.networks.masks import mask_targets
from chipwright.networks.pointrend import CoarseHead, PointHead, box_grid, point_losses, subdivided
from chipwright.networks.region_pooling import RegionPool

if TYPE_CHECKING:
    from chipwright.networks.backbones import Backbone

Levels = dict[str, Tensor]
Sizes = list[tuple[int, int]]


class MaskRCNN(FasterRCNN):
    """Mask R-CNN over the backbone's maps of stride 4 and more.

    See `chipwright.networks.detection` for how it is called. Targets hold `masks` as well, bool (count, height, width).
    Detections have `masks` as float32 (count, side, side): the probability of the object in equal cells of its box, 28 a side,
    224 with PointRend; `chipwright.networks.masks.pasted` puts them into the image. Under autocast the convolutions run in
    reduced precision; masks, scores and losses are float32.

    Example:
        >>> network = MaskRCNN(create_backbone("RESNET50", bands=3), classes=91)
        >>> sum(parameter.numel() for parameter in network.parameters())
        44454513
    """

    def __init__(
        self, backbone: Backbone, classes: int, *, pointrend: bool = False, pyramid_channels: int = 256, **settings: Any
    ) -> None:
        """Make the network.

        Args:
            backbone: gives maps and their strides.
            classes: counted with the background.
            pointrend: whether outlines are drawn point by point.
            pyramid_channels: width of the pyramid and of the mask head.
            settings: of `FasterRCNN`.
        """
        heads = PointMaskHeads if pointrend else MaskHeads
        super().__init__(backbone, classes, pyramid_channels=pyramid_channels, heads=heads, **settings)
        names = self.pyramid.names
        self.roi_heads.add_masks(names, self.pyramid.strides[: len(names)], pyramid_channels, classes)

    def class_tensors(self) -> dict[str, tuple[int, int]]:
        """Return the tensors with rows for classes, those of the masks included."""
        rows = {
            f"roi_heads.{name}.{kind}": (width, width)
            for name, width in self.roi_heads.mask_rows.items()
            for kind in ("weight", "bias")
        }
        return super().class_tensors() | rows


class MaskHeads(RoIHeads):
    """torchvision's box heads, and beside them a mask of 28 x 28 cells for every object.

    Attributes:
        mask_rows: layers with rows for classes -> rows a class.
    """

    mask_rows: ClassVar[dict[str, int]] = {"mask_predictor.mask_fcn_logits": 1}

    def add_masks(self, names: Sequence[str], strides: Sequence[int], channels: int, classes: int) -> None:
        """Make the layers of the masks, for pyramid levels of these names and strides, fine to coarse."""
        self.mask_roi_pool = RegionPool(names, strides, size=14)
        self.mask_head = MaskRCNNHeads(channels, (channels,) * 4, 1)
        self.mask_predictor = _MaskPredictor(channels, channels, classes)

    def forward(
        self, features: Levels, proposals: list[Tensor], image_shapes: Sizes, targets: list[Target] | None = None
    ) -> tuple[list[Detection], Losses]:
        """Return (nothing, losses) in training mode, (detections, nothing) otherwise."""
        if not self.training:
            found = self.postprocess_detections(*self._boxes(features, proposals, image_shapes), proposals, image_shapes)
            masks = self.masks(features, found[0], found[2], image_shapes)
            names = ("boxes", "scores", "labels", "masks")
            return [dict(zip(names, one, strict=True)) for one in zip(*found, masks, strict=True)], {}
        assert targets is not None, "training needs targets"
        proposals, matched, labels, offsets = self.select_training_samples(proposals, targets)
        scores, moves = self._boxes(features, proposals, image_shapes)
        losses = dict(zip(("loss_classifier", "loss_box_reg"), fastrcnn_loss(scores, moves, labels, offsets), strict=True))
        objects = [torch.where(label > 0)[0] for label in labels]
        boxes, matched, labels = (
            [column[some] for column, some in zip(columns, objects, strict=True)] for columns in (proposals, matched, labels)
        )
        truth = [target["masks"] for target in targets]
        return [], losses | self.mask_losses(features, boxes, torch.cat(labels), truth, matched, image_shapes)

    def _boxes(self, features: Levels, proposals: list[Tensor], image_shapes: Sizes) -> tuple[Tensor, Tensor]:
        return self.box_predictor(self.box_head(self.box_roi_pool(features, proposals, image_shapes)))

    def mask_losses(
        self,
        features: Levels,
        boxes: list[Tensor],
        labels: Tensor,
        masks: list[Tensor],
        matched: list[Tensor],
        image_shapes: Sizes,
    ) -> Losses:
        """Return the losses of the masks.

        Args:
            features: of the pyramid's levels.
            boxes: of an image's proposals that are objects, (count, 4).
            labels: of all of them, image after image.
            masks: of an image's true objects, bool (objects, height, width).
            matched: the true object of each box, (count,).
            image_shapes: (height, width) of the images.
        """
        logits = of_class(self._logits(features, boxes, image_shapes), labels)
        return {"loss_mask": coarse_loss(logits, boxes, masks, matched)}

    def masks(self, features: Levels, boxes: list[Tensor], labels: list[Tensor], image_shapes: Sizes) -> list[Tensor]:
        """Return an image's masks as probabilities (count, 28, 28)."""
        logits = of_class(self._logits(features, boxes, image_shapes), torch.cat(labels))
        return list(torch.split(logits.sigmoid(), [some.shape[0] for some in boxes]))

    def _logits(self, features: Levels, boxes: list[Tensor], image_shapes: Sizes) -> Tensor:
        return self.mask_predictor(self.mask_head(self.mask_roi_pool(features, boxes, image_shapes)))


class PointMaskHeads(MaskHeads):
    """Box heads with PointRend's masks: a coarse one of 7 x 7 cells, and a finer answer at the points that are in doubt."""

    mask_rows: ClassVar[dict[str, int]] = {"coarse_head.scores": CoarseHead.SIDE**2, "point_head.scores": 1}

    def add_masks(self, names: Sequence[str], strides: Sequence[int], channels: int, classes: int) -> None:
        """Make the layers of the masks; they look at the finest level alone."""
        self.finest, self.stride = names[0], strides[0]
        self.coarse_head = CoarseHead(channels, classes)
        self.point_head = PointHead(channels, classes)

    def mask_losses(
        self,
        features: Levels,
        boxes: list[Tensor],
        labels: Tensor,
        masks: list[Tensor],
        matched: list[Tensor],
        image_shapes: Sizes,
    ) -> Losses:
        """Return the losses of the coarse masks and of the points."""
        level = features[self.finest]
        coarse = self.coarse_head(box_grid(level, self.stride, boxes))
        losses = {"loss_mask": coarse_loss(of_class(coarse, labels), boxes, masks, matched)}
        return losses | point_losses(self.point_head, level, self.stride, coarse, boxes, labels, masks, matched)

    def masks(self, features: Levels, boxes: list[Tensor], labels: list[Tensor], image_shapes: Sizes) -> list[Tensor]:
        """Return an image's masks as probabilities (count, 224, 224)."""
        found = []
        for level, own, label in zip(torch.split(features[self.finest], 1), boxes, labels, strict=True):
            coarse = self.coarse_head(box_grid(level, self.stride, [own]))
            found.append(subdivided(self.point_head, level, self.stride, coarse, own, label).sigmoid())
        return found


def of_class(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the part (boxes, ...) of logits (boxes, classes, ...) that belongs to each box's class."""
    return logits[torch.arange(labels.shape[0], device=labels.device), labels]


def coarse_loss(logits: Tensor, boxes: list[Tensor], masks: list[Tensor], matched: list[Tensor]) -> Tensor:
    """Return the mean binary cross-entropy of masks (boxes, side, side) within their boxes; 0 without any box."""
    if not len(logits):
        return logits.sum()
    columns = zip(masks, boxes, matched, strict=True)
    targets = torch.cat([mask_targets(mask, some, own, logits.shape[-1]) for mask, some, own in columns])
    return F.binary_cross_entropy_with_logits(logits, targets)


class _MaskPredictor(MaskRCNNPredictor):
    """torchvision's last layers, with float32 results, that begin undecided.

    torchvision's first weights grow as classes get fewer: with one class, logits begin in the tens, and the loss with them.
    """

    def __init__(self, channels: int, hidden: int, classes: int) -> None:
        super().__init__(channels, hidden, classes)
        nn.init.normal_(self.mask_fcn_logits.weight, std=0.001)
        nn.init.zeros_(self.mask_fcn_logits.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (boxes, classes, 28, 28)."""
        return super().forward(input).float()
