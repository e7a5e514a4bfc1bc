"""Randomness derived from one seed by place and time, never from the state of a process.

So the result depends neither on the number of loader processes nor on where a run was interrupted.
"""

from __future__ import annotations

import numpy as np
import torch

_ORDER, _SAMPLE, _STEP, _BUILD = range(4)


def shuffled(count: int, seed: int, epoch: int) -> list[int]:
    """Return 0..count-1 in the order of one epoch."""
    return np.random.default_rng((seed, _ORDER, epoch)).permutation(count).tolist()


def sample_generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Return the generator that draws one sample in one epoch."""
    return np.random.default_rng((seed, _SAMPLE, epoch, index))


def seed_step(seed: int, epoch: int, step: int) -> None:
    """Seed torch for one training step (dropout, mixup, proposal sampling)."""
    _seed_torch((seed, _STEP, epoch, step))


def seed_build(seed: int) -> None:
    """Seed torch for the initial weights."""
    _seed_torch((seed, _BUILD))


def _seed_torch(entropy: tuple[int, ...]) -> None:
    torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1)))
