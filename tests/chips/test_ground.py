"""Footprints of chips: shared ground, places, extent. What a split makes of them is in test_split.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely

from chipwright.chips.chipset import Chip, GeoReference
from chipwright.chips.ground import Ground


def chip(x: float, y: float = 0, crs: str | None = "EPSG:32633") -> Chip:
    """Return a chip of 10 x 10 pixels of one map unit, its left top corner at (x, y)."""
    return Chip("a", 0, (Path("a.tif"),), 10, 10, georeference=GeoReference((1, 0, x, 0, -1, y), crs, 10, 10))


def indices(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_footprints_are_the_chips_a_quarter_of_a_pixel_small() -> None:
    assert shapely.bounds(Ground([chip(100, 50)]).footprints[0]).tolist() == [100.25, 40.25, 109.75, 49.75]


def test_places_are_half_a_chip_apart() -> None:
    ground = Ground([chip(0), chip(14), chip(30), chip(34)])  # gaps of 4 and 6 pixels, then an overlap
    first, second, third, fourth = ground.places()
    assert first == second != third == fourth


def test_touching_names_the_chips_that_share_ground() -> None:
    ground = Ground([chip(0), chip(9), chip(10), chip(30)])
    assert ground.touching(indices(1, 2, 3), indices(0)).tolist() == [1]
    assert ground.touching(indices(1, 2, 3), indices()).tolist() == []


def test_chips_with_and_without_a_coordinate_system_are_not_compared() -> None:
    ground = Ground([chip(0), chip(0, crs=None), chip(5, crs=None)])
    assert ground.touching(indices(0), indices(1)).tolist() == []
    assert ground.touching(indices(1), indices(2)).tolist() == [1]


def test_chips_of_two_domains_are_not_compared() -> None:
    ground = Ground([chip(0), replace(chip(0), domain=1), replace(chip(5), domain=1)])
    assert ground.touching(indices(0), indices(1, 2)).tolist() == []
    assert ground.touching(indices(1), indices(2)).tolist() == [1]
    first, second, third = ground.places()
    assert first != second == third


def test_extent_counts_overlapping_ground_once() -> None:
    chips = [chip(5 * column + 2.5, -5 * row - 2.5) for row in range(20) for column in range(20)]
    assert Ground(chips).extent(np.arange(400)) == pytest.approx(100, abs=21)


def test_a_chip_without_georeference_has_no_ground() -> None:
    with pytest.raises(ValueError, match="a has no georeference"):
        Ground([Chip("a", 0, (Path("a.tif"),), 10, 10)])
