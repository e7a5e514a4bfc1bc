from __future__ import annotations

from pathlib import Path
from typing import Any

import builders
import numpy as np
import pytest
from mask_builders import mask_path, time_series
from mask_checks import edit, refusal, warned

from chipwright.chips.balance import class_balance
from chipwright.chips.folders import read_chips
from chipwright.chips.formats.time_series import dates_of, variables_of
from chipwright.chips.reading import ChipReader

NAMES = tuple(f"{variable} {date}" for date in ("2015-07-11", "2015-08-30", "2015-09-09") for variable in ("NDVI", "CLP"))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    time_series(tmp_path)
    chips = read_chips(tmp_path)
    assert (chips.format, chips.dtype, len(chips), chips.account.dropped) == ("TimeSeries", "float32", 3, {})
    assert chips.bands == NAMES
    assert variables_of(chips.bands, chips.metadata) == ("NDVI", "CLP")
    assert dates_of(chips.metadata) == ("2015-07-11", "2015-08-30", "2015-09-09")
    chip = chips.chips[0]
    assert chip.masks == ((2, mask_path(tmp_path, 0, "2")), (3, mask_path(tmp_path, 0, "3")))
    assert (chip.boxes, chip.pixels) == (None, ((2, 16), (3, 16)))
    assert (ChipReader(None).instances(chip)[3] > 0).sum() == 16
    balance, unit = class_balance(chips, {"count": range(3)})
    assert (unit, [row["count"] for row in balance]) == ("pixels", [48, 48])


def test_statistics_leave_a_pixel_out_only_for_the_dates_without_data(tmp_path: Path) -> None:
    time_series(tmp_path, count=2)
    chips = read_chips(tmp_path)
    images = np.stack([ChipReader(None).image(chip) for chip in chips.chips])
    assert np.isnan(images).any(axis=(0, 2, 3)).tolist() == [True, True, False, False, False, False]
    assert chips.statistics.mean == pytest.approx(np.nanmean(images, axis=(0, 2, 3)), rel=1e-5)
    assert chips.statistics.maximum == pytest.approx(np.nanmax(images, axis=(0, 2, 3)))


@pytest.mark.parametrize(
    ("value", "date"),
    [(2, "1900-01-01"), (42_196, "2015-07-11"), (42_196.4375, "2015-07-11T10:30:00"), ("36526", "2000-01-01")],
)
def test_serial_days_become_dates(value: object, date: str) -> None:
    assert dates_of({"DimensionValues": [value]}) == (date,)
    assert dates_of({}) == ()


@pytest.mark.parametrize("value", [1e9, "soon", None, float("nan"), float("inf"), [1, 2]])
def test_what_is_no_date_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ValueError, match="is no number of days"):
        dates_of({"DimensionValues": [42_196, value]})
    time_series(tmp_path, dates=(42_196, 42_246, value if value == value else "nan"))
    assert "DimensionValues of" in refusal(tmp_path)


def test_dates_that_do_not_go_with_the_bands_are_refused(tmp_path: Path) -> None:
    time_series(tmp_path, bands=7)
    assert "have 7 bands, which is no multiple of the 3 dates in DimensionValues" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("given", "bands"),
    [
        (list(NAMES), NAMES),
        (["NDVI", "CLP"] * 3, NAMES),
        (["NDVI 2015-07-11", "CLP 2015-07-11"], NAMES),
        (["A", "B", "C"], tuple(name.replace("NDVI", "Band_1").replace("CLP", "Band_2") for name in NAMES)),
        (["B", "B"], tuple(f"B {turn}" for turn in range(1, 7))),
    ],
    ids=["each band", "variables repeated", "by chipwright", "another number", "all alike"],
)
def test_every_band_has_a_name_of_its_own(tmp_path: Path, given: list[str], bands: tuple[str, ...]) -> None:
    time_series(tmp_path, metadata={"InputRastersProps": {"BandNames": given}})
    assert read_chips(tmp_path).bands == bands


def test_two_images_of_a_day_are_numbered(tmp_path: Path) -> None:
    time_series(tmp_path, dates=(42_196, 42_196))
    chips = read_chips(tmp_path)
    assert chips.bands == ("NDVI 1", "CLP 1", "NDVI 2", "CLP 2")
    assert variables_of(chips.bands, chips.metadata) == ("NDVI", "CLP")


def test_without_dates_it_loads_and_says_so(tmp_path: Path) -> None:
    time_series(tmp_path)
    edit(tmp_path, DimensionValues=...)
    chips = read_chips(tmp_path)
    assert (len(set(chips.bands)), dates_of(chips.metadata)) == (6, ())
    assert variables_of(chips.bands, chips.metadata) == chips.bands
    assert warned(chips, "name no dates")


def test_class_folders_may_have_names(tmp_path: Path) -> None:
    time_series(tmp_path)
    (tmp_path / "labels" / "2").rename(tmp_path / "labels" / "Forest")
    assert [value for value, _ in read_chips(tmp_path).chips[0].masks] == [2, 3]


def test_an_empty_class_folder_is_refused(tmp_path: Path) -> None:
    time_series(tmp_path, classes=((2, "forest"), (3, "grass"), (4, "shrub")))
    for path in (tmp_path / "labels" / "4").iterdir():
        path.unlink()
    assert "has class folders without any mask (4)" in refusal(tmp_path)


def test_a_sample_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    time_series(tmp_path)
    builders.write_raster(mask_path(tmp_path, 1, "3"), np.ones((4, 4), "uint8"))
    assert "mask of 4 x 4 pixels under an image of 8 x 8" in refusal(tmp_path)


def test_an_export_one_level_down_is_found(tmp_path: Path) -> None:
    time_series(tmp_path / "export_1")
    assert read_chips(tmp_path).format == "TimeSeries"


def test_the_forest_of_eo_learn_is_all_there(data: Path) -> None:
    chips = read_chips(data / "timeseries_eolearn")
    assert (chips.format, len(chips), len(chips.bands), chips.account.warnings) == ("TimeSeries", 18, 80, [])
    assert [(info.value, info.name) for info in chips.classes] == [(2, "forest"), (3, "grassland"), (4, "shrubland")]
    dates = dates_of(chips.metadata)
    assert (len(dates), dates[0], chips.bands[:2]) == (40, "2015-07-11", ("NDVI 2015-07-11", "CLP 2015-07-11"))
    assert chips.statistics.source == "export"
    assert [sum(value in dict(chip.masks) for chip in chips.chips) for value in (2, 3, 4)] == [18, 9, 8]
