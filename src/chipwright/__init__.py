"""chipwright: image chips in, model package out, package onto maps.

    import chipwright

    run = chipwright.train("chips", "models/trees", model_type="FASTERRCNN", max_epochs=20)
    model = chipwright.load("models/trees")
    chipwright.predict(model, "ortho.tif", "trees.gpkg")

Importing it costs no torch; the calls import what they need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from chipwright.errors import (
    ChipwrightError,
    DataError,
    Interrupted,
    MissingExtra,
    OptionError,
    PackageError,
    UsageError,
)

if TYPE_CHECKING:
    from chipwright.api import evaluate, evaluate_map, export, inspect, load, predict, repackage, train

    __version__: str

_CALLS = ("evaluate", "evaluate_map", "export", "inspect", "load", "predict", "repackage", "train")

__all__ = [
    "ChipwrightError",
    "DataError",
    "Interrupted",
    "MissingExtra",
    "OptionError",
    "PackageError",
    "UsageError",
    "__version__",
    "evaluate",
    "evaluate_map",
    "export",
    "inspect",
    "load",
    "predict",
    "repackage",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version  # slow to import; `--help` does without

        try:
            return version("chipwright")
        except PackageNotFoundError:  # run from a source tree that is not installed
            return "0.0.0"
    if name in _CALLS:
        return getattr(import_module("chipwright.api"), name)
    raise AttributeError(f"module 'chipwright' has no attribute {name!r}")
