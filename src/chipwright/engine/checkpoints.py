"""Checkpoints: files that load with `weights_only=True` and hold everything a run needs to go on to the very same weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chipwright.files import whole_file


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        epoch, step: epochs completed, and steps completed in the one under way.
        batch_size, learning_rate: in force; the rate is None until the range test.
        range_test: its curve.
        sums, samples: training losses times samples so far in the epoch under way, and the samples.
        seconds: training time so far in the epoch under way.
        history: one row a completed epoch.
        best, best_epoch: of the monitored metric.
        anchor, waited: its value when it last improved by enough, and the epochs since.
        finished: whether the last epoch was trained or training stopped early.
        log: sentences about what was decided under way.
    """

    batch_size: int
    learning_rate: float | None = None
    range_test: dict[str, Any] | None = None
    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    samples: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best: float | None = None
    best_epoch: int = 0
    anchor: float | None = None
    waited: int = 0
    finished: bool = False
    log: list[str] = field(default_factory=list)

    def end_epoch(self) -> None:
        """Count the epoch under way as completed and begin the next."""
        self.epoch += 1
        self.step, self.samples, self.seconds, self.sums = 0, 0, 0.0, {}


class Checkpoints:
    """The `checkpoints/` folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.last, self.best = folder / "last.pt", folder / "best.pt"

    def save(
        self,
        progress: Progress,
        network: nn.Module,
        optimizers: Mapping[str, Any],
        task_state: Mapping[str, Any],
        scaler: Mapping[str, Any] | None,
        average: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the last state, whole or not at all."""
        content = {
            "progress": asdict(progress),
            "network": network.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in optimizers.items()},
            "task": dict(task_state),
            "scaler": scaler,
            "average": average,
        }
        with whole_file(self.last) as temporary:
            torch.save(content, temporary)

    def save_best(self, network: nn.Module) -> None:
        """Write the weights of the best epoch so far."""
        with whole_file(self.best) as temporary:
            torch.save(network.state_dict(), temporary)

    def load(self) -> dict[str, Any] | None:
        """Return the last state on the CPU, or None where there is none."""
        if not self.last.is_file():
            return None
        return torch.load(self.last, map_location="cpu", weights_only=True)

    def load_best(self) -> dict[str, Tensor]:
        """Return the weights of the best epoch on the CPU."""
        return torch.load(self.best, map_location="cpu", weights_only=True)
