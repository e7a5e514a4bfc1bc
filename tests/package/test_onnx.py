from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.errors import ChipwrightError, MissingExtra
from chipwright.package.onnx import export_onnx
from chipwright.spec import Normalization
from chipwright.tasks.base import Normalize

SCALING = Normalization(
    mean=(90.0, 100.0, 110.0, 2000.0), std=(40.0, 50.0, 60.0, 500.0), minimum=(0.0,) * 4, maximum=(200.0,) * 4
)


class Segmenter(nn.Module):
    """Halves, doubles and scores; pads inside, as ours do."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.normalisation = nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 5, 2, stride=2)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        below, right = -height % 8, -width % 8
        if below or right:
            images = F.pad(images, (0, right, 0, below), mode="replicate")
        logits = self.up(F.relu(self.normalisation(self.down(images))))
        return logits[..., :height, :width]


class Several(nn.Module):
    """Returns a dictionary, or a list, of two results."""

    def __init__(self, as_list: bool) -> None:
        super().__init__()
        self.head = nn.Conv2d(4, 2, 1)
        self.as_list = as_list

    def forward(self, images: Tensor) -> Any:
        logits = self.head(images)
        return [logits, logits.mean((2, 3))] if self.as_list else {"out": logits, "aux": logits.mean((2, 3))}


class Detector(nn.Module):
    """Keeps torchvision's contract: a box around every pixel brighter than the threshold."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Conv2d(4, 1, 1)

    def forward(self, images: Any) -> list[dict[str, Tensor]]:
        found = []
        for image in images:
            scores = self.score(image[None])[0, 0].sigmoid()
            rows, columns = torch.where(scores > 0.5)
            boxes = torch.stack([columns, rows, columns + 1, rows + 1], dim=1).float()
            found.append({"boxes": boxes, "labels": torch.ones_like(rows), "scores": scores[rows, columns]})
        return found


def segmenter() -> nn.Module:
    """Return a network whose normalisation has seen images."""
    torch.manual_seed(0)
    network = Segmenter()
    network(torch.rand(4, 4, 16, 16))
    return network.eval()


def pixels(batch: int, height: int, width: int) -> NDArray[np.float32]:
    """Return random pixels of four bands."""
    return np.random.default_rng(0).uniform(0, 255, (batch, 4, height, width)).astype(np.float32)


