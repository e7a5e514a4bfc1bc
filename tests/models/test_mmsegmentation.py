"""MMSEGMENTATION as a row of the catalog: names, configs, weights, and that every network trains and comes back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from builders import classified_tiles
from extras import require_openmmlab
from pydantic import ValidationError

import chipwright
from chipwright import OptionError, console
from chipwright.engine.devices import place
from chipwright.models.mmsegmentation import MMSegmentationArguments
from chipwright.openmmlab.segmenters import CONFIGS, onnx_obstacle

require_openmmlab()

SMALL = """
_base_ = ["mmseg::_base_/models/fcn_unet_s5-d16.py"]
model = dict(
    backbone=dict(base_channels=4),
    decode_head=dict(in_channels=4, in_index=4, channels=4, loss_decode=dict(class_weight=[1.0] * 2)),
    auxiliary_head=dict(in_channels=8, in_index=3, channels=4),
)
"""


@pytest.fixture(autouse=True)
def _silence() -> Any:
    with console.quiet():
        yield


def train(chips: Path, out: Path, **changes: Any) -> Any:
    given: dict[str, Any] = {
        "model_type": "MMSEGMENTATION", "max_epochs": 1, "batch_size": 4, "learning_rate": 1e-3, "processor_type": "CPU",
        "precision": "float32",
    }  # fmt: skip
    return chipwright.train(chips, out, **given | changes)


def weights_file(path: Path, state: dict[str, torch.Tensor]) -> Path:
    torch.save({"meta": {"epoch": 3}, "state_dict": state}, path)
    return path


def initialized(chips: Path, freeze: bool | None = None, **arguments: Any) -> tuple[Any, list[str]]:
    """Return the network that a run would start from, and what was said of it."""
    from chipwright.options import TrainOptions
    from chipwright.preparation import prepare

    options = TrainOptions(
        in_folder=[chips], out_folder=chips.parent / "out", model_type="MMSEGMENTATION", arguments=arguments, freeze=freeze
    )
    setup = prepare(options, "float32")
    return setup.network, setup.notes


def test_the_names_are_those_of_the_reference() -> None:
    names = (
        "ann apcnet ccnet cgnet danet deeplabv3 deeplabv3plus dmnet dnlnet emanet encnet fastscnn fcn gcnet hrnet mobilenet_v2 "
        "mobilenet_v3 nonlocal_net ocrnet ocrnet_base pointrend psanet pspnet resnest sem_fpn unet upernet"
    )
    assert list(CONFIGS) == names.split()
    assert MMSegmentationArguments().model == "deeplabv3"
    assert MMSegmentationArguments(model="UNet").model == "unet"
    assert MMSegmentationArguments(model_weight="None").model_weight is False
    with pytest.raises(ValidationError, match=r"Did you mean pspnet\?"):
        MMSegmentationArguments(model="pspnt")


def test_a_config_of_ones_own_trains_and_is_not_needed_afterwards(tmp_path: Path) -> None:
    chips = classified_tiles(tmp_path / "chips", count=8, size=64, bands=4)
    config = tmp_path / "small.py"
    config.write_text(SMALL, encoding="utf-8")
    result = train(chips, tmp_path / "model", arguments={"model": str(config)})
    config.unlink()
    images = torch.rand(2, 4, 50, 71)
    first, second = (chipwright.load(result.folder, processor_type="CPU").network for _ in range(2))
    assert first.model.backbone.encoder[0][0].convs[0].conv.weight.shape[:2] == (4, 4)
    with torch.no_grad():
        assert torch.equal(first(images), second(images))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"model": "missing.py"}, "no such file"),
        ({"model_weight": "missing.pth"}, "no such file"),
        ({"model_weight": "missing.py"}, "no such file"),
        ({"model": "fcnn"}, "Did you mean fcn"),
    ],
)
def test_what_is_not_there_gets_a_sentence(arguments: dict[str, Any], expected: str, tmp_path: Path) -> None:
    chips = classified_tiles(tmp_path / "chips", count=4, size=64)
    with pytest.raises(OptionError, match=expected):
        train(chips, tmp_path / "model", arguments=arguments)


def test_weights_fill_all_but_the_rows_of_classes_and_the_backbone_is_frozen(tmp_path: Path) -> None:
    chips = classified_tiles(tmp_path / "chips", count=8, size=64)
    config = tmp_path / "small.py"
    config.write_text(SMALL, encoding="utf-8")
    network, _ = initialized(chips, model=str(config))
    state = {
        name: torch.rand_like(value) if value.is_floating_point() else value
        for name, value in network.model.state_dict().items()
    }
    weights = weights_file(tmp_path / "weights.pth", {f"module.{name}": value for name, value in state.items()})
    arguments = {"model": str(config), "model_weight": str(weights)}
    started, notes = initialized(chips, **arguments)
    assert any(note.startswith("Weights: weights.pth") for note in notes)
    for name, value in started.model.state_dict().items():
        assert torch.equal(value, state[name]) == ("conv_seg" not in name)
    result = train(chips, tmp_path / "model", arguments=arguments)
    trained = chipwright.load(result.folder, processor_type="CPU").network.model.state_dict()
    counted = [name for name in state if name.startswith("backbone.")]
    assert all(torch.equal(trained[name], state[name]) for name in counted)
    assert not torch.equal(trained["decode_head.convs.0.conv.weight"], state["decode_head.convs.0.conv.weight"])


def test_weights_of_a_backbone_alone_are_taken_and_adapted_to_the_bands(tmp_path: Path) -> None:
    three = classified_tiles(tmp_path / "three", count=4, size=64)
    four = classified_tiles(tmp_path / "four", count=4, size=64, bands=4)
    config = tmp_path / "small.py"
    config.write_text(SMALL + f"load_from = {'weights.pth'!r}\n", encoding="utf-8")
    state = initialized(three, model=str(config))[0].model.backbone.state_dict()
    weights_file(tmp_path / "weights.pth", {name: value + 1 for name, value in state.items()})
    network, notes = initialized(four, model_weight=str(config), weight_init_scheme="red_band")
    first = network.model.backbone.encoder[0][0].convs[0].conv.weight
    pretrained = state["encoder.0.0.convs.0.conv.weight"] + 1
    assert torch.equal(first, torch.cat([pretrained, pretrained[:, :1]], 1))
    assert any(note.startswith("The backbone is frozen, but these") for note in notes)


def test_the_bands_of_weights_that_take_blue_first_are_turned(tmp_path: Path) -> None:
    chips = classified_tiles(tmp_path / "chips", count=4, size=64)
    config = tmp_path / "small.py"
    blue_first = "data_preprocessor = dict(mean=[3.0, 2.0, 1.0], std=[1.0, 1.0, 1.0], bgr_to_rgb=False)\n"
    text = SMALL.replace("model = dict(", "model = dict(\n    data_preprocessor=data_preprocessor,")
    config.write_text(text.replace("model = dict(", blue_first + "model = dict(", 1), encoding="utf-8")
    state = initialized(chips, model=str(config))[0].model.state_dict()
    weights = weights_file(tmp_path / "weights.pth", state)
    network, _ = initialized(chips, model=str(config), model_weight=str(weights))
    name = "backbone.encoder.0.0.convs.0.conv.weight"
    assert torch.equal(network.model.state_dict()[name], state[name].flip(1))
    assert MMSegmentationArguments(model=str(config), model_weight=str(weights)).scaling[0] == pytest.approx(
        (1 / 255, 2 / 255, 3 / 255)
    )


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    chips = classified_tiles(tmp_path / "chips", count=4, size=64)
    weights = weights_file(tmp_path / "weights.pth", {"layer.weight": torch.zeros(3)})
    with pytest.raises(OptionError, match="holds no weights of this network"):
        initialized(chips, model="fastscnn", model_weight=str(weights))


def test_published_weights_are_looked_for_here_and_their_address_is_told(tmp_path: Path, monkeypatch: Any) -> None:
    chips = classified_tiles(tmp_path / "chips", count=4, size=64)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("CHIPWRIGHT_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(OptionError, match=r"Fetch https://\S+/cgnet_680x680_60k_cityscapes_20201101_110253-4c0b2f2d\.pth"):
        initialized(chips, model="cgnet", model_weight=True)
    state = initialized(chips, model="cgnet")[0].model.state_dict()
    weights_file(tmp_path / "cgnet_680x680_60k_cityscapes_20201101_110253-4c0b2f2d.pth", state)
    assert any("20201101" in note for note in initialized(chips, model="cgnet", model_weight=True)[1])


def test_every_name_has_published_weights() -> None:
    for name in CONFIGS:
        source = MMSegmentationArguments(model=name, model_weight=True).source
        assert source.config.is_file()
        assert str(source.weights).endswith(".pth")


def test_a_package_that_names_other_code_is_refused(tmp_path: Path) -> None:
    chips = classified_tiles(tmp_path / "chips", count=8, size=64)
    result = train(chips, tmp_path / "model", arguments={"model": "fastscnn"})
    emd = next(result.folder.glob("*.emd"))
    emd.write_text(
        emd.read_text(encoding="utf-8").replace("PyramidPooling", "x").replace("FastSCNN", "os.system"), encoding="utf-8"
    )
    with pytest.raises(chipwright.ChipwrightError, match="which is no part of the networks"):
        chipwright.load(result.folder, processor_type="CPU")


def test_another_network_is_not_fine_tuned_from(tmp_path: Path) -> None:
    chips = classified_tiles(tmp_path / "chips", count=8, size=64)
    result = train(chips, tmp_path / "model", arguments={"model": "fastscnn"})
    with pytest.raises(OptionError, match=r"another network \(on FastSCNN\) than model=cgnet names \(on CGNet\)"):
        train(chips, tmp_path / "other", arguments={"model": "cgnet"}, pretrained_model=result.folder)


def test_parts_that_take_no_maps_channels_last_learn_in_reduced_precision(tmp_path: Path) -> None:
    network, _ = initialized(classified_tiles(tmp_path / "chips", count=4, size=64), model="dmnet")
    network = place(network, torch.device("cpu")).train()
    with torch.autocast("cpu", torch.bfloat16):
        assert network(torch.randn(2, 3, 64, 64))["out"].shape[2:] == (64, 64)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_every_network_trains_comes_back_and_predicts(name: str, data: Path, tmp_path: Path) -> None:
    chips = shutil.copytree(data / "classified_dubai", tmp_path / "chips")
    for image in sorted((chips / "images").iterdir())[32:]:
        image.unlink()
    result = train(chips, tmp_path / "model", arguments={"model": name, "chip_size": 64})
    network, again = (chipwright.load(result.folder, processor_type="CPU").network for _ in range(2))
    images = torch.rand(2, 3, 64, 72)
    with torch.no_grad():
        assert torch.equal(network(images), again(images))
        assert torch.isfinite(network(images)).all()
    assert 0 < result.metrics["accuracy"] <= 1


def test_networks_that_do_not_export_say_why(tmp_path: Path) -> None:
    chips = classified_tiles(tmp_path / "chips", count=8, size=64)
    result = train(chips, tmp_path / "model", arguments={"model": "mobilenet_v3"})
    with pytest.raises(OptionError, match="does not export to ONNX: its head averages over windows"):
        chipwright.repackage(result.folder, "onnx", tmp_path / "model.onnx")
    assert onnx_obstacle("pointrend", (64, 64))
    assert onnx_obstacle("pointrend", (256, 256)) is None


@pytest.mark.parametrize(("freeze", "said"), [(None, True), (True, True), (False, False)])
def test_without_weights_nothing_is_frozen_which_is_said_unless_nothing_was_to_be(
    freeze: bool | None, said: bool, tmp_path: Path
) -> None:
    chips = classified_tiles(tmp_path / "chips", count=4, size=32)
    _, notes = initialized(chips, freeze=freeze, model="cgnet")
    assert any("nothing is frozen" in note for note in notes) == said
