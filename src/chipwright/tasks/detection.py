"""Object detection: chips with boxes, networks of torchvision's contract (see `chipwright.networks.detection`).

Labels are 1, 2, ... for the model's classes in the order of their values; 0 is the background. Chips without a box are legal
everywhere: they teach what is no object.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chipwright.chips.augmentation.pixels import fill_invalid
from chipwright.chips.augmentation.scene import Scene, apply
from chipwright.chips.chipset import Chip
from chipwright.chips.display import Panel, to_rgb
from chipwright.networks.detection import losses_and_detections
from chipwright.spec import ModelSpec
from chipwright.tasks.base import Batch, Networks, Phase, Reader, Sample, Task
from chipwright.tasks.detection_metrics import DetectionMetrics, matches

Prediction = dict[str, Tensor]
"""`boxes` float32 (count, 4) as xmin, ymin, xmax, ymax in pixels of the sample, `labels` int64 (count,), `scores` (count,)."""

SHOWN_SCORE = 0.5
"""Least score of the boxes drawn on sample results."""


class DetectionTask(Task):
    """Training and applying a detector. Samples hold `image`, `boxes` (count, 4) and `labels` (count,)."""

    augmentation = "boxes"

    target_keys: tuple[str, ...] = ("boxes", "labels")
    """Sample keys that the network's targets are made of."""

    listed_keys = frozenset({"boxes", "labels"})
    higher_is_better = frozenset({"average_precision", "ap75", "coco_ap", "average_recall", "precision", "recall", "f1"})
    default_learning_rate = 3e-4

    def __init__(self, spec: ModelSpec, max_detections: int = 100) -> None:
        """Make the task; the `max_detections` best detections of an image count."""
        super().__init__(spec)
        self.max_detections = max_detections
        self._values = np.array([info.value for info in spec.classes], np.int64)

    # -- samples

    def draw(self, unit: Chip, reader: Reader, rng: np.random.Generator, augment: bool) -> Sample:
        """Return image, boxes and labels of a chip, cropped to the chip size."""
        recipe = self.recipes[augment]
        image = fill_invalid(reader.image(unit), reader.valid(unit), recipe.tones[0].fill)
        boxes, labels = self.truth(unit)
        scene = apply(Scene([image], boxes=boxes, box_labels=labels), recipe, rng)
        return {"image": scene.images[0], "boxes": scene.boxes, "labels": scene.box_labels}

    def truth(self, chip: Chip) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return a chip's boxes (count, 4) and labels from 1. Boxes of values that are no class of the model are left out."""
        if chip.boxes is None or chip.box_values is None or not len(chip.boxes):
            return np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
        places = np.searchsorted(self._values, chip.box_values)
        known = self._values[np.minimum(places, len(self._values) - 1)] == chip.box_values
        return chip.boxes[known].astype(np.float32), (places[known] + 1).astype(np.int64)

    # -- learning

    def losses(self, networks: Networks, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        """Return the network's own losses."""
        return networks["network"](list(batch["image"]), self._targets(batch))

    def _targets(self, batch: Batch) -> list[dict[str, Tensor]]:
        columns = [batch[key] for key in self.target_keys]
        return [dict(zip(self.target_keys, values, strict=True)) for values in zip(*columns, strict=True)]

    # -- measuring

    def validate(self, network: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Sequence[Prediction]]:
        """Return losses, with normalisation and dropout as in prediction, and detections."""
        losses, detections = losses_and_detections(network, list(batch["image"]), self._targets(batch))
        return losses, _on_cpu(detections)

    def predict(self, network: nn.Module, batch: Batch) -> Sequence[Prediction]:
        """Return the detections of every image."""
        return _on_cpu(network(list(batch["image"])))

    def metrics(self) -> DetectionMetrics:
        """Return a fresh accumulator."""
        return DetectionMetrics(self.spec.classes, self.max_detections)

    # -- showing

    def panels(self, sample: Sample, prediction: Prediction) -> list[Panel]:
        """Return the image with its truth, and with what was found."""
        image = to_rgb(np.asarray(sample["image"]), self.spec.statistics, self.spec.bands)
        boxes, labels = np.asarray(sample["boxes"], np.float32), np.asarray(sample["labels"], np.int64)
        shown = prediction["scores"] >= SHOWN_SCORE
        found, scores = prediction["boxes"][shown].float().numpy(), prediction["scores"][shown].float().numpy()
        found_labels = prediction["labels"][shown].numpy()
        hits = int((matches(boxes, labels, found, found_labels, scores) >= 0).sum())
        names = [info.name for info in self.spec.classes]
        return [
            Panel(
                "Truth",
                image,
                boxes=boxes,
                box_texts=[names[label - 1] for label in labels],
                box_colors=self._colors(labels),
                text=f"{len(boxes)} object{'' if len(boxes) == 1 else 's'}",
            ),
            Panel(
                "Prediction",
                image,
                boxes=found,
                box_texts=[f"{names[label - 1]} {score:.0%}" for label, score in zip(found_labels, scores, strict=True)],
                box_colors=self._colors(found_labels),
                text=f"{hits} of {len(boxes)} found, {len(found) - hits} false (score {SHOWN_SCORE:g} or more)",
                good=hits == len(boxes) == len(found),
            ),
        ]

    def _colors(self, labels: NDArray[np.int64]) -> list[tuple[int, int, int]]:
        return [self.spec.classes[label - 1].color for label in labels]


def _on_cpu(detections: Sequence[dict[str, Tensor]]) -> list[Prediction]:
    return [
        {key: (value.float() if value.is_floating_point() else value).to(torch.device("cpu")) for key, value in one.items()}
        for one in detections
    ]
