"""What bad input gets: one sentence on standard error, its exit status, nothing written. The list of the tool's page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import builders
import pytest
import torch

import chipwright
from chipwright.cli import main

UNET = ["--model-type", "UNET", "--backbone-model", "timm:test_resnet", "--backbone-weights", "none", "--unfreeze-model"]


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return builders.classified_tiles(tmp_path_factory.mktemp("chips") / "tiles", count=8, size=64)


@pytest.fixture(scope="module")
def model(chips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "unet"
    options = {"backbone_model": "timm:test_resnet", "backbone_weights": "none", "learning_rate": 1e-3}
    chipwright.train(chips, out, model_type="UNET", max_epochs=1, batch_size=2, **options)
    return out


def refusal(words: Sequence[object], capsys: Any) -> str:
    """Run a command that must be refused with status 2; return its sentence."""
    assert main([str(word) for word in words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    errors = [line for line in captured.err.splitlines() if line.startswith("Error:")]
    assert len(errors) == 1
    return errors[0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--model-type", "UNETT"], "UNETT.*Did you mean UNET"),
        (["--model-type", "FASTERRCNN"], "FASTERRCNN trains on PASCAL_VOC_rectangles.*holds Classified_Tiles.*UNET"),
        (["--model-type", "UNET", "-a", "mixupp=True"], "mixupp.*Did you mean mixup"),
        (["--model-type", "UNET", "-a", "dice_loss_fraction=2"], "dice_loss_fraction.*2.*from 0 to 1"),
        (["--model-type", "UNET", "-a", "monitor=aciracy"], "monitor.*aciracy.*valid_loss"),
        (["--model-type", "UNET", "-a", "chip_size=small"], "chip_size.*small.*whole number"),
        (["--model-type", "UNET", "--backbone-model", "RESNETT34"], "RESNETT34.*Did you mean RESNET34"),
        (["--model-type", "UNET", "--backbone-model", "REID_V1"], "UNET does not take the backbone REID_V1"),
        ([*UNET[:-1], "--freeze-model"], "FREEZE_MODEL keeps pretrained weights.*none loads none"),
        ([*UNET, "--batch-size", "64"], "fewer than one batch of 64"),
        ([*UNET, "--max-epochs", "0"], "--max-epochs.*0.*at least 1"),
        ([*UNET, "--validation-percentage", "100"], "--validation-percentage.*100"),
        ([*UNET, "--learning-rate", "-1"], "--learning-rate.*-1"),
        ([*UNET, "--split", "block"], "block.*georeference"),
        ([*UNET, "--pretrained-model", "nowhere.dlpk"], "nowhere.dlpk"),
        (["--model-type", "UNET", "--backbone-weights", "nowhere.pth"], "nowhere.pth"),
    ],
)
def test_options_that_cannot_be_used(words: list[str], sentence: str, chips: Path, tmp_path: Path, capsys: Any) -> None:
    found = refusal(["train", chips, "--out", tmp_path / "out", *words], capsys)
    assert re.search(sentence, found), found
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there(chips: Path, tmp_path: Path, capsys: Any) -> None:
    found = refusal(["train", chips, "--out", tmp_path / "out", *UNET, "--processor-type", "GPU"], capsys)
    assert "sees none" in found
    assert "--processor-type CPU" in found


def test_a_folder_that_is_missing(tmp_path: Path, capsys: Any) -> None:
    assert "nowhere" in refusal(["train", tmp_path / "nowhere", "--out", tmp_path / "out", *UNET], capsys)


def test_a_folder_that_is_no_training_data(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.doc").write_text("Dear Sir")
    assert "letters" in refusal(["train", tmp_path / "letters", "--out", tmp_path / "out", *UNET], capsys)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"bands": 4}, "bands"), ({"size": 32}, "32"), ({"dtype": "uint16"}, "uint16")],
)
def test_folders_that_differ(changes: dict[str, Any], sentence: str, chips: Path, tmp_path: Path, capsys: Any) -> None:
    other = builders.classified_tiles(tmp_path / "other", **({"count": 4, "size": 64} | changes))
    found = refusal(["train", chips, other, "--out", tmp_path / "out", *UNET], capsys)
    assert sentence in found
    assert "other" in found


def test_one_chip_leaves_none_for_validation(tmp_path: Path, capsys: Any) -> None:
    alone = builders.classified_tiles(tmp_path / "alone", count=1, size=64)
    assert "1 chip" in refusal(["train", alone, "--out", tmp_path / "out", *UNET], capsys)


def test_a_pretrained_model_of_another_backbone(chips: Path, model: Path, tmp_path: Path, capsys: Any) -> None:
    words = ["train", chips, "--out", tmp_path / "out", "--model-type", "UNET", "--backbone-model", "RESNET18"]
    found = refusal([*words, "--pretrained-model", model], capsys)
    assert "give --backbone-model timm:test_resnet" in found


def test_a_pretrained_model_of_another_type(model: Path, tmp_path: Path, capsys: Any) -> None:
    boxes = builders.voc(tmp_path / "boxes", count=8, size=64)
    words = ["train", boxes, "--out", tmp_path / "out", "--model-type", "FASTERRCNN", "--pretrained-model", model]
    assert "is a UNET, but FASTERRCNN is to be trained" in refusal(words, capsys)


def test_a_model_that_is_there_already_is_not_replaced(chips: Path, model: Path, capsys: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in model.rglob("*")}
    assert "already holds a trained model" in refusal(["train", chips, "--out", model, *UNET], capsys)
    assert before == {path: path.stat().st_mtime_ns for path in model.rglob("*")}


def test_a_model_is_not_stored_inside_the_training_data(chips: Path, capsys: Any) -> None:
    assert "never written to" in refusal(["train", chips, "--out", chips / "model", *UNET], capsys)


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("wrong_band_count_mix", "bands"),
        ("wrong_size_mix", "size"),
        ("voc_entity_bomb", "entit"),
        ("empty_folder", "empty_folder"),
        ("all_negative", "box"),
        ("one_chip_only", "1 chip"),
        ("masks_background_only", "an object in its masks"),
    ],
)
def test_faulty_folders_are_refused(folder: str, sentence: str, data: Path, tmp_path: Path, capsys: Any) -> None:
    words = ["train", data / "broken" / folder, "--out", tmp_path / "out", "--backbone-weights", "none"]
    assert sentence in refusal(words, capsys)
    assert not (tmp_path / "out").exists()


def test_eight_and_sixteen_bit_chips_are_not_trained_together(data: Path, tmp_path: Path, capsys: Any) -> None:
    words = ["train", data / "classified_naip4", data / "classified_naip4_u16", "--out", tmp_path / "out", *UNET]
    found = refusal(words, capsys)
    assert "uint8" in found
    assert "uint16" in found
