"""Stacked hourglass with two tasks: roads and their direction (Batra et al. 2019, CVPR; Newell et al. 2016, arXiv:1603.06937).

    network = HourglassMTL(bands=3, orientations=37)
    roads, orientations = network(images)       # four of each: stride 4 once a stack, stride 2, full size

An hourglass halves its maps three times and enlarges them again, adding what it saw on the way down. Both tasks share the way
down; each has its own way up. What a stack says of both tasks is fed into the next one.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.networks.linknet import DecoderBlock, FullSizeHead, RoadOutputs, initialise
from chipwright.networks.padding import pad_to_multiple

WIDTH, STEM_WIDTH, DEPTH = 128, 64, 3
MULTIPLE = 4 * 2**DEPTH
"""Image sides are widened to a multiple of this many pixels."""

TASKS = 2


class HourglassMTL(nn.Module):
    """The whole network: 29 002 012 parameters with 3 bands, 2 road classes, 37 orientations, 2 stacks and 3 blocks.

    Args:
        bands: of the images.
        orientations: number of orientation classes, background included.
        classes: number of road classes, background included.
        stacks: hourglasses one after the other.
        blocks: residual blocks at every station of an hourglass.

    Attributes:
        scales: strides of the outputs, in their order.
    """

    def __init__(self, bands: int, orientations: int, classes: int = 2, stacks: int = 2, blocks: int = 3) -> None:
        super().__init__()
        self.scales = (4,) * stacks + (2, 1)
        self.stem = nn.Sequential(
            nn.Conv2d(bands, STEM_WIDTH, kernel_size=7, stride=2, padding=3),
            nn.BatchNorm2d(STEM_WIDTH),
            nn.ReLU(inplace=True),
            _Residual(STEM_WIDTH, STEM_WIDTH),
            nn.MaxPool2d(2),
            _Residual(STEM_WIDTH, STEM_WIDTH),
            _Residual(STEM_WIDTH, WIDTH),
        )
        self.hourglasses = nn.ModuleList(_Hourglass(DEPTH, blocks) for _ in range(stacks))
        self.roads = _Heads(classes, stacks, blocks)
        self.orientations = _Heads(orientations, stacks, blocks)
        initialise(self.stem, 0)
        initialise(self.hourglasses, 0)
        for heads, background in ((self.roads, 0), (self.orientations, orientations - 1)):
            initialise(heads, background, [*heads.scores, heads.score_half])

    def forward(self, images: Tensor) -> RoadOutputs:
        """Return the logits of both tasks at every scale, for images of any size; a coarse map's sides are rounded up."""
        height, width = images.shape[-2:]
        maps = self.stem(pad_to_multiple(images, MULTIPLE))
        tasks = self.roads, self.orientations
        scores: tuple[list[Tensor], list[Tensor]] = [], []
        features = [maps, maps]
        for stack, hourglass in enumerate(self.hourglasses):
            features = [heads.features(stack, own) for heads, own in zip(tasks, hourglass(maps), strict=True)]
            found = [heads.scores[stack](own) for heads, own in zip(tasks, features, strict=True)]
            for of_task, score in zip(scores, found, strict=True):
                of_task.append(score)
            if stack + 1 < len(self.hourglasses):
                fed = [heads.fed_back(stack, *pair) for heads, *pair in zip(tasks, features, found, strict=True)]
                maps = maps + torch.stack(fed).sum(0)
        for of_task, heads, own in zip(scores, tasks, features, strict=True):
            of_task.extend(heads.fine(own))
        cut = [
            [
                score[..., : -(-height // stride), : -(-width // stride)]
                for score, stride in zip(of_task, self.scales, strict=True)
            ]
            for of_task in scores
        ]
        return RoadOutputs(*cut)


class _Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution1 = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)
        self.normalisation1 = nn.BatchNorm2d(outputs)
        self.convolution2 = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False)
        self.normalisation2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, kernel_size=1)

    def forward(self, maps: Tensor) -> Tensor:
        inner = F.relu(self.normalisation1(self.convolution1(maps)), inplace=True)
        return F.relu(self.normalisation2(self.convolution2(inner)) + self.shortcut(maps), inplace=True)


def _station(blocks: int) -> nn.Sequential:
    return nn.Sequential(*(_Residual(WIDTH, WIDTH) for _ in range(blocks)))


class _Hourglass(nn.Module):
    """Down `depth` times for both tasks together, up again for each; returns the maps of both, of the input's size."""

    def __init__(self, depth: int, blocks: int) -> None:
        super().__init__()
        self.aside = _station(blocks)
        self.down = _station(blocks)
        self.inner = _Hourglass(depth - 1, blocks) if depth > 1 else None
        self.bottom = nn.ModuleList(_station(blocks) for _ in range(TASKS if depth == 1 else 0))
        self.up = nn.ModuleList(_station(blocks) for _ in range(TASKS))

    def forward(self, maps: Tensor) -> list[Tensor]:
        aside, low = self.aside(maps), self.down(F.max_pool2d(maps, 2))
        lows = [bottom(low) for bottom in self.bottom] if self.inner is None else self.inner(low)
        return [aside + F.interpolate(up(own), scale_factor=2.0, mode="nearest") for up, own in zip(self.up, lows, strict=True)]


class _Heads(nn.Module):
    """What one task makes of every stack's maps."""

    def __init__(self, classes: int, stacks: int, blocks: int) -> None:
        super().__init__()
        self.stations = nn.ModuleList(
            nn.Sequential(
                _station(blocks), nn.Conv2d(WIDTH, WIDTH, kernel_size=1), nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True)
            )
            for _ in range(stacks)
        )
        self.scores = nn.ModuleList(nn.Conv2d(WIDTH, classes, kernel_size=1) for _ in range(stacks))
        gaps = list(pairwise(range(stacks)))
        self.features_back = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, kernel_size=1) for _ in gaps)
        self.scores_back = nn.ModuleList(nn.Conv2d(classes, WIDTH, kernel_size=1) for _ in gaps)
        self.decoder = DecoderBlock(WIDTH, WIDTH)
        self.score_half = nn.Conv2d(WIDTH, classes, kernel_size=1)
        self.score_full = FullSizeHead(WIDTH, classes)

    def features(self, stack: int, maps: Tensor) -> Tensor:
        return self.stations[stack](maps)

    def fed_back(self, stack: int, features: Tensor, score: Tensor) -> Tensor:
        """Return what the next stack is told."""
        return self.features_back[stack](features) + self.scores_back[stack](score)

    def fine(self, features: Tensor) -> list[Tensor]:
        """Return the logits at half and at full size."""
        maps = self.decoder(features)
        return [self.score_half(maps), self.score_full(maps)]
