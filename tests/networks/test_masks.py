"""Masks within boxes: torchvision's targets, and a way back into the image that undoes them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image, project_masks_on_boxes

from chipwright.networks.masks import mask_targets, pasted, sampled_masks, separated

SIDE = 64


def discs(*circles: tuple[float, float, float]) -> Tensor:
    """Return the masks of circles (x, y, radius) as bool (count, SIDE, SIDE)."""
    middles = torch.arange(SIDE) + 0.5
    return torch.stack([(middles - x) ** 2 + (middles[:, None] - y) ** 2 <= radius**2 for x, y, radius in circles])


def boxes_around(masks: Tensor) -> Tensor:
    spans = [(mask.any(0).nonzero()[:, 0], mask.any(1).nonzero()[:, 0]) for mask in masks]
    return torch.tensor([[x[0], y[0], x[-1] + 1, y[-1] + 1] for x, y in spans], dtype=torch.float32)


def overlap(first: Tensor, second: Tensor) -> Tensor:
    return (first & second).sum((1, 2)) / (first | second).sum((1, 2))


def test_layers_are_taken_apart_into_masks() -> None:
    layers = torch.tensor([[[1, 1, 0], [0, 0, 2]], [[0, 3, 3], [0, 0, 0]]], dtype=torch.int32)

    masks = separated(layers, 3)

    assert masks.dtype == torch.bool
    assert masks.int().tolist() == [[[1, 1, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 1]], [[0, 1, 1], [0, 0, 0]]]
    assert separated(layers * 0, 0).shape == (0, 2, 3)


@pytest.mark.parametrize("most", [2**22, SIDE * SIDE * 2], ids=["at once", "two boxes at a time"])
def test_targets_are_torchvisions(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chipwright.networks.masks._MOST_PIXELS", most)
    masks = discs((20, 24, 9), (40, 40, 22.5))
    boxes = torch.tensor([[10.3, 14.1, 31, 33], [5, 5, 60, 60.5], [0, 0, 2, 3.5], [30, 30, 64, 64], [18, 18, 63, 63]])
    matched = torch.tensor([0, 1, 1, 0, 1])

    torch.testing.assert_close(
        mask_targets(masks, boxes, matched, 28), project_masks_on_boxes(masks.to(torch.uint8), boxes, matched, 28)
    )


def test_without_boxes_there_are_no_targets() -> None:
    assert mask_targets(discs((20, 24, 9)), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), 28).shape == (0, 28, 28)


def test_pasting_undoes_the_targets_of_small_objects_where_torchvisions_does_not() -> None:
    masks = discs((12, 12, 4), (30.5, 14, 6), (20, 40, 9), (50, 50, 12.5), (3, 60, 5))
    boxes = boxes_around(masks)
    targets = mask_targets(masks, boxes, torch.arange(5), 28)

    ours = overlap(pasted(targets, boxes, (SIDE, SIDE)), masks)
    theirs = overlap(paste_masks_in_image(targets[:, None], boxes, (SIDE, SIDE))[:, 0] >= 0.5, masks)

    assert ours.min() > 0.95
    assert ours.mean() > theirs.mean() + 0.05


def test_a_full_mask_fills_the_pixels_whose_middles_lie_in_its_box() -> None:
    found = pasted(torch.ones(2, 28, 28), torch.tensor([[1.4, 2.0, 4.6, 3.0], [-3.0, -1.0, 2.0, 9.0]]), (4, 6))

    assert found.int().tolist() == [
        [[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0]],
        [[1, 1, 0, 0, 0, 0]] * 4,
    ]


@pytest.mark.parametrize("box", [(3.6, 3.6, 3.9, 3.9), (5.9, 3.7, 6.0, 4.0), (0.0, 0.0, 0.02, 0.02)])
def test_the_smallest_box_has_a_pixel_within_it(box: tuple[float, ...]) -> None:
    found = pasted(torch.ones(1, 28, 28), torch.tensor([box]), (4, 6))[0]

    assert found.nonzero().tolist() == [[int(box[1]), int(box[0])]]


def test_of_no_masks_none_are_pasted() -> None:
    assert pasted(torch.zeros(0, 28, 28), torch.zeros(0, 4), (4, 6)).shape == (0, 4, 6)


def test_masks_are_sampled_between_pixels_and_end_at_the_image() -> None:
    masks = torch.tensor([[[True, False], [False, False]], [[True, True], [True, True]]])
    points = torch.tensor([[[0.0, 0.0], [0.25, 0.0], [0.25, 0.5]], [[1.0, 1.0], [1.5, 1.0], [-1.0, 0.0]]])

    values = sampled_masks(masks, torch.tensor([0, 1]), points)

    torch.testing.assert_close(values, torch.tensor([[1, 0.75, 0.375], [1, 0.5, 0]]))
