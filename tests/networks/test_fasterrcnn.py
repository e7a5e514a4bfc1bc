"""Faster R-CNN against torchvision's own, and where ours must not inherit its habits."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from detector_builders import Convolutions, TorchvisionBody, target
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN as TorchvisionFasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from chipwright.networks.detection import padded_batch
from chipwright.networks.fasterrcnn import FasterRCNN

SMALL = {"pyramid_channels": 16, "representation": 32, "box_batch_size_per_image": 32, "rpn_post_nms_top_n_train": 100}


def small_network(bands: int = 3, classes: int = 3, **settings: object) -> FasterRCNN:
    torch.manual_seed(0)
    return FasterRCNN(Convolutions(bands), classes, **(SMALL | settings))


@pytest.fixture(scope="module")
def pair() -> tuple[FasterRCNN, TorchvisionFasterRCNN]:
    """Our network and torchvision's with the same weights; images pass torchvision's unscaled."""
    torch.manual_seed(3)
    theirs = TorchvisionFasterRCNN(
        resnet_fpn_backbone(backbone_name="resnet18", weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5),
        num_classes=4,
        min_size=96,
        max_size=128,
        image_mean=[0, 0, 0],
        image_std=[1, 1, 1],
        box_score_thresh=0.2,
        _skip_resize=True,  # in training it draws a size at random, and with it other samples
    )
    ours = FasterRCNN(TorchvisionBody(), 4, box_score_thresh=0.2)
    weights = zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict(OrderedDict((name, value) for (name, _), value in weights))
    return ours, theirs


def images() -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(3, 96, 128, generator=generator) for _ in range(2)]


def test_parameters_are_counted_as_torchvision_publishes_them() -> None:
    from chipwright.networks.backbones import create_backbone

    with torch.device("meta"):
        network = FasterRCNN(create_backbone("RESNET50", 3), 91)

    assert sum(parameter.numel() for parameter in network.parameters()) == 41_808_406


def test_defaults_are_torchvisions() -> None:
    theirs = inspect.signature(TorchvisionFasterRCNN).parameters
    ours = inspect.signature(FasterRCNN).parameters
    named = {name: value.default for name, value in ours.items() if name.startswith(("rpn_", "box_"))}

    assert len(named) == 16
    assert named == {name: theirs[name].default for name in named}


def test_losses_are_torchvisions(pair: tuple[FasterRCNN, TorchvisionFasterRCNN]) -> None:
    targets = [target((8, 8, 40, 44), (60, 20, 120, 90)), target()]
    losses = []
    for network in pair:
        network.train()
        torch.manual_seed(1)
        losses.append(network(images(), targets))

    torch.testing.assert_close(losses[0], losses[1])


def test_detections_are_torchvisions(pair: tuple[FasterRCNN, TorchvisionFasterRCNN]) -> None:
    with torch.inference_mode():
        ours, theirs = (network.eval()(images()) for network in pair)

    assert len(theirs[0]["boxes"]) > 0
    torch.testing.assert_close(ours, theirs)


def test_class_tensors_name_the_rows_of_the_first_class() -> None:
    network = small_network(classes=3)
    state = network.state_dict()

    for name, (rows, offset) in network.class_tensors().items():
        assert state[name].shape[0] == offset + 2 * rows


def test_images_of_any_and_of_differing_size_are_taken() -> None:
    network = small_network()
    uneven = [torch.randn(3, 70, 33), torch.randn(3, 20, 101)]

    losses = network.train()(uneven, [target((4, 4, 20, 30)), target()])
    detections = network.eval()(uneven)

    assert all(torch.isfinite(loss) for loss in losses.values())
    for image, found in zip(uneven, detections, strict=True):
        assert (found["boxes"] <= torch.tensor([image.shape[2], image.shape[1]] * 2)).all()


def test_what_is_found_does_not_depend_on_the_size_of_the_first_image_seen() -> None:
    """torchvision's pooling guesses its scales once: an image of 33 px padded to 64 halves them for good."""
    fresh, used = small_network(box_score_thresh=0.0).eval(), small_network(box_score_thresh=0.0).eval()
    image = torch.randn(3, 96, 96)

    with torch.inference_mode():
        used([torch.randn(3, 33, 33)])
        torch.testing.assert_close(used([image]), fresh([image]))


