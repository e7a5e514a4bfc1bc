"""How samples are changed: what may happen to them, to what size they are cut, and what the values of their images mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chipwright.chips.augmentation.settings import Augmentation, changed, default_augmentation
from chipwright.chips.chipset import BandStatistics


@dataclass(frozen=True)
class Tones:
    """What the values of an image mean, per band, in the units of its file.

    Attributes:
        fill: stands for ground beyond the chip and for pixels without data.
        low, high: what counts as black and white.
        thematic: whether values are classes, which are neither mixed nor brightened.
    """

    fill: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    thematic: bool = False

    @classmethod
    def of(cls, statistics: BandStatistics, dtype: str, thematic: bool = False) -> Tones:
        """Return the tones of images with these statistics and this pixel type (numpy name).

        The means fill, and mean +- 3 deviations (within minimum and maximum) are white and black. Thematic images are
        filled with 0.
        """
        mean, std = np.asarray(statistics.mean, np.float64), np.asarray(statistics.std, np.float64)
        if thematic:
            none = (0.0,) * len(mean)
            return cls(none, none, none, thematic=True)
        low = np.maximum(np.asarray(statistics.minimum, np.float64), mean - 3 * std)
        high = np.minimum(np.asarray(statistics.maximum, np.float64), mean + 3 * std)
        fill = mean if np.dtype(dtype).kind == "f" else np.rint(mean)
        return cls(tuple(fill.tolist()), tuple(low.tolist()), tuple(high.tolist()))


@dataclass(frozen=True)
class Recipe:
    """How samples are changed. Without `augmentation` they are cut to size about their centre, as for validation.

    Attributes:
        size: (width, height) of the result in pixels. Larger scenes are cropped, smaller ones padded all around.
        tones: of each image of a scene, in their order.
        augmentation: what may happen beyond that.
    """

    size: tuple[int, int]
    tones: tuple[Tones, ...]
    augmentation: Augmentation = field(default_factory=lambda: Augmentation.model_validate({}))


def training_recipe(
    kind: str, image_space: str, size: tuple[int, int], tones: tuple[Tones, ...], given: Mapping[str, Any] | None = None
) -> Recipe:
    """Return how training samples of one kind of work are changed (see `default_augmentation`).

    Args:
        size: (width, height) of the result.
        given: what the user set otherwise, name -> value.
    """
    augmentation = default_augmentation(kind, image_space, square=size[0] == size[1])
    return Recipe(size, tones, changed(augmentation, given or {}))
