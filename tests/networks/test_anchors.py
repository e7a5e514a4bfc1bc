"""Anchors: overlaps against torchvision's generator, and sizes fitted to boxes."""

from __future__ import annotations

import numpy as np
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from chipwright.networks.anchors import best_overlaps, default_sizes, fit_sizes, level_sizes

STRIDES = (4, 8, 16, 32, 64)


def boxes(count: int, side: tuple[float, float]) -> np.ndarray:
    rng = np.random.default_rng(0)
    corner, sides = rng.uniform(40, 150, (count, 2)), rng.uniform(*side, (count, 2))
    return np.concatenate([corner, corner + sides], 1)


def test_overlaps_are_those_of_torchvisions_anchors() -> None:
    some, sizes = boxes(50, (5, 60)), (10, 20, 30, 60, 100)
    maps = [torch.zeros(1, 1, 256 // stride, 256 // stride) for stride in STRIDES]
    generator = AnchorGenerator(tuple((size,) for size in sizes), ((0.5, 1.0, 2.0),) * 5)
    anchors = generator(ImageList(torch.zeros(1, 3, 256, 256), [(256, 256)]), maps)[0]

    expected = box_iou(torch.from_numpy(some), anchors.double()).max(dim=1).values

    np.testing.assert_allclose(best_overlaps(some, sizes, STRIDES), expected.numpy(), atol=1e-9)


def test_boxes_that_the_usual_anchors_match_need_no_others() -> None:
    assert fit_sizes(boxes(200, (28, 120)), STRIDES) is None


def test_small_boxes_get_small_anchors_that_match_better() -> None:
    small = boxes(200, (8, 14))

    fit = fit_sizes(small, STRIDES)

    assert fit is not None
    assert list(fit.sizes) == sorted(fit.sizes)
    assert fit.sizes[0] < 16
    assert fit.before < 0.2
    assert fit.after == np.median(best_overlaps(small, fit.sizes, STRIDES)) > 0.4


def test_no_boxes_need_no_anchors() -> None:
    assert fit_sizes(np.zeros((0, 4)), STRIDES) is None


def test_torchvisions_sizes_are_eight_strides() -> None:
    assert default_sizes(STRIDES) == (32, 64, 128, 256, 512)


def test_anchor_sizes_are_given_by_stride() -> None:
    assert level_sizes((4, 8, 16, 32, 64), None) == (32, 64, 128, 256, 512)
    assert level_sizes((4, 8, 16, 32, 64), [8, 12, 16, 24, 32]) == (8, 12, 16, 24, 32)
    assert level_sizes((8, 16, 32, 64), [8, 12, 16, 24, 32]) == (12, 16, 24, 32)
    assert level_sizes((32, 64, 128), [8, 12, 16, 24, 32]) == (24, 32, 64)
    assert level_sizes((8, 16), None, finest=8, per_stride=4) == (32, 64)
    assert level_sizes((8, 16), [10, 20], finest=8) == (10, 20)


def test_scales_and_ratios_of_a_place_count_when_sizes_are_fitted() -> None:
    """Boxes of twice their width in height, of half the usual side: a network with such anchors needs no others."""
    corner = np.random.default_rng(0).uniform(40, 150, (200, 2))
    tall = np.concatenate([corner, corner + np.array([11.3, 22.6])], 1)

    assert fit_sizes(tall, (8, 16), ratios=(1.0,), per_stride=4) is not None
    assert fit_sizes(tall, (8, 16), ratios=(2.0,), scales=(1.0, 0.5), per_stride=4) is None
