from __future__ import annotations

import pytest

from chipwright.chips.chipset import ClassInfo
from chipwright.chips.writers.names import class_folders, safe


@pytest.mark.parametrize("name", ["Palm", "Forêt claire", "水体", "a.b", "Reed & rush (wet)", "console", "com10", "x" * 100])
def test_names_that_every_system_takes(name: str) -> None:
    assert safe(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b",
        "a\\b",
        "a:b",
        "what?",
        "<b>",
        'a"b',
        "a|b",
        "a*",
        "end.",
        "end ",
        " begin",
        ".hidden",
        "tab\t",
        "CON",
        "nul",
        "Aux.txt",
        "com1",
        "LPT9 ",
        "x" * 101,
    ],
)
def test_names_that_some_system_refuses(name: str) -> None:
    assert not safe(name)


def test_folders_are_told_apart_by_every_system_and_by_readers() -> None:
    names = {1: "Palm", 2: "palm", 3: "1", 4: "CON", 5: "99", 6: "Reed"}
    folders = class_folders([ClassInfo(value=value, name=name, color=(0, 0, 0)) for value, name in names.items()])
    assert folders == {1: "Palm", 2: "2", 3: "3", 4: "4", 5: "99", 6: "Reed"}
