from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from chipwright.cli.output import columns, emit, plain_data, quoted
from chipwright.spec import Normalization


@dataclass
class Thing:
    path: Path
    score: float


def test_results_become_json_data() -> None:
    data = {
        1: Thing(Path("a"), float("nan")),
        "n": (np.int64(3), np.array([1.5])),
        "m": Normalization(mean=(0.5,), std=(1.0,)),
    }
    found = plain_data(data)
    assert found["1"] == {"path": "a", "score": None}
    assert found["n"] == [3, [1.5]]
    assert found["m"]["mean"] == [0.5]
    json.dumps(found, allow_nan=False)


def test_json_is_plain_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"name": "Gebäude"}, "", True)
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert json.loads(printed) == {"name": "Gebäude"}


def test_columns_are_aligned_and_the_last_is_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "34")
    text = columns([["a", "one two three four five six"], ["long", "x"]], ["KEY", "VALUE"], indent=2)
    assert text.splitlines() == ["  KEY   VALUE", "  a     one two three four five", "        six", "  long  x"]


def test_paths_with_spaces_are_quoted() -> None:
    assert quoted(Path("my models")) == '"my models"'
    assert quoted("models") == "models"
