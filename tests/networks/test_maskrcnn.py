"""Mask R-CNN against torchvision's own, and with PointRend's masks in place of the paper's."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from detector_builders import Convolutions, TorchvisionBody
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN as TorchvisionMaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from chipwright.networks.maskrcnn import MaskRCNN

SMALL = {
    "pyramid_channels": 16,
    "representation": 32,
    "box_batch_size_per_image": 32,
    "rpn_post_nms_top_n_train": 100,
    "rpn_post_nms_top_n_test": 50,
    "box_detections_per_img": 8,
}

BOTH = pytest.mark.parametrize("pointrend", [False, True], ids=["mask head", "PointRend"])


def target(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (96, 128)) -> dict[str, Tensor]:
    """Return objects that leave the last quarter of their box free."""
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left : right - (right - left) // 4] = True
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return {"boxes": corners, "labels": torch.arange(len(boxes)) % 2 + 1, "masks": masks}


def small_network(pointrend: bool = False, classes: int = 3, **settings: object) -> MaskRCNN:
    torch.manual_seed(0)
    return MaskRCNN(Convolutions(), classes, pointrend=pointrend, **(SMALL | settings))


@pytest.fixture(scope="module")
def pair() -> tuple[MaskRCNN, TorchvisionMaskRCNN]:
    """Our network and torchvision's with the same weights; images pass torchvision's unscaled."""
    torch.manual_seed(3)
    theirs = TorchvisionMaskRCNN(
        resnet_fpn_backbone(backbone_name="resnet18", weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5),
        num_classes=4,
        min_size=96,
        max_size=128,
        image_mean=[0, 0, 0],
        image_std=[1, 1, 1],
        box_score_thresh=0.2,
        box_detections_per_img=20,
        _skip_resize=True,  # in training it draws a size at random, and with it other samples
    )
    ours = MaskRCNN(TorchvisionBody(), 4, box_score_thresh=0.2, box_detections_per_img=20)
    weights = zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict(OrderedDict((name, value) for (name, _), value in weights))
    return ours, theirs


def images() -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(3, 96, 128, generator=generator) for _ in range(2)]


def test_parameters_are_counted_as_torchvision_publishes_them() -> None:
    from chipwright.networks.backbones import create_backbone

    with torch.device("meta"):
        network = MaskRCNN(create_backbone("RESNET50", 3), 91)

    assert sum(parameter.numel() for parameter in network.parameters()) == 44_454_513


def test_the_masks_tensors_are_called_as_torchvisions(pair: tuple[MaskRCNN, TorchvisionMaskRCNN]) -> None:
    ours, theirs = ([name for name in network.state_dict() if "roi_heads" in name] for network in pair)

    assert ours == theirs


def test_losses_are_torchvisions(pair: tuple[MaskRCNN, TorchvisionMaskRCNN]) -> None:
    targets = [target((8, 8, 40, 44), (60, 20, 120, 90)), target()]
    losses = []
    for network in pair:
        network.train()
        torch.manual_seed(1)
        losses.append(network(images(), [dict(one) for one in targets]))

    assert "loss_mask" in losses[0]
    torch.testing.assert_close(losses[0], losses[1])


def test_detections_and_their_masks_are_torchvisions(pair: tuple[MaskRCNN, TorchvisionMaskRCNN]) -> None:
    ours, theirs = (network.eval() for network in pair)
    kept: list[dict[str, Tensor]] = []
    theirs.roi_heads.register_forward_hook(lambda _, __, result: kept.extend(dict(one) for one in result[0]))

    with torch.inference_mode():
        found = ours(images())
        theirs(images())

    assert len(kept[0]["boxes"]) > 0
    expected = [one | {"masks": one["masks"][:, 0]} for one in kept]  # before they are pasted
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)  # boxes: of 128 pixels


def test_masks_begin_undecided() -> None:
    """torchvision's begin with logits in the tens where classes are few."""
    losses = small_network(classes=2).train()(images(), [target((8, 8, 40, 44)), target((8, 8, 40, 44))])

    assert losses["loss_mask"].item() == pytest.approx(0.693, abs=0.02)


@BOTH
def test_class_tensors_name_the_rows_of_the_first_class(pointrend: bool) -> None:
    network = small_network(pointrend, classes=3)
    state = network.state_dict()
    tensors = network.class_tensors()

    assert len(tensors) == (8 if pointrend else 6)
    for name, (rows, offset) in tensors.items():
        assert state[name].shape[0] == offset + 2 * rows


@BOTH
def test_masks_lie_in_equal_cells_of_the_boxes(pointrend: bool) -> None:
    found = small_network(pointrend, box_score_thresh=0.0).eval()([torch.randn(3, 70, 33), torch.randn(3, 20, 101)])

    side = 224 if pointrend else 28
    for one in found:
        assert one["masks"].shape == (len(one["boxes"]), side, side)
        assert len(one["boxes"]) > 0
        assert ((one["masks"] >= 0) & (one["masks"] <= 1)).all()


@BOTH
def test_images_without_an_object_give_no_loss_of_masks_but_a_gradient(pointrend: bool) -> None:
    network = small_network(pointrend).train()

    losses = network([torch.randn(3, 64, 64)] * 2, [target(size=(64, 64))] * 2)
    sum(losses.values()).backward()

    assert [value.item() for name, value in losses.items() if "mask" in name] == [0] * (1 + pointrend)
    assert all(parameter.grad is not None for parameter in network.parameters())


@BOTH
def test_where_nothing_is_found_there_are_no_masks(pointrend: bool) -> None:
    found = small_network(pointrend, box_score_thresh=0.999).eval()([torch.randn(3, 64, 64)])

    assert found[0]["masks"].shape[0] == 0


@BOTH
def test_losses_beside_detections_are_those_of_training_when_statistics_stand_still(pointrend: bool) -> None:
    network = small_network(pointrend)
    scene, truth = [torch.randn(3, 64, 64)], [target((10, 10, 40, 40), size=(64, 64))]
    network.train()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    torch.manual_seed(2)
    trained = network(scene, truth)

    network.eval()
    torch.manual_seed(2)
    measured, detections = network.losses_and_detections(scene, truth)

    torch.testing.assert_close(measured, trained)
    torch.testing.assert_close(detections, network(scene))


@BOTH
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_reduced_precision_changes_losses_little_and_no_type(pointrend: bool, dtype: torch.dtype) -> None:
    network = small_network(pointrend, box_score_thresh=0.0).train()
    scene, truth = [torch.randn(3, 96, 128)] * 2, [target((10, 10, 40, 40)), target((37, 5, 90, 80))]
    torch.manual_seed(1)
    exact = network(scene, truth)

    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=dtype):
        reduced = network(scene, truth)
        found = network.eval()(scene)
    sum(reduced.values()).backward()

    assert {loss.dtype for loss in reduced.values()} == {torch.float32}
    assert found[0]["masks"].dtype == torch.float32
    torch.testing.assert_close(reduced, exact, rtol=0.05, atol=0.02)


@BOTH
def test_the_mask_of_one_object_can_be_learnt(pointrend: bool) -> None:
    network = small_network(pointrend, anchor_sizes=[16, 32, 48, 64, 80]).train()
    image = torch.zeros(1, 3, 64, 64)
    truth = [target((12, 16, 52, 48), size=(64, 64))]
    image[0, :, 16:48, 12:42] = 1
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for step in range(25):
        torch.manual_seed(step)
        losses = network(list(image), truth)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()

    assert max(value.item() for name, value in losses.items() if "mask" in name) < 0.4  # it begins at 0.69
