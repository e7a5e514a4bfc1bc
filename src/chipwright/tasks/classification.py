"""Classification of whole chips: one class each, or several.

Shared by every network that gives logits (batch, classes), the classes in the order of `ModelSpec.classes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.chips.augmentation.pixels import fill_invalid, squish
from chipwright.chips.augmentation.scene import Scene, apply
from chipwright.chips.chipset import Chip
from chipwright.chips.display import Panel, to_rgb
from chipwright.spec import ModelSpec
from chipwright.tasks.base import Batch, Networks, Phase, Reader, Sample, Task
from chipwright.tasks.classification_metrics import THRESHOLD, ChipClasses, ClassificationMetrics

MIXUP_ALPHA = 0.4

SEVERAL_CLASSES = frozenset({"MultiLabeled_Tiles"})
"""Formats whose chips may have several classes."""

_SQUISHED_FORMATS = frozenset({"Imagenet"})
"""Formats of pictures of any size, which are squeezed to the chip size rather than cropped."""


class ClassificationTask(Task):
    """Draws chips with their classes, and trains, applies and measures their probabilities.

    Chips of differing sizes (`CropTileMode` Variable_Size) are squeezed to the chip size, as the reference does; all others
    are cropped or padded to it.

    Reads from `ModelSpec.arguments`: mixup, oversample; and from `ModelSpec.fitted`: class_weights, by class.

    A sample holds "image" (bands, height, width) in the file's dtype and "target", float32 (classes,) of zeros and ones; all
    zeros where the chip has none of the classes. A prediction is a `ChipClasses`.

    Attributes:
        several: whether a chip may have several classes.
    """

    augmentation = "tiles"
    default_learning_rate = 3e-3
    higher_is_better = frozenset({"accuracy", "f1", "multi_label_fbeta", "multi_label_average_precision"})

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.several = spec.metadata_format in SEVERAL_CLASSES
        self.squished = has_variable_size(spec)
        self.mixup = bool(spec.arguments.get("mixup", False))
        self.oversample = bool(spec.arguments.get("oversample", False))
        self.class_weights: list[float] | None = spec.fitted.get("class_weights")
        self._positions = {info.value: position for position, info in enumerate(spec.classes)}

    # -- samples

    def training_units(self, chips: Sequence[Chip]) -> Sequence[Chip]:
        """Return the chips; with `oversample` those of rarer classes repeated until every class is as frequent."""
        return balanced(chips) if self.oversample else chips

    def draw(self, unit: Chip, reader: Reader, rng: np.random.Generator, augment: bool) -> Sample:
        """Return the chip's image, changed at random if `augment`, and its classes. Pixels without data get the mean."""
        recipe = self.recipes[augment]
        image = fill_invalid(reader.image(unit), reader.valid(unit), recipe.tones[0].fill)
        if self.squished:
            image = squish(image, self.spec.chip_size)
        target = np.zeros(len(self.spec.classes), np.float32)
        target[[self._positions[value] for value in unit.values if value in self._positions]] = 1
        return {"image": apply(Scene([image]), recipe, rng).images[0], "target": target}

    # -- learning

    def losses(self, networks: Networks, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        """Return the cross-entropy (binary for several classes); with `mixup` of mixtures of two chips each.

        Zhang et al. 2018, arXiv:1710.09412; the larger part counts as the chip itself, as fastai has it.
        """
        images, target = batch["image"], batch["target"]
        if self.mixup:
            shares = torch.distributions.Beta(MIXUP_ALPHA, MIXUP_ALPHA).sample((len(images),)).to(images.device)
            shares = torch.maximum(shares, 1 - shares)
            partner = torch.randperm(len(images)).to(images.device)
            images = torch.lerp(images[partner], images, shares.view(-1, 1, 1, 1))
            target = torch.lerp(target[partner], target, shares.view(-1, 1))
        return {"classification": self._loss(networks["network"](images), target)}

    def _loss(self, logits: Tensor, target: Tensor) -> Tensor:
        logits = logits.float()
        weights = None if self.class_weights is None else logits.new_tensor(self.class_weights)
        if self.several:
            return F.binary_cross_entropy_with_logits(logits, target, pos_weight=weights)
        weighted = target if weights is None else target * weights
        # chips without a known class have a target of zeros and do not count
        return -(weighted * logits.log_softmax(1)).sum() / weighted.sum().clamp_min(1e-6)

    # -- measuring

    def validate(self, network: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Sequence[ChipClasses]]:
        """Return the loss and the predictions, from one forward pass."""
        logits = network(batch["image"])
        return {"classification": self._loss(logits, batch["target"])}, self.decide(logits)

    def predict(self, network: nn.Module, batch: Batch) -> Sequence[ChipClasses]:
        """Return what is predicted for each image; they may differ in size."""
        images = batch["image"]
        if isinstance(images, list):
            return [self.decide(network(self._sized(image[None])))[0] for image in images]
        return self.decide(network(self._sized(images)))

    def _sized(self, images: Tensor) -> Tensor:
        """Return images of a model of variable chips squeezed to the size it was trained on."""
        size = self.spec.chip_size[::-1]
        if not self.squished or images.shape[-2:] == size:
            return images
        return F.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)

    def decide(self, logits: Tensor) -> list[ChipClasses]:
        """Return probabilities and class values for logits (batch, classes)."""
        logits = logits.float()
        probabilities = (logits.sigmoid() if self.several else logits.softmax(1)).detach().cpu().numpy()
        return [ChipClasses(self._values(row), row) for row in probabilities]

    def _values(self, probabilities: NDArray[np.float32]) -> tuple[int, ...]:
        chosen = np.flatnonzero(probabilities > THRESHOLD) if self.several else [probabilities.argmax()]
        return tuple(self.spec.classes[index].value for index in chosen)

    def host_facts(self) -> dict[str, Any]:
        """Return whether a chip may have several classes, and whether chips are squeezed to the size learnt from."""
        return {"function": "ChipwrightObjectClassifier", "several": self.several, "squeezed": self.squished}

    def metrics(self) -> ClassificationMetrics:
        """Return a fresh accumulator."""
        return ClassificationMetrics(self.spec.classes, self.several)

    # -- showing

    def panels(self, sample: Sample, prediction: ChipClasses) -> list[Panel]:
        """Return the chip, titled with its classes, over the predicted ones and their probabilities."""
        image = to_rgb(np.asarray(sample["image"]), self.spec.statistics, self.spec.bands)
        truth = np.flatnonzero(np.asarray(sample["target"]) > 0)
        predicted = [self._positions[value] for value in prediction.values]
        names = [self.spec.classes[index].name for index in truth]
        found = [f"{self.spec.classes[index].name} {prediction.probabilities[index]:.0%}" for index in predicted]
        known = self.several or len(truth) > 0
        good = set(predicted) == set(truth.tolist()) if known else None
        return [Panel(", ".join(names) or "No class", image, text=", ".join(found) or "No class", good=good)]


def has_variable_size(spec: ModelSpec) -> bool:
    """Return whether the chips of a model differ in size by intent."""
    return spec.metadata.get("CropTileMode") == "Variable_Size" or spec.metadata_format in _SQUISHED_FORMATS


def balanced(chips: Sequence[Chip]) -> list[Chip]:
    """Return the chips, those of each class repeated evenly until it has as many as the most frequent one."""
    classes: dict[tuple[int, ...], list[Chip]] = {}
    for chip in chips:
        classes.setdefault(chip.values, []).append(chip)
    most = max((len(members) for members in classes.values()), default=0)
    return [members[turn * len(members) // most] for members in classes.values() for turn in range(most)]
