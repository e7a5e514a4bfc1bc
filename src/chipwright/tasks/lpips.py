"""LPIPS, how unlike two images look: the distance of what a VGG sees of them, weighted as people judged pairs of images.

Zhang et al. 2018 (arXiv:1801.03924), version 0.1 over VGG16; the weights by people's judgement come with torchmetrics.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from chipwright.errors import OptionError
from chipwright.networks.architectures import find_architecture
from chipwright.networks.perceptual import VggFeatures, find_perceptual_weights
from chipwright.networks.state_dicts import read_weights_file
from chipwright.networks.weight_sources import FOLDER_VARIABLE, find_file
from chipwright.tasks.base import Metrics
from chipwright.tasks.network_metrics import Colors, NetworkMetrics

NETWORK = "VGG16"
_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
_LEAST = 16
"""Pixels a side of which the last layer has one left."""


class Lpips:
    """The distance of images.

    Raises:
        OptionError: if there are no weights of the VGG on this machine: those are 550 MB, too many to fetch for a figure.
    """

    def __init__(self, device: torch.device) -> None:
        if find_file(find_architecture(NETWORK)) is None:
            raise OptionError(
                f"It takes the weights of {NETWORK}, which are not on this machine: `chipwright weights fetch {NETWORK} --to "
                f"DIR` on one with a network, and {FOLDER_VARIABLE} set to DIR here."
            )
        self.device = device
        weights = find_perceptual_weights(NETWORK, "imagenet", "")
        self.features = VggFeatures(NETWORK, weights, _LAYERS).to(device)
        self.judgement = [layer.to(device) for layer in _judgement()]

    def __call__(self, made: Tensor, true: Tensor) -> Tensor:
        """Return the distances (count,) of images (count, 3, height, width) of 8 bits, on the CPU."""
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            seen = [self.features(images.to(self.device).float() / 255) for images in (made, true)]
            parts = [
                (F.normalize(some, eps=1e-10) - F.normalize(others, eps=1e-10)).square().mul(layer).sum(1).mean((1, 2))
                for some, others, layer in zip(*seen, self.judgement, strict=True)
            ]
            return torch.stack(parts).sum(0).cpu()


def _judgement() -> list[Tensor]:
    """Return the weights (channels, 1, 1) of every layer's channels."""
    import torchmetrics

    path = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models" / "vgg.pth"
    tensors, _ = read_weights_file(path)
    return [tensors[f"lin{place}.model.1.weight"][0] for place in range(len(_LAYERS))]


class LpipsMetrics(NetworkMetrics):
    """LPIPS beside other metrics, averaged over images."""

    name = "LPIPS"

    def __init__(self, others: Metrics, colors: Colors) -> None:
        super().__init__(others, colors)
        self.total, self.count = 0.0, 0

    def network(self, device: torch.device) -> Lpips:
        """Return what compares images."""
        return Lpips(device)

    def take(self, network: Lpips, suffix: str, made: list[Tensor], true: list[Tensor]) -> None:
        """Compare some images with the true ones."""
        for pair in zip(made, true, strict=True):
            if min(pair[0].shape[-2:]) >= _LEAST:
                self.total += float(network(*(image[None] for image in pair)))
                self.count += 1

    def join(self, other: LpipsMetrics) -> None:
        """Take in the images of another process."""
        self.total += other.total
        self.count += other.count

    def figures(self) -> tuple[dict[str, float], str]:
        """Return the mean."""
        if not self.count:
            return {}, f"No image has {_LEAST} pixels a side."
        note = f"LPIPS is taken with {NETWORK}, by three bands as colours, 8 bits each, and averaged over images."
        return {"": self.total / self.count}, note
