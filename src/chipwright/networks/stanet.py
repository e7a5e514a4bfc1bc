"""STANet: change between two dates by attention over space and time (Chen & Shi 2020, Remote Sensing 12, 1662).

One network extracts features of either date; attention over the pixels of both makes them comparable; what lies far apart has
changed. Features of a pair stand side by side in one map, the earlier date left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.networks.padding import pad_to_multiple

if TYPE_CHECKING:
    from chipwright.networks.backbones import Backbone

MARGIN = 2.0
"""Distance from which changed pixels are far enough apart."""

CHANGED = MARGIN / 2
"""Distance from which a pixel counts as changed."""

PYRAMID = (1, 2, 4, 8)
"""Regions a side within which the pyramid's branches attend."""

KEY_CHANNELS = 8

Attention = Literal["PAM", "BAM"]


class ChangeNetwork(nn.Module):
    """Distance between two dates at every pixel.

    Args:
        backbone: serves both dates.
        attention: "PAM", at several scales, or "BAM", over the whole chip.
        width: channels of the features that are compared.

    Input: both dates' normalised images one after the other, (batch, 2 * bands, height, width) of any size. Output: distances
    (batch, 1, height, width); see `CHANGED`.
    """

    def __init__(self, backbone: Backbone, attention: Attention = "PAM", width: int = 64) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = FeatureDecoder(backbone.channels, backbone.strides, width)
        self.attention: nn.Module = PyramidAttention(width) if attention == "PAM" else BasicAttention(width, residual=True)

    def forward(self, pairs: Tensor) -> Tensor:
        """Return the distances."""
        dates = torch.cat(pairs.chunk(2, dim=1))  # both through one network, and through its normalisation together
        before, after = self.decoder(self.backbone(dates)).chunk(2)
        together = self.attention(torch.stack([before, after], dim=2))
        distances = feature_distance(together[:, :, 0], together[:, :, 1])
        return F.interpolate(distances, size=pairs.shape[-2:], mode="bilinear", align_corners=True)


class FeatureDecoder(nn.Module):
    """Joins a backbone's four coarsest maps at the finest of them.

    Args:
        channels, strides: of the backbone's maps, finest first.
        width: channels of the result.
        narrow: channels that each map is brought to.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], width: int = 64, narrow: int = 96) -> None:
        super().__init__()
        self.levels = [at for at, stride in enumerate(strides) if stride >= 4] or [len(strides) - 1]
        self.narrow = nn.ModuleList(_normalised(channels[at], narrow, 1) for at in self.levels)
        self.join = nn.Sequential(_normalised(narrow * len(self.levels), 256, 3), nn.Dropout(0.5), *_normalised(256, width, 1))
        # features of deviation 1 would begin far beyond the margin: this way distances begin about it
        last = self.join[-2]
        assert isinstance(last, nn.BatchNorm2d)
        nn.init.constant_(last.weight, 0.75 * MARGIN / width**0.5)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return (batch, width, rows, columns) of the finest level's rows and columns."""
        narrowed = [layer(maps[at]) for layer, at in zip(self.narrow, self.levels, strict=True)]
        size = narrowed[0].shape[-2:]
        same = [F.interpolate(one, size=size, mode="bilinear", align_corners=True) for one in narrowed[1:]]
        return self.join(torch.cat([narrowed[0], *same], dim=1))


class BasicAttention(nn.Module):
    """BAM: every pixel of either date looks at every pixel of both.

    Args:
        channels: of the features.
        residual: whether what was seen is added to the features, or given alone.
        normalised: whether keys and queries are batch-normalised, as in the pyramid's branches.

    Input and output: (batch, channels, 2, rows, columns), the dates in the third place.
    """

    def __init__(self, channels: int, residual: bool = False, normalised: bool = False) -> None:
        super().__init__()
        self.query = _projection(channels, KEY_CHANNELS, normalised)
        self.key = _projection(channels, KEY_CHANNELS, normalised)
        self.value = nn.Conv2d(channels, channels, 1)
        self.residual = residual

    def forward(self, features: Tensor) -> Tensor:
        """Return what each pixel sees."""
        seen = self.attend(features, 1)
        return features + seen if self.residual else seen

    def attend(self, features: Tensor, regions: int) -> Tensor:
        """Return what each pixel sees within its region, of `regions` x `regions` of a map whose sides they divide."""
        batch, channels, dates, rows, columns = features.shape
        flat = features.transpose(1, 2).reshape(batch * dates, channels, rows, columns)
        height, width = rows // regions, columns // regions

        def tokens(projected: Tensor) -> Tensor:
            """(batch * dates, channels, rows, columns) -> (batch * regions², dates * height * width, channels)."""
            split = projected.view(batch, dates, -1, regions, height, regions, width)
            return split.permute(0, 3, 5, 1, 4, 6, 2).reshape(batch * regions**2, dates * height * width, -1)

        query, key, value = (tokens(layer(flat)) for layer in (self.query, self.key, self.value))
        # zeros beside keys and queries change no product, but let the kernels run that never hold all pairs in memory
        query, key = (F.pad(one, (0, channels - KEY_CHANNELS)) for one in (query, key))
        seen = F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None], scale=KEY_CHANNELS**-0.5)
        split = seen.view(batch, regions, regions, dates, height, width, channels)
        return split.permute(0, 6, 3, 1, 4, 2, 5).reshape(batch, channels, dates, rows, columns)


class PyramidAttention(nn.Module):
    """PAM: attention within regions of several sizes, joined and added to the features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(BasicAttention(channels, normalised=True) for _ in PYRAMID)
        self.join = nn.Conv2d(channels * len(PYRAMID), channels, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return features (batch, channels, 2, rows, columns) with what was seen at every scale."""
        rows, columns = features.shape[-2:]
        padded = pad_to_multiple(features.flatten(1, 2), max(PYRAMID))
        padded = padded.view(*features.shape[:3], *padded.shape[-2:])
        pairs = zip(self.branches, PYRAMID, strict=True)
        seen = torch.cat([branch.attend(padded, regions) for branch, regions in pairs], dim=1)  # type: ignore[operator]
        joined = self.join(seen.flatten(2, 3)).view_as(padded)
        return features + joined[..., :rows, :columns]


def feature_distance(before: Tensor, after: Tensor) -> Tensor:
    """Return the Euclidean distance over the channels, in float32: (batch, 1, rows, columns)."""
    return torch.linalg.vector_norm(before.float() - after.float() + 1e-6, dim=1, keepdim=True)


def balanced_contrastive(distances: Tensor, changed: Tensor, counts: Tensor, margin: float = MARGIN) -> Tensor:
    """Return the batch-balanced contrastive loss: unchanged pixels are drawn together, changed ones apart up to the margin.

    Either kind is divided by its own number in the batch, so that rare changes weigh as much as all the ground that stayed.

    Args:
        distances: any shape.
        changed: bool of that shape.
        counts: bool of that shape; pixels that do not count are in neither sum.
        margin: see `MARGIN`.
    """
    near, far = counts & ~changed, counts & changed
    apart = distances.square().where(near, 0.0).sum() / (near.sum() + 1e-4)
    close = (margin - distances).clamp_min(0).square().where(far, 0.0).sum() / (far.sum() + 1e-4)
    return apart + close


def _projection(channels: int, outputs: int, normalised: bool) -> nn.Module:
    convolution = nn.Conv2d(channels, outputs, 1)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs)) if normalised else convolution


def _normalised(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
