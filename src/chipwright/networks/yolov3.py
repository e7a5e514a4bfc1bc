"""YOLOv3 (Redmon & Farhadi 2018, 1804.02767): one look at the image, boxes from three scales, three anchors at each.

A prediction has 5 + classes numbers: the centre's place within its cell and the objectness through a sigmoid, the logarithm
of width and height over the anchor's, and a sigmoid a class, since classes need not exclude each other. Its box is

    x = (column + sigmoid(t_x)) * stride,  y = (row + sigmoid(t_y)) * stride,  w = anchor_w * exp(t_w),  h = anchor_h * exp(t_h)

and its score for a class is objectness times the class's probability.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import batched_nms, clip_boxes_to_image

from chipwright.errors import OptionError
from chipwright.networks.detection import Detection, Losses, Target, padded_batch
from chipwright.networks.yolov3_losses import MATCH_IOU, BoxLoss, Predictions, boxes_of, yolov3_losses

if TYPE_CHECKING:
    from chipwright.networks.backbones import Backbone

STRIDES = (8, 16, 32)

COCO_ANCHORS = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326))
"""Width and height of the paper's anchors, clustered from COCO's boxes in images of 416 px; the first three are of stride 8."""

ANCHORS_PER_SCALE = len(COCO_ANCHORS) // len(STRIDES)

BOX_NUMBERS = 5
"""Numbers of a prediction before those of its classes: t_x, t_y, t_w, t_h, objectness."""

_PAPER_WIDTHS = (128, 256, 512)
_LEAST_WIDTH = 96
PRIOR = 0.001
_MOST_CANDIDATES = 1000


class YOLOv3(nn.Module):
    """YOLOv3 over the backbone's maps of strides 8, 16 and 32.

    See `chipwright.networks.detection` for how it is called. Under autocast all but the last layers run in reduced precision;
    those, box arithmetic, scores and losses are float32.

    Example:
        >>> network = YOLOv3(create_backbone("DARKNET53", bands=3), classes=80)
        >>> sum(parameter.numel() for parameter in network.parameters())
        61949149
    """

    anchors: Tensor

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        *,
        anchors: Sequence[Sequence[float]] = COCO_ANCHORS,
        match_iou_thresh: float = MATCH_IOU,
        box_loss: BoxLoss = "iou",
        box_score_thresh: float = 0.01,
        box_nms_thresh: float = 0.45,
        box_detections_per_img: int = 300,
    ) -> None:
        """Make the network.

        Args:
            backbone: gives maps and their strides.
            classes: of objects; there is none for the background.
            anchors: nine widths and heights in pixels, by rising area.
            match_iou_thresh: IoU in shape from which an anchor answers for an object beside the likest; 1 as in the paper.
            box_loss: what places and sizes are taught by, see `yolov3_losses`.
            box_score_thresh: least score of the boxes returned.
            box_nms_thresh: IoU above which the weaker of two boxes of a class is suppressed.
            box_detections_per_img: most boxes returned for an image, all classes together.

        Raises:
            OptionError: if the backbone has no map of one of the strides.
        """
        super().__init__()
        self.backbone = backbone
        self.classes, self.match_iou, self.box_loss = classes, match_iou_thresh, box_loss
        self.score_threshold, self.nms_threshold, self.max_detections = box_score_thresh, box_nms_thresh, box_detections_per_img
        deepest = {stride: index for index, stride in enumerate(backbone.strides)}
        if not set(STRIDES) <= set(deepest):
            raise OptionError(
                f"The backbone's maps have strides {', '.join(map(str, backbone.strides))}; YOLOV3 needs those of 8, 16 and "
                "32. Choose another backbone, such as DARKNET53 or MOBILENET_V2."
            )
        self.used = [deepest[stride] for stride in STRIDES]
        channels = [backbone.channels[index] for index in self.used]
        widths = [neck_width(have, most) for have, most in zip(channels, _PAPER_WIDTHS, strict=True)]
        routed = [*(width // 2 for width in widths[1:]), 0]
        self.routes = nn.ModuleList(ConvolutionUnit(width, width // 2, 1) for width in widths[1:])  # to the next finer scale
        self.necks = nn.ModuleList(
            neck(have + extra, width) for have, extra, width in zip(channels, routed, widths, strict=True)
        )
        self.heads = nn.ModuleList(Head(width, classes) for width in widths)
        sizes = torch.tensor(anchors, dtype=torch.float32).view(len(STRIDES), ANCHORS_PER_SCALE, 2)
        self.register_buffer("anchors", sizes, persistent=False)

    def forward(self, images: Sequence[Tensor], targets: Sequence[Target] | None = None) -> Any:
        """Return losses in training mode, one dict of boxes, labels and scores an image otherwise."""
        batch = padded_batch(images)
        predictions = self._predictions(batch)
        if self.training:
            assert targets is not None
            return yolov3_losses(predictions, targets, batch.image_sizes, self.match_iou, self.box_loss)
        return self._detections(predictions, batch)

    def losses_and_detections(self, images: Sequence[Tensor], targets: Sequence[Target]) -> tuple[Losses, list[Detection]]:
        """Return both from one pass, in evaluation mode."""
        batch = padded_batch(images)
        predictions = self._predictions(batch)
        losses = yolov3_losses(predictions, targets, batch.image_sizes, self.match_iou, self.box_loss)
        return losses, self._detections(predictions, batch)

    def class_tensors(self) -> dict[str, tuple[int, int, int]]:
        """Return the tensors with rows for classes: name -> (rows a class, row of the first class, repeats: once an anchor)."""
        rows = (1, BOX_NUMBERS, ANCHORS_PER_SCALE)
        return {f"heads.{scale}.output.{part}": rows for scale in range(len(STRIDES)) for part in ("weight", "bias")}

    def _predictions(self, batch: ImageList) -> Predictions:
        maps = self.backbone(batch.tensors)
        raw: list[Tensor] = []
        coarser: Tensor | None = None
        for scale in reversed(range(len(STRIDES))):
            features = maps[self.used[scale]]
            if coarser is not None:
                routed = F.interpolate(self.routes[scale](coarser), scale_factor=2.0, mode="nearest")
                features = torch.cat([routed, features], 1)
            coarser = self.necks[scale](features)
            raw.insert(0, self.heads[scale](coarser))
        grids = [_grid(one, stride, sizes) for one, stride, sizes in zip(raw, STRIDES, self.anchors, strict=True)]
        cells, strides, sizes = (torch.cat(parts) for parts in zip(*grids, strict=True))
        numbers = torch.cat([self._flat(one) for one in raw], 1)
        sides = [(one.shape[-2], one.shape[-1], stride) for one, stride in zip(raw, STRIDES, strict=True)]
        return Predictions(numbers, cells, strides, sizes, sides, self.anchors)

    def _flat(self, raw: Tensor) -> Tensor:
        """Return (batch, anchors * numbers, rows, columns) as (batch, rows * columns * anchors, numbers)."""
        batch, _, rows, columns = raw.shape
        apart = raw.view(batch, ANCHORS_PER_SCALE, BOX_NUMBERS + self.classes, rows, columns)
        return apart.permute(0, 3, 4, 1, 2).reshape(batch, -1, BOX_NUMBERS + self.classes)

    def _detections(self, predictions: Predictions, batch: ImageList) -> list[Detection]:
        numbers = predictions.numbers
        scores = numbers[..., 4:5].sigmoid() * numbers[..., BOX_NUMBERS:].sigmoid()
        boxes = boxes_of(numbers, predictions.cells, predictions.strides, predictions.sizes)
        return [
            self._of_one(clip_boxes_to_image(one, size), own)
            for one, own, size in zip(boxes, scores, batch.image_sizes, strict=True)
        ]

    def _of_one(self, boxes: Tensor, scores: Tensor) -> Detection:
        """Return an image's detections from boxes (count, 4) and scores (count, classes)."""
        whole = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(1, keepdim=True)  # those beyond the image lost a side to clipping
        places, labels = torch.nonzero((scores > self.score_threshold) & whole, as_tuple=True)
        ranked = scores[places, labels].argsort(descending=True)[:_MOST_CANDIDATES]
        places, labels = places[ranked], labels[ranked]
        boxes, scores = boxes[places], scores[places, labels]
        kept = batched_nms(boxes, scores, labels, self.nms_threshold)[: self.max_detections]
        return {"boxes": boxes[kept], "labels": labels[kept] + 1, "scores": scores[kept]}


