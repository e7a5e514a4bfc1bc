"""What can be told of translation without pairs: whether images come back, and whether they look like the other kind.

No true translation is known. Two figures stand for it, both shares of the range from black to white:

- the cycle error, the mean absolute difference of an image from itself, translated and brought back;
- the histogram distance, the mean over bands of the earth mover's distance between the values of translated images and those
  of true ones of the kind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from chipwright.tasks.base import Batch, Evaluation, Metrics

BINS = 128


class CycleMetrics(Metrics):
    """Averages over images, and histograms of all of them.

    Args:
        first, second: bands of A and B.
    """

    def __init__(self, first: int, second: int) -> None:
        self.errors = [0.0, 0.0]
        self.count = 0
        self.true = [torch.zeros(bands, BINS, dtype=torch.float64) for bands in (first, second)]
        self.made = [torch.zeros(bands, BINS, dtype=torch.float64) for bands in (first, second)]

    def update(self, predictions: Sequence[Any], batch: Batch) -> None:
        """Take in what was made of images within -1..1 (`chipwright.networks.cyclegan.Cycled`)."""
        for place, found in enumerate(predictions):
            real = batch["image"][place], batch["target"][place]
            for domain, (true, made, back) in enumerate(
                zip(real, (found.to_a, found.to_b), (found.back_a, found.back_b), strict=True)
            ):
                self.errors[domain] += float((back - true).abs().mean()) / 2
                self.true[domain] += histograms(true)
                self.made[domain] += histograms(made)
            self.count += 1

    def merge(self, other: Metrics) -> None:
        """Take in the images of another process."""
        assert isinstance(other, CycleMetrics)
        self.count += other.count
        for domain in (0, 1):
            self.errors[domain] += other.errors[domain]
            self.true[domain] += other.true[domain]
            self.made[domain] += other.made[domain]

    def compute(self) -> Evaluation:
        """Return the errors of both domains and their means, and "translation_error", the two together."""
        cycle = [error / (self.count or math.nan) for error in self.errors]
        distance = [movers_distance(made, true) for made, true in zip(self.made, self.true, strict=True)]
        scalars = {
            "translation_error": sum(cycle) / 2 + sum(distance) / 2,
            "cycle_error": sum(cycle) / 2,
            "histogram_distance": sum(distance) / 2,
            "cycle_error_a": cycle[0],
            "cycle_error_b": cycle[1],
            "histogram_distance_a": distance[0],
            "histogram_distance_b": distance[1],
        }
        notes = [
            "The cycle error is how far an image is from itself once translated and brought back; the histogram distance is "
            "how far the values of translated images are from those of true ones (earth mover's distance); both are shares of "
            "the range from black to white.",
        ]
        if self.true[0].shape == self.true[1].shape:
            before = movers_distance(*self.true)
            notes.append(f"Untranslated, the histograms of A and B are {100 * before:.1f} % apart.")
        return Evaluation(scalars, notes=notes)


def histograms(image: Tensor) -> Tensor:
    """Return the counts (bands, BINS) of an image's values (bands, height, width) within -1..1; those beyond are clipped."""
    bands = len(image)
    places = ((image.reshape(bands, -1).float() + 1) / 2 * BINS).long().clamp(0, BINS - 1)
    offsets = torch.arange(bands, device=image.device)[:, None] * BINS
    return torch.bincount((places + offsets).flatten(), minlength=bands * BINS).view(bands, BINS).double().cpu()


def movers_distance(some: Tensor, others: Tensor) -> float:
    """Return the earth mover's distance of two sets of histograms (bands, bins), as a share of their range, over bands."""
    first, second = (counts / counts.sum(1, keepdim=True).clamp(min=1) for counts in (some, others))
    return float((first - second).cumsum(1).abs().sum(1).mean()) / some.shape[1]
