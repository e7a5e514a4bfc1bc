"""Averaged weights: what a network has been over its last steps, smoother than what it is after any one of them.

Few chips and small batches throw a detector's weights about from step to step; their running mean keeps what the steps agree on
(Polyak & Juditsky 1992; as in most training of YOLO and of EfficientDet).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """The running mean of a network's state: weights and the statistics of its normalisation.

    Attributes:
        decay: share of the mean that stays in a step, once enough steps are behind it; in the first ones fewer count.
        steps: taken in.
        state: the mean, by name.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.state: dict[str, Tensor] = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the network as it is after a step."""
        self.steps += 1
        weight = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        means, values = [], []
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                means.append(self.state[name])
                values.append(value.detach())
            else:
                self.state[name].copy_(value)
        torch._foreach_lerp_(means, values, weight)

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Let the network have the mean for a while, and give it its own state back."""
        own = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.state)
        try:
            yield
        finally:
            network.load_state_dict(own)

    def saved(self) -> dict[str, Tensor | int]:
        """Return what a resume needs."""
        return {**self.state, "": self.steps}

    def restore(self, saved: Mapping[str, Tensor | int]) -> None:
        """Take back what `saved` returned."""
        for name, mean in self.state.items():
            value = saved[name]
            assert isinstance(value, Tensor)
            mean.copy_(value)
        self.steps = int(saved[""])
