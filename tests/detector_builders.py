"""What tests of detectors share: small backbones, targets, and chip sets with boxes of given sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.models._utils import IntermediateLayerGetter

from chipwright.chips.chipset import BandStatistics, Chip, ChipSet, ClassInfo
from chipwright.models.base import Arguments
from chipwright.spec import ModelSpec, Normalization

STATISTICS = BandStatistics(minimum=(0.0,) * 4, maximum=(255.0,) * 4, mean=(90.0,) * 4, std=(40.0,) * 4, source="export")


class Convolutions(nn.Module):
    """The smallest backbone: one strided convolution and normalisation a map, strides 2 to 32."""

    def __init__(self, bands: int = 3, width: int = 8) -> None:
        super().__init__()
        self.channels = (width,) * 5
        self.strides = (2, 4, 8, 16, 32)
        sides = zip((bands, *self.channels), self.channels, strict=False)
        self.steps = nn.ModuleList(
            nn.Sequential(nn.Conv2d(have, make, 3, 2, 1), nn.BatchNorm2d(make), nn.ReLU()) for have, make in sides
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = []
        for step in self.steps:
            images = step(images)
            maps.append(images)
        return maps


class TorchvisionBody(nn.Module):
    """torchvision's ResNet-18 as a backbone of ours."""

    channels, strides = (64, 128, 256, 512), (4, 8, 16, 32)

    def __init__(self) -> None:
        super().__init__()
        layers = {f"layer{number}": str(number - 1) for number in range(1, 5)}
        self.body = IntermediateLayerGetter(resnet18(weights=None), layers)

    def forward(self, images: Tensor) -> list[Tensor]:
        return list(self.body(images).values())


def target(*boxes: tuple[float, float, float, float]) -> dict[str, Tensor]:
    return {"boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), "labels": torch.arange(len(boxes)) % 2 + 1}


def chips_of(*sides: float | tuple[float, float], boxes: int = 5) -> ChipSet:
    """Return a set with a chip of 256 x 256 a side, holding boxes of that side, or (width, height); 0 makes a chip without."""
    rng = np.random.default_rng(0)
    made = []
    for index, side in enumerate(sides):
        corner = rng.uniform(0, 100, (boxes if side else 0, 2))
        made.append(
            Chip(
                name=str(index),
                folder=0,
                images=(Path(f"{index}.tif"),),
                width=256,
                height=256,
                boxes=np.concatenate([corner, corner + np.asarray(side)], 1).astype(np.float32),
                box_values=np.ones(len(corner), np.int64),
            )
        )
    return ChipSet(
        folders=(Path("chips"),),
        format="PASCAL_VOC_rectangles",
        chips=tuple(made),
        classes=(ClassInfo(value=1, name="Palm", color=(0, 255, 0)),),
        bands=("Red", "Green", "Blue", "NearInfrared"),
        dtype="uint8",
        tile_size=(256, 256),
        statistics=STATISTICS,
    )


def spec_of(keyword: str, arguments: Arguments, **changes: object) -> ModelSpec:
    """Return a model of two classes and four bands for chips of 64 x 64, on the smallest backbone there is."""
    settings = {
        "model_type": keyword,
        "arguments": arguments.model_dump(),
        "backbone": "timm:test_resnet",
        "classes": (ClassInfo(value=1, name="Palm", color=(0, 255, 0)), ClassInfo(value=4, name="Roof", color=(9, 9, 9))),
        "bands": ("Red", "Green", "Blue", "NearInfrared"),
        "dtype": "uint8",
        "chip_size": (64, 64),
        "normalization": Normalization(mean=STATISTICS.mean, std=STATISTICS.std),
        "statistics": STATISTICS,
        "metadata_format": "PASCAL_VOC_rectangles",
    }
    return ModelSpec.model_validate(settings | changes)
