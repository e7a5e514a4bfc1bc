"""How edges are measured: ODS, OIS and average precision, with thinning and a tolerance in place (Martin et al. 2004).

Found edges are thinned twice, as the Berkeley benchmark has it: to ridges of probability, and what is left of these at each
threshold to lines one pixel wide. A found edge pixel is right if a true one lies within the tolerance, and each true one makes
one found pixel right: a matching of most pairs is sought. (The Berkeley benchmark's matching seeks the shortest pairs as well;
how many pairs there are, which is all that counts here, it settles in the same way up to its cost of leaving pixels alone.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.spatial import KDTree

from chipwright.roads.graph import centre_line

TOLERANCE = 0.0075
"""Of the image's diagonal: how far a found edge may lie from a true one."""

THRESHOLDS = np.round(np.linspace(0.02, 0.98, 33), 2)
"""Probabilities from which a pixel counts as an edge."""

Flags = NDArray[np.bool_]


def thinned(probabilities: NDArray[Any]) -> NDArray[np.float32]:
    """Return edge probabilities (height, width) with 0 wherever a neighbour across the edge has more.

    Across is where the smoothed map curves most, by its second derivatives (Dollar & Zitnick 2015). Neighbours are compared
    after a little smoothing, so that the middle of a plateau has more than its sides.
    """
    map_ = np.asarray(probabilities, np.float32)
    ridge = ndimage.gaussian_filter(map_, 1.0, mode="nearest")
    smooth = ndimage.gaussian_filter(map_, 2.0, mode="nearest")
    down, across = np.gradient(smooth)
    (down_down, down_across), (_, across_across) = np.gradient(down), np.gradient(across)
    angle = np.arctan2(2 * down_across, across_across - down_down) / 2 + np.where(across_across + down_down < 0, np.pi / 2, 0)
    rows, columns = np.indices(map_.shape, np.float32)
    kept = map_.copy()
    for side in (-1, 1):
        places = [rows + side * np.sin(angle), columns + side * np.cos(angle)]
        kept[ndimage.map_coordinates(ridge, places, order=1, mode="nearest") > ridge] = 0
    return kept


def one_wide(edges: Flags) -> Flags:
    """Return edges (height, width) as lines one pixel wide."""
    return np.asarray(centre_line(edges), bool)


@dataclass
class EdgeCounts:
    """Counts of one image at every threshold.

    Attributes:
        matched: found pixels that are right, and true pixels that were found: (thresholds,).
        found: found pixels (thresholds,).
        true: true pixels.
    """

    matched: NDArray[np.int64]
    found: NDArray[np.int64]
    true: int


def count_edges(
    probabilities: NDArray[Any],
    truth: NDArray[Any],
    thresholds: NDArray[np.float64] = THRESHOLDS,
    tolerance: float = TOLERANCE,
) -> EdgeCounts:
    """Return the counts of one image.

    Args:
        probabilities: (height, width), 0 to 1, not yet thinned.
        truth: (height, width): 1 for edges, 0 for others, anything else where nothing is known; there nothing counts.
        thresholds: ascending.
        tolerance: as a share of the diagonal.
    """
    known = (truth == 0) | (truth == 1)
    targets = np.argwhere(one_wide(truth == 1))
    strength = np.where(known, thinned(probabilities), 0)
    candidates = strength >= thresholds[0]
    near = _near(np.argwhere(candidates), targets, tolerance * math.hypot(*truth.shape))
    found, matched = np.zeros((2, len(thresholds)), np.int64)
    before = candidates
    for at, level in enumerate(thresholds):
        above = strength >= level
        if at and np.array_equal(above, before):
            found[at], matched[at] = found[at - 1], matched[at - 1]
            continue
        before, lines = above, one_wide(above)
        found[at] = np.count_nonzero(lines)
        if found[at]:
            pairs = maximum_bipartite_matching(near[lines[candidates]], perm_type="column")
            matched[at] = np.count_nonzero(pairs >= 0)
    return EdgeCounts(matched, found, len(targets))


def _near(points: NDArray[Any], targets: NDArray[Any], reach: float) -> csr_array:
    """Return which targets lie within reach of which points (points, targets)."""
    if not len(points) or not len(targets):
        return csr_array((len(points), len(targets)), dtype=bool)
    neighbours = KDTree(targets).query_ball_point(points, reach)
    starts = np.concatenate([[0], np.cumsum([len(some) for some in neighbours])])
    columns = np.concatenate([np.asarray(some, np.int64) for some in neighbours])
    return csr_array((np.ones(len(columns), bool), columns, starts), shape=(len(points), len(targets)))


@dataclass(frozen=True)
class EdgeFigures:
    """What several images give together.

    Attributes:
        ods: best F1 at one threshold for all images.
        ois: F1 with each image's own best threshold.
        average_precision: area under the precision-recall curve.
        threshold: that of ODS.
        precision, recall: at every threshold.
    """

    ods: float
    ois: float
    average_precision: float
    threshold: float
    precision: NDArray[np.float64] = field(repr=False)
    recall: NDArray[np.float64] = field(repr=False)


def edge_figures(counts: Sequence[EdgeCounts], thresholds: NDArray[np.float64] = THRESHOLDS) -> EdgeFigures:
    """Return the figures of images; NaN where none has an edge."""
    matched = np.sum([one.matched for one in counts], axis=0, initial=0) + np.zeros(len(thresholds), np.int64)
    found = np.sum([one.found for one in counts], axis=0, initial=0) + np.zeros(len(thresholds), np.int64)
    true = sum(one.true for one in counts)
    if not true:
        nothing = np.full(len(thresholds), math.nan)
        return EdgeFigures(math.nan, math.nan, math.nan, 0.5, nothing, nothing)
    precision, recall = matched / np.maximum(found, 1), matched / true
    f1 = _f1(matched, found, true)
    best = int(np.argmax(f1))
    own = [int(np.argmax(_f1(one.matched, one.found, one.true))) for one in counts]
    sums = np.array([(one.matched[at], one.found[at]) for one, at in zip(counts, own, strict=True)]).sum(0)
    return EdgeFigures(
        float(f1[best]),
        float(_f1(sums[0], sums[1], true)),
        _area(precision, recall),
        float(thresholds[best]),
        np.where(found > 0, precision, math.nan),
        recall,
    )


def _f1(matched: Any, found: Any, true: int) -> Any:
    return 2 * matched / np.maximum(np.asarray(found) + true, 1)


def _area(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> float:
    """Return the mean over 101 recalls of the best precision at that recall or a higher one."""
    asked = np.linspace(0, 1, 101)
    best = [precision[recall >= level].max(initial=0.0) for level in asked]
    return float(np.mean(best))
