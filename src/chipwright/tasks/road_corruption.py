"""Road masks with faults to learn mending from (Batra et al. 2019, section 3.4): lines erased and lines made up."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

LINES = 8
"""Lines erased, and lines made up."""

THICKNESS = 20
"""Pixels."""

_SHARES = (0.05, 0.25)
"""Length of a line, as a share of the mask's diagonal."""


def corrupted(
    mask: NDArray[np.bool_], rng: np.random.Generator, lines: int = LINES, width: int = THICKNESS
) -> NDArray[np.bool_]:
    """Return the road mask (height, width) with as many thick lines erased, across roads, as made up anywhere."""
    from PIL import Image, ImageDraw

    picture = Image.fromarray(mask.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    roads = np.argwhere(mask)
    for _ in range(lines if len(roads) else 0):
        row, column = roads[rng.integers(len(roads))]
        draw.line(_line((float(column), float(row)), mask.shape, rng), fill=0, width=width)
    for _ in range(lines):
        anywhere = (float(rng.uniform(0, mask.shape[1])), float(rng.uniform(0, mask.shape[0])))
        draw.line(_line(anywhere, mask.shape, rng), fill=1, width=width)
    return np.asarray(picture, bool)


def _line(centre: tuple[float, float], shape: tuple[int, ...], rng: np.random.Generator) -> list[Any]:
    """Return the ends of a line about a centre, of random length and direction."""
    reach = 0.5 * rng.uniform(*_SHARES) * math.hypot(*shape)
    angle = rng.uniform(0, math.pi)
    across, down = reach * math.cos(angle), reach * math.sin(angle)
    return [(centre[0] - across, centre[1] - down), (centre[0] + across, centre[1] + down)]
