from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fuzz.packages import whole_package

import chipwright
from chipwright import catalog
from chipwright.errors import PackageError


def test_a_network_that_cannot_be_built_is_the_packages_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = whole_package(tmp_path / "trees")

    def build(*given: Any) -> Any:
        raise KeyError("anchors")

    monkeypatch.setattr(catalog.find("UNET"), "build", build)
    with pytest.raises(PackageError, match=r"trees\.emd describes a UNET network that cannot be built \(KeyError: 'anchors'\)"):
        chipwright.load(folder, processor_type="CPU")
