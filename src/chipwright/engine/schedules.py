"""Learning-rate schedules as pure functions of progress, so that a run with another batch size or a resumed one needs no state.

`progress` runs from 0 (before the first step) to 1 (after the last of all planned epochs).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

Schedule = Callable[[float], tuple[float, float | None]]
"""progress -> (factor on the learning rate, momentum or None to leave it)."""


def one_cycle(progress: float) -> tuple[float, float | None]:
    """Rise from 1/25 to 1 over the first 30 %, then fall to almost nothing, momentum the other way (Smith, 1803.09820)."""
    peak, start, end = 0.3, 1 / 25, 1e-5
    if progress < peak:
        return _cosine(start, 1.0, progress / peak), _cosine(0.95, 0.85, progress / peak)
    fall = (progress - peak) / (1 - peak)
    return _cosine(1.0, end, fall), _cosine(0.85, 0.95, fall)


def constant(progress: float) -> tuple[float, float | None]:
    """Stay at the given rate."""
    return 1.0, None


def constant_then_linear(progress: float) -> tuple[float, float | None]:
    """Stay for the first half, then fall linearly to zero (Zhu et al., CycleGAN)."""
    return min(1.0, 2.0 - 2.0 * progress), None


SCHEDULES: dict[str, Schedule] = {
    "one_cycle": one_cycle,
    "constant": constant,
    "constant_then_linear": constant_then_linear,
}


def apply(optimizer: torch.optim.Optimizer, schedule: Schedule, rate: float, progress: float) -> float:
    """Set every group's rate to `rate` times its `initial_lr` (a factor) times the schedule's; return the run's rate now."""
    factor, momentum = schedule(progress)
    for group in optimizer.param_groups:
        group["lr"] = rate * factor * group["initial_lr"]
        if momentum is not None:
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            elif group.get("momentum"):
                group["momentum"] = momentum
    return rate * factor


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0)))
