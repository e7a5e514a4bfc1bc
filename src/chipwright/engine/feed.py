"""From units to batches: drawing samples in this process or in loader processes, in an order that depends on the seed alone."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from chipwright.engine.seeds import sample_generator, shuffled
from chipwright.tasks.base import Batch, Reader, Sample, Task

Key = tuple[int, int]
"""(epoch, index of the unit): all that a sample's randomness depends on, beside the seed."""

_START_METHOD = "fork" if sys.platform == "linux" else "spawn"
"""Forked loader processes are there at once; spawned ones import torch anew, and run the script that started the training."""

_THREADS = 2
"""Threads that read ahead where there are no loader processes. More would take the cores from a network on the CPU."""


class DrawnSamples(Dataset[Sample]):
    """Samples by (epoch, index). Picklable, so that loader processes can be spawned."""

    def __init__(self, task: Task, units: Sequence[Any], reader: Reader, seed: int, augment: bool) -> None:
        self.task, self.units, self.reader, self.seed, self.augment = task, units, reader, seed, augment

    def __len__(self) -> int:
        return len(self.units)

    def __getitem__(self, key: Key) -> Sample:
        epoch, index = key
        return self.task.draw(self.units[index], self.reader, sample_generator(self.seed, epoch, index), self.augment)


class BatchPlan(Sampler[list[Key]]):
    """The batches of one epoch for this process, shuffled or in order, from any step on.

    Training shares one global order out among processes evenly; a last batch smaller than `smallest` is left out (batch
    normalisation has no statistics of one sample). Measuring gives every process its share, uneven or not.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        seed: int,
        shuffle: bool,
        smallest: int = 1,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.count, self.batch_size, self.seed, self.shuffle = count, batch_size, seed, shuffle
        self.smallest, self.rank, self.processes = smallest, rank, processes
        self.epoch, self.start = 0, 0

    def order(self) -> list[int]:
        """Return this process's units of the epoch, in order."""
        if not self.shuffle:
            return list(range(self.rank, self.count, self.processes))
        even = self.count // self.processes * self.processes
        return shuffled(self.count, self.seed, self.epoch)[:even][self.rank :: self.processes]

    def __len__(self) -> int:
        share = self.count // self.processes if self.shuffle else len(range(self.rank, self.count, self.processes))
        full, rest = divmod(share, self.batch_size)
        return full + (1 if rest and (rest >= self.smallest or not self.shuffle) else 0)

    def __iter__(self) -> Iterator[list[Key]]:
        order = self.order()
        for step in range(self.start, len(self)):
            yield [(self.epoch, index) for index in order[step * self.batch_size : (step + 1) * self.batch_size]]


class ReadAhead(Sampler[list[Key]]):
    """The batches of a plan, each handed on once its chips are decoded, while threads decode those of the batch after it.

    GDAL lets go of Python's lock while it decodes. Samples are drawn in their turn by whoever asks for them, so nothing depends
    on it but the time; where all chips are in memory, no thread has anything to do.
    """

    def __init__(self, plan: BatchPlan, samples: DrawnSamples) -> None:
        self.plan, self.samples = plan, samples

    def __iter__(self) -> Iterator[list[Key]]:
        pool = ThreadPoolExecutor(_THREADS)
        coming: deque[tuple[list[Key], list[Future[None]]]] = deque()
        try:
            for keys in self.plan:
                coming.append((keys, self._reading(pool, keys)))
                if len(coming) > 1:
                    yield _awaited(*coming.popleft())
            while coming:
                yield _awaited(*coming.popleft())
        finally:
            pool.shutdown(cancel_futures=True)  # an epoch that ends early does not wait for what is still in the queue

    def _reading(self, pool: ThreadPoolExecutor, keys: Sequence[Key]) -> list[Future[None]]:
        reader = self.samples.reader
        chips = (chip for _, index in keys for chip in self.samples.task.chips_of(self.samples.units[index]))
        return [pool.submit(reader.read_ahead, chip) for chip in chips if not reader.has(chip)]


def _awaited(keys: list[Key], reading: Sequence[Future[None]]) -> list[Key]:
    # what went wrong is not looked at here: the chip is read again when it is drawn, and says so
    wait(reading)
    return keys


class Feed:
    """Batches of a task on the CPU, epoch by epoch."""

    def __init__(
        self,
        task: Task,
        units: Sequence[Any],
        reader: Reader,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = False,
        augment: bool = False,
        workers: int = 0,
        pin_memory: bool = False,
        smallest: int = 1,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.units = units
        self.plan = BatchPlan(len(units), batch_size, seed, shuffle, smallest, rank, processes)
        samples = DrawnSamples(task, units, reader, seed, augment)
        self.loader: DataLoader[Sample] = DataLoader(
            samples,
            batch_sampler=self.plan if workers else ReadAhead(self.plan, samples),
            collate_fn=task.collate,
            num_workers=workers,
            multiprocessing_context=_START_METHOD if workers else None,
            persistent_workers=workers > 0,
            pin_memory=pin_memory,
        )

    def __len__(self) -> int:
        """Return the steps of a whole epoch."""
        return len(self.plan)

    def batches(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """Yield the epoch's batches from step `start` on."""
        self.plan.epoch, self.plan.start = epoch, start
        yield from self.loader


def choose_workers(workers: int | None, device: torch.device, units: int) -> int:
    """Return the number of loader processes: none on a CPU, whose cores the network needs; else a few, fewer on Windows.

    Where processes are spawned each imports torch, which on Windows reserves much memory, and runs the user's script anew: none
    unless asked for by a script, which may not be ready for that.
    """
    if workers is not None:
        return workers
    if device.type == "cpu" or units < 64:
        return 0
    if _START_METHOD == "fork":
        return min(len(os.sched_getaffinity(0)), 8)
    return 0 if _runs_in_a_script() else min(os.cpu_count() or 1, 4)


def _runs_in_a_script() -> bool:
    """Whether a spawned process would run a user's script anew: not from our own command, nor interactively."""
    main = sys.modules["__main__"]
    ours = (getattr(main, "__package__", None) or "").split(".")[0] == "chipwright"
    command = Path(sys.argv[0]).stem.lower() == "chipwright" if sys.argv else False
    return hasattr(main, "__file__") and not ours and not command
