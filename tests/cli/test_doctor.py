from __future__ import annotations

from typing import Any

import pytest

from chipwright import doctor

FOUND: dict[str, Any] = {
    "usable": True,
    "chipwright": "0.1.0",
    "python": {"version": "3.12.1", "path": "python"},
    "system": {"name": "Windows-11", "machine": "AMD64", "memory_gib": 15.9},
    "torch": {"build": "2.15.0+cpu", "cuda_build": None, "precision_units": []},
    "devices": {
        "cpu": {"model": "A processor", "cores": 8, "bfloat16_units": ["AMX"]},
        "gpus": [{"id": 0, "name": "A card", "memory_gib": 8.0, "free_gib": 7.5, "capability": "8.6", "bfloat16": True}],
    },
    "dependencies": [{"name": "torch", "version": "2.15.0+cpu", "needed": "2.11", "problem": None}],
    "extras": {
        "onnx": {
            "ready": False,
            "versions": {"onnx": None},
            "problems": {"onnx": "is not installed"},
            "mend": 'pip install "chipwright[onnx]"',
        }
    },
    "folders": [{"use": "temporary files", "path": "tmp", "ready": True}],
    "problems": [],
    "hints": ["A hint."],
}


def test_the_findings_are_readable(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: FOUND)
    found = run("doctor")
    assert found.status == 0
    for part in (
        "2.15.0+cpu (CPU only)",
        "A processor, 8 cores, bfloat16 in hardware (AMX)",
        "A card, 8 GiB (7.5 free), bfloat16 in hardware",
        'missing: pip install "chipwright[onnx]"',
        "Hint: A hint.",
        "chipwright can be used here.",
    ):
        assert part in found.out


def test_a_broken_core_leaves_with_1(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {**FOUND, "usable": False, "problems": ["torch is not installed."]}
    monkeypatch.setattr(doctor, "examine", lambda: broken)
    found = run("doctor")
    assert found.status == 1
    assert "Problem: torch is not installed." in found.out
    assert run("doctor", "--json").data["problems"] == ["torch is not installed."]
