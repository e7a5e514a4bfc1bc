"""`model_metrics.json`: every number of the report as plain JSON, for scripts. Its keys are described in docs/report.md."""

from __future__ import annotations

import math
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chipwright.report.record import RunRecord


def package_version(name: str) -> str:
    """Return the installed version of a package, or "not installed"."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def software() -> dict[str, str]:
    """Return the versions that a run depends on, label -> version. Imports nothing heavy."""
    versions = {
        "chipwright": package_version("chipwright"),
        "PyTorch": package_version("torch"),
        "torchvision": package_version("torchvision"),
        "timm": package_version("timm"),
        "NumPy": package_version("numpy"),
        "Python": platform.python_version(),
        "operating system": platform.platform(aliased=True),
    }
    # Only where the run has used a GPU already: asking would start the driver.
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        versions["GPU"] = torch.cuda.get_device_name()
        versions["CUDA"] = str(torch.version.cuda)
    return versions


def as_json(value: Any) -> Any:
    """Return `value` as JSON data: NaN and infinities as None, arrays and tensors as lists, paths and all else as text."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((as_json(item) for item in value), key=str)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if hasattr(value, "tolist"):  # numpy arrays and scalars, tensors
        return as_json(value.tolist())
    return str(value)


def report_numbers(record: RunRecord, created: datetime) -> dict[str, Any]:
    """Return the content of `model_metrics.json`: JSON data without NaN.

    The page is made from these numbers, so that both say the same.
    """
    evaluation = record.evaluation
    confusion = evaluation.confusion
    numbers = {
        "name": record.name,
        "model_type": record.spec.model_type,
        "title": record.title,
        "backbone": record.spec.backbone,
        "created": created,
        "chipwright_version": package_version("chipwright"),
        "metrics": evaluation.scalars,
        "per_class": evaluation.per_class,
        "confusion_matrix": None if confusion is None else {"classes": confusion[0], "counts": confusion[1]},
        "history": record.history,
        "best_epoch": record.best_epoch,
        "monitor": record.monitor if record.history else None,
        "range_test": record.range_test,
        "schedule": record.schedule,
        "data": asdict(record.data),
        "settings": record.settings,
        "curves": evaluation.curves,
        "notes": evaluation.notes,
        "log": record.log,
        "software": software(),
    }
    return as_json(numbers)
