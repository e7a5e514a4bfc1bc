"""The learning rate read off a range test (Smith, 1506.01186): rising rates over a few steps, and the slope of the loss."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

SPAN = 1e-2, 1e3
"""First and last rate of the sweep, as multiples of the task's default rate; never beyond 1."""
FEWEST_STEPS, MOST_STEPS = 20, 100
"""With fewer steps the rates lie so far apart that the sweep says nothing."""
_DIVERGED = 4.0
"""The sweep ends when the smoothed loss passes this many times its minimum."""


def planned_steps(steps_per_epoch: int, epochs: int) -> int:
    """Return how many steps a range test takes: at most 100, one epoch, a tenth of all steps; 0 where that is too few."""
    steps = min(MOST_STEPS, steps_per_epoch, steps_per_epoch * epochs // 10)
    return steps if steps >= FEWEST_STEPS else 0


def range_test(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: Callable[[int], float],
    steps: int,
    default: float,
) -> dict[str, Any]:
    """Sweep the rate around `default` over `steps` and return {"learning_rate": [...], "loss": [...], "chosen": rate}.

    `step(i)` trains one step with the optimizer's present rates and returns its loss. Weights, statistics and optimizer state
    are put back afterwards.
    """
    weights = copy.deepcopy(network.state_dict())
    state = copy.deepcopy(optimizer.state_dict())
    rates: list[float] = []
    losses: list[float] = []
    best, average = math.inf, 0.0
    lowest, highest = default * SPAN[0], min(1.0, default * SPAN[1])
    try:
        for index in range(steps):
            rate = lowest * (highest / lowest) ** (index / (steps - 1))
            for group in optimizer.param_groups:
                group["lr"] = rate * group["initial_lr"]
            loss = step(index)
            if not math.isfinite(loss):
                break
            rates.append(rate)
            losses.append(loss)
            average = 0.7 * average + 0.3 * loss
            smooth = average / (1 - 0.7 ** (index + 1))
            best = min(best, smooth)
            if index > steps // 4 and smooth > _DIVERGED * best:
                break
    finally:
        network.load_state_dict(weights)
        optimizer.load_state_dict(state)
    return {"learning_rate": rates, "loss": losses, "chosen": choose_rate(rates, losses, default)}


def choose_rate(rates: list[float], losses: list[float], default: float) -> float:
    """Return the rate that the sweep speaks for, to two digits.

    Two readings of the smoothed loss are taken, and the larger rate wins: the middle of the longest stretch over which it
    falls (the longest decreasing subsequence, as the reference's), and a tenth of the rate at which it is lowest, which is
    just before it diverges. On losses that fall at any rate and then only scatter, as a detector's do while it learns the
    background, the first finds a stretch by chance. A sweep is short and noisy, so a choice more than ten times off
    `default` is pulled to that bound; where neither reading finds a fall, it is `default`.
    """
    smooth = _smoothed(losses)
    run = _longest_decreasing(smooth)
    if len(run) < max(3, len(smooth) // 4):
        return default
    lowest = min(range(len(smooth)), key=smooth.__getitem__)
    rate = max(rates[run[len(run) // 2]], rates[lowest] / 10)
    return float(f"{min(max(rate, default / 10), default * 10):.1e}")


def _smoothed(losses: list[float], width: int = 2) -> list[float]:
    windows = (losses[max(0, i - width) : i + width + 1] for i in range(len(losses)))
    return [sum(window) / len(window) for window in windows]


def _longest_decreasing(values: list[float]) -> list[int]:
    """Return the indices of the longest strictly decreasing subsequence."""
    length = [1] * len(values)
    before = [-1] * len(values)
    for i in range(len(values)):
        for j in range(i):
            if values[j] > values[i] and length[j] + 1 > length[i]:
                length[i], before[i] = length[j] + 1, j
    if not values:
        return []
    index = max(range(len(values)), key=length.__getitem__)
    run = []
    while index >= 0:
        run.append(index)
        index = before[index]
    return run[::-1]
