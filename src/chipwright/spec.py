"""`ModelSpec`: everything needed to build a model again, as plain data. It travels in the package; loading needs no chips."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from chipwright.chips.chipset import BandStatistics, ClassInfo, SecondImages


class Normalization(BaseModel):
    """Per-band `(clip(x, minimum, maximum) - mean) / std`, in the units of the files.

    `minimum` and `maximum` are None where values are not clipped (8-bit RGB with the scaling of pretrained weights).
    """

    model_config = ConfigDict(frozen=True)

    mean: tuple[float, ...]
    std: tuple[float, ...]
    minimum: tuple[float, ...] | None = None
    maximum: tuple[float, ...] | None = None
    source: str = "statistics"
    """"weights" (the scaling the pretrained weights were trained with), "imagenet" or "statistics"."""

    def beside(self, other: Normalization) -> Normalization:
        """Return the scaling of images that hold these bands, and `other`'s after them; either keeps its limits, or none."""

        def limits(mine: tuple[float, ...] | None, theirs: tuple[float, ...] | None, none: float) -> tuple[float, ...] | None:
            if mine is None and theirs is None:
                return None
            return (*(mine or (none,) * len(self.mean)), *(theirs or (none,) * len(other.mean)))

        return Normalization(
            mean=(*self.mean, *other.mean),
            std=(*self.std, *other.std),
            minimum=limits(self.minimum, other.minimum, -math.inf),
            maximum=limits(self.maximum, other.maximum, math.inf),
            source=self.source,
        )


class ModelSpec(BaseModel):
    """A model as plain data: its type, arguments and what was fitted on the training split.

    Attributes:
        model_type: catalog keyword.
        arguments: validated model arguments, as the type's pydantic model dumps them.
        backbone: backbone keyword or "timm:NAME"; None for types without one.
        classes: the classes by ascending value (see `ChipSet.classes`).
        bands: band names of the chips.
        dtype: pixel type of the chips.
        chip_size: (width, height) in pixels that the network is trained on.
        normalization: of the images, and of second images where a type has them.
        statistics: of the training chips' bands, kept for display and for the package.
        metadata_format, image_space, nodata, second, metadata: as in `ChipSet`.
        augmentation: what the user set of the random changes to training samples, over the defaults of the kind of work.
        fitted: what the type fitted on the training split (class weights, anchors, vocabulary, ...); JSON data only.
    """

    model_config = ConfigDict(frozen=True)

    model_type: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    backbone: str | None = None
    classes: tuple[ClassInfo, ...] = ()
    bands: tuple[str, ...]
    dtype: str
    chip_size: tuple[int, int]
    normalization: Normalization
    second_normalization: Normalization | None = None
    statistics: BandStatistics
    metadata_format: str
    image_space: str = "MAP_SPACE"
    nodata: float | None = None
    second: SecondImages | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    augmentation: dict[str, Any] = Field(default_factory=dict)
    fitted: dict[str, Any] = Field(default_factory=dict)
