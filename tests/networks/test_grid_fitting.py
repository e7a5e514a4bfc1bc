"""Grids and ratios picked from boxes."""

from __future__ import annotations

import numpy as np
import pytest

from chipwright.networks.grid_fitting import SQUARE, anchor_overlaps, grid_cells, out_of_reach, pick_grids, pick_ratios


def boxes(*sides: tuple[float, float], each: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    sizes = np.repeat(np.array(sides, float), each, 0) * rng.uniform(0.95, 1.05, (each * len(sides), 2))
    corner = rng.uniform(0, 100, sizes.shape)
    return np.concatenate([corner, corner + sizes], 1)


def test_grids_are_those_whose_cells_have_the_boxes_sizes() -> None:
    assert pick_grids(boxes((16, 16), (64, 64)), (256, 256)) == (16, 4)


def test_a_third_and_a_fourth_size_get_grids_of_their_own_where_they_gain() -> None:
    assert pick_grids(boxes((8, 8), (32, 32), (128, 128)), (256, 256)) == (32, 8, 2)
    assert pick_grids(boxes((8, 8), (21, 21), (64, 64), (200, 200)), (256, 256)) == (32, 12, 4, 1)


def test_a_third_grid_that_gains_little_is_left_out() -> None:
    assert len(pick_grids(boxes((20, 20), (60, 60), (62, 62)), (256, 256))) == 2


def test_boxes_of_one_size_give_one_grid() -> None:
    same = np.tile([10.0, 10, 42, 42], (9, 1))

    assert pick_grids(same, (256, 256)) == (8,)


def test_cells_are_four_pixels_at_least() -> None:
    assert pick_grids(boxes((1.2, 1.2), (2, 2)), (64, 64)) == (16,)


def test_picking_is_not_left_to_chance() -> None:
    some = boxes((11, 17), (30, 25), (90, 70))

    assert pick_grids(some, (256, 256)) == pick_grids(some, (256, 256))


def test_four_means_four_cells_along_each_side() -> None:
    assert grid_cells([4, 2], (400, 200)) == [(100, 50), (200, 100)]


def test_overlap_with_an_anchor_of_half_the_area_is_a_half() -> None:
    some = np.array([[0.0, 0, 20, 10]])

    assert anchor_overlaps(some, [(40, 20)], [0.5], [(1, 0.5)]) == pytest.approx([0.5])
    assert anchor_overlaps(some, [(40, 20)], [0.5], [(1, 1)]) == pytest.approx([1])


def test_square_boxes_need_no_other_ratios() -> None:
    assert pick_ratios(boxes((30, 30), (32, 28)), [(32, 32)], [1.0]) == SQUARE


def test_long_boxes_get_upright_and_lying_anchors_of_the_square_ones_area() -> None:
    ratios = pick_ratios(boxes((80, 16), (16, 80)), [(36, 36)], [1.0])

    assert len(ratios) == 3
    assert [width * height for width, height in ratios] == pytest.approx([1, 1, 1])
    assert max(width / height for width, height in ratios) == pytest.approx(5)


def test_boxes_of_less_than_half_or_more_than_one_and_a_half_of_an_anchor_are_out_of_reach() -> None:
    some = np.array([[0.0, 0, 10, 10], [0, 0, 30, 30], [0, 0, 30, 15], [0, 0, 31, 20]])

    assert out_of_reach(some, [(20, 20)], [1.0], SQUARE) == 0.25
    assert out_of_reach(some, [(20, 20)], [1.0, 1.3], SQUARE) == 0
