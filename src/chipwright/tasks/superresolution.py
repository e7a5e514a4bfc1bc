"""Super-resolution: chips are blurred as if seen at coarser cells, and the network brings back what was lost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.chips.augmentation.pixels import fill_invalid
from chipwright.chips.augmentation.scene import Scene, apply
from chipwright.chips.chipset import Chip
from chipwright.chips.display import color_bands
from chipwright.networks.perceptual import SUPERRESOLUTION_NETWORK, PerceptualOnDevice, color_images, superresolution_loss
from chipwright.networks.sr3 import Diffusion
from chipwright.normalization import black_and_white, signed_unit
from chipwright.spec import ModelSpec, Normalization
from chipwright.tasks.base import Batch, Networks, ParameterGroup, Phase, Reader, Sample
from chipwright.tasks.images import ImageTask, degraded

WITHOUT = "train on pixels alone with --argument perceptual_loss=False"
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
        self.compared, _ = color_bands(len(spec.bands), spec.bands)
        self.perceptual: PerceptualOnDevice | None = None
        if spec.arguments["perceptual_loss"]:
            weights = spec.arguments["perceptual_weights"]
            self.perceptual = PerceptualOnDevice(SUPERRESOLUTION_NETWORK, superresolution_loss, weights, WITHOUT)

    def draw(self, unit: Chip, reader: Reader, rng: np.random.Generator, augment: bool) -> Sample:
        """Return the chip, cropped and mirrored if `augment`, as "target", and blurred as "image".

        Pixels without data get the bands' mean in both.
        """
        recipe = self.recipes[augment]
        image = fill_invalid(reader.image(unit), reader.valid(unit), recipe.tones[0].fill)
        target = np.ascontiguousarray(apply(Scene([image]), recipe, rng).images[0])
        return {"image": degraded(target, self.factor), "target": target}

    def losses(self, networks: Networks, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        """Return L1 of the pixels, and of features and their Gram matrices."""
        made, truth = networks["network"](batch["image"]), self.truth(batch)
        terms = {"pixel": F.l1_loss(made, truth)}
        if self.perceptual is not None:
            terms |= self.perceptual(self._as_color(made), self._as_color(truth))
        return terms

    def _as_color(self, images: Tensor) -> Tensor:
        """Return normalised images as three bands of 0..1."""
        scaling = self.normalizer("image", images.device)
        low, high = (torch.tensor(values, device=images.device).view(-1, 1, 1) for values in black_and_white(self.spec))
        return color_images((images.float() / scaling.scale + scaling.mean - low) / (high - low), self.compared)

    def validate(self, network: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Sequence[Tensor]]:
        """Return L1 of the pixels and the images."""
        made = self.make(network, batch["image"])
        return {"pixel": F.l1_loss(made.float(), self.truth(batch))}, self.restored(made)


class DiffusionTask(SuperresolutionTask):
    """Trains SR3 to tell noise from image, and draws images by taking noise away.

    Reads from `ModelSpec.arguments` beside downsample_factor: schedule, n_timestep, linear_start, linear_end, sampling_steps,
    sampling_seed. Images go in as -1..1 between black and white of their band.
    """

    default_learning_rate = 1e-4
    range_test = False
    schedule = "constant"

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        given = spec.arguments
        self.diffusion = Diffusion(given["schedule"], given["n_timestep"], given["linear_start"], given["linear_end"])
        self.steps, self.seed = int(given["sampling_steps"]), int(given["sampling_seed"])

    @property
    def inputs(self) -> Normalization:
        """Each band from -1 to 1."""
        return signed_unit(self.spec)

    def host_facts(self) -> None:
        """Return None: an image is drawn in many passes through the network."""
        return

    def optimizer(self, groups: Sequence[ParameterGroup], phase: Phase) -> torch.optim.Optimizer:
        """Return Adam, as the paper."""
        settings = [{"params": group.parameters, "lr": group.factor} for group in groups]
        return torch.optim.Adam(settings, lr=1.0, fused=True)

    def losses(self, networks: Networks, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        """Return L1 between the noise and what the network takes for it."""
        return {"noise": self._noise_loss(networks["network"], batch)}

    def _noise_loss(self, network: nn.Module, batch: Batch) -> Tensor:
        truth = self.truth(batch)
        level = self.diffusion.drawn_levels(len(truth), truth.device)
        noise = torch.randn(truth.shape).to(truth.device)
        share = level.view(-1, 1, 1, 1)
        noisy = share * truth + (1 - share**2).sqrt() * noise
        return F.l1_loss(network(torch.cat([batch["image"], noisy], 1), level).float(), noise)

    def make(self, network: nn.Module, images: Tensor) -> Tensor:
        """Return an image drawn for each, always the same one."""
        return self.diffusion.sample(network, images, self.steps, self.seed)

    def validate(self, network: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Sequence[Tensor]]:
        """Return the loss of noise at random levels and drawn images."""
        return {"noise": self._noise_loss(network, batch)}, self.restored(self.make(network, batch["image"]))
