"""YOLOv3 against the figures of the authors' configuration and boxes and losses computed by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from chipwright.errors import OptionError
from chipwright.networks.yolov3 import BOX_NUMBERS, COCO_ANCHORS, PRIOR, STRIDES, YOLOv3, boxes_of, neck_width
from chipwright.networks.yolov3_losses import Predictions, assign, yolov3_losses

CLASSES = 2
ALONE = 1.0
"""Overlap in shape from which anchors answer beside the likest: none does, as in the paper."""


class Convolutions(nn.Module):
    """The smallest backbone: one strided convolution and normalisation a map, strides 2 to 32."""

    def __init__(self, bands: int = 3, width: int = 8) -> None:
        super().__init__()
        self.channels = (width,) * 5
        self.strides = (2, 4, 8, 16, 32)
        sides = zip((bands, *self.channels), self.channels, strict=False)
        self.steps = nn.ModuleList(
            nn.Sequential(nn.Conv2d(have, make, 3, 2, 1), nn.BatchNorm2d(make), nn.ReLU()) for have, make in sides
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = []
        for step in self.steps:
            images = step(images)
            maps.append(images)
        return maps


def small_network(bands: int = 3, classes: int = CLASSES, **settings: object) -> YOLOv3:
    torch.manual_seed(0)
    return YOLOv3(Convolutions(bands), classes, **settings)


def target(*boxes: tuple[float, float, float, float]) -> dict[str, Tensor]:
    return {"boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), "labels": torch.arange(len(boxes)) % 2 + 1}


def predictions(height: int = 64, width: int = 64, images: int = 1, classes: int = CLASSES) -> Predictions:
    """Return what a network says that has learnt nothing at all: every raw number is 0."""
    grids = [(height // stride, width // stride, stride) for stride in STRIDES]
    anchors = torch.tensor(COCO_ANCHORS, dtype=torch.float32).view(3, 3, 2)
    cells, strides, sizes = [], [], []
    for (rows, columns, stride), shapes in zip(grids, anchors, strict=True):
        for row in range(rows):
            for column in range(columns):
                cells += [(column, row)] * 3
                strides += [(stride,)] * 3
                sizes.append(shapes)
    numbers = torch.zeros(images, len(cells), BOX_NUMBERS + classes)
    table = [torch.tensor(cells).float(), torch.tensor(strides).float(), torch.cat(sizes)]
    return Predictions(numbers, *table, grids, anchors)


def place(row: int, column: int, anchor: int, scale: int, side: int = 64) -> int:
    """Return where the prediction of a cell and anchor of a scale lies in an image of `side`."""
    before = sum((side // stride) ** 2 * 3 for stride in STRIDES[:scale])
    return before + (row * (side // STRIDES[scale]) + column) * 3 + anchor


# -- the network


@pytest.mark.parametrize(("classes", "count"), [(80, 61_949_149), (20, 61_626_049), (1, 61_523_734)])
def test_parameters_are_counted_as_the_authors_configuration_gives_them(classes: int, count: int) -> None:
    from chipwright.networks.backbones import create_backbone

    with torch.device("meta"):
        network = YOLOv3(create_backbone("DARKNET53", 3), classes)

    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_layers_and_statistics_are_the_authors() -> None:
    from chipwright.networks.backbones import create_backbone

    with torch.device("meta"):
        network = YOLOv3(create_backbone("DARKNET53", 3), 80)

    outputs = [head.output for head in network.heads]
    assert sum(isinstance(layer, nn.Conv2d) for layer in network.modules()) == 75
    assert sum(value.numel() for name, value in network.named_buffers() if "running" in name) == 52_608
    assert sum(value.numel() for output in outputs for value in output.parameters()) == 457_725
    assert [output.out_channels for output in outputs] == [255] * 3


def test_heads_stand_at_the_three_scales() -> None:
    network = small_network(classes=80)
    shapes: list[tuple[int, ...]] = []
    for head in network.heads:
        head.register_forward_hook(lambda head, given, result: shapes.append(tuple(result.shape)))

    network.eval()([torch.zeros(3, 416, 416)])

    assert sorted(shapes) == [(1, 255, 13, 13), (1, 255, 26, 26), (1, 255, 52, 52)]


@pytest.mark.parametrize(
    ("channels", "most", "width"),
    [(1024, 512, 512), (256, 128, 128), (2048, 512, 512), (320, 512, 160), (24, 128, 96), (200, 512, 104)],
)
def test_scales_are_half_as_wide_as_their_maps_within_bounds(channels: int, most: int, width: int) -> None:
    assert neck_width(channels, most) == width


def test_a_backbone_without_one_of_the_strides_is_refused() -> None:
    backbone = Convolutions()
    backbone.strides = (2, 4, 8, 16, 16)

    with pytest.raises(OptionError, match="strides 2, 4, 8, 16, 16; YOLOV3 needs those of 8, 16 and 32"):
        YOLOv3(backbone, 1)


def test_an_untrained_network_thinks_objects_rare_and_classes_even() -> None:
    network = small_network(classes=4, box_score_thresh=0.0).eval()

    found = network([torch.randn(3, 64, 64)])[0]

    torch.testing.assert_close(found["scores"], torch.full_like(found["scores"], PRIOR / 4), rtol=0.3, atol=0)


def test_class_tensors_name_the_rows_of_the_first_class_once_an_anchor() -> None:
    network = small_network(classes=2)
    state = network.state_dict()

    for name, (rows, first, times) in network.class_tensors().items():
        assert state[name].shape[0] == times * (first + 2 * rows)
    assert len(network.class_tensors()) == 6


def test_classes_that_stay_keep_what_they_learnt_at_every_anchor() -> None:
    from chipwright.chips.chipset import ClassInfo
    from chipwright.networks.finetune import ClassRows, _carry

    def classes(names: str) -> list[ClassInfo]:
        return [ClassInfo(value=value, name=name, color=(0, 0, 0)) for value, name in enumerate(names, 1)]

    given = torch.arange(3.0 * 7)
    taken = torch.full((3 * 8,), -1.0)

    assert _carry(given, taken, ClassRows(1, BOX_NUMBERS, 3), classes("ab"), classes("cba"), {1: 1, 2: 0})

    assert taken.view(3, 8).tolist() == [[*range(at, at + 5), -1, at + 6, at + 5] for at in (0, 7, 14)]


# -- boxes


def test_boxes_are_decoded_as_in_the_paper() -> None:
    numbers = torch.tensor([[0.0, math.log(3), math.log(2), 0.0, 0, 0]])

    box = boxes_of(numbers, torch.tensor([[4.0, 2.0]]), torch.tensor([[16.0]]), torch.tensor([[30.0, 61.0]]))

    # centre (4.5 * 16, 2.75 * 16), size (2 * 30, 61)
    torch.testing.assert_close(box, torch.tensor([[72 - 30, 44 - 30.5, 72 + 30, 44 + 30.5]]))


def test_no_number_makes_a_box_overflow() -> None:
    numbers = torch.tensor([[500.0, -500.0, 500.0, 90.0, 0, 0]])

    box = boxes_of(numbers, torch.zeros(1, 2), torch.tensor([[32.0]]), torch.tensor([[373.0, 326.0]]))

    assert torch.isfinite(box).all()


def test_a_prediction_taught_to_the_end_gives_its_object_back() -> None:
    """The targets of the losses, decoded, are the boxes they were made from."""
    given = predictions()
    boxes = torch.tensor([[3.0, 9.0, 14.0, 21.0], [5.0, 2.0, 61.0, 47.0], [0.5, 0.5, 63.0, 63.5]])
    found = assign(boxes, torch.ones(3, dtype=torch.int64), given, ALONE)
    own = boxes[found.owners]
    inside = (own[:, :2] + own[:, 2:]) / 2 / given.strides[found.places] - given.cells[found.places]
    numbers = torch.cat([torch.logit(inside), ((own[:, 2:] - own[:, :2]) / given.sizes[found.places]).log()], 1)

    decoded = boxes_of(numbers, *(table[found.places] for table in (given.cells, given.strides, given.sizes)))

    torch.testing.assert_close(decoded, own)


def test_predictions_lie_where_the_losses_look_for_them() -> None:
    """The layout of the network's predictions is the one that `predictions` spells out."""
    network = small_network().eval()
    by_hand = predictions(64, 96)

    from chipwright.networks.detection import padded_batch

    made = network._predictions(padded_batch([torch.zeros(3, 64, 96)]))

    for table in ("cells", "strides", "sizes", "anchors"):
        torch.testing.assert_close(getattr(made, table), getattr(by_hand, table))
    assert list(made.grids) == by_hand.grids