def test_bands_are_the_backbones() -> None:
    network = small_network(bands=4).eval()

    assert set(network([torch.randn(4, 64, 64)])[0]) == {"boxes", "labels", "scores"}


def test_images_without_a_box_give_no_box_loss() -> None:
    losses = small_network().train()([torch.randn(3, 64, 64)] * 2, [target(), target()])

    assert losses["loss_box_reg"] == 0
    assert losses["loss_rpn_box_reg"] == 0
    assert losses["loss_objectness"] > 0


def test_losses_beside_detections_are_those_of_training_when_statistics_stand_still() -> None:
    network = small_network()
    scene, truth = [torch.randn(3, 64, 64)], [target((10, 10, 40, 40))]
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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_reduced_precision_changes_losses_little(dtype: torch.dtype) -> None:
    network = small_network().train()
    scene, truth = [torch.randn(3, 96, 96)] * 2, [target((10, 10, 40, 40)), target((300 / 8, 5, 90, 80))]
    torch.manual_seed(1)
    exact = network(scene, truth)

    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=dtype):
        reduced = network(scene, truth)
    sum(reduced.values()).backward()

    assert {loss.dtype for loss in reduced.values()} == {torch.float32}
    torch.testing.assert_close(reduced, exact, rtol=0.05, atol=0.02)


def test_anchors_stay_exact_in_reduced_precision() -> None:
    """bfloat16 holds no odd coordinate above 256 px."""
    generator = small_network(anchor_sizes=[10, 30, 60, 120, 240]).rpn.anchor_generator
    batch = padded_batch([torch.zeros(3, 64, 512)])
    sides = [(64 // stride, 512 // stride) for stride in (4, 8, 16, 32, 64)]

    exact, reduced = (
        generator(batch, [torch.zeros(1, 16, *side, dtype=dtype) for side in sides])[0]
        for dtype in (torch.float32, torch.bfloat16)
    )

    torch.testing.assert_close(reduced, exact, rtol=0, atol=0)


def test_fitted_anchor_sizes_reach_the_proposals() -> None:
    generator = small_network(anchor_sizes=[8, 12, 16, 24, 32]).rpn.anchor_generator

    assert isinstance(generator, AnchorGenerator)
    assert generator.sizes == ((8,), (12,), (16,), (24,), (32,))


class OneImage(nn.Module):
    """What an ONNX model is asked for: one image in, three tensors out."""

    def __init__(self, network: FasterRCNN) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = self.network([image[0]])[0]
        return found["boxes"], found["labels"], found["scores"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("threshold", [0.2, 0.999], ids=["boxes", "no box"])
def test_exported_to_onnx_it_finds_the_same(threshold: float, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    network = OneImage(small_network(box_score_thresh=threshold)).eval()
    first, other = torch.randn(2, 1, 3, 64, 64)
    path = tmp_path / "network.onnx"

    torch.onnx.export(
        network,
        (first,),
        path,
        dynamo=False,  # torchvision's suppression branches on the number of boxes, which torch.export refuses
        opset_version=17,
        input_names=["image"],
        output_names=["boxes", "labels", "scores"],
        dynamic_axes={name: {0: "count"} for name in ("boxes", "labels", "scores")},
    )

    found = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"image": other.numpy()})
    with torch.inference_mode():
        expected = network(other)
    assert (len(expected[0]) > 0) == (threshold < 0.5)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(torch.from_numpy(ours), theirs, rtol=1e-4, atol=1e-3)
