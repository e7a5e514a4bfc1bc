"""A small model on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy_package import KEYS, Saver, make_spec, make_state

from chipwright.package import save_package
from chipwright.spec import ModelSpec


@pytest.fixture
def saved(tmp_path: Path) -> Saver:
    """Return a function that saves a model as NAME in a folder of that name and returns the folder."""

    def save(name: str = "trees", spec: ModelSpec | None = None, **facts: Any) -> Path:
        folder = tmp_path / name
        save_package(folder, name, spec or make_spec(), make_state(), KEYS, facts)
        return folder

    return save
