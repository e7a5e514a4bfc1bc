"""What YOLOv3 is taught (Redmon & Farhadi 2018, 1804.02767): which prediction answers for an object, and the four losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou

from chipwright.networks.detection import Losses, Target

MATCH_IOU = 0.5
"""Anchors that overlap an object in shape at least this much answer for it beside the likest."""

IGNORE_IOU = 0.5
"""A prediction whose anchor, in the middle of its cell, overlaps an object more than this without answering for it is taught
neither object nor background: the paper's rule (the authors' program takes the predicted box instead of the anchor)."""


@dataclass(frozen=True)
class Predictions:
    """Everything the network predicts for a batch, all float32.

    Predictions lie scale by scale, fine to coarse, within a scale row by row, within a cell anchor by anchor.

    Attributes:
        numbers: raw, (batch, n, 5 + classes): t_x, t_y, t_w, t_h, objectness, classes.
        cells: column and row of each prediction's cell, (n, 2).
        strides: side of each prediction's cell in pixels, (n, 1).
        sizes: width and height of each prediction's anchor in pixels, (n, 2).
        grids: rows, columns and stride of every scale.
        anchors: widths and heights in pixels, (scales, anchors a scale, 2).
    """

    numbers: Tensor
    cells: Tensor
    strides: Tensor
    sizes: Tensor
    grids: Sequence[tuple[int, int, int]]
    anchors: Tensor


@dataclass(frozen=True)
class Assignment:
    """The predictions that answer for an image's objects.

    Attributes:
        places: of these predictions, (m,).
        owners: the object of each, (m,).
        classes: 1 for every class that an object of the place has, (m, classes), float32.
    """

    places: Tensor
    owners: Tensor
    classes: Tensor


def yolov3_losses(
    predictions: Predictions,
    targets: Sequence[Target],
    image_sizes: Sequence[tuple[int, int]],
    match_iou: float = MATCH_IOU,
) -> Losses:
    """Return the losses of places, sizes, objectness and classes, each the mean over images of its sum over an image.

    Places, objectness and classes by binary cross-entropy, sizes by half the squared error of their logarithms. Objects count
    in places and sizes by 2 minus their share of the image's area, as in the authors' program: for small ones a pixel is much.

    Args:
        predictions: of the batch.
        targets: `boxes` and `labels` (from 1) of every image.
        image_sizes: height and width of every image before padding.
        match_iou: see `assign`.
    """
    numbers = predictions.numbers
    objects = torch.zeros_like(numbers[..., 4])
    taught = torch.ones_like(objects, dtype=torch.bool)
    centers, half = (predictions.cells + 0.5) * predictions.strides, predictions.sizes / 2
    anchors = torch.cat([centers - half, centers + half], 1)
    places, sizes, classes = (numbers.new_zeros(()) for _ in range(3))
    for index, (target, (height, width)) in enumerate(zip(targets, image_sizes, strict=True)):
        boxes = target["boxes"].float()
        if not len(boxes):
            continue
        found = assign(boxes, target["labels"], predictions, match_iou)
        taught[index] = box_iou(anchors, boxes).amax(1) <= IGNORE_IOU
        taught[index, found.places] = True
        objects[index, found.places] = 1.0
        own, answers = boxes[found.owners], numbers[index, found.places]
        sides = own[:, 2:] - own[:, :2]
        weight = 2 - sides.prod(1, keepdim=True) / (height * width)
        inside = (own[:, :2] + own[:, 2:]) / 2 / predictions.strides[found.places] - predictions.cells[found.places]
        scaled = (sides.clamp(min=1.0) / predictions.sizes[found.places]).log()
        places = places + (weight * _cross_entropy(answers[:, :2], inside.clamp(0, 1))).sum()
        sizes = sizes + (weight * (answers[:, 2:4] - scaled).square() / 2).sum()
        classes = classes + _cross_entropy(answers[:, 5:], found.classes).sum()
    objectness = (_cross_entropy(numbers[..., 4], objects) * taught).sum()
    named = {"loss_place": places, "loss_size": sizes, "loss_objectness": objectness, "loss_class": classes}
    return {name: loss / len(targets) for name, loss in named.items()}


def assign(boxes: Tensor, labels: Tensor, predictions: Predictions, match_iou: float = MATCH_IOU) -> Assignment:
    """Return which predictions answer for boxes (k, 4): in the cell of the centre, that whose anchor is likest in shape.

    Beside it, unlike in the paper, those whose anchors overlap the box in shape by `match_iou` or more answer as well; with 1
    none does. One prediction answers for one box: of several (duplicates, or neighbours in one cell) the one that is most like
    its anchor has it, but all their classes are taught.
    """
    each, count = predictions.anchors.shape[1], predictions.numbers.shape[1]
    overlaps = _shape_overlaps(boxes[:, 2:] - boxes[:, :2], predictions.anchors.view(-1, 2))
    answers = (overlaps >= match_iou).scatter(1, overlaps.argmax(1, keepdim=True), True)
    owners, anchors = torch.nonzero(answers, as_tuple=True)
    rising = overlaps[owners, anchors].argsort(stable=True)
    owners, anchors = owners[rising], anchors[rising]
    grids = torch.tensor(predictions.grids, device=boxes.device)
    rows, columns, strides = grids[anchors // each].T
    starts = (grids[:, 0] * grids[:, 1] * each).cumsum(0).roll(1)
    starts[0] = 0
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    column, row = (centers[owners] / strides[:, None]).long().clamp(min=0).T
    cells = torch.minimum(row, rows - 1) * columns + torch.minimum(column, columns - 1)
    places = starts[anchors // each] + cells * each + anchors % each
    last = torch.full((count,), -1, device=boxes.device)
    last.scatter_reduce_(0, places, torch.arange(len(places), device=boxes.device), "amax")
    answering = torch.nonzero(last >= 0)[:, 0]
    taught = boxes.new_zeros((count, predictions.numbers.shape[2] - 5))
    taught[places, labels[owners] - 1] = 1.0
    return Assignment(answering, owners[last[answering]], taught[answering])


def _shape_overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Return the IoU of sizes (n, 2) and (m, 2), laid one in the other's centre, as (n, m)."""
    shared = torch.minimum(first[:, None], second[None]).prod(2)
    return shared / (first.prod(1)[:, None] + second.prod(1)[None] - shared)


def _cross_entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
