from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy_types import FakeApi


@pytest.mark.parametrize(("words", "format"), [([], "dlpk"), (["--format", "ONNX"], "onnx"), (["--format", ".dlpk"], "dlpk")])
def test_a_model_is_repacked(words: list[str], format: str, run: Any, api: FakeApi) -> None:
    api.answer = Path("out.file")
    found = run("package", "models/trees", *words)
    assert (found.status, found.out) == (0, "Written: out.file\n")
    assert (api.called, api.args) == ("repackage", (Path("models/trees"), format, None))


def test_the_place_is_given_and_told(run: Any, api: FakeApi) -> None:
    api.answer = Path("a.onnx")
    assert run("package", "m", "--format", "onnx", "--out", "a.onnx", "--json").data == {"out_file": "a.onnx", "format": "onnx"}
    assert api.args[2] == Path("a.onnx")


def test_an_unknown_format_is_refused(run: Any, api: FakeApi) -> None:
    found = run("package", "m", "--format", "onx")
    assert found.status == 2
    assert found.err == "Error: --format is 'onx'; expected dlpk, onnx or qgis. Did you mean onnx?\n"
    assert api.called == ""
