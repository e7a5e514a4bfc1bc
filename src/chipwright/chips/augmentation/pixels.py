"""Pixel values of any type: as floating numbers and back, filled where there are none, squeezed, and in another light."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from chipwright.chips.augmentation.recipe import Tones
from chipwright.chips.augmentation.settings import Augmentation

Array = NDArray[Any]


def fill_invalid(image: Array, valid: NDArray[np.bool_] | None, fill: Sequence[float]) -> Array:
    """Return the image with pixels that hold no data set to `fill` (per band): no false value enters the network.

    Args:
        image: (bands, height, width); unchanged, and returned itself where all pixels are valid.
        valid: (height, width), or None where all pixels hold data.
    """
    if valid is None or valid.all():
        return image
    return np.where(valid, image, column(fill, image.dtype))


def squish(image: Array, size: tuple[int, int]) -> Array:
    """Return the image (bands, height, width) squeezed to `size` (width, height), smoothed where it shrinks."""
    if image.shape[1:] == (size[1], size[0]):
        return image
    work = float_type(image.dtype)
    tensor = torch.from_numpy(np.ascontiguousarray(image, dtype=work))[None]
    resized = F.interpolate(tensor, size=(size[1], size[0]), mode="bilinear", antialias=True, align_corners=False)
    return cast(resized[0].numpy(), image.dtype)


def relit(image: Array, tones: Tones, augmentation: Augmentation, rng: np.random.Generator) -> Array:
    """Return the image (bands, height, width) in another light, brightness and contrast each drawn; itself if neither is."""
    if tones.thematic:
        return image
    share = augmentation.light_share
    level = rng.uniform(*augmentation.brightness) if rng.random() < share else 0.5
    factor = math.exp(rng.uniform(*np.log(augmentation.contrast))) if rng.random() < share else 1.0
    if (level, factor) == (0.5, 1.0):
        return image
    work = float_type(image.dtype)
    fill, low, high = (column(values, work) for values in (tones.fill, tones.low, tones.high))
    shift = fill * (1 - factor) + (high - low) * (level - 0.5)  # about the mean, then by a share of the band's range
    light = image.astype(work)
    light *= work.type(factor)
    light += shift
    return cast(light, image.dtype)


def column(values: Sequence[float], dtype: Any) -> Array:
    """Return one value a band as (bands, 1, 1) of a type."""
    return np.asarray(values, np.float64).astype(dtype)[:, None, None]


def float_type(dtype: Any) -> np.dtype[Any]:
    """Return the floating type that holds `dtype` exactly: float32 for 8 and 16 bits, float64 for wider integers."""
    return np.promote_types(dtype, np.float32)


def cast(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return floating `values` (overwritten) as `dtype`: rounded and held within its range where it is an integer."""
    if dtype.kind == "f":
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    np.rint(values, out=values)
    np.maximum(values, limits.min, out=values)
    np.minimum(values, limits.max, out=values)
    return values.astype(dtype)
