"""pix2pixHD: images out of images or label maps, coarse to fine (Wang et al. 2018, arXiv:1711.11585).

- The global generator halves its input several times, works on the coarse map in residual blocks and enlarges it again
  (Johnson et al. 2016, arXiv:1603.08155).
- A local enhancer works at twice the resolution of the generator within it: to its own half-sized features it adds those that
  the inner generator ends with, and enlarges the sum.
- Several discriminators judge, each at half the resolution of the one before, and their features of made and true images are
  brought together.

In the paper's manner all borders are mirrored, results lie within -1..1, and normalisation has the image's own statistics, in
training and afterwards, unless it is over the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.networks.adversarial import Norm, PatchDiscriminator
from chipwright.networks.padding import pad_to_multiple

_FEATURE_SCALE = 4.0
"""What the original multiplies the mean over features by."""

_NORMS: dict[str, Callable[[int], nn.Module]] = {"instance": nn.InstanceNorm2d, "batch": nn.BatchNorm2d}


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut. Input and output: (batch, channels, height, width), sides of 2 or more."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.body = nn.Sequential(*_convolution(channels, channels, 3, norm), *_convolution(channels, channels, 3, norm)[:-1])

    def forward(self, features: Tensor) -> Tensor:
        """Return the features with what the convolutions add."""
        added: Tensor = self.body(features)
        return features + added


class GlobalTrunk(nn.Sequential):
    """The global generator but for its last convolution.

    Args:
        bands: of the input.
        width: channels at full resolution; they double with every halving.
        halvings: how often the input is halved.
        blocks: residual blocks on the coarsest map.
        norm: normalisation over each image, without learnt scales, or over the batch.

    Input: (batch, bands, height, width), sides multiples of 2 ** halvings and at least twice that.
    Output: (batch, width, height, width).
    """

    def __init__(self, bands: int, width: int = 64, halvings: int = 4, blocks: int = 9, norm: Norm = "instance") -> None:
        widths = [width * 2**level for level in range(halvings + 1)]
        layers = _convolution(bands, width, 7, norm)
        for inputs, outputs in pairwise(widths):
            layers += _halving(inputs, outputs, norm)
        layers += [ResidualBlock(widths[-1], norm) for _ in range(blocks)]
        for inputs, outputs in pairwise(reversed(widths)):
            layers += _doubling(inputs, outputs, norm)
        super().__init__(*layers)


class LocalEnhancer(nn.Module):
    """One enhancer, whose result has twice the resolution of what it refines.

    Args:
        bands: of the input.
        width: channels at full resolution.
        blocks: residual blocks at half of it.
        norm: as in `GlobalTrunk`.
    """

    def __init__(self, bands: int, width: int, blocks: int, norm: Norm) -> None:
        super().__init__()
        self.down = nn.Sequential(*_convolution(bands, width, 7, norm), *_halving(width, 2 * width, norm))
        self.up = nn.Sequential(*(ResidualBlock(2 * width, norm) for _ in range(blocks)), *_doubling(2 * width, width, norm))

    def forward(self, images: Tensor, coarse: Tensor) -> Tensor:
        """Return (batch, width, height, width) of images (batch, bands, height, width).

        `coarse` are the last features of the generator within: (batch, 2 * width, height / 2, width / 2).
        """
        refined: Tensor = self.up(self.down(images) + coarse)
        return refined


class Pix2PixHDGenerator(nn.Module):
    """The global generator, within as many local enhancers as are asked for.

    The trunk's tensors have the same names in all of them, so that one trained alone at half the resolution is what a network
    with enhancers can start from, as in the paper.

    Args:
        bands: of the input.
        made: bands of the result.
        width: channels at full resolution; those of the trunk are this times 2 ** enhancers.
        halvings, blocks: of the trunk (see `GlobalTrunk`).
        enhancers: local enhancers around it; 0 for the global generator alone.
        local_blocks: residual blocks of each enhancer.
        norm: "instance" or "batch".
        labels: class values, if maps of classes are given instead of images; `bands` is their number then.

    Input: (batch, bands, height, width) of any size, or (batch, 1, height, width) of class values.
    Output: (batch, made, height, width) within -1..1.
    """

    def __init__(
        self,
        bands: int,
        made: int,
        *,
        width: int = 64,
        halvings: int = 4,
        blocks: int = 9,
        enhancers: int = 0,
        local_blocks: int = 3,
        norm: Norm = "instance",
        labels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.encode = OneHot(labels) if labels is not None else nn.Identity()
        self.multiple = 2 ** (halvings + enhancers)
        self.trunk = GlobalTrunk(bands, width * 2**enhancers, halvings, blocks, norm)
        widths = [width * 2**level for level in reversed(range(enhancers))]
        self.enhancers = nn.ModuleList(LocalEnhancer(bands, own, local_blocks, norm) for own in widths)
        self.head = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, made, 7), nn.Tanh())

    def forward(self, images: Tensor) -> Tensor:
        """Return what is made of the images."""
        height, width = images.shape[-2:]
        pyramid = [pad_to_multiple(self.encode(images), self.multiple, least=2 * self.multiple)]
        for _ in self.enhancers:
            pyramid.append(_halved(pyramid[-1]))
        features = self.trunk(pyramid.pop())
        for enhancer in self.enhancers:
            features = enhancer(pyramid.pop(), features)
        with torch.autocast(features.device.type, enabled=False):  # eight bits of mantissa would show in the image
            made: Tensor = self.head(features.float())
        return made[..., :height, :width]


class MultiscaleDiscriminator(nn.Module):
    """Patch discriminators, each of which sees the image at half the resolution of the one before.

    Args:
        bands: of what is judged, those of both images of a pair.
        width, layers, norm: of each (see `PatchDiscriminator`).
        scales: how many there are.

    Input: (batch, bands, height, width). Output: for each discriminator, the finest first, what its layers make of the image,
    the scores last.
    """

    def __init__(self, bands: int, width: int = 64, layers: int = 3, scales: int = 2, norm: Norm = "instance") -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(bands, width, layers, norm, padding=2) for _ in range(scales))

    def forward(self, images: Tensor) -> list[list[Tensor]]:
        """Return the layers' features, discriminator by discriminator."""
        found = []
        for number, scale in enumerate(self.scales):
            images = _halved(images) if number else images
            found.append(scale(images))
        return found


