"""PointRend (Kirillov et al. 2020, 1912.08193): masks drawn like pictures, with most points where the outline runs.

A small head guesses a coarse mask of every box. A point head then answers at single points, from what the finest level of the
pyramid holds there and from the coarse guess; in training at points drawn mostly where the guess is in doubt, in inference on
a grid that is doubled again and again, at the most doubtful points alone.

Points are places in a box, x and y from 0 to 1. Pixel i of a row lies at the coordinate i (see `chipwright.networks.masks`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.networks.masks import sampled_masks

TRAINED_POINTS = 14 * 14
"""Points of a box that are learnt from."""

OVERSAMPLING = 3
"""Candidates for each of them."""

DOUBTFUL = 0.75
"""Share of them that are the most doubtful of the candidates; the others may lie anywhere."""

ASKED_POINTS = 28 * 28
"""Points of a box that are asked for in each step of inference."""

STEPS = 5
"""Doublings of the coarse mask."""


class CoarseHead(nn.Module):
    """The coarse mask: a convolution that halves 14 x 14 cells, and two hidden layers."""

    SIDE: ClassVar[int] = 7

    def __init__(self, channels: int, classes: int, hidden: int = 1024) -> None:
        """Make the head for features of so many channels and classes counted with the background."""
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels, 2, 2)
        self.layers = nn.Sequential(
            nn.Linear(channels * self.SIDE**2, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )  # fmt: skip
        self.scores = nn.Linear(hidden, classes * self.SIDE**2)
        nn.init.normal_(self.scores.weight, std=0.001)
        nn.init.zeros_(self.scores.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits float32 (boxes, classes, 7, 7) for features (boxes, channels, 14, 14)."""
        hidden = self.layers(F.relu(self.reduce(features)).flatten(1))
        return self.scores(hidden).float().view(-1, self.scores.out_features // self.SIDE**2, self.SIDE, self.SIDE)


class PointHead(nn.Module):
    """Three hidden layers of 256 channels, the same for every point; each is told the coarse guess anew."""

    def __init__(self, channels: int, classes: int, hidden: int = 256) -> None:
        """Make the head for features of so many channels and classes counted with the background."""
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(have + classes, hidden, 1) for have in (channels, hidden, hidden))
        self.scores = nn.Conv1d(hidden + classes, classes, 1)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.kaiming_normal_(parameter, mode="fan_out", nonlinearity="relu")
            else:
                nn.init.zeros_(parameter)
        nn.init.normal_(self.scores.weight, std=0.001)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Return logits float32 (boxes, classes, points).

        Args:
            fine: features at the points (boxes, channels, points).
            coarse: logits of the coarse mask there (boxes, classes, points).
        """
        for layer in self.layers:
            fine = F.relu(layer(torch.cat([fine, coarse.to(fine.dtype)], 1)))
        return self.scores(torch.cat([fine, coarse.to(fine.dtype)], 1)).float()


def sampled(maps: Tensor, points: Tensor) -> Tensor:
    """Return maps (count, channels, height, width) at points (count, points, 2), as float32 (count, channels, points).

    Values are interpolated between the middles of cells; beyond the outermost they stay the same.
    """
    return F.grid_sample(maps.float(), 2 * points[:, None].float() - 1, padding_mode="border", align_corners=False)[:, :, 0]


def in_pixels(boxes: Tensor, points: Tensor) -> Tensor:
    """Return points of boxes (boxes, points, 2) in pixels of the image."""
    return boxes[:, None, :2] + points * (boxes[:, None, 2:] - boxes[:, None, :2])


def fine_features(level: Tensor, stride: int, boxes: Sequence[Tensor], points: Tensor) -> Tensor:
    """Return what a level of the pyramid holds at points of boxes: (boxes, channels, points), in the level's type.

    Args:
        level: (images, channels, height, width).
        stride: of the level, in pixels.
        boxes: of every image, (count, 4).
        points: of all boxes, (boxes, points, 2).
    """
    extent = points.new_tensor([level.shape[-1] * stride, level.shape[-2] * stride])
    found = []
    for one, some, own in zip(torch.split(level, 1), boxes, _by_image(points, boxes), strict=True):
        places = (in_pixels(some, own) + 0.5) / extent
        features = sampled(one, places.flatten(0, 1)[None])[0]
        found.append(features.reshape(len(features), *own.shape[:2]).transpose(0, 1))
    return torch.cat(found).to(level.dtype)


def _by_image(values: Tensor, boxes: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return torch.split(values, [some.shape[0] for some in boxes])


def box_grid(level: Tensor, stride: int, boxes: Sequence[Tensor], side: int = 2 * CoarseHead.SIDE) -> Tensor:
    """Return features at a regular grid of points of every box: (boxes, channels, side, side)."""
    points = grid(side, level.device).expand(sum(some.shape[0] for some in boxes), -1, -1)
    features = fine_features(level, stride, boxes, points)
    return features.reshape(*features.shape[:2], side, side)


def grid(side: int, device: torch.device) -> Tensor:
    """Return the middles of side x side equal cells, row by row, as points (1, side * side, 2)."""
    middles = (torch.arange(side, device=device, dtype=torch.float32) + 0.5) / side
    return torch.cartesian_prod(middles, middles).flip(1)[None]


def grid_places(indices: Tensor, rows: int, columns: int) -> Tensor:
    """Return the middles of cells of a grid, given as indices row by row (count, points), as points (count, points, 2)."""
    x, y = (indices % columns + 0.5) / columns, (indices // columns + 0.5) / rows
    return torch.stack([x, y], -1)


@torch.no_grad()
def training_points(guess: Tensor, certainty: Callable[[Tensor], Tensor], count: int = TRAINED_POINTS) -> Tensor:
    """Draw the points that are learnt from: (boxes or images, count, 2).

    Of OVERSAMPLING times as many, drawn evenly, the most doubtful make up a share of DOUBTFUL; the rest is drawn evenly.

    Args:
        guess: coarse logits (boxes or images, channels, rows, columns).
        certainty: gives how certain logits (boxes or images, channels, points) are, as (boxes or images, points).
        count: points of each.
    """
    candidates = torch.rand((len(guess), OVERSAMPLING * count, 2), device=guess.device)
    doubtful = certainty(sampled(guess, candidates)).topk(int(DOUBTFUL * count), largest=False).indices
    chosen = candidates.gather(1, doubtful[..., None].expand(-1, -1, 2))
    anywhere = torch.rand((len(guess), count - chosen.shape[1], 2), device=guess.device)
    return torch.cat([chosen, anywhere], 1)


def mask_certainty(logits: Tensor) -> Tensor:
    """Return how far one mask's logits (boxes, 1, points) are from 0, where it is in doubt."""
    return logits[:, 0].abs()


