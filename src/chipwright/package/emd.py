"""The `.emd`: the JSON file that says what a trained model is.

Its common keys are those that the reference writes and its consumers read, each only where it is true of our model; the model
type adds its family's keys; our own `ModelSpec` travels whole under the key "Chipwright", and it alone is what we load from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from chipwright.chips.chipset import BACKGROUND, ClassInfo
from chipwright.normalization import IMAGENET_MEAN, IMAGENET_STD, is_plain_rgb
from chipwright.package.plain import encode, finite
from chipwright.spec import ModelSpec, Normalization

KEY = "Chipwright"
"""Key of the `.emd` that holds our own description of the model."""

VERSION = 1
"""Version of what stands under `KEY`. Raised when an older chipwright could no longer load what a newer one writes."""

UNPAINTED_FORMATS = frozenset(
    {
        "PASCAL_VOC_rectangles",
        "KITTI_rectangles",
        "COCO_rectangles",
        "YOLO_rectangles",
        "Labeled_Tiles",
        "MultiLabeled_Tiles",
        "Imagenet",
    }
)
"""Formats without label rasters. Only in the others does class value 0 mean background."""

_HIGHEST = {"uint8": 255.0, "uint16": 65535.0}

_REFERENCE_METRICS = {"miou": "mIoU"}
"""Metrics that the reference writes under another spelling."""


def compose_emd(
    spec: ModelSpec, emd_keys: Mapping[str, Any], facts: Mapping[str, Any], weights: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the content of an `.emd`.

    Args:
        spec: the model.
        emd_keys: keys of the model type's family; they take precedence over the common ones.
        facts: of the training run, all optional: "learning_rate" (text, a number, or a pair of numbers for lowest and highest
            of the parameter groups), "metrics" (name -> number), "per_class" (rows as in `Evaluation.per_class`), "monitor"
            and "monitored_value", "description". They and any others are kept under "Chipwright".
        weights: "file", "bytes" and "sha256" of the weights file.
    """
    emd: dict[str, Any] = {
        "Framework": "PyTorch",
        "ModelFile": weights["file"],
        "ModelFormat": "NCHW",
        "ImageHeight": spec.chip_size[1],
        "ImageWidth": spec.chip_size[0],
        "ExtractBands": list(range(len(spec.bands))),
        "Classes": [{"Value": item.value, "Name": item.name, "Color": list(item.color)} for item in _foreground(spec)],
        "ImageSpaceUsed": spec.image_space,
        "MinCellSize": spec.metadata.get("MinCellSize"),
        "MaxCellSize": spec.metadata.get("MaxCellSize"),
        "resize_to": None,
        "backend": "pytorch",
        "ModelParameters": _model_parameters(spec),
    }
    emd |= _radiometry(spec)
    if facts.get("learning_rate") is not None:
        emd["LearningRate"] = _learning_rate_text(facts["learning_rate"])
    if facts.get("description"):
        emd["Description"] = str(facts["description"])
    emd |= emd_keys
    emd |= {key: value for key, value in _metric_keys(facts).items() if key not in emd}
    emd = {key: finite(value) for key, value in emd.items()}
    emd[KEY] = {
        "version": VERSION,
        "spec": encode(spec.model_dump(mode="python")),
        "weights": {"bytes": weights["bytes"], "sha256": weights["sha256"]},
        "metrics": encode(_measured(facts)),
        "facts": encode({name: value for name, value in facts.items() if name != "metrics"}),
    }
    return emd


def emd_text(emd: Mapping[str, Any]) -> str:
    """Return the `.emd` as text: four spaces of indent, and ASCII only, since readers may open it in any code page."""
    return json.dumps(emd, indent=4, ensure_ascii=True, allow_nan=False) + "\n"


def _foreground(spec: ModelSpec) -> list[ClassInfo]:
    painted = spec.metadata_format not in UNPAINTED_FORMATS
    return [item for item in spec.classes if not (painted and item.value == BACKGROUND)]


def _model_parameters(spec: ModelSpec) -> dict[str, Any]:
    given = {name: value for name, value in spec.arguments.items() if value is not None}
    if spec.backbone is None:
        return {"backend": "pytorch", **given}
    # the reference writes its keywords in lower case; names of timm networks are case-sensitive
    backbone = spec.backbone if spec.backbone.startswith("timm:") else spec.backbone.lower()
    return {"backbone": backbone, "backend": "pytorch", **given}


