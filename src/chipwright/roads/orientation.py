"""The direction of roads as classes of pixels, made from the centre line of a mask (Batra et al. 2019).

The line is traced, simplified, and each straight piece paints the angle it runs at onto a band around it. An undirected road
runs from its end farther from the upper left corner to the nearer one.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from chipwright.roads.graph import SPUR, Points, road_graph
from chipwright.roads.lines import simplified

TOLERANCES = {1: 4.0, 2: 2.0, 4: 1.0}
"""Pixels that the simplified line may be off, by the stride of the output that is supervised."""

_MOST_WIDENING = 3.0
DEFAULT_THRESHOLD = 0.76


def orientation_classes(bin_size: float) -> int:
    """Return the number of direction classes, background included: 37 for bins of 10 degrees, 19 for 20."""
    return int(360 / bin_size) + 1


def orientation_target(mask: NDArray[np.bool_], bin_size: float, theta: float, stride: int = 1) -> NDArray[np.int16]:
    """Return the direction class of every pixel of a road mask (height, width), taken at every `stride`-th pixel.

    The bands' half width `theta` is in pixels of the result, whatever the stride.
    """
    small = mask[::stride, ::stride]
    graph = road_graph(small, spur=SPUR / stride)
    lines = (directed(simplified(edge.points, TOLERANCES[stride])) for edge in graph.edges)
    return painted(lines, small.shape, bin_size, theta)


def directed(points: Points) -> Points:
    """Return a road's points from its end farther from the upper left corner to the nearer."""
    return points if np.hypot(*points[0]) >= np.hypot(*points[-1]) else points[::-1]


def painted(lines: Iterable[Points], shape: tuple[int, int], bin_size: float, theta: float) -> NDArray[np.int16]:
    """Return direction classes (height, width) of lines given as key points (count, 2): x, y in pixels.

    Class k holds angles from k bins on, with rows counted downwards, 0 to 360 degrees; the last bin also takes what is left
    where bins do not fill the circle, and the class after it is the background. A straight piece paints the pixels within
    `theta` of its line and inside its upright hull widened by `theta`, right and lower edges excluded. Later pieces
    paint over earlier ones.
    """
    background = orientation_classes(bin_size) - 1
    target = np.full(shape, background, np.int16)
    height, width = shape
    for line in lines:
        for (x0, y0), (x1, y1) in pairwise(line):
            across, down = x1 - x0, y1 - y0
            length = float(np.hypot(across, down))
            if length == 0:
                continue
            left, right = (max(int(np.ceil(side)), 0) for side in (min(x0, x1) - theta, max(x0, x1) + theta))
            top, bottom = (max(int(np.ceil(side)), 0) for side in (min(y0, y1) - theta, max(y0, y1) + theta))
            window = target[top : min(bottom, height), left : min(right, width)]
            rows, columns = (np.arange(count, dtype=np.float64) for count in window.shape)
            off = (columns + (left - x0)) * (down / length) - ((rows + (top - y0)) * (across / length))[:, None]
            angle = np.degrees(np.arctan2(down, across)) % 360
            window[np.abs(off) <= theta + 1e-9] = min(int(angle // bin_size), background - 1)
    return target


def widened(mask: NDArray[np.bool_], threshold: float) -> NDArray[np.bool_]:
    """Return the road mask (height, width) made wider or narrower: where a Gaussian over the centre line reaches `threshold`.

    The Gaussian is 1 on the centre line and falls to 0.76 at the road's own edge (`DEFAULT_THRESHOLD`): that threshold returns
    the mask as it is, higher ones narrower roads (1: the centre line), lower ones wider (0.5: 1.6 times), 3 times at most.
    """
    if threshold == DEFAULT_THRESHOLD or not mask.any():
        return mask
    from scipy import ndimage

    from chipwright.roads.graph import centre_line

    line = centre_line(mask)
    half_width = ndimage.distance_transform_edt(mask)
    off, nearest = ndimage.distance_transform_edt(~line, return_indices=True)
    sigmas = np.sqrt(np.log(max(threshold, 1e-9)) / np.log(DEFAULT_THRESHOLD))
    reached: NDArray[np.bool_] = line | (off < half_width[tuple(nearest)] * min(sigmas, _MOST_WIDENING))
    return reached
