"""SSD: cells, matching and losses against torchvision and hand-computed cases, and images of any size."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from detector_builders import Convolutions, target
from torch import nn
from torch.nn import functional as F
from torchvision.ops import box_iou, sigmoid_focal_loss

from chipwright.networks.ssd import SSD


def small_network(bands: int = 3, classes: int = 2, cells: object = ((16, 16), (32, 32)), **settings: object) -> SSD:
    torch.manual_seed(0)
    return SSD(Convolutions(bands), classes, cells, **({"channels": 32, "drop": 0.0} | settings))


def boxes_found(network: SSD, size: tuple[int, int]) -> torch.Tensor:
    """Return every anchor's box for one image of zeros, none suppressed."""
    network.box_score_thresh, network.box_nms_thresh, network.box_detections_per_img = 0.0, 1.0, 10_000
    for head in network.box_heads:
        nn.init.zeros_(head.weight)
    with torch.inference_mode():
        return network.eval()([torch.zeros(3, *size)])[0]["boxes"]


def test_every_cell_of_every_grid_has_an_anchor_for_each_zoom_and_ratio() -> None:
    network = small_network(cells=[(16, 16), (32, 32)], zooms=[1.0, 0.7], ratios=[(1, 1), (1, 0.5), (0.5, 1)], classes=1)

    assert len(boxes_found(network, (64, 64))) == (16 + 4) * 2 * 3


def test_anchors_are_cells_times_zoom_and_ratio() -> None:
    network = small_network(cells=[(32, 32)], zooms=[0.5], ratios=[(1, 1), (1, 0.5)], classes=1)

    found = boxes_found(network, (64, 64))

    expected = [[x - w, y - h, x + w, y + h] for y in (16, 48) for x in (16, 48) for w, h in ((8, 8), (8, 4))]
    assert sorted(found.tolist()) == sorted(expected)


def test_an_image_of_another_size_has_cells_of_the_same_size() -> None:
    network = small_network(cells=[(32, 32)], classes=1)

    found = boxes_found(network, (64, 96))

    assert sorted(found.tolist()) == sorted([x, y, x + 32, y + 32] for y in (0, 32) for x in (0, 32, 64))


def test_cells_are_as_wide_and_high_as_chips_that_are_not_square_make_them() -> None:
    found = boxes_found(small_network(cells=[(32, 16)], classes=1), (64, 128))

    assert len(found) == 16
    assert (found[:, 2:] - found[:, :2]).unique(dim=0).tolist() == [[32, 16]]


def test_where_an_object_moves_by_a_cell_so_does_what_is_found() -> None:
    """Grids sample a convolution's map where their cells are; the backbone's stride divides the cell here."""
    network = small_network(cells=[(32, 32)], classes=1, channels=32).eval()
    network.backbone.eval()
    image = torch.zeros(3, 512, 512)
    image[:, 200:220, 200:230] = 1.0
    found = []
    for one in (image, image.roll((32, 64), (1, 2))):
        with torch.inference_mode():
            found.append(network._look([one]).logits.view(16, 16))

    torch.testing.assert_close(found[0][4:9, 4:9], found[1][5:10, 6:11], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("cell", "channels"), [(64, 1), (63, 2), (32, 2), (16, 3), (8, 4), (3, 4)], ids=lambda value: str(value)
)
def test_the_map_shows_two_pixels_a_cell_but_never_stride_two(cell: float, channels: int) -> None:
    """Backbone strides 2, 4, 8, 16, 32; the coarser maps are joined to the one chosen."""
    assert len(small_network(cells=[(cell, cell)]).laterals) == channels


def test_an_anchor_is_taught_from_an_iou_of_0_4_on_and_each_boxs_best_anchor_always() -> None:
    network = small_network(cells=[(32, 32)], classes=1, location_loss_factor=None).train()
    anchors = torch.tensor([[x, y, x + 32.0, y + 32] for y in (0, 32) for x in (0, 32)])
    truth = target((0, 0, 32, 26), (40, 40, 50, 50))
    truth["labels"] = torch.ones(2, dtype=torch.int64)
    overlaps = box_iou(truth["boxes"], anchors)
    taught = (overlaps >= 0.4).any(0)
    taught[overlaps.argmax(1)] = True

    with patch.object(SSD, "_class_loss", return_value=torch.zeros(())) as loss:
        network([torch.zeros(3, 64, 64)], [truth])

    assert loss.call_args.args[1][:, 0].bool().tolist() == taught.tolist() == [True, False, False, True]


def test_losses_are_sums_over_taught_anchors_by_hand() -> None:
    """One object in the first of four cells; class outputs are their bias, boxes the anchors."""
    network = small_network(cells=[(32, 32)], classes=2, bias=-2.0).train()
    for head in (*network.class_heads, *network.box_heads):
        nn.init.zeros_(head.weight)
    truth = {"boxes": torch.tensor([[2.0, 4, 30, 32]]), "labels": torch.tensor([2])}

    losses = network([torch.zeros(3, 64, 64)], [truth])

    hit, miss = F.softplus(torch.tensor(2.0)), F.softplus(torch.tensor(-2.0))
    torch.testing.assert_close(losses["classification"], hit + 7 * miss)
    torch.testing.assert_close(losses["bbox_regression"], torch.tensor((2 + 4 + 2 + 0) / 32))


