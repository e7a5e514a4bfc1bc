"""What every figure is called, what it means and how it is written, in words for readers who do not program.

One table of metrics serves the page, the pictures and the verdict, so that a figure has one name and one explanation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["share", "score", "loss", "decibel", "number", "rate", "seconds", "count"]

MISSING = "–"
"""Shown where a figure does not exist (NaN, None)."""

_NO_BREAK = "\u00a0"


@dataclass(frozen=True)
class Metric:
    """How one figure is shown.

    Attributes:
        label: its name in words, as it stands within a sentence.
        explanation: one sentence for a reader who never met it; empty where nothing is known.
        kind: "share" (0 to 1, shown in per cent), "score" (0 to 1, shown as it is), "loss", "decibel", "number", "rate",
            "seconds" or "count" (a whole number).
        higher_is_better: None where neither is better.
    """

    label: str
    explanation: str = ""
    kind: Kind = "number"
    higher_is_better: bool | None = None


_TRUTH = "the truth drawn in the training data"

METRICS: dict[str, Metric] = {
    "train_loss": Metric(
        "training loss", "How wrong the model still is on the samples it learns from; falls while it learns.", "loss", False
    ),
    "valid_loss": Metric(
        "validation loss",
        "How wrong the model is on samples held back from training; it should fall too. Rising while the training loss falls "
        "means the model learns its samples by heart.",
        "loss",
        False,
    ),
    "accuracy": Metric(
        "accuracy",
        "How much of all that was classified got the right class; of captions, how many of the next words were right.",
        "share",
        True,
    ),
    "balanced_accuracy": Metric(
        "balanced accuracy", "Accuracy of each class on its own, averaged, so that rare classes count as much.", "share", True
    ),
    "precision": Metric("precision", "Of what the model marked as a class, how much is that class.", "share", True),
    "recall": Metric("recall", "Of what truly is a class, how much the model marked as that class.", "share", True),
    "f1": Metric("F1 score", "Precision and recall in one figure (their harmonic mean): high only if both are.", "share", True),
    "dice": Metric(
        "Dice score", f"Overlap of what the model marked with {_TRUTH}: twice the shared area over both areas.", "share", True
    ),
    "iou": Metric(
        "IoU", f"Intersection over union: the area that prediction and {_TRUTH} share, over the area of both.", "share", True
    ),
    "miou": Metric(
        "mean IoU", "Overlap of prediction and truth (shared area over the area of both), averaged over classes.", "share", True
    ),
    "average_precision": Metric(
        "AP50",
        "Average precision: how well objects are found over all score thresholds; one is right if its box (its outline, where "
        "the model draws outlines) overlaps a true one of its class by half (IoU 0.5).",
        "share",
        True,
    ),
    "edge_average_precision": Metric(
        "edge AP", "Average precision of edge pixels over all score thresholds, a small distance allowed.", "share", True
    ),
    "average_precision_75": Metric(
        "AP75", "Average precision where an object must overlap a true one by three quarters (IoU 0.75).", "share", True
    ),
    "average_precision_coco": Metric(
        "COCO AP",
        "Average precision, averaged over required overlaps from 0.5 to 0.95: asks for a close fit.",
        "share",
        True,
    ),
    "box_average_precision": Metric(
        "AP50 of boxes", "Average precision at IoU 0.5 where boxes must overlap, whatever the outlines.", "share", True
    ),
    "box_coco_ap": Metric("COCO AP of boxes", "COCO AP where boxes must overlap, whatever the outlines.", "share", True),
    "best_threshold": Metric(
        "best score threshold",
        "The score to ask of what the model finds for the best balance of precision and recall (the highest F1).",
        "score",
    ),
    "average_recall": Metric(
        "average recall", "How much of the true objects is found at best, averaged over required overlaps.", "share", True
    ),
    "multi_label_fbeta": Metric(
        "F-beta score", "Precision and recall of a chip's labels, or of a caption's words, in one figure.", "share", True
    ),
    "multi_label_average_precision": Metric(
        "mean average precision",
        "How well each class's chips are ranked before all others, averaged over classes.",
        "share",
        True,
    ),
    "panoptic_quality": Metric("panoptic quality", "How well objects are found and outlined, in one figure.", "share", True),
    "segmentation_quality": Metric(
        "segmentation quality", "How well the objects that were found are outlined (mean IoU).", "share", True
    ),
    "recognition_quality": Metric(
        "recognition quality", "How well objects are found, whatever their outline (F1).", "share", True
    ),
    "ods": Metric("ODS F1", "F1 score of the edges at the one threshold that suits all chips best.", "share", True),
    "ois": Metric("OIS F1", "F1 score of the edges at the threshold that suits each chip best.", "share", True),
    "relaxed_iou": Metric(
        "relaxed IoU", "IoU where a road pixel is right within 4 pixels of the other side's roads.", "share", True
    ),
    "apls": Metric(
        "APLS", "How well path lengths along the predicted roads agree with those along the true ones.", "share", True
    ),
    "cmc_1": Metric("rank-1 accuracy", "How often the nearest look-alike is the same object.", "share", True),
    "mota": Metric(
        "MOTA", "Tracking accuracy: 1 less the misses, false alarms and mix-ups of objects per true object.", "score", True
    ),
    "f_measure": Metric("F-measure", "How well outlines agree with the true outlines.", "share", True),
    "kappa": Metric("Cohen's kappa", "Accuracy beyond what chance alone would give; 1 is perfect, 0 is chance.", "score", True),
    "ssim": Metric("SSIM", "Structural similarity to the true image; 1 is the same image.", "score", True),
    "psnr": Metric("PSNR", "Peak signal-to-noise ratio to the true image, in decibels.", "decibel", True),
    "lpips": Metric(
        "LPIPS", "How unlike the true image a trained network finds it, weighted as people judge; 0 is alike.", "number", False
    ),
    "fid": Metric("FID", "Fréchet distance between made and true images as a network sees them; 0 is alike.", "number", False),
    "fid_a": Metric("FID A", "Fréchet distance of the images turned into kind A from true ones; 0 is alike.", "number", False),
    "fid_b": Metric("FID B", "Fréchet distance of the images turned into kind B from true ones; 0 is alike.", "number", False),
    "translation_error": Metric(
        "translation error",
        "Cycle error and histogram distance together, as shares of the range from black to white.",
        "share",
        False,
    ),
    **{
        f"cycle_error{suffix}": Metric(
            f"cycle error{of}",
            "How far images are from what they were, once translated and brought back; 0 is the same.",
            "share",
            False,
        )
        for suffix, of in (("", ""), ("_a", ", A"), ("_b", ", B"))
    },
    **{
        f"histogram_distance{suffix}": Metric(
            f"histogram distance{of}",
            "How far the values of translated images are from those of true ones; 0 is alike.",
            "share",
            False,
        )
        for suffix, of in (("", ""), ("_a", ", A"), ("_b", ", B"))
    },
    "corpus_bleu": Metric(
        "BLEU", "How many word sequences of the captions occur in the true ones; 1 is the most.", "score", True
    ),
    **{
        f"bleu_{order}": Metric(f"BLEU-{order}", f"BLEU over sequences of up to {words}; 1 is the most.", "score", True)
        for order, words in ((1, "one word"), (2, "two words"), (3, "three words"))
    },
    "cider": Metric("CIDEr", "Agreement of the captions with the true ones, rare words counting more.", "number", True),
    "mae": Metric("mean absolute error", "How far values are off on average.", "number", False),
    "rmse": Metric("root mean square error", "How far values are off, large errors counting more.", "number", False),
    "learning_rate": Metric("learning rate", "How far the network's weights move in one step.", "rate"),
    "seconds": Metric("seconds", "Time of the epoch.", "seconds"),
    "samples_per_second": Metric("samples per second", "Training samples worked through in a second.", "number"),
    "epoch": Metric("epoch", "One epoch shows every training sample once.", "count"),
    "support": Metric("true count", "How much of the class there is in the truth.", "count"),
    "pixels": Metric("true pixels", "Pixels of the class in the truth.", "count"),
    "boxes": Metric("true objects", "Objects of the class in the truth.", "count"),
    "objects": Metric("true objects", "Objects of the class in the truth.", "count"),
    "chips": Metric("true chips", "Chips of the class in the truth.", "count"),
    "predicted": Metric("marked", "How much the model marked as the class.", "count"),
    "true_positives": Metric("right", "Marked as the class, and it is.", "count"),
    "false_positives": Metric("false alarms", "Marked as the class, but it is not.", "count"),
    "false_negatives": Metric("missed", "Of the class, but not marked as it.", "count"),
    "value": Metric("value", "The class's number in the training data.", "count"),
}

_ALIASES = {
    "f1_score": "f1",
    "mean_iou": "miou",
    "ap": "average_precision",
    "ap50": "average_precision",
    "ap_50": "average_precision",
    "map_50": "average_precision",
    "average_precision_50": "average_precision",
    "average_precision_score": "average_precision",
    "ap75": "average_precision_75",
    "ap_75": "average_precision_75",
    "map_75": "average_precision_75",
    "map": "average_precision_coco",
    "coco_ap": "average_precision_coco",
    "average_precision_50_95": "average_precision_coco",
    "box_ap50": "box_average_precision",
    "pq": "panoptic_quality",
    "sq": "segmentation_quality",
    "rq": "recognition_quality",
    "fbeta": "multi_label_fbeta",
    "bleu": "corpus_bleu",
    "count": "support",
    "truth": "support",
    "true": "support",
    "instances": "objects",
    "predictions": "predicted",
    "tp": "true_positives",
    "fp": "false_positives",
    "fn": "false_negatives",
}


def canonical(name: str) -> str:
    """Return the name under which `METRICS` holds a metric, or `name` itself where it does not."""
    lower = name.strip().lower()
    for candidate in (lower, lower.removeprefix("valid_")):
        if candidate in METRICS:
            return candidate
        if candidate in _ALIASES:
            return _ALIASES[candidate]
    return name


_SIDES = {"train": "training", "valid": "validation"}


def metric(name: str) -> Metric:
    """Return how the metric `name` is shown; one that is not known is shown by its name.

    Parts of the training or validation loss are told apart in words: "valid_loss_cls" is "loss cls (validation)".
    """
    known = METRICS.get(canonical(name))
    if known is not None:
        return known
    side, _, part = name.partition("_")
    if part and side in _SIDES:
        return Metric(f"{part.replace('_', ' ')} ({_SIDES[side]})", kind="loss", higher_is_better=False)
    return Metric(name, kind="loss" if name.lower().endswith("loss") else "number")


def capital(text: str) -> str:
    """Return `text` with its first letter a capital, the rest as it is (unlike `str.capitalize`)."""
    return text[:1].upper() + text[1:]


def missing(value: Any) -> bool:
    """Return whether `value` is None, NaN or infinite: no figure to be shown."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def number(value: float | None, trim: bool = False) -> str:
    """Return a number to 3 significant digits, without exponents where they can be helped ("0.0123", "1,230", "0.00001").

    `trim` leaves out zeros at the end, as befits a chosen number (0.001) rather than a measured one (0.00100).
    """
    if value is None or missing(float(value)):
        return MISSING
    if float(value).is_integer():
        return f"{int(value):,}"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 1:
        return f"{value:.3g}" if trim else f"{value:#.3g}".rstrip(".")
    if size < 1e-7:
        return f"{value:.2e}"
    decimals = 2 - math.floor(math.log10(size))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0") if trim else text


