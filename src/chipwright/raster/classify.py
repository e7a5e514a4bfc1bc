"""A model's classes over a whole raster, by a plain loop of overlapping windows whose middles are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

from chipwright import console
from chipwright.chips.chipset import BACKGROUND
from chipwright.errors import OptionError
from chipwright.files import whole_file
from chipwright.model import Model
from chipwright.tasks.pixels import PixelTask


def classify_raster(model: Model, raster: Path, out: Path, margin: int = 32, batch_size: int = 8) -> Path:
    """Write the class values of a pixel classifier over `raster` as an 8-bit GeoTIFF with the classes' colours.

    Windows have the model's chip size and overlap by twice `margin`; only what lies further than `margin` from a window's
    border is kept, so that every pixel is predicted with its surroundings.
    """
    task = model.task
    if not isinstance(task, PixelTask):
        raise OptionError(f"{model.name} is a {model.spec.model_type}; only pixel classifiers give a class to every pixel.")
    with rasterio.open(raster) as source, whole_file(out) as temporary:
        tile = min(*model.spec.chip_size, source.width, source.height)
        margin = min(margin, tile // 4)
        profile: dict[str, Any] = {
            "driver": "GTiff", "count": 1, "dtype": "uint8", "width": source.width, "height": source.height,
            "crs": source.crs, "transform": source.transform, "compress": "deflate", "tiled": True,
            "blockxsize": 256, "blockysize": 256,
        }  # fmt: skip
        with rasterio.open(temporary, "w", **profile) as target:
            target.write_colormap(1, {BACKGROUND: (0, 0, 0)} | {info.value: info.color for info in model.spec.classes})
            windows = list(_windows(source.width, source.height, tile, margin))
            for first in console.track(range(0, len(windows), batch_size), "Predicting"):
                some = windows[first : first + batch_size]
                predictions = model.predict([source.read(window=window) for window, _ in some])
                for (window, (top, left, bottom, right)), prediction in zip(some, predictions, strict=True):
                    values = task.class_values(prediction).astype(np.uint8)[top:bottom, left:right]
                    place = Window(window.col_off + left, window.row_off + top, right - left, bottom - top)
                    target.write(values, 1, window=place)
    return out


def _windows(width: int, height: int, tile: int, margin: int) -> Iterator[tuple[Window, tuple[int, int, int, int]]]:
    """Yield windows over the raster with the part of each (top, left, bottom, right) that is kept."""
    for row, top, bottom in _kept(height, tile, margin):
        for column, left, right in _kept(width, tile, margin):
            yield Window(column, row, tile, tile), (top, left, bottom, right)


def _kept(length: int, tile: int, margin: int) -> Iterator[tuple[int, int, int]]:
    """Yield (start of the window, first and last kept pixel within it) along one axis; kept parts tile the axis."""
    done = 0
    while done < length:
        start = min(max(0, done - margin), length - tile)
        end = length if start + tile >= length else start + tile - margin
        yield start, done - start, end - start
        done = end
