"""What YOLOv3 is taught (Redmon & Farhadi 2018, 1804.02767): which prediction answers for an object, and the losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou, complete_box_iou_loss

from chipwright.networks.detection import Losses, Target

MATCH_IOU = 0.5
"""Anchors that overlap an object in shape at least this much answer for it beside the likest."""

IGNORE_IOU = 0.5
"""A prediction whose anchor, in the middle of its cell, overlaps an object more than this without answering for it is taught
neither object nor background: the paper's rule (the authors' program takes the predicted box instead of the anchor)."""

BOX_WEIGHT = 3.0
"""Of a box's complete IoU beside objectness and classes."""

_LARGEST_LOG_SIZE = math.log(1000 / 16)

BoxLoss = Literal["iou", "paper"]


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
    box_loss: BoxLoss = "iou",
) -> Losses:
    """Return the losses of boxes, objectness and classes, each the mean over images of its sum over an image.

    With "iou", boxes by their complete IoU (Zheng et al. 2020, 1911.08287), and objectness is taught the IoU that the box has:
    how good a box is decides which of two is kept and which stands first. With "paper", places by binary cross-entropy, sizes
    by half the squared error of their logarithms, and objectness is taught 1. Objects count in these two by 2 minus their share
    of the image's area, as in the authors' program: for small ones a pixel is much. Objectness and classes by binary
    cross-entropy.

    Args:
        predictions: of the batch.
        targets: `boxes` and `labels` (from 1) of every image.
        image_sizes: height and width of every image before padding.
        match_iou: see `assign`.
        box_loss: "iou" or "paper".
    """
    numbers = predictions.numbers
    objects = torch.zeros_like(numbers[..., 4])
    taught = torch.ones_like(objects, dtype=torch.bool)
    centers, half = (predictions.cells + 0.5) * predictions.strides, predictions.sizes / 2
    anchors = torch.cat([centers - half, centers + half], 1)
    named = {name: numbers.new_zeros(()) for name in _BOX_LOSSES[box_loss]}
    classes = numbers.new_zeros(())
    for index, (target, size) in enumerate(zip(targets, image_sizes, strict=True)):
        boxes = target["boxes"].float()
        if not len(boxes):
            continue
        found = assign(boxes, target["labels"], predictions, match_iou)
        taught[index] = box_iou(anchors, boxes).amax(1) <= IGNORE_IOU
        taught[index, found.places] = True
        own, answers = boxes[found.owners], numbers[index, found.places]
        own = torch.cat([own[:, :2], torch.maximum(own[:, 2:], own[:, :2] + 1)], 1)  # a box without width is a pixel wide
        losses: tuple[Tensor, ...]
        if box_loss == "paper":
            objects[index, found.places] = 1.0
            losses = _places_and_sizes(own, answers, predictions, found.places, size)
        else:
            boxed = _at(answers, predictions, found.places)
            objects[index, found.places] = _ious(boxed.detach(), own)
            losses = (BOX_WEIGHT * complete_box_iou_loss(boxed, own, reduction="sum"),)
        named = {name: total + loss for (name, total), loss in zip(named.items(), losses, strict=True)}
        classes = classes + _cross_entropy(answers[:, 5:], found.classes).sum()
    objectness = (_cross_entropy(numbers[..., 4], objects) * taught).sum()
    named |= {"loss_objectness": objectness, "loss_class": classes}
    return {name: loss / len(targets) for name, loss in named.items()}


_BOX_LOSSES = {"iou": ("loss_box",), "paper": ("loss_place", "loss_size")}


def _places_and_sizes(
    own: Tensor, answers: Tensor, predictions: Predictions, places: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return the paper's losses of places and sizes of the predictions that answer for boxes (m, 4)."""
    sides = own[:, 2:] - own[:, :2]
    weight = 2 - sides.prod(1, keepdim=True) / (size[0] * size[1])
    inside = (own[:, :2] + own[:, 2:]) / 2 / predictions.strides[places] - predictions.cells[places]
    scaled = (sides / predictions.sizes[places]).log()
    return (
        (weight * _cross_entropy(answers[:, :2], inside.clamp(0, 1))).sum(),
        (weight * (answers[:, 2:4] - scaled).square() / 2).sum(),
    )


def _at(answers: Tensor, predictions: Predictions, places: Tensor) -> Tensor:
    """Return the boxes (m, 4) of the predictions at some places."""
    return boxes_of(answers, predictions.cells[places], predictions.strides[places], predictions.sizes[places])


def _ious(first: Tensor, second: Tensor) -> Tensor:
    """Return the IoU of boxes (m, 4) with boxes (m, 4), one by one."""
    shared = (torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2])).clamp(min=0).prod(1)
    union = (first[:, 2:] - first[:, :2]).prod(1) + (second[:, 2:] - second[:, :2]).prod(1) - shared
    return shared / union.clamp(min=1e-6)


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


def boxes_of(numbers: Tensor, cells: Tensor, strides: Tensor, sizes: Tensor) -> Tensor:
    """Return the boxes (..., n, 4), as corners in pixels, that raw numbers (..., n, 5 + classes) stand for.

    Sides stop at 62 times the anchor's, so that no number overflows.
    """
    centers = (numbers[..., :2].sigmoid() + cells) * strides
    half = sizes * numbers[..., 2:4].clamp(max=_LARGEST_LOG_SIZE).exp() / 2
    return torch.cat([centers - half, centers + half], -1)
