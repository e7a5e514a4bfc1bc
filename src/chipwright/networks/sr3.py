"""SR3: super-resolution by iterative refinement (Saharia et al. 2021, arXiv:2104.07636).

    network = Sr3Unet(bands=3, chip_size=128)
    estimated = network(torch.cat([condition, noisy], 1), level)    # the noise in `noisy`

The layout is that of the permissively licensed Janspiry implementation, whose parameter counts it equals: two group-normalised
convolutions a residual block, the noise level added between them, attention with one head at the resolutions asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.networks.padding import pad_to_multiple

SCHEDULES = ("linear", "warmup10", "warmup50", "const", "jsd", "cosine")

_COSINE_OFFSET = 8e-3
_MOST_BETA = 0.999
"""Of schedules that would end in noise alone, from which no image could be told."""


def betas(schedule: str, steps: int, start: float, end: float) -> Tensor:
    """Return the share of noise that each of `steps` adds, float64, from `start` to `end`.

    Args:
        schedule: "linear"; "warmup10" and "warmup50", linear over the first tenth or half and `end` from there; "const",
            `end` throughout; "jsd", 1 / steps left; "cosine" (Nichol & Dhariwal 2021, arXiv:2102.09672). The last two take
            neither start nor end.
    """
    if schedule == "linear":
        return torch.linspace(start, end, steps, dtype=torch.float64)
    if schedule in ("warmup10", "warmup50"):
        found = torch.full((steps,), end, dtype=torch.float64)
        rising = max(1, int(steps * int(schedule[-2:]) / 100))
        found[:rising] = torch.linspace(start, end, rising, dtype=torch.float64)
        return found
    if schedule == "const":
        return torch.full((steps,), end, dtype=torch.float64)
    if schedule == "jsd":
        return (1 / torch.arange(steps, 0, -1, dtype=torch.float64)).clamp(max=_MOST_BETA)
    if schedule == "cosine":
        times = torch.arange(steps + 1, dtype=torch.float64) / steps + _COSINE_OFFSET
        kept = torch.cos(times / (1 + _COSINE_OFFSET) * math.pi / 2) ** 2
        return (1 - kept[1:] / kept[:-1]).clamp(max=_MOST_BETA)
    raise ValueError(f"no schedule {schedule!r}; there are {', '.join(SCHEDULES)}")


class Diffusion:
    """How an image drowns in noise, and comes out of it again.

    Attributes:
        levels: square root of the share of the image that is left after 0, 1, ... steps, float64 (steps + 1,); begins at 1.
    """

    def __init__(self, schedule: str, steps: int, start: float, end: float) -> None:
        kept = torch.cumprod(1 - betas(schedule, steps, start, end), 0)
        self.levels = torch.cat([torch.ones(1, dtype=torch.float64), kept]).sqrt()

    def drawn_levels(self, count: int, device: torch.device) -> Tensor:
        """Return random noise levels (count,), uniform between those of two neighbouring steps drawn at random."""
        step = torch.randint(1, len(self.levels), (count,))
        low, high = self.levels[step], self.levels[step - 1]
        return (low + (high - low) * torch.rand(count, dtype=torch.float64)).float().to(device)

    def sample(self, network: nn.Module, condition: Tensor, steps: int, seed: int) -> Tensor:
        """Return an image (batch, bands, height, width) in -1..1 drawn for each of `condition`, which has that shape and range.

        By ancestral sampling along `steps` of the schedule's steps, evenly spaced; all of them give the paper's way. The
        noise depends on the seed and the size alone, not on the batch: each image is drawn as if it were alone.
        """
        generator = torch.Generator().manual_seed(seed)

        def noise() -> Tensor:
            return torch.randn(condition.shape[1:], generator=generator).to(condition.device)[None]

        places = torch.linspace(0, len(self.levels) - 1, min(steps, len(self.levels) - 1) + 1).round().long()
        kept = (self.levels[places] ** 2).tolist()
        image = noise().expand_as(condition)
        for now, before in zip(reversed(kept[1:]), reversed(kept[:-1]), strict=True):
            level = torch.full((len(condition),), math.sqrt(now), device=condition.device)
            estimated = network(torch.cat([condition, image], 1), level).float()
            clean = ((image - math.sqrt(1 - now) * estimated) / math.sqrt(now)).clamp(-1, 1)
            share = now / before
            image = (math.sqrt(before) * (1 - share) * clean + math.sqrt(share) * (1 - before) * image) / (1 - now)
            if before < 1:
                image = image + math.sqrt((1 - before) / (1 - now) * (1 - share)) * noise()
        return image


class Sr3Unet(nn.Module):
    """The network that estimates noise.

    Args:
        bands: of the images.
        chip_size: side in pixels that `attention_at` is measured against.
        width: channels at the finest resolution.
        groups: of the normalisations.
        multipliers: of the width, one a resolution, each half of the one before.
        attention_at: resolutions, in pixels of a chip, that get attention.
        blocks: residual blocks a resolution.
        dropout: share of activations dropped in each.

    Input: the condition with the noisy image behind it (batch, 2 * bands, height, width) of any size, and the noise level
    (batch,). Output: (batch, bands, height, width).
    """

    def __init__(
        self,
        bands: int,
        chip_size: int,
        width: int = 64,
        groups: int = 32,
        multipliers: Sequence[int] = (1, 2, 4, 4, 8, 8),
        attention_at: Sequence[int] = (16,),
        blocks: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.multiple = 2 ** (len(multipliers) - 1)
        self.embedding = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))
        self.width = width

        def block(inputs: int, outputs: int, attention: bool) -> _Block:
            return _Block(inputs, outputs, width, groups, dropout, attention)

        self.down = nn.ModuleList([nn.Conv2d(2 * bands, width, 3, padding=1)])
        skips, channels, resolution = [width], width, chip_size
        for place, multiplier in enumerate(multipliers):
            for _ in range(blocks):
                self.down.append(block(channels, multiplier * width, resolution in attention_at))
                channels = multiplier * width
                skips.append(channels)
            if place < len(multipliers) - 1:
                self.down.append(nn.Conv2d(channels, channels, 3, stride=2, padding=1))
                skips.append(channels)
                resolution //= 2
        self.middle = nn.ModuleList([block(channels, channels, True), block(channels, channels, False)])
        self.up = nn.ModuleList()
        for place, multiplier in reversed(list(enumerate(multipliers))):
            for _ in range(blocks + 1):
                self.up.append(block(channels + skips.pop(), multiplier * width, resolution in attention_at))
                channels = multiplier * width
            if place > 0:
                self.up.append(_Enlarge(channels))
                resolution *= 2
        self.head = _convolution(channels, bands, groups)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.orthogonal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor, level: Tensor) -> Tensor:
        """Return the estimated noise."""
        height, width = images.shape[-2:]
        noise = self.embedding(level_embedding(level, self.width))
        result, skips = pad_to_multiple(images, self.multiple), []
        for part in self.down:
            result = part(result, noise) if isinstance(part, _Block) else part(result)
            skips.append(result)
        for part in self.middle:
            result = part(result, noise)
        for part in self.up:
            result = part(torch.cat([result, skips.pop()], 1), noise) if isinstance(part, _Block) else part(result)
        estimated: Tensor = self.head(result)
        return estimated[..., :height, :width]


def level_embedding(level: Tensor, width: int) -> Tensor:
    """Return sines and cosines (batch, width) of noise levels (batch,), as WaveGrad's (Chen et al. 2020, arXiv:2009.00713)."""
    half = width // 2
    frequencies = torch.exp(-math.log(1e4) * torch.arange(half, device=level.device) / half)
    angles = level[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1)


