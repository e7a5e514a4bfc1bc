"""docs/faults.md, row by row."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"


def rows() -> list[tuple[str, str, int, str]]:
    """Return (folder, command, exit status, sentence) of the page's table."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [(row[0].strip("`"), row[1], int(row[2]), row[3]) for row in cells if len(row) == 4]


@pytest.mark.parametrize(("folder", "command", "status", "sentence"), rows(), ids=[row[0] for row in rows()])
def test_a_faulty_folder_gets_its_sentence(
    folder: str, command: str, status: int, sentence: str, data: Path, tmp_path: Path, run: Any
) -> None:
    path = data / "broken" / folder
    expected = sentence.replace("FOLDER", str(path)).replace("/labels/", f"{os.sep}labels{os.sep}")
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    if command == "inspect":
        outcome = run("inspect", path, "--json")
        assert expected in outcome.data["warnings"]
    else:
        outcome = run("train", path, "--out", tmp_path / "out", "--backbone-weights", "none")
        assert expected in outcome.err.splitlines()[-1]
        assert not (tmp_path / "out").exists()
    assert outcome.status == status
    assert before == {file: file.stat().st_mtime_ns for file in path.rglob("*")}


def test_every_faulty_folder_is_in_the_table(data: Path) -> None:
    assert {row[0] for row in rows()} == {path.name for path in (data / "broken").iterdir()}
