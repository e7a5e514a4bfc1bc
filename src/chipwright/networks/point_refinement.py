"""PointRend for class maps (Kirillov et al. 2020, 1912.08193): logits drawn like pictures, finer where classes are in doubt.

A coarse map is doubled again and again; in each step a small head answers anew at the pixels whose two likeliest classes lie
closest, from what a fine map of the backbone holds there and from the coarse logits. It learns at pixels drawn the same way.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.networks.pointrend import PointHead, grid_places, sampled, training_points

TRAINED_PIXELS = 2048
"""Pixels of an image that are learnt from."""

ASKED_PART = 8
"""One pixel in so many is asked for in each step of inference: of a 256 x 256 image that is the paper's 8096."""


class PointAnswers(NamedTuple):
    """Logits at single pixels of the images, for training.

    Attributes:
        logits: (batch, classes, pixels).
        pixels: places in the flattened images, row by row (batch, pixels), int64.
    """

    logits: Tensor
    pixels: Tensor


class PointRefinement(nn.Module):
    """Answers at single pixels.

    Args:
        channels: of the fine map.
        classes: class indices.
        stride: of the coarse logits in pixels; it says how often they are doubled.
    """

    def __init__(self, channels: int, classes: int, stride: int) -> None:
        super().__init__()
        self.head = PointHead(channels, classes)
        self.doublings = max(1, round(math.log2(stride)))

    def answers(self, coarse: Tensor, fine: Tensor, wide: tuple[int, int], size: tuple[int, int]) -> PointAnswers:
        """Return what is learnt from: logits at drawn pixels of images of (height, width) `size`, widened to `wide`.

        Args:
            coarse: logits (batch, classes, rows, columns) over the same ground.
            fine: map of the backbone (batch, channels, rows, columns) over the same ground.
            wide: size of the ground that the maps cover.
            size: of the part of it that has labels, from the first row and column on; pixels beyond are drawn to its edge.
        """
        points = training_points(coarse, certainty, TRAINED_PIXELS)
        column, row = (points * points.new_tensor([wide[1], wide[0]])).long().unbind(-1)
        column, row = column.clamp(max=size[1] - 1), row.clamp(max=size[0] - 1)
        places = grid_places(row * wide[1] + column, *wide)
        return PointAnswers(self._at(coarse, fine, places), row * size[1] + column)

    def forward(self, coarse: Tensor, fine: Tensor, size: tuple[int, int]) -> Tensor:
        """Return logits (batch, classes, height, width) of (height, width) `size`; arguments as in `answers`."""
        logits = coarse.float()
        for _ in range(self.doublings - 1):
            logits = F.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)
            logits = self._sharpened(logits, coarse, fine)
        logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return self._sharpened(logits, coarse, fine)

    def _sharpened(self, logits: Tensor, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return logits with answers in place of the most doubtful."""
        rows, columns = logits.shape[-2:]
        flat = logits.flatten(2)
        pixels = certainty(flat).topk(rows * columns // ASKED_PART + 1, largest=False).indices
        found = self._at(coarse, fine, grid_places(pixels, rows, columns))
        return flat.scatter(2, pixels[:, None].expand(-1, flat.shape[1], -1), found).view_as(logits)

    def _at(self, coarse: Tensor, fine: Tensor, points: Tensor) -> Tensor:
        return self.head(sampled(fine, points).to(fine.dtype), sampled(coarse, points))


def certainty(logits: Tensor) -> Tensor:
    """Return by how much the likeliest class leads: (batch, points) from (batch, classes, points)."""
    first, second = logits.topk(2, dim=1).values.unbind(1)
    return first - second
