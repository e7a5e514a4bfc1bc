"""Pyramid pooling: what lies around, at several sizes (Zhao et al. 2017, PSPNet, 1612.01105)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PyramidPooling(nn.Module):
    """A map beside its averages over coarse grids, each narrowed and enlarged again, and all joined by a 3x3 convolution.

    The grid of a single cell has no normalisation: an image has one value of it, and a small batch's statistics of so few say
    nothing. The enlarged averages are never made: see `_convolved_grids`.

    Args:
        channels: of the map.
        sizes: cells a side of each grid.
        width: channels of the result.
        dropout: share of the result's channels that training leaves out.
    """

    def __init__(self, channels: int, sizes: Sequence[int] = (1, 2, 3, 6), width: int = 512, dropout: float = 0.1) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        narrow = max(1, channels // len(self.sizes))
        self.widths = [channels] + [narrow] * len(self.sizes)
        self.levels = nn.ModuleList(_normalised(channels, narrow, 1, normalised=size > 1) for size in self.sizes)
        self.join = nn.Sequential(*_normalised(sum(self.widths), width, 3), nn.Dropout2d(dropout))
        self.out_channels = width

    def forward(self, features: Tensor) -> Tensor:
        """Return (batch, width, height, width of the map) from (batch, channels, height, width of the map)."""
        pooled = [level(one) for level, one in zip(self.levels, averages(features, self.sizes), strict=True)]
        convolution, *others = self.join
        assert isinstance(convolution, nn.Conv2d)
        own, *weights = torch.split(convolution.weight, self.widths, 1)
        around = _convolved_grids(pooled, weights, features.shape[2], features.shape[3])
        joined = F.conv2d(features, own, padding=1) + around
        for layer in others:
            joined = layer(joined)
        return joined


def averages(features: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Return the means over a grid of size x size cells for each size, as `adaptive_avg_pool2d`.

    Products of matrices read the features once for all grids, are exact in any order (adaptive pooling on CUDA is not), and
    export to ONNX in terms of any image size.
    """
    rows, columns = ([_cells(features, axis, size) for size in sizes] for axis in (2, 3))
    sums = torch.split(features @ torch.cat([inside for inside, _ in columns]).T, list(sizes), 3)
    parts = zip(rows, columns, sums, strict=True)
    return [inside @ part / (height[:, None] * width) for (inside, height), (_, width), part in parts]


def _cells(features: Tensor, axis: int, size: int) -> tuple[Tensor, Tensor]:
    """Return which places along an axis each of `size` cells covers, 0 or 1 (size, places), and how many that are (size,)."""
    length = features.shape[axis]
    cell = torch.arange(size, device=features.device)
    start, end = cell * length // size, ((cell + 1) * length + size - 1) // size
    place = torch.arange(length, device=features.device)
    inside = (place >= start[:, None]) & (place < end[:, None])
    return inside.to(features.dtype), (end - start).to(features.dtype)


def _convolved_grids(grids: Sequence[Tensor], weights: Sequence[Tensor], height: int, width: int) -> Tensor:
    """Return the 3x3 convolution of grids that are enlarged to a size (bilinear) and put side by side.

    Enlarging and convolving are both linear, so the weights are applied to the few cells, and their products enlarged: of the
    multiplications in the paper's 3x3 convolution half fall away, and neither the enlarged averages nor the joined map are
    written to memory. Equal to the plain way up to rounding.

    Args:
        grids: (batch, channels, size, size) each.
        weights: of each grid, (outputs, channels, 3, 3).
        height, width: of the result (batch, outputs, height, width).
    """
    rows, columns = [], []
    for grid, weight in zip(grids, weights, strict=True):
        (outputs, channels), size = weight.shape[:2], grid.shape[-1]
        products = weight.permute(0, 2, 3, 1).reshape(-1, channels) @ grid.flatten(2)
        products = products.view(-1, outputs, 3, 3, size, size).transpose(3, 4).reshape(-1, outputs, 3 * size, 3 * size)
        rows.append(_shifted(grid, size, height).T @ products)
        columns.append(_shifted(grid, size, width))
    return torch.cat(rows, 3) @ torch.cat(columns)


def _shifted(grid: Tensor, size: int, length: int) -> Tensor:
    """Return what each cell gives to the place before, at and behind every place, where there is one: (3 size, length)."""
    cells = torch.eye(size, device=grid.device, dtype=torch.promote_types(grid.dtype, torch.float32))[None]
    shares = F.pad(F.interpolate(cells, length, mode="linear", align_corners=False)[0], (1, 1))
    return torch.cat([shares[:, shift : shift + length] for shift in range(3)]).to(grid.dtype)


def _normalised(inputs: int, outputs: int, kernel: int, normalised: bool = True) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=not normalised)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, *([nn.BatchNorm2d(outputs)] if normalised else []), nn.ReLU(inplace=True))
