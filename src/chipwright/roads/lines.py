"""Roads as lines: in the pixels of a chip, and on a map."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from chipwright.roads.graph import HOLE, SPUR, Points, RoadGraph, road_graph

TOLERANCE = 1.0
"""Pixels that a simplified line may be off."""


def simplified(points: Points, tolerance: float) -> Points:
    """Return the points (count, 2) that are needed to stay within `tolerance` of the line (Douglas & Peucker 1973).

    Both ends stay. A ring keeps the point farthest from its beginning, however small it is.
    """
    if len(points) < 3:
        return points
    if np.array_equal(points[0], points[-1]):
        far = int(((points - points[0]) ** 2).sum(1).argmax())
        there, back = simplified(points[: far + 1], tolerance), simplified(points[far:], tolerance)
        return np.concatenate([there, back[1:]])
    found: Points = shapely.get_coordinates(shapely.simplify(shapely.LineString(points), tolerance, preserve_topology=False))
    return found


def graph_lines(graph: RoadGraph, transform: Affine | None = None, tolerance: float = TOLERANCE) -> list[Any]:
    """Return a graph's roads as simplified shapely LineStrings, from junction to junction.

    In pixels, whole numbers at pixels' centres; with a `transform` (pixel corners to map, as rasters have it) on the map.
    """
    lines = []
    for edge in graph.edges:
        points = simplified(edge.points, tolerance)
        if transform is not None:
            a, b, c, d, e, f = transform[:6]
            points = (points + 0.5) @ np.array([[a, d], [b, e]]) + (c, f)
        line = shapely.LineString(points)
        if line.length > 0:
            lines.append(line)
    return lines


def road_lines(
    mask: NDArray[Any],
    transform: Affine | None = None,
    tolerance: float = TOLERANCE,
    spur: float = SPUR,
    piece: float = SPUR,
) -> list[Any]:
    """Return the roads of a mask as shapely LineStrings, from junction to junction.

    Args:
        mask: (height, width), true where there is road.
        transform: from pixel corners to map coordinates; without it lines are in pixels, whole numbers at pixels' centres.
        tolerance: how many pixels a line may be off its centre line.
        spur: dead ends that branch off and are shorter, in pixels, or than the roads are wide, are pruned.
        piece: roads that hang together with nothing and are shorter, in pixels, are left out.
    """
    return graph_lines(road_graph(mask, spur, piece, HOLE), transform, tolerance)
