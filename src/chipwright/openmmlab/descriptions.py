"""A config's network made ours, still as data: our classes, layers that survive small batches, nothing fetched or frozen.

What comes out is JSON, travels in the package, and is all that building the network takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

from chipwright.openmmlab.configs import unmarked

SMALLEST_EPS = 1e-5
"""Added to variances where a config adds nothing: PyTorch trains no batch normalisation without."""

_LEFT_OUT = frozenset({"pretrained", "data_preprocessor"})
"""Keys that name files to be fetched, or a scaling of images: ours is done before the network."""

_ONE_NUMBER = ("out_channels", "threshold")

_MASKS = ("mask_", "semantic_")
"""How keys of heads for masks begin."""

_OVERLAP_HEADS = ("RPNHead", "RetinaHead")

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


def for_boxes(model: Description, most: int) -> Description:
    """Return a detector's adapted description that learns from boxes alone and gives an image `most` of them.

    Heads for masks are left out. Anchors that reach over the image's border are taught as well (`allowed_border` -1): chips are
    small, and on the coarse levels there may be no others.
    """

    def change(node: Description) -> Description:
        changed = {key: _each(value, change) for key, value in node.items() if not key.startswith(_MASKS)}
        return changed | ({"allowed_border": -1} if "allowed_border" in changed else {})

    changed = change(model)
    choosing: Any = changed.get("test_cfg") or {}
    choosing = choosing.get("rcnn", choosing)
    if "max_per_img" in choosing:
        choosing["max_per_img"] = most
    return changed


def anchor_layout(model: Description) -> tuple[list[int], dict[str, Any]] | None:
    """Return the strides of a detector's anchors, and what `anchors.fit_sizes` asks for; None where sizes do not matter.

    They do where anchors are taught by how much they overlap with objects: in proposals and in RetinaNet's head.
    """
    generator = _anchors(model)
    if generator is None:
        return None
    said = unmarked(generator)
    if "octave_base_scale" in said:
        base, steps = said["octave_base_scale"], said["scales_per_octave"]
        scales = [2 ** (step / steps) for step in range(steps)]
    else:
        base = said["scales"][0]
        scales = [scale / base for scale in said["scales"]]
    return list(said["strides"]), {"ratios": list(said["ratios"]), "scales": scales, "per_stride": base}


def with_anchors(model: Description, sizes: Sequence[float] | None) -> Description:
    """Return a detector's description with anchors of these sides in pixels, a level each; its own where there are none."""
    layout = anchor_layout(model)
    if not sizes or not layout:
        return model
    changed = deepcopy(model)
    generator = _anchors(changed)
    assert generator is not None
    generator["base_sizes"] = [size / layout[1]["per_stride"] for size in sizes]
    return changed


def _anchors(model: Description) -> Description | None:
    heads = [model.get("rpn_head"), model.get("bbox_head")]
    head = next((head for head in heads if isinstance(head, dict) and head.get("type") in _OVERLAP_HEADS), {})
    generator: Any = head.get("anchor_generator")
    if not isinstance(generator, dict) or generator.get("type") != "AnchorGenerator" or "base_sizes" in generator:
        return None
    return generator if all(isinstance(stride, (int, float)) for stride in unmarked(generator["strides"])) else None


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