def _convolution(inputs: int, outputs: int, groups: int, dropout: float = 0.0) -> nn.Sequential:
    return nn.Sequential(nn.GroupNorm(groups, inputs), nn.SiLU(), nn.Dropout(dropout), nn.Conv2d(inputs, outputs, 3, padding=1))


class _Block(nn.Module):
    """Two convolutions with the noise level between them, beside a shortcut; attention behind, if asked for."""

    def __init__(self, inputs: int, outputs: int, width: int, groups: int, dropout: float, attention: bool) -> None:
        super().__init__()
        self.noise = nn.Linear(width, outputs)
        self.first = _convolution(inputs, outputs, groups)
        self.second = _convolution(outputs, outputs, groups, dropout)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.attention = _Attention(outputs, groups) if attention else nn.Identity()

    def forward(self, features: Tensor, noise: Tensor) -> Tensor:
        inner = self.first(features) + self.noise(noise)[..., None, None]
        result: Tensor = self.attention(self.second(inner) + self.shortcut(features))
        return result


class _Attention(nn.Module):
    """Every place sees every other, with one head."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        query, key, value = self.qkv(self.norm(features)).flatten(2).transpose(1, 2)[:, None].chunk(3, -1)
        seen = F.scaled_dot_product_attention(query, key, value)[:, 0]
        result: Tensor = self.out(seen.transpose(1, 2).reshape(features.shape)) + features
        return result


class _Enlarge(nn.Module):
    """Twice the size by nearest neighbours, and a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.convolution(F.interpolate(features, scale_factor=2.0, mode="nearest"))
        return result