def test_each_prediction_reads_its_own_rows_of_the_last_layer() -> None:
    network = small_network(classes=1).eval()
    with torch.no_grad():
        for scale, head in enumerate(network.heads):
            head.output.weight.zero_()
            head.output.bias.copy_(torch.arange(18.0) + 100 * scale)

    numbers = network._predictions(_batch(64, 64)).numbers[0]

    assert numbers[place(5, 3, 1, 0)].tolist() == list(range(6, 12))
    assert numbers[place(0, 1, 2, 2)].tolist() == list(range(212, 218))


def _batch(height: int, width: int) -> object:
    from chipwright.networks.detection import padded_batch

    return padded_batch([torch.zeros(3, height, width)])


# -- who answers


def test_the_anchor_likest_in_shape_answers_in_the_cell_of_the_centre() -> None:
    boxes = torch.tensor([[10.0, 10.0, 20.0, 23.0], [20.0, 4.0, 52.0, 64.0]])

    found = assign(boxes, torch.tensor([2, 1]), predictions(), ALONE)

    # 10 x 13 is the first anchor, centre (15, 16.5) in column 1, row 2 of 8 px; 32 x 60 is nearest to 30 x 61, centre (36, 34)
    assert found.places.tolist() == [place(2, 1, 0, 0), place(2, 2, 0, 1)]
    assert found.owners.tolist() == [0, 1]
    assert found.classes.tolist() == [[0, 1], [1, 0]]


