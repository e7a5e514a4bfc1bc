"""Which scaling brings pixels to the network: the pretrained weights' for 8-bit RGB, the chips' statistics for all else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from chipwright.chips.chipset import BandStatistics
from chipwright.spec import Normalization

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_RGB = ("red", "green", "blue")


class Described(Protocol):
    """What is known of images: of chips (`ChipSet`), their second ones (`SecondImages`), a model's (`ModelSpec`)."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands."""

    @property
    def dtype(self) -> str:
        """Pixel type."""

    @property
    def statistics(self) -> BandStatistics:
        """Statistics of the bands."""


def is_plain_rgb(bands: Sequence[str], dtype: str) -> bool:
    """Return whether chips are 8-bit colour pictures as ImageNet's: three bands that are red, green and blue, or unnamed."""
    if len(bands) != 3 or dtype != "uint8":
        return False
    names = tuple(name.lower() for name in bands)
    return names == _RGB or all(name.startswith("band") for name in names)


def choose_normalization(chips: Described, weights: tuple[Sequence[float], Sequence[float]] | None) -> Normalization:
    """Return the scaling of the chips' images, or of their second ones.

    8-bit RGB takes the (mean, deviation) that the backbone's weights were trained with, on the scale 0 to 1, or ImageNet's
    where there are no weights. Any other bands or depth are clipped to the range of the training data and standardised by its
    statistics, as the reference does for multispectral chips; a band without any contrast becomes 0.
    """
    if is_plain_rgb(chips.bands, chips.dtype):
        mean, std = weights or (IMAGENET_MEAN, IMAGENET_STD)
        return Normalization(
            mean=tuple(255 * value for value in mean),
            std=tuple(255 * value for value in std),
            source="weights" if weights else "imagenet",
        )
    statistics = chips.statistics
    return Normalization(
        mean=statistics.mean,
        std=tuple(value if value > 0 else 1.0 for value in statistics.std),
        minimum=statistics.minimum,
        maximum=statistics.maximum,
        source="statistics",
    )


def black_and_white(images: Described) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the values of each band that are black, and those that are white.

    All that 8 bits hold, else the extremes of the training chips; a band without contrast is black, and white 1 above.
    """
    if images.dtype == "uint8":
        return (0.0,) * len(images.bands), (255.0,) * len(images.bands)
    low, high = images.statistics.minimum, images.statistics.maximum
    return low, tuple(top if top > bottom else bottom + 1.0 for bottom, top in zip(low, high, strict=True))


def signed_unit(images: Described) -> Normalization:
    """Return the scaling that brings each band to -1..1 between black and white, as networks that end in tanh want it.

    Pixels of more than 8 bits beyond these are clipped.
    """
    low, high = black_and_white(images)
    clipped = images.dtype != "uint8"
    return Normalization(
        mean=tuple((bottom + top) / 2 for bottom, top in zip(low, high, strict=True)),
        std=tuple((top - bottom) / 2 for bottom, top in zip(low, high, strict=True)),
        minimum=low if clipped else None,
        maximum=high if clipped else None,
        source="statistics",
    )
