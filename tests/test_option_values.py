from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy_types import add_toy

from chipwright.errors import OptionError
from chipwright.option_reading import read_folders
from chipwright.option_values import check_model_options, make_options
from chipwright.options import TrainOptions

NEEDED = {"in_folder": "chips", "out_folder": "out"}


def refusal(**values: Any) -> str:
    with pytest.raises(OptionError) as caught:
        make_options({**NEEDED, **values})
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("chips", ["chips"]),
        (Path("a;b"), ["a;b"]),
        ("a;b", ["a", "b"]),
        (r"'C:\a b';D:\c", [r"C:\a b", r"D:\c"]),
        ("'a;b';c", ["a;b", "c"]),
        (r"C:\Bob's chips", [r"C:\Bob's chips"]),
        (["a", Path("b")], ["a", "b"]),
        ("", []),
    ],
)
def test_folders_are_read(value: Any, expected: list[str]) -> None:
    assert read_folders(value) == tuple(Path(folder) for folder in expected)


def test_a_tilde_is_the_home_folder() -> None:
    assert read_folders("~/chips") == (Path.home() / "chips",)


def test_text_is_read_as_what_each_option_is() -> None:
    options = make_options(
        {
            **NEEDED,
            "max_epochs": "5",
            "learning_rate": "1e-3",
            "batch_size": "#",
            "processor_type": "gpu",
            "gpu_id": "1",
            "split": "Block",
            "backbone_weights": "NONE",
            "overwrite": "true",
            "arguments": "zooms 1",
        }
    )
    assert options == TrainOptions(
        in_folder=(Path("chips"),), out_folder=Path("out"), max_epochs=5, learning_rate=1e-3, processor_type="GPU",
        gpu_id=1, split="block", backbone_weights="none", overwrite=True, arguments={"zooms": "1"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("stop_training", "CONTINUE_TRAINING", "stop_training", False),
        ("stop_training", "stop_training", "stop_training", True),
        ("continue-training", True, "stop_training", False),
        ("freeze", "Unfreeze_Model", "freeze", False),
        ("freeze_model", True, "freeze", True),
        ("unfreeze_model", "true", "freeze", False),
        ("freeze", "", "freeze", None),
    ],
)
def test_switches_are_read_as_keywords_and_truths(name: str, value: Any, field: str, expected: bool | None) -> None:
    assert getattr(make_options({**NEEDED, name: value}), field) is expected


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"max_epochs": 0}, "max_epochs is 0; expected a whole number of at least 1."),
        ({"max_epochs": True}, "max_epochs is True; expected a whole number of at least 1."),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'; expected a number above 0 and below 10."),
        ({"validation_percentage": 100}, "validation_percentage is 100; expected a number above 0 and below 100."),
        ({"split": "blok"}, "split is 'blok'; expected one of random, stratified, block, folder."),
        ({"stop_training": "FREEZE_MODEL"}, "stop_training is 'FREEZE_MODEL'; expected STOP_TRAINING or CONTINUE_TRAINING."),
        (
            {"freeze": "FREZE_MODEL"},
            "freeze is 'FREZE_MODEL'; expected FREEZE_MODEL or UNFREEZE_MODEL. Did you mean FREEZE_MODEL?",
        ),
        ({"freeze": True, "freeze_model": True}, "Option freeze is given twice; give it once."),
        ({"in_folder": 5}, "in_folder is 5; expected a folder or several."),
    ],
)
def test_what_does_not_fit_is_told_in_one_sentence(values: dict[str, Any], sentence: str) -> None:
    assert refusal(**values) == sentence


def test_an_unknown_option_suggests_the_nearest() -> None:
    assert refusal(max_epoch=3).startswith("There is no option 'max_epoch'. Did you mean max_epochs? Options: in_folder, ")


def test_missing_folders_are_told() -> None:
    with pytest.raises(OptionError, match=r"^in_folder is missing: .* out_folder is missing: "):
        make_options({})


def test_the_user_s_spelling_is_used() -> None:
    with pytest.raises(OptionError, match=r"^--seed is -1; "):
        make_options({**NEEDED, "seed": -1}, lambda name: "--" + name)


@pytest.mark.parametrize(
    ("values", "start"),
    [
        ({"model_type": "TOYY"}, "There is no model type 'TOYY'. Did you mean TOY?"),
        ({"model_type": "later"}, "LATER is not part of this version yet."),
        ({"model_type": "toy", "backbone_model": "RESNET35"}, "There is no backbone 'RESNET35'. Did you mean RESNET"),
        ({"model_type": "toy", "backbone_model": "VGG16"}, "TOY does not take the backbone VGG16; it takes RESNET18, "),
        ({"model_type": "toy", "backbone_model": "timm:x"}, "TOY does not take timm backbones; it takes RESNET18, "),
        ({"model_type": "toy", "arguments": "zoms 1"}, "TOY has no argument 'zoms'. Did you mean zooms?"),
        ({"model_type": "toy", "arguments": "zooms x"}, "Argument zooms of TOY is 'x'; "),
    ],
)
def test_what_a_model_type_does_not_know_is_refused_early(
    values: dict[str, Any], start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_toy(monkeypatch)
    with pytest.raises(OptionError) as caught:
        check_model_options(make_options({**NEEDED, **values}))
    assert str(caught.value).startswith(start)


def test_without_a_model_type_nothing_is_refused_early() -> None:
    check_model_options(make_options({**NEEDED, "arguments": "anything 1"}))
