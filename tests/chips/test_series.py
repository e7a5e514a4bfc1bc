"""Statistics of a variable over all of its dates."""

import numpy as np
import pytest

from chipwright.chips.chipset import BandStatistics
from chipwright.chips.series import shared_over_dates


def statistics(**values: tuple[float, ...]) -> BandStatistics:
    return BandStatistics(**values, source="export")


def test_dates_pool_to_the_statistics_of_all_their_pixels() -> None:
    pixels = np.random.default_rng(0).normal(3, 2, (3, 2, 1000)) * np.array([1, 10])[None, :, None]
    flat = pixels.reshape(6, -1)
    found = shared_over_dates(
        statistics(minimum=tuple(flat.min(1)), maximum=tuple(flat.max(1)), mean=tuple(flat.mean(1)), std=tuple(flat.std(1))),
        3,
    )
    assert found.mean == pytest.approx(np.tile(pixels.mean((0, 2)), 3))
    assert found.std == pytest.approx(np.tile(pixels.std((0, 2)), 3))
    assert found.minimum == pytest.approx(np.tile(pixels.min((0, 2)), 3))
    assert found.maximum == pytest.approx(np.tile(pixels.max((0, 2)), 3))
    assert found.source == "export"


def test_dates_without_data_do_not_count() -> None:
    found = shared_over_dates(statistics(minimum=(1, 0), maximum=(5, 0), mean=(3, 0), std=(1, 0)), 2)
    assert (found.mean, found.std, found.minimum, found.maximum) == ((3, 3), (1, 1), (1, 1), (5, 5))


def test_a_variable_without_any_data_stays_zero() -> None:
    found = shared_over_dates(statistics(minimum=(0, 0), maximum=(0, 0), mean=(0, 0), std=(0, 0)), 2)
    assert (found.mean, found.std) == ((0, 0), (0, 0))
