from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from toy_types import FakeApi

from chipwright.options import TrainOptions


@dataclass
class Trained:
    """What `chipwright.api.train` returns."""

    out_model_file: Path = Path("my models/trees/trees.dlpk")
    folder: Path = Path("my models/trees")
    name: str = "trees"
    model_type: str = "TOY"
    metrics: dict[str, float] = field(default_factory=lambda: {"valid_loss": 0.25, "accuracy": 0.912})
    epochs: int = 12
    best_epoch: int = 9
    batch_size: int = 4
    learning_rate: float = 1e-3
    seconds: float = 200.0
    warnings: list[str] = field(default_factory=list)


@pytest.fixture
def trainer(api: FakeApi) -> FakeApi:
    api.answer = Trained()
    return api


EVERY_OPTION: list[tuple[list[str], str, Any]] = [
    (["--validation-percentage", "20.5"], "validation_percentage", 20.5),
    (["--split", "BLOCK"], "split", "block"),
    (["--augmentation", "none"], "augmentation", "NONE"),
    (["--model-type", "toy"], "model_type", "toy"),
    (["-a", "zooms=1", "--argument", "grids 4 2"], "arguments", {"zooms": "1", "grids": "4 2"}),
    (["--backbone-model", "RESNET50"], "backbone_model", "RESNET50"),
    (["--backbone-weights", "none"], "backbone_weights", "none"),
    (["--pretrained-model", "old/old.dlpk"], "pretrained_model", Path("old/old.dlpk")),
    (["--freeze-model"], "freeze", True),
    (["--unfreeze-model"], "freeze", False),
    (["--max-epochs", "3"], "max_epochs", 3),
    (["--batch-size", "16"], "batch_size", 16),
    (["--learning-rate", "1e-3"], "learning_rate", 1e-3),
    (["--stop-training"], "stop_training", True),
    (["--continue-training"], "stop_training", False),
    (["--seed", "7"], "seed", 7),
    (["--processor-type", "cpu"], "processor_type", "CPU"),
    (["--gpu-id", "1"], "gpu_id", 1),
    (["--precision", "bfloat16"], "precision", "bfloat16"),
    (["--workers", "0"], "workers", 0),
    (["--resume"], "resume", True),
    (["--overwrite"], "overwrite", True),
    (["--no-raster-function"], "raster_function", False),
]


def test_folders_alone_train_with_the_defaults(run: Any, trainer: FakeApi) -> None:
    assert run("train", "a", "b", "--out", "models/trees").status == 0
    assert trainer.called == "train"
    assert trainer.kwargs == dict(TrainOptions(in_folder=(Path("a"), Path("b")), out_folder=Path("models/trees")))


@pytest.mark.parametrize(("words", "name", "value"), EVERY_OPTION)
def test_every_option_reaches_training(words: list[str], name: str, value: Any, run: Any, trainer: FakeApi) -> None:
    found = run("train", "chips", "--out", "out", *words)
    assert found.status == 0, found.err
    assert trainer.kwargs[name] == value


def test_no_option_of_training_is_missing_from_the_command_line() -> None:
    tried = {name for _, name, _ in EVERY_OPTION} | {"in_folder", "out_folder"}
    assert tried == set(TrainOptions.model_fields)


def test_the_help_names_the_true_defaults(run: Any) -> None:
    page = " ".join(run("train", "--help").out.split())
    fields = TrainOptions.model_fields
    for name in ("max_epochs", "validation_percentage", "seed", "gpu_id", "precision", "backbone_weights", "augmentation"):
        option = "--" + name.replace("_", "-")
        text = page[page.index(f" {option} ") :]
        assert text[text.index("Default: ") :].startswith(f"Default: {fields[name].default}."), name


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--max-epochs", "0"], "--max-epochs is '0'; expected a whole number of at least 1."),
        (["--batch-size", "x"], "--batch-size is 'x'; expected a whole number of at least 1."),
        (["--processor-type", "tpu"], "--processor-type is 'tpu'; expected one of CPU, GPU."),
        (["-a", "zooms"], "Argument 'zooms' has no value; write zooms=VALUE."),
        (
            ["--model-type", "toy", "-a", "gausian_thresh=1"],
            "TOY has no argument 'gausian_thresh'. Did you mean gaussian_thresh?",
        ),
        (
            ["--model-type", "toy", "-a", "gaussian_thresh=2"],
            "Argument gaussian_thresh of TOY is '2'; expected a number from 0 to 1.",
        ),
        (["--model-type", "toy", "--backbone-model", "RESNET"], "There is no backbone 'RESNET'. Did you mean RESNET"),
        (["--model-type", "toy", "--backbone-model", "vgg16"], "TOY does not take the backbone VGG16;"),
        (["--model-type", "toyy"], "There is no model type 'toyy'. Did you mean TOY?"),
        (["--model-type", "later"], "LATER is not part of this version yet."),
    ],
)
def test_options_that_cannot_be_used_are_refused_before_training(
    words: list[str], sentence: str, run: Any, trainer: FakeApi
) -> None:
    found = run("train", "chips", "--out", "out", *words)
    assert found.status == 2
    assert found.err.startswith(f"Error: {sentence}")
    assert trainer.called == ""


