"""Pixel losses against PyTorch, torchvision, segmentation_models_pytorch and sums by hand."""

import pickle

import pytest
import torch
from segmentation_models_pytorch.losses import DiceLoss
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from chipwright.networks.losses import IGNORED, PixelLoss, cross_entropy, dice, focal, soft_iou

CLASSES = 4


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(2, CLASSES, 6, 5, generator=torch.Generator().manual_seed(1)) * 2


@pytest.fixture
def target() -> torch.Tensor:
    target = torch.randint(0, CLASSES, (2, 6, 5), generator=torch.Generator().manual_seed(2))
    target[0, :2] = IGNORED
    return target


WEIGHT = torch.tensor([0.5, 2.0, 1.0, 0.5])


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_cross_entropy_is_pytorchs_mean(logits, target, weight):
    expected = F.cross_entropy(logits, target, weight, ignore_index=IGNORED)
    torch.testing.assert_close(cross_entropy(logits, target, weight), expected)


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_focal_loss_with_gamma_0_is_cross_entropy(logits, target, weight):
    torch.testing.assert_close(focal(logits, target, 0.0, weight), cross_entropy(logits, target, weight))


def test_focal_loss_of_two_classes_is_torchvisions_sigmoid_focal_loss():
    score = torch.linspace(-4, 4, 24).reshape(1, 1, 4, 6)
    target = (torch.arange(24).reshape(1, 4, 6) % 3 == 0).long()
    expected = sigmoid_focal_loss(score[:, 0], target.float(), alpha=-1, gamma=2.0, reduction="mean")
    torch.testing.assert_close(focal(torch.cat([torch.zeros_like(score), score], 1), target, 2.0), expected)


def test_focal_loss_by_hand():
    logits = torch.tensor([0.8, 0.2]).log().reshape(1, 2, 1, 1)  # p = 0.8 for the true class
    expected = 0.2**2 * -torch.tensor(0.8).log()
    torch.testing.assert_close(focal(logits, torch.zeros(1, 1, 1, dtype=torch.long)), expected)


def test_macro_dice_is_that_of_segmentation_models_where_every_class_occurs(logits, target):
    expected = DiceLoss("multiclass", ignore_index=IGNORED)(logits, target)
    torch.testing.assert_close(dice(logits, target, "macro"), expected)


def test_weighted_macro_dice_is_that_of_segmentation_models(logits, target):
    expected = DiceLoss("multiclass", ignore_index=IGNORED, class_weights=WEIGHT.tolist())(logits, target)
    torch.testing.assert_close(dice(logits, target, "macro", WEIGHT), expected)


def test_macro_dice_leaves_absent_classes_out_of_the_mean():
    logits = torch.tensor([[0.5, 0.25, 0.25]]).log().reshape(1, 3, 1, 1).expand(1, 3, 1, 2)
    target = torch.tensor([[[0, 1]]])
    # class 0: 2 * 0.5 / (1.0 + 1); class 1: 2 * 0.25 / (0.5 + 1); class 2 does not occur
    torch.testing.assert_close(dice(logits, target, "macro"), torch.tensor(1 - (0.5 + 1 / 3) / 2))


def test_micro_dice_is_one_minus_the_mean_probability_of_the_truth(logits, target):
    counts = target != IGNORED
    truth = torch.where(counts, target, 0).unsqueeze(1)
    probability = logits.softmax(1).gather(1, truth).squeeze(1)[counts].mean()
    torch.testing.assert_close(dice(logits, target, "micro"), 1 - probability)


def test_weighted_micro_dice_by_hand():
    logits = torch.tensor([[0.8, 0.2], [0.4, 0.6]]).log().T.reshape(1, 2, 1, 2)  # pixel 0: (0.8, 0.2), pixel 1: (0.4, 0.6)
    target = torch.tensor([[[0, 1]]])
    # weights 1 and 3: intersections 0.8 and 0.6; areas (1.2 + 1) and (0.8 + 1)
    expected = 1 - 2 * (0.8 + 3 * 0.6) / (2.2 + 3 * 1.8)
    torch.testing.assert_close(dice(logits, target, "micro", torch.tensor([1.0, 3.0])), torch.tensor(expected))


