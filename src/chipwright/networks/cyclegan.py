"""CycleGAN's networks (Zhu et al. 2017, arXiv:1703.10593): a generator each way, and a judge of each domain's images.

The generator is that of Johnson et al. 2016 (arXiv:1603.08155): two halvings, residual blocks, two doublings; normalisation has
each image's own statistics, in training and afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from chipwright.networks.adversarial import PatchDiscriminator
from chipwright.networks.pix2pixhd import Pix2PixHDGenerator

WIDTH = 64
_HALVINGS = 2


@dataclass(frozen=True)
class Cycled:
    """What is made of images of both domains, (batch, bands, height, width) each, within -1..1.

    Attributes:
        to_b, to_a: images of A as of B, images of B as of A.
        back_a, back_b: these brought back.
        same_a, same_b: images of A and B put through the generator that makes such, None where bands differ.
    """

    to_b: Tensor
    to_a: Tensor
    back_a: Tensor
    back_b: Tensor
    same_a: Tensor | None = None
    same_b: Tensor | None = None


class CycleGenerators(nn.Module):
    """Both generators.

    Args:
        bands: of A and B.
        blocks: residual blocks.
        width: channels at full resolution.

    Attributes:
        reverse: whether one image alone is taken for one of B, and made one of A.
    """

    def __init__(self, bands: tuple[int, int], blocks: int = 9, width: int = WIDTH) -> None:
        super().__init__()
        a, b = bands
        self.to_b, self.to_a = (
            Pix2PixHDGenerator(given, made, width=width, halvings=_HALVINGS, blocks=blocks) for given, made in ((a, b), (b, a))
        )
        self.alike = a == b
        self.reverse = False

    def forward(self, images: Tensor, others: Tensor | None = None) -> Tensor | Cycled:
        """Return what is made of images of one domain; or, `others` being images of B, of both."""
        if others is None:
            made: Tensor = (self.to_a if self.reverse else self.to_b)(images)
            return made
        to_b, to_a = self.to_b(images), self.to_a(others)
        same = (self.to_a(images), self.to_b(others)) if self.training and self.alike else (None, None)
        return Cycled(to_b, to_a, self.to_a(to_b), self.to_b(to_a), *same)


class CycleJudges(nn.Module):
    """A discriminator of each domain's images."""

    def __init__(self, bands: tuple[int, int], width: int = WIDTH) -> None:
        super().__init__()
        self.of_a, self.of_b = (PatchDiscriminator(count, width, norm="instance") for count in bands)

    def forward(self, images: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores of images as ones of A, and of others as ones of B."""
        return self.of_a(images)[-1], self.of_b(others)[-1]
