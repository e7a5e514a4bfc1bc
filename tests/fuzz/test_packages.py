"""A short hunt with fixed seeds; the long one is `python tests/fuzz/packages.py --minutes 5`."""

from __future__ import annotations

from pathlib import Path

from fuzz.packages import attempt, whole_package


def test_a_damaged_package_loads_or_gets_one_sentence(tmp_path: Path) -> None:
    whole = whole_package(tmp_path / "whole")
    assert all(attempt(whole, seed) for seed in range(6))
