from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chipwright import doctor
from chipwright.doctor import examine, requirements

DEVICES: dict[str, Any] = {
    "build": "2.15.0+cpu", "cuda_build": None, "threads": 2, "precision_units": ["AMX"], "gpus": [], "gpu_problem": None,
}  # fmt: skip


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A machine on which everything works; tests break parts of it."""
    core, extras = requirements()
    loads: dict[str, Any] = dict.fromkeys([*core, *(name for names in extras.values() for name in names)])
    versions = dict.fromkeys(loads, "99.0") | {"chipwright": "0.1.0", "torch": "2.15.0+cpu"}
    state = {"loads": loads | {"devices": dict(DEVICES)}, "versions": versions, "card": None}
    monkeypatch.setattr(doctor, "_load", lambda names: {name: state["loads"].get(name) for name in [*names, "devices"]})
    monkeypatch.setattr(doctor, "_installed", lambda name: state["versions"].get(name))
    monkeypatch.setattr(doctor, "_nvidia_card", lambda: state["card"])
    for variable in ("HF_HUB_CACHE", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.delenv("CHIPWRIGHT_WEIGHTS", raising=False)
    return state


def test_a_sound_machine_is_usable_and_the_findings_are_json(machine: dict[str, Any]) -> None:
    found = examine()
    assert found["usable"]
    assert found["problems"] == []
    assert all(extra["ready"] for extra in found["extras"].values())
    assert found["torch"]["build"] == "2.15.0+cpu"
    json.dumps(found, allow_nan=False)


def test_the_needs_are_read_off_our_own_metadata() -> None:
    core, extras = requirements()
    assert core["pydantic"] == "2.9"
    assert "onnxruntime" in extras["onnx"]
    assert "dev" not in extras
    assert "transformers" not in core


@pytest.mark.parametrize(
    ("name", "version", "loads", "sentence"),
    [
        ("timm", None, None, 'timm is not installed. Mend it with: pip install "timm>='),
        ("timm", "0.9.2", None, "timm is 0.9.2, but at least "),
        (
            "pyogrio",
            "99.0",
            "ImportError: DLL load failed",
            'pyogrio cannot be loaded (ImportError: DLL load failed). Mend it with: pip install --force-reinstall "pyogrio>=',
        ),
        (
            "torch",
            "2.15.0",
            "OSError: [WinError 126]",
            'torch cannot be loaded (OSError: [WinError 126]). Install PyTorch again: PyTorch\'s "Get Started" page',
        ),
        (
            "torchvision",
            "0.29.0",
            "RuntimeError: operator torchvision::nms does not exist",
            "torchvision cannot be loaded (RuntimeError: operator torchvision::nms does not exist). "
            "It must come from the same build as torch 2.15.0+cpu: ",
        ),
    ],
)
def test_a_core_library_that_does_not_work_is_told_with_its_remedy(
    name: str, version: str | None, loads: str | None, sentence: str, machine: dict[str, Any]
) -> None:
    machine["versions"][name] = version
    machine["loads"][name] = loads
    found = examine()
    assert not found["usable"]
    assert len(found["problems"]) == 1
    assert found["problems"][0].startswith(sentence)


def test_no_sentence_names_an_index_of_packages(machine: dict[str, Any]) -> None:
    machine["loads"] = dict.fromkeys(machine["loads"], "ImportError: x") | {"devices": dict(DEVICES)}
    machine["card"] = "A card"
    text = json.dumps(examine())
    assert "http" not in text
    assert "index-url" not in text


def test_a_missing_extra_does_not_make_it_unusable(machine: dict[str, Any]) -> None:
    machine["versions"]["onnxruntime"] = None
    found = examine()
    assert found["usable"]
    assert found["extras"]["onnx"]["mend"] == 'pip install "chipwright[onnx]"'
    assert found["extras"]["onnx"]["problems"] == {"onnxruntime": "is not installed"}


def test_a_card_that_a_cpu_build_cannot_use_is_hinted_at(machine: dict[str, Any]) -> None:
    machine["card"] = "A card"
    hints = " ".join(examine()["hints"])
    assert "There is a GPU (A card), but this PyTorch, 2.15.0+cpu, was built for CPUs only" in hints
    assert '"Get Started"' in hints


def test_a_driver_that_ends_the_process_is_told(machine: dict[str, Any]) -> None:
    machine["loads"]["devices"] = "it ends the program, status -11"
    found = examine()
    assert found["hints"][0] == "PyTorch cannot use the GPU: it ends the program, status -11"
    assert found["devices"]["gpus"] == []


def test_a_weights_folder_that_is_not_there_is_told(
    machine: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CHIPWRIGHT_WEIGHTS", str(tmp_path / "nowhere"))
    found = examine()
    assert found["folders"][0] == {
        "use": "backbone weights (CHIPWRIGHT_WEIGHTS)", "path": str(tmp_path / "nowhere"), "ready": False,
    }  # fmt: skip
    assert "does not exist. Make it, or unset the variable." in found["hints"][0]


def test_libraries_that_fail_or_crash_are_named_and_the_rest_is_still_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy_raises.py").write_text("raise RuntimeError('operator x::y does not exist')", encoding="utf-8")
    (tmp_path / "toy_crashes.py").write_text("import os; os._exit(7)", encoding="utf-8")
    (tmp_path / "toy_prints.py").write_text("print('{oops')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert doctor._load(["toy-raises", "toy-crashes", "toy-prints", "toy-missing"]) == {
        "toy-raises": "RuntimeError: operator x::y does not exist",
        "toy-crashes": "it ends the program, status 7",
        "toy-prints": None,
        "toy-missing": "ModuleNotFoundError: No module named 'toy_missing'",
    }
