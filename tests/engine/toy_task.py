"""A task small enough to train in a blink: two kinds of noise images told apart by a tiny network with dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.chips.chipset import BandStatistics, Chip
from chipwright.chips.display import Panel
from chipwright.spec import ModelSpec, Normalization
from chipwright.tasks.base import Batch, Evaluation, Metrics, Networks, Phase, Reader, Sample, Task

SPEC = ModelSpec(
    model_type="TOY",
    bands=("Red",),
    dtype="uint8",
    chip_size=(8, 8),
    normalization=Normalization(mean=(127.0,), std=(60.0,)),
    statistics=BandStatistics(minimum=(0.0,), maximum=(255.0,), mean=(127.0,), std=(60.0,), source="computed"),
    metadata_format="Labeled_Tiles",
)


class ToyMetrics(Metrics):
    def __init__(self) -> None:
        self.right = self.seen = 0

    def update(self, predictions: Sequence[Any], batch: Batch) -> None:
        self.right += sum(int(p == t) for p, t in zip(predictions, batch["label"].tolist(), strict=True))
        self.seen += len(predictions)

    def merge(self, other: Metrics) -> None:
        assert isinstance(other, ToyMetrics)
        self.right, self.seen = self.right + other.right, self.seen + other.seen

    def compute(self) -> Evaluation:
        return Evaluation(scalars={"accuracy": self.right / self.seen})


class ToyTask(Task):
    higher_is_better = frozenset({"accuracy"})

    def chips_of(self, unit: Any) -> Sequence[Chip]:
        return ()

    def draw(self, unit: Any, reader: Reader, rng: np.random.Generator, augment: bool) -> Sample:
        fixed = np.random.default_rng(unit)
        image = fixed.integers(0, 128, (1, 8, 8)) + 100 * (unit % 2)
        if augment:
            image = image + rng.integers(0, 20, image.shape)
        return {"image": image.astype(np.uint8), "label": unit % 2}

    def collate(self, samples: Sequence[Sample]) -> Batch:
        batch = super().collate(samples)
        return batch | {"label": torch.tensor(batch["label"])}

    def losses(self, networks: Networks, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        return {"entropy": F.cross_entropy(networks["network"](batch["image"]), batch["label"])}

    def validate(self, network: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Sequence[Any]]:
        logits = network(batch["image"])
        return {"entropy": F.cross_entropy(logits, batch["label"])}, logits.argmax(1).tolist()

    def predict(self, network: nn.Module, batch: Batch) -> Sequence[Any]:
        return network(batch["image"]).argmax(1).tolist()

    def metrics(self) -> Metrics:
        return ToyMetrics()

    def panels(self, sample: Sample, prediction: Any) -> list[Panel]:
        return []


def network(seed: int = 0) -> nn.Module:
    """Return a tiny network with batch normalisation and dropout: state and randomness that a resume can lose."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(144, 2))
