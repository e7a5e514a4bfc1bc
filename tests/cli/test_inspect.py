from __future__ import annotations

from pathlib import Path
from typing import Any

from toy_types import FakeApi

FACTS = {
    "kind": "training data",
    "folders": ["chips"],
    "format": "Classified_Tiles",
    "chips": 12,
    "bands": ["Red", "Green"],
    "tile_size": [256, 128],
    "sizes": [[256, 128], [64, 64]],
    "nodata": None,
    "classes": [{"value": 1, "name": "Road", "color": [255, 0, 0]}],
    "statistics": {"minimum": [0.0, 1.0], "mean": [10.5, 20.0], "source": "export"},
    "dropped": {"no label": [f"chip{number}" for number in range(8)]},
    "warnings": ["Chips overlap."],
}


def test_folders_reach_the_api(run: Any, api: FakeApi) -> None:
    api.answer = FACTS
    assert run("inspect", "a", "b").status == 0
    assert api.args == ([Path("a"), Path("b")],)


def test_the_facts_come_as_json(run: Any, api: FakeApi) -> None:
    api.answer = FACTS
    assert run("inspect", "chips", "--json").data == FACTS


def test_the_facts_are_readable(run: Any, api: FakeApi) -> None:
    api.answer = FACTS
    lines = [" ".join(line.split()) for line in run("inspect", "chips").out.splitlines()]
    assert "Tile size: 256 x 128" in lines
    assert "Sizes: 256 x 128 and 64 x 64" in lines
    assert "1 Road 255, 0, 0" in lines
    assert "Band Minimum Mean" in lines
    assert "Green 1 20" in lines
    assert "8 no label: chip0, chip1, chip2, chip3, chip4 and 3 more" in lines
    assert "- Chips overlap." in lines
    assert not any(line.startswith("Nodata") for line in lines)
