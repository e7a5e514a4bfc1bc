"""Skipping where an optional part is not installed."""

from __future__ import annotations

import pytest

from chipwright.errors import MissingExtra
from chipwright.openmmlab.configs import require_packages


def require_openmmlab() -> None:
    """Skip the test, or the module that calls this while it is imported, where the extra is not installed."""
    try:
        require_packages("The test")
    except MissingExtra as missing:
        pytest.skip(str(missing), allow_module_level=True)
