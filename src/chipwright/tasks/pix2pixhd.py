"""pix2pixHD: images out of images, or out of maps of classes, judged at several resolutions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.chips.augmentation.pixels import fill_invalid
from chipwright.chips.augmentation.recipe import Tones
from chipwright.chips.augmentation.scene import Scene, apply
from chipwright.chips.chipset import Chip
from chipwright.chips.display import Panel
from chipwright.chips.reading import whole_numbers
from chipwright.networks.perceptual import PIX2PIXHD_NETWORK, PerceptualOnDevice, pix2pixhd_loss
from chipwright.networks.pix2pixhd import OneHot, feature_matching
from chipwright.spec import ModelSpec, Normalization
from chipwright.tasks.base import Batch, RasterTaken, Reader, Sample
from chipwright.tasks.images import Made
from chipwright.tasks.pixel_classes import PixelClasses
from chipwright.tasks.translation import PairTask

WITHOUT = "train without it: --argument vgg_loss=False"
"""How to train where there are no weights of a VGG."""


class Pix2PixHDTask(PairTask):
    """Learns from pairs by the adversarial loss of every discriminator, by their features, and by a VGG's or by pixels.

    Reads from `ModelSpec.arguments`: lsgan, feat_loss, lambda_feat, perceptual_weights; from `ModelSpec.fitted`: vgg_loss,
    lambda_l1.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        given, fitted = spec.arguments, spec.fitted
        self.least_squares = bool(given["lsgan"])
        self.features_matched = bool(given["feat_loss"])
        self.feature_weight = float(given["lambda_feat"])
        self.pixel_weight = float(fitted["lambda_l1"])
        self.perceptual: PerceptualOnDevice | None = None
        if fitted["vgg_loss"]:
            self.perceptual = PerceptualOnDevice(PIX2PIXHD_NETWORK, pix2pixhd_loss, given["perceptual_weights"], WITHOUT)

    def verdict(self, results: Any, real: bool) -> Tensor:
        """Return the sum over the discriminators."""
        verdicts: list[Tensor] = [super(Pix2PixHDTask, self).verdict(scale, real) for scale in results]
        return torch.stack(verdicts).sum()

    def generator_losses(self, judge: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of the generator's images, those that have a weight."""
        made, truth = batch["made"], self.truth(batch)
        results = judge(self.judged(batch, made))
        losses = {"adversarial": self.verdict(results, True)}
        if self.features_matched:
            with torch.no_grad():
                true = judge(self.judged(batch, truth))
            losses["features"] = self.feature_weight * feature_matching(results, true)
        if self.perceptual is not None:
            losses["vgg"] = self.feature_weight * self.perceptual(self.as_color(made), self.as_color(truth))["feature"]
        if self.pixel_weight:
            losses["pixel"] = self.pixel_weight * F.l1_loss(made.float(), truth)
        return losses


class LabelsToImagesTask(Pix2PixHDTask):
    """The same for maps of classes: a sample's "image" holds class values, (1, height, width).

    Reads from `ModelSpec.fitted` beside: labels, the values that the network knows. Pixels without one get a value that is
    none of them, and so no plane of the one-hot input.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.labels: list[int] = list(spec.fitted["labels"])
        self.unlabelled = next(value for value in count(1) if value not in self.labels)
        super().__init__(spec)
        self.classes = PixelClasses.of(spec.classes)

    @property
    def made(self) -> Made:
        """The chips' images."""
        spec = self.spec
        return Made(spec.bands, spec.dtype, spec.nodata, spec.statistics)

    @property
    def inputs(self) -> Normalization:
        """Class values as they are."""
        return Normalization(mean=(0.0,), std=(1.0,))

    def scaling(self, key: str) -> Normalization:
        """Return the images' scaling for the target."""
        return self.spec.normalization if key == self.made_key else self.inputs

    @property
    def rasters(self) -> tuple[RasterTaken, ...]:
        """A raster of class values."""
        return (RasterTaken(("Class",), None, categorical=True),)

    def tones(self) -> tuple[Tones, ...]:
        """Return what class values mean, and the images' values."""
        none = (float(self.unlabelled),)
        return Tones(none, none, none, thematic=True), Tones.of(self.spec.statistics, self.spec.dtype)

    def draw(self, unit: Chip, reader: Reader, rng: np.random.Generator, augment: bool) -> Sample:
        """Return the label raster and the image, cropped and mirrored together if `augment`."""
        recipe = self.recipes[augment]
        labels = reader.label(unit)[None].astype(np.int32)
        image = fill_invalid(reader.image(unit), reader.valid(unit), recipe.tones[1].fill)
        given, target = apply(Scene([labels, image]), recipe, rng).images
        return {"image": np.ascontiguousarray(given), "target": np.ascontiguousarray(target)}

    def sample(self, images: Sequence[NDArray[Any]], valids: Sequence[NDArray[np.bool_] | None]) -> Sample:
        """Return the class values; pixels without data have none."""
        return super().sample([whole_numbers(images[0]).astype(np.int32)], valids)

    def judged(self, batch: Batch, images: Tensor) -> Tensor:
        """Return images beside the planes of their classes."""
        given: Tensor = batch["image"]
        planes = OneHot(self.labels).to(given.device)(given)
        return torch.cat([planes, images.to(planes.dtype)], 1)

    def given_panel(self, image: NDArray[Any]) -> Panel:
        """Return the classes in their colours."""
        black = np.zeros((*image.shape[1:], 3), np.uint8)
        return Panel("", black, classes=self.classes.indices(image[0]), palette=self.classes.colors)