def point_losses(
    head: PointHead,
    level: Tensor,
    stride: int,
    coarse: Tensor,
    boxes: Sequence[Tensor],
    labels: Tensor,
    masks: Sequence[Tensor],
    matched: Sequence[Tensor],
) -> dict[str, Tensor]:
    """Return the mean binary cross-entropy of the answers at drawn points; 0 without any box.

    Args:
        head: answers.
        level, stride: of the pyramid, the finest.
        coarse: logits (boxes, classes, 7, 7).
        boxes, labels, masks, matched: as in `MaskHeads.mask_losses`.
    """
    rows = torch.arange(len(labels), device=labels.device)
    points = training_points(coarse[rows, labels][:, None], mask_certainty)
    logits = head(fine_features(level, stride, boxes, points), sampled(coarse, points))[rows, labels]
    if not len(labels):
        return {"loss_mask_points": logits.sum()}
    columns = zip(masks, boxes, matched, _by_image(points, boxes), strict=True)
    truth = torch.cat([sampled_masks(mask, which, in_pixels(some, own)) for mask, some, which, own in columns])
    return {"loss_mask_points": F.binary_cross_entropy_with_logits(logits, truth)}


def subdivided(head: PointHead, level: Tensor, stride: int, coarse: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
    """Return logits of an image's masks of each box's class, STEPS times doubled: (boxes, 224, 224).

    In each step the mask is doubled by interpolation, and the head is asked at the ASKED_POINTS most doubtful places. Steps
    whose places are all asked for again in the next are left out: they leave no trace.

    Args:
        head: answers.
        level: finest of the pyramid, of one image (1, channels, height, width).
        stride: of the level, in pixels.
        coarse: logits (boxes, classes, 7, 7).
        boxes, labels: (boxes, 4) and (boxes,).
    """
    rows = torch.arange(labels.shape[0], device=labels.device)
    masks = coarse[rows, labels][:, None]
    for step in range(1, STEPS + 1):
        side = CoarseHead.SIDE * 2**step
        masks = F.interpolate(masks, scale_factor=2.0, mode="bilinear", align_corners=False)
        if step < STEPS and 4 * side**2 <= ASKED_POINTS:
            continue
        places = masks.flatten(1).abs().topk(min(ASKED_POINTS, side**2), largest=False).indices
        points = grid_places(places, side, side)
        answers = head(fine_features(level, stride, [boxes], points), sampled(coarse, points))[rows, labels]
        masks = masks.flatten(1).scatter(1, places, answers).view(masks.shape)
    return masks[:, 0]
