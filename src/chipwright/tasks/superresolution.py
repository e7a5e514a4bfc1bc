"""Super-resolution: chips are blurred as if seen at coarser cells, and the network brings back what was lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.chips.augmentation.pixels import fill_invalid
from chipwright.chips.augmentation.scene import Scene, apply
from chipwright.chips.chipset import Chip
from chipwright.chips.display import color_bands
from chipwright.networks.perceptual import (
    SUPERRESOLUTION_NETWORK,
    PerceptualLoss,
    color_images,
    find_perceptual_weights,
    superresolution_loss,
)
from chipwright.spec import ModelSpec
from chipwright.tasks.base import Batch, Networks, Phase, Reader, Sample
from chipwright.tasks.images import ImageTask, degraded, unit_scaling

WITHOUT = "train on pixels alone with --arg perceptual_loss=False"
"""How to train where there are no weights of a VGG."""


class SuperresolutionTask(ImageTask):
    """Draws chips and what is left of them at `downsample_factor` times their cell size, and trains a U-Net by L1 and the
    perceptual loss.

    Reads from `ModelSpec.arguments`: downsample_factor, perceptual_loss, perceptual_weights. What validates is L1 alone, in
    normalised values: it needs no VGG where a model is evaluated.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.factor = int(spec.arguments["downsample_factor"])
        self.perceptual = bool(spec.arguments["perceptual_loss"])
        self.compared, _ = color_bands(len(spec.bands), spec.bands)
        self._losses: dict[torch.device, PerceptualLoss] = {}

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_losses": {}}

    def draw(self, unit: Chip, reader: Reader, rng: np.random.Generator, augment: bool) -> Sample:
        """Return the chip, cropped and mirrored if `augment`, as "target", and blurred as "image".

        Pixels without data get the bands' mean in both.
        """
        recipe = self.recipes[augment]
        image = fill_invalid(reader.image(unit), reader.valid(unit), recipe.tones[0].fill)
        target = np.ascontiguousarray(apply(Scene([image]), recipe, rng).images[0])
        return {"image": degraded(target, self.factor), "target": target}

    def truth(self, batch: Batch) -> Tensor:
        """Return the normalised targets (batch, bands, height, width)."""
        target: Tensor = batch["target"]
        return self.normalizer("image", target.device)(target)

    def losses(self, networks: Networks, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        """Return L1 of the pixels, and of features and their Gram matrices."""
        made, truth = networks["network"](batch["image"]), self.truth(batch)
        terms = {"pixel": F.l1_loss(made, truth)}
        if self.perceptual:
            terms |= self._perceptual_loss(made.device)(self._as_color(made), self._as_color(truth))
        return terms

    def _as_color(self, images: Tensor) -> Tensor:
        """Return normalised images as three bands of 0..1."""
        scaling = self.normalizer("image", images.device)
        low, span = (part.to(images.device) for part in unit_scaling(self.spec))
        return color_images((images.float() / scaling.scale + scaling.mean - low) / span, self.compared)

    def _perceptual_loss(self, device: torch.device) -> PerceptualLoss:
        if device not in self._losses:
            with torch.random.fork_rng(devices=[]):  # a resumed run builds it at another step and must draw the same after
                weights = find_perceptual_weights(SUPERRESOLUTION_NETWORK, self.spec.arguments["perceptual_weights"], WITHOUT)
                self._losses[device] = superresolution_loss(weights).to(device)
        return self._losses[device]

    def validate(self, network: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Sequence[Tensor]]:
        """Return L1 of the pixels and the images."""
        made = self.make(network, batch["image"])
        return {"pixel": F.l1_loss(made.float(), self.truth(batch))}, self.restored(made)
