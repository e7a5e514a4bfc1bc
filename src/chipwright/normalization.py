"""Which scaling brings pixels to the network: the pretrained weights' for 8-bit RGB, the chips' statistics for all else."""

from __future__ import annotations

from collections.abc import Sequence

from chipwright.chips.chipset import ChipSet, SecondImages
from chipwright.spec import Normalization

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_RGB = ("red", "green", "blue")


def is_plain_rgb(bands: Sequence[str], dtype: str) -> bool:
    """Return whether chips are 8-bit colour pictures as ImageNet's: three bands that are red, green and blue, or unnamed."""
    if len(bands) != 3 or dtype != "uint8":
        return False
    names = tuple(name.lower() for name in bands)
    return names == _RGB or all(name.startswith("band") for name in names)


def choose_normalization(
    chips: ChipSet | SecondImages, weights: tuple[Sequence[float], Sequence[float]] | None
) -> Normalization:
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
