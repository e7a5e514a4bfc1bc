"""The Fréchet inception distance, FID: how far made images lie from true ones (Heusel et al. 2017, arXiv:1706.08500)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from chipwright.networks.inception import CHANNELS, Inception
from chipwright.tasks.base import Metrics
from chipwright.tasks.network_metrics import Colors, NetworkMetrics


class FrechetMetrics(NetworkMetrics):
    """FID beside other metrics. Every image is kept as CHANNELS numbers, 8 KB."""

    name = "FID"

    def __init__(self, others: Metrics, colors: Colors) -> None:
        super().__init__(others, colors)
        self._described: dict[str, tuple[list[Tensor], list[Tensor]]] = {}

    def network(self, device: torch.device) -> Inception:
        """Return what describes images."""
        return Inception(device)

    def take(self, network: Inception, suffix: str, made: list[Tensor], true: list[Tensor]) -> None:
        """Describe some images."""
        for kept, images in zip(self._described.setdefault(suffix, ([], [])), (made, true), strict=True):
            kept.append(network(images))

    def join(self, other: FrechetMetrics) -> None:
        """Take in the images of another process."""
        for suffix, theirs in other._described.items():
            for kept, more in zip(self._described.setdefault(suffix, ([], [])), theirs, strict=True):
                kept.extend(more)

    def figures(self) -> tuple[dict[str, float], str]:
        """Return the distances."""
        described = {suffix: [torch.cat(part) for part in pair] for suffix, pair in self._described.items()}
        count = min((len(part) for pair in described.values() for part in pair), default=0)
        if count < 2:
            return {}, f"It compares how images differ from each other, and there are {count}."
        note = f"FID compares {count} made images with true ones, by three bands as colours, 8 bits each."
        if count < CHANNELS:
            note += f" Of fewer than {CHANNELS:,} it comes out too high: compare it with that of as many images alone."
        return {suffix: frechet_distance(*pair) for suffix, pair in described.items()}, note


def frechet_distance(some: Tensor, others: Tensor) -> float:
    """Return the squared Fréchet distance of two normal distributions, fitted to samples (count, channels) each.

    With S = A'A and T = B'B the covariances, the trace of the root of ST is the sum of the singular values of AB': exact
    for fewer samples than channels too, where roots of singular matrices are not. Where there are more samples than channels,
    the triangle of a QR decomposition stands for A.
    """
    (mean, first), (other_mean, second) = _centred(some), _centred(others)
    means = (mean - other_mean).square().sum()
    root = torch.linalg.svdvals(first @ second.T).sum()
    return max(0.0, float(means + first.square().sum() + second.square().sum() - 2 * root))


def _centred(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Return (mean, A) with A'A the covariance of samples."""
    mean = samples.double().mean(0)
    rows = (samples.double() - mean) / math.sqrt(len(samples) - 1)
    return mean, torch.linalg.qr(rows, mode="r").R if len(rows) > rows.shape[1] else rows
