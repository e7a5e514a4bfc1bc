"""PSPNET and DEEPLAB as rows of the catalog: what their arguments make of the network, and that they learn."""

from pathlib import Path
from typing import Any

import pytest
import torch
from builders import classified_tiles
from pydantic import ValidationError

import chipwright
from chipwright import catalog, console
from chipwright.models.deeplab import DEEPLAB, DeeplabArguments
from chipwright.models.pspnet import PSPNET, PspnetArguments

TINY = "timm:test_resnet"


@pytest.fixture(autouse=True)
def _silence() -> Any:
    with console.quiet():
        yield


def test_the_defaults_are_those_of_the_reference() -> None:
    given = PspnetArguments().model_dump()
    assert (given["use_unet"], given["pyramid_sizes"]) == (True, [1, 2, 3, 6])
    assert not any(given[name] for name in ("unet_aux_loss", "pointrend", "keep_dilation", "mixup", "focal_loss"))
    assert (PSPNET.backbones.default, DEEPLAB.backbones.default) == ("RESNET50", "RESNET101")
    assert catalog.find("pspnet") is PSPNET
    assert catalog.find("DeepLab") is DEEPLAB


def test_pyramid_sizes_take_one_number_and_refuse_none() -> None:
    assert PspnetArguments(pyramid_sizes=4).pyramid_sizes == [4]  # type: ignore[arg-type]
    for wrong in ([], [0], [1.5], True):
        with pytest.raises(ValidationError):
            PspnetArguments(pyramid_sizes=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "stride"),
    [
        (DeeplabArguments(), 8),
        (DeeplabArguments(pointrend=True), 32),
        (DeeplabArguments(pointrend=True, keep_dilation=True), 8),
        (PspnetArguments(), 32),
        (PspnetArguments(keep_dilation=True), 8),
        (PspnetArguments(use_unet=False), 8),
        (PspnetArguments(use_unet=False, pointrend=True), 32),
    ],
)
def test_dilation_is_kept_where_the_arguments_say_so(arguments: Any, stride: int) -> None:
    assert arguments.output_stride == stride


@pytest.mark.parametrize(
    ("keyword", "arguments"),
    [
        ("DEEPLAB", {"pointrend": True}),
        ("PSPNET", {"use_unet": False}),
        ("PSPNET", {"pointrend": True, "unet_aux_loss": True, "focal_loss": True, "dice_loss_fraction": 0.5}),
        ("PSPNET", {"use_unet": False, "pointrend": True, "keep_dilation": True, "pyramid_sizes": [1, 4]}),
    ],
)
def test_every_argument_trains_and_comes_back_from_disk(keyword: str, arguments: dict[str, Any], tmp_path: Path) -> None:
    chips = classified_tiles(tmp_path / "chips", count=8, size=64)
    result = chipwright.train(
        chips, tmp_path / "model", model_type=keyword, backbone_model=TINY, backbone_weights="none", max_epochs=4,
        batch_size=4, learning_rate=3e-3, arguments=arguments, processor_type="CPU", precision="float32",
    )  # fmt: skip
    network = chipwright.load(result.folder, processor_type="CPU").network.eval()
    again = chipwright.load(result.folder, processor_type="CPU").network.eval()
    images = torch.rand(1, 3, 50, 71)
    with torch.no_grad():
        assert torch.equal(network(images), again(images))
    pytest.importorskip("onnxruntime")
    assert chipwright.repackage(result.folder, "onnx", tmp_path / "model.onnx").is_file()
