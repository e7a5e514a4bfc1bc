"""Pyramid pooling: what lies around, at several sizes (Zhao et al. 2017, PSPNet, 1612.01105)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PyramidPooling(nn.Module):
    """A map beside its averages over coarse grids, each narrowed and enlarged again, and all joined by a 3x3 convolution.

    The grid of a single cell has no normalisation: an image has one value of it, and a small batch's statistics of so few say
    nothing.

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
        self.levels = nn.ModuleList(_normalised(channels, narrow, 1, normalised=size > 1) for size in self.sizes)
        self.join = nn.Sequential(
            *_normalised(channels + narrow * len(self.sizes), width, 3), nn.Dropout2d(dropout) if dropout else nn.Identity()
        )
        self.out_channels = width

    def forward(self, features: Tensor) -> Tensor:
        """Return (batch, width, height, width of the map) from (batch, channels, height, width of the map)."""
        pooled = [level(averages(features, size)) for level, size in zip(self.levels, self.sizes, strict=True)]
        enlarged = [F.interpolate(one, size=features.shape[-2:], mode="bilinear", align_corners=False) for one in pooled]
        return self.join(torch.cat([features, *enlarged], dim=1))


def averages(features: Tensor, size: int) -> Tensor:
    """Return the means over a grid of size x size cells, as `adaptive_avg_pool2d`, and for ONNX in terms of any image size."""
    if not (torch.onnx.is_in_onnx_export() or torch.compiler.is_exporting()):
        return F.adaptive_avg_pool2d(features, size)
    down, across = (_shares(side, size, features) for side in features.shape[-2:])
    return down @ features @ across.transpose(0, 1)


def _shares(side: int, size: int, like: Tensor) -> Tensor:
    """Return what each of `side` pixels counts in each of `size` cells, which may share a pixel: (size, side)."""
    cells = torch.arange(size, device=like.device)[:, None]
    pixels = torch.arange(side, device=like.device)[None]
    inside = (pixels >= cells * side // size) & (pixels < ((cells + 1) * side + size - 1) // size)
    return (inside / inside.sum(1, keepdim=True)).to(like.dtype)


def _normalised(inputs: int, outputs: int, kernel: int, normalised: bool = True) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=not normalised)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, *([nn.BatchNorm2d(outputs)] if normalised else []), nn.ReLU(inplace=True))
