"""Instance masks as arrays: which pixels belong to which object, whatever integers a file numbers its objects with."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DIRECT = 2**16
"""Ids up to this, or up to four times the pixels, are numbered through a table; larger ones by sorting, which is slower."""


def numbered(ids: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return (instances, ids of each): the objects of a mask numbered from 1 without gaps.

    Objects of different bands are different objects, though their ids be the same. The order is that of the bands, and within
    a band of ascending ids. Bands that repeat an earlier one (grey pictures stored as red, green and blue) are left out.

    Args:
        ids: whole numbers of shape (bands, height, width), 0 where there is no object and positive elsewhere.

    Returns:
        int32 (bands, height, width) with 0 for none, and int64 (count,).
    """
    layers, found = [], []
    total = 0
    seen = set()
    for band in np.ascontiguousarray(ids):
        content = blake2b(band).digest()
        if content in seen:
            continue
        seen.add(content)
        layer, of_layer = _without_gaps(band)
        layers.append(_shifted(layer, total))
        found.append(of_layer)
        total += len(of_layer)
    return np.stack(layers), np.concatenate(found)


def _without_gaps(band: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    highest = int(band.max(initial=0))
    if highest <= max(_DIRECT, 4 * band.size):
        present = np.zeros(highest + 1, bool)
        present[band] = True
        present[0] = False
        table = np.cumsum(present, dtype=np.int32) * present
        return table[band], np.flatnonzero(present).astype(np.int64)
    values, places = np.unique(band, return_inverse=True)
    background = int(values[0] == 0)
    return (places.reshape(band.shape) + (1 - background)).astype(np.int32), values[background:].astype(np.int64)


def _shifted(instances: NDArray[np.int32], by: int) -> NDArray[np.int32]:
    return np.where(instances > 0, instances + np.int32(by), np.int32(0)) if by else instances


def joined(masks: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    """Return several masks of one class as one, (bands, height, width), their objects numbered on from mask to mask."""
    layers, total = [], 0
    for mask in masks:
        layers.append(_shifted(mask, total))
        total += int(mask.max(initial=0))
    return layers[0] if len(layers) == 1 else np.concatenate(layers)


def boxes_of(instances: NDArray[np.int32], count: int) -> NDArray[np.float32]:
    """Return the box around each of the instances 1 to `count`: float32 (count, 4) as xmin, ymin, xmax, ymax, edges included.

    Args:
        instances: (bands, height, width); each number occurs.
    """
    _, rows, columns = np.nonzero(instances)
    numbers = instances[instances > 0] - 1
    low = np.full((2, count), np.iinfo(np.int64).max)
    high = np.zeros((2, count), np.int64)
    for axis, places in enumerate((columns, rows)):
        np.minimum.at(low[axis], numbers, places)
        np.maximum.at(high[axis], numbers, places + 1)
    return np.concatenate([low, high]).T.astype(np.float32)
