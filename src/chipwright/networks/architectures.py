"""Which network stands behind a backbone's name, and how timm builds it.

Keywords of the reference ("RESNET34") and "timm:NAME" both end as a network of PyTorch Image Models that returns a pyramid of
feature maps. Nothing here reads weights.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

from chipwright.errors import OptionError, listed, suggestion

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

WRAPPERS = ("body.", "model.")
"""Prefixes under which timm's hook and getter classes keep the network whose feature maps they return."""


@dataclass(frozen=True)
class Architecture:
    """The network behind a backbone's name.

    Attributes:
        name: as the catalog spells it, "RESNET34" or "timm:convnext_tiny".
        network: timm's name of the network, without tag.
        tag: timm's tag of the pretrained weights, or None where timm has none.
        torchvision: torchvision's name of the same network, where its weights are meant by `name`.
        megabytes: size of the published weights, classifier included; None where it is not known beforehand.
    """

    name: str
    network: str
    tag: str | None
    torchvision: str | None = None
    megabytes: int | None = None

    @property
    def tagged(self) -> str:
        """timm's full name, "resnet34.tv_in1k"."""
        return f"{self.network}.{self.tag}" if self.tag else self.network


_TORCHVISION_MEGABYTES = {
    "RESNET18": 47,
    "RESNET34": 87,
    "RESNET50": 102,
    "RESNET101": 179,
    "RESNET152": 241,
    "DENSENET121": 32,
    "DENSENET161": 116,
    "DENSENET169": 57,
    "DENSENET201": 81,
    "VGG11": 531,
    "VGG11_BN": 531,
    "VGG13": 532,
    "VGG13_BN": 532,
    "VGG16": 553,
    "VGG16_BN": 553,
    "VGG19": 575,
    "VGG19_BN": 575,
}

# The reference's weights are torchvision's first ImageNet ones, which timm publishes under the tag "tv_in1k".
KEYWORDS: dict[str, Architecture] = {
    keyword: Architecture(keyword, keyword.lower(), "tv_in1k", keyword.lower(), megabytes)
    for keyword, megabytes in _TORCHVISION_MEGABYTES.items()
} | {
    "MOBILENET_V2": Architecture("MOBILENET_V2", "mobilenetv2_100", "ra_in1k", "mobilenet_v2", 14),
    "DARKNET53": Architecture("DARKNET53", "darknet53", "c2ns_in1k", None, 167),
}
"""The convolutional backbones that have a keyword of the reference."""

# VGG's dense layers, nine tenths of its weights, are dropped with the classifier: better not to draw them at all.
_WITHOUT_DENSE = {"mlp_ratio": 1 / 4096, "num_classes": 0}

_LATER = ("REID_V1", "REID_V2")


def find_architecture(name: str) -> Architecture:
    """Return the network behind a backbone keyword or "timm:NAME" (NAME with or without timm's tag of the weights).

    Raises:
        OptionError: if there is no such backbone.
    """
    if name.strip().lower().startswith("timm:"):
        return _timm_architecture(name.strip()[5:].strip())
    keyword = name.strip().upper().replace("-", "_")
    if keyword in KEYWORDS:
        return KEYWORDS[keyword]
    if keyword in _LATER:
        raise OptionError(f"{keyword} is a network of DeepSORT alone and not part of this version yet.")
    hint = suggestion(keyword, KEYWORDS)
    raise OptionError(f"There is no backbone {name!r}.{hint} Backbones: {listed(KEYWORDS, 30)}, or timm:NAME.")


@cache
def _timm_architecture(name: str) -> Architecture:
    import timm

    wanted, _, tag = name.partition(".")
    network = next((known for known in (wanted, wanted.lower()) if known and timm.is_model(known)), None)
    if network is None:
        hint = suggestion(wanted, timm.list_models())
        raise OptionError(f"PyTorch Image Models has no network {wanted!r}.{hint}")
    tags = [full.partition(".")[2] for full in timm.list_models(f"{network}.*", pretrained=True)]
    if tag and tag not in tags:
        known = f"it has {listed(tags, 30)}" if tags else "it has none"
        raise OptionError(f"PyTorch Image Models has no weights {tag!r} for {network}; {known}.{suggestion(tag, tags)}")
    default = timm.get_pretrained_cfg(network)
    chosen = tag or (default.tag if default is not None and default.has_weights else None)
    torchvision = network if chosen == "tv_in1k" else None
    return Architecture(f"timm:{name if tag else network}", network, chosen or None, torchvision)


def weights_config(architecture: Architecture) -> Any:
    """Return timm's record of the published weights (mean, std, license, hf_hub_id, url), or None where there are none."""
    import timm

    return timm.get_pretrained_cfg(architecture.tagged) if architecture.tag else None


def default_scaling(architecture: Architecture) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation, for RGB scaled to 0..1, that the network's published weights were trained with."""
    config = weights_config(architecture)
    if config is None:
        return IMAGENET_MEAN, IMAGENET_STD
    return tuple(map(float, config.mean)), tuple(map(float, config.std))


def build_features(architecture: Architecture, bands: int) -> nn.Module:
    """Build the network with random weights; called with images it returns the list of all its feature maps.

    Raises:
        OptionError: if the network has no feature pyramid.
    """
    network = _create(architecture, bands, _map_indices(architecture))
    if str(getattr(network, "output_fmt", "")).endswith("NHWC"):
        network.register_forward_hook(_channels_first)
    return network


def _channels_first(network: nn.Module, images: Any, maps: list[torch.Tensor]) -> list[torch.Tensor]:
    return [feature.permute(0, 3, 1, 2) for feature in maps]


def build_without_values(architecture: Architecture, bands: int = 3) -> nn.Module:
    """Build the network on the meta device: names and shapes, no memory, no random numbers drawn."""
    return _without_values(lambda: build_features(architecture, bands))


@cache
def full_shapes(architecture: Architecture) -> dict[str, torch.Size]:
    """Return the shape of every tensor of the whole network, classifier and all, by timm's name."""
    import timm

    network = _without_values(lambda: timm.create_model(architecture.network, pretrained=False))
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


@cache
def _map_indices(architecture: Architecture) -> tuple[int, ...]:
    """Return the indices of all feature maps: timm leaves the deepest out where there are more than five."""
    network = _without_values(lambda: _create(architecture, 3, None))
    return tuple(range(len(network.feature_info.info)))  # type: ignore[union-attr, arg-type]


def _without_values(build: Callable[[], nn.Module]) -> nn.Module:
    # A few networks compute numbers while they are built, which the meta device cannot; their draws are undone.
    with suppress(Exception), torch.device("meta"):
        return build()
    with torch.random.fork_rng(devices=[]):
        return build()


def _create(architecture: Architecture, bands: int, indices: tuple[int, ...] | None) -> nn.Module:
    import timm

    options: dict[str, Any] = {"features_only": True, "in_chans": bands}
    if indices is not None:
        options["out_indices"] = indices
    if architecture.network.startswith("vgg"):
        options |= _WITHOUT_DENSE
    try:
        return timm.create_model(architecture.network, pretrained=False, **options)
    except (RuntimeError, NotImplementedError, AttributeError, AssertionError, TypeError, KeyError) as fault:
        raise OptionError(
            f"{architecture.name} has no feature pyramid: timm takes no feature maps from it ({_first_line(fault)}). "
            "Choose a convolutional network such as timm:resnet50, timm:efficientnet_b0 or timm:convnext_tiny."
        ) from fault


def _first_line(fault: Exception) -> str:
    return str(fault).strip().partition("\n")[0] or type(fault).__name__
