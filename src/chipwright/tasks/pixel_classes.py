"""Class values of label rasters and the class indices that networks know, and how often each class occurs.

Index 0 is value 0, the background, whether or not the export names it; the named classes follow by ascending value. Values
that no class has, and classes that are to be ignored, become `IGNORE`: unlabelled ground, not background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chipwright.chips.chipset import BACKGROUND, IGNORE, Chip, ChipSet, ClassInfo
from chipwright.chips.reading import in_threads
from chipwright.errors import DataError, OptionError, listed, suggestion

if TYPE_CHECKING:
    from chipwright.tasks.base import Reader

MOST_WEIGHT = 50.0
"""Largest class weight against the mean pixel's: a class of a few pixels must not drown all others."""

_TABLE_SPAN = 1 << 17


@dataclass(frozen=True)
class PixelClasses:
    """The class indices of one model.

    Attributes:
        values: class value by index: 0, then ascending.
        names: class name by index.
        colors: map colour by index.
        background_named: whether the export names value 0, which makes it a class like any other.
        ignored: indices that are unlabelled in training and never predicted.
    """

    values: tuple[int, ...]
    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    background_named: bool
    ignored: tuple[int, ...] = ()

    @staticmethod
    def of(classes: Sequence[ClassInfo], ignore: Sequence[int | str] = ()) -> PixelClasses:
        """Return the indices of an export's classes.

        Args:
            classes: as `ChipSet.classes`.
            ignore: values or names of classes to ignore; value 0 is the background even where no class is named so.

        Raises:
            OptionError: if `ignore` names a class that there is not.
        """
        named = any(info.value == BACKGROUND for info in classes)
        unnamed = ClassInfo(value=BACKGROUND, name="Background", color=(0, 0, 0))
        background = next((info for info in classes if info.value == BACKGROUND), unnamed)
        rows = [background, *sorted((info for info in classes if info.value != BACKGROUND), key=attrgetter("value"))]
        return PixelClasses(
            values=tuple(row.value for row in rows),
            names=tuple(row.name for row in rows),
            colors=tuple(row.color for row in rows),
            background_named=named,
            ignored=tuple(sorted({_index_of(word, rows) for word in ignore})),
        )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def first(self) -> int:
        """Index of the first named class."""
        return 0 if self.background_named else 1

    @property
    def kept(self) -> tuple[int, ...]:
        """Indices that are trained and predicted."""
        return tuple(index for index in range(len(self)) if index not in self.ignored)

    @property
    def measured(self) -> tuple[int, ...]:
        """Indices of the named classes that are trained: those of the per-class table and of the means."""
        return tuple(index for index in self.kept if index >= self.first)

    def indices(self, labels: NDArray[Any]) -> NDArray[np.int16]:
        """Return class indices for class values of any shape and number type; `IGNORE` where a value has no class."""
        if labels.dtype == np.uint8:
            return self._bytes[labels]
        if labels.dtype.kind in "iu" and self._table is not None:
            low, table = self._table
            return table[np.clip(labels.astype(np.int64) - low, 0, len(table) - 1)]
        order = np.argsort(self.values)
        values = np.asarray(self.values)[order]
        places = np.clip(np.searchsorted(values, labels), 0, len(values) - 1)
        return np.where(values[places] == labels, self._kept_indices[order][places], IGNORE).astype(np.int16)

    @cached_property
    def _kept_indices(self) -> NDArray[np.int16]:
        """The index by index, `IGNORE` for ignored classes."""
        return np.array([IGNORE if index in self.ignored else index for index in range(len(self))], np.int16)

    @cached_property
    def _bytes(self) -> NDArray[np.int16]:
        """The index of every value of 8 bits, which most labels have."""
        return self.indices(np.arange(256))

    @cached_property
    def _table(self) -> tuple[int, NDArray[np.int16]] | None:
        """(lowest value, index by value above it), a margin of `IGNORE` at both ends; None where values lie far apart."""
        low, high = min(self.values) - 1, max(self.values) + 1
        if high - low > _TABLE_SPAN:
            return None
        table = np.full(high - low + 1, IGNORE, np.int16)
        table[np.asarray(self.values) - low] = self._kept_indices
        return low, table


def count_pixels(chips: ChipSet, classes: PixelClasses, reader: Reader) -> NDArray[np.int64]:
    """Return how many labelled pixels of the chips each class index has; pixels without image data do not count."""
    total = np.zeros(len(classes), np.int64)
    for count in in_threads(partial(_count_chip, classes=classes, reader=reader), chips.chips, "Counting class pixels"):
        total += count
    return total


def balancing_weights(counts: NDArray[np.int64], classes: PixelClasses) -> list[float]:
    """Return a weight by class index: the inverse of its share of the pixels, at most 50 times the mean pixel's, mean 1.

    Classes that are ignored or have no pixel keep weight 1; it never acts.
    """
    weights = np.ones(len(classes))
    seen = [index for index in classes.kept if counts[index] > 0]
    if seen:
        shares = counts[seen] / counts[seen].sum()
        inverse = np.minimum(1 / (len(seen) * shares), MOST_WEIGHT)
        weights[seen] = inverse / inverse.mean()
    return [round(float(weight), 6) for weight in weights]


def require_labels(chips: ChipSet, classes: PixelClasses, reader: Reader) -> None:
    """Check that some pixel of some chip belongs to a named class that is trained.

    Raises:
        DataError: if none does; the first chip that has one ends the search.
    """
    wanted = {classes.values[index] for index in classes.measured}
    for chip in chips.chips:
        values = {value for value, _ in chip.pixels} if chip.pixels else set(np.unique(reader.label(chip)).tolist())
        if values & wanted:
            return
    names = listed(f"{classes.names[index]} ({classes.values[index]})" for index in classes.measured)
    raise DataError(
        f"No pixel of the {len(chips)} labels belongs to a class: all are background (value 0) or unlabelled. "
        f"Expected pixels of {names}. Check the class value field that the training data was exported with."
    )


def _count_chip(chip: Chip, classes: PixelClasses, reader: Reader) -> NDArray[np.int64]:
    indices = classes.indices(reader.label(chip))
    valid = reader.valid(chip)
    counted = indices[indices >= 0] if valid is None else indices[(indices >= 0) & valid]
    return np.bincount(counted, minlength=len(classes))


def _index_of(word: int | str, rows: Sequence[ClassInfo]) -> int:
    """Return the index of the class with this value or name (whatever its case)."""
    text = str(word).strip()
    for index, row in enumerate(rows):
        if str(row.value) == text:
            return index
    for index, row in reversed(list(enumerate(rows))):  # a class that is called Background before the unnamed value 0
        if row.name.casefold() == text.casefold():
            return index
    known = listed((f"{row.value} ({row.name})" for row in rows), 30)
    hint = suggestion(text, [row.name for row in rows])
    raise OptionError(f"ignore_classes names {text!r}, but there is no such class.{hint} Classes: {known}.")