def run(path: Path, images: NDArray[Any]) -> list[NDArray[Any]]:
    """Return what onnxruntime computes."""
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"input": images})


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The segmenter, exported for chips of 48 x 32 pixels."""
    path = tmp_path_factory.mktemp("onnx") / "trees.onnx"
    return export_onnx(segmenter(), SCALING, 4, (48, 32), path, metadata={"model_type": "Segmentor"})


@pytest.mark.parametrize("size", [(1, 32, 48), (4, 32, 48), (2, 64, 40), (1, 45, 51), (3, 9, 100)])
def test_onnxruntime_computes_what_torch_does(exported: Path, size: tuple[int, int, int]) -> None:
    images = pixels(*size)
    with torch.no_grad():
        expected = segmenter()(Normalize(SCALING)(torch.from_numpy(images)))

    (logits,) = run(exported, images)

    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-4, rtol=0)


def test_versions_are_those_that_old_runtimes_read(exported: Path) -> None:
    model = onnx.load(exported)

    assert model.ir_version <= 9
    assert [(entry.domain, entry.version <= 18) for entry in model.opset_import] == [("", True)]


def test_names_say_what_may_change(exported: Path) -> None:
    model = onnx.load(exported)
    (side,) = [[dim.dim_param or dim.dim_value for dim in tensor.type.tensor_type.shape.dim] for tensor in model.graph.input]

    assert side == ["batch", 4, "height", "width"]
    assert [tensor.name for tensor in model.graph.output] == ["output"]


def test_metadata_is_written_and_nothing_else(exported: Path) -> None:
    assert {prop.key: prop.value for prop in onnx.load(exported).metadata_props} == {"model_type": "Segmentor"}


def test_no_path_of_this_machine_is_written(exported: Path) -> None:
    content = exported.read_bytes()

    for path in (Path(torch.__file__).parent, Path(__file__).parent):
        assert os.fsencode(path) not in content


def test_a_fixed_size_takes_that_size_only(tmp_path: Path) -> None:
    path = export_onnx(segmenter(), SCALING, 4, (48, 32), tmp_path / "m.onnx", dynamic=False)

    assert run(path, pixels(1, 32, 48))[0].shape == (1, 5, 32, 48)
    with pytest.raises(Exception, match="invalid dimensions"):
        run(path, pixels(1, 40, 48))


def test_pixels_of_the_chips_own_type_go_in(tmp_path: Path) -> None:
    path = export_onnx(segmenter(), SCALING, 4, (48, 32), tmp_path / "m.onnx", input_dtype=torch.uint16)
    images = pixels(1, 32, 48).astype(np.uint16)
    with torch.no_grad():
        expected = segmenter()(Normalize(SCALING)(torch.from_numpy(images)))

    np.testing.assert_allclose(run(path, images)[0], expected.numpy(), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("as_list", "names"), [(False, ["out", "aux"]), (True, ["output_0", "output_1"])])
def test_several_results_are_named(tmp_path: Path, as_list: bool, names: list[str]) -> None:
    path = export_onnx(Several(as_list), SCALING, 4, (32, 32), tmp_path / "m.onnx")

    assert [tensor.name for tensor in onnx.load(path).graph.output] == names


@pytest.mark.parametrize("brightness", [0.0, 255.0])
def test_a_detector_finds_as_many_as_there_are(tmp_path: Path, brightness: float) -> None:
    torch.manual_seed(0)
    network = Detector()
    path = export_onnx(network, SCALING, 4, (24, 16), tmp_path / "m.onnx")
    images = pixels(1, 20, 28) if brightness else np.zeros((1, 4, 20, 28), np.float32)
    with torch.no_grad():
        expected = network(Normalize(SCALING)(torch.from_numpy(images)))[0]

    boxes, _, scores = run(path, images)

    np.testing.assert_allclose(boxes, expected["boxes"].numpy())
    np.testing.assert_allclose(scores, expected["scores"].numpy(), atol=1e-5)


def test_the_network_is_left_as_it_was(tmp_path: Path) -> None:
    network = segmenter().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    export_onnx(network, SCALING, 4, (48, 32), tmp_path / "m.onnx")

    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


class Fickle(nn.Module):
    """Treats one image unlike several, which no exporter keeps."""

    def forward(self, images: Tensor) -> Tensor:
        return images + 1 if len(images) == 1 else images


def test_a_graph_that_computes_something_else_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ChipwrightError, match="could not be exported to ONNX"):
        export_onnx(Fickle(), SCALING, 4, (16, 16), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


class Counted(nn.Module):
    """Folds as many images as it was traced with, which tracing takes for a constant."""

    def forward(self, images: Tensor) -> Tensor:
        return images.view(len(images), 4, -1).view(*images.shape)


def test_a_way_that_fails_prints_nothing_where_another_works(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = export_onnx(Counted(), SCALING, 4, (16, 16), tmp_path / "m.onnx")
    assert run(path, pixels(2, 20, 16))[0].shape == (2, 4, 20, 16)
    assert "onnxruntime" not in capfd.readouterr().err


def test_where_one_exporter_fails_the_other_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("no longer part of torch")

    monkeypatch.setattr("chipwright.package.onnx._by_tracing", fail)
    path = export_onnx(segmenter(), SCALING, 4, (48, 32), tmp_path / "m.onnx")
    images = pixels(2, 45, 51)
    with torch.no_grad():
        expected = segmenter()(Normalize(SCALING)(torch.from_numpy(images)))

    np.testing.assert_allclose(run(path, images)[0], expected.numpy(), atol=1e-4, rtol=0)
    for check in (test_versions_are_those_that_old_runtimes_read, test_no_path_of_this_machine_is_written):
        check(path)


def test_a_missing_extra_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(MissingExtra, match=r'pip install "chipwright\[onnx\]"'):
        export_onnx(segmenter(), SCALING, 4, (48, 32), tmp_path / "m.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["unet", "fasterrcnn"])
def test_our_own_networks_export(tmp_path: Path, kind: str) -> None:
    from chipwright.networks.backbones import create_backbone
    from chipwright.networks.fasterrcnn import FasterRCNN
    from chipwright.networks.unet import Unet

    torch.manual_seed(0)
    backbone = create_backbone("timm:test_resnet", 4)
    makers: dict[str, Callable[[], nn.Module]] = {
        "unet": lambda: Unet(backbone, outputs=4),
        "fasterrcnn": lambda: FasterRCNN(backbone, 3, box_score_thresh=0.01, rpn_post_nms_top_n_test=64),
    }
    network = makers[kind]().eval()
    path = export_onnx(network, SCALING, 4, (128, 128), tmp_path / "m.onnx")
    images = pixels(1, 100, 170)
    with torch.no_grad():
        result = network(Normalize(SCALING)(torch.from_numpy(images)))
    expected = [result] if kind == "unet" else list(result[0].values())

    for ours, theirs in zip(expected, run(path, images), strict=True):
        np.testing.assert_allclose(theirs, ours.numpy(), atol=1e-3, rtol=0)


def test_a_failed_export_is_told_without_the_colours_of_a_terminal(tmp_path: Path) -> None:
    class Colourful(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            if torch.onnx.is_in_onnx_export() or torch.compiler.is_exporting():
                raise RuntimeError("\x1b[96mThis is step 1/3\x1b[0m of failing.\nMore of it")
            return images

    with pytest.raises(ChipwrightError, match=r"RuntimeError: This is step 1/3 of failing;"):
        export_onnx(Colourful(), SCALING, 4, (16, 16), tmp_path / "model.onnx")


def test_what_is_compared_lies_within_the_range_of_the_chips(tmp_path: Path) -> None:
    from chipwright.networks.pix2pixhd import Pix2PixHDGenerator

    torch.manual_seed(0)
    network = Pix2PixHDGenerator(4, 3, width=4, halvings=1, blocks=1).eval()  # of one flat image it would tell noise alone
    high = Normalization(mean=(7000.0,) * 4, std=(2000.0,) * 4, minimum=(5000.0,) * 4, maximum=(9000.0,) * 4)
    path = export_onnx(network, high, 4, (32, 32), tmp_path / "m.onnx")
    images = pixels(1, 45, 38) * 4000 / 255 + 5000
    with torch.no_grad():
        expected = network(Normalize(high)(torch.from_numpy(images)))
    np.testing.assert_allclose(run(path, images)[0], expected.numpy(), atol=1e-3, rtol=0)
