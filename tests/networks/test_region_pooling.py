"""Region pooling against torchvision's kernel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign

from chipwright.networks.region_pooling import RegionPool

NAMES, STRIDES = ("0", "1", "2"), (4, 8, 16)
IMAGES = [(96, 128), (80, 128)]


def pyramid(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(2, 5, 96 // stride, 128 // stride, generator=generator).to(dtype).requires_grad_()
        for name, stride in zip(NAMES, STRIDES, strict=True)
    }


def regions() -> list[Tensor]:
    """Return boxes of every level, over edges and corners, without area, and far outside."""
    generator = torch.Generator().manual_seed(1)
    corner = torch.rand(60, 2, generator=generator) * 100
    inside = torch.cat([corner, corner + torch.rand(60, 2, generator=generator) * 60], 1)
    odd = torch.tensor(
        [[0, 0, 128, 96], [-20, -9, 30, 20], [100, 70, 140, 110], [7, 7, 7, 7], [300, 300, 310, 310], [0, 0, 500, 500.0]]
    )
    return [inside[:30], torch.cat([inside[30:], odd])]


def theirs() -> MultiScaleRoIAlign:
    return MultiScaleRoIAlign(list(NAMES), 7, 2)


def test_regions_are_pooled_as_by_torchvision() -> None:
    levels = pyramid()

    torch.testing.assert_close(
        RegionPool(NAMES, STRIDES, 7)(levels, regions(), IMAGES), theirs()(levels, regions(), IMAGES), rtol=1e-4, atol=1e-4
    )


def test_gradients_are_torchvisions() -> None:
    gradients = []
    for pool in (RegionPool(NAMES, STRIDES, 7), theirs()):
        levels = pyramid()
        pooled = pool(levels, regions(), IMAGES)
        (pooled * torch.linspace(0, 1, pooled.numel()).view_as(pooled)).sum().backward()
        gradients.append([level.grad for level in levels.values()])

    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-3)


def test_images_without_regions_are_passed_over() -> None:
    levels, nothing = pyramid(), torch.zeros(0, 4)
    pool = RegionPool(NAMES, STRIDES, 7)

    assert pool(levels, [nothing, nothing], IMAGES).shape == (0, 5, 7, 7)
    torch.testing.assert_close(
        pool(levels, [nothing, regions()[1]], IMAGES), pool(levels, regions(), IMAGES)[len(regions()[0]) :]
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_places_stay_exact_in_reduced_precision(dtype: torch.dtype) -> None:
    pool = RegionPool(NAMES, STRIDES, 7)
    reduced = pool(pyramid(dtype), regions(), IMAGES)
    exact = pool({name: level.to(dtype).float() for name, level in pyramid().items()}, regions(), IMAGES)

    torch.testing.assert_close(reduced, exact.to(dtype))
