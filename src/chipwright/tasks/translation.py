"""Adversarial translation: a generator makes images, and a discriminator tells them from true ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.chips.augmentation.pixels import fill_invalid
from chipwright.chips.augmentation.scene import Scene, apply
from chipwright.chips.chipset import Chip
from chipwright.chips.display import color_bands
from chipwright.networks.adversarial import adversarial_loss, bare, held
from chipwright.networks.perceptual import color_images
from chipwright.tasks.base import Batch, Metrics, Networks, ParameterGroup, Phase, Reader, Sample
from chipwright.tasks.frechet import FrechetMetrics
from chipwright.tasks.images import ImageTask, Made

GENERATE, DISCRIMINATE = Phase("generator", ("generator",)), Phase("discriminator", ("discriminator",))


class AdversarialNetwork(nn.Module):
    """A generator with what judges it. It gives what the generator gives."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator

    def forward(self, images: Tensor) -> Tensor:
        """Return normalised images of normalised images."""
        made: Tensor = self.generator(images)
        return made


class AdversarialTask(ImageTask):
    """What adversarial training has in common: two phases a step, Adam at 2e-4, constant and then falling to zero.

    Normalised images lie within -1..1 (see `signed_unit`).
    """

    phases = (GENERATE, DISCRIMINATE)
    range_test = False
    default_learning_rate = 2e-4
    schedule = "constant_then_linear"
    made_key = "target"

    def parts(self, network: nn.Module) -> dict[str, nn.Module]:
        """Return generator and discriminator, which have optimizers of their own."""
        assert isinstance(network.generator, nn.Module) and isinstance(network.discriminator, nn.Module)
        return {"generator": network.generator, "discriminator": network.discriminator}

    def optimizer(self, groups: Sequence[ParameterGroup], phase: Phase) -> torch.optim.Optimizer:
        """Return Adam as the papers have it."""
        settings = [{"params": group.parameters, "lr": group.factor} for group in groups]
        return torch.optim.Adam(settings, lr=1.0, betas=(0.5, 0.999), fused=True)


class PairTask(AdversarialTask):
    """Learns from pairs. A sample holds "image" and "target", the true image of the same place.

    Subclasses say whether scores are judged by least squares, and what else the generator is taught.
    """

    least_squares = False
    pixel_weight = 100.0

    @property
    def made(self) -> Made:
        """The pairs' second images."""
        second = self.spec.second
        assert second is not None
        return Made(second.bands, second.dtype, second.nodata, second.statistics)

    def draw(self, unit: Chip, reader: Reader, rng: np.random.Generator, augment: bool) -> Sample:
        """Return both images, cropped and mirrored together if `augment`; pixels without data get their bands' mean."""
        recipe = self.recipes[augment]
        images: list[NDArray[Any]] = [
            fill_invalid(reader.image(unit, index), reader.valid(unit, index), recipe.tones[index].fill) for index in (0, 1)
        ]
        image, target = apply(Scene(images), recipe, rng).images
        return {"image": np.ascontiguousarray(image), "target": np.ascontiguousarray(target)}

    def losses(self, networks: Networks, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        """Return what teaches the generator, or the discriminator; the image that is made is the same for both."""
        if phase == GENERATE:
            batch["made"] = networks["generator"](batch["image"])
            judge = bare(networks["discriminator"])
            with held(judge):
                return self.generator_losses(judge, batch)
        judge = networks["discriminator"]
        made = self.verdict(judge(self.judged(batch, batch["made"].detach())), False)
        true = self.verdict(judge(self.judged(batch, self.truth(batch))), True)
        return {"discriminator": (made + true) / 2}

    def verdict(self, results: Any, real: bool) -> Tensor:
        """Return how far the discriminator's results are from those of true images (`real`), or of made ones."""
        return adversarial_loss(results[-1], real, self.least_squares)

    def judged(self, batch: Batch, images: Tensor) -> Tensor:
        """Return what the discriminator is shown: images beside what they are made of."""
        return torch.cat([batch["image"], images.to(batch["image"].dtype)], 1)

    def generator_losses(self, judge: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of the generator's images, `batch["made"]`."""
        return {
            "adversarial": self.verdict(judge(self.judged(batch, batch["made"])), True),
            "pixel": self.pixel_weight * F.l1_loss(batch["made"].float(), self.truth(batch)),
        }

    def as_color(self, images: Tensor) -> Tensor:
        """Return normalised images of what is made as red, green and blue of 0..1, for a VGG to see."""
        bands, _ = color_bands(len(self.made.bands), self.made.bands)
        return color_images((images.float() + 1) / 2, bands)

    def thorough_metrics(self) -> Metrics:
        """Return PSNR, SSIM, LPIPS and FID."""
        return FrechetMetrics(super().thorough_metrics(), self.colors)

    def validate(self, network: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Sequence[Tensor]]:
        """Return L1 of the pixels, which says more of an image than how well its judge is deceived, and the images."""
        made = self.make(network, batch["image"])
        return {"pixel": F.l1_loss(made.float(), self.truth(batch))}, self.restored(made)
