from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from chipwright.report.numbers import as_json, report_numbers
from chipwright.report.record import RunRecord
from chipwright.tasks.base import Evaluation

Maker = Callable[..., RunRecord]

KEYS = {
    "name", "model_type", "title", "backbone", "created", "chipwright_version", "metrics", "per_class", "confusion_matrix",
    "history", "best_epoch", "monitor", "range_test", "schedule", "data", "settings", "curves", "notes", "log", "software",
}  # fmt: skip


def test_numbers_hold_the_record_unchanged(pixels: Maker) -> None:
    record = pixels()
    numbers = report_numbers(record, record.created)
    assert numbers["metrics"] == record.evaluation.scalars
    assert numbers["per_class"] == record.evaluation.per_class
    assert numbers["confusion_matrix"] == {"classes": record.evaluation.confusion[0], "counts": record.evaluation.confusion[1]}
    assert numbers["history"] == record.history
    assert numbers["range_test"] == record.range_test
    assert numbers["data"] == asdict(record.data)


def test_the_keys_are_those_of_the_documentation(pixels: Maker) -> None:
    record = pixels()
    page = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
    assert set(report_numbers(record, record.created)) == KEYS
    assert all(f"`{key}`" in page for key in KEYS)


def test_what_is_no_number_becomes_null() -> None:
    assert as_json({"a": math.nan, "b": [math.inf, 1.5], "c": np.float32("nan")}) == {"a": None, "b": [None, 1.5], "c": None}


def test_arrays_paths_and_tuples_become_plain_json() -> None:
    value = as_json({"a": np.arange(3), "b": Path("x"), "c": (np.int64(3), np.bool_(True)), 4: {2, 1}})
    assert json.loads(json.dumps(value)) == {"a": [0, 1, 2], "b": "x", "c": [3, True], "4": [1, 2]}


def test_an_evaluation_names_no_monitor_and_no_epoch(tiles: Maker) -> None:
    numbers = report_numbers(tiles(), tiles().created)
    assert (numbers["monitor"], numbers["best_epoch"], numbers["history"]) == (None, None, [])


def test_a_task_without_classes_has_no_confusion_matrix(pixels: Maker) -> None:
    record = pixels(evaluation=Evaluation({"psnr": 31.0}))
    assert report_numbers(record, record.created)["confusion_matrix"] is None
