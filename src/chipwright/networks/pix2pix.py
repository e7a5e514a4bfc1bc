"""pix2pix's generators: a U-Net down to a single pixel, or one over a backbone (Isola et al. 2017, arXiv:1611.07004)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from chipwright.networks.padding import pad_to_multiple
from chipwright.networks.unet import Unet

if TYPE_CHECKING:
    from chipwright.networks.backbones import Backbone

MOST_HALVINGS = 8
_WIDEST = 8
_SLOPE = 0.2
_DROPOUT = 0.5


class Pix2PixGenerator(nn.Module):
    """The paper's U-Net, "U-Net 256" with eight halvings.

    Its three levels above the coarsest drop half of their values in training. In the paper they do so afterwards, too, for want
    of other noise; here the same image always becomes the same image.

    Args:
        bands, made: of the input and of the result.
        width: channels of the first level; they double down to eight times.
        halvings: levels.

    Input: (batch, bands, height, width) of any size. Output: (batch, made, height, width) within -1..1.
    """

    def __init__(self, bands: int, made: int, width: int = 64, halvings: int = MOST_HALVINGS) -> None:
        super().__init__()
        self.multiple = 2**halvings
        widths = [width * min(2**level, _WIDEST) for level in range(halvings)]
        last = halvings - 1
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for level, made_here in enumerate(widths):
            given = bands if level == 0 else widths[level - 1]
            plain = level in (0, last)  # a single pixel has no deviation, and the input keeps its own
            halve: list[nn.Module] = [nn.Conv2d(given, made_here, 4, stride=2, padding=1, bias=False)]
            self.down.append(
                nn.Sequential(
                    *([] if level == 0 else [nn.LeakyReLU(_SLOPE)]), *halve, *([] if plain else [nn.BatchNorm2d(made_here)])
                )
            )
            above = made if level == 0 else widths[level - 1]
            below = made_here if level == last else 2 * made_here
            enlarge: list[nn.Module] = [nn.ReLU(), nn.ConvTranspose2d(below, above, 4, stride=2, padding=1, bias=level == 0)]
            if level:
                enlarge.append(nn.BatchNorm2d(above))
            if last - 3 <= level < last and made_here == above:
                enlarge.append(nn.Dropout(_DROPOUT))
            self.up.append(nn.Sequential(*enlarge))

    def forward(self, images: Tensor) -> Tensor:
        """Return what is made of the images."""
        height, width = images.shape[-2:]
        maps = [pad_to_multiple(images, self.multiple)]
        for down in self.down:
            maps.append(down(maps[-1]))
        result = maps.pop()
        for level in reversed(range(len(self.up))):
            result = self.up[level](result)
            if level:
                result = torch.cat([maps.pop(), result], 1)
        return result.tanh()[..., :height, :width]


class BackboneGenerator(nn.Module):
    """A U-Net over a backbone that gives images within -1..1. Input and output as of `Pix2PixGenerator`."""

    def __init__(self, backbone: Backbone, made: int) -> None:
        super().__init__()
        self.unet = Unet(backbone, outputs=made)

    def forward(self, images: Tensor) -> Tensor:
        """Return what is made of the images."""
        made: Tensor = self.unet(images)
        return made.tanh()


def halvings_for(size: int) -> int:
    """Return how often chips of a side can be halved: the paper's eight for 256 pixels or more."""
    return min(MOST_HALVINGS, size.bit_length() - 1)
