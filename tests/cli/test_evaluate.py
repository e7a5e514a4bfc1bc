from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from toy_types import FakeApi


@dataclass
class Evaluated:
    name: str = "trees"
    folder: Path = Path("checks")
    metrics: dict[str, float] = field(default_factory=lambda: {"accuracy": 0.5, "valid_loss": float("nan")})
    per_class: list[dict[str, Any]] = field(
        default_factory=lambda: [{"class": "Road", "recall": 0.25}, {"class": "Water", "recall": 1.0}]
    )
    warnings: list[str] = field(default_factory=list)


@pytest.fixture
def evaluator(api: FakeApi) -> FakeApi:
    api.answer = Evaluated()
    return api


def test_a_model_and_folders_are_measured_with_the_defaults(run: Any, evaluator: FakeApi) -> None:
    assert run("evaluate", "models/trees", "a", "b").status == 0
    assert evaluator.called == "evaluate"
    assert evaluator.args == (Path("models/trees"), (Path("a"), Path("b")), None)
    assert evaluator.kwargs == {"processor_type": None, "gpu_id": 0, "batch_size": None, "precision": "auto", "workers": None}


def test_every_option_reaches_the_evaluation(run: Any, evaluator: FakeApi) -> None:
    words = [
        "--out",
        "checks",
        "--processor-type",
        "gpu",
        "--gpu-id",
        "1",
        "--batch-size",
        "2",
        "--precision",
        "Float32",
        "--workers",
        "0",
    ]
    assert run("evaluate", "m.dlpk", "a", *words).status == 0
    assert evaluator.args[2] == Path("checks")
    assert evaluator.kwargs == {"processor_type": "GPU", "gpu_id": 1, "batch_size": 2, "precision": "float32", "workers": 0}


def test_a_value_out_of_range_is_refused(run: Any, evaluator: FakeApi) -> None:
    found = run("evaluate", "m", "a", "--batch-size", "0")
    assert found.status == 2
    assert found.err == "Error: --batch-size is '0'; expected a whole number of at least 1.\n"


def test_figures_are_shown_by_class(run: Any, evaluator: FakeApi) -> None:
    lines = run("evaluate", "m", "a").out.splitlines()
    assert lines[0] == "trees:"
    assert lines[1].split() == ["Accuracy", "50.0", "%"]
    assert [line.split()[0] for line in lines[4:7]] == ["Class", "Road", "Water"]
    assert lines[-1] == f"Report: {Path('checks/model_metrics.html')}"


def test_a_figure_that_does_not_exist_is_null_in_json(run: Any, evaluator: FakeApi) -> None:
    data = run("evaluate", "m", "a", "--json").data
    assert data["metrics"] == {"accuracy": 0.5, "valid_loss": None}
    assert data["per_class"][0] == {"class": "Road", "recall": 0.25}
