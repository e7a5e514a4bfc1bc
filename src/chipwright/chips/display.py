"""Chips as pictures for people. For display only: nothing here touches what a network sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipwright.chips.chipset import BandStatistics

_SPREAD = 2.0
"""Standard deviations about the mean that are shown between black and white."""

_TAILS = (2.0, 98.0)
"""Percentiles of the chip that stand in where the statistics say nothing about a band."""


@dataclass(frozen=True)
class Panel:
    """One picture of a sample, to be drawn: an image and what lies over it.

    Attributes:
        title: such as "Truth" or "Prediction".
        image: uint8 (height, width, 3), already stretched for display.
        classes: int (height, width) class indices to lay over the image, IGNORE where nothing is drawn.
        palette: colours by class index for `classes`.
        boxes: (count, 4) pixels, with `box_texts` and `box_colors`.
        masks: bool (count, height, width), outlined, with `mask_colors`.
        text: what stands under the picture (a class and its score), lines apart by line breaks.
        good: whether the prediction is right, where that can be said; colours the text.
    """

    title: str
    image: NDArray[np.uint8]
    classes: NDArray[Any] | None = None
    palette: Sequence[tuple[int, int, int]] = ()
    boxes: NDArray[np.float32] | None = None
    box_texts: Sequence[str] = ()
    box_colors: Sequence[tuple[int, int, int]] = ()
    masks: NDArray[np.bool_] | None = None
    mask_colors: Sequence[tuple[int, int, int]] = ()
    text: str = ""
    good: bool | None = None


def to_rgb(
    image: NDArray[Any],
    statistics: BandStatistics,
    bands: Sequence[str],
    valid: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Return a chip (bands, height, width) as a picture (height, width, 3).

    Bands named Red, Green and Blue are shown as such, else the first three; one or two bands as grey (the first). 8-bit red,
    green and blue stand as they are. Everything else is stretched from mean - 2 to mean + 2 deviations of the set's
    statistics, so that all chips of a set look alike and dark ones stay dark. Pixels without data (`valid` false, NaN)
    are black.
    """
    chosen, named = color_bands(len(image), bands)
    shown = image[chosen]
    if image.dtype == np.uint8 and (named or len(image) == 3):
        picture = shown
    else:
        picture = np.stack([_stretched(band, statistics, index) for band, index in zip(shown, chosen, strict=True)])
    if valid is not None:
        picture = np.where(valid, picture, np.uint8(0))
    return np.ascontiguousarray(np.broadcast_to(picture, (3, *picture.shape[1:])).transpose(1, 2, 0))


def color_bands(count: int, bands: Sequence[str]) -> tuple[list[int], bool]:
    """Return the indices of the bands that stand for colour, and whether they are red, green and blue by name.

    Three indices, or one where there are fewer than three bands.
    """
    names = [name.strip().lower() for name in bands[:count]]
    if all(color in names for color in ("red", "green", "blue")):
        return [names.index(color) for color in ("red", "green", "blue")], True
    return ([0, 1, 2] if count >= 3 else [0]), False


def _stretched(band: NDArray[Any], statistics: BandStatistics, index: int) -> NDArray[np.uint8]:
    """Return one band as 8 bits."""
    values = band.astype(np.float32)
    finite = np.isfinite(values)
    low = high = 0.0
    if index < len(statistics.mean):
        mean, reach = statistics.mean[index], _SPREAD * statistics.std[index]
        low, high = max(mean - reach, statistics.minimum[index]), min(mean + reach, statistics.maximum[index])
    if not high > low and finite.any():
        low, high = (float(value) for value in np.percentile(values[finite], _TAILS))
    scaled = (values - low) / (high - low) if high > low else np.full_like(values, 0.5)
    return np.rint(np.where(finite, np.clip(np.nan_to_num(scaled), 0, 1), 0) * 255).astype(np.uint8)