def test_anchors_of_like_shape_answer_beside_the_likest() -> None:
    box = torch.tensor([[20.0, 4.0, 52.0, 64.0]])  # 32 x 60; its IoU with 62 x 45 is 1440 / 3270, with 59 x 119 1920 / 7021

    found = assign(box, torch.tensor([1]), predictions(), 0.4)

    assert found.places.tolist() == [place(2, 2, 0, 1), place(2, 2, 1, 1)]
    assert found.owners.tolist() == [0, 0]


def test_of_two_objects_in_one_cell_the_one_most_like_an_anchor_has_it() -> None:
    boxes = torch.tensor([[10.0, 10.0, 20.0, 23.0], [10.0, 10.0, 20.0, 22.0]])

    found = assign(boxes, torch.tensor([1, 2]), predictions(), ALONE)

    assert found.owners.tolist() == [0]
    assert found.classes.tolist() == [[1, 1]]


def test_of_duplicates_one_answers_and_both_classes_are_taught() -> None:
    boxes = torch.tensor([[10.0, 10.0, 20.0, 23.0]] * 3)

    found = assign(boxes, torch.tensor([1, 2, 2]), predictions(), ALONE)

    assert found.owners.tolist() == [2]
    assert found.classes.tolist() == [[1, 1]]


def test_a_centre_on_the_far_edge_belongs_to_the_last_cell() -> None:
    found = assign(torch.tensor([[64.0, 64.0, 64.0, 64.0]]), torch.tensor([1]), predictions(), ALONE)

    assert found.places.tolist() == [place(7, 7, 0, 0)]


# -- losses


def test_losses_are_those_computed_by_hand() -> None:
    """One object of 20 x 26 px, twice the first anchor's size... nearest is 16 x 30."""
    box = (10.0, 6.0, 30.0, 32.0)  # centre (20, 19), in column 2, row 2 of 8 px, at (0.5, 0.375) of the cell
    given = predictions()

    losses = yolov3_losses(given, [target(box)], [(64, 64)], ALONE, "paper")

    weight = 2 - 20 * 26 / 64**2
    assert losses["loss_place"].item() == pytest.approx(2 * weight * math.log(2), rel=1e-5)
    squares = math.log(20 / 16) ** 2 + math.log(26 / 30) ** 2
    assert losses["loss_size"].item() == pytest.approx(weight * squares / 2, rel=1e-5)
    assert losses["loss_class"].item() == pytest.approx(2 * math.log(2), rel=1e-5)
    from torchvision.ops import box_iou

    anchors = boxes_of(given.numbers[0], given.cells, given.strides, given.sizes)
    beside = int((box_iou(anchors, torch.tensor([box]))[:, 0] > 0.5).sum()) - 1
    assert beside > 0  # anchors of the cells around overlap much of the object, and are left alone
    assert losses["loss_objectness"].item() == pytest.approx((252 - beside) * math.log(2), rel=1e-5)