class OneHot(nn.Module):
    """Label maps as one plane a class; values that are none of the classes have no plane and are 0 in all of them.

    Input: (batch, 1, height, width) of class values. Output: float32 (batch, len(values), height, width) of 0 and 1.
    """

    values: Tensor

    def __init__(self, values: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("values", torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)

    def forward(self, labels: Tensor) -> Tensor:
        """Return the planes."""
        return (labels == self.values).to(torch.float32)


def feature_matching(made: Sequence[Sequence[Tensor]], true: Sequence[Sequence[Tensor]]) -> Tensor:
    """Return how far apart discriminators' features of made and true images lie: four times the mean over their layers' L1.

    Args:
        made, true: as `MultiscaleDiscriminator` returns them; the scores do not count.
    """
    distances = [
        torch.stack([F.l1_loss(one.float(), other.float()) for one, other in zip(mine[:-1], theirs[:-1], strict=True)]).mean()
        for mine, theirs in zip(made, true, strict=True)
    ]
    return _FEATURE_SCALE * torch.stack(distances).mean()


def _halved(images: Tensor) -> Tensor:
    return F.avg_pool2d(images, 3, stride=2, padding=1, count_include_pad=False)


def _convolution(inputs: int, outputs: int, side: int, norm: Norm) -> list[nn.Module]:
    return [nn.ReflectionPad2d(side // 2), nn.Conv2d(inputs, outputs, side), _NORMS[norm](outputs), nn.ReLU()]


def _halving(inputs: int, outputs: int, norm: Norm) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), _NORMS[norm](outputs), nn.ReLU()]


def _doubling(inputs: int, outputs: int, norm: Norm) -> list[nn.Module]:
    enlarge = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
    return [enlarge, _NORMS[norm](outputs), nn.ReLU()]
