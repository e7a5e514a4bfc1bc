from __future__ import annotations

from pathlib import Path

import builders
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwright.chips import statistics as module
from chipwright.chips.chipset import Chip
from chipwright.chips.statistics import class_pixels, computed, exported, measured, pooled

RNG = np.random.default_rng(0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 2**31))
def test_pooling_gives_what_measuring_at_once_gives(widths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = [rng.normal(1000, 50, (3, 4, width)) for width in widths]
    found = pooled(measured(image) for image in images).statistics()
    pixels = np.concatenate([image.reshape(3, -1) for image in images], axis=1)
    assert found.minimum == tuple(pixels.min(axis=1))
    assert found.maximum == tuple(pixels.max(axis=1))
    assert found.mean == pytest.approx(pixels.mean(axis=1))
    assert found.std == pytest.approx(pixels.std(axis=1, ddof=1))


def test_invalid_pixels_are_left_out(tmp_path: Path) -> None:
    image = RNG.normal(5, 1, (2, 20, 20)).astype("float32")
    image[:, :5] = -9999
    image[0, 10] = np.nan
    path = builders.write_raster(tmp_path / "0.tif", image)
    found = computed([path], -9999).statistics()
    kept = np.delete(image[:, 5:], 5, axis=1).reshape(2, -1).astype("float64")
    assert found.mean == pytest.approx(kept.mean(axis=1))
    assert found.std == pytest.approx(kept.std(axis=1, ddof=1))
    assert found.minimum == pytest.approx(kept.min(axis=1))


def test_an_image_without_a_valid_pixel_adds_nothing() -> None:
    image = RNG.normal(5, 1, (2, 4, 4))
    nothing = measured(image, np.zeros((4, 4), bool))
    assert pooled([nothing, measured(image), nothing]).statistics() == measured(image).statistics()
    assert nothing.statistics().mean == (0, 0)


def test_from_300_chips_on_a_seeded_share_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALL_BELOW", 10)
    paths = [builders.write_raster(tmp_path / f"{index}.tif", np.full((1, 2, 2), index, "uint8")) for index in range(10)]
    assert computed(paths[:9], None).count.tolist() == [9 * 4]
    sampled = computed(paths, None)
    assert sampled.count.tolist() == [3 * 4]
    assert computed(paths, None).statistics() == sampled.statistics()


STATE = [{"Min": 0, "Max": 200, "Mean": 0, "StdDev": 0, "M1": 100.0, "M2": 4000.0, "Num": 11}]
TILES = [{"BandName": "Red", "Min": 0, "Max": 200, "Mean": 90.0, "StdDev": 20.0}]


def test_the_running_state_is_preferred_since_it_is_exact() -> None:
    found, fault = exported({"AllTilesStats": TILES}, {"BandStatsState": STATE}, 1, "uint8", 400, None)
    assert found is not None
    assert (found.statistics().mean, found.statistics().std, fault) == ((100.0,), (20.0,), "")
    assert found.statistics().source == "export"


def test_the_emd_s_figures_are_taken_with_the_pixels_of_the_chips() -> None:
    found, _ = exported({"AllTilesStats": TILES}, {}, 1, "uint8", 400, None)
    assert found is not None
    assert (found.statistics().mean, found.statistics().std, found.count.tolist()) == ((90.0,), (20.0,), [400])


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"Min": 300}, "contradict"),
        ({"M1": 250}, "contradict"),
        ({"M2": 0}, "no spread"),
        ({"M2": -1}, "contradict"),
        ({"Num": 0}, "contradict"),
        ({"Max": 5000}, "outside what uint8"),
        ({"M1": None}, "incomplete"),
        ({"M1": float("nan")}, "not finite"),
        ({"Min": -3.4e38}, "not finite"),
    ],
)
def test_broken_figures_are_refused_with_the_reason(changes: dict[str, object], fault: str) -> None:
    found, reason = exported({}, {"BandStatsState": [STATE[0] | changes]}, 1, "uint8", 400, None)
    assert found is None
    assert fault in reason


def test_figures_of_another_number_of_bands_are_refused() -> None:
    assert "of 1 bands, the chips have 3" in exported({}, {"BandStatsState": STATE}, 3, "uint8", 400, None)[1]


def test_figures_that_took_nodata_for_a_measurement_are_refused() -> None:
    state = [STATE[0] | {"Min": -9999}]
    assert "nodata" in exported({}, {"BandStatsState": state}, 1, "int16", 400, -9999)[1]
    assert exported({}, {"BandStatsState": STATE}, 1, "int16", 400, 0)[0] is not None


def test_no_figures_are_told_from_broken_ones() -> None:
    assert exported({"AllTilesStats": "e.g."}, {}, 1, "uint8", 400, None) == (None, "the export holds no band statistics")


def test_class_pixels_are_summed_over_chips() -> None:
    chips = [Chip("a", 0, (), 2, 2, pixels=((0, 3), (5, 1))), Chip("b", 0, (), 2, 2, pixels=((1, 4),)), Chip("c", 0, (), 2, 2)]
    assert class_pixels(chips) == {0: 3, 1: 4, 5: 1}


@pytest.mark.parametrize("folder", ["classified_naip4", "classified_naip4_u16"])
def test_real_exports_statistics_are_those_of_their_chips(data: Path, folder: str) -> None:
    from chipwright.chips.folders import read_chips

    chips = read_chips([data / folder])
    assert chips.statistics.source == "export"
    measured_now = computed([chip.image for chip in chips.chips], chips.nodata).statistics()
    assert measured_now.mean == pytest.approx(chips.statistics.mean)
    assert measured_now.std == pytest.approx(chips.statistics.std)
    assert (measured_now.minimum, measured_now.maximum) == (chips.statistics.minimum, chips.statistics.maximum)
