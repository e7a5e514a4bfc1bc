"""Weights files are read without running code, and their tensors find their place whatever they are called."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import Tensor

from chipwright.errors import OptionError
from chipwright.networks.architectures import build_features, find_architecture
from chipwright.networks.state_dicts import expected_tensors, match_tensors, read_weights_file

TINY = find_architecture("timm:test_resnet")


def tiny_state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(build_features(TINY, 3).state_dict())


def match(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return match_tensors(state, expected_tensors(TINY), TINY.name, "FILE")


def renamed_by_number(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name layers "net.0", "net.1", ... in their order."""
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in state))
    return {f"net.{layers.index(name.rpartition('.')[0])}.{name.rpartition('.')[2]}": value for name, value in state.items()}


def assert_same(found: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    assert found.keys() == {name for name in state if not name.endswith("num_batches_tracked")}
    assert all(torch.equal(found[name], state[name]) for name in found)


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "encoder.", "module.encoder_q."])
def test_a_prefix_before_every_name_is_stripped(prefix: str) -> None:
    state = tiny_state()
    assert_same(match({prefix + name: value for name, value in state.items()}), state)


def test_a_classifier_and_a_decoder_are_ignored() -> None:
    state = tiny_state()
    others = {"encoder.fc.weight": torch.zeros(10, 96), "decoder.conv1.0.weight": torch.zeros(3, 3, 3, 3)}
    assert_same(match({f"encoder.{name}": value for name, value in state.items()} | others), state)


def test_counters_are_not_asked_for() -> None:
    state = {name: value for name, value in tiny_state().items() if not name.endswith("num_batches_tracked")}
    assert_same(match(state), state)


def test_layers_with_other_names_match_by_order() -> None:
    state = tiny_state()
    assert_same(match(renamed_by_number(state)), state)


def test_a_file_sorted_by_name_is_brought_back_into_the_order_of_its_layers() -> None:
    state = tiny_state()
    assert_same(match(dict(sorted(renamed_by_number(state).items()))), state)


def test_a_head_may_follow_layers_matched_by_order() -> None:
    state = tiny_state()
    head = {
        "net.900.weight": torch.zeros(200, 96, 1, 1),
        "net.901.weight": torch.zeros(200),
        "net.902.weight": torch.zeros(5, 200),
    }
    assert_same(match(renamed_by_number(state) | head), state)


def test_further_convolutions_behind_layers_matched_by_order_are_refused() -> None:
    more = {"net.900.weight": torch.zeros(96, 96, 3, 3)}
    with pytest.raises(OptionError, match="do not fit timm:test_resnet"):
        match(renamed_by_number(tiny_state()) | more)


def test_a_larger_network_of_the_family_is_refused_by_its_first_layer_too_many() -> None:
    state = build_features(find_architecture("RESNET34"), 3).state_dict()
    with pytest.raises(OptionError, match=r"layer1\.2\.conv1\.weight is one layer too many"):
        match_tensors(state, expected_tensors(find_architecture("RESNET18")), "RESNET18", "FILE")


def test_a_missing_tensor_is_named() -> None:
    state = tiny_state()
    del state["layer2.0.conv1.weight"]
    with pytest.raises(OptionError, match=r"FILE do not fit timm:test_resnet: layer2\.0\.conv1\.weight is missing"):
        match(state)


def test_a_tensor_of_another_shape_is_named_with_both_shapes() -> None:
    state = tiny_state()
    state["layer1.0.conv1.weight"] = torch.zeros(32, 32, 5, 5)
    with pytest.raises(OptionError, match=r"layer1\.0\.conv1\.weight has shape \(32, 32, 5, 5\), expected \(32, 32, 3, 3\)"):
        match(state)


def test_a_first_convolution_for_other_bands_matches() -> None:
    state = tiny_state()
    state["conv1.0.weight"] = torch.zeros(state["conv1.0.weight"].shape[0], 13, 3, 3)
    assert_same(match(state), state)


@pytest.mark.parametrize("wrapped", [{"state_dict": ...}, {"model": ...}, {"epoch": 3, "checkpoint": {"model": ...}}])
def test_the_mapping_with_the_tensors_is_found_in_a_checkpoint(tmp_path: Path, wrapped: dict[str, object]) -> None:
    def fill(level: object) -> object:
        return (
            {"a.weight": torch.ones(2)}
            if level is ...
            else {k: fill(v) for k, v in level.items()}
            if isinstance(level, dict)
            else level
        )

    torch.save(fill(wrapped), tmp_path / "checkpoint.pth")
    assert list(read_weights_file(tmp_path / "checkpoint.pth")[0]) == ["a.weight"]


def test_half_precision_becomes_single_and_counts_stay_whole(tmp_path: Path) -> None:
    torch.save(OrderedDict(a=torch.ones(2, dtype=torch.float16), n=torch.tensor(3)), tmp_path / "w.pt")
    tensors, _ = read_weights_file(tmp_path / "w.pt")
    assert (tensors["a"].dtype, tensors["n"].dtype) == (torch.float32, torch.int64)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"network": torch.nn.Linear(2, 2)}, tmp_path / "w.pth")
    with pytest.raises(OptionError, match="holds more than tensors, and reading it would run code"):
        read_weights_file(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_broken_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x02 not weights at all")
    with pytest.raises(OptionError, match=f"{name} cannot be read"):
        read_weights_file(tmp_path / name)


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(OptionError, match="holds no tensors"):
        read_weights_file(tmp_path / "w.pth")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.onnx").write_bytes(b"x")
    with pytest.raises(OptionError, match=r"ends in \.onnx; expected one of \.safetensors, \.pth"):
        read_weights_file(tmp_path / "w.onnx")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="There is no weights file"):
        read_weights_file(tmp_path / "w.pth")