def test_the_folders_must_be_named(run: Any, trainer: FakeApi) -> None:
    found = run("train")
    assert found.status == 2
    assert found.err.startswith("Error: IN_FOLDER is missing: ")
    assert " --out is missing: " in found.err


# -- the configuration file


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(
        "in_folder: chips\nout: from file\nmax-epochs: 7\nbatch_size: 2\nunfreeze_model: true\nprocessor_type: gpu\n"
        "arguments:\n  zooms: [1, 2]\n  focal_loss: true\n",
        encoding="utf-8",
    )
    return path


def test_a_configuration_file_names_the_options(run: Any, trainer: FakeApi, config: Path) -> None:
    assert run("train", "--config", config).status == 0
    found = trainer.kwargs
    assert (found["in_folder"], found["out_folder"]) == ((Path("chips"),), Path("from file"))
    assert (found["max_epochs"], found["batch_size"], found["freeze"], found["processor_type"]) == (7, 2, False, "GPU")
    assert found["arguments"] == {"zooms": [1, 2], "focal_loss": True}


def test_the_command_line_wins_over_the_file(run: Any, trainer: FakeApi, config: Path) -> None:
    words = ["other", "--config", config, "--max-epochs", "3", "--freeze-model", "-a", "zooms=5", "--out", "here"]
    assert run("train", *words).status == 0
    found = trainer.kwargs
    assert (found["in_folder"], found["out_folder"], found["max_epochs"]) == ((Path("other"),), Path("here"), 3)
    assert found["freeze"] is True
    assert found["batch_size"] == 2
    assert found["arguments"] == {"zooms": "5", "focal_loss": True}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("max_epoch: 3", "There is no option 'max_epoch'. Did you mean max_epochs?"),
        ("- a\n- b", "holds no options; expected lines such as"),
        ("a: [1", "is not YAML: "),
        ("max_epochs: many", "--max-epochs is 'many'; expected a whole number of at least 1."),
    ],
)
def test_a_file_that_cannot_be_used_is_told(content: str, sentence: str, run: Any, trainer: FakeApi, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(content, encoding="utf-8")
    found = run("train", "chips", "--out", "out", "--config", path)
    assert found.status == 2
    assert sentence in found.err
    assert trainer.called == ""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_of_every_windows_editor_are_read(encoding: str, run: Any, trainer: FakeApi, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("in_folder: Gebäude\nlearning_rate: 1e-3\n", encoding=encoding)
    assert run("train", "--config", path, "--out", "out").status == 0
    assert (trainer.kwargs["in_folder"], trainer.kwargs["learning_rate"]) == ((Path("Gebäude"),), 0.001)


def test_a_file_that_is_not_there_is_told(run: Any) -> None:
    found = run("train", "--config", "nowhere.yaml")
    assert found.status == 2
    assert found.err.startswith("Error: The configuration file nowhere.yaml cannot be read: No such file")


def test_the_printed_configuration_reads_back_the_same(run: Any, trainer: FakeApi, tmp_path: Path) -> None:
    words = ["chips", "my other chips", "--out", "out", "--model-type", "TOY", "-a", "zooms=1.0 0.8", "--learning-rate", "1e-3"]
    printed = run("train", *words, "--unfreeze-model", "--pretrained-model", "Gebäude.dlpk", "--print-config")
    assert printed.status == 0
    assert trainer.called == ""
    assert set(yaml.safe_load(printed.out)) == set(TrainOptions.model_fields)
    path = tmp_path / "run.yaml"
    path.write_text(printed.out, encoding="utf-8")
    run("train", *words, "--unfreeze-model", "--pretrained-model", "Gebäude.dlpk")
    direct = trainer.kwargs
    run("train", "--config", path)
    assert trainer.kwargs == direct


def test_the_configuration_is_printed_as_json_too(run: Any, trainer: FakeApi) -> None:
    data = run("train", "chips", "--out", "out", "--print-config", "--json").data
    assert data["config"]["in_folder"] == ["chips"]
    assert data["config"]["max_epochs"] == 20


# -- the result


def test_the_result_is_one_json_object(run: Any, trainer: FakeApi) -> None:
    data = run("train", "chips", "--out", "out", "--json").data
    assert data["out_model_file"] == str(Path("my models/trees/trees.dlpk"))
    assert data["metrics"] == {"valid_loss": 0.25, "accuracy": 0.912}
    assert (data["epochs"], data["best_epoch"], data["model_type"]) == (12, 9, "TOY")


def test_the_summary_says_what_came_out_and_what_to_do_next(run: Any, trainer: FakeApi) -> None:
    text = run("train", "chips", "--out", "out").out
    assert "Trained TOY for 12 epochs in 3 min; the best was epoch 9." in text
    assert "Accuracy         91.2" in text
    assert str(Path("my models/trees/trees.dlpk")) in text
    assert str(Path("my models/trees/model_metrics.html")) in text
    assert f'chipwright evaluate "{Path("my models/trees")}" CHIPS_FOLDER' in text
