"""Multidimensional time series: RCNN_Masks whose images stack the bands of all dates, date by date.

An image of T dates and C variables has T x C bands in the order date 1 variable 1, date 1 variable 2, ..., date 2 variable 1.
The export says so by `IsMultidimensional`; `DimensionValues` are its T dates, `BandNames` its C variables. What the program
makes of it:

- `ChipSet.bands` and the statistics have one entry for each band of the file, T x C as everywhere. A band is called by its
  variable and its date: "NDVI 2015-07-11", or "NDVI 1" where dates are the same day or are not known. Where the export names
  all bands itself, and each in its own way, these names stay.
- `dates_of(chips.metadata)` gives the T dates, so that C is `len(chips.bands) // T`, and `variables_of` the variables. Where
  the export names no dates there are none, and whoever trains has to say how many.
- A mask is of one class, its pixels other than 0 are samples of it. `Chip.pixels` counts them. There are no boxes.
- A pixel may have data on some dates only: statistics leave it out for the dates without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from chipwright.chips.chipset import Chip
from chipwright.chips.formats.esri import Export, bands_of
from chipwright.chips.formats.mask_folders import find_masks, labelled, labels_folder
from chipwright.chips.formats.mask_survey import Masked, survey_masks
from chipwright.chips.formats.part import Part, assemble
from chipwright.chips.formats.survey import check_type, survey
from chipwright.errors import DataError, listed

KEYWORD = "TimeSeries"

_DAY_ZERO = datetime(1899, 12, 30)
"""Day 0 of serial dates, as spreadsheets count them: 1900-01-01 is 2."""


def dates_of(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the dates of a time series as ISO texts, "2015-07-11", or "2015-07-11T10:30:00" where not midnight.

    Args:
        metadata: of a `ChipSet`; without `DimensionValues` there are no dates.

    Raises:
        ValueError: if a value is no serial day of the years 1 to 9999; a `ChipSet` holds none such.
    """
    values = metadata.get("DimensionValues")
    if values is None:
        return ()
    if not isinstance(values, list | tuple):
        raise ValueError("it is no list")
    return tuple(_date(value) for value in values)


def _date(value: Any) -> str:
    try:
        at = _DAY_ZERO + timedelta(seconds=round(float(value) * 86_400))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{value!r:.40} is no number of days since 1899-12-30") from error
    return at.isoformat() if at.hour or at.minute or at.second else at.date().isoformat()


def variables_of(bands: Sequence[str], metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the C variables, given the `bands` and `metadata` of a `ChipSet`; all bands where dates are unknown."""
    dates = dates_of(metadata)
    return tuple(_without_date(name, dates) for name in bands[: len(bands) // len(dates)]) if dates else tuple(bands)


def _without_date(name: str, dates: Sequence[str]) -> str:
    return name.removesuffix(f" {dates[0]}").removesuffix(" 1")


def read_time_series(export: Export) -> Part:
    """Return the folder's chips with the masks of their sample pixels.

    Raises:
        DataError: if the dates are unusable or do not go with the bands, a class folder is empty, and as for RCNN_Masks.
    """
    dates = _checked_dates(export)
    labels = labels_folder(export)
    folders = find_masks(export, labels)
    if folders.empty:
        names = listed(folder.name for folder in folders.empty)
        raise DataError(
            f"{labels} has class folders without any mask ({names}), so that there are no samples of the class. Export the "
            "folder again, or remove the empty one and its class."
        )
    found = survey(export, labelled(export, folders.of_chip))
    check_type(export, found)
    bands = found[0].images[0].bands
    if dates and bands % len(dates):
        raise DataError(
            f"The chips in {export.root} have {bands} bands, which is no multiple of the {len(dates)} dates in "
            "DimensionValues; each date has the same bands. Export the folder again, or correct DimensionValues in the .emd."
        )
    masked = survey_masks(export, found, folders.of_chip)
    part = assemble(
        export,
        KEYWORD,
        [one.found for one in masked],
        [_chip(one) for one in masked],
        folders.classes,
        folders.own_values,
        step=bands // len(dates) if dates else 1,
    )
    return replace(part, bands=_band_names(export, bands, dates, part.bands))


def _chip(one: Masked) -> Chip:
    pixels: Counter[int] = Counter()
    for (value, _), facts in zip(one.masks, one.facts, strict=True):
        pixels[value] += facts.pixels
    return replace(one.found.chip(), masks=one.masks, pixels=tuple(sorted(pixels.items())))


def _checked_dates(export: Export) -> tuple[str, ...]:
    try:
        dates = dates_of(export.metadata())
    except ValueError as error:
        raise DataError(
            f"DimensionValues of {export.root} are no dates: {error}. Correct them in the .emd: days with 1900-01-01 = 2."
        ) from error
    if not dates:
        export.account.warnings.append(
            f"The metadata of {export.root} name no dates (DimensionValues); how many there are must be said when training."
        )
    return dates


def _band_names(export: Export, count: int, dates: Sequence[str], given: tuple[str, ...]) -> tuple[str, ...]:
    """Return a name for each band of the file.

    Args:
        export: whose BandNames are the variables.
        count: bands of the file.
        dates: of the export, or none.
        given: names of all bands, as the export or the file has them.
    """
    names = given
    if dates and not (bands_of(export, count, ()) and len(set(given)) == count):
        each = count // len(dates)
        repeated = given[:each] * len(dates) == given
        variables = bands_of(export, each, given[:each] if repeated else tuple(f"Band_{band + 1}" for band in range(each)))
        variables = tuple(_without_date(name, dates) for name in variables)  # as chipwright itself may have written them
        by_date = tuple(f"{variable} {date}" for date in dates for variable in variables)
        names = by_date if len(set(by_date)) == count else variables * len(dates)
    if len(set(names)) == count:
        return names
    turns: Counter[str] = Counter()
    numbered = []
    for name in names:
        turns[name] += 1
        numbered.append(f"{name} {turns[name]}")
    return tuple(numbered)
