"""The graph of a road mask: its centre line traced from junction to junction.

    graph = road_graph(mask)
    graph.edges[0].points                       # (count, 2): x, y in pixels, whole numbers at pixels' centres

Needs scikit-image (the extra "roads").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from chipwright.errors import MissingExtra

Points = NDArray[np.float64]

SPUR = 10.0
"""Pixels: dead ends that branch off and are shorter than this, or than roads are wide, come from the outline of a road."""

HOLE = 50
"""Pixels: smaller holes in a road are no island."""

_AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
_SMALLEST_LOOP = 4
"""Pixels: what returns to its junction in fewer is the edge of a thick spot."""


@dataclass(frozen=True, eq=False)
class Edge:
    """A road between two nodes.

    Attributes:
        start, end: indices of the nodes; the same for a loop.
        points: (count, 2) x, y in pixels from the one to the other.
    """

    start: int
    end: int
    points: Points

    @cached_property
    def along(self) -> NDArray[np.float64]:
        """Distance of each point from the start, in pixels."""
        steps = np.linalg.norm(np.diff(self.points, axis=0), axis=1)
        return np.concatenate([[0.0], np.cumsum(steps)])

    @property
    def length(self) -> float:
        """Length in pixels."""
        return float(self.along[-1])

    def reversed(self) -> Edge:
        """Return the same road the other way."""
        return Edge(self.end, self.start, self.points[::-1])


@dataclass(frozen=True)
class RoadGraph:
    """Roads as edges; `nodes` are (count, 2) x, y in pixels: junctions, ends, and one point of a ring."""

    nodes: Points = field(default_factory=lambda: np.zeros((0, 2)))
    edges: list[Edge] = field(default_factory=list)


def require_scikit_image(purpose: str) -> None:
    """Check that centre lines can be found.

    Raises:
        MissingExtra: if scikit-image is not installed.
    """
    try:
        import skimage.morphology  # noqa: F401
    except ImportError as error:
        raise MissingExtra("roads", purpose) from error


def centre_line(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the pixels (height, width) of a mask's centre line, one pixel wide.

    Raises:
        MissingExtra: without scikit-image.
    """
    require_scikit_image("Finding centre lines")
    from skimage.morphology import skeletonize

    shape: NDArray[np.bool_] = np.ascontiguousarray(mask, dtype=bool)
    return skeletonize(shape) if shape.any() else shape


def road_graph(mask: NDArray[Any], spur: float = SPUR, piece: float = 0.0, hole: int = 0) -> RoadGraph:
    """Return the graph of a road mask (height, width).

    Args:
        mask: true where there is road.
        spur: dead ends that branch off and are shorter than this, in pixels, or than the roads of the mask are wide on average,
            are pruned.
        piece: roads shorter than this that hang together with nothing are left out.
        hole: holes of fewer pixels are closed first; they would make rings.
    """
    shape = _closed(np.asarray(mask, bool), hole) if hole else np.asarray(mask, bool)
    line = centre_line(shape)
    if not line.any():
        return RoadGraph()
    width = float(shape.sum() / line.sum())
    return pruned(trace(line), max(spur, width), piece)


def measured_graph(mask: NDArray[Any]) -> RoadGraph:
    """Return the graph that lines and figures are made of: specks left out, small holes closed."""
    return road_graph(mask, piece=SPUR, hole=HOLE)


def _closed(mask: NDArray[np.bool_], hole: int) -> NDArray[np.bool_]:
    labels, _ = ndimage.label(~mask)
    small = np.bincount(labels.ravel()) < hole
    small[0] = True  # the mask itself
    closed: NDArray[np.bool_] = small[labels]
    return closed


