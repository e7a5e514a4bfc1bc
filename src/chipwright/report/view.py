"""What the page shows, as texts and tables ready for the template. All of it comes from the content of `model_metrics.json`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from chipwright.chips.chipset import ClassInfo
from chipwright.report.pictures import columns
from chipwright.report.verdict import (
    advised_threshold,
    by_importance,
    class_name,
    kept_epoch,
    key_metrics,
    verdict,
    weakest_class,
)
from chipwright.report.wording import MISSING, capital, count, figure, metric, missing, number, plain, share

_MOST_TABLE_CLASSES = 40
"""Classes up to which the page holds the confusion matrix as a table; the JSON always does."""
_MOST_TILES = 4

_SCHEDULES = {
    "one_cycle": "The rate rises to the chosen one over the first third of training and then falls to almost nothing, which "
    "lets the model learn fast and settle at the end (one-cycle schedule).",
    "constant": "The rate stays the same throughout training.",
    "constant_then_linear": "The rate stays the same for the first half of training and then falls steadily to nothing.",
}


def page_view(numbers: dict[str, Any], classes: Sequence[ClassInfo]) -> dict[str, Any]:
    """Return the template's variables, pictures left out."""
    colors = {info.name: "#{:02x}{:02x}{:02x}".format(*info.color) for info in classes}
    return {
        "name": numbers["name"],
        "kind": "Training report" if numbers["history"] else "Evaluation report",
        "title": numbers["title"],
        "model_type": numbers["model_type"],
        "backbone": numbers["backbone"],
        "date": _date(numbers["created"]),
        "verdict": verdict(numbers),
        "asides": [text for text in (weakest_class(numbers), advised_threshold(numbers), kept_epoch(numbers)) if text],
        "tiles": [_metric_row(name, numbers["metrics"][name]) for name in key_metrics(numbers["metrics"])[:_MOST_TILES]],
        "metrics": [_metric_row(name, numbers["metrics"][name]) for name in by_importance(numbers["metrics"])],
        "notes": numbers["notes"],
        "data": _data(numbers["data"], colors),
        "per_class": _per_class(numbers["per_class"], colors),
        "confusion": _confusion(numbers["confusion_matrix"]),
        "scored": any(str(curve.get("x_label")).lower() == "recall" for curve in numbers["curves"].values()),
        "training": _training(numbers),
        "settings": [(label, plain(value)) for label, value in numbers["settings"].items()],
        "log": numbers["log"],
        "software": list(numbers["software"].items()),
        "version": numbers["chipwright_version"],
    }


def _date(created: str) -> str:
    moment = datetime.fromisoformat(created)
    return f"{moment.day} {moment:%B %Y, %H:%M}"


def _metric_row(name: str, value: Any) -> dict[str, Any]:
    known = metric(name)
    better = {True: "higher is better", False: "lower is better", None: ""}[known.higher_is_better]
    return {
        "name": name,
        "label": capital(known.label),
        "value": figure(name, value),
        "exact": _exact(value),
        "explanation": known.explanation,
        "better": better,
    }


def _exact(value: Any) -> str:
    """Return the figure in full, for the tooltip."""
    return "not measured" if missing(value) else str(value)


def _data(data: dict[str, Any], colors: dict[str, str]) -> dict[str, Any]:
    counted = [("usable", count(data["chips"]))]
    split = bool(data["training"])  # of an evaluation every chip is measured on
    if split:
        counted += [("for training", count(data["training"])), ("for validation", count(data["validation"]))]
    return {
        "folders": data["folders"],
        "counted": counted,
        "dropped": [(reason, count(lost)) for reason, lost in data["dropped"].items()],
        "dropped_total": count(sum(data["dropped"].values())),
        "warnings": data["warnings"],
        "split": data["split"],
        "unit": data["unit"],
        "balance": _balance(data["balance"], colors),
        "is_split": split,
    }


def _balance(rows: list[dict[str, Any]], colors: dict[str, str]) -> list[dict[str, Any]]:
    """Return one row a class with its share of all, and bars as long as it is against the most frequent class."""
    counted = [((row.get("training") or 0), (row.get("validation") or 0)) for row in rows]
    total = sum(training + validation for training, validation in counted)
    most = max((training + validation for training, validation in counted), default=0) or 1
    view = []
    for row, (training, validation) in zip(rows, counted, strict=True):
        view.append(
            {
                "class": class_name(row),
                "value": plain(row.get("value")),
                "color": colors.get(class_name(row)),
                "total": count(training + validation),
                "training": count(training),
                "validation": count(validation),
                "share": share((training + validation) / total) if total else MISSING,
                "training_width": round(100 * training / most, 2),
                "validation_width": round(100 * validation / most, 2),
            }
        )
    return view


def _per_class(rows: list[dict[str, Any]], colors: dict[str, str]) -> dict[str, Any] | None:
    """Return the per-class table: header cells with explanations, and rows of cells with bars behind shares."""
    if not rows:
        return None
    names = [name for name in columns(rows) if name not in ("class", "name")]
    header = [{"label": capital(metric(name).label), "explanation": metric(name).explanation} for name in names]
    body = [
        {
            "class": class_name(row),
            "color": colors.get(class_name(row)),
            "cells": [
                {"text": figure(name, row.get(name)), "exact": _exact(row.get(name)), "bar": _bar(name, row.get(name))}
                for name in names
            ],
        }
        for row in rows
    ]
    return {"header": header, "rows": body}


def _bar(name: str, value: Any) -> float | None:
    """Return the length in per cent of the bar behind a share; None for other figures."""
    if metric(name).kind != "share" or missing(value) or not 0 <= value <= 1:
        return None
    return round(100 * float(value), 1)


def _confusion(matrix: dict[str, Any] | None) -> dict[str, Any] | None:
    if matrix is None or not matrix["classes"]:
        return None
    rows = [
        {"class": name, "cells": [count(cell) for cell in cells], "total": count(sum(cells))}
        for name, cells in zip(matrix["classes"], matrix["counts"], strict=True)
    ]
    return {"classes": matrix["classes"], "rows": rows, "table": len(rows) <= _MOST_TABLE_CLASSES}


def _training(numbers: dict[str, Any]) -> dict[str, Any] | None:
    """Return the training section, or None for an evaluation."""
    history = numbers["history"]
    if not history:
        return None
    names = [name for name in columns(history) if name != "epoch"]
    test = numbers["range_test"]
    monitor = metric(numbers["monitor"])
    return {
        "epochs": len(history),
        "best_epoch": numbers["best_epoch"],
        "monitor": monitor.label,
        "header": [metric(name).label for name in names],
        "rows": [
            {
                "epoch": count(row.get("epoch") or index),
                "best": numbers["best_epoch"] is not None and row.get("epoch") == numbers["best_epoch"],
                "cells": [figure(name, row.get(name)) for name in names],
            }
            for index, row in enumerate(history, 1)
        ],
        "chosen_rate": number(test["chosen"], trim=True) if test and not missing(test.get("chosen")) else "",
        "schedule": _SCHEDULES.get(numbers["schedule"], numbers["schedule"]),
    }
