"""The supplied operators against slow loops, gradients included, and what is said of those that are not."""

from __future__ import annotations

import sys

import pytest
import torch
from extras import require_openmmlab
from torch import Tensor

from chipwright.errors import ChipwrightError

require_openmmlab()


def looped_mask(masks: Tensor, distribute: bool, mask_size: tuple[int, int]) -> Tensor:
    """PSAMask place by place, as its paper defines it."""
    count, _, height, width = masks.shape
    found = masks.new_zeros(count, height * width, height, width)
    half = [(side - 1) // 2 for side in mask_size]
    for row in range(height):
        for column in range(width):
            for down in range(mask_size[0]):
                for right in range(mask_size[1]):
                    y, x = row + down - half[0], column + right - half[1]
                    if not (0 <= y < height and 0 <= x < width):
                        continue
                    value = masks[:, down * mask_size[1] + right, row, column]
                    if distribute:
                        found[:, row * width + column, y, x] = value
                    else:
                        found[:, y * width + x, row, column] = value
    return found


@pytest.mark.parametrize("mask_size", [(3, 5), (9, 7), (4, 4)])
@pytest.mark.parametrize("distribute", [False, True])
def test_psa_mask_is_its_definition(mask_size: tuple[int, int], distribute: bool) -> None:
    from chipwright.openmmlab.operators import psa_mask

    masks = torch.randn(2, mask_size[0] * mask_size[1], 5, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 20, 5, 4, dtype=torch.float64)
    found, expected = psa_mask(masks, int(distribute), mask_size), looped_mask(masks, distribute, mask_size)
    assert torch.equal(found, expected)
    (ours,) = torch.autograd.grad((found * weights).sum(), masks)
    (theirs,) = torch.autograd.grad((expected * weights).sum(), masks)
    assert torch.equal(ours, theirs)


def test_mmcv_uses_what_is_supplied_and_names_what_is_not() -> None:
    from chipwright.openmmlab.operators import ensure_operators

    ensure_operators()
    ensure_operators()
    from mmcv import ops

    assert ops.PSAMask("collect", (3, 3))(torch.zeros(1, 9, 4, 4)).shape == (1, 16, 4, 4)
    extension = sys.modules["mmcv._ext"]
    if getattr(extension, "__spec__", None) and extension.__spec__.origin:
        pytest.skip("mmcv was compiled here")
    with pytest.raises(ChipwrightError, match="the operator three_nn_forward, which needs mmcv's compiled extension"):
        extension.three_nn_forward()
