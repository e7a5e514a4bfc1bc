import sys
import threading
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from toy_task import SPEC, ToyTask

from chipwright.chips.chipset import Chip
from chipwright.engine import feed
from chipwright.engine.feed import BatchPlan, Feed
from chipwright.tasks.base import Reader, Sample


def keys(plan: BatchPlan) -> list[list[int]]:
    return [[index for _, index in batch] for batch in plan]


def test_an_epoch_shows_every_unit_once() -> None:
    batches = keys(BatchPlan(10, 4, seed=1, shuffle=True))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sorted(chain.from_iterable(batches)) == list(range(10))


def test_a_last_batch_that_is_too_small_is_left_out_of_training_only() -> None:
    assert len(keys(BatchPlan(9, 4, seed=1, shuffle=True, smallest=2))) == 2
    assert len(keys(BatchPlan(9, 4, seed=1, shuffle=False, smallest=2))) == 3


def test_epochs_differ_and_repeat() -> None:
    plan = BatchPlan(32, 4, seed=1, shuffle=True)
    first = keys(plan)
    plan.epoch = 1
    assert keys(plan) != first
    plan.epoch = 0
    assert keys(plan) == first


def test_a_start_within_the_epoch_gives_the_rest_of_it() -> None:
    plan = BatchPlan(32, 4, seed=1, shuffle=True)
    whole = keys(plan)
    plan.start = 3
    assert keys(plan) == whole[3:]


@pytest.mark.parametrize("shuffle", [True, False])
def test_processes_share_the_units(shuffle: bool) -> None:
    plans = [BatchPlan(10, 2, seed=1, shuffle=shuffle, rank=rank, processes=3) for rank in range(3)]
    shares = [list(chain.from_iterable(keys(plan))) for plan in plans]
    seen = sorted(chain.from_iterable(shares))
    assert len(seen) == len(set(seen))
    if shuffle:
        assert {len(share) for share in shares} == {3}  # as many steps everywhere
    else:
        assert seen == list(range(10))


def test_images_stay_in_the_files_dtype() -> None:
    batch = next(Feed(ToyTask(SPEC), [0, 1, 2], None, 3).batches())  # type: ignore[arg-type]
    assert batch["image"].dtype == torch.uint8


@pytest.mark.parametrize("method", [feed._START_METHOD, "spawn"])
def test_loader_processes_draw_the_same_samples(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_START_METHOD", method)
    task = ToyTask(SPEC)
    task.normalizer("image", torch.device("cpu"))
    alone = Feed(task, list(range(8)), None, 4, seed=3, shuffle=True, augment=True)  # type: ignore[arg-type]
    helped = Feed(task, list(range(8)), None, 4, seed=3, shuffle=True, augment=True, workers=2)  # type: ignore[arg-type]
    for epoch in range(2):
        for left, right in zip(alone.batches(epoch), helped.batches(epoch), strict=True):
            np.testing.assert_array_equal(left["image"], right["image"])


def test_a_script_gets_no_processes_that_would_run_it_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    monkeypatch.setattr(feed, "_START_METHOD", "spawn")
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__file__="train.py"))
    assert feed.choose_workers(None, gpu, 1000) == 0
    assert feed.choose_workers(3, gpu, 1000) == 3
    monkeypatch.setattr(sys, "argv", ["/bin/chipwright"])
    assert feed.choose_workers(None, gpu, 1000) > 0
    monkeypatch.setattr(sys, "argv", [""])
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace())
    assert feed.choose_workers(None, gpu, 1000) > 0
    assert feed.choose_workers(None, torch.device("cpu"), 1000) == 0


class ChipTask(ToyTask):
    """Draws the number of a chip from a reader."""

    def chips_of(self, unit: Any) -> Sequence[Chip]:
        return (unit,)

    def draw(self, unit: Any, reader: Reader, rng: np.random.Generator, augment: bool) -> Sample:
        return {"image": reader.image(unit), "label": 0}


class Recorder:
    """A reader of chips numbered by their names, which notes what is done and in which order; chip 5 cannot be read ahead."""

    def __init__(self, at_hand: Sequence[int] = ()) -> None:
        self.at_hand = set(at_hand)
        self.events: list[tuple[str, int]] = []
        self.threads: set[threading.Thread] = set()

    def has(self, chip: Chip) -> bool:
        return int(chip.name) in self.at_hand

    def read_ahead(self, chip: Chip) -> None:
        self.threads.add(threading.current_thread())
        if chip.name == "5":
            raise OSError("not now")
        self.events.append(("ahead", int(chip.name)))

    def image(self, chip: Chip, index: int = 0) -> Any:
        assert threading.current_thread() is threading.main_thread()
        self.events.append(("drawn", int(chip.name)))
        return np.full((1, 1, 1), int(chip.name), np.uint8)


CHIPS = [Chip(str(number), 0, (Path(f"{number}.tif"),), 1, 1) for number in range(6)]


def numbers(feed: Feed) -> list[list[int]]:
    return [batch["image"].flatten().tolist() for batch in feed.batches()]


def test_a_batch_is_drawn_when_its_chips_and_no_more_than_the_next_batch_s_are_read_ahead() -> None:
    reader = Recorder()
    feed = Feed(ChipTask(SPEC), CHIPS, reader, 2)  # type: ignore[arg-type]
    assert numbers(feed) == [[0, 1], [2, 3], [4, 5]]
    for chip in (0, 1, 2, 3, 4):
        assert reader.events.index(("ahead", chip)) < reader.events.index(("drawn", chip))
    assert reader.events.index(("ahead", 4)) > reader.events.index(("drawn", 1))


def test_chips_at_hand_need_no_thread() -> None:
    reader = Recorder(at_hand=range(6))
    assert numbers(Feed(ChipTask(SPEC), CHIPS, reader, 4)) == [[0, 1, 2, 3], [4, 5]]  # type: ignore[arg-type]
    assert not reader.threads


def test_threads_end_with_an_epoch_left_early() -> None:
    reader = Recorder()
    batches = Feed(ChipTask(SPEC), CHIPS, reader, 2).batches()  # type: ignore[arg-type]
    next(batches)
    batches.close()
    assert reader.threads and not any(thread.is_alive() for thread in reader.threads)
