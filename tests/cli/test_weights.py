from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chipwright.errors import OptionError
from chipwright.networks import weights
from chipwright.networks.weights import WeightsRow

ROWS = [
    WeightsRow("RESNET34", "resnet34.tv_in1k", "bsd-3-clause", 87, None),
    WeightsRow("MOBILENET_V2", "mobilenetv2_100.ra_in1k", None, None, Path("w/MOBILENET_V2.safetensors")),
]


def test_weights_are_listed_with_where_they_lie(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "list_weights", lambda: ROWS)
    lines = [line.split() for line in run("weights", "list").out.splitlines()]
    assert lines[1] == ["RESNET34", "resnet34.tv_in1k", "87", "MB", "bsd-3-clause", "not", "here"]
    assert lines[2][-1] == str(Path("w/MOBILENET_V2.safetensors"))
    data = run("weights", "list", "--json").data
    assert data["weights"][1] == {
        "keyword": "MOBILENET_V2", "network": "mobilenetv2_100.ra_in1k", "licence": None, "megabytes": None,
        "path": str(Path("w/MOBILENET_V2.safetensors")),
    }  # fmt: skip


def test_weights_are_fetched_into_the_folder_named(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def fetch(names: list[str], to: Path) -> list[Path]:
        asked.append((list(names), to))
        return [to / f"{name}.safetensors" for name in names]

    monkeypatch.setattr(weights, "fetch_weights", fetch)
    found = run("weights", "fetch", "RESNET34", "RESNET50", "--to", "w")
    assert found.status == 0
    assert asked == [(["RESNET34", "RESNET50"], Path("w"))]
    assert f"Written: {Path('w/RESNET50.safetensors')}" in found.out
    assert "CHIPWRIGHT_WEIGHTS" in found.out


def test_weights_that_are_not_to_be_had_are_told(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(names: list[str], to: Path) -> list[Path]:
        raise OptionError("There is no backbone 'X'.")

    monkeypatch.setattr(weights, "fetch_weights", fetch)
    found = run("weights", "fetch", "X", "--to", "w")
    assert (found.status, found.err) == (2, "Error: There is no backbone 'X'.\n")