def test_an_image_of_nothing_counts_as_one_object_in_the_mean() -> None:
    network = small_network(cells=[(32, 32)], classes=1, bias=-2.0).train()
    nn.init.zeros_(network.class_heads[0].weight)
    scene = torch.zeros(3, 64, 64)
    miss = F.softplus(torch.tensor(-2.0))

    losses = network([scene, scene], [target(), target()])

    torch.testing.assert_close(losses["classification"], 4 * miss)
    assert losses["bbox_regression"] == 0


def test_the_location_loss_factor_weighs_box_against_class_loss() -> None:
    scene, truth = [torch.randn(3, 64, 64)], [target((2, 4, 30, 30))]

    full, shared = (small_network(location_loss_factor=factor).train()(scene, truth) for factor in (None, 0.2))

    torch.testing.assert_close(shared["bbox_regression"], 0.2 * full["bbox_regression"])
    torch.testing.assert_close(shared["classification"], 0.8 * full["classification"])


def test_focal_loss_is_torchvisions_with_gamma_one() -> None:
    network = small_network(focal_loss=True)
    logits, truth = torch.randn(9, 2), (torch.rand(9, 2) > 0.8).float()

    expected = sigmoid_focal_loss(logits, truth, alpha=0.25, gamma=1, reduction="sum")

    torch.testing.assert_close(network._class_loss(logits, truth), expected)


def test_overlapping_boxes_of_other_classes_stay_and_of_the_same_class_go() -> None:
    """Both classes score everywhere, and every cell has two anchors of nearly its size."""
    network = small_network(cells=[(32, 32)], zooms=[1.0, 0.95], classes=2, bias=5.0, box_nms_thresh=0.5).eval()
    for head in network.box_heads:
        nn.init.zeros_(head.weight)

    labels = network([torch.zeros(3, 64, 64)])[0]["labels"]

    assert labels.bincount().tolist() == [0, 4, 4]


def test_the_rows_of_a_class_are_those_that_score_it() -> None:
    network = small_network(classes=3, zooms=[1.0, 0.7], box_score_thresh=0.5).eval()
    with torch.no_grad():
        for name, (rows, first, groups) in network.class_tensors().items():
            tensor = network.get_parameter(name)
            assert (rows, first, tensor.shape[0]) == (1, 0, groups * 3)
            if name.endswith("bias"):
                tensor.view(groups, 3)[:, 1] = 9.0

    assert network([torch.randn(3, 64, 64)])[0]["labels"].unique().tolist() == [2]


def test_boxes_stay_within_images_of_any_and_of_differing_size() -> None:
    network = small_network(box_score_thresh=0.0)
    uneven = [torch.randn(3, 70, 33), torch.randn(3, 20, 101)]

    losses = network.train()(uneven, [target((4, 4, 20, 30)), target()])
    detections = network.eval()(uneven)

    assert all(torch.isfinite(loss) for loss in losses.values())
    for image, found in zip(uneven, detections, strict=True):
        assert len(found["boxes"])
        assert (found["boxes"] <= torch.tensor([image.shape[2], image.shape[1]] * 2)).all()
        assert (found["boxes"][:, 2:] > found["boxes"][:, :2]).all()


def test_a_grid_of_one_cell_trains_with_one_image() -> None:
    losses = small_network(cells=[(64, 64)]).train()([torch.randn(3, 64, 64)], [target((4, 4, 50, 50))])

    assert all(torch.isfinite(loss) for loss in losses.values())


def test_losses_beside_detections_are_those_of_training_when_nothing_drops() -> None:
    network = small_network(box_score_thresh=0.0)
    scene, truth = [torch.randn(3, 64, 64)], [target((10, 10, 40, 40))]
    network.train().backbone.eval()
    trained = network(scene, truth)

    network.eval()
    measured, detections = network.losses_and_detections(scene, truth)

    torch.testing.assert_close(measured, trained)
    torch.testing.assert_close(detections, network(scene))


def test_features_drop_in_training_alone() -> None:
    network, scene, truth = small_network(drop=0.5), [torch.randn(3, 64, 64)], [target((10, 10, 40, 40))]
    network.eval()

    first, second = (network.losses_and_detections(scene, truth)[0] for _ in range(2))
    torch.testing.assert_close(first, second)
    network.train().backbone.eval()

    assert network(scene, truth)["classification"] != network(scene, truth)["classification"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_reduced_precision_changes_losses_little(dtype: torch.dtype) -> None:
    network = small_network().train()
    scene, truth = [torch.randn(3, 96, 96)] * 2, [target((10, 10, 40, 40)), target((300 / 8, 5, 90, 80))]
    exact = network(scene, truth)

    with torch.autocast("cpu", dtype=dtype):
        reduced = network(scene, truth)
    sum(reduced.values()).backward()

    assert {loss.dtype for loss in reduced.values()} == {torch.float32}
    torch.testing.assert_close(reduced, exact, rtol=0.05, atol=0.02)
