"""Edge detectors: HED (Xie & Tu 2015, 1504.06375) and BDCN (He et al. 2019, 1902.10903).

Both read every stage of a backbone and answer at each of them, at the size of the image; a last layer weighs the answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.networks.padding import pad_to_multiple

if TYPE_CHECKING:
    from chipwright.networks.backbones import Backbone

CASCADE_STRIDE = 8
"""Coarsest stride of BDCN's trunk where the backbone can be dilated: the paper's."""

_NARROW = 21
"""Channels that every layer is brought to before those of a stage are added up."""

_DILATION = 4
"""Of the first enhanced scale; the others' are two and three times of it."""


class EdgeNetwork(nn.Module):
    """What both have in common.

    Input: normalised images (batch, bands, height, width) of any size. Output: logits of the fused map (batch, 1, height,
    width); in training a list of the sides' logits and, last, the fused map's.
    """

    fuse: nn.Conv2d

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.multiple = max(backbone.strides)
        self.stages = _stages(backbone)

    def sides(self, images: Tensor) -> list[Tensor]:
        """Return the logits of every side at its own size."""
        raise NotImplementedError

    def answers(self, sides: list[Tensor]) -> list[Tensor]:
        """Return what is learnt from and fused, from the sides at the size of the images."""
        return sides

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        """Return fused logits, and in training those of the sides before them."""
        height, width = images.shape[-2:]
        padded = pad_to_multiple(images, self.multiple)
        size = padded.shape[-2:]
        sides = [F.interpolate(side, size=size, mode="bilinear", align_corners=False) for side in self.sides(padded)]
        answers = self.answers([side[..., :height, :width] for side in sides])
        fused = self.fuse(torch.cat(answers, 1))
        return [*answers, fused] if self.training else fused

    def _maps(self, images: Tensor) -> list[Tensor]:
        maps = self.backbone(images)
        return [maps[at] for at in self.stages]


class Hed(EdgeNetwork):
    """Holistically-nested edge detection: one answer a stage, and one of all."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.scores = nn.ModuleList(_started(nn.Conv2d(backbone.channels[at], 1, 1)) for at in self.stages)
        self.fuse = _fuse(len(self.stages), 1 / len(self.stages))

    def sides(self, images: Tensor) -> list[Tensor]:
        """Return the logits of every stage."""
        return [score(one) for score, one in zip(self.scores, self._maps(images), strict=True)]


class Bdcn(EdgeNetwork):
    """Bi-directional cascade network: each stage learns the edges of its own scale.

    Every layer of a stage is looked at through filters of several spreads (scale enhancement). Each stage answers twice: added
    to what the finer stages found, and to what the coarser ones found. What the others found carries no gradient, so a stage is
    left with the edges that they do not see: the paper's layer-specific supervision.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.layered = _is_vgg(backbone)
        widths = _layer_widths(backbone) if self.layered else [[backbone.channels[at]] for at in self.stages]
        self.looks = nn.ModuleList(nn.ModuleList(_look(width) for width in stage) for stage in widths)
        self.finer = nn.ModuleList(_started(nn.Conv2d(_NARROW, 1, 1)) for _ in widths)
        self.coarser = nn.ModuleList(_started(nn.Conv2d(_NARROW, 1, 1)) for _ in widths)
        self.fuse = _fuse(2 * len(widths), 0.8 / (2 * len(widths)))

    def sides(self, images: Tensor) -> list[Tensor]:
        """Return each stage's own logits: those that go with the finer stages', then those that go with the coarser ones'."""
        layers = self._layers(images) if self.layered else [[one] for one in self._maps(images)]
        summed = []
        for stage, looks in zip(layers, self.looks, strict=True):
            assert isinstance(looks, nn.ModuleList)
            summed.append(torch.stack([look(layer) for layer, look in zip(stage, looks, strict=True)]).sum(0))
        return [
            *(score(stage) for score, stage in zip(self.finer, summed, strict=True)),
            *(score(stage) for score, stage in zip(self.coarser, summed, strict=True)),
        ]

    def answers(self, sides: list[Tensor]) -> list[Tensor]:
        """Return both cascades, each in the order of the stages."""
        half = len(sides) // 2
        return [*cascade(sides[:half]), *cascade(sides[half:][::-1])[::-1]]

    def _layers(self, images: Tensor) -> list[list[Tensor]]:
        """Return what every convolution of VGG gives, stage by stage."""
        stages: list[list[Tensor]] = [[]]
        values = images
        for layer, ends in _vgg_layers(self.backbone):
            values = layer(values)
            if ends:
                stages.append([])
            elif isinstance(layer, nn.ReLU):
                stages[-1].append(values)
        return stages[: len(self.stages)]


