"""Band statistics of training data: as exported, computed from the chips, and pooled over several folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipwright.chips.chipset import BandStatistics, Chip
from chipwright.chips.reading import in_threads, read_image, valid_pixels

ALL_BELOW = 300
"""With fewer chips than this all are measured, as the reference does."""

SHARE = 0.3
"""Share of the chips that is measured where there are more."""

_SEED = 42


@dataclass(frozen=True, eq=False)
class Moments:
    """What pooling needs to know of the pixels of each band: float64 arrays of shape (bands,).

    Attributes:
        minimum, maximum, mean: in the units of the files.
        squares: sum of squared deviations from the mean (M2 of the export).
        count: pixels measured.
        source: "export" or "computed".
    """

    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    count: NDArray[np.float64]
    source: str

    def statistics(self) -> BandStatistics:
        """Return them as statistics, the standard deviation over count - 1 as the exporter's; no pixels give zeros."""
        some = self.count > 0

        def column(values: NDArray[np.float64]) -> tuple[float, ...]:
            return tuple(float(value) for value in np.where(some, values, 0.0))

        return BandStatistics(
            minimum=column(self.minimum),
            maximum=column(self.maximum),
            mean=column(self.mean),
            std=column(np.sqrt(self.squares / np.maximum(self.count - 1, 1))),
            source=self.source,
        )


def measured(pixels: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> Moments:
    """Return the moments of one image (bands, height, width) over its valid pixels."""
    flat = pixels.reshape(len(pixels), -1) if valid is None else pixels[:, valid]
    bands, count = flat.shape
    if count == 0:
        nothing = np.zeros(bands)
        return Moments(np.full(bands, np.inf), np.full(bands, -np.inf), nothing, nothing, nothing, "computed")
    rows = []
    for band in flat:  # one at a time: float64 copies of a whole image would not stay in the processor's cache
        values = band.astype(np.float64)
        mean = values.mean()
        values -= mean
        rows.append((float(band.min()), float(band.max()), mean, float(values @ values), float(count)))
    minimum, maximum, means, squares, counts = np.array(rows).T
    return Moments(minimum, maximum, means, squares, counts, "computed")


def pooled(parts: Iterable[Moments]) -> Moments:
    """Return the moments of all pixels together, what measuring them at once would give (Chan, Golub and LeVeque's update).

    They count as exported only if every part was.
    """
    found = list(parts)
    total = found[0]
    for part in found[1:]:
        count = total.count + part.count
        share = part.count / np.maximum(count, 1)
        shift = part.mean - total.mean
        total = Moments(
            np.minimum(total.minimum, part.minimum),
            np.maximum(total.maximum, part.maximum),
            total.mean + shift * share,
            total.squares + part.squares + shift**2 * total.count * share,
            count,
            total.source if total.source == part.source else "computed",
        )
    return total


def computed(paths: Sequence[Path], nodata: float | None, step: int | None = None) -> Moments:
    """Return the moments of image files, nodata and NaN left out: of all, or of a seeded `SHARE` from `ALL_BELOW` files on.

    Args:
        nodata: declared nodata value.
        step: how many bands belong together (those of one date): a pixel is left out of these bands only. None for all.
    """
    chosen = list(paths)
    if len(chosen) >= ALL_BELOW:
        rng = np.random.default_rng(_SEED)
        picked = rng.choice(len(chosen), size=int(np.ceil(SHARE * len(chosen))), replace=False)
        chosen = [chosen[at] for at in sorted(picked)]
    return pooled(in_threads(partial(_measure_file, nodata=nodata, step=step), chosen, "Measuring bands"))


def _measure_file(path: Path, nodata: float | None, step: int | None) -> Moments:
    pixels, mask = read_image(path)
    step = step or len(pixels)
    dates = [pixels[at : at + step] for at in range(0, len(pixels), step)]
    return _side_by_side([measured(date, valid_pixels(date, nodata, mask)) for date in dates])


def _side_by_side(parts: Sequence[Moments]) -> Moments:
    """Return the moments of different bands as one."""
    names = ("minimum", "maximum", "mean", "squares", "count")
    rows = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Moments(**rows, source=parts[0].source)


def exported(
    emd: Mapping[str, Any],
    totals: Mapping[str, Any],
    bands: int,
    dtype: str,
    pixels: int,
    nodata: float | None,
    second: bool = False,
) -> tuple[Moments | None, str]:
    """Return (moments, what is wrong): the exporter's own figures, or None with the reason why they are of no use.

    Args:
        emd, totals: the folder's `.emd` and `esri_accumulated_stats.json`.
        bands, dtype: of the chips.
        pixels: per band in all chips, for exports that do not say how many were measured.
        nodata: declared nodata value; figures that took it for a measurement are refused.
        second: whether the figures of the second images are meant.
    """
    number, what = ("2", "band statistics of the second images") if second else ("", "band statistics")
    reason = f"the export holds no {what}"
    for rows, names in (
        (totals.get(f"BandStatsState{number}"), ("Min", "Max", "M1", "M2", "Num")),
        (emd.get(f"AllTilesStats{number}"), ("Min", "Max", "Mean", "StdDev", "")),
    ):
        if not isinstance(rows, list) or not rows:
            continue
        figures = _figures(rows, names, pixels)
        if figures is None:
            reason = f"the exported {what} are incomplete"
            continue
        fault = _fault(figures, bands, np.dtype(dtype), nodata)
        if not fault:
            return figures, ""
        reason = f"the exported {what} {fault}"
    return None, reason


def _figures(rows: list[Any], names: tuple[str, ...], pixels: int) -> Moments | None:
    try:
        table = np.array([[float(row[name]) if name else pixels for name in names] for row in rows], dtype=np.float64)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    minimum, maximum, mean, spread, count = table.T
    squares = spread if names[3] == "M2" else spread**2 * np.maximum(count - 1, 1)
    return Moments(minimum, maximum, mean, squares, count, "export")


def _fault(figures: Moments, bands: int, dtype: np.dtype[Any], nodata: float | None) -> str:
    """Return what is clearly wrong with exported figures, or an empty text."""
    rows = (figures.minimum, figures.maximum, figures.mean, figures.squares, figures.count)
    if len(figures.mean) != bands:
        return f"are of {len(figures.mean)} bands, the chips have {bands}"
    if not all(np.isfinite(row).all() for row in rows) or max(np.abs(row).max() for row in rows[:3]) > 1e30:
        return "are not finite"
    if (figures.minimum > figures.maximum).any() or (figures.squares < 0).any() or (figures.count < 1).any():
        return "contradict themselves"
    slack = 1e-6 * np.maximum(1, np.abs(figures.mean))
    if (figures.mean < figures.minimum - slack).any() or (figures.mean > figures.maximum + slack).any():
        return "contradict themselves"
    if (figures.squares == 0).all():
        return "have no spread in any band"
    if dtype.kind in "iu" and (figures.minimum.min() < np.iinfo(dtype).min or figures.maximum.max() > np.iinfo(dtype).max):
        return f"lie outside what {dtype.name} pixels can hold"
    # 0 is often both nodata and a value that occurs, anything else is not
    if nodata and (np.isclose(figures.minimum, nodata) | np.isclose(figures.maximum, nodata)).any():
        return f"took the nodata value {nodata:g} for a measurement"
    return ""


def class_pixels(chips: Sequence[Chip]) -> dict[int, int]:
    """Return how many pixels of label rasters have each value, summed over the chips, by ascending value."""
    total: Counter[int] = Counter()
    for chip in chips:
        for value, count in chip.pixels:
            total[value] += count
    return dict(sorted(total.items()))
