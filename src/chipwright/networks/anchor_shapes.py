"""Anchors as widths and heights alone, clustered from the boxes of a training set (Redmon & Farhadi 2017, 1612.08242)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Shapes = NDArray[np.float64]

_MOST_BOXES = 5_000
_STARTS = 10
_MOST_ROUNDS = 300


def shape_overlaps(first: NDArray[Any], second: NDArray[Any]) -> Shapes:
    """Return the IoU of boxes of sizes `first` (n, 2) and `second` (m, 2), laid one in the other's centre, as (n, m)."""
    shared = np.minimum(first[:, None], second[None]).prod(2)
    return shared / (first.prod(1)[:, None] + second.prod(1)[None] - shared)


def cluster_shapes(shapes: NDArray[Any], count: int, seed: int = 0) -> Shapes | None:
    """Return `count` shapes (count, 2) that suit box sizes (n, 2) best, by rising area, or None for fewer different sizes.

    k-means with the distance 1 - IoU, the best of ten starts, each spread over the sizes as k-means++ does. One seed gives one
    result. Of very many boxes every n-th is taken. Boxes without width or height are left out.
    """
    shapes = np.asarray(shapes, np.float64).reshape(-1, 2)
    shapes = shapes[(shapes > 0).all(1)]
    shapes = shapes[:: max(1, -(-len(shapes) // _MOST_BOXES))]
    if len(np.unique(shapes, axis=0)) < count:
        return None
    rng = np.random.default_rng(seed)
    found = [_clustered(shapes, _spread(shapes, count, rng)) for _ in range(_STARTS)]
    best = max(found, key=lambda centers: float(shape_overlaps(shapes, centers).max(1).mean()))
    return best[np.lexsort((best[:, 0], best.prod(1)))]


def _spread(shapes: Shapes, count: int, rng: np.random.Generator) -> Shapes:
    """Return starting centres, each drawn by its squared distance to those before (k-means++, Arthur & Vassilvitskii 2007)."""
    centers = shapes[rng.integers(len(shapes))][None]
    while len(centers) < count:
        far = np.square(1 - shape_overlaps(shapes, centers).max(1))
        centers = np.concatenate([centers, shapes[rng.choice(len(shapes), p=far / far.sum())][None]])
    return centers


def _clustered(shapes: Shapes, centers: Shapes) -> Shapes:
    """Return the centres once no box changes its cluster; a cluster that lost its boxes keeps its centre."""
    owner = np.full(len(shapes), -1)
    for _ in range(_MOST_ROUNDS):
        nearest = shape_overlaps(shapes, centers).argmax(1)
        if (nearest == owner).all():
            break
        owner = nearest
        sizes = np.bincount(owner, minlength=len(centers))[:, None]
        sums = np.stack([np.bincount(owner, shapes[:, side], len(centers)) for side in range(2)], 1)
        centers = np.where(sizes > 0, sums / np.maximum(sizes, 1), centers)
    return centers
