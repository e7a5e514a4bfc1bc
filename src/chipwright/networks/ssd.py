"""SSD: a single-shot detector on grids over the chip, as the reference has it (the variant of fast.ai's course, 2018).

Not the network of Liu et al. (2016, 1512.02325), which reads boxes off many maps of a VGG: here the backbone's maps are
brought to one or more grids of cells, and every cell has its anchors. What is shared with the paper is the idea, one look
and no proposals, and the matching of anchors with boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection._utils import SSDMatcher
from torchvision.ops import box_convert, box_iou, clip_boxes_to_image, sigmoid_focal_loss

from chipwright.networks.detection import Detection, Losses, Target, best_scores, padded_batch, suppressed
from chipwright.networks.grids import Axis, cell_anchors, decoded, resampled

if TYPE_CHECKING:
    from chipwright.networks.backbones import Backbone

MATCHING_IOU = 0.4
"""Overlap with a box from which an anchor is taught as that object; the box's best anchor always is."""

_FINEST_STRIDE = 4
_GROUP = 8
"""Channels that are normalised together: 32 groups of the usual 256."""


@dataclass(frozen=True)
class _Found:
    """What one look gives: logits (batch, anchors, classes), boxes (batch, anchors, 4), anchors (anchors, 4), image sizes."""

    logits: Tensor
    boxes: Tensor
    anchors: Tensor
    sizes: Sequence[tuple[int, int]]


