"""Which tensors of a network came pretrained, and what freezing them means.

Frozen means frozen: every tensor that was loaded stays bit for bit, normalisation statistics included. Tensors that were not
loaded (a first convolution adapted to other bands, new layers) are trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

_LOADED = "_chipwright_loaded"
_HELD = "_chipwright_hold_statistics"
_BACKBONE = "_chipwright_backbone"


def mark_loaded(module: nn.Module, names: Iterable[str]) -> None:
    """Remember that the tensors `names` of `module`'s state came pretrained."""
    setattr(module, _LOADED, frozenset(names))


def mark_backbone(module: nn.Module) -> None:
    """Say that `module` is the part of its network that pretrained weights are for, and that is frozen."""
    setattr(module, _BACKBONE, True)


def backbones(network: nn.Module) -> dict[str, nn.Module]:
    """Return the modules marked by `mark_backbone`, by their names within `network`."""
    return {name: module for name, module in network.named_modules() if getattr(module, _BACKBONE, False)}


def loaded_names(module: nn.Module) -> frozenset[str]:
    """Return the names, within `module` itself, of the tensors marked on it by `mark_loaded`."""
    return getattr(module, _LOADED, frozenset())


def loaded_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Return every parameter under `network` that came pretrained, each once."""
    found: dict[int, nn.Parameter] = {}
    for module in network.modules():
        names = loaded_names(module)
        if names:
            found.update((id(parameter), parameter) for name, parameter in module.named_parameters() if name in names)
    return list(found.values())


def freeze_loaded(network: nn.Module) -> list[str]:
    """Stop training every parameter that came pretrained; return the names of the pretrained modules' tensors still trained."""
    trained: list[str] = []
    for parameter in loaded_parameters(network):
        parameter.requires_grad_(False)
    for prefix, module in network.named_modules():
        if loaded_names(module):
            start = f"{prefix}." if prefix else ""
            trained += [start + name for name, parameter in module.named_parameters() if parameter.requires_grad]
    return trained


def hold_statistics(module: nn.Module) -> None:
    """Keep the batch-normalisation statistics under `module` as they are even while its weights are trained.

    For weights whose normalisation was folded into the convolutions: statistics of a batch would undo the folding.
    """
    for layer in _normalisations(module):
        setattr(layer, _HELD, True)


def train_mode(network: nn.Module) -> None:
    """Put `network` in training mode, but leave frozen and held normalisation layers, statistics and all, as they are."""
    network.train()
    for layer in _normalisations(network):
        parameters = list(layer.parameters(recurse=False))
        frozen = bool(parameters) and not any(parameter.requires_grad for parameter in parameters)
        if frozen or getattr(layer, _HELD, False):
            layer.eval()


def _normalisations(network: nn.Module) -> Iterator[_BatchNorm]:
    return (module for module in network.modules() if isinstance(module, _BatchNorm))
