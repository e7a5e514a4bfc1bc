"""A small model, as data and as tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chipwright.chips.chipset import BandStatistics, ClassInfo
from chipwright.spec import ModelSpec, Normalization

Saver = Callable[..., Path]
"""Type of the fixture `saved`."""

KEYS = {
    "ModelConfiguration": "_unet",
    "ModelType": "ImageClassification",
    "ModelName": "UnetClassifier",
    "SupportsVariableTileSize": True,
}


def make_spec(**changes: Any) -> ModelSpec:
    """Return a U-Net's spec for 8-bit RGB chips of two classes, with `changes`."""
    bands = changes.get("bands", ("Red", "Green", "Blue"))
    usual: dict[str, Any] = {
        "model_type": "UNET",
        "arguments": {"chip_size": None, "monitor": "valid_loss", "class_balancing": True},
        "backbone": "RESNET34",
        "classes": (
            ClassInfo(value=0, name="Background", color=(0, 0, 0)),
            ClassInfo(value=2, name="Wald", color=(56, 168, 0)),
            ClassInfo(value=7, name="Straße", color=(130, 130, 130)),
        ),
        "bands": bands,
        "dtype": "uint8",
        "chip_size": (320, 256),
        "normalization": Normalization(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), source="imagenet"),
        "statistics": BandStatistics(
            minimum=(0.0,) * len(bands),
            maximum=(255.0,) * len(bands),
            mean=(100.0,) * len(bands),
            std=(50.0,) * len(bands),
            source="export",
        ),
        "metadata_format": "Classified_Tiles",
        "metadata": {"MinCellSize": {"x": 0.5, "y": 0.5}},
        "fitted": {"class_weights": [1.0, 2.5, 0.5]},
    }
    return ModelSpec(**(usual | changes))


def make_state(seed: int = 0) -> dict[str, Tensor]:
    """Return tensors of several types and shapes, none of them contiguous by chance."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "head.weight": torch.rand(3, 8, 3, 3, generator=generator).to(memory_format=torch.channels_last),
        "head.bias": torch.rand(3, generator=generator),
        "half": torch.rand(5, 4, generator=generator).to(torch.bfloat16),
        "steps": torch.tensor(17),
        "empty": torch.zeros(0, 4),
    }
