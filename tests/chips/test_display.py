from __future__ import annotations

import numpy as np
import pytest

from chipwright.chips.chipset import BandStatistics
from chipwright.chips.display import to_rgb


def statistics(bands: int, mean: float = 1000, std: float = 250, low: float = 0, high: float = 60000) -> BandStatistics:
    return BandStatistics(
        minimum=(low,) * bands, maximum=(high,) * bands, mean=(mean,) * bands, std=(std,) * bands, source="computed"
    )


RGB = ("Red", "Green", "Blue")


def test_8_bit_rgb_stands_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 5, 7), dtype=np.uint8)
    picture = to_rgb(image, statistics(3), RGB)
    assert picture.dtype == np.uint8 and picture.flags.c_contiguous
    assert np.array_equal(picture, image.transpose(1, 2, 0))


def test_red_green_and_blue_are_found_by_name() -> None:
    image = np.stack([np.full((2, 2), value, np.uint8) for value in (10, 20, 30, 40)])
    picture = to_rgb(image, statistics(4), ("NearInfrared", "blue", "GREEN", "Red"))
    assert picture[0, 0].tolist() == [40, 30, 20]


def test_without_names_the_first_three_bands_are_shown() -> None:
    image = np.stack([np.full((2, 2), value, np.float32) for value in (500, 1000, 1500, 7)])
    picture = to_rgb(image, statistics(4), ("Band_1", "Band_2", "Band_3", "Band_4"))
    assert picture[0, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("bands", [1, 2])
def test_one_or_two_bands_are_grey(bands: int) -> None:
    picture = to_rgb(np.full((bands, 3, 4), 1250, np.uint16), statistics(bands), ("a", "b")[:bands])
    assert picture.shape == (3, 4, 3)
    assert (picture == 191).all()


def test_all_chips_of_a_set_are_stretched_alike() -> None:
    dark, bright = (np.full((3, 2, 2), value, np.uint16) for value in (600, 1400))
    assert to_rgb(dark, statistics(3), RGB).max() < to_rgb(bright, statistics(3), RGB).min()


def test_values_beyond_two_deviations_are_black_and_white() -> None:
    image = np.array([[[0, 499, 500, 1000, 1500, 60000]]], np.uint16)
    assert to_rgb(image, statistics(1), ("a",))[0, :, 0].tolist() == [0, 0, 0, 128, 255, 255]


def test_without_spread_in_the_statistics_the_chips_own_percentiles_count() -> None:
    image = np.linspace(0, 1, 101, dtype=np.float32)[None, None]
    picture = to_rgb(image, statistics(1, mean=0, std=0, high=0), ("a",))[0, :, 0]
    assert picture[0] == 0 and picture[2] == 0 and picture[98] == 255 and picture[50] == pytest.approx(128, abs=1)


def test_a_constant_chip_without_statistics_is_mid_grey() -> None:
    assert (to_rgb(np.full((1, 2, 2), 7.0), statistics(1, std=0), ("a",)) == 128).all()


def test_pixels_without_data_are_black() -> None:
    image = np.full((1, 1, 3), 1500, np.float32)
    image[0, 0, 0] = np.nan
    picture = to_rgb(image, statistics(1), ("a",), valid=np.array([[True, False, True]]))
    assert picture[0, :, 0].tolist() == [0, 0, 255]
