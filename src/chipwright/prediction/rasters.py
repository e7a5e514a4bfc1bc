"""Results that are pixels: computed by rows of windows, kept in pieces, put together as rasters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from chipwright import console
from chipwright.prediction.job import Job
from chipwright.prediction.stream import Seen, predicted
from chipwright.prediction.windows import Box, Plan
from chipwright.prediction.work import Work
from chipwright.raster.layers import Figures, Layer, assemble, write_piece
from chipwright.tasks.base import Batch

_WRITES_AHEAD = 2

_MASK = "mask"
"""Piece that says where there are data, beside layers that have no value for ground without."""

_HELD = np.uint8(255)

Paint = Callable[[Batch], Sequence[Mapping[str, NDArray[Any]]]]
"""Takes a batch on the device and returns, for every sample, the pixels (bands, height, width) of each layer by its name."""


@dataclass(frozen=True)
class Target:
    """A raster that is written: what it holds, and where it ends."""

    layer: Layer
    path: Path


def write_rasters(job: Job, targets: Mapping[str, Target], paint: Paint, work: Work) -> dict[str, list[Figures]]:
    """Compute and write rasters of the job's area and return the statistics of their bands.

    What is finished lies in the work folder, from which an interrupted job goes on. Pixels without data get each layer's
    nodata value; in a layer without one they are 0, and a mask of the raster's tells them from others.
    """
    plan, source = job.plan, job.source
    rows = work.missing(len(plan.rows))
    windows = len(plan) // len(plan.rows) * len(rows)
    stream = console.track(predicted(job.model, source, plan, rows, job.batch_size, paint), "Predicting", windows)
    with ThreadPoolExecutor(1) as writer:
        waiting: list[Future[None]] = []
        for row, pieces in _pieces(stream, plan, targets):
            waiting.append(writer.submit(_keep, work, row, pieces))
            if len(waiting) > _WRITES_AHEAD:
                waiting.pop(0).result()
        for one in waiting:
            one.result()
    masks = pieces_of(work, plan, _MASK) if _masked(targets) else []
    if all(_full(path) for path, _ in masks):
        masks = []
    return {
        name: assemble(
            pieces_of(work, plan, name), job.plan_grid, target.layer, target.path, masks if target.layer.nodata is None else []
        )
        for name, target in targets.items()
    }


def _masked(targets: Mapping[str, Target]) -> bool:
    return any(target.layer.nodata is None for target in targets.values())


def _full(path: Path) -> bool:
    """Return whether a piece of a mask says that there are data everywhere."""
    with rasterio.open(path) as file:
        return bool((file.read(1) != 0).all())


def pieces_of(work: Work, plan: Plan, name: str) -> list[tuple[Path, int]]:
    """Return a layer's pieces with the row of the area's pixels at which each begins."""
    return [(work.piece(row, f"{name}.tif"), kept[0] - plan.area[1]) for row, (_, kept) in enumerate(plan.rows)]


def _pieces(stream: Iterator[Seen], plan: Plan, targets: Mapping[str, Target]) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
    """Yield each row of windows with the layers' pixels (bands, height, width) of all its width."""
    left, _, right, _ = plan.area
    for row, windows in groupby(stream, attrgetter("row")):
        top, bottom = plan.rows[row][1]
        strips = {name: target.layer.empty(bottom - top, right - left) for name, target in targets.items()}
        if _masked(targets):
            strips[_MASK] = np.zeros((1, bottom - top, right - left), np.uint8)
        for one in windows:
            if one.result is None:
                continue
            place = _within(one.window.kept, left, top)
            for name, strip in strips.items():
                pixels = _HELD if name == _MASK else one.result[name][:, *one.window.inner]
                if one.held is None:
                    strip[:, *place] = pixels
                else:
                    strip[:, *place] = np.where(one.held[one.window.inner], pixels, strip[:, *place])
        yield row, strips


def _within(box: Box, left: int, top: int) -> tuple[slice, slice]:
    return slice(box[1] - top, box[3] - top), slice(box[0] - left, box[2] - left)


def _keep(work: Work, row: int, strips: Mapping[str, NDArray[Any]]) -> None:
    for name, strip in strips.items():
        write_piece(work.piece(row, f"{name}.tif"), strip)
    work.finish(row)
