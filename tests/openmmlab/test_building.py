"""Descriptions made ours, and the networks that come of them."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from extras import require_openmmlab

from chipwright.errors import OptionError
from chipwright.openmmlab import configs, descriptions
from chipwright.openmmlab.segmenters import CONFIGS

require_openmmlab()


def described(name: str, classes: int = 4) -> dict[str, Any]:
    return descriptions.adapted(configs.read_model(configs.shipped("mmseg", CONFIGS[name])), classes)


def test_a_description_loads_nothing_and_has_our_classes_in_every_head() -> None:
    original = configs.read_model(configs.shipped("mmseg", CONFIGS["ocrnet"]))
    before = str(original)
    changed = descriptions.adapted(original, 4)
    assert str(original) == before
    nodes = descriptions.every(changed)
    assert [node["num_classes"] for node in nodes if "num_classes" in node] == [4, 4]
    assert not any({"pretrained", "data_preprocessor"} & node.keys() for node in nodes)
    assert "Pretrained" not in str(changed)
    assert {node["type"] for node in nodes if "Norm" in str(node.get("type")) or "BN" in str(node.get("type"))} == {"BN"}


def test_what_a_config_freezes_learns_unless_weights_are_loaded() -> None:
    backbone = {
        "type": "ResNet",
        "num_classes": 10,
        "frozen_stages": 1,
        "norm_cfg": {"type": "BN", "requires_grad": False, "eps": 0},
        "init_cfg": [{"type": "Pretrained", "checkpoint": "x"}, {"type": "Kaiming", "layer": "Conv2d"}],
    }
    free = descriptions.adapted({"backbone": backbone}, 3)["backbone"]
    assert free["frozen_stages"] == -1
    assert free["num_classes"] == 10
    assert free["norm_cfg"] == {"type": "BN", "requires_grad": True, "eps": 1e-5}
    assert free["init_cfg"] == [{"type": "Kaiming", "layer": "Conv2d"}]
    assert descriptions.adapted({"backbone": backbone}, 3, pretrained=True)["backbone"]["norm_cfg"]["requires_grad"] is False


@pytest.mark.parametrize(("pretrained", "momentum"), [(False, 0.1), (True, 0.01)])
def test_statistics_are_learnt_as_fast_as_usual_unless_weights_are_loaded(pretrained: bool, momentum: float) -> None:
    from chipwright.openmmlab.building import build_network

    network = build_network("mmseg", described("fastscnn"), 3, pretrained=pretrained)
    found = {layer.momentum for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)}
    assert found == {momentum}


def test_a_head_that_gives_one_number_for_two_classes_gives_one_for_each() -> None:
    head = {"num_classes": 2, "out_channels": 1, "threshold": 0.4, "loss_decode": {"type": "CrossEntropyLoss"}, "channels": 8}
    changed = descriptions.adapted({"decode_head": head, "neck": {"out_channels": 1}}, 2)
    assert changed["decode_head"].keys() == {"num_classes", "loss_decode", "channels"}
    assert changed["neck"] == {"out_channels": 1}


def test_what_a_config_would_learn_by_is_told() -> None:
    told = {
        name: descriptions.own_losses(configs.read_model(configs.shipped("mmseg", CONFIGS[name])))
        for name in ("cgnet", "fastscnn", "encnet")
    }
    assert told == {"cgnet": ["class weights"], "fastscnn": ["CrossEntropyLoss of sigmoids"], "encnet": []}


def test_the_scaling_of_weights_is_that_of_red_green_and_blue() -> None:
    caffe = {"data_preprocessor": {"mean": [103.53, 116.28, 123.675], "std": [1.0, 1.0, 1.0], "bgr_to_rgb": False}}
    mean, std = descriptions.scaling(caffe) or ((), ())
    assert mean == pytest.approx((0.485, 0.456, 0.406), abs=1e-3)
    assert std == pytest.approx((1 / 255,) * 3)
    assert descriptions.takes_bgr(caffe)
    assert descriptions.scaling({}) is None


@pytest.mark.parametrize("bands", [1, 3, 5])
@pytest.mark.parametrize("name", ["cgnet", "mobilenet_v2", "mobilenet_v3", "hrnet"])
def test_networks_take_any_number_of_bands(name: str, bands: int) -> None:
    from chipwright.openmmlab.building import build_network

    network = build_network("mmseg", described(name), bands).eval()
    with torch.no_grad():
        assert network.extract_feat(torch.zeros(1, bands, 64, 64))[0].shape[0] == 1


def test_a_network_of_three_bands_alone_says_so() -> None:
    from chipwright.openmmlab.building import widen

    with pytest.raises(OptionError, match=r"takes images of 3 bands alone; the chips have 5"):
        widen(torch.nn.Sequential(torch.nn.Conv2d(12, 8, 3)), 5)


@pytest.mark.parametrize("strange", ["os.system", "subprocess.call", "mmengine.registry.build_from_cfg", "__import__('os')"])
def test_a_description_calls_nothing_but_parts_of_networks(strange: str) -> None:
    from chipwright.openmmlab.building import build_network

    description = described("fastscnn")
    description["decode_head"]["act_cfg"] = {"type": strange, "command": "touch /tmp/ran"}
    with pytest.raises(OptionError, match="which is no part of the networks"):
        build_network("mmseg", description, 3)


@pytest.mark.parametrize("loading", [{"pretrained": "x.pth"}, {"init_cfg": {"type": "Pretrained", "checkpoint": "x.pth"}}])
def test_a_description_loads_no_file(loading: dict[str, Any]) -> None:
    from chipwright.openmmlab.building import build_network

    description = described("fastscnn")
    description["backbone"] |= loading
    with pytest.raises(OptionError, match="which is no part of the networks"):
        build_network("mmseg", description, 3)


def test_parts_that_do_not_go_together_get_a_sentence() -> None:
    from chipwright.openmmlab.building import build_network

    description = described("fastscnn")
    description["decode_head"]["wrong"] = 1
    with pytest.raises(OptionError, match="describes a network that cannot be built"):
        build_network("mmseg", description, 3)


def test_building_writes_nothing_to_the_log(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    from chipwright.openmmlab.building import build_network

    with caplog.at_level(logging.DEBUG):
        build_network("mmseg", described("fastscnn"), 3)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_the_same_seed_gives_the_same_values() -> None:
    from chipwright.openmmlab.building import build_network

    networks = []
    for _ in range(2):
        torch.manual_seed(3)
        networks.append(build_network("mmseg", described("cgnet"), 4).state_dict())
    assert all(torch.equal(value, networks[1][name]) for name, value in networks[0].items())
