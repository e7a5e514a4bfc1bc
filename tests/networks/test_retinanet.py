"""RetinaNet against torchvision's own, and where ours must not inherit its habits."""

from __future__ import annotations

import inspect
from collections import OrderedDict

import pytest
import torch
from detector_builders import Convolutions, TorchvisionBody, target
from torch import nn
from torchvision.models.detection import RetinaNet as TorchvisionRetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from chipwright.networks.backbones import create_backbone
from chipwright.networks.detection import padded_batch
from chipwright.networks.retinanet import RetinaNet


def small_network(bands: int = 3, classes: int = 2, **settings: object) -> RetinaNet:
    torch.manual_seed(0)
    return RetinaNet(Convolutions(bands), classes, **({"pyramid_channels": 16} | settings))


def stirred(network: RetinaNet, std: float = 0.05) -> RetinaNet:
    """Return the network with last layers that tell places apart, as an untrained one's do not."""
    for last in (network.head.classification_head.cls_logits, network.head.regression_head.bbox_reg):
        nn.init.normal_(last.weight, std=std)
    return network


@pytest.fixture(scope="module")
def pair() -> tuple[RetinaNet, TorchvisionRetinaNet]:
    """Our network and torchvision's with the same weights and anchors; images pass torchvision's unscaled."""
    torch.manual_seed(3)
    body = resnet_fpn_backbone(
        backbone_name="resnet18",
        weights=None,
        norm_layer=nn.BatchNorm2d,
        trainable_layers=5,
        returned_layers=[2, 3, 4],
        extra_blocks=LastLevelP6P7(256, 256),
    )
    ours = stirred(RetinaNet(TorchvisionBody(), 4, box_score_thresh=0.2))
    theirs = TorchvisionRetinaNet(
        body,
        num_classes=4,
        anchor_generator=AnchorGenerator(ours.anchor_generator.sizes, ours.anchor_generator.aspect_ratios),
        min_size=96,
        max_size=128,
        image_mean=[0, 0, 0],
        image_std=[1, 1, 1],
        score_thresh=0.2,
        _skip_resize=True,
    )
    weights = zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True)
    theirs.load_state_dict(OrderedDict(zip(theirs.state_dict(), (value for (_, value), _ in weights), strict=True)))
    return ours, theirs


def images() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(3, 96, 128, generator=generator) for _ in range(2)]


def test_parameters_are_counted_as_torchvision_counts_them() -> None:
    with torch.device("meta"):
        network = RetinaNet(create_backbone("RESNET50", 3), 91)

    assert sum(parameter.numel() for parameter in network.parameters()) == 34_068_119


def test_defaults_are_torchvisions() -> None:
    theirs = inspect.signature(TorchvisionRetinaNet).parameters
    ours = inspect.signature(RetinaNet).parameters
    names = {
        "box_score_thresh": "score_thresh",
        "box_nms_thresh": "nms_thresh",
        "box_detections_per_img": "detections_per_img",
        "candidates": "topk_candidates",
    }

    assert [ours[name].default for name in names] == [theirs[name].default for name in names.values()]


def test_losses_are_torchvisions(pair: tuple[RetinaNet, TorchvisionRetinaNet]) -> None:
    """torchvision counts classes from 0, with the background among them; ours from 1, without it."""
    targets = [target((8, 8, 40, 44), (60, 20, 120, 90)), target()]
    ours, theirs = (network.train() for network in pair)

    expected = theirs(images(), [one | {"labels": one["labels"] - 1} for one in targets])

    torch.testing.assert_close(ours(images(), targets), expected)


def test_detections_are_torchvisions(pair: tuple[RetinaNet, TorchvisionRetinaNet]) -> None:
    with torch.inference_mode():
        ours, theirs = (network.eval()(images()) for network in pair)

    assert len(theirs[0]["boxes"]) > 0
    torch.testing.assert_close(ours, [one | {"labels": one["labels"] + 1} for one in theirs])


def test_nine_anchors_a_place_from_four_cells_downwards() -> None:
    generator = small_network().anchor_generator

    assert generator.num_anchors_per_location() == [9] * 5
    assert [sizes[0] for sizes in generator.sizes] == [32, 64, 128, 256, 512]
    assert generator.sizes[0] == pytest.approx((32, 25.6, 20.16))