LOSSES = [
    PixelLoss(),
    PixelLoss(class_weights=tuple(WEIGHT.tolist())),
    PixelLoss(focal_gamma=2.0),
    PixelLoss(focal_gamma=2.0, class_weights=tuple(WEIGHT.tolist()), dice_fraction=0.5),
    PixelLoss(dice_fraction=1.0, dice_average="macro", dice_weights=tuple(WEIGHT.tolist())),
    PixelLoss(dice_fraction=1.0, dice_average="micro"),
]


@pytest.mark.parametrize("loss", LOSSES)
def test_ignored_pixels_change_neither_loss_nor_gradient(loss, logits, target):
    def run(changed):
        values = logits.clone()
        values[0, :, :2] = changed
        values.requires_grad_()
        result = loss(values, target)
        result.backward()
        return result.detach(), values.grad

    (one, gradient), (other, other_gradient) = run(3.0), run(torch.arange(4.0)[:, None, None] * 5)
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(gradient, other_gradient)
    assert not gradient[0, :, :2].any()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_without_labels_has_loss_and_gradient_zero(loss, logits):
    logits.requires_grad_()
    result = loss(logits, torch.full((2, 6, 5), IGNORED))
    result.backward()
    assert result.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("loss", LOSSES)
def test_confidently_right_and_wrong_logits_stay_finite(loss, target):
    logits = torch.zeros(2, CLASSES, 6, 5)
    logits[:, 0], logits[:, 1] = 1e4, -1e4
    logits.requires_grad_()
    result = loss(logits, target)
    result.backward()
    assert torch.isfinite(result)
    assert torch.isfinite(logits.grad).all()


def test_the_mixture_is_linear_in_the_dice_fraction(logits, target):
    base, pure = PixelLoss(focal_gamma=2.0)(logits, target), dice(logits, target, "macro")
    mixed = PixelLoss(focal_gamma=2.0, dice_fraction=0.3, dice_average="macro")(logits, target)
    torch.testing.assert_close(mixed, 0.7 * base + 0.3 * pure)


def test_bfloat16_logits_are_taken_in_float32(logits, target):
    low = logits.bfloat16()
    result = PixelLoss(dice_fraction=0.5)(low, target)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, PixelLoss(dice_fraction=0.5)(low.float(), target))


def test_weights_first_met_while_validating_still_train(logits, target):
    loss = PixelLoss(class_weights=(0.1, 0.2, 0.3, 0.4), dice_fraction=0.5, dice_weights=(0.4, 0.3, 0.2, 0.1))
    with torch.inference_mode():
        loss(logits, target)
    loss(logits.requires_grad_(), target).backward()
    assert logits.grad is not None


def test_the_loss_survives_pickling():
    assert pickle.loads(pickle.dumps(LOSSES[3])) == LOSSES[3]


# -- soft IoU: the values of Batra et al. 2019's code


DIAGONAL = torch.tensor([[[0, 1], [1, 0]]])


@pytest.mark.parametrize(
    ("background", "road", "expected"),
    [
        ([[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]], -0.333333),
        ([[2.0, 0.0], [0.0, -1.0]], [[0.0, 1.0], [3.0, 0.0]], -0.543524),
        ([[50.0, -50.0], [-50.0, 50.0]], [[-50.0, 50.0], [50.0, -50.0]], -1.0),
    ],
)
def test_soft_iou_has_the_values_of_the_papers_code(background, road, expected):
    logits = torch.tensor([background, road])[None]
    assert soft_iou(logits, DIAGONAL).item() == pytest.approx(expected, abs=1e-6)


def test_soft_iou_is_the_mean_over_images_and_leaves_ignored_pixels_out():
    logits = torch.randn(2, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    target = DIAGONAL.repeat(2, 1, 1)
    each = [soft_iou(logits[at : at + 1], target[at : at + 1]) for at in range(2)]
    torch.testing.assert_close(soft_iou(logits, target), torch.stack(each).mean())
    wider = torch.cat([logits, 9 * torch.ones(2, 2, 2, 1)], 3)
    ignored = torch.cat([target, torch.full((2, 2, 1), IGNORED)], 2)
    torch.testing.assert_close(soft_iou(wider, ignored), soft_iou(logits, target))


def test_soft_iou_has_a_gradient_of_zeros_where_all_is_ignored():
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    loss = soft_iou(logits, torch.full((1, 3, 3), IGNORED))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_the_cross_entropy_of_even_logits_over_37_directions():
    assert cross_entropy(torch.zeros(1, 37, 2, 2), DIAGONAL).item() == pytest.approx(3.610918, abs=1e-6)
