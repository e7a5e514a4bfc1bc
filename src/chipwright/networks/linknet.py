"""LinkNet, alone and with a second decoder for the direction of roads.

    network = LinkNetMTL(create_backbone("RESNET34", bands=3), orientations=37)
    roads, orientations = network(images)       # [(batch, 2, height, width)], [(batch, 37, height, width)]

LinkNet (Chaurasia & Culurciello 2017, arXiv:1707.03718) adds an encoder's maps to those of its decoder, whose blocks squeeze
channels to a quarter, enlarge twofold and widen again. Batra et al. 2019 let two decoders share one encoder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.networks.padding import pad_to_multiple

_HEAD_CHANNELS = 32
_BACKGROUND_SHARE = 0.8
_LEAST_WIDTHS = {4: 64, 8: 128, 16: 256, 32: 512}
"""Channels by stride that the decoder is given at least: those of RESNET34."""


class RoadOutputs(NamedTuple):
    """What a road network says of a batch, one tensor a supervised scale, coarse to fine; the last ones are of full size.

    Attributes:
        roads: logits (batch, road classes, height, width).
        orientations: logits (batch, orientation classes, height, width).
    """

    roads: list[Tensor]
    orientations: list[Tensor]


class Encoder(Protocol):
    """What a decoder asks of a backbone: `chipwright.networks.backbones.Backbone` is one."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    __call__: Callable[..., Any]


class DecoderBlock(nn.Module):
    """Squeeze to a quarter of the channels, enlarge twofold, widen: (batch, inputs, h, w) to (batch, outputs, 2 h, 2 w)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        middle = max(inputs // 4, 1)
        self.squeeze = nn.Conv2d(inputs, middle, kernel_size=1)
        self.normalisation1 = nn.BatchNorm2d(middle)
        self.enlarge = nn.ConvTranspose2d(middle, middle, kernel_size=3, stride=2, padding=1, output_padding=1)
        self.normalisation2 = nn.BatchNorm2d(middle)
        self.widen = nn.Conv2d(middle, outputs, kernel_size=1)
        self.normalisation3 = nn.BatchNorm2d(outputs)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the enlarged maps."""
        maps = F.relu(self.normalisation1(self.squeeze(maps)), inplace=True)
        maps = F.relu(self.normalisation2(self.enlarge(maps)), inplace=True)
        return F.relu(self.normalisation3(self.widen(maps)), inplace=True)


class FullSizeHead(nn.Module):
    """Maps of half the image's size to logits of its full size: (batch, inputs, h, w) to (batch, classes, 2 h, 2 w)."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(inputs, _HEAD_CHANNELS, kernel_size=3, stride=2)
        self.convolution = nn.Conv2d(_HEAD_CHANNELS, _HEAD_CHANNELS, kernel_size=3)
        self.score = nn.Conv2d(_HEAD_CHANNELS, classes, kernel_size=2, padding=1)
        # a fine pixel gets 9/4 of the kernel's weights; PyTorch's own draw is a third of what a rectifier asks for
        nn.init.normal_(self.enlarge.weight, std=math.sqrt(2 / (inputs * 9 / 4)))

    def forward(self, maps: Tensor) -> Tensor:
        """Return the logits: 2 h + 1, then 2 h - 1, then 2 h rows."""
        return self.score(F.relu(self.convolution(F.relu(self.enlarge(maps), inplace=True)), inplace=True))


class LinkDecoder(nn.Module):
    """Encoder maps, finest first, to logits of the image's size.

    At strides 16, 8 and 4 the encoder's map of that stride is added; where it has none the decoder goes on alone. Finer maps
    than stride 4 are not used. Maps narrower than RESNET34's, for which the decoder was made, are widened to its channels
    first: a quarter of MOBILENET_V2's 24 would be 6.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], classes: int, background: int = 0) -> None:
        super().__init__()
        widths = [max(own, _LEAST_WIDTHS.get(stride, own)) for own, stride in zip(channels, strides, strict=True)]
        self.skips: list[int | None] = []
        blocks, width, stride = [], widths[-1], strides[-1]
        while stride > 2:
            stride //= 2
            place = max((at for at, its in enumerate(strides) if its == stride), default=None) if stride > 2 else None
            outputs = width if place is None else widths[place]
            blocks.append(DecoderBlock(width, outputs))
            self.skips.append(place)
            width = outputs
        self.blocks = nn.ModuleList(blocks)
        used = {len(channels) - 1, *(place for place in self.skips if place is not None)}
        self.widening = nn.ModuleDict(
            {str(at): _widening(channels[at], widths[at]) for at in sorted(used) if channels[at] < widths[at]}
        )
        self.head = FullSizeHead(width, classes)
        initialise(self, background)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the logits (batch, classes, height, width)."""
        result = self._wide(maps, len(maps) - 1)
        for block, place in zip(self.blocks, self.skips, strict=True):
            result = block(result) if place is None else block(result) + self._wide(maps, place)
        return self.head(result)

    def _wide(self, maps: Sequence[Tensor], place: int) -> Tensor:
        key = str(place)
        return self.widening[key](maps[place]) if key in self.widening else maps[place]


def _widening(inputs: int, outputs: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel_size=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class LinkNet(nn.Module):
    """LinkNet over any encoder: normalised images (batch, bands, height, width) of any size to logits of their size."""

    def __init__(self, encoder: Encoder, classes: int = 2) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = LinkDecoder(encoder.channels, encoder.strides, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (batch, classes, height, width)."""
        height, width = images.shape[-2:]
        maps = self.encoder(pad_to_multiple(images, max(self.encoder.strides)))
        return self.decoder(maps)[..., :height, :width]


