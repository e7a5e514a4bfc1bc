from __future__ import annotations

from pathlib import Path
from typing import Any

from toy_types import FakeApi


def test_the_demo_gets_its_folder_and_options(run: Any, api: FakeApi) -> None:
    names = ("folder", "scene", "labels", "chips", "model", "report", "classes", "map")
    api.answer = {name: f"demo/{name}" for name in names} | {"metrics": {"miou": 0.932}, "seconds": 232.4}
    found = run("demo", "--out", "demo", "--seed", "7")
    assert found.status == 0
    assert (api.called, api.args, api.kwargs) == ("demo", (Path("demo"),), {"seed": 7, "overwrite": False})
    assert "Done in 4 min." in found.out
    assert "Mean IoU  93.2\xa0%" in found.out
    assert "Map:      demo/map  " in found.out


def test_the_demo_needs_a_folder(run: Any, api: FakeApi) -> None:
    assert run("demo").status == 2
    assert api.called == ""
