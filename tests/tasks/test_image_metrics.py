"""PSNR and SSIM."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from chipwright.tasks.image_metrics import ImageMetrics, psnr, ssim


def pair(bands: int = 4, height: int = 40, width: int = 33) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(1)
    true = rng.random((bands, height, width)).cumsum(2) / width
    return torch.from_numpy(np.clip(true + rng.normal(0, 0.05, true.shape), 0, 1)), torch.from_numpy(true)


def test_psnr_of_a_constant_error() -> None:
    true = torch.full((2, 8, 8), 0.5)
    assert psnr(true + 0.1, true) == pytest.approx(20.0, abs=1e-5)
    assert psnr(true, true) == 100


def test_ssim_of_flat_images_by_hand() -> None:
    # Without variance only the term of light is left: (2ab + C1) / (a^2 + b^2 + C1).
    found, true = torch.full((1, 16, 16), 0.2).double(), torch.full((1, 16, 16), 0.6).double()
    assert ssim(found, true) == pytest.approx((2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4))
    assert ssim(true, true) == pytest.approx(1)


def test_ssim_is_scikit_images() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    found, true = pair()
    expected = metrics.structural_similarity(
        found.numpy(), true.numpy(), channel_axis=0, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(found, true) == pytest.approx(expected, abs=1e-6)


def test_psnr_is_torchmetrics() -> None:
    image = pytest.importorskip("torchmetrics.functional.image")
    found, true = pair(3)
    assert psnr(found, true) == pytest.approx(float(image.peak_signal_noise_ratio(found, true, data_range=1.0)), abs=1e-4)


def test_images_smaller_than_the_window_are_measured() -> None:
    found, true = pair(2, 5, 7)
    assert 0 < ssim(found, true) < 1


def test_every_image_counts_once_and_processes_merge() -> None:
    rng = np.random.default_rng(0)
    true = torch.from_numpy(rng.integers(0, 256, (3, 3, 16, 16), dtype=np.uint8))
    found = [image // 2 for image in true]
    whole, first, second = (ImageMetrics(0, 255) for _ in range(3))
    whole.update(found, {"target": true})
    first.update(found[:1], {"target": true[:1]})
    second.update(found[1:], {"target": true[1:]})
    first.merge(second)
    assert first.compute().scalars == pytest.approx(whole.compute().scalars)
    alone = [psnr(image.double() / 255, truth.double() / 255) for image, truth in zip(found, true, strict=True)]
    assert whole.compute().scalars["psnr"] == pytest.approx(sum(alone) / 3)


def test_16_bits_are_measured_over_the_range_they_use() -> None:
    true = torch.from_numpy(np.full((1, 12, 12), 1000, np.uint16))
    metrics = ImageMetrics(0, 2000)
    metrics.update([torch.from_numpy(np.full((1, 12, 12), 1200, np.uint16))], {"target": true[None]})
    assert metrics.compute().scalars["psnr"] == pytest.approx(20.0)


def test_without_images_there_are_no_figures() -> None:
    assert all(math.isnan(value) for value in ImageMetrics(0, 1).compute().scalars.values())
