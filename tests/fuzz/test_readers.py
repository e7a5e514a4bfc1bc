"""A short hunt with fixed seeds; the long one is `python tests/fuzz/readers.py --minutes 30`."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz.readers import FOLDERS, attempt


@pytest.mark.parametrize("name", FOLDERS)
def test_a_damaged_folder_loads_or_gets_one_sentence(name: str, tmp_path: Path) -> None:
    whole = FOLDERS[name](tmp_path / "whole")
    outcomes = [attempt(whole, seed) for seed in range(4)]
    assert all(outcomes)
