"""Outlines of pixels that belong together, as polygons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
import shapely.geometry
from numpy.typing import NDArray
from rasterio.features import shapes as traced


def class_polygons(pieces: Sequence[tuple[Path, int]], values: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return (polygons, class value of each) of a raster of classes that lies in pieces, in its pixels.

    Polygons follow the pixels' edges; pixels belong together where they share one. What reaches over pieces is one polygon.

    Args:
        pieces: (file, first row).
        values: classes that get polygons.
    """
    done: list[tuple[Any, int]] = []
    open_: dict[int, list[Any]] = {value: [] for value in values}
    for number, (path, top) in enumerate(pieces):
        with rasterio.open(path) as file:
            pixels = file.read(1)
        inside = np.isin(pixels, values)
        height = pixels.shape[0]
        for outline, value in traced(pixels.astype(np.int32), inside):
            polygon = _moved(shapely.geometry.shape(outline), 0, top)
            _, low, _, high = polygon.bounds
            at_edge = (low == top and number > 0) or (high == top + height and number < len(pieces) - 1)
            if at_edge:
                open_[int(value)].append(polygon)
            else:
                done.append((polygon, int(value)))
    for value, parts in open_.items():
        done += [(one, value) for one in shapely.get_parts(shapely.union_all(parts))] if parts else []
    return np.array([one for one, _ in done], object), np.array([value for _, value in done], np.int64)


def mask_outline(mask: NDArray[np.bool_], left: int, top: int) -> Any:
    """Return the outline of a mask (height, width) whose first pixel is (left, top), as a MultiPolygon; None if it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    inner = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    parts = [shapely.geometry.shape(one) for one, _ in traced(inner.astype(np.uint8), inner)]
    return _moved(shapely.MultiPolygon(parts), left + columns[0], top + rows[0])


def _moved(shape: Any, right: int, down: int) -> Any:
    shift = np.array([right, down], np.float64)
    return shapely.transform(shape, lambda points: points + shift)
