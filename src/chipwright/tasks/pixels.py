"""Pixel classification: every pixel of a chip gets a class.

Shared by every network that gives logits (batch, class indices, height, width). In training a network may return
`{"out": logits, NAME: logits, ...}` instead: the loss of every further entry is added with the network's `aux_weight`, one for
all or by name, that of `PointAnswers` as it is. `ClassPresence` among them learns which classes an image holds.
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
from chipwright.chips.chipset import IGNORE, Chip
from chipwright.chips.display import Panel, to_rgb
from chipwright.errors import DataError
from chipwright.networks.losses import ClassPresence, PixelLoss, presence
from chipwright.networks.point_refinement import PointAnswers
from chipwright.spec import ModelSpec
from chipwright.tasks.base import Batch, Networks, Phase, Reader, Sample, Task
from chipwright.tasks.pixel_classes import PixelClasses
from chipwright.tasks.pixel_metrics import PixelMetrics

FOCAL_GAMMA = 2.0
MIXUP_ALPHA = 0.4
AUXILIARY_WEIGHT = 0.4
"""Of auxiliary outputs, where the network names no `aux_weight` (Zhao et al. 2017, arXiv:1612.01105)."""


class PixelTask(Task):
    """Draws chips with their label rasters, and trains, applies and measures class maps.

    Reads from `ModelSpec.arguments`: mixup, class_balancing, focal_loss, ignore_classes, dice_loss_fraction,
    dice_loss_average, weighted_dice; and from `ModelSpec.fitted`: class_weights, by class index.

    A sample holds "image" (bands, height, width) in the file's dtype and "mask", int16 (height, width) class indices with
    `IGNORE`. A prediction is a map of class indices (height, width), uint8 or int16, on the CPU.

    Attributes:
        classes: class values and indices.
    """

    augmentation: str | None = "pixels"
    higher_is_better = frozenset({"accuracy", "miou", "dice"})

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        arguments = spec.arguments
        self.classes = PixelClasses.of(spec.classes, arguments.get("ignore_classes") or ())
        self.mixup = bool(arguments.get("mixup", False))
        weights = tuple(spec.fitted["class_weights"]) if "class_weights" in spec.fitted else None
        self.loss = PixelLoss(
            class_weights=weights if arguments.get("class_balancing", False) else None,
            focal_gamma=FOCAL_GAMMA if arguments.get("focal_loss", False) else None,
            dice_fraction=float(arguments.get("dice_loss_fraction", 0.0)),
            dice_average=arguments.get("dice_loss_average", "micro"),
            dice_weights=weights if arguments.get("weighted_dice", False) else None,
            ignored=IGNORE,
        )

    # -- samples

    def draw(self, unit: Chip, reader: Reader, rng: np.random.Generator, augment: bool) -> Sample:
        """Return the chip's image and mask, cropped to the chip size and changed at random if `augment`.

        Pixels without image data get the bands' mean and no label. A chip without a label raster has no labels at all.
        """
        recipe = self.recipes[augment]
        image, valid = reader.image(unit), reader.valid(unit)
        mask = self.label(unit, image.shape[1:], reader)
        if valid is not None:
            image, mask = fill_invalid(image, valid, recipe.tones[0].fill), np.where(valid, mask, np.int16(IGNORE))
        scene = apply(Scene([image], mask), recipe, rng)
        return {"image": scene.images[0], "mask": scene.mask}

    def label(self, chip: Chip, size: tuple[int, ...], reader: Reader) -> NDArray[np.int16]:
        """Return a chip's class indices; all unlabelled where it has no label raster."""
        if chip.label is None:
            return np.full(size, IGNORE, np.int16)
        mask = self.classes.indices(reader.label(chip))
        if mask.shape != size:
            raise DataError(
                f"The label of chip {chip.name} is {mask.shape[1]} x {mask.shape[0]} pixels, its image {size[1]} x {size[0]}; "
                "both must be of one size. Export the training data again."
            )
        return mask

    # -- learning

    def losses(self, networks: Networks, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        """Return the pixel loss, and that of the network's auxiliary outputs if it has any."""
        network, images, target = networks["network"], batch["image"], batch["mask"].long()
        if not self.mixup:
            return self._losses(network(images), target, network)
        # Zhang et al. 2018, arXiv:1710.09412: one mixture for the whole batch, the larger part first
        share = float(torch.distributions.Beta(MIXUP_ALPHA, MIXUP_ALPHA).sample())
        share = max(share, 1 - share)
        partner = torch.randperm(len(images)).to(images.device)
        outputs = network(torch.lerp(images[partner], images, share))
        first, second = (self._losses(outputs, truth, network) for truth in (target, target[partner]))
        return {name: share * loss + (1 - share) * second[name] for name, loss in first.items()}

    def _losses(self, outputs: Any, target: Tensor, network: nn.Module) -> dict[str, Tensor]:
        if isinstance(outputs, Tensor):
            return {"pixel": self.loss(outputs, target)}
        losses = {"pixel": self.loss(outputs["out"], target)}
        auxiliary = []
        for name, found in outputs.items():
            if isinstance(found, PointAnswers):
                losses[name] = self.loss(found.logits[..., None], target.flatten(1).gather(1, found.pixels)[..., None])
            elif isinstance(found, ClassPresence):
                losses["presence"] = _auxiliary_weight(network, name) * presence(found.logits, target, IGNORE)
            elif name != "out":
                auxiliary.append(_auxiliary_weight(network, name) * self.loss(found, target))
        if auxiliary:
            losses["auxiliary"] = torch.stack(auxiliary).sum()
        return losses

    # -- measuring

    def validate(self, network: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Sequence[Tensor]]:
        """Return the pixel loss and the class maps, from one forward pass."""
        logits = self.logits(network, batch["image"])
        return {"pixel": self.loss(logits, batch["mask"].long())}, self.decide(logits)

    def predict(self, network: nn.Module, batch: Batch) -> Sequence[Tensor]:
        """Return the class map of every sample; images may differ in size."""
        images = batch["image"]
        if isinstance(images, list):
            return [self.decide(self.logits(network, image[None]))[0] for image in images]
        return self.decide(self.logits(network, images))

    def logits(self, network: nn.Module, images: Tensor) -> Tensor:
        """Return the numbers (batch, channels, height, width) that `decide` goes by; the network is in evaluation mode."""
        outputs = network(images)
        return outputs if isinstance(outputs, Tensor) else outputs["out"]

    def decide(self, logits: Tensor) -> list[Tensor]:
        """Return the likeliest class index of every pixel as one (height, width) map a sample; never an ignored class."""
        if self.classes.ignored:
            logits = logits.index_fill(1, torch.tensor(self.classes.ignored, device=logits.device), -torch.inf)
        small = torch.uint8 if len(self.classes) <= 256 else torch.int16
        return list(logits.argmax(1).to(small).cpu())

    def class_values(self, prediction: Tensor) -> NDArray[np.int64]:
        """Return a predicted map as class values, as label rasters have them."""
        return np.asarray(self.classes.values)[prediction.numpy().astype(np.intp)]

    def probabilities(self, logits: Tensor) -> Tensor | None:
        """Return the probability of every class that can be predicted, (batch, classes, height, width) float32, in the order of
        `probability_names`; None where the network's numbers stand for none."""
        kept = list(self.classes.kept)
        return (logits if len(kept) == logits.shape[1] else logits[:, kept]).float().softmax(1)

    @property
    def probability_names(self) -> tuple[str, ...]:
        """Names of the classes that `probabilities` are of."""
        return tuple(self.classes.names[index] for index in self.classes.kept)

    def host_facts(self) -> dict[str, Any]:
        """Return how classes follow from the network's numbers."""
        classes = {"values": list(self.classes.values), "ignored": list(self.classes.ignored)}
        return {"function": "ChipwrightPixelClassifier", "decision": "argmax"} | classes

    def metrics(self) -> PixelMetrics:
        """Return a fresh confusion matrix."""
        return PixelMetrics(self.classes)

    # -- showing

    def panels(self, sample: Sample, prediction: Any) -> list[Panel]:
        """Return image, truth and prediction; the unnamed background and unlabelled pixels show the image."""
        image = to_rgb(np.asarray(sample["image"]), self.spec.statistics, self.spec.bands)
        return [Panel("Image", image), *self.class_panels(image, sample["mask"], prediction)]

    def class_panels(self, image: NDArray[np.uint8], mask: Any, prediction: Any) -> list[Panel]:
        """Return truth and prediction over a picture (height, width, 3)."""
        truth = np.asarray(mask, np.int16)
        predicted = np.asarray(torch.as_tensor(prediction).cpu(), np.int16)
        labelled = truth >= 0
        share = (predicted == truth)[labelled].mean() if labelled.any() else None
        text = "" if share is None else f"{share:.0%} of the labelled pixels right"
        palette = self.classes.colors
        return [
            Panel("Truth", image, classes=self._shown(truth), palette=palette),
            Panel("Prediction", image, classes=self._shown(predicted), palette=palette, text=text),
        ]

    def _shown(self, indices: NDArray[np.int16]) -> NDArray[np.int16]:
        return np.where(indices >= self.classes.first, indices, np.int16(IGNORE))


def _auxiliary_weight(network: nn.Module, name: str) -> float:
    """Return the network's weight of an auxiliary loss, also where it is wrapped for several processes."""
    bare = getattr(network, "module", network)
    weight: Any = getattr(bare, "aux_weight", AUXILIARY_WEIGHT)
    return float(weight.get(name, 1.0) if isinstance(weight, dict) else weight)