class LinkNetMTL(nn.Module):
    """LinkNet with a decoder for roads and one for their direction (Batra et al. 2019). 22 004 903 parameters over RESNET34.

    Attributes:
        scales: strides of the outputs: full size alone.
    """

    scales = (1,)

    def __init__(self, encoder: Encoder, orientations: int, classes: int = 2) -> None:
        super().__init__()
        self.encoder = encoder
        self.roads = LinkDecoder(encoder.channels, encoder.strides, classes)
        self.orientations = LinkDecoder(encoder.channels, encoder.strides, orientations, background=orientations - 1)

    def forward(self, images: Tensor) -> RoadOutputs:
        """Return the logits of both tasks at the images' size, which may be any."""
        height, width = images.shape[-2:]
        maps = self.encoder(pad_to_multiple(images, max(self.encoder.strides)))
        roads, orientations = self.roads(maps), self.orientations(maps)
        return RoadOutputs([roads[..., :height, :width]], [orientations[..., :height, :width]])


def initialise(module: nn.Module, background: int, scores: Iterable[nn.Module] = ()) -> None:
    """Draw the convolutions as the paper's code does: normal with variance 2 / (kernel area x output channels).

    Those that give `scores`, and the last of every `FullSizeHead`, are drawn by their inputs instead, which gives logits of
    about 1: with two outputs the paper's rule gives 10, several times the loss of knowing nothing. They begin with the
    `background` (its class index) as likely as it mostly is (as Lin et al. 2017, arXiv:1708.02002): else, while the network
    learns how rare roads are, its features turn into evidence against them, and few for them are left.
    """
    last = {id(part) for part in scores}
    last |= {id(part.score) for part in module.modules() if isinstance(part, FullSizeHead)}
    for part in module.modules():
        if not isinstance(part, nn.Conv2d):
            continue
        if id(part) not in last:
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            continue
        nn.init.kaiming_normal_(part.weight, mode="fan_in", nonlinearity="linear")
        assert part.bias is not None
        with torch.no_grad():
            part.bias.zero_()
            others = max(part.out_channels - 1, 1)
            part.bias[background] = math.log(others * _BACKGROUND_SHARE / (1 - _BACKGROUND_SHARE))


def road_probability(logits: Tensor) -> Tensor:
    """Return the probability of road (batch, 1, height, width) from logits with the background first."""
    return torch.softmax(logits.float(), dim=1)[:, 1:2]
