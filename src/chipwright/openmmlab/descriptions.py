"""A config's network made ours, still as data: our classes, layers that survive small batches, nothing fetched or frozen.

What comes out is JSON, travels in the package, and is all that building the network takes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

SMALLEST_EPS = 1e-5
"""Added to variances where a config adds nothing: PyTorch trains no batch normalisation without."""

_LEFT_OUT = frozenset({"pretrained", "data_preprocessor"})
"""Keys that name files to be fetched, or a scaling of images: ours is done before the network."""

_ONE_NUMBER = ("out_channels", "threshold")

_BACKBONES = ("backbone", "rfp_backbone", "img_backbone")

Description = dict[str, Any]


def adapted(model: Description, classes: int, *, pretrained: bool = False) -> Description:
    """Return a config's `model` for `classes` outputs a head.

    Every `num_classes` outside of backbones becomes `classes`. `SyncBN` becomes ordinary batch normalisation, which is the same
    on one device, and `eps` 0 a small number. Weights files are left out; stages are never frozen here, since what is frozen is
    asked for elsewhere, nor normalisation layers that no weights are loaded for.

    Args:
        model: as `configs.read_model` returns it; it is left as it is.
        classes: number of class indices.
        pretrained: whether weights of such a network will be loaded.
    """

    def change(node: Description, inside: bool) -> Description:
        changed: Description = {}
        for key, value in node.items():
            if key in _LEFT_OUT or (key == "init_cfg" and not (value := _without_files(value))):
                continue
            changed[key] = _each(value, partial(change, inside=inside or key in _BACKBONES))
        if "num_classes" in changed and not inside:
            changed["num_classes"] = classes
            if "loss_decode" in changed:  # a head of two classes may give one number, and be asked whether it is above another
                changed = {key: value for key, value in changed.items() if key not in _ONE_NUMBER}
        if "frozen_stages" in changed:
            changed["frozen_stages"] = -1
        _normalise(changed, pretrained)
        return changed

    return change(model, False)


def _normalise(node: Description, pretrained: bool) -> None:
    """Change a normalisation layer's description, or what a backbone says of its layers, in place."""
    if str(node.get("type", "")).removeprefix("MM") == "SyncBN":
        node["type"] = "BN"
    if node.get("eps") == 0:
        node["eps"] = SMALLEST_EPS
    if not pretrained and node.get("requires_grad") is False:
        node["requires_grad"] = True


def _without_files(rules: Any) -> Any:
    """Return the rules for first values without those that load a file."""
    if isinstance(rules, list):
        return [rule for rule in rules if _without_files(rule)]
    return None if isinstance(rules, dict) and rules.get("type") == "Pretrained" else rules


def _each(value: Any, change: Callable[[Description], Description]) -> Any:
    if isinstance(value, dict):
        return change(value)
    return [_each(item, change) for item in value] if isinstance(value, list) else value


def every(node: Any) -> list[Description]:
    """Return every dictionary in a description, outer ones first."""
    if isinstance(node, dict):
        return [node, *(inner for value in node.values() for inner in every(value))]
    return [inner for value in node for inner in every(value)] if isinstance(node, list) else []


def own_losses(model: Description) -> list[str]:
    """Return what a config's heads would learn by beside plain cross-entropy, in words: their losses are not used here."""
    found: list[str] = []
    for node in every(model):
        losses = [loss for key, value in node.items() if key == "loss_decode" for loss in every(value)]
        found += [f"{loss['type']} of sigmoids" for loss in losses if loss.get("use_sigmoid")]
        found += [str(loss["type"]) for loss in losses if "type" in loss and loss["type"] != "CrossEntropyLoss"]
        found += ["class weights" for loss in losses if loss.get("class_weight")]
        if "num_classes" in node and isinstance(node.get("sampler"), dict):
            found.append(str(node["sampler"].get("type")))
    return list(dict.fromkeys(found))


def scaling(model: Description) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return (mean, deviation) of red, green and blue on the scale 0 to 1 that a config's weights were trained with."""
    said = model.get("data_preprocessor") or {}
    mean, std = said.get("mean"), said.get("std")
    if not mean or not std or len(mean) != 3 or len(std) != 3:
        return None
    step = -1 if takes_bgr(model) else 1
    return tuple(value / 255 for value in mean[::step]), tuple(value / 255 for value in std[::step])


def takes_bgr(model: Description) -> bool:
    """Whether a config's weights take blue, green, red: as images come from OpenCV, unless the config turns them."""
    said = model.get("data_preprocessor") or {}
    return bool(said) and not said.get("bgr_to_rgb", False)
