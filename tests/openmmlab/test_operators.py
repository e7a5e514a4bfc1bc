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


def at(image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Return an image (channels, height, width) at a point between its pixels' middles, 0 outside."""
    top, left = int(y.detach().floor()), int(x.detach().floor())
    total = image.new_zeros(len(image))
    for row, down in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, right in ((left, 1 - (x - left)), (left + 1, x - left)):
            if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
                total = total + image[:, row, column] * down * right
    return total


def looped_convolution(
    images: Tensor, offset: Tensor, mask: Tensor | None, weight: Tensor, stride: int, padding: int, dilation: int, groups: int
) -> Tensor:
    """A deformable convolution tap by tap."""
    rows, columns = offset.shape[-2:]
    outputs, channels = weight.shape[0], images.shape[1]
    taps = weight.shape[2] * weight.shape[3]
    parts = offset.shape[1] // (2 * taps)
    found = []
    for number, image in enumerate(images):
        for row in range(rows):
            for column in range(columns):
                sampled = []
                for tap in range(taps):
                    down, right = divmod(tap, weight.shape[3])
                    for part in range(parts):
                        place = part * taps + tap
                        y = row * stride - padding + down * dilation + offset[number, 2 * place, row, column]
                        x = column * stride - padding + right * dilation + offset[number, 2 * place + 1, row, column]
                        own = image[part * channels // parts : (part + 1) * channels // parts]
                        sampled.append(at(own, y, x) * (1 if mask is None else mask[number, place, row, column]))
                columns_of = torch.cat(sampled).view(taps, channels)
                shared = channels // groups
                for output in range(outputs):
                    first = output // (outputs // groups) * shared
                    found.append((columns_of[:, first : first + shared].T * weight[output].flatten(1)).sum())
    return torch.stack(found).view(len(images), rows, columns, outputs).permute(0, 3, 1, 2)


def agree(found: Tensor, expected: Tensor, inputs: list[Tensor]) -> None:
    """Assert that two results and their gradients are one."""
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(found)
    ours = torch.autograd.grad((found * weights).sum(), inputs)
    theirs = torch.autograd.grad((expected * weights).sum(), inputs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def drawn(*shape: int, scale: float = 1.0) -> Tensor:
    return (torch.randn(shape, dtype=torch.float64) * scale).requires_grad_()


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize(("stride", "padding", "dilation", "groups", "parts"), [(1, 1, 1, 1, 1), (2, 2, 2, 2, 2)])
def test_deformable_convolutions_are_their_definition(
    modulated: bool, stride: int, padding: int, dilation: int, groups: int, parts: int
) -> None:
    from chipwright.openmmlab.operators import deform_conv2d, modulated_deform_conv2d

    torch.manual_seed(0)
    images, weight = drawn(2, 4, 5, 6), drawn(4, 4 // groups, 3, 3)
    rows, columns = ((side + 2 * padding - 2 * dilation - 1) // stride + 1 for side in (5, 6))
    offset, mask = drawn(2, 18 * parts, rows, columns, scale=1.5), drawn(2, 9 * parts, rows, columns)
    settings = (stride, padding, dilation, groups)
    if modulated:
        bias = drawn(4)
        found = modulated_deform_conv2d(images, offset, mask, weight, bias, *settings, parts)
        expected = looped_convolution(images, offset, mask, weight, *settings) + bias[:, None, None]
        agree(found, expected, [images, offset, mask, weight, bias])
    else:
        found = deform_conv2d(images, offset, weight, *settings, parts)
        agree(found, looped_convolution(images, offset, None, weight, *settings), [images, offset, weight])


@pytest.mark.parametrize("aligned", [False, True])
def test_roi_align_averages_points_of_each_cell(aligned: bool) -> None:
    from chipwright.openmmlab.operators import roi_align

    torch.manual_seed(0)
    features, points = drawn(2, 3, 8, 9), 2
    rois = torch.tensor([[0, 2.0, 3.0, 11.0, 13.0], [1, 4.5, 2.0, 15.0, 9.5]], dtype=torch.float64)
    expected = []
    for place, *corners in rois.tolist():
        left, top, right, bottom = (corner / 2 - (0.5 if aligned else 0) for corner in corners)
        height, width = (bottom - top) / 2, (right - left) / 3
        for row in range(2):
            for column in range(3):
                inside = [
                    at(
                        features[int(place)],
                        torch.tensor(top + (row + (down + 0.5) / points) * height),
                        torch.tensor(left + (column + (across + 0.5) / points) * width),
                    )
                    for down in range(points)
                    for across in range(points)
                ]
                expected.append(torch.stack(inside).mean(0))
    looped = torch.stack(expected).view(2, 2, 3, 3).permute(0, 3, 1, 2)
    agree(roi_align(features, rois, (2, 3), 0.5, points, "avg", aligned), looped, [features])


def test_regions_are_not_pooled_by_maxima() -> None:
    from chipwright.openmmlab.operators import roi_align

    with pytest.raises(ChipwrightError, match="pools regions by 'max', which needs mmcv's compiled extension"):
        roi_align(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5), 2, 1.0, 0, "max")


def test_carafe_is_its_definition() -> None:
    from chipwright.openmmlab.operators import carafe

    torch.manual_seed(0)
    features, masks = drawn(2, 4, 3, 4), drawn(2, 18, 6, 8)
    expected = []
    for number in range(2):
        for channel in range(4):
            for row in range(6):
                for column in range(8):
                    total = features.new_zeros(())
                    for tap in range(9):
                        y, x = row // 2 + tap // 3 - 1, column // 2 + tap % 3 - 1
                        if 0 <= y < 3 and 0 <= x < 4:
                            total = total + features[number, channel, y, x] * masks[number, channel // 2 * 9 + tap, row, column]
                    expected.append(total)
    agree(carafe(features, masks, 3, 2, 2), torch.stack(expected).view(2, 4, 6, 8), [features, masks])


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_focal_loss_is_its_formula(reduction: str) -> None:
    from chipwright.openmmlab.operators import sigmoid_focal_loss

    torch.manual_seed(0)
    logits, target, weight = drawn(6, 3), torch.tensor([0, 1, 2, 3, 3, 0]), torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    rows = []
    for row, wanted in zip(logits, target.tolist(), strict=True):
        for index, logit in enumerate(row):
            chance = 1 / (1 + torch.exp(-logit))
            right, share = (chance, 0.3) if index == wanted else (1 - chance, 0.7)
            rows.append(-share * (1 - right) ** 1.5 * right.log() * (weight[wanted] if wanted < 3 else 1))
    expected = torch.stack(rows).view(6, 3)
    expected = expected if reduction == "none" else expected.sum() / (6 if reduction == "mean" else 1)
    agree(sigmoid_focal_loss(logits, target, 1.5, 0.3, weight, reduction), expected, [logits])


def boxes_with_scores(count: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator) * 30
    return torch.cat([corners, corners + 4 + torch.rand(count, 2, generator=generator) * 20], 1), torch.rand(
        count, generator=generator
    )


def overlap(one: list[float], other: list[float], offset: int) -> float:
    width, height = (min(one[2 + k], other[2 + k]) - max(one[k], other[k]) + offset for k in (0, 1))
    shared = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0] + offset) * (box[3] - box[1] + offset) for box in (one, other)]
    return shared / (sum(areas) - shared)


def looped_suppression(boxes: Tensor, scores: Tensor, method: str, offset: int = 0) -> tuple[list[int], list[float]]:
    """Soft suppression box by box, of which the plain one is "naive"."""
    left, kept, given = dict(enumerate(scores.tolist())), [], []
    while left:
        best = max(left, key=lambda row: left[row])
        kept.append(best)
        given.append(left.pop(best))
        for row in list(left):
            share = overlap(boxes[best].tolist(), boxes[row].tolist(), offset)
            if method == "gaussian":
                left[row] *= 2.718281828459045 ** (-(share**2) / 0.5)
            elif share >= 0.3:
                left[row] *= 0 if method == "naive" else 1 - share
            if left[row] < 1e-3:
                del left[row]
    return kept, given


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("seed", range(3))
def test_suppression_is_its_loop(seed: int, offset: int) -> None:
    from chipwright.openmmlab.operators import ensure_operators

    ensure_operators()
    from mmcv.ops import nms, soft_nms

    boxes, scores = boxes_with_scores(40, seed)
    expected, _ = looped_suppression(boxes, scores, "naive", offset)
    assert nms(boxes, scores, 0.3, offset=offset)[1].tolist() == expected
    for method in ("naive", "linear", "gaussian"):
        kept, given = looped_suppression(boxes, scores, method, offset)
        found, rows = soft_nms(boxes, scores, 0.3, 0.5, 1e-3, method, offset)
        assert rows.tolist() == kept
        torch.testing.assert_close(found, torch.cat([boxes[kept], torch.tensor(given)[:, None]], 1))
    assert len(nms(boxes[:0], scores[:0], 0.3)[1]) == len(soft_nms(boxes[:0], scores[:0])[1]) == 0


def test_suppressed_boxes_are_grouped_under_the_one_that_is_kept() -> None:
    from chipwright.openmmlab.operators import ensure_operators

    ensure_operators()
    from mmcv.ops import nms_match

    boxes, scores = boxes_with_scores(40, 5)
    groups = [group.tolist() for group in nms_match(torch.cat([boxes, scores[:, None]], 1), 0.3)]
    kept, _ = looped_suppression(boxes, scores, "naive")
    assert [group[0] for group in groups] == kept
    assert sorted(row for group in groups for row in group) == list(range(40))
    for first, *others in groups:
        assert all(overlap(boxes[first].tolist(), boxes[row].tolist(), 0) >= 0.3 for row in others)
        assert sorted([first, *others], key=lambda row: -float(scores[row])) == [first, *others]


def test_under_autocast_operators_compute_in_float32_and_give_the_type_back() -> None:
    from chipwright.openmmlab.operators import carafe, modulated_deform_conv2d, roi_align

    torch.manual_seed(0)
    images, offset = torch.randn(1, 4, 6, 6, requires_grad=True), torch.randn(1, 18, 6, 6)
    mask, weight = torch.rand(1, 9, 6, 6), torch.randn(4, 4, 3, 3, requires_grad=True)
    rois = torch.tensor([[0, 0.25, 0.0, 5.0, 5.0]])
    reduced = images.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        convolved = modulated_deform_conv2d(reduced, offset.bfloat16(), mask.bfloat16(), weight, None, 1, 1)
        found = [convolved, roi_align(reduced, rois, 2), carafe(reduced, mask.bfloat16(), 3, 1, 1)]
    assert {value.dtype for value in found} == {torch.bfloat16}
    exact = modulated_deform_conv2d(reduced.float(), offset.bfloat16().float(), mask.bfloat16().float(), weight, None, 1, 1)
    assert torch.equal(found[0], exact.bfloat16())
    sum(value.sum() for value in found).backward()
    assert images.grad is not None
    assert weight.grad is not None
    assert torch.isfinite(images.grad).all()


def test_layers_of_mmcv_run_on_what_is_supplied() -> None:
    from chipwright.openmmlab.operators import ensure_operators

    ensure_operators()
    from mmcv.ops import CARAFEPack, DeformConv2dPack, ModulatedDeformConv2dPack, RoIAlign, deform_conv2d, saconv

    images = torch.randn(1, 8, 8, 8, requires_grad=True)
    deformed = DeformConv2dPack(8, 8, 3, padding=1)(ModulatedDeformConv2dPack(8, 8, 3, padding=1)(images))
    enlarged = CARAFEPack(8, 2)(deformed)
    RoIAlign(2, 0.5, 0)(enlarged, torch.tensor([[0, 1.0, 1.0, 20.0, 20.0]])).sum().backward()
    assert images.grad is not None
    assert saconv.deform_conv2d is deform_conv2d


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
