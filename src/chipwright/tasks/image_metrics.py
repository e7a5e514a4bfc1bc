"""PSNR and SSIM of images against the true ones, for kinds of work that make images.

Each image counts once: its figure is taken over all its bands, and figures are averaged over images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from chipwright.normalization import Described, black_and_white
from chipwright.tasks.base import Batch, Evaluation, Metrics

WINDOW, SIGMA = 11, 1.5
"""Of the Gaussian window of SSIM, in pixels."""

_K1, _K2 = 0.01, 0.03
_MOST_PSNR = 100.0


class ImageMetrics(Metrics):
    """Averages over images.

    Args:
        low, high: values that stand for black and white (see `value_range`).
        key: entry of a batch that holds the true images, not normalised.
    """

    def __init__(self, low: float, high: float, key: str = "target") -> None:
        self.low, self.high, self.key = low, high, key
        self.count = 0
        self.psnr = self.ssim = 0.0

    def update(self, predictions: Sequence[Any], batch: Batch) -> None:
        """Take in images (bands, height, width) in the units of the chips."""
        for found, true in zip(predictions, batch[self.key], strict=True):
            pair = [self._scaled(torch.as_tensor(image)) for image in (found, true)]
            self.psnr += psnr(*pair)
            self.ssim += ssim(*pair)
            self.count += 1

    def _scaled(self, image: Tensor) -> Tensor:
        return (image.cpu().double() - self.low) / (self.high - self.low)

    def merge(self, other: Metrics) -> None:
        """Take in the images of another process."""
        assert isinstance(other, ImageMetrics)
        self.count += other.count
        self.psnr += other.psnr
        self.ssim += other.ssim

    def compute(self) -> Evaluation:
        """Return "psnr" in dB and "ssim", NaN without images."""
        count = self.count or math.nan
        note = (
            f"PSNR and SSIM are taken with {self.low:g} as black and {self.high:g} as white, over all bands of an image, and "
            "averaged over images."
        )
        return Evaluation({"psnr": self.psnr / count, "ssim": self.ssim / count}, notes=[note])


def value_range(images: Described) -> tuple[float, float]:
    """Return the values that stand for black and white: all that 8 bits hold, else the extremes of the training chips.

    Chips of 16 bits hardly ever use them all, and a PSNR over 65 535 would flatter any image.
    """
    low, high = black_and_white(images)
    return min(low), max(high)


def psnr(found: Tensor, true: Tensor) -> float:
    """Return the peak signal-to-noise ratio in dB of one image (bands, height, width) scaled to 0..1; at most 100."""
    error = float((found - true).square().mean())
    return min(_MOST_PSNR, -10 * math.log10(error)) if error > 0 else _MOST_PSNR


def ssim(found: Tensor, true: Tensor) -> float:
    """Return the structural similarity (Wang et al. 2004) of one image (bands, height, width) scaled to 0..1.

    The mean over all places of an 11 x 11 Gaussian window (sigma 1.5) that lies wholly within the image, and over bands.
    Images that are smaller get a window of their size.
    """
    kernels = [_gaussian(min(WINDOW, side), found) for side in found.shape[-2:]]

    def average(images: Tensor) -> Tensor:
        rows = F.conv2d(images[:, None], kernels[0].view(1, 1, -1, 1))
        return F.conv2d(rows, kernels[1].view(1, 1, 1, -1))

    mean_found, mean_true, squares, true_squares, products = average(
        torch.cat([found, true, found * found, true * true, found * true])
    ).chunk(5)
    variances = squares - mean_found**2 + true_squares - mean_true**2
    covariance = products - mean_found * mean_true
    light = (2 * mean_found * mean_true + _K1**2) / (mean_found**2 + mean_true**2 + _K1**2)
    structure = (2 * covariance + _K2**2) / (variances + _K2**2)
    return float((light * structure).mean())


def _gaussian(size: int, like: Tensor) -> Tensor:
    """Return a Gaussian of `size` taps that add up to 1."""
    offsets = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    return weights / weights.sum()
