"""How far around a pixel a network looks, measured on the network itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SHARE = 2e-3
"""Share of a pixel's gradient that may lie beyond the margin: it keeps probabilities within 0.01 (docs/performance.md)."""

_PLACES = 2


def margin_of(
    numbers: Callable[[Tensor], Tensor], bands: int, size: int, device: torch.device, share: float = SHARE
) -> int | None:
    """Return the pixels around a pixel in which all but `share` of its gradient lies; None if they do not fit into the window.

    The effective receptive field (Luo et al. 2016, 1701.04128) of places about the middle of a window of noise. A network that
    pools globally has none: every pixel looks at the whole window, if ever so little.

    Args:
        numbers: takes normalised images (1, bands, size, size) and gives what a map is made of, (1, channels, size, size).
        bands: of the images.
        size: side of the window in pixels.
        device: of the network.
        share: of the gradient.
    """
    generator = torch.Generator().manual_seed(0)
    middle = size // 2
    most = 0
    pixels = torch.randn(1, bands, size, size, generator=generator).to(device).requires_grad_()
    with torch.enable_grad():
        made = numbers(pixels)[0]
    if not made.requires_grad:  # it decides by steps, as a table of classes does
        return 0
    for place in range(_PLACES):
        row, column = middle - 11 * place, middle - 7 * place  # not both at one place of the coarse maps' cells
        found = made[:, row, column]
        signs = torch.where(torch.rand(len(found), generator=generator) < 0.5, -1.0, 1.0).to(device)
        (slopes,) = torch.autograd.grad((found.float() * signs).sum(), pixels, retain_graph=True)
        reach = _reach(slopes[0].abs().sum(0).cpu(), row, column, share)
        if reach is None:
            return None
        most = max(most, reach)
    return most


def _reach(slopes: Tensor, row: int, column: int, share: float) -> int | None:
    """Return the smallest distance in rows or columns that leaves less than `share` of the gradient (height, width) outside."""
    rows, columns = (torch.arange(side) for side in slopes.shape)
    distance = torch.maximum((rows - row).abs()[:, None], (columns - column).abs()[None])
    by_distance = torch.zeros(int(distance.max()) + 1, dtype=torch.float64)
    by_distance.scatter_add_(0, distance.flatten(), slopes.flatten().double())
    total = float(by_distance.sum())
    if total == 0:
        return 0
    outside = total - by_distance.cumsum(0)
    reach = int((outside > share * total).sum())
    whole = min(row, column, slopes.shape[0] - 1 - row, slopes.shape[1] - 1 - column)  # beyond it only a part is seen
    return reach if reach <= whole else None