def share(value: float | None) -> str:
    """Return a share of 1 in per cent to 3 significant digits. What is not quite all is never shown as 100 %."""
    if value is None or missing(float(value)):
        return MISSING
    percent = 100 * float(value)
    if percent in (0.0, 100.0):
        text = f"{percent:.0f}"
    elif 99.95 <= percent < 100:
        text = "> 99.9"
    elif 0 < percent < 0.01:
        text = "< 0.01"
    else:
        text = f"{percent:#.3g}".rstrip(".") if percent >= 0.1 else f"{percent:.2f}"
    return text + _NO_BREAK + "%"


def count(value: float | None) -> str:
    """Return a whole number with thousands set apart ("1,204,551")."""
    return MISSING if value is None or missing(float(value)) else f"{round(value):,}"


def short_count(value: float) -> str:
    """Return a count in at most five characters: k for thousands, M for millions, G for thousands of millions."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        # 999,950 rounds to 1000 of the smaller unit, so the next one begins a little below its size
        if value >= size * 0.9995 and value >= 1000:
            scaled = value / size
            return f"{scaled:.0f}{suffix}" if scaled >= 99.95 else f"{scaled:.1f}{suffix}"
    return f"{value:.0f}"


def duration(seconds: float | None) -> str:
    """Return a time as "45 s", "12 min" or "3 h 5 min"."""
    if seconds is None or missing(float(seconds)):
        return MISSING
    if seconds < 1:
        return "under 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def figure(name: str, value: Any) -> str:
    """Return the value of metric or column `name` as it is shown: in per cent, in decibels, as a count, or as it is.

    Shares outside 0 to 1 (some packages count them to 100) are shown as plain numbers rather than wrongly scaled.
    """
    if missing(value):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, (int, float)):
        return str(value)
    kind = metric(name).kind
    if kind == "share" and 0 <= value <= 1:
        return share(value)
    if kind == "decibel":
        return number(value) + _NO_BREAK + "dB"
    if kind == "seconds":
        return f"{value:,.1f}" if value < 100 else count(value)
    if kind == "count" and float(value).is_integer():
        return count(value)
    if kind in ("loss", "score") and float(value).is_integer() and abs(value) < 1000:
        return f"{value:.2f}" if value else "0"
    return number(value, trim=kind == "rate")


def plain(value: Any) -> str:
    """Return a setting's value in words: yes and no for truths, a dash for nothing, lists with commas."""
    if value is None or value == "" or value == [] or value == {}:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10f}".rstrip("0").rstrip(".") if 1e-7 <= abs(value) < 1e9 else f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} = {plain(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        if any(isinstance(item, (list, tuple)) for item in value):
            return ", ".join(f"[{plain(item)}]" if isinstance(item, (list, tuple)) else plain(item) for item in value)
        return ", ".join(plain(item) for item in value)
    return str(value)
