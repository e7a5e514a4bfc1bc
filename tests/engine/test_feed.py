from itertools import chain

import numpy as np
import pytest
import torch
from toy_task import SPEC, ToyTask

from chipwright.engine.feed import BatchPlan, Feed


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


def test_spawned_processes_draw_the_same_samples() -> None:
    task = ToyTask(SPEC)
    task.normalizer("image", torch.device("cpu"))
    alone = Feed(task, list(range(8)), None, 4, seed=3, shuffle=True, augment=True)  # type: ignore[arg-type]
    helped = Feed(task, list(range(8)), None, 4, seed=3, shuffle=True, augment=True, workers=2)  # type: ignore[arg-type]
    for epoch in range(2):
        for left, right in zip(alone.batches(epoch), helped.batches(epoch), strict=True):
            np.testing.assert_array_equal(left["image"], right["image"])
