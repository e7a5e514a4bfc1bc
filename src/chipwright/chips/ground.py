"""The ground that chips cover: which of them share some, and which lie together in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from chipwright.chips.chipset import Chip

_INSET = 0.25
"""Pixels by which footprints are drawn in, so that neighbours edge to edge share no ground, rounding or not."""

_NEAR = 0.5
"""Share of a chip's side: chips no farther apart lie in one place."""

_COMMON_CRS = "EPSG:4326"


class Ground:
    """Footprints of chips that all have a georeference.

    Chips whose coordinate systems differ are compared in longitude and latitude; where one has none, only chips with the
    same (missing) system are compared. Chips of different domains are never: they are pictures of different kinds.

    Attributes:
        footprints: one polygon a chip, a quarter of a pixel small.
        centers: float64 (count, 2).
        sides: float64 (count,) mean side of a chip, in map units.
    """

    def __init__(self, chips: Sequence[Chip]) -> None:
        corners = np.array([_corners(chip) for chip in chips], np.float64).reshape(-1, 4, 2)
        systems = [chip.georeference.crs if chip.georeference else None for chip in chips]
        if len(set(systems)) > 1 and all(systems):
            corners = _in_common_system(corners, systems)
            systems = [_COMMON_CRS] * len(chips)
        planes = [(name or "", chip.domain) for name, chip in zip(systems, chips, strict=True)]
        numbers = {plane: number for number, plane in enumerate(sorted(set(planes)))}
        self.planes = np.array([numbers[plane] for plane in planes], np.int64)
        self.centers: NDArray[np.float64] = corners.mean(axis=1)
        self.footprints: NDArray[Any] = shapely.polygons(corners)
        self.sides: NDArray[np.float64] = np.sqrt(shapely.area(self.footprints))

    def places(self) -> NDArray[np.int64]:
        """Return for each chip the number of the place it lies in; chips in different places are half a chip or more apart."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        tree = shapely.STRtree(self.footprints)
        first, second = tree.query(self.footprints, predicate="dwithin", distance=_NEAR * self.sides)
        same = self.planes[first] == self.planes[second]
        first, second = first[same], second[same]
        count = len(self.footprints)
        graph = coo_matrix((np.ones(len(first), np.int8), (first, second)), shape=(count, count))
        return connected_components(graph, directed=False)[1].astype(np.int64)

    def touching(self, some: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those indices of `some` whose chips share ground with a chip of `others`, ascending."""
        tree = shapely.STRtree(self.footprints[others])
        first, second = tree.query(self.footprints[some], predicate="intersects")
        same = self.planes[some[first]] == self.planes[others[second]]
        return np.unique(some[first[same]])

    def overlapping(self) -> NDArray[np.bool_]:
        """Return for each chip whether it shares ground with another, (count,)."""
        first, second = shapely.STRtree(self.footprints).query(self.footprints, predicate="intersects")
        other = (first != second) & (self.planes[first] == self.planes[second])
        found = np.zeros(len(self.footprints), bool)
        found[first[other]] = True
        return found

    def layers(self) -> float:
        """Return on how many chips a piece of ground lies in the mean, of the ground that lies on any."""
        planes = [self.footprints[self.planes == plane] for plane in np.unique(self.planes)]
        covered = sum(shapely.area(shapely.union_all(footprints)) for footprints in planes)
        return float(shapely.area(self.footprints).sum() / covered) if covered else 0.0

    def extent(self, indices: NDArray[np.int64]) -> int:
        """Return about how many chips it takes to cover the ground of the chips at `indices` once."""
        cells = np.floor(self.centers[indices] / np.median(self.sides[indices]))
        return len(np.unique(cells, axis=0))


def _corners(chip: Chip) -> list[tuple[float, float]]:
    """Return the chip's corners in map units, drawn in a little."""
    if chip.georeference is None:
        raise ValueError(f"{chip.name} has no georeference")
    a, b, c, d, e, f = chip.georeference.transform
    left, top, right, bottom = _INSET, _INSET, chip.georeference.width - _INSET, chip.georeference.height - _INSET
    pixels = (left, top), (right, top), (right, bottom), (left, bottom)
    return [(a * column + b * row + c, d * column + e * row + f) for column, row in pixels]


def _in_common_system(corners: NDArray[np.float64], systems: Sequence[str | None]) -> NDArray[np.float64]:
    """Return the corners (count, 4, 2) as longitude and latitude."""
    from rasterio.warp import transform

    common = np.empty_like(corners)
    for system in sorted({str(name) for name in systems}):
        chosen = np.array([name == system for name in systems])
        points = corners[chosen].reshape(-1, 2)
        common[chosen] = np.stack(transform(system, _COMMON_CRS, *points.T), axis=-1).reshape(-1, 4, 2)
    return common
