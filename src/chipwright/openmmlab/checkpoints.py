"""Weights files given to an OpenMMLab network: tensors only, under the names of the packages, and for any number of bands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from chipwright.errors import OptionError, listed
from chipwright.networks.backbones import adapt_first_convolution
from chipwright.networks.pretrained import mark_loaded
from chipwright.networks.state_dicts import read_weights_file

_COUNTER = "num_batches_tracked"


def load_checkpoint(
    model: nn.Module, path: Path, class_tensors: frozenset[str], *, bgr: bool = False, weight_init_scheme: str = "random"
) -> list[str]:
    """Give a network what fits it of a weights file, mark what its backbone got as loaded, and return what to say of it.

    A whole network's file fills everything but the layers whose rows are classes; a backbone's fills the backbone.

    Args:
        model: OpenMMLab's network, with its `backbone`.
        path: of the file, which is never run: plain data and tensors alone are read.
        class_tensors: names of tensors with rows for each class: another data set's classes mean nothing here.
        bgr: whether the file's first convolution takes blue, green, red; our images are red, green, blue.
        weight_init_scheme: of the first convolution for other bands (see `networks.backbones.create_backbone`).

    Raises:
        OptionError: if the file cannot be read, or most of the backbone finds no tensor in it.
    """
    found, _ = read_weights_file(path)
    own = model.state_dict()
    given = _renamed(found, own)
    first = _first_convolution(model)
    if first in given and bgr:
        given[first] = given[first].flip(1)
    adapted = set()
    if first in given and given[first].shape[1] == 3 != own[first].shape[1] and given[first].shape[2:] == own[first].shape[2:]:
        given[first] = adapt_first_convolution(given[first], own[first], weight_init_scheme)
        adapted.add(first)
    taken = {name: value for name, value in given.items() if value.shape == own[name].shape and name not in class_tensors}
    backbone = [name for name in own if name.startswith("backbone.") and not name.endswith(_COUNTER)]
    filled = [name for name in backbone if name in taken]
    if 2 * len(filled) < len(backbone):
        raise OptionError(
            f"{path} holds no weights of this network: of {len(backbone)} tensors of its backbone {len(filled)} are there in "
            "name and shape. Give the weights of the network that `model` names."
        )
    with torch.no_grad():
        for name, value in taken.items():
            own[name].copy_(value)
    kept = [name for name in taken if name.startswith("backbone.") and name not in adapted]
    mark_loaded(model.backbone, [name.removeprefix("backbone.") for name in kept])  # type: ignore[arg-type]
    fresh = [name for name in own if name not in taken and not name.endswith(_COUNTER)]
    notes = [f"Weights: {path.name}, {len(taken)} of {len(own)} tensors."]
    return notes + ([f"These start fresh: {listed(fresh)}."] if fresh else [])


def _renamed(found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the file's tensors under the network's names, by the prefix under which most agree."""
    stripped = {name.removeprefix("module."): value for name, value in found.items()}
    ways = [{prefix + name.removeprefix(cut): value for name, value in stripped.items()} for prefix, cut in _PREFIXES]
    best = max(ways, key=lambda way: len(way.keys() & own.keys()))
    return {name: value for name, value in best.items() if name in own}


_PREFIXES = (("", ""), ("backbone.", ""), ("", "model."), ("", "network."))
"""What is put before names and taken off them: whole networks as they are, backbones alone, networks inside of others."""


def _first_convolution(model: nn.Module) -> str:
    convolutions = (
        name for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d) and name.startswith("backbone")
    )
    return f"{next(convolutions, 'none')}.weight"
