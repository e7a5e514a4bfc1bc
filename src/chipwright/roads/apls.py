"""Average path length similarity of two road graphs (Van Etten et al. 2018, SpaceNet, arXiv:1807.01232), in pixels.

Points of one graph are looked up on the other; the shortest ways between all pairs of them are compared. A gap in a road that
hardly changes the overlap of masks makes ways longer, or cuts them off.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from chipwright.roads.graph import RoadGraph

SPACING = 50.0
"""Pixels between the points along a road whose ways are compared, beside its ends."""

SNAP = 4.0
"""Pixels within which the other graph must have a road for a point to be found on it."""

MOST_POINTS = 400
"""Points of a graph that are compared; of more, as many evenly spread."""

_NO_LENGTH = 1e-6

Places = tuple[NDArray[np.intp], NDArray[np.float64]]
"""Points on a graph: the edge of each, and its distance from the edge's start in pixels. Edge -1: not on the graph."""


def apls(truth: RoadGraph, found: RoadGraph, spacing: float = SPACING, snap: float = SNAP) -> float:
    """Return the harmonic mean of both directions' similarities, 0 to 1; NaN where neither graph has a road.

    0 where one of them has none, as in the original.
    """
    if not truth.edges and not found.edges:
        return math.nan
    if not truth.edges or not found.edges:
        return 0.0
    one, other = similarity(truth, found, spacing, snap), similarity(found, truth, spacing, snap)
    return 2 * one * other / (one + other) if one + other > 0 else 0.0


def similarity(source: RoadGraph, target: RoadGraph, spacing: float = SPACING, snap: float = SNAP) -> float:
    """Return 1 minus the mean of min(1, |difference| / length) over the ways between points of `source`.

    A way between points of which `target` has no way, or not both within `snap` pixels, counts as wholly different.
    """
    places = control_points(source, spacing)
    lengths = path_lengths(source, places)
    theirs = path_lengths(target, located(target, coordinates(source, places), snap))
    pairs = np.triu(np.isfinite(lengths) & (lengths > _NO_LENGTH * len(lengths)), 1)
    if not pairs.any():
        return 0.0
    length, other = lengths[pairs], theirs[pairs]
    found = np.isfinite(other)
    difference = np.ones(len(length))
    difference[found] = np.minimum(1.0, np.abs(length[found] - other[found]) / length[found])
    return float(1 - difference.mean())


def control_points(graph: RoadGraph, spacing: float = SPACING, most: int = MOST_POINTS) -> Places:
    """Return the points whose ways are compared: every node once, and points `spacing` pixels apart along the edges."""
    edges: list[int] = []
    along: list[float] = []
    seen: set[int] = set()
    for index, edge in enumerate(graph.edges):
        ends = []
        for node, at in ((edge.start, 0.0), (edge.end, edge.length)):
            if node not in seen:
                ends.append(at)
                seen.add(node)
        pieces = max(int(edge.length / spacing), 1)
        found = [*ends, *(edge.length * part / pieces for part in range(1, pieces))]
        edges += [index] * len(found)
        along += found
    if len(edges) > most:
        kept = np.linspace(0, len(edges) - 1, most).round().astype(int)
        return np.array(edges, np.intp)[kept], np.array(along)[kept]
    return np.array(edges, np.intp), np.array(along, np.float64)


def coordinates(graph: RoadGraph, places: Places) -> NDArray[np.float64]:
    """Return x, y of points on the graph, (count, 2)."""
    found = np.empty((len(places[0]), 2))
    for row, (index, at) in enumerate(zip(*places, strict=True)):
        edge = graph.edges[index]
        found[row] = [np.interp(at, edge.along, edge.points[:, axis]) for axis in (0, 1)]
    return found


def located(graph: RoadGraph, points: NDArray[np.float64], snap: float = SNAP) -> Places:
    """Return the nearest place on the graph of every point (count, 2) within `snap` pixels."""
    lines = np.array([shapely.LineString(edge.points) for edge in graph.edges])
    shapes = shapely.points(points)
    edges = np.full(len(points), -1, np.intp)
    asked, nearest = shapely.STRtree(lines).query_nearest(shapes, max_distance=snap, all_matches=False)
    edges[asked] = nearest
    along = np.zeros(len(points))
    along[asked] = shapely.line_locate_point(lines[nearest], shapes[asked])
    return edges, along


def path_lengths(graph: RoadGraph, places: Places) -> NDArray[np.float64]:
    """Return the shortest ways between points on the graph, (count, count) in pixels; infinite where there is none."""
    edges, along = places
    nodes, count = len(graph.nodes), len(edges)
    links: dict[tuple[int, int], float] = {}
    order = np.lexsort((along, edges))
    on_edge = np.split(order, np.searchsorted(edges[order], np.arange(len(graph.edges))))[1:]
    for edge, points in zip(graph.edges, on_edge, strict=True):
        stops = [(edge.start, 0.0), *((nodes + int(point), float(along[point])) for point in points), (edge.end, edge.length)]
        for (one, near), (other, far) in pairwise(stops):
            pair = min(one, other), max(one, other)
            length = max(far - near, _NO_LENGTH)  # a sparse matrix takes 0 for no link
            links[pair] = min(length, links.get(pair, math.inf))
    size = nodes + count
    rows, columns = np.array(list(links), np.intp).reshape(-1, 2).T
    matrix = csr_matrix((list(links.values()), (rows, columns)), shape=(size, size))
    own = nodes + np.arange(count)
    found: NDArray[np.float64] = dijkstra(matrix, directed=False, indices=own)[:, own] if count else np.zeros((0, 0))
    return found
