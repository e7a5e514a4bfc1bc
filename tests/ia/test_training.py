from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toy_types import FakeApi, add_toy

from chipwright.errors import OptionError
from chipwright.ia import EnvManager, TrainDeepLearningModel, env
from chipwright.options import TrainOptions

DEFAULTS = dict(TrainOptions(in_folder=(Path("chips"),), out_folder=Path("out")))


@pytest.fixture(autouse=True)
def trainer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Take the place of `chipwright.api`, and leave the environment as it was."""
    add_toy(monkeypatch)
    answer = SimpleNamespace(
        out_model_file=Path("out/out.dlpk"), metrics={"valid_loss": 0.5}, epochs=3, best_epoch=2, warnings=["Few chips."]
    )
    fake = FakeApi()
    fake.answer = lambda: answer
    with EnvManager():
        yield fake.install(monkeypatch)


def test_the_signature_is_the_reference_s() -> None:
    parameters = inspect.signature(TrainDeepLearningModel).parameters
    shown = {name: parameter.default for name, parameter in parameters.items() if name != "beyond"}
    assert list(shown.items()) == [
        ("in_folder", inspect.Parameter.empty),
        ("out_folder", inspect.Parameter.empty),
        ("max_epochs", 20),
        ("model_type", None),
        ("batch_size", None),
        ("arguments", None),
        ("learning_rate", None),
        ("backbone_model", None),
        ("pretrained_model", None),
        ("validation_percentage", 10),
        ("stop_training", "STOP_TRAINING"),
        ("freeze", "FREEZE_MODEL"),
    ]
    assert parameters["beyond"].kind is inspect.Parameter.VAR_KEYWORD


def test_two_folders_are_enough(trainer: FakeApi) -> None:
    TrainDeepLearningModel("chips", "out")
    assert trainer.called == "train"
    assert trainer.kwargs == DEFAULTS


def test_every_parameter_is_taken_by_position(trainer: FakeApi) -> None:
    TrainDeepLearningModel(
        r"'C:\a b';D:\c", "models/trees", 5, "TOY", 8, "monitor accuracy;zooms 1", 0.01, "RESNET50", "old.dlpk", 25,
        "CONTINUE_TRAINING", "UNFREEZE_MODEL",
    )  # fmt: skip
    assert trainer.kwargs == DEFAULTS | {
        "in_folder": (Path(r"C:\a b"), Path(r"D:\c")), "out_folder": Path("models/trees"), "max_epochs": 5,
        "model_type": "TOY", "batch_size": 8, "arguments": {"monitor": "accuracy", "zooms": "1"}, "learning_rate": 0.01,
        "backbone_model": "RESNET50", "pretrained_model": Path("old.dlpk"), "validation_percentage": 25,
        "stop_training": False, "freeze": False,
    }  # fmt: skip


@pytest.mark.parametrize("empty", [None, "", "#"])
def test_empty_parameters_mean_the_defaults(empty: Any, trainer: FakeApi) -> None:
    TrainDeepLearningModel("chips", "out", *[empty] * 10)
    assert trainer.kwargs == DEFAULTS


def test_numbers_may_be_text(trainer: FakeApi) -> None:
    TrainDeepLearningModel("chips", "out", "5", batch_size="4", learning_rate="0.001", validation_percentage="20")
    assert [trainer.kwargs[name] for name in ("max_epochs", "batch_size", "learning_rate", "validation_percentage")] == [
        5,
        4,
        0.001,
        20,
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), (False, False), ("stop_training", True), ("Continue_Training", False), ("false", False)],
)
def test_early_stopping_is_a_keyword_or_a_truth(value: Any, expected: bool, trainer: FakeApi) -> None:
    TrainDeepLearningModel("chips", "out", stop_training=value)
    assert trainer.kwargs["stop_training"] is expected


@pytest.mark.parametrize(
    ("value", "expected"), [("FREEZE_MODEL", True), ("unfreeze_model", False), (True, True), (False, False)]
)
def test_freezing_asked_for_is_told_from_the_default(value: Any, expected: bool, trainer: FakeApi) -> None:
    TrainDeepLearningModel("chips", "out", freeze=value)
    assert trainer.kwargs["freeze"] is expected


@pytest.mark.parametrize(
    "arguments", ["zooms 1;grids '4 2'", [["zooms", "1"], ["grids", "4 2"]], {"zooms": "1", "grids": "4 2"}]
)
def test_model_arguments_are_taken_in_every_form(arguments: Any, trainer: FakeApi) -> None:
    TrainDeepLearningModel("chips", "out", arguments=arguments)
    assert trainer.kwargs["arguments"] == {"zooms": "1", "grids": "4 2"}


def test_several_folders_may_be_a_list(trainer: FakeApi) -> None:
    TrainDeepLearningModel(["a", Path("b")], "out")
    assert trainer.kwargs["in_folder"] == (Path("a"), Path("b"))


def test_options_beyond_the_reference_are_taken_by_name(trainer: FakeApi) -> None:
    TrainDeepLearningModel("chips", "out", backbone_weights="none", seed=7)
    assert (trainer.kwargs["backbone_weights"], trainer.kwargs["seed"]) == ("none", 7)


@pytest.mark.parametrize(
    ("keywords", "start"),
    [
        ({"max_epoch": 3}, "TrainDeepLearningModel has no parameter 'max_epoch'. Did you mean max_epochs?"),
        ({"max_epochs": 0}, "max_epochs is 0; expected a whole number of at least 1."),
        ({"stop_training": "FREEZE_MODEL"}, "stop_training is 'FREEZE_MODEL'; expected STOP_TRAINING or CONTINUE_TRAINING."),
        ({"model_type": "TOYS"}, "There is no model type 'TOYS'. Did you mean TOY?"),
        ({"model_type": "toy", "arguments": "zoms 1"}, "TOY has no argument 'zoms'. Did you mean zooms?"),
        ({"arguments": "zooms [1"}, "In 'zooms [1' a closing ] is missing."),
    ],
)
def test_what_cannot_be_used_is_refused_before_training(keywords: dict[str, Any], start: str, trainer: FakeApi) -> None:
    with pytest.raises(OptionError) as caught:
        TrainDeepLearningModel("chips", "out", **keywords)
    assert str(caught.value).startswith(start)
    assert trainer.called == ""


# -- the environment


def test_the_environment_says_where_to_train(trainer: FakeApi) -> None:
    env.processorType, env.gpuId, env.overwriteOutput = "gpu", "1", True
    TrainDeepLearningModel("chips", "out")
    assert [trainer.kwargs[name] for name in ("processor_type", "gpu_id", "overwrite")] == ["GPU", 1, True]


def test_the_environment_may_be_set_for_a_block(trainer: FakeApi) -> None:
    with EnvManager(processorType="CPU", gpuId="0"):
        TrainDeepLearningModel("chips", "out")
    assert trainer.kwargs["processor_type"] == "CPU"
    assert env.processorType is None


@pytest.mark.parametrize(
    ("name", "value", "start"),
    [
        ("processortype", "GPU", "There is no environment setting 'processortype'. Did you mean processorType?"),
        ("processorType", "TPU", "processorType is 'TPU'; expected CPU or GPU."),
    ],
)
def test_a_setting_that_does_not_exist_is_refused(name: str, value: str, start: str) -> None:
    with pytest.raises(OptionError) as caught:
        setattr(env, name, value)
    assert str(caught.value).startswith(start)


# -- the result


def test_the_result_holds_the_model_and_the_figures() -> None:
    result = TrainDeepLearningModel("chips", "out")
    assert result.out_model_file == Path("out/out.dlpk")
    assert (result.metrics, result.epochs, result.best_epoch) == ({"valid_loss": 0.5}, 3, 2)


def test_the_result_is_used_as_arcpy_s_is() -> None:
    result = TrainDeepLearningModel("chips", "out")
    path = str(Path("out/out.dlpk"))
    assert (result[0], result.getOutput(0), str(result), list(result)) == (path, path, path, [path])
    assert Path(result) == Path("out/out.dlpk")
    assert result.getMessages() == "Few chips."
    with pytest.raises(IndexError):
        result.getOutput(1)


def test_importing_the_drop_in_costs_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, chipwright.ia; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