def test_an_object_answered_well_costs_next_to_nothing() -> None:
    given = predictions()
    box = torch.tensor([[10.0, 10.0, 20.0, 23.0]])
    at = assign(box, torch.tensor([1]), given, ALONE).places
    given.numbers[..., 4] = -20
    given.numbers[0, at] = torch.tensor([math.log(0.875 / 0.125), math.log(0.0625 / 0.9375), 0.0, 0.0, 20.0, 20.0, -20.0])

    losses = yolov3_losses(given, [target((10.0, 10.0, 20.0, 23.0))], [(64, 64)], ALONE, "paper")

    least = sum(-p * math.log(p) - (1 - p) * math.log(1 - p) for p in (0.875, 0.0625))  # of a place within its cell
    assert losses.pop("loss_place").item() == pytest.approx(least * (2 - 130 / 64**2), rel=1e-4)
    assert all(loss < 1e-5 for loss in losses.values())


def test_a_box_is_taught_by_its_complete_iou_and_objectness_by_its_iou() -> None:
    given = predictions()
    box = torch.tensor([[10.0, 6.0, 30.0, 32.0]])
    (at,) = assign(box, torch.tensor([1]), given, ALONE).places.tolist()
    answer = boxes_of(given.numbers[0], given.cells, given.strides, given.sizes)[at]

    losses = yolov3_losses(given, [target(tuple(box[0].tolist()))], [(64, 64)], ALONE)

    left, top, right, bottom = answer.tolist()
    shared = (min(right, 30) - max(left, 10)) * (min(bottom, 32) - max(top, 6))
    iou = shared / ((right - left) * (bottom - top) + 20 * 26 - shared)
    apart = ((left + right) / 2 - 20) ** 2 + ((top + bottom) / 2 - 19) ** 2
    across = (max(right, 30) - min(left, 10)) ** 2 + (max(bottom, 32) - min(top, 6)) ** 2
    shape = 4 / math.pi**2 * (math.atan(20 / 26) - math.atan((right - left) / (bottom - top))) ** 2
    complete = 1 - iou + apart / across + shape**2 / (1 - iou + shape)
    assert losses["loss_box"].item() == pytest.approx(3 * complete, rel=1e-3)
    # of a number of 0, cross-entropy is log 2 whatever is taught; of 2 it tells the IoU
    given.numbers[0, at, 4] = 2.0
    other = yolov3_losses(given, [target(tuple(box[0].tolist()))], [(64, 64)], ALONE)["loss_objectness"].item()
    change = math.log1p(math.exp(2.0)) - 2.0 * iou - math.log(2)
    assert other - losses["loss_objectness"].item() == pytest.approx(change, rel=1e-3)


@pytest.mark.parametrize("box_loss", ["iou", "paper"])
def test_losses_are_means_over_images(box_loss: Any) -> None:
    truth = target((10.0, 6.0, 30.0, 32.0))

    one = yolov3_losses(predictions(), [truth], [(64, 64)], box_loss=box_loss)
    three = yolov3_losses(predictions(images=3), [truth] * 3, [(64, 64)] * 3, box_loss=box_loss)

    torch.testing.assert_close(three, one)


@pytest.mark.parametrize("box_loss", ["iou", "paper"])
def test_images_without_an_object_teach_objectness_alone(box_loss: Any) -> None:
    losses = yolov3_losses(predictions(images=2), [target()] * 2, [(64, 64)] * 2, box_loss=box_loss)

    assert losses.pop("loss_objectness").item() == pytest.approx(252 * math.log(2), rel=1e-5)
    assert all(loss == 0 for loss in losses.values())


@pytest.mark.parametrize("box_loss", ["iou", "paper"])
def test_a_box_without_width_is_taught_as_a_pixel_wide(box_loss: Any) -> None:
    losses = yolov3_losses(predictions(), [target((10, 10, 10, 40), (5, 5, 5, 5))], [(64, 64)], box_loss=box_loss)

    assert all(torch.isfinite(loss) for loss in losses.values())


# -- as a detector


