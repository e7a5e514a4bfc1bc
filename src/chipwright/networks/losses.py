"""Losses of pixel classification, all in float32 and all finite, with a gradient of zeros, where every pixel is ignored.

Logits are (batch, classes, height, width) of any float type, targets int64 (batch, height, width) with `ignored` where a
pixel means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORED = -100
"""PyTorch's own value for targets that do not count."""

Average = Literal["micro", "macro"]


def cross_entropy(logits: Tensor, target: Tensor, weight: Tensor | None = None, ignored: int = IGNORED) -> Tensor:
    """Return the mean cross-entropy over the pixels that count, each weighing what its class does."""
    total = F.cross_entropy(logits.float(), target, weight, ignore_index=ignored, reduction="sum")
    return total / _mass(target, weight, ignored)


def focal(logits: Tensor, target: Tensor, gamma: float = 2.0, weight: Tensor | None = None, ignored: int = IGNORED) -> Tensor:
    """Return the focal loss: cross-entropy times `(1 - p) ** gamma`, p being the true class's probability.

    Pixels that are right already count little (Lin et al. 2017, arXiv:1708.02002). Class weights multiply the result, so
    that `gamma` 0 is `cross_entropy`.
    """
    entropy = F.cross_entropy(logits.float(), target, ignore_index=ignored, reduction="none")  # 0 where ignored
    losses = (1 - torch.exp(-entropy)) ** gamma * entropy
    if weight is not None:
        losses = losses * _weights_at(target, weight, ignored)
    return losses.sum() / _mass(target, weight, ignored)


def dice(
    logits: Tensor, target: Tensor, average: Average = "micro", weight: Tensor | None = None, ignored: int = IGNORED
) -> Tensor:
    """Return 1 minus the soft Dice coefficient, taken over the whole batch (Milletari et al. 2016, arXiv:1606.04797).

    "micro" adds intersections and areas of all classes up before dividing; "macro" is the mean of the classes' own
    coefficients over the classes that the batch's truth holds. `weight` weighs the classes in either sum (Sudre et al. 2017,
    arXiv:1707.03237).
    """
    counts = (target != ignored).unsqueeze(1)
    probabilities = torch.where(counts, logits.float().softmax(1), 0.0)
    truth = target.unsqueeze(1) == torch.arange(logits.shape[1], device=target.device).view(1, -1, 1, 1)
    intersections = torch.where(truth, probabilities, 0.0).sum((0, 2, 3))
    sizes = truth.sum((0, 2, 3))
    areas = probabilities.sum((0, 2, 3)) + sizes
    weights = torch.ones_like(intersections) if weight is None else weight
    if average == "micro":
        any_counts = (sizes.sum() > 0).float()
        return any_counts - 2 * (weights * intersections).sum() / (weights * areas).sum().clamp_min(1e-7)
    weights = weights * (sizes > 0)
    losses = 1 - 2 * intersections / areas.clamp_min(1e-7)
    return (weights * losses).sum() / weights.sum().clamp_min(1e-7)


def soft_iou(logits: Tensor, target: Tensor, ignored: int = IGNORED) -> Tensor:
    """Return minus the mean over images and classes of the intersection over union of probabilities and truth, -1 to 0.

    As in Batra et al. 2019 (CVPR) and Rahman & Wang 2016. A class that an image's truth has not counts as 0.
    """
    counts = (target != ignored).unsqueeze(1)
    probabilities = torch.where(counts, logits.float().softmax(1), 0.0)
    truth = (target.unsqueeze(1) == torch.arange(logits.shape[1], device=target.device).view(1, -1, 1, 1)).float()
    intersections = (probabilities * truth).sum((2, 3))
    unions = (probabilities + truth).sum((2, 3)) - intersections
    return -(intersections / unions.clamp_min(1e-7)).mean()


class ClassPresence(NamedTuple):
    """Logits (batch, classes) of which classes an image holds, for training (EncNet's semantic encoding loss)."""

    logits: Tensor


def presence(logits: Tensor, target: Tensor, ignored: int = IGNORED) -> Tensor:
    """Return the mean binary cross-entropy of which classes each image's labels hold (Zhang et al. 2018, arXiv:1803.08904).

    Images without a labelled pixel do not count. `logits` are (batch, classes).
    """
    truth = (target.flatten(1)[:, :, None] == torch.arange(logits.shape[1], device=target.device)).any(1)
    labelled = (target != ignored).flatten(1).any(1)
    losses = F.binary_cross_entropy_with_logits(logits.float(), truth.float(), reduction="none").mean(1)
    return torch.where(labelled, losses, 0.0).sum() / labelled.sum().clamp_min(1)


@dataclass(frozen=True)
class PixelLoss:
    """`(1 - dice_fraction) * base + dice_fraction * dice`, the base being cross-entropy or focal loss.

    Plain data, so that it travels to other processes for nothing.

    Attributes:
        class_weights: of the base loss, by class index; None weighs all alike.
        focal_gamma: None for cross-entropy.
        dice_fraction: 0 to 1.
        dice_average: "micro" or "macro".
        dice_weights: of the Dice loss, by class index.
        ignored: target value that does not count.
    """

    class_weights: tuple[float, ...] | None = None
    focal_gamma: float | None = None
    dice_fraction: float = 0.0
    dice_average: Average = "micro"
    dice_weights: tuple[float, ...] | None = None
    ignored: int = IGNORED

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of one batch, a float32 scalar."""
        share, loss = self.dice_fraction, torch.zeros((), device=logits.device)
        if share < 1:
            loss = loss + (1 - share) * self._base(logits, target)
        if share > 0:
            weights = _tensor(self.dice_weights, logits.device)
            loss = loss + share * dice(logits, target, self.dice_average, weights, self.ignored)
        return loss

    def _base(self, logits: Tensor, target: Tensor) -> Tensor:
        weights = _tensor(self.class_weights, logits.device)
        if self.focal_gamma is None:
            return cross_entropy(logits, target, weights, self.ignored)
        return focal(logits, target, self.focal_gamma, weights, self.ignored)


def _mass(target: Tensor, weight: Tensor | None, ignored: int) -> Tensor:
    """Return the number of pixels that count, each as its class weighs; never 0."""
    if weight is None:
        return (target != ignored).sum().clamp_min(1)
    return _weights_at(target, weight, ignored).sum().clamp_min(1e-7)


def _weights_at(target: Tensor, weight: Tensor, ignored: int) -> Tensor:
    """Return each pixel's class weight, 0 where the pixel does not count."""
    counts = target != ignored
    return torch.where(counts, weight[torch.where(counts, target, 0)], 0.0)


@lru_cache(maxsize=64)
def _tensor(values: tuple[float, ...] | None, device: torch.device) -> Tensor | None:
    """Return weights on a device, copied there once."""
    with torch.inference_mode(False):  # made while validating, they must still serve training
        return None if values is None else torch.tensor(values, dtype=torch.float32, device=device)
