"""Running a network over labelled samples: losses and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from chipwright import console
from chipwright.chips.display import Panel
from chipwright.engine.feed import Feed
from chipwright.engine.seeds import seed_step
from chipwright.tasks.base import Evaluation, Reader, Task


@dataclass(frozen=True)
class Measurement:
    """Mean losses over samples ("valid_loss" is their sum) and the task's figures."""

    losses: dict[str, float]
    evaluation: Evaluation

    @property
    def scalars(self) -> dict[str, float]:
        """Losses and metrics together: what `monitor` chooses from."""
        return self.losses | self.evaluation.scalars


def measure(
    network: nn.Module, task: Task, feed: Feed, accelerator: Accelerator, label: str = "Measuring", thorough: bool = True
) -> Measurement:
    """Return losses and metrics of `network` over everything that `feed` holds, on all processes together.

    Args:
        thorough: take figures that need long, too.
    """
    network.eval()
    metrics, sums, count = task.thorough_metrics() if thorough else task.metrics(), dict[str, Any](), 0
    with torch.inference_mode():
        for step, batch in enumerate(console.track(feed.batches(), label, len(feed))):
            size = len(batch[task.image_keys[0]])
            batch = task.to_device(batch, accelerator.device)
            seed_step(0, 0, step)  # losses that sample (proposals) draw the same in every epoch
            with accelerator.autocast():
                losses, predictions = task.validate(network, batch)
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0) + loss.float() * size
            metrics.update(predictions, batch)
            count += size
    shares = [(metrics, {name: float(value) for name, value in sums.items()}, count)]
    if accelerator.num_processes > 1:
        shares = _gathered(shares[0], accelerator.num_processes)
        metrics = shares[0][0]
        for other, _, _ in shares[1:]:
            metrics.merge(other)
    total = sum(share[2] for share in shares)
    names = list(dict.fromkeys(name for share in shares for name in share[1]))
    means = {name: sum(share[1].get(name, 0.0) for share in shares) / total for name in names}
    losses_by_name = {"valid_loss": sum(means.values())}
    if len(means) > 1:
        losses_by_name |= {f"valid_{name}": mean for name, mean in means.items()}
    return Measurement(losses_by_name, metrics.compute())


def example_panels(
    network: nn.Module, task: Task, units: Sequence[Any], reader: Reader, accelerator: Accelerator, count: int
) -> list[list[Panel]]:
    """Return the pictures of `count` samples spread evenly over `units`, with what the network predicts for each."""
    network.eval()
    chosen = [units[index * len(units) // count] for index in range(count)] if len(units) > count else list(units)
    rows = []
    for unit in chosen:
        sample = task.draw(unit, reader, np.random.default_rng(0), False)
        with torch.inference_mode(), accelerator.autocast():
            predictions = task.predict(network, task.to_device(task.collate([sample]), accelerator.device))
        rows.append(task.panels(sample, predictions[0]))
    return rows


def _gathered(share: Any, processes: int) -> list[Any]:
    shares: list[Any] = [None] * processes
    torch.distributed.all_gather_object(shares, share)
    return shares
