"""Object detection: chips with boxes, networks of torchvision's contract (see `chipwright.networks.detection`).

Labels are 1, 2, ... for the model's classes in the order of their values; 0 is the background. Chips without a box are legal
everywhere: they teach what is no object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
from chipwright.tasks.detection_metrics import DetectionMetrics, box_overlaps, matches

Prediction = dict[str, Tensor]
"""`boxes` float32 (count, 4) as xmin, ymin, xmax, ymax in pixels of the sample, `labels` int64 (count,), `scores` (count,)."""


NMS_OVERLAP = 0.3
"""IoU above which what two windows of a map saw of a class is one object."""


class DetectionTask(Task):
    """Training and applying a detector. Samples hold `image`, `boxes` (count, 4) and `labels` (count,)."""

    augmentation = "boxes"

    target_keys: tuple[str, ...] = ("boxes", "labels")
    """Sample keys that the network's targets are made of."""

    listed_keys = frozenset({"boxes", "labels"})
    higher_is_better = frozenset({"average_precision", "ap75", "coco_ap", "average_recall", "precision", "recall", "f1"})
    score_threshold = 0.5
    weight_average = 0.98
    range_test = False  # a detector's loss falls at any rate while it learns the background (docs/decisions.md)

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
        scene = apply(self.scene(image, unit, reader), recipe, rng)
        instances = {} if scene.instances is None else {"instances": scene.instances}
        return {"image": scene.images[0], "boxes": scene.boxes, "labels": scene.box_labels, **instances}

    def scene(self, image: NDArray[Any], chip: Chip, reader: Reader) -> Scene:
        """Return a chip's image with its objects."""
        boxes, labels = self.truth(chip)
        return Scene([image], boxes=boxes, box_labels=labels)

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
        return networks["network"](list(batch["image"]), self.targets(batch))

    def targets(self, batch: Batch) -> list[dict[str, Tensor]]:
        """Return what the network is to learn from each image."""
        columns = [batch[key] for key in self.target_keys]
        return [dict(zip(self.target_keys, values, strict=True)) for values in zip(*columns, strict=True)]

    # -- measuring

    def validate(self, network: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Sequence[Prediction]]:
        """Return losses, with normalisation and dropout as in prediction, and detections."""
        losses, detections = losses_and_detections(network, list(batch["image"]), self.targets(batch))
        return losses, self.finished(detections, batch)

    def predict(self, network: nn.Module, batch: Batch) -> Sequence[Prediction]:
        """Return the detections of every image."""
        return self.finished(network(list(batch["image"])), batch)

    def finished(self, detections: Sequence[dict[str, Tensor]], batch: Batch) -> list[Prediction]:
        """Return a network's detections as predictions, on the CPU."""
        return [
            {key: (value.float() if value.is_floating_point() else value).to(torch.device("cpu")) for key, value in one.items()}
            for one in detections
        ]

    def host_facts(self) -> dict[str, Any]:
        """Return the least score, and from which overlap on two windows saw one object."""
        return {"function": "ChipwrightObjectDetector", "threshold": self.score_threshold, "nms_overlap": NMS_OVERLAP}

    def metrics(self) -> DetectionMetrics:
        """Return a fresh accumulator."""
        return DetectionMetrics(self.spec.classes, self.max_detections)

    # -- showing

    def panels(self, sample: Sample, prediction: Prediction) -> list[Panel]:
        """Return the image with its truth, and with what was found."""
        image = to_rgb(np.asarray(sample["image"]), self.spec.statistics, self.spec.bands)
        truth = self.shown_truth(sample)
        kept = prediction["scores"] >= self.score_threshold
        found = {key: value[kept].numpy() for key, value in prediction.items()}
        hits = int((matches(self.overlaps(found, truth), found["labels"], truth["labels"], found["scores"]) >= 0).sum())
        total, given = len(truth["labels"]), len(found["labels"])
        asked = f"score {self.score_threshold:.2g} or more"
        return [
            Panel("Truth", image, text=f"{total} object{'' if total == 1 else 's'}", **self.drawn(truth)),
            Panel(
                "Prediction",
                image,
                text=f"{hits} of {total} found, {given - hits} false ({asked})",
                good=hits == total == given,
                **self.drawn(found),
            ),
        ]

    def shown_truth(self, sample: Sample) -> dict[str, NDArray[Any]]:
        """Return a sample's objects as a prediction has them, as arrays and without scores."""
        return {"boxes": np.asarray(sample["boxes"], np.float32), "labels": np.asarray(sample["labels"], np.int64)}

    def overlaps(self, found: dict[str, NDArray[Any]], truth: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Return the IoU of everything found with everything true, (found, true)."""
        return box_overlaps(found["boxes"], truth["boxes"])

    def drawn(self, objects: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """Return what a `Panel` shows of objects: boxes with their class and, of predictions, their score."""
        names = [self.spec.classes[label - 1].name for label in objects["labels"]]
        scores = objects.get("scores")
        texts = names if scores is None else [f"{name} {score:.0%}" for name, score in zip(names, scores, strict=True)]
        return {"boxes": objects["boxes"], "box_texts": texts, "box_colors": self.colors(objects["labels"])}

    def colors(self, labels: NDArray[np.int64]) -> list[tuple[int, int, int]]:
        """Return the colours of labelled objects."""
        return [self.spec.classes[label - 1].color for label in labels]
