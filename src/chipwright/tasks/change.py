"""Change detection: pairs of images, and a map of what changed between them."""

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
from chipwright.networks.stanet import CHANGED, balanced_contrastive
from chipwright.spec import Normalization
from chipwright.tasks.base import Batch, Networks, Phase, Reader, Sample
from chipwright.tasks.binary import BinaryMetrics, error_panel
from chipwright.tasks.pixels import PixelTask


class ChangeTask(PixelTask):
    """Draws both dates with the map of change, and trains, applies and measures distances between them.

    A sample holds "image", both dates one after the other (2 * bands, height, width) in the file's dtype, and "mask", int16
    (height, width) of 0, 1 and `IGNORE`. The network gives distances (batch, 1, height, width).
    """

    augmentation = "change"
    higher_is_better = frozenset({"accuracy", "precision", "recall", "f1", "iou"})
    default_learning_rate = 1e-3
    images_taken = 2

    @property
    def inputs(self) -> Normalization:
        """Both dates' scaling, one after the other."""
        first = self.spec.normalization
        return first.beside(self.spec.second_normalization or first)

    def draw(self, unit: Chip, reader: Reader, rng: np.random.Generator, augment: bool) -> Sample:
        """Return both dates and the change between them, moved together, each with its own light.

        Ground without data at either date gets the bands' mean and no label.
        """
        recipe = self.recipes[augment]
        images = [reader.image(unit, date) for date in (0, 1)]
        mask = self.label(unit, images[0].shape[1:], reader)
        for date, image in enumerate(images):
            valid = reader.valid(unit, date)
            if valid is not None:
                images[date] = fill_invalid(image, valid, recipe.tones[date].fill)
                mask = np.where(valid, mask, np.int16(IGNORE))
        scene = apply(Scene(images, mask), recipe, rng)
        return {"image": np.concatenate(scene.images), "mask": scene.mask}

    def label(self, chip: Chip, size: tuple[int, ...], reader: Reader) -> NDArray[np.int16]:
        """Return what of a chip's ground has changed: every value but 0 means change, so that others than the class's do, too.

        Other values that the chip still has in its account of pixels are no change: they are unlabelled.
        """
        mask = super().label(chip, size, reader)
        if chip.label is None:
            return mask
        values = reader.label(chip)
        unlabelled = [IGNORE, *({value for value, _ in chip.pixels} - set(self.classes.values))]
        return np.where((mask == IGNORE) & (values != 0) & ~np.isin(values, unlabelled), np.int16(1), mask)

    def sample(self, images: Sequence[NDArray[Any]], valids: Sequence[NDArray[np.bool_] | None]) -> Sample:
        """Return both dates, one after the other."""
        tones = self.tones()
        both = [fill_invalid(image, valid, own.fill) for image, valid, own in zip(images, valids, tones, strict=True)]
        return {"image": np.concatenate(both)}

    def losses(self, networks: Networks, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        """Return the batch-balanced contrastive loss."""
        return {"contrastive": self._loss(networks["network"](batch["image"]), batch["mask"])}

    def _loss(self, distances: Tensor, mask: Tensor) -> Tensor:
        return balanced_contrastive(distances[:, 0], mask == 1, mask != IGNORE)

    def validate(self, network: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Sequence[Tensor]]:
        """Return the loss and the maps of change."""
        distances = network(batch["image"])
        return {"contrastive": self._loss(distances, batch["mask"])}, self.decide(distances)

    def decide(self, logits: Tensor) -> list[Tensor]:
        """Return what changed as one (height, width) map of 0 and 1 a sample, from distances."""
        return list((logits[:, 0] > CHANGED).to(torch.uint8).cpu())

    def probabilities(self, logits: Tensor) -> None:
        """Return None: a distance is no probability."""
        return

    def fill(self) -> tuple[float | None, ...]:
        """Return the means of both dates' bands."""
        return tuple(value for tones in self.tones() for value in tones.fill)

    def host_facts(self) -> dict[str, Any]:
        """Return from which distance on ground has changed."""
        return super().host_facts() | {"decision": "distance", "limit": CHANGED}

    def metrics(self) -> BinaryMetrics:
        """Return a fresh confusion matrix."""
        return BinaryMetrics(self.classes)

    def panels(self, sample: Sample, prediction: Tensor) -> list[Panel]:
        """Return both dates, and what of the change was found, missed and false over the later one."""
        pair, truth = np.asarray(sample["image"]), np.asarray(sample["mask"], np.int16)
        bands = len(self.spec.bands)
        second = self.spec.second
        before = to_rgb(pair[:bands], self.spec.statistics, self.spec.bands)
        after = to_rgb(
            pair[bands:], second.statistics if second else self.spec.statistics, second.bands if second else self.spec.bands
        )
        found = np.asarray(torch.as_tensor(prediction).cpu()) == 1
        shown = np.where(truth == 1, 1, IGNORE).astype(np.int16)
        return [
            Panel("Before", before),
            Panel("After", after),
            Panel("Change", after, classes=shown, palette=self.classes.colors),
            error_panel("Prediction", after, truth, found),
        ]