class ConvolutionUnit(nn.Sequential):
    """Convolution, batch normalisation and a leaky rectifier of slope 0.1, Darknet's unit."""

    def __init__(self, have: int, make: int, side: int) -> None:
        super().__init__(
            nn.Conv2d(have, make, side, padding=side // 2, bias=False), nn.BatchNorm2d(make), nn.LeakyReLU(0.1, inplace=True)
        )


def neck(have: int, width: int) -> nn.Sequential:
    """Return the five units, 1 x 1 and 3 x 3 in turn, after which a scale branches to its head and to the next finer scale."""
    steps = [(have, width, 1), (width, 2 * width, 3), (2 * width, width, 1), (width, 2 * width, 3), (2 * width, width, 1)]
    return nn.Sequential(*(ConvolutionUnit(*step) for step in steps))


def neck_width(channels: int, most: int) -> int:
    """Return a scale's width: half the map's channels, as over Darknet-53, within 96 (rounded up to 8) and the paper's."""
    return min(max(-(-channels // 16) * 8, _LEAST_WIDTH), most)


class Head(nn.Module):
    """The last two layers of a scale: a 3 x 3 unit and a linear 1 x 1 convolution, this one computed in float32."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.unit = ConvolutionUnit(width, 2 * width, 3)
        self.output = nn.Conv2d(2 * width, ANCHORS_PER_SCALE * (BOX_NUMBERS + classes), 1)
        _start(self.output, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Return (batch, numbers, rows, columns), float32."""
        features = self.unit(features)
        with torch.autocast(features.device.type, enabled=False):
            return self.output(features.to(self.output.weight.dtype)).float()


def _start(output: nn.Conv2d, classes: int) -> None:
    """Let predictions start at their anchors, objects rare and classes even.

    Otherwise the many places without an object drown the few with one in the first steps (Lin et al. 2017, 1708.02002).
    """
    nn.init.normal_(output.weight, std=0.01)
    assert output.bias is not None
    with torch.no_grad():
        bias = output.bias.view(ANCHORS_PER_SCALE, BOX_NUMBERS + classes)
        bias.zero_()
        bias[:, 4] = math.log(PRIOR / (1 - PRIOR))
        if classes > 1:
            bias[:, BOX_NUMBERS:] = -math.log(classes - 1)


def _grid(raw: Tensor, stride: int, sizes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return a scale's predictions: column and row of the cell (n, 2), stride (n, 1) and size of the anchor (n, 2), float32."""
    rows, columns = (torch.arange(side, device=raw.device, dtype=torch.float32) for side in raw.shape[-2:])
    row, column = torch.meshgrid(rows, columns, indexing="ij")
    cells = torch.stack([column, row], -1).reshape(-1, 1, 2).expand(-1, ANCHORS_PER_SCALE, -1).reshape(-1, 2)
    anchors = sizes.expand(row.numel(), -1, -1).reshape(-1, 2)
    return cells, torch.full_like(cells[:, :1], stride), anchors
