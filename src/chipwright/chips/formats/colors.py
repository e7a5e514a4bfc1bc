"""Colours for classes that come without one."""

from __future__ import annotations

import colorsys
from collections.abc import Collection

Color = tuple[int, int, int]

# First the hues of Okabe and Ito (https://jfly.uni-koeln.de/color/), then those of Paul Tol's muted scheme
# (https://sronpersonalpages.nl/~pault/): both are told apart by people with any of the common colour deficiencies.
PALETTE: tuple[Color, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (136, 204, 238),
    (51, 34, 136),
    (17, 119, 51),
    (153, 153, 51),
    (136, 34, 85),
    (170, 68, 153),
    (221, 204, 119),
    (68, 170, 153),
    (204, 102, 119),
)

_MOST = 1024
"""Positions with a colour of their own; nobody tells a thousand colours apart."""

_TRIED = 64
"""Colours tried for a class."""


def color_at(position: int) -> Color:
    """Return the colour of a position: the palette, then hues a golden angle apart in three shades, then the same again."""
    return _COLORS[position % _MOST]


def _made(position: int) -> Color:
    if position < len(PALETTE):
        return PALETTE[position]
    turn = position - len(PALETTE)
    red, green, blue = colorsys.hsv_to_rgb(turn * 0.618034 % 1, 0.75, (0.9, 0.65, 0.45)[turn % 3])
    return round(red * 255), round(green * 255), round(blue * 255)


_COLORS = tuple(_made(position) for position in range(_MOST))


def free_color(position: int, taken: Collection[Color]) -> Color:
    """Return the colour of a position, or the next one that no other class has; where `_TRIED` are taken, the first again."""
    colors = (color_at(position + step) for step in range(_TRIED))
    return next((color for color in colors if color not in taken), color_at(position))
