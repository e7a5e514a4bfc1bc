"""Images of any size for networks whose maps must halve evenly."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def pad_to_multiple(images: Tensor, multiple: int, least: int = 0) -> Tensor:
    """Return images (batch, bands, height, width) whose sides are multiples of `multiple`, widened at the right and bottom.

    Sides come out no shorter than `least`, a multiple of it.

    The last row and column are repeated: unlike mirroring that works for any size, and unlike zeros it shows the network
    no edge where there is none. Crop the result back with `[..., :height, :width]`.
    """
    height, width = images.shape[-2:]
    below, right = (least - side if side < least else -side % multiple for side in (height, width))
    if below == 0 and right == 0:
        return images
    return F.pad(images, (0, right, 0, below), mode="replicate")