class ScaleEnhancement(nn.Module):
    """A map through filters of three spreads, added up."""

    WIDTH = 32

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = _started(nn.Conv2d(channels, self.WIDTH, 3, padding=1))
        spreads = (_DILATION, 2 * _DILATION, 3 * _DILATION)
        self.spread = nn.ModuleList(
            _started(nn.Conv2d(self.WIDTH, self.WIDTH, 3, padding=spread, dilation=spread)) for spread in spreads
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return (batch, WIDTH, rows, columns)."""
        reduced = F.relu(self.reduce(features))
        return reduced + sum(F.relu(layer(reduced)) for layer in self.spread)


def cascade(own: Sequence[Tensor]) -> list[Tensor]:
    """Return each map added to all before it; what was before carries no gradient."""
    found: list[Tensor] = []
    before = torch.zeros_like(own[0])
    for one in own:
        found.append(one + before)
        before = before + one.detach()
    return found


def balanced_cross_entropy(logits: Tensor, target: Tensor, negative: float = 1.0) -> Tensor:
    """Return the class-balanced cross-entropy of every image, summed over its pixels: (batch,).

    Edges weigh as the share of the others among the labelled pixels, the others as `negative` times the share of the edges.

    Args:
        logits: (batch, 1, height, width).
        target: (batch, height, width): 1 for edges, 0 for others, anything else where nothing is known.
        negative: 1.1 in BDCN.
    """
    edges, others = target == 1, target == 0
    counts = [kind.sum((1, 2)).float() for kind in (edges, others)]
    valid = (counts[0] + counts[1]).clamp_min(1)
    positive_weight, negative_weight = counts[1] / valid, negative * counts[0] / valid
    entropy = F.binary_cross_entropy_with_logits(logits[:, 0].float(), edges.float(), reduction="none")
    sums = [(entropy * kind).sum((1, 2)) for kind in (edges, others)]
    return positive_weight * sums[0] + negative_weight * sums[1]


def _stages(backbone: Backbone) -> list[int]:
    """Return the maps that are looked at: all, but for VGG's last pool, behind which no layer comes."""
    return list(range(len(backbone.strides) - (1 if _is_vgg(backbone) else 0)))


def _is_vgg(backbone: Backbone) -> bool:
    return backbone.name.lower().removeprefix("timm:").startswith("vgg")


def _vgg_layers(backbone: Backbone) -> list[tuple[nn.Module, bool]]:
    """Return VGG's layers in order, and whether each ends a stage: pools, or what stands for them in a dilated network."""
    return [(layer, isinstance(layer, nn.MaxPool2d | nn.Identity)) for layer in backbone.body.children()]


def _layer_widths(backbone: Backbone) -> list[list[int]]:
    """Return the channels of every convolution of VGG, stage by stage."""
    widths: list[list[int]] = [[]]
    for layer, ends in _vgg_layers(backbone):
        if ends:
            widths.append([])
        elif isinstance(layer, nn.Conv2d):
            widths[-1].append(layer.out_channels)
    return [stage for stage in widths if stage]


def _look(channels: int) -> nn.Sequential:
    return nn.Sequential(ScaleEnhancement(channels), _started(nn.Conv2d(ScaleEnhancement.WIDTH, _NARROW, 1)))


def _fuse(sides: int, weight: float) -> nn.Conv2d:
    """Return the layer that weighs the answers, all alike at first."""
    layer = _started(nn.Conv2d(sides, 1, 1))
    nn.init.constant_(layer.weight, weight)
    return layer


def _started(layer: nn.Conv2d) -> nn.Conv2d:
    """Return the layer with small random weights, as both papers start what is new."""
    nn.init.normal_(layer.weight, std=0.01)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
