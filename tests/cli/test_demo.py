from __future__ import annotations

from pathlib import Path
from typing import Any

from toy_types import FakeApi


def test_the_demo_gets_its_folder_and_options(run: Any, api: FakeApi) -> None:
    api.answer = {"out": "demo", "report": "demo/model/model_metrics.html"}
    found = run("demo", "--out", "demo", "--seed", "7")
    assert found.status == 0
    assert (api.called, api.args, api.kwargs) == ("demo", (Path("demo"),), {"seed": 7, "overwrite": False})
    assert "Report:  demo/model/model_metrics.html" in found.out


def test_the_demo_needs_a_folder(run: Any, api: FakeApi) -> None:
    assert run("demo").status == 2
    assert api.called == ""
