"""What adversarial training is made of: patch discriminators, their losses, the first weights, and images of the past.

The networks and losses of pix2pix (Isola et al. 2017, arXiv:1611.07004), CycleGAN (Zhu et al. 2017, arXiv:1703.10593) and
pix2pixHD (Wang et al. 2018, arXiv:1711.11585).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Norm = Literal["instance", "batch"]

_SLOPE = 0.2
_WIDEST = 8
_INITIAL_DEVIATION = 0.02


class PatchDiscriminator(nn.Module):
    """Tells for overlapping patches of an image whether they are true (PatchGAN); a patch is 70 x 70 pixels with three layers.

    Args:
        bands: of the images; where what they were made of is judged as well, of both.
        width: channels of the first layer; they double with every layer, up to eight times.
        layers: that halve the image.
        norm: "batch", or "instance" without learnt scales; the first layer and the last have none.
        padding: around every layer's input: 1 in pix2pix and CycleGAN, 2 in pix2pixHD.

    Input: (batch, bands, height, width). Output: scores (batch, 1, height', width'), 30 x 30 for 256 x 256 pixels.
    """

    def __init__(self, bands: int, width: int = 64, layers: int = 3, norm: Norm = "batch", padding: int = 1) -> None:
        super().__init__()
        widths = [width * min(2**level, _WIDEST) for level in range(layers + 1)]
        stages = [nn.Sequential(nn.Conv2d(bands, width, 4, stride=2, padding=padding), nn.LeakyReLU(_SLOPE))]
        for level in range(1, layers + 1):
            stages.append(
                nn.Sequential(
                    nn.Conv2d(
                        widths[level - 1],
                        widths[level],
                        4,
                        stride=2 if level < layers else 1,
                        padding=padding,
                        bias=norm == "instance",  # the batch's mean takes a bias away again
                    ),
                    nn.InstanceNorm2d(widths[level]) if norm == "instance" else nn.BatchNorm2d(widths[level]),
                    nn.LeakyReLU(_SLOPE),
                )
            )
        self.stages = nn.ModuleList([*stages, nn.Conv2d(widths[-1], 1, 4, padding=padding)])

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return what every layer makes of the images, the scores last."""
        results = [images]
        for stage in self.stages:
            results.append(stage(results[-1]))
        return results[1:]


def adversarial_loss(scores: Tensor, real: bool, least_squares: bool) -> Tensor:
    """Return how far scores are from those of true images (`real`), or of made ones.

    By their squared distance from 1 or 0 (Mao et al. 2017, arXiv:1611.04076), else by cross-entropy, the scores being logits.
    """
    wanted = torch.full_like(scores, float(real), dtype=torch.float32)
    if least_squares:
        return F.mse_loss(scores.float(), wanted)
    return F.binary_cross_entropy_with_logits(scores.float(), wanted)


def initialize(network: nn.Module) -> None:
    """Draw the first weights of convolutions from N(0, 0.02), and scales of normalisations from N(1, 0.02), as the papers."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, _INITIAL_DEVIATION)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, _INITIAL_DEVIATION)
            nn.init.zeros_(module.bias)


@contextmanager
def held(*networks: nn.Module) -> Iterator[None]:
    """Let gradients pass through networks without being gathered in their weights, for a while."""
    parameters = [parameter for network in networks for parameter in network.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def bare(network: nn.Module) -> nn.Module:
    """Return a network without the wrapper that several processes give it.

    Where only gradients of its input are wanted it is called so: the wrapper would wait for its weights' gradients.
    """
    inner = getattr(network, "module", network)
    assert isinstance(inner, nn.Module)
    return inner


class ImagePool:
    """Made images of earlier steps, half of what the discriminator is shown (Shrivastava et al. 2017, arXiv:1612.07828).

    Args:
        size: images that are kept; 0 shows the newest alone.
    """

    def __init__(self, size: int = 50) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def exchanged(self, images: Tensor) -> Tensor:
        """Return images (batch, bands, height, width): each is the one given, or an earlier one whose place it takes."""
        shown = []
        for image in images.detach():
            if len(self.images) < self.size:
                self.images.append(image)
                shown.append(image)
            elif self.size and torch.rand(()) < 0.5:
                place = int(torch.randint(self.size, ()))
                earlier, self.images[place] = self.images[place], image
                shown.append(earlier if earlier.shape == image.shape else image)
            else:
                shown.append(image)
        return torch.stack([image.to(images.device, images.dtype) for image in shown])

    def state(self) -> list[Tensor]:
        """Return the images, on the CPU."""
        return [image.cpu() for image in self.images]

    def restore(self, images: Sequence[Tensor]) -> None:
        """Take back what `state` returned."""
        self.images = list(images)
