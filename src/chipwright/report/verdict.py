"""The run in a few plain sentences: how good the model is, which class is weakest, which epoch was kept."""

from __future__ import annotations

import re
from typing import Any

from chipwright.errors import listed
from chipwright.report.wording import canonical, count, duration, figure, metric, missing

_THINGS = {"boxes": "objects", "pixels": "pixels", "chips": "chips"}

_PHRASES = {
    "corpus_bleu": "its captions scored {value} where 1 is word for word (BLEU)",
    "apls": "the lengths of ways along its roads agree with the true ones by {value} (APLS)",
    "accuracy": "it gave {value} of the {things} the right class",
    "recall": "it found {value} of what was there (recall)",
    "precision": "{value} of what it marked was right (precision)",
    "miou": "its areas overlap the true ones by {value} on average (mean IoU)",
    "average_precision": "it reached an average precision of {value} (AP50, where 100 % is perfect)",
    "dice": "its areas agree with the true ones by {value} (Dice score)",
    "f1": "its F1 score, which weighs finding all against marking only what is right, was {value}",
    "panoptic_quality": "its panoptic quality was {value} (100 % is perfect)",
    "multi_label_fbeta": "its labels agreed with the true ones by {value} (F-beta score)",
    "psnr": "its images came within {value} of the true ones (PSNR; above 30 dB differences are hard to see)",
    "ssim": "its images resemble the true ones by {value}, where 1 is the same (SSIM)",
}

_OF_CAPTIONS = {
    "accuracy": "{value} of the words that come next were right (accuracy)",
    "multi_label_fbeta": "its words agreed with the true ones by {value} (F-beta score)",
}
"""What is said of these where captions are measured."""

_WITHOUT_CLASSES = {"accuracy": "its accuracy was {value}"}

_SAME = {"dice": "miou", "f1": "recall", "ssim": "psnr"}
"""Metrics left out of the sentence where the one they resemble is in it."""

_MOST_PHRASES = 3
_RANKING = ("iou", "average_precision", "f1", "recall", "accuracy")
"""Columns by which the weakest class is told, the most telling first."""


def by_importance(scalars: dict[str, float | None]) -> list[str]:
    """Return the names of all metrics, the most telling first: those with a phrase in that order, losses last.

    Of several names for one metric (average_precision, ap50 in older packages) only the first is returned.
    """
    known = list(_PHRASES)

    def rank(name: str) -> int:
        if metric(name).kind == "loss":
            return len(known) + (1 if metric(name).explanation else 2)
        return known.index(canonical(name)) if canonical(name) in known else len(known)

    first_names = {canonical(name): name for name in reversed(scalars)}
    return sorted((name for name in scalars if first_names[canonical(name)] == name), key=rank)


def key_metrics(scalars: dict[str, float | None]) -> list[str]:
    """Return the names of the metrics that have a value, the most telling first."""
    return [name for name in by_importance(scalars) if not missing(scalars[name])]


def verdict(numbers: dict[str, Any]) -> str:
    """Return one sentence with the key figures, from the content of `model_metrics.json`."""
    data, scalars = numbers["data"], numbers["metrics"]
    things = _THINGS.get(data["unit"], data["unit"])
    keys = key_metrics(scalars)
    there = {canonical(name) for name in keys}
    said = [name for name in keys if canonical(name) in _PHRASES and _SAME.get(canonical(name)) not in there]
    said = said[:_MOST_PHRASES]
    special = _OF_CAPTIONS if "corpus_bleu" in there else {} if data["balance"] else _WITHOUT_CLASSES
    phrases = [_phrase(name, scalars[name], things, _PHRASES | special) for name in said]
    if not phrases:
        phrases = [f"its {metric(name).label} was {figure(name, scalars[name])}" for name in keys[:2]]
    if not phrases:
        return "No figures were measured."
    phrases[0] = re.sub(r"\bit(s?)\b", lambda found: "the model's" if found[1] else "the model", phrases[0], count=1)
    return f"{_measured_on(data, trained=bool(numbers['history']))}, {listed(phrases)}."


def _phrase(name: str, value: Any, things: str, phrases: dict[str, str]) -> str:
    spoken = figure(name, value).replace("> ", "more than ").replace("< ", "less than ")
    return phrases[canonical(name)].format(value=spoken, things=things)


def _measured_on(data: dict[str, Any], trained: bool) -> str:
    if trained:
        return f"On {_chips(data['validation'])} held back from training"
    return f"On the {_chips(data['chips'])} of the labelled data"


def _chips(number: int) -> str:
    return f"{count(number)} {'chip' if number == 1 else 'chips'}"


def weakest_class(numbers: dict[str, Any]) -> str:
    """Return a sentence that names the best and the weakest class, or an empty text where there is nothing to compare."""
    rows = numbers["per_class"]
    for wanted in _RANKING:
        column = next((name for row in rows for name in row if canonical(name) == wanted), None)
        if column is None:
            continue
        ranked = sorted((row for row in rows if not missing(row.get(column))), key=lambda row: row[column])
        if len(ranked) > 1 and ranked[0][column] < ranked[-1][column]:
            label = metric(column).label
            worst, best = ranked[0], ranked[-1]
            return (
                f"Best class: {class_name(best)} ({label} {figure(column, best[column])}); "
                f"weakest: {class_name(worst)} ({label} {figure(column, worst[column])})."
            )
    return ""


def advised_threshold(numbers: dict[str, Any]) -> str:
    """Return a sentence on the score threshold that precision and recall hold for, where there is one."""
    name = next((name for name in numbers["metrics"] if canonical(name) == "best_threshold"), None)
    if name is None or missing(numbers["metrics"][name]):
        return ""
    return (
        f"Precision and recall hold for a score threshold of {figure(name, numbers['metrics'][name])}, where their balance is "
        "best: a good one to begin with when the model is applied."
    )


def class_name(row: dict[str, Any]) -> str:
    """Return the name of the class that a row of a table is about."""
    return str(row.get("class", row.get("name", "")))


def kept_epoch(numbers: dict[str, Any]) -> str:
    """Return a sentence on the epoch that was kept and the time training took; empty for an evaluation."""
    history, best, monitor = numbers["history"], numbers["best_epoch"], numbers["monitor"]
    if not history:
        return ""
    seconds = [row["seconds"] for row in history if not missing(row.get("seconds"))]
    took = f" Training took {duration(sum(seconds))}, validation not counted." if seconds else ""
    if best is None:
        return took.strip()
    chosen: dict[str, Any] = next((row for row in history if row.get("epoch") == best), {})
    value = chosen.get(monitor)
    reason = "" if missing(value) else f", which had the best {metric(monitor).label} ({figure(monitor, value)})"
    if len(history) == 1:
        return f"Training ran for one epoch.{took}"
    return f"Of {len(history)} epochs the model keeps epoch {best}{reason}.{took}"
