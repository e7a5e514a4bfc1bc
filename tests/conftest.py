"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # toy networks gain nothing from more, and tests run side by side
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test fetches anything

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Keep a warning silent that chipwright silences on import: pytest resets the filters before each test."""
    config.addinivalue_line("filterwarnings", "ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(autouse=True)
def _no_raster_function(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the raster function out of the many models that tests train: exporting them costs more than training them."""
    if "raster_function" not in request.keywords:
        monkeypatch.setattr("chipwright.package.raster_function.write_function", lambda *_: {})


@pytest.fixture(scope="session")
def data() -> Path:
    """Real training-data folders, read-only; tests that need them are skipped where there are none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CHIPWRIGHT_TEST_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real training data at {folder}; set CHIPWRIGHT_TEST_DATA")
    return folder
