"""Directions of roads as classes of pixels: the figures of the original, by its key points and end to end."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.roads.orientation import directed, orientation_classes, orientation_target, painted, widened

BACKGROUND = 36


def points(*pairs: tuple[float, float]) -> NDArray[np.float64]:
    return np.array(pairs, float)


def on_eight(*lines: NDArray[np.float64], theta: float = 1) -> NDArray[np.int16]:
    return painted(lines, (8, 8), 10, theta)


def counts(target: NDArray[np.int16]) -> dict[int, int]:
    return {int(value): int(count) for value, count in zip(*np.unique(target, return_counts=True), strict=True)}


def test_a_horizontal_road_covers_two_theta_rows_and_runs_towards_the_origin():
    target = on_eight(points((7, 4), (0, 4)))
    assert (target[3:5] == 18).all()
    assert counts(target) == {18: 16, BACKGROUND: 48}


def test_the_direction_is_that_of_the_key_points():
    target = on_eight(points((0, 4), (7, 4)))
    assert (target[3:5] == 0).all()


def test_a_vertical_road_upwards_is_at_270_degrees():
    target = on_eight(points((4, 7), (4, 0)))
    assert (target[:, 3:5] == 27).all()
    assert counts(target) == {27: 16, BACKGROUND: 48}


def test_a_diagonal_road():
    assert counts(on_eight(points((7, 7), (0, 0)))) == {22: 22, BACKGROUND: 42}


def test_theta_is_half_the_width():
    target = on_eight(points((7, 4), (0, 4)), theta=2)
    assert (target[2:6] == 18).all()
    assert counts(target) == {18: 32, BACKGROUND: 32}


def test_without_roads_all_is_background():
    assert counts(on_eight()) == {BACKGROUND: 64}
    assert counts(orientation_target(np.zeros((8, 8), bool), 10, 1)) == {BACKGROUND: 64}


def test_later_pieces_paint_over_earlier_ones():
    target = on_eight(points((7, 4), (0, 4)), points((4, 7), (4, 0)))
    assert (target[:, 3:5] == 27).all()
    assert counts(target) == {27: 16, 18: 12, BACKGROUND: 36}


def test_from_a_mask_the_centre_line_decides():
    mask = np.zeros((8, 8), bool)
    mask[3:6] = True
    assert counts(orientation_target(mask, 10, 1)) == {17: 15, BACKGROUND: 49}
    assert counts(orientation_target(mask, 10, 10)) == {17: 64}


@pytest.mark.parametrize(("turned", "expected"), [(False, {17: 48, BACKGROUND: 976}), (True, {27: 46, BACKGROUND: 978})])
def test_a_short_road_within_a_chip(turned, expected):
    mask = np.zeros((32, 32), bool)
    mask[15:18, 4:28] = True
    assert counts(orientation_target(mask.T if turned else mask, 10, 1)) == expected


def test_a_road_runs_from_its_farther_end():
    np.testing.assert_array_equal(directed(points((0, 4), (3, 3), (6, 3))), points((6, 3), (3, 3), (0, 4)))
    np.testing.assert_array_equal(directed(points((6, 3), (0, 4))), points((6, 3), (0, 4)))


@pytest.mark.parametrize(("bin_size", "classes"), [(10, 37), (20, 19), (7, 52), (359, 2), (1, 361)])
def test_there_is_a_class_for_every_bin_and_the_background(bin_size, classes):
    assert orientation_classes(bin_size) == classes


def test_what_is_left_of_the_circle_belongs_to_the_last_bin_and_not_to_the_background():
    line = points((0, 4), (60, 3))  # 359.05 degrees: past the 51st bin of 7 degrees, which ends at 357
    assert set(np.unique(painted([line], (8, 61), 7, 1))) == {50, 51}


def test_coarse_targets_have_every_fourth_pixel_and_bands_in_their_own_pixels():
    mask = np.zeros((64, 61), bool)
    mask[20:28] = True
    coarse = orientation_target(mask, 10, 2, stride=4)
    assert coarse.shape == (16, 16)
    assert set(np.flatnonzero((coarse != BACKGROUND).any(1))) <= set(range(3, 9))


def test_a_mirrored_mask_gives_directions_of_the_mirrored_road():
    mask = np.zeros((64, 64), bool)
    for at in range(8, 56):
        mask[at : at + 5, at - 2 : at + 3] = True
    falling, rising = orientation_target(mask, 10, 3), orientation_target(mask[:, ::-1], 10, 3)
    assert set(np.unique(falling)) - {BACKGROUND} <= {21, 22, 23}  # towards the upper left: 225 degrees
    assert set(np.unique(rising)) - {BACKGROUND} <= {3, 4, 5, 12, 13, 14, 30, 31, 32}


# -- the width of roads


def road(width: int) -> NDArray[np.bool_]:
    mask = np.zeros((60, 200), bool)
    mask[30 - width // 2 : 30 + (width + 1) // 2] = True
    return mask


def middle_width(mask: NDArray[np.bool_]) -> int:
    return int(mask[:, 100].sum())


def test_the_default_threshold_leaves_labels_as_they_are():
    mask = road(9)
    assert widened(mask, 0.76) is mask


@pytest.mark.parametrize(("threshold", "width"), [(0.5, 15), (0.76001, 9), (0.9, 7), (1.0, 1), (0.0, 29)])
def test_thresholds_scale_the_width_by_the_gaussians_root(threshold, width):
    # half widths: 5 to the next background pixel, times sqrt(ln t / ln 0.76), 3 at most
    assert middle_width(widened(road(9), threshold)) == width


def test_a_mask_without_roads_stays_empty():
    assert not widened(np.zeros((8, 8), bool), 0.3).any()


def test_a_chip_takes_less_time_than_its_share_of_an_epoch(data: Path):
    chips = read_chips([data / "roads_epfl"])
    reader = ChipReader(None)
    masks = [reader.label(chip) == 1 for chip in chips.chips[:8]]
    assert masks[0].shape == (400, 400)
    took = []
    for mask in masks:
        started = time.process_time()
        for stride in (1, 2, 4):
            orientation_target(mask, 20, 8, stride)
        took.append(time.process_time() - started)
    assert min(took) < 0.05