def test_scales_ratios_and_fitted_sizes_reach_the_anchors() -> None:
    network = small_network(scales=[1, 0.5], ratios=[1], anchor_sizes=[8, 12, 16, 24, 32])

    assert network.anchor_generator.sizes == ((8, 4), (12, 6), (16, 8), (24, 12), (32, 16))
    assert network.head.regression_head.bbox_reg.out_channels == 2 * 4


def test_an_untrained_network_scores_one_in_a_hundred_everywhere() -> None:
    """So that the first steps do not drown in background (section 4.1 of the paper)."""
    network = small_network().eval()

    with torch.inference_mode():
        scores = network._outputs(padded_batch([torch.randn(3, 64, 64)]))[1]["cls_logits"].sigmoid()

    torch.testing.assert_close(scores, torch.full_like(scores, 0.01), rtol=1e-4, atol=0)


def test_class_tensors_name_every_row_of_every_anchor() -> None:
    network = small_network(classes=3)
    state = network.state_dict()

    for name, (rows, first, groups) in network.class_tensors().items():
        assert (first, state[name].shape[0]) == (0, groups * 3 * rows)


def test_the_rows_of_a_class_are_those_that_score_it() -> None:
    network = small_network(classes=3, box_score_thresh=0.5).eval()
    last, groups = network.head.classification_head.cls_logits, network.head.classification_head.num_anchors
    with torch.no_grad():
        last.bias.view(groups, 3)[:, 1] = 9.0
        labels = network([torch.randn(3, 64, 64)])[0]["labels"]

    assert labels.unique().tolist() == [2]


def test_images_of_any_and_of_differing_size_are_taken() -> None:
    network = stirred(small_network(box_score_thresh=0.0))
    uneven = [torch.randn(3, 70, 33), torch.randn(3, 20, 101)]

    losses = network.train()(uneven, [target((4, 4, 20, 30)), target()])
    detections = network.eval()(uneven)

    assert all(torch.isfinite(loss) for loss in losses.values())
    for image, found in zip(uneven, detections, strict=True):
        assert (found["boxes"] <= torch.tensor([image.shape[2], image.shape[1]] * 2)).all()


def test_images_without_a_box_teach_background_alone() -> None:
    losses = small_network().train()([torch.randn(3, 64, 64)] * 2, [target(), target()])

    assert losses["bbox_regression"] == 0
    assert losses["classification"] > 0


def test_a_box_labelled_twice_has_the_loss_of_one() -> None:
    network, scene = small_network().train(), [torch.randn(3, 64, 64)]
    once = {"boxes": torch.tensor([[10.0, 10, 40, 40]]), "labels": torch.tensor([1])}
    twice = {name: tensor.repeat(2, *[1] * (tensor.dim() - 1)) for name, tensor in once.items()}

    torch.testing.assert_close(network(scene, [once]), network(scene, [twice]))


def test_losses_beside_detections_are_those_of_training_when_statistics_stand_still() -> None:
    network = stirred(small_network(box_score_thresh=0.0))
    scene, truth = [torch.randn(3, 64, 64)], [target((10, 10, 40, 40))]
    network.train()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    trained = network(scene, truth)

    network.eval()
    measured, detections = network.losses_and_detections(scene, truth)

    torch.testing.assert_close(measured, trained)
    torch.testing.assert_close(detections, network(scene))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_reduced_precision_changes_losses_little(dtype: torch.dtype) -> None:
    network = stirred(small_network()).train()
    scene, truth = [torch.randn(3, 96, 96)] * 2, [target((10, 10, 40, 40)), target((300 / 8, 5, 90, 80))]
    exact = network(scene, truth)

    with torch.autocast("cpu", dtype=dtype):
        reduced = network(scene, truth)
    sum(reduced.values()).backward()

    assert {loss.dtype for loss in reduced.values()} == {torch.float32}
    torch.testing.assert_close(reduced, exact, rtol=0.05, atol=0.02)


def test_anchors_stay_exact_in_reduced_precision() -> None:
    """bfloat16 holds no odd coordinate above 256 px."""
    generator = small_network(anchor_sizes=[10, 30, 60, 120, 240]).anchor_generator
    batch = padded_batch([torch.zeros(3, 64, 512)])
    sides = [(64 // stride, 512 // stride) for stride in (4, 8, 16, 32, 64)]

    exact, reduced = (
        generator(batch, [torch.zeros(1, 16, *side, dtype=dtype) for side in sides])[0]
        for dtype in (torch.float32, torch.bfloat16)
    )

    torch.testing.assert_close(reduced, exact, rtol=0, atol=0)
