"""Pixel-set encoder and temporal attention encoder for time series of images (Garnot et al. 2020, 1911.07757).

A set of pixels of one kind is encoded at every date by what its pixels have in common, and the dates are weighed against each
other by attention, each placed in the year by its day. Over a map, a pixel's set is its neighbourhood.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Pooling = Literal["mean", "std", "max", "min", "mean_std"]

NEIGHBOURHOOD = 3
"""Pixels a side that make up a pixel's set where a whole map is classified."""

_PIXELS_AT_ONCE = 8192
"""Of a map, in prediction: every pixel takes some 100 kB on its way."""

_MAPPED_AT_ONCE = 1 << 16
"""Of a batch of maps, in prediction: every pixel takes some kB a date before its dates are compared."""

_TINY = 1e-31
"""Under the root of a deviation, whose slope at 0 has no end."""


class PseTae(nn.Module):
    """Pixel-set encoder, temporal attention encoder and decoder.

    Linear layers start Xavier-normal as the original's, biases at 0 and scales of normalisation at 1. The original draws those
    from N(0, 1), so that half of the features start with the wrong sign or next to nothing.

    Args:
        selected: of each date that is used, the bands of its variables in the image (dates, variables).
        days: of each of these dates, from the first.
        outputs: number of class indices.
        first_class: index of the first named class.
        mlp1: widths of the layers that every pixel goes through.
        pooling: what is taken over a set: "mean_std" both, one after the other.
        mlp2: widths of the layers after it; the first is what pooling gives, that is mlp1's last, twice for "mean_std".
        heads, key_width: of the attention over dates.
        dropout: share of the dates' encoding that training leaves out.
        period: days whose positions lie farthest apart (T).
        mlp3: widths behind the attention, after heads x mlp2's last.
        mlp4: widths of the decoder before the classes.

    Input: normalised images (batch, bands, rows, columns). With `present`, bool (batch, rows, columns), an image is one set, of
    its present pixels, and the output is logits (batch, outputs); without, every pixel is classified by its neighbourhood, and
    the output is logits (batch, outputs, rows, columns).
    """

    selected: Tensor
    positions: Tensor

    def __init__(
        self,
        selected: Sequence[Sequence[int]],
        days: Sequence[float],
        outputs: int,
        first_class: int = 0,
        *,
        mlp1: Sequence[int] = (32, 64),
        pooling: Pooling = "mean_std",
        mlp2: Sequence[int] = (128, 128),
        heads: int = 4,
        key_width: int = 32,
        dropout: float = 0.2,
        period: float = 1000.0,
        mlp3: Sequence[int] = (128, 128),
        mlp4: Sequence[int] = (64, 32),
    ) -> None:
        super().__init__()
        self.first_class = first_class
        self.pooling = pooling
        self.register_buffer("selected", torch.tensor(selected, dtype=torch.long), persistent=False)
        width = mlp2[-1]
        self.register_buffer("positions", date_positions(days, width, period), persistent=False)
        self.pixels = _layers([len(selected[0]), *mlp1])
        self.set = _layers(mlp2, cut_last=False)
        self.before = nn.LayerNorm(width)
        self.attention = DateAttention(width, heads, key_width)
        self.after = nn.Sequential(_layers([heads * width, *mlp3]), nn.Dropout(dropout))
        self.norm = nn.LayerNorm(mlp3[-1])
        self.decoder = nn.Sequential(_layers([mlp3[-1], *mlp4]), nn.Linear(mlp4[-1], outputs))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """Return logits of sets, or of all pixels."""
        if present is None:
            return self.explain(images)[0]
        encoded = self.pixels(self._series(images))
        pooled = pool(encoded, present.flatten(1)[:, None].expand(encoded.shape[:3]), self.pooling)
        return self._decide(pooled)[0]

    def explain(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (batch, outputs, rows, columns) and attention (batch, dates, rows, columns) of all pixels.

        Attention is the mean over heads: 1 in sum over the dates.
        """
        if self.training or torch.onnx.is_in_onnx_export() or torch.compiler.is_exporting():
            return self._map(images)
        some = torch.split(images, max(1, _MAPPED_AT_ONCE // (images.shape[2] * images.shape[3])))
        logits, attention = zip(*(self._map(part) for part in some), strict=True)
        return torch.cat(logits), torch.cat(attention)

    def _map(self, images: Tensor) -> tuple[Tensor, Tensor]:
        batch, _, rows, columns = images.shape
        encoded = self.pixels(self._series(images))
        maps = encoded.transpose(2, 3).reshape(-1, encoded.shape[-1], rows, columns)
        pooled = pool_neighbours(maps, self.pooling).flatten(2)
        sets = pooled.view(batch, -1, pooled.shape[1], rows * columns).permute(0, 3, 1, 2).flatten(0, 1)
        whole = self.training or torch.onnx.is_in_onnx_export() or torch.compiler.is_exporting()
        parts = [self._decide(some) for some in ([sets] if whole else torch.split(sets, _PIXELS_AT_ONCE))]
        logits, attention = (torch.cat(found).view(batch, rows * columns, -1) for found in zip(*parts, strict=True))
        return logits.transpose(1, 2).reshape(batch, -1, rows, columns), attention.transpose(1, 2).reshape(
            batch, -1, rows, columns
        )

    def _series(self, images: Tensor) -> Tensor:
        """Return the used values of every pixel: (batch, dates, pixels, variables)."""
        values = images[:, self.selected.flatten()]
        return values.view(images.shape[0], *self.selected.shape, -1).transpose(2, 3)

    def _decide(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (sets, outputs) and attention (sets, dates) of pooled sets (sets, dates, width)."""
        dates = self.before(self.set(pooled)) + self.positions
        weights = self.attention.weights(dates)
        return self.decoder(self.norm(self.after(self.attention.see(dates, weights)))), weights.mean(1)

    def class_tensors(self) -> dict[str, tuple[int, int]]:
        """Return the tensors with rows for each class: name -> (rows a class, row of the first named class)."""
        return {"decoder.1.weight": (1, self.first_class), "decoder.1.bias": (1, self.first_class)}


class DateAttention(nn.Module):
    """Attention of one question, what all dates ask together, to every date; what is seen are the encodings themselves."""

    def __init__(self, width: int, heads: int, key_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries = nn.Linear(width, heads * key_width)
        self.keys = nn.Linear(width, heads * key_width)
        self.question = nn.Sequential(nn.BatchNorm1d(heads * key_width), nn.Linear(heads * key_width, heads * key_width))
        self.dropout = nn.Dropout(0.1)

    def forward(self, dates: Tensor) -> Tensor:
        """Return (sets, heads * width) from (sets, dates, width)."""
        return self.see(dates, self.weights(dates))

    def see(self, dates: Tensor, weights: Tensor) -> Tensor:
        """Return (sets, heads * width), what each head sees of (sets, dates, width) under its weights."""
        return (self.dropout(weights) @ dates).flatten(1)

    def weights(self, dates: Tensor) -> Tensor:
        """Return how much each head looks at each date: (sets, heads, dates), 1 in sum over the dates."""
        query = self.question(self.queries(dates).mean(1)).unflatten(1, (self.heads, -1))
        keys = self.keys(dates).unflatten(2, (self.heads, -1))
        scores = torch.einsum("shk,sdhk->shd", query, keys) / query.shape[-1] ** 0.5
        return scores.softmax(-1)


def date_positions(days: Sequence[float], width: int, period: float = 1000.0) -> Tensor:
    """Return the places of days in `width` waves: (days, width), sines in the even columns and cosines in the odd ones.

    Waves 2i and 2i + 1 turn by `1 / period ** (2i / width)` a day.
    """
    speeds = period ** -(2 * (torch.arange(width) // 2) / width).double()
    angles = torch.tensor(days, dtype=torch.float64)[:, None] * speeds
    return torch.where(torch.arange(width) % 2 == 0, angles.sin(), angles.cos()).float()


def pool(encoded: Tensor, present: Tensor, pooling: Pooling) -> Tensor:
    """Return what the present pixels of sets have in common, in float32: (sets, dates, channels, twice for "mean_std").

    Args:
        encoded: (sets, dates, pixels, channels).
        present: bool (sets, dates, pixels), one pixel at least of every set and date.
        pooling: "std" divides by one less than the pixels; that of a single pixel is 0.
    """
    values, there = encoded.float(), present[..., None]
    if pooling in ("max", "min"):
        fill = -torch.inf if pooling == "max" else torch.inf
        values = values.masked_fill(~there, fill)
        return values.amax(2) if pooling == "max" else values.amin(2)
    count = there.sum(2)
    mean = values.masked_fill(~there, 0).sum(2) / count
    if pooling == "mean":
        return mean
    squares = (values - mean[:, :, None]).square().masked_fill(~there, 0).sum(2)
    std = (squares / (count - 1).clamp_min(1) + _TINY).sqrt()
    return std if pooling == "std" else torch.cat([mean, std], -1)


def pool_neighbours(maps: Tensor, pooling: Pooling, side: int = NEIGHBOURHOOD) -> Tensor:
    """Return `pool` of every pixel's neighbourhood, cut at the edges: (count, channels, twice for "mean_std", rows, columns).

    Args:
        maps: (count, channels, rows, columns).
        pooling: as in `pool`.
        side: of the neighbourhood, odd.
    """
    values, margin = maps.float(), side // 2
    if pooling == "max":
        return F.max_pool2d(values, side, 1, margin)
    if pooling == "min":
        return -F.max_pool2d(-values, side, 1, margin)

    def mean_of(some: Tensor) -> Tensor:
        return F.avg_pool2d(some, side, 1, margin, count_include_pad=False)

    mean = mean_of(values)
    if pooling == "mean":
        return mean
    one = torch.ones_like(values[:1, :1])
    count = F.avg_pool2d(one, side, 1, margin, count_include_pad=True) * side**2
    # about the channel's own mean, so that the difference of two large squares does not eat the digits
    centre = values.mean((2, 3), keepdim=True)
    variance = (mean_of((values - centre).square()) - (mean - centre).square()).clamp_min(0)
    std = (variance * count / (count - 1).clamp_min(1) + _TINY).sqrt()
    return std if pooling == "std" else torch.cat([mean, std], 1)


class _Layer(nn.Sequential):
    """Linear, normalised over all but the channels, and cut at 0 unless it is a stage's last."""

    def __init__(self, inputs: int, outputs: int, cut: bool = True) -> None:
        super().__init__(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU() if cut else nn.Identity())

    def forward(self, values: Tensor) -> Tensor:
        """Return (..., outputs) from (..., inputs)."""
        linear, norm, cut = self
        found = linear(values)
        return cut(norm(found.flatten(0, -2)).view(found.shape))


def _layers(widths: Sequence[int], cut_last: bool = True) -> nn.Sequential:
    pairs = list(pairwise(widths))
    return nn.Sequential(*(_Layer(*pair, cut=cut_last or at < len(pairs)) for at, pair in enumerate(pairs, 1)))
