"""Statistics of time series, whose bands are the variables of one date after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chipwright.chips.chipset import BandStatistics


def shared_over_dates(statistics: BandStatistics, dates: int) -> BandStatistics:
    """Return statistics in which every variable has those of all its dates together, each date counting alike.

    A course through the year keeps its shape only where all dates are scaled alike. Dates without any data (all zeros) do not
    count.
    """
    low, high, mean, std = (
        np.asarray(values, np.float64).reshape(dates, -1)
        for values in (statistics.minimum, statistics.maximum, statistics.mean, statistics.std)
    )
    some = (low != 0) | (high != 0) | (mean != 0)
    some |= ~some.any(axis=0)
    count = some.sum(axis=0)
    means = np.where(some, mean, 0).sum(axis=0) / count
    variances = np.where(some, std**2 + (mean - means) ** 2, 0).sum(axis=0) / count

    def repeated(values: NDArray[np.float64]) -> tuple[float, ...]:
        return tuple(np.tile(values, dates).tolist())

    return BandStatistics(
        minimum=repeated(np.where(some, low, np.inf).min(axis=0)),
        maximum=repeated(np.where(some, high, -np.inf).max(axis=0)),
        mean=repeated(means),
        std=repeated(np.sqrt(variances)),
        source=statistics.source,
    )
