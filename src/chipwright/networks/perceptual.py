"""Perceptual losses: images are compared by what a trained VGG sees in them (Johnson et al. 2016, arXiv:1603.08155).

    weights = find_perceptual_weights("VGG16_BN", "imagenet", "train without it: --argument perceptual_loss=False")
    loss = superresolution_loss(weights).to(device)
    terms = loss(predicted, truth)              # {"feature": ..., "style": ...}

The VGG is no part of the trained network: it is neither learnt nor kept in the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.errors import OptionError
from chipwright.networks.backbones import create_backbone
from chipwright.networks.weights import NONE, BackboneWeights, find_weights

SUPERRESOLUTION_NETWORK, PIX2PIXHD_NETWORK = "VGG16_BN", "VGG19"

_SUPERRESOLUTION_LAYERS = {"relu3_3": 5.0, "relu4_3": 15.0, "relu5_3": 2.0}
_SUPERRESOLUTION_STYLE = 5e3
_PIX2PIXHD_LAYERS = {"relu1_1": 1 / 32, "relu2_1": 1 / 16, "relu3_1": 1 / 8, "relu4_1": 1 / 4, "relu5_1": 1.0}


class VggFeatures(nn.Module):
    """The activations of a VGG after some of its convolutions; fixed, always in evaluation mode.

    Args:
        network: keyword of a VGG.
        weights: its weights.
        layers: what is returned, "relu3_1" being what follows the first convolution of the third block; ascending.

    Input: (batch, 3, height, width) in 0..1, scaled within as the weights ask. Output: one (batch, channels, about height /
    2^(block - 1), ...) a layer.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: str, weights: BackboneWeights, layers: Sequence[str]) -> None:
        super().__init__()
        body = create_backbone(network, 3, weights).body
        self.body = nn.Sequential()
        self.positions: list[int] = []
        wanted, block, convolution = list(layers), 1, 0
        for module in body.children():
            if not wanted:
                break
            self.body.append(module)
            if isinstance(module, nn.MaxPool2d):
                block, convolution = block + 1, 0
            elif isinstance(module, nn.ReLU):
                convolution += 1
                if f"relu{block}_{convolution}" == wanted[0]:
                    del wanted[0]
                    self.positions.append(len(self.body) - 1)
        if wanted:
            raise ValueError(f"{network} has no {wanted[0]}, or it does not follow the layers before it in {list(layers)}")
        self.register_buffer("mean", torch.tensor(weights.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(weights.std).view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> VggFeatures:
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the layers' activations."""
        found, result = [], (images - self.mean) / self.std
        for position, module in enumerate(self.body):
            result = module(result)
            if position in self.positions:
                found.append(result)
        return found


class PerceptualLoss(nn.Module):
    """L1 between features, and between their Gram matrices (Gatys et al. 2015, arXiv:1508.06576) where `style` is given.

    Args:
        network: keyword of a VGG.
        weights: its weights.
        layers: layer -> weight w of its feature term; the style term is weighted by `style * w ** 2`.
        style: weight of the style terms; 0 leaves them out.
    """

    def __init__(self, network: str, weights: BackboneWeights, layers: Mapping[str, float], style: float = 0.0) -> None:
        super().__init__()
        self.features = VggFeatures(network, weights, list(layers))
        self.layer_weights = tuple(layers.values())
        self.style = style

    def forward(self, predicted: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Return "feature", and "style" where it is asked for, each a scalar.

        Args:
            predicted, truth: (batch, 3, height, width) with values 0 to 1; see `color_images` for other bands. Gradients
                flow to `predicted` alone.
        """
        with torch.no_grad():
            expected = self.features(truth)
        pairs = list(zip(self.layer_weights, self.features(predicted), expected, strict=True))
        terms = {"feature": torch.stack([weight * F.l1_loss(found, true) for weight, found, true in pairs]).sum()}
        if self.style:
            grams = [weight**2 * F.l1_loss(gram(found), gram(true)) for weight, found, true in pairs]
            terms["style"] = self.style * torch.stack(grams).sum()
        return terms


def gram(features: Tensor) -> Tensor:
    """Return the Gram matrices (batch, channels, channels) of (batch, channels, height, width), over channels * pixels."""
    with torch.autocast(features.device.type, enabled=False):  # sums over an image overflow half precision
        flat = features.float().flatten(2)
        return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])


def color_images(images: Tensor, bands: Sequence[int]) -> Tensor:
    """Return (batch, 3, height, width) of the bands that stand for colour (see `chipwright.chips.display.color_bands`): three
    of them, or one, which is seen as grey. Bands beyond them go uncompared."""
    return images[:, list(bands)].expand(-1, 3, -1, -1)


def superresolution_loss(weights: BackboneWeights) -> PerceptualLoss:
    """Return the loss of the reference's SUPERRESOLUTION, beside its L1: fastai's lesson of 2019, over VGG16 with
    normalisation."""
    return PerceptualLoss(SUPERRESOLUTION_NETWORK, weights, _SUPERRESOLUTION_LAYERS, _SUPERRESOLUTION_STYLE)


def pix2pixhd_loss(weights: BackboneWeights) -> PerceptualLoss:
    """Return the VGG19 term of pix2pixHD (Wang et al. 2018, arXiv:1711.11585), to be weighted by 10."""
    return PerceptualLoss(PIX2PIXHD_NETWORK, weights, _PIX2PIXHD_LAYERS)


class PerceptualOnDevice:
    """A perceptual loss for tasks: found when it is first needed, on whichever device, and left behind when pickled.

    Args:
        network: keyword of the VGG.
        build: the loss of its weights.
        source, without: as in `find_perceptual_weights`.
    """

    def __init__(self, network: str, build: Callable[[BackboneWeights], PerceptualLoss], source: str, without: str) -> None:
        self.network, self.build, self.source, self.without = network, build, source, without
        self._losses: dict[torch.device, PerceptualLoss] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_losses": {}}

    def __call__(self, predicted: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Return the loss's terms (see `PerceptualLoss`)."""
        device = predicted.device
        if device not in self._losses:
            with torch.random.fork_rng(devices=[]):  # a resumed run builds it at another step and must draw the same after
                weights = find_perceptual_weights(self.network, self.source, self.without)
                self._losses[device] = self.build(weights).to(device)
        terms: dict[str, Tensor] = self._losses[device](predicted, truth)
        return terms


def find_perceptual_weights(network: str, source: str, without: str) -> BackboneWeights:
    """Return the weights of the VGG that compares, by the rules of backbones (see `chipwright.networks.weights`).

    Args:
        network: keyword of a VGG.
        source: "imagenet" or a file.
        without: how to train without the perceptual loss, for errors: "train without it: --argument perceptual_loss=False".

    Raises:
        OptionError: if they are not to be had, with the ways on, or do not fit.
    """
    if source.strip().lower() == NONE:
        raise OptionError(f"The perceptual loss compares images by a trained {network}, so it needs weights; or {without}.")
    weights = find_weights(
        network, source, f"or name a file of {network}'s weights with --argument perceptual_weights=FILE; or {without}"
    )
    assert weights is not None, 'only "none" gives no weights'
    return weights