def test_images_of_any_and_of_differing_size_are_taken() -> None:
    network = small_network(box_score_thresh=0.0)
    uneven = [torch.randn(3, 70, 33), torch.randn(3, 20, 101)]

    losses = network.train()(uneven, [target((4, 4, 20, 30)), target()])
    detections = network.eval()(uneven)

    assert all(torch.isfinite(loss) for loss in losses.values())
    for image, found in zip(uneven, detections, strict=True):
        assert len(found["boxes"]) > 0
        assert (found["boxes"] <= torch.tensor([image.shape[2], image.shape[1]] * 2)).all()
        assert (found["boxes"][:, 2:] - found["boxes"][:, :2] >= 1).all()
        assert (found["scores"].diff() <= 0).all()


def test_bands_are_the_backbones() -> None:
    network = small_network(bands=4).eval()

    assert set(network([torch.randn(4, 64, 64)])[0]) == {"boxes", "labels", "scores"}


def test_no_more_boxes_are_returned_than_asked_for() -> None:
    network = small_network(box_score_thresh=0.0, box_detections_per_img=7).eval()

    assert len(network([torch.randn(3, 128, 128)])[0]["boxes"]) == 7


def test_of_two_boxes_on_one_object_the_stronger_stays_within_a_class() -> None:
    network = small_network(box_score_thresh=0.2)
    boxes = torch.tensor([[0.0, 0.0, 20.0, 20.0], [1.0, 0.0, 20.0, 20.0], [0.0, 0.0, 20.0, 21.0]])

    found = network._of_one(boxes, torch.tensor([[0.5, 0.1], [0.9, 0.0], [0.1, 0.3]]))

    assert found["labels"].tolist() == [1, 2]
    torch.testing.assert_close(found["scores"], torch.tensor([0.9, 0.3]))
    torch.testing.assert_close(found["boxes"], boxes[1:])


def test_losses_beside_detections_are_those_of_training_when_statistics_stand_still() -> None:
    network = small_network(box_score_thresh=0.0)
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


def test_reduced_precision_changes_losses_little() -> None:
    network = small_network().train()
    scene, truth = [torch.randn(3, 96, 96)] * 2, [target((10, 10, 40, 40)), target((300 / 8, 5, 90, 80))]
    exact = network(scene, truth)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        reduced = network(scene, truth)
    sum(reduced.values()).backward()

    assert {loss.dtype for loss in reduced.values()} == {torch.float32}
    torch.testing.assert_close(reduced, exact, rtol=0.05, atol=0.02)


def test_boxes_stay_exact_in_reduced_precision() -> None:
    """bfloat16 holds no odd coordinate above 256 px."""
    network, batch = small_network(box_score_thresh=0.0).eval(), _batch(64, 1024)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = network._predictions(batch)
        found = network._detections(made, batch)[0]["boxes"]

    tables = (made.numbers[0], made.cells, made.strides, made.sizes)
    exact = boxes_of(*(table.double() for table in tables)).clamp(min=0)
    exact[:, 2].clamp_(max=1024)
    exact[:, 3].clamp_(max=64)
    assert found.dtype == torch.float32
    assert found[:, 2].max() > 900
    assert torch.cdist(found.double(), exact).amin(1).max() < 1e-3


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("threshold", [0.001, 1.0], ids=["boxes", "no box"])
def test_exported_to_onnx_it_finds_the_same_at_another_size(threshold: float, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from chipwright.package.onnx import export_onnx
    from chipwright.spec import Normalization

    network = small_network(box_score_thresh=threshold)
    for head in network.heads:  # scores far apart, so that rounding changes no order
        nn.init.normal_(head.output.weight, std=0.1)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    network.train()([torch.randn(3, 96, 96)], [target()])
    network.eval()
    scaling = Normalization(mean=(0.0,) * 3, std=(1.0,) * 3)
    path = export_onnx(network, scaling, 3, (64, 64), tmp_path / "network.onnx")
    image = torch.randn(3, 80, 97)

    names = ["boxes", "labels", "scores"]
    found = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(names, {"input": image[None].numpy()})
    with torch.inference_mode():
        expected = network([image])[0]

    assert (len(expected["boxes"]) > 0) == (threshold < 0.5)
    for name, ours in zip(names, found, strict=True):
        torch.testing.assert_close(torch.from_numpy(ours), expected[name], rtol=1e-4, atol=1e-3)
