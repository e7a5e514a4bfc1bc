"""What a model package says of itself, for `inspect`: ours and others' alike, without reading any weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chipwright.normalization import IMAGENET_MEAN, IMAGENET_STD
from chipwright.package.emd import KEY
from chipwright.package.emd_reading import model_file, own_part, read_emd, read_spec
from chipwright.package.members import unsafe_part
from chipwright.package.plain import finite
from chipwright.package.reference import is_reference, is_training_data, reference_type, refuse_foreign, weights_sentence
from chipwright.package.store import locate

_METRICS = frozenset(
    {"accuracy", "average_precision_score", "mIoU", "precision", "recall", "f1", "PSNR", "SSIM", "FID", "panoptic_quality"}
)
"""Figures that the reference writes at the top level, where they are numbers or texts of numbers."""


def describe_package(path: Path | str) -> dict[str, Any]:
    """Return what a package says of itself as JSON data, whoever trained it.

    Keys, each None or empty where the package does not say:
        name, source; trained_by: "chipwright", "ArcGIS" or "unknown"; model_type (our keyword); backbone; network: which
        one, of types with several (MMDETECTION, MMSEGMENTATION);
        classes: a list of {"value", "name", "color"}; bands: names, or indices where it has no names; dtype;
        tile_size: [width, height]; image_space; normalization: {"kind", "mean", "std", "minimum", "maximum"} in the units of
        the files; weights: name of the weights file; weights_found; loadable: whether chipwright loads it; note: a sentence
        where it does not; metrics; learning_rate; cell_size: smallest and largest of the training images.

    Raises:
        PackageError: if there is no package, it is broken or unsafe, or a newer chipwright wrote it.
    """
    source, members, name = locate(Path(path))
    emd = read_emd(members, name)
    where = f"{name} in {members.where}"
    own = own_part(emd, where)
    if own is None and is_training_data(emd):
        refuse_foreign(emd, where)
    description = _own(emd, own, where) if own is not None else _foreign(emd)
    weights = description["weights"]
    found = isinstance(weights, str) and unsafe_part(weights) is None and members.size(weights) is not None
    description |= {"name": Path(name).stem, "source": str(source), "weights_found": found}
    if description["loadable"] and not found:
        description |= {"loadable": False, "note": f"The weights {weights} are missing from {members.where}."}
    return finite(description)


def _own(emd: Mapping[str, Any], own: Mapping[str, Any], where: str) -> dict[str, Any]:
    spec = read_spec(own, where)
    scaling = spec.normalization.model_dump(mode="json", exclude={"source"})
    return {
        "trained_by": "chipwright",
        "model_type": spec.model_type,
        "backbone": spec.backbone,
        "network": spec.arguments.get("model"),
        "classes": [item.model_dump(mode="json") for item in spec.classes],
        "bands": list(spec.bands),
        "dtype": spec.dtype,
        "tile_size": list(spec.chip_size),
        "image_space": spec.image_space,
        "normalization": {"kind": spec.normalization.source, **scaling},
        "weights": model_file(emd, where),
        "loadable": True,
        "note": None,
        "metrics": own["metrics"],
        "learning_rate": emd.get("LearningRate"),
        "cell_size": [emd.get("MinCellSize"), emd.get("MaxCellSize")],
    }


def _foreign(emd: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of a package that chipwright did not write; takes any content, since nobody checked it."""
    reference = is_reference(emd)
    parameters = _dictionary(emd.get("ModelParameters"))
    weights = emd.get("ModelFile")
    return {
        "trained_by": "ArcGIS" if reference else "unknown",
        "model_type": reference_type(emd) if reference else None,
        "backbone": parameters.get("backbone") or emd.get("backbone"),
        "network": network if isinstance(network := _dictionary(emd.get("Kwargs")).get("model"), str) else None,
        "classes": _classes(emd.get("Classes")),
        "bands": _list(emd.get("Bands")) or _list(emd.get("ExtractBands")),
        "dtype": None,
        "tile_size": _tile_size(emd),
        "image_space": emd.get("ImageSpaceUsed"),
        "normalization": _normalization(emd) if reference else None,
        # the reference's own tools write Windows paths such as ".\\model.pth"
        "weights": weights.replace("\\", "/") if isinstance(weights, str) else None,
        "loadable": False,
        "note": weights_sentence(emd) if reference else f'It lacks the key "{KEY}", so chipwright cannot load its weights.',
        "metrics": _metrics(emd),
        "learning_rate": emd.get("LearningRate"),
        "cell_size": [emd.get("MinCellSize"), emd.get("MaxCellSize")],
    }


def _classes(entries: Any) -> list[dict[str, Any]]:
    return [
        {"value": entry.get("Value"), "name": entry.get("Name"), "color": entry.get("Color")}
        for entry in _list(entries)
        if isinstance(entry, dict)
    ]


def _tile_size(emd: Mapping[str, Any]) -> list[int] | None:
    sides = [_number(emd.get(key)) for key in ("ImageWidth", "ImageHeight")]
    return [int(side) for side in sides if side] if all(sides) else None


def _normalization(emd: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reference's scaling in our words: `(clip(x, minimum, maximum) - mean) / std` in the units of the files."""
    stats = _dictionary(emd.get("NormalizationStats"))
    if not emd.get("IsMultispectral") and not stats:
        return {
            "kind": "imagenet",
            "mean": [round(255 * value, 3) for value in IMAGENET_MEAN],
            "std": [round(255 * value, 3) for value in IMAGENET_STD],
            "minimum": None,
            "maximum": None,
        }
    minimum, maximum = (_numbers(stats.get(f"band_{end}_values")) for end in ("min", "max"))
    mean, std = (_numbers(stats.get(f"scaled_{word}_values")) for word in ("mean", "std"))
    if not minimum or not len(minimum) == len(maximum) == len(mean) == len(std):
        return {"kind": "unknown", "mean": None, "std": None, "minimum": None, "maximum": None}
    spans = [high - low for low, high in zip(minimum, maximum, strict=True)]
    return {
        "kind": "statistics",
        "mean": [low + value * span for low, value, span in zip(minimum, mean, spans, strict=True)],
        "std": [value * span for value, span in zip(std, spans, strict=True)],
        "minimum": minimum,
        "maximum": maximum,
    }


def _metrics(emd: Mapping[str, Any]) -> dict[str, float]:
    names = [name for name in emd if name in _METRICS or name.startswith("monitored_")]
    numbers = {name: _number(emd[name]) for name in names}
    return {name: number for name, number in numbers.items() if number is not None}


def _dictionary(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _numbers(value: Any) -> list[float]:
    numbers = [_number(item) for item in _list(value)]
    return [number for number in numbers if number is not None]


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