class SSD(nn.Module):
    """Single-shot detector on grids of cells.

    See `chipwright.networks.detection` for how it is called. Cells have a size in pixels: an image of another size than the
    chips trained on gets more of them or fewer, and objects keep theirs. Under autocast the convolutions run in reduced
    precision; anchors, box arithmetic, scores and losses are float32.

    Example:
        >>> network = SSD(create_backbone("RESNET34", bands=3), classes=2, cells=[(56, 56), (112, 112)])
    """

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        cells: Sequence[tuple[float, float]],
        *,
        zooms: Sequence[float] = (1.0,),
        ratios: Sequence[tuple[float, float]] = ((1.0, 1.0),),
        drop: float = 0.3,
        bias: float = -4.0,
        focal_loss: bool = False,
        location_loss_factor: float | None = None,
        box_score_thresh: float = 0.05,
        box_nms_thresh: float = 0.45,
        box_detections_per_img: int = 200,
        candidates: int = 1000,
        channels: int = 256,
    ) -> None:
        """Make the network.

        Args:
            backbone: gives maps and their strides.
            classes: counted without a background, which has no output: a cell is background where no class scores.
            cells: width and height in pixels of each grid's; a grid of 4 over 448 px has cells of 112 px.
            zooms, ratios: every cell has an anchor of the cell's width and height times each zoom and each ratio's pair.
            drop: share of features dropped at random in training.
            bias: of the class outputs at first: -4 scores 0.02 everywhere.
            focal_loss: weigh down what is right already (alpha 0.25, gamma 1).
            location_loss_factor: weight of the box loss, the class loss having the rest of 1; both count in full if not given.
            box_score_thresh, box_nms_thresh, box_detections_per_img, candidates: least score, IoU above which the weaker of
                two boxes of a class goes, most boxes of an image, and most that suppression looks at.
            channels: width of the head.
        """
        super().__init__()
        self.backbone = backbone
        self.cells = sorted((float(width), float(height)) for width, height in cells)
        self.shapes = [(zoom * width, zoom * height) for zoom, (width, height) in product(zooms, ratios)]
        self.classes = classes
        self.first = _first_map(backbone.strides, min(map(min, self.cells)) * max(1.0, min(zooms)) / 2)
        self.laterals = nn.ModuleList(nn.Conv2d(have, channels, 1) for have in backbone.channels[self.first :])
        self.stem = nn.Sequential(nn.ReLU(), nn.Dropout(drop), *_convolution(channels, drop))
        self.steps = nn.ModuleList(nn.Sequential(*_convolution(channels, drop, halving=True)) for _ in self.cells)
        self.class_heads = nn.ModuleList(_output(channels, len(self.shapes) * classes, bias) for _ in self.cells)
        self.box_heads = nn.ModuleList(_output(channels, len(self.shapes) * 4, 0.0) for _ in self.cells)
        self.matcher = SSDMatcher(MATCHING_IOU)
        self.focal_loss = focal_loss
        self.location_loss_factor = location_loss_factor
        self.box_score_thresh = box_score_thresh
        self.box_nms_thresh = box_nms_thresh
        self.box_detections_per_img = box_detections_per_img
        self.candidates = candidates

    def forward(self, images: Sequence[Tensor], targets: Sequence[Target] | None = None) -> Any:
        """Return losses in training mode, one dict of boxes, labels and scores an image otherwise."""
        found = self._look(images)
        return self._losses(found, targets or ()) if self.training else self._detections(found)

    def losses_and_detections(self, images: Sequence[Tensor], targets: Sequence[Target]) -> tuple[Losses, list[Detection]]:
        """Return both from one pass, in evaluation mode."""
        found = self._look(images)
        return self._losses(found, targets), self._detections(found)

    def class_tensors(self) -> dict[str, tuple[int, int, int]]:
        """Return the tensors with rows for classes: name -> (rows a class, first row, times the whole repeats)."""
        names = (f"class_heads.{grid}.{part}" for grid in range(len(self.cells)) for part in ("weight", "bias"))
        return dict.fromkeys(names, (1, 0, len(self.shapes)))

    def _look(self, images: Sequence[Tensor]) -> _Found:
        batch = padded_batch(images)
        height, width = (max(sides) for sides in zip(*batch.image_sizes, strict=True))
        x = self.stem(self._joined(self.backbone(batch.tensors)[self.first :]))
        stride, device = self.backbone.strides[self.first], x.device
        place = Axis.of_map(x.shape[-2], stride, device), Axis.of_map(x.shape[-1], stride, device)
        parts = []
        heads = zip(self.cells, self.steps, self.class_heads, self.box_heads, strict=True)
        for cell, step, class_head, box_head in heads:
            grid = Axis.over(height, cell[1], device), Axis.over(width, cell[0], device)
            x = step(resampled(x, place, (grid[0].halved(), grid[1].halved())))
            place = grid
            anchors = cell_anchors(*grid, [(width * cell[0], height * cell[1]) for width, height in self.shapes])
            boxes = decoded(_by_anchor(box_head(x), 4), anchors, cell)
            parts.append((_by_anchor(class_head(x), self.classes).float(), boxes, anchors))
        logits, boxes, anchors = (torch.cat(tensors, -2) for tensors in zip(*parts, strict=True))
        return _Found(logits, boxes, box_convert(anchors, "cxcywh", "xyxy"), batch.image_sizes)

    def _joined(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the finest of the maps, with what the coarser ones know of each place added."""
        x, *coarser = (lateral(one) for lateral, one in zip(self.laterals, maps, strict=True))
        for one in coarser:
            x = x + F.interpolate(one, size=x.shape[-2:], mode="nearest")
        return x

    def _losses(self, found: _Found, targets: Sequence[Target]) -> Losses:
        """Return class loss and box loss: sums over the number of anchors that are objects, at least one an image.

        Box corners are off by shares of their anchor's sides, so that a small object counts as much as a large one.
        """
        classes, boxes, objects = found.logits.new_zeros(3).unbind()
        sides = (found.anchors[:, 2:] - found.anchors[:, :2]).repeat(1, 2)
        for target, logits, guesses in zip(targets, found.logits, found.boxes, strict=True):
            truth = torch.zeros_like(logits)
            if len(target["boxes"]):
                matches = self.matcher(box_iou(target["boxes"], found.anchors))
                hit = torch.where(matches >= 0)[0]
                rows = matches[hit]
                truth[hit, target["labels"][rows] - 1] = 1.0
                boxes = boxes + ((guesses[hit] - target["boxes"][rows]) / sides[hit]).abs().sum()
                objects = objects + len(hit)
            classes = classes + self._class_loss(logits, truth)
        total = torch.clamp(objects, min=len(targets))
        factors = (
            (1.0, 1.0) if self.location_loss_factor is None else (1 - self.location_loss_factor, self.location_loss_factor)
        )
        return {"classification": factors[0] * classes / total, "bbox_regression": factors[1] * boxes / total}

    def _class_loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        if self.focal_loss:
            loss: Tensor = sigmoid_focal_loss(logits, truth, alpha=0.25, gamma=1.0, reduction="sum")
            return loss
        return F.binary_cross_entropy_with_logits(logits, truth, reduction="sum")

    def _detections(self, found: _Found) -> list[Detection]:
        detections = []
        for logits, boxes, size in zip(found.logits, found.boxes, found.sizes, strict=True):
            rows, labels, scores = best_scores(logits, self.box_score_thresh, self.candidates)
            inside = clip_boxes_to_image(boxes[rows], size)
            real = torch.where((inside[:, 2:] - inside[:, :2]).amin(1) > 0)[0]  # others lie in the padding of a batch
            found_here = inside[real], labels[real], scores[real]
            detections.append(suppressed(*found_here, self.box_nms_thresh, self.box_detections_per_img))
        return detections


def _first_map(strides: Sequence[int], most: float) -> int:
    """Return the place of the coarsest map of a stride of at most `most` pixels, or of the finest that is worth its while."""
    fitting = [place for place, stride in enumerate(strides) if stride <= most]
    finest = next((place for place, stride in enumerate(strides) if stride >= _FINEST_STRIDE), len(strides) - 1)
    return max([finest, *fitting])


def _convolution(channels: int, drop: float, halving: bool = False) -> list[nn.Module]:
    """Return convolution, normalisation, activation and dropout; `halving` the sides, each output in the middle of four inputs.

    Normalised by groups: batches are small, and a grid may have one cell.
    """
    kernel, stride = (4, 2) if halving else (3, 1)
    convolution = nn.Conv2d(channels, channels, kernel, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return [convolution, nn.GroupNorm(max(1, channels // _GROUP), channels), nn.ReLU(), nn.Dropout(drop)]


def _output(channels: int, outputs: int, bias: float) -> nn.Conv2d:
    head = nn.Conv2d(channels, outputs, 3, padding=1)
    nn.init.normal_(head.weight, std=0.01)
    nn.init.constant_(head.get_parameter("bias"), bias)
    return head


def _by_anchor(x: Tensor, outputs: int) -> Tensor:
    """Return (batch, anchors, outputs) of (batch, shapes * outputs, rows, columns), in the anchors' order."""
    batch, _, rows, columns = x.shape
    return x.view(batch, -1, outputs, rows, columns).permute(0, 3, 4, 1, 2).reshape(batch, -1, outputs)
