"""One prediction before its first window: model, rasters and windows, with everything refused that can be refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from accelerate.utils.memory import release_memory, should_reduce_batch_size
from rasterio.transform import Affine

from chipwright import console
from chipwright.errors import OptionError
from chipwright.model import Model
from chipwright.prediction.margins import margin_of
from chipwright.prediction.options import PredictOptions
from chipwright.prediction.source import Source
from chipwright.prediction.windows import Box, Plan
from chipwright.prediction.work import digest, identity
from chipwright.raster.features import Features
from chipwright.raster.grid import Grid
from chipwright.raster.vector_files import read_features
from chipwright.tasks.images import ImageTask
from chipwright.tasks.pixels import PixelTask

STRIDE = 32
"""Multiple at which windows begin: the coarsest stride of the backbones."""

_PROBED = 640
"""Side in pixels of the window in which the margin is measured."""

_LEAST_PROBED = 160
"""Of the smallest one, where memory holds no larger."""

_ROOM = 6
"""Margins that fit into a window's side: what is kept is then less than half of what is computed in vain."""

_LARGEST = 1536
"""Side in pixels up to which windows grow to make room for the margin."""

_AT_ONCE = 1024**2
"""Pixels through the network at once, which bounds its memory."""

_MOST_WINDOWS = 64
"""Windows at once, however small they are."""


@dataclass
class Job:
    """A model, what it is applied to, and by which windows."""

    options: PredictOptions
    model: Model
    source: Source
    plan: Plan

    @property
    def batch_size(self) -> int:
        """Windows at once."""
        return self.options.batch_size or min(max(1, _AT_ONCE // self.plan.size**2), _MOST_WINDOWS)

    @property
    def plan_grid(self) -> Grid:
        """The grid of the part of the raster that is predicted."""
        left, top, right, bottom = self.plan.area
        whole = self.source.grid
        return Grid(whole.transform * Affine.translation(left, top), whole.crs, right - left, bottom - top)

    def facts(self, kind: str) -> dict[str, Any]:
        """Return everything that decides what a piece of the work holds, as JSON data."""
        options, plan = self.options, self.plan
        return {
            "kind": kind,
            "model": digest(self.model),
            "inputs": [identity(path) for path in (*self.source.paths, *filter(None, (options.mask, options.features)))],
            "windows": [plan.width, plan.height, plan.size, plan.margin, plan.stride, list(plan.area)],
            "options": options.model_dump(mode="json", include={"cell_size", "extent", "probabilities"}),
            "arithmetic": [str(self.model.accelerator.device), str(self.model.accelerator.mixed_precision)],
        }


def planned(options: PredictOptions, model: Model, source: Source) -> Plan:
    """Return the windows, and limit the source to the extent and the mask."""
    area = _area(options, source)
    size, margin = _sizes(options, model, max(source.grid.width, source.grid.height))
    return Plan.over(source.grid.width, source.grid.height, size, margin, STRIDE, area)


def _sizes(options: PredictOptions, model: Model, longest: int) -> tuple[int, int]:
    """Return (side, margin) of the windows over a raster whose longer side is `longest`."""
    size = options.tile_size or max(model.spec.chip_size)
    if options.padding is not None:
        if 2 * options.padding >= size:
            raise OptionError(
                f"A window of {size} pixels with {options.padding} around what is kept keeps nothing. Choose a padding below "
                "half the tile size, or larger tiles."
            )
        return size, options.padding
    if not isinstance(model.task, (PixelTask, ImageTask)) or longest <= size:  # a single window has no margin to measure
        return size, size // 4
    # what makes images normalises each of them, halves it to a pixel, or attends to all of it
    margin = measured_margin(model, _PROBED) if isinstance(model.task, PixelTask) else None
    if margin is None:
        console.say(
            f"{model.spec.model_type} looks at all of a window for every pixel, so windows keep the chips' size and a quarter "
            "of it lies around what is kept; other windows give slightly other results."
        )
        return size, size // 4
    if options.tile_size is None:
        size = max(size, min(-(-_ROOM * margin // STRIDE) * STRIDE, _LARGEST))
    return size, min(margin, size // 3)


def measured_margin(model: Model, size: int) -> int | None:
    """Return how far a pixel of a pixel classifier looks, None if as far as the window of `size` pixels a side reaches.

    A smaller window is looked at where memory does not hold the gradients of one.
    """
    task = model.task
    assert isinstance(task, PixelTask)

    def numbers(images: Any) -> Any:
        with model.accelerator.autocast():
            return task.logits(model.network, images)

    while True:
        try:
            return margin_of(numbers, len(task.inputs.mean), size, model.accelerator.device)
        except RuntimeError as error:
            if size <= _LEAST_PROBED or not should_reduce_batch_size(error):
                raise
        release_memory()
        size //= 2


def _area(options: PredictOptions, source: Source) -> Box | None:
    """Return the part of the raster in which the extent and the mask lie; the source learns its outline."""
    if options.mask is None and options.extent is None:
        return None
    grid, inside = source.grid, source.grid.footprint
    if options.extent is not None:
        xmin, ymin, xmax, ymax = options.extent
        if xmin >= xmax or ymin >= ymax:
            raise OptionError(f"The extent {options.extent} is empty; expected xmin,ymin,xmax,ymax.")
        box = Features(source.paths[0], np.array([shapely.box(xmin, ymin, xmax, ymax)]), np.ones(1, np.int64), (), crs=grid.crs)
        inside = shapely.intersection(inside, shapely.union_all(box.on(grid).shapes))
    if options.mask is not None:
        mask = read_features(options.mask, classes=False)
        placed = mask.on(grid)
        if not len(placed):
            raise mask.elsewhere(grid)
        inside = shapely.intersection(inside, shapely.union_all(placed.shapes))
    left, top, right, bottom = shapely.bounds(inside)
    if not np.isfinite(left) or right - left < 1e-6 or bottom - top < 1e-6:
        raise OptionError("The extent or mask does not overlap the raster. Is it in the raster's map units?")
    if not inside.equals(grid.footprint):
        source.inside = inside
    return int(np.floor(left + 1e-6)), int(np.floor(top + 1e-6)), int(np.ceil(right - 1e-6)), int(np.ceil(bottom - 1e-6))
