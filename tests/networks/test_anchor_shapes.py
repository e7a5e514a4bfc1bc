"""Anchor shapes: overlaps by hand, and clusters that are found again."""

from __future__ import annotations

import numpy as np
import pytest

from chipwright.networks.anchor_shapes import cluster_shapes, shape_overlaps


def around(*centers: tuple[float, float], count: int = 40, spread: float = 0.05) -> np.ndarray:
    """Return sizes scattered about each centre."""
    rng = np.random.default_rng(1)
    return np.concatenate([np.array(center) * rng.uniform(1 - spread, 1 + spread, (count, 2)) for center in centers])


def test_overlaps_are_of_boxes_laid_in_each_others_centre() -> None:
    overlaps = shape_overlaps(np.array([[10.0, 20.0], [4.0, 4.0]]), np.array([[10.0, 20.0], [20.0, 10.0], [2.0, 2.0]]))

    np.testing.assert_allclose(overlaps, [[1, 100 / 300, 4 / 200], [16 / 200, 16 / 200, 4 / 16]])


def test_clusters_are_found_again_by_rising_area() -> None:
    centers = ((60.0, 20.0), (10.0, 10.0), (150.0, 150.0))

    found = cluster_shapes(around(*centers), 3)

    assert found is not None
    np.testing.assert_allclose(found, sorted(centers, key=lambda size: size[0] * size[1]), rtol=0.02)


def test_clusters_suit_boxes_better_than_sizes_drawn_from_them() -> None:
    shapes = np.random.default_rng(3).lognormal(3, 0.6, (500, 2))

    found = cluster_shapes(shapes, 9)

    assert found is not None
    drawn = [np.random.default_rng(seed).permutation(shapes)[:9] for seed in range(20)]
    assert shape_overlaps(shapes, found).max(1).mean() > max(shape_overlaps(shapes, some).max(1).mean() for some in drawn)


def test_one_seed_gives_one_result() -> None:
    shapes = np.random.default_rng(3).uniform(5, 90, (300, 2))

    np.testing.assert_array_equal(cluster_shapes(shapes, 9, seed=4), cluster_shapes(shapes, 9, seed=4))


@pytest.mark.parametrize("shapes", [np.zeros((0, 2)), np.full((50, 2), 20.0), np.arange(1, 17.0).reshape(8, 2)])
def test_fewer_different_sizes_than_clusters_give_none(shapes: np.ndarray) -> None:
    assert cluster_shapes(shapes, 9) is None


def test_boxes_without_area_are_left_out() -> None:
    shapes = np.concatenate([around((30, 30), (60, 60)), np.zeros((20, 2)), np.full((20, 2), (5.0, 0.0))])

    found = cluster_shapes(shapes, 2)

    assert found is not None
    np.testing.assert_allclose(found, [(30, 30), (60, 60)], rtol=0.02)