def trace(line: NDArray[np.bool_]) -> RoadGraph:
    """Return the graph of a centre line (height, width): pixels with other than two neighbours are nodes.

    Nodes that touch are one, in their middle. Nodes that only two roads meet at are none.
    """
    rows, columns = np.nonzero(line)
    number = np.full((line.shape[0] + 2, line.shape[1] + 2), -1, np.int32)
    number[rows + 1, columns + 1] = np.arange(len(rows))
    table = np.stack([number[rows + 1 + dy, columns + 1 + dx] for dy, dx in _AROUND], axis=1)
    beside = [[at for at in row if at >= 0] for row in table.tolist()]
    marked = np.zeros(line.shape, bool)
    marked[rows, columns] = (table >= 0).sum(axis=1) != 2
    labels, count = ndimage.label(marked, structure=np.ones((3, 3)))
    own = labels[rows, columns] - 1
    node_of = own.tolist()
    xy = np.stack([columns, rows], axis=1).astype(np.float64)
    of_nodes, members = own[own >= 0], xy[own >= 0]
    sums = [np.bincount(of_nodes, members[:, axis], minlength=count) for axis in (0, 1)]
    nodes = [(x, y) for x, y in zip(*(total / np.bincount(of_nodes, minlength=count) for total in sums), strict=True)]
    seen = bytearray(len(rows))
    edges: list[Edge] = []
    for pixel, node in enumerate(node_of):
        for step in beside[pixel] if node >= 0 else ():
            if node_of[step] < 0 and not seen[step]:
                path, end = _walk(pixel, step, beside, node_of, seen)
                if end != node or len(path) >= _SMALLEST_LOOP:
                    edges.append(Edge(node, end, np.concatenate([[nodes[node]], xy[path], [nodes[end]]])))
    for pixel, node in enumerate(node_of):  # what is left are rings without a junction
        if node < 0 and not seen[pixel]:
            seen[pixel] = 1
            path, at = [pixel], beside[pixel][0]
            while not seen[at]:
                seen[at] = 1
                path.append(at)
                at = next((other for other in beside[at] if not seen[other]), pixel)
            nodes.append((float(xy[pixel, 0]), float(xy[pixel, 1])))
            edges.append(Edge(len(nodes) - 1, len(nodes) - 1, xy[[*path, pixel]]))
    return _joined(RoadGraph(np.array(nodes, np.float64).reshape(-1, 2), edges))


def _walk(
    pixel: int, step: int, beside: Sequence[Sequence[int]], node_of: Sequence[int], seen: bytearray
) -> tuple[list[int], int]:
    """Return the pixels from a node to the next one, and that node."""
    path, before, at = [step], pixel, step
    seen[at] = 1
    while True:
        one, other = beside[at]
        onward = other if one == before else one
        if node_of[onward] >= 0:
            return path, node_of[onward]
        seen[onward] = 1
        path.append(onward)
        before, at = at, onward


def _joined(graph: RoadGraph) -> RoadGraph:
    """Return the graph with roads made one where only two of them meet."""
    edges: dict[int, Edge] = dict(enumerate(graph.edges))
    at_node: dict[int, list[int]] = defaultdict(list)
    for key, edge in edges.items():
        at_node[edge.start].append(key)
        at_node[edge.end].append(key)
    fresh = len(edges)
    for node, keys in at_node.items():
        if len(keys) != 2 or keys[0] == keys[1]:
            continue
        first, second = (edges.pop(key) for key in keys)
        first = first if first.end == node else first.reversed()
        second = second if second.start == node else second.reversed()
        edges[fresh] = Edge(first.start, second.end, np.concatenate([first.points, second.points[1:]]))
        for end, old in ((first.start, keys[0]), (second.end, keys[1])):
            at_node[end][at_node[end].index(old)] = fresh
        keys.clear()
        fresh += 1
    return RoadGraph(graph.nodes, list(edges.values()))


def pruned(graph: RoadGraph, spur: float = SPUR, piece: float = 0.0) -> RoadGraph:
    """Return the graph without short dead ends at junctions, and without short roads on their own."""
    while True:
        degree = np.zeros(len(graph.nodes), np.int64)
        for edge in graph.edges:
            degree[edge.start] += 1
            degree[edge.end] += 1
        kept = [
            edge
            for edge in graph.edges
            if edge.length >= (spur if max(degree[edge.start], degree[edge.end]) > 2 else piece)
            or min(degree[edge.start], degree[edge.end]) > 1
        ]
        if len(kept) == len(graph.edges):
            return graph
        graph = _joined(RoadGraph(graph.nodes, kept))
