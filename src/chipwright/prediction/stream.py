"""Windows through the network: read ahead in a thread, predicted in batches, handed on row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate.utils.memory import release_memory, should_reduce_batch_size
from numpy.typing import NDArray

from chipwright.errors import ChipwrightError
from chipwright.model import Model
from chipwright.prediction.source import Source
from chipwright.prediction.windows import Plan, Window
from chipwright.raster.background import ahead
from chipwright.tasks.base import Batch, Sample

_BATCHES_AHEAD = 2

_LONGEST = 64
"""Windows without data that ride along in a batch."""

Compute = Callable[[Batch], Sequence[Any]]
"""Takes a batch on the device and returns one result a sample."""


@dataclass(frozen=True)
class Seen:
    """A window that was read.

    Attributes:
        row: of windows, in the plan.
        sample: its pixels, None where none of them holds data.
        held: which pixels hold data, (height, width); None where all do, and without a sample.
        result: what the network made of it.
    """

    row: int
    window: Window
    sample: Sample | None
    held: NDArray[np.bool_] | None
    result: Any = None


def predicted(
    model: Model, source: Source, plan: Plan, rows: Sequence[int], batch_size: int, compute: Compute
) -> Iterator[Seen]:
    """Yield every window of some rows of a plan with its result, in order. Samples are let go."""

    def batches() -> Iterator[list[Seen]]:
        return batched(_read(source, plan, rows), batch_size)

    with ahead(batches, _BATCHES_AHEAD) as ready:
        for batch in ready:
            yield from computed(model, batch, compute)


def computed(model: Model, batch: Sequence[Seen], compute: Compute) -> Iterator[Seen]:
    """Yield the windows of one batch with their results."""
    samples = [one.sample for one in batch if one.sample is not None]
    results = iter(run(model, samples, compute)) if samples else iter(())
    for one in batch:
        yield Seen(one.row, one.window, None, one.held, None if one.sample is None else next(results))


def run(model: Model, samples: Sequence[Sample], compute: Compute) -> Sequence[Any]:
    """Return the results of samples, half as many at once where memory does not hold them all.

    Raises:
        ChipwrightError: if it does not hold a single one.
    """
    try:
        batch = model.task.to_device(model.task.collate(samples), model.accelerator.device)
        with torch.inference_mode(), model.accelerator.autocast():
            return compute(batch)
    except RuntimeError as error:
        if not should_reduce_batch_size(error):
            raise
    release_memory()  # outside of the handler, which holds on to what was computed
    if len(samples) == 1:
        height, width = samples[0][model.task.image_keys[0]].shape[-2:]
        raise ChipwrightError(
            f"Memory does not hold what {model.name} computes of a single window of {width} x {height} pixels. Choose smaller "
            "ones (--tile-size), or compute on the CPU (--processor-type CPU)."
        )
    half = len(samples) // 2
    return [*run(model, samples[:half], compute), *run(model, samples[half:], compute)]


def batched(windows: Iterable[Seen], size: int) -> Iterator[list[Seen]]:
    """Yield windows in batches of up to `size` with data, all of one shape; those without data ride along.

    However many have none, as at the rim of a mosaic, they do not gather: a batch is not waited for where there is no other.
    """
    batch: list[Seen] = []
    shape: tuple[int, int] | None = None
    count = 0
    for one in windows:
        if one.sample is not None:
            if count == size or shape not in (None, one.window.shape):
                yield batch
                batch, count = [], 0
            shape, count = one.window.shape, count + 1
        batch.append(one)
        if len(batch) >= _LONGEST + size:
            yield batch
            batch, shape, count = [], None, 0
    if batch:
        yield batch


def _read(source: Source, plan: Plan, rows: Sequence[int]) -> Iterator[Seen]:
    for row in rows:
        for window in plan.row(row):
            sample, held = source.read(window.seen)
            yield Seen(row, window, sample, None if sample is None else held)
