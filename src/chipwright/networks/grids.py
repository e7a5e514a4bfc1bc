"""Grids of cells over an image, whatever its size: where their cells lie, maps brought to them, and the anchors in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_PARTLY = 0.01
"""Share of a last cell that must lie in the image for the cell to be there: more than rounding makes of nothing."""


@dataclass(frozen=True)
class Axis:
    """Cells along one side of an image.

    Attributes:
        centers: float32 (count,) in pixels of the image.
        spacing: pixels from one to the next.
    """

    centers: Tensor
    spacing: float

    @classmethod
    def over(cls, length: Any, spacing: float, device: torch.device) -> Axis:
        """Return as many cells of `spacing` pixels as cover `length`; the last may reach beyond it."""
        end = length + (0.5 - _PARTLY) * spacing
        return cls(torch.arange(spacing / 2, end, spacing, dtype=torch.float32, device=device), spacing)

    @classmethod
    def of_map(cls, length: Any, stride: int, device: torch.device) -> Axis:
        """Return the places of a map's `length` pixels of this stride."""
        return cls((torch.arange(length, device=device) + 0.5) * stride, float(stride))

    def halved(self) -> Axis:
        """Return twice as many cells of half the size in the same place."""
        quarter = self.spacing / 4
        return Axis(torch.stack([self.centers - quarter, self.centers + quarter], 1).flatten(), self.spacing / 2)


def resampled(x: Tensor, given: tuple[Axis, Axis], wanted: tuple[Axis, Axis]) -> Tensor:
    """Return maps (batch, channels, height, width) whose (rows, columns) lie at `given`, as they are at `wanted`.

    Interpolated linearly where the wanted cells are finer, averaged with a triangle's weights where they are coarser.
    """
    down, across = (_weights(have, want).to(x.dtype) for have, want in zip(given, wanted, strict=True))
    return torch.matmul(torch.matmul(down, x), across.t())


def _weights(given: Axis, wanted: Axis) -> Tensor:
    """Return what each wanted cell (a row) takes of each given one (a column)."""
    places = wanted.centers.clamp(given.centers[0], given.centers[-1])
    distances = (places[:, None] - given.centers[None]).abs() / max(given.spacing, wanted.spacing)
    weights = (1 - distances).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)


def cell_anchors(rows: Axis, columns: Axis, shapes: Sequence[tuple[float, float]]) -> Tensor:
    """Return anchors (cells * shapes, 4) as center x, center y, width, height in pixels, row by row and cell by cell.

    Args:
        rows, columns: the grid.
        shapes: width and height of a cell's anchors in pixels.
    """
    centers = torch.stack(torch.meshgrid(columns.centers, rows.centers, indexing="xy"), -1).reshape(-1, 1, 2)
    sides = centers.new_tensor(shapes)[None]
    return torch.cat([centers + torch.zeros_like(sides), torch.zeros_like(centers) + sides], -1).reshape(-1, 4)


def decoded(offsets: Tensor, anchors: Tensor, cell: tuple[float, float]) -> Tensor:
    """Return float32 boxes (..., anchors, 4) as xmin, ymin, xmax, ymax from a network's offsets of the same shape.

    A box's center stays within half a cell (width, height) of its anchor's, its sides between half and one and a half of the
    anchor's, so that no box leaves what its cell is to look after (fast.ai's course, 2018).

    Args:
        offsets: any numbers.
        anchors: (anchors, 4) as `cell_anchors` returns them.
        cell: width and height of the grid's cells in pixels.
    """
    moves = offsets.float().tanh() / 2
    centers = anchors[:, :2] + moves[..., :2] * anchors.new_tensor(cell)
    half = anchors[:, 2:] * (1 + moves[..., 2:]) / 2
    return torch.cat([centers - half, centers + half], -1)