def _radiometry(spec: ModelSpec) -> dict[str, Any]:
    """Return the keys about bands and scaling: two flags, and for all but 8-bit RGB the bands and their statistics."""
    plain = is_plain_rgb(spec.bands, spec.dtype)
    keys: dict[str, Any] = {
        "IsMultispectral": not plain,
        "IsImageNetNormalization": _is_imagenet(spec.normalization),
    }
    if not plain:
        keys |= {"Bands": list(spec.bands), "ImageryType": "multispectral", "DoNormalize": True}
        stats = normalization_stats(spec.normalization, spec.dtype)
        if stats:
            keys["NormalizationStats"] = stats
    return keys


def _is_imagenet(scaling: Normalization) -> bool:
    if len(scaling.mean) != 3 or scaling.minimum is not None or scaling.maximum is not None:
        return False
    ours, theirs = (*scaling.mean, *scaling.std), (*IMAGENET_MEAN, *IMAGENET_STD)
    return all(math.isclose(value, 255 * usual, rel_tol=1e-4) for value, usual in zip(ours, theirs, strict=True))


def normalization_stats(scaling: Normalization, dtype: str) -> dict[str, list[float]] | None:
    """Return the scaling in the reference's words, or None where they cannot say it (floating-point pixels without limits).

    The reference scales in two steps, to 0..1 between minimum and maximum (clipped), then by the mean and standard deviation
    of the scaled values. The two together are what `Normalization` says in one.
    """
    highest = _HIGHEST.get(dtype)
    if (scaling.minimum is None or scaling.maximum is None) and highest is None:
        return None
    count = len(scaling.mean)
    # clipping to the limits of the pixel type changes nothing, so these limits are true where none were set
    low = list(scaling.minimum) if scaling.minimum is not None else [0.0] * count
    high = list(scaling.maximum) if scaling.maximum is not None else [float(highest or 0.0)] * count
    spans = [top - bottom if top > bottom else 1.0 for bottom, top in zip(low, high, strict=True)]
    return {
        "band_min_values": low,
        "band_max_values": high,
        "band_mean_values": list(scaling.mean),
        "band_std_values": list(scaling.std),
        "scaled_min_values": [0.0] * count,
        "scaled_max_values": [1.0] * count,
        "scaled_mean_values": [(m - b) / s for m, b, s in zip(scaling.mean, low, spans, strict=True)],
        "scaled_std_values": [d / s for d, s in zip(scaling.std, spans, strict=True)],
    }


def _learning_rate_text(rate: Any) -> str:
    if isinstance(rate, str):
        return rate
    if isinstance(rate, Sequence):
        lowest, highest = float(rate[0]), float(rate[-1])
        return f"slice('{lowest:.4e}', '{highest:.4e}', None)"
    return f"{float(rate):.4e}"


def _metric_keys(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures as top-level keys; those without a value (NaN: the class was not there) are left out."""
    keys: dict[str, Any] = {}
    for name, number in _measured(facts).items():
        if math.isfinite(number):
            # the reference writes this one as text
            keys[_REFERENCE_METRICS.get(name, name)] = f"{number:.4e}" if name == "accuracy" else number
    monitor, monitored = facts.get("monitor"), facts.get("monitored_value")
    if monitor and monitored is not None and math.isfinite(float(monitored)):
        keys[f"monitored_{monitor}"] = float(monitored)
    table = _per_class_table(facts.get("per_class", ()))
    if table:
        keys["per_class_metrics"] = json.dumps(table)
    return keys


def _measured(facts: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in facts.get("metrics", {}).items() if value is not None}


def _per_class_table(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return class name -> {metric: value} from rows that hold the name under "class" or "name"."""
    table: dict[str, dict[str, float]] = {}
    for row in rows:
        name = row.get("class", row.get("name"))
        numbers = {
            column: float(value)
            for column, value in row.items()
            if isinstance(value, int | float) and column != "value" and math.isfinite(value)
        }
        if name is not None:
            table[str(name) if str(name) not in table else f"{name} ({row.get('value', len(table))})"] = numbers
    return table
