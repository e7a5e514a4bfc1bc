"""Files of pretrained weights: read safely, and matched to a network whatever names their tensors have.

Torchvision, timm, self-supervised checkpoints and whole trained models name the same tensors differently ("features.0.weight",
"features_0.weight", "module.encoder.features.0.weight"). Names are tried first; where they differ altogether the order of the
layers decides, if every shape agrees.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chipwright.errors import OptionError
from chipwright.networks.architectures import WRAPPERS, Architecture, build_without_values, full_shapes

TORCH_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".tar")
SUFFIXES = (".safetensors", *TORCH_SUFFIXES)

_COUNTER = "num_batches_tracked"
_NEEDS_CODE = re.compile(r"\b(global|class|reduce|build)\b", re.IGNORECASE)
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.")

Layers = list[tuple[str, dict[str, str]]]


def read_weights_file(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a weights file, floating ones as float32, and its metadata (safetensors only).

    Of a checkpoint the mapping with the most tensors is taken ({"model": ...}, {"state_dict": ...}). Nothing but tensors and
    plain data is ever unpickled.

    Raises:
        OptionError: if the file is missing, of another kind, broken, or needs code to be run to be read.
    """
    if not path.is_file():
        raise OptionError(f"There is no weights file {path}.")
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        tensors, metadata = _read_safetensors(path)
    elif suffix in TORCH_SUFFIXES:
        tensors, metadata = _most_tensors(_read_torch(path)), {}
    else:
        raise OptionError(f"The weights file {path} ends in {suffix or 'nothing'}; expected one of {', '.join(SUFFIXES)}.")
    if not tensors:
        raise OptionError(f"The weights file {path} holds no tensors; expected a network's state dict.")
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}, metadata


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError) as fault:
        raise OptionError(f"The weights file {path} cannot be read ({fault}); fetch or copy it again.") from fault


def _read_torch(path: Path) -> Any:
    from pickle import UnpicklingError

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as fault:
        if not _NEEDS_CODE.search(str(fault).rpartition("WeightsUnpickler error:")[2]):
            raise OptionError(f"The weights file {path} cannot be read; fetch or copy it again.") from fault
        raise OptionError(
            f"The weights file {path} holds more than tensors, and reading it would run code that came with it. "
            "Save the state dict alone, torch.save(network.state_dict(), FILE), or use a .safetensors file."
        ) from fault
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as fault:
        raise OptionError(f"The weights file {path} cannot be read ({str(fault).partition(chr(10))[0]}).") from fault


def _most_tensors(content: Any) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        return {}
    own = {str(name): value.detach() for name, value in content.items() if isinstance(value, Tensor)}
    inner = (_most_tensors(value) for value in content.values() if isinstance(value, Mapping))
    return max([own, *inner], key=len)


@dataclass(frozen=True)
class Expected:
    """The tensors of a backbone for three bands.

    Attributes:
        shapes: shape by the backbone's own name, in the order of its layers, without counters.
        banded: names of the tensors whose shape depends on the number of bands (first convolutions).
        aliases: own name -> timm's name with "_" for "."; flattening by timm makes them differ.
        whole: the same of every tensor of the whole network, classifier included.
    """

    shapes: dict[str, torch.Size]
    banded: frozenset[str]
    aliases: dict[str, str]
    whole: frozenset[str]


@cache
def expected_tensors(architecture: Architecture) -> Expected:
    """Return what a weights file for the network must hold."""
    three, four = (build_without_values(architecture, bands).state_dict() for bands in (3, 4))
    shapes = {name: tensor.shape for name, tensor in three.items() if not name.endswith(_COUNTER)}
    banded = frozenset(name for name, shape in shapes.items() if four[name].shape != shape)
    wrapper = next((start for start in WRAPPERS if all(name.startswith(start) for name in three)), "")
    aliases = {name: _flat(name.removeprefix(wrapper)) for name in shapes}
    return Expected(shapes, banded, aliases, frozenset(map(_flat, full_shapes(architecture))))


def match_tensors(state: Mapping[str, Tensor], expected: Expected, backbone: str, source: str) -> dict[str, Tensor]:
    """Return the backbone's tensors out of `state`, by the backbone's names; the classifier's are left out.

    First convolutions may be for another number of bands; all else must have the expected shape.

    Raises:
        OptionError: naming the first tensor that is missing, of another shape, or one too many.
    """
    tensors = {_OLD_DENSENET.sub(r"\1\2.", name): value for name, value in state.items() if not name.endswith(_COUNTER)}
    by_name, spare, prefix = _match_names(tensors, expected)
    fault = _fault(by_name, spare, tensors, expected)
    if fault:
        by_order = _match_order(tensors, expected)
        if by_order is None:
            below = f' under "{prefix}"' if prefix else ""
            raise OptionError(
                f"The weights {source} do not fit {backbone}{below}: {fault}. "
                f"Give the weights of a {backbone} network, or none (--backbone-weights none)."
            )
        by_name = by_order
    return {own: tensors[name] for own, name in by_name.items()}


def _fault(found: dict[str, str], spare: list[str], tensors: Mapping[str, Tensor], expected: Expected) -> str:
    """Return what is wrong with a match by name, or an empty text."""
    for own, shape in expected.shapes.items():
        if own not in found:
            return f"{own} is missing"
        actual = tensors[found[own]].shape
        if not _fits(actual, own, expected):
            return f"{found[own]} has shape {tuple(actual)}, expected {tuple(shape)}"
    return f"{spare[0]} is one layer too many, as in a larger network" if spare else ""


def _fits(actual: torch.Size, own: str, expected: Expected) -> bool:
    wanted = expected.shapes[own]
    if own in expected.banded:
        return len(actual) == len(wanted) and all(
            a == w for axis, (a, w) in enumerate(zip(actual, wanted, strict=True)) if axis != 1
        )
    return actual == wanted


def _match_names(tensors: Mapping[str, Tensor], expected: Expected) -> tuple[dict[str, str], list[str], str]:
    """Return (own name -> name in the file, names too many, prefix in the file) for the prefix under which most names agree."""
    best: tuple[dict[str, str], str] = ({}, "")
    for prefix in _prefixes(tensors, expected):
        inside = {_flat(name[len(prefix) :]): name for name in tensors if name.startswith(prefix)}
        found = {own: inside[alias] for own, alias in expected.aliases.items() if alias in inside}
        if len(found) > len(best[0]):
            best = (found, prefix)
    found, prefix = best
    used = set(found.values())
    rooms = {_room(name[len(prefix) :]) for name in used}
    spare = [
        name
        for name in tensors
        if name.startswith(prefix)
        and name not in used
        and _room(name[len(prefix) :]) in rooms
        and _flat(name[len(prefix) :]) not in expected.whole
    ]
    return found, spare, prefix


def _prefixes(tensors: Iterable[str], expected: Expected) -> list[str]:
    """Return what may stand before every name in the file ("module.", "backbone."), read off the first and last tensor."""
    aliases = list(expected.aliases.values())
    ends = (aliases[0], aliases[-1])
    found = {"": None}
    for name in tensors:
        for end in ends:
            prefix = name[: -len(end)]
            if _flat(name).endswith(end) and prefix.endswith("."):
                found[prefix] = None
    return list(found)


def _match_order(tensors: Mapping[str, Tensor], expected: Expected) -> dict[str, str] | None:
    """Return own name -> name in the file if the file's layers, in order, have the backbone's shapes; else None.

    Behind the backbone's layers only a classifier may follow: a 1x1 convolution with its normalisation, and dense layers.
    """
    names = list(tensors)
    # Safetensors files are sorted by name, where "features.10" comes before "features.2".
    orders = [_natural(tensors)] if names == sorted(names) else [names, _natural(tensors)]
    own_layers = _layers(expected.shapes)
    for order in orders:
        layers = _layers(order)
        rest = [tensors[name].shape for _, leaves in layers[len(own_layers) :] for name in leaves.values()]
        convolutions = [shape for shape in rest if len(shape) == 4]
        if len(layers) < len(own_layers) or len(convolutions) > 1 or any(shape[-2:] != (1, 1) for shape in convolutions):
            continue
        found: dict[str, str] = {}
        for (_, own), (_, given) in zip(own_layers, layers, strict=False):
            if own.keys() == given.keys():
                found |= {own[leaf]: given[leaf] for leaf in own}
        if len(found) == len(expected.shapes) and all(_fits(tensors[name].shape, own, expected) for own, name in found.items()):
            return found
    return None


def _layers(names: Iterable[str]) -> Layers:
    """Group tensor names by layer: [("features.0", {"weight": "features.0.weight", "bias": ...}), ...]."""
    layers: dict[str, dict[str, str]] = {}
    for name in names:
        layer, _, leaf = name.rpartition(".")
        layers.setdefault(layer, {})[leaf] = name
    return list(layers.items())


def _natural(tensors: Mapping[str, Tensor]) -> list[str]:
    """Sort names with their numbers by value, what has no convolution ("classifier") last."""
    convolutional = {_room(name) for name, tensor in tensors.items() if tensor.ndim == 4}

    def place(name: str) -> tuple[bool, list[tuple[bool, int | str]]]:
        parts: list[tuple[bool, int | str]] = [
            (part.isdigit(), int(part) if part.isdigit() else part) for part in name.split(".")
        ]
        return _room(name) not in convolutional, parts

    return sorted(tensors, key=place)


def _room(name: str) -> str:
    return name.partition(".")[0]


def _flat(name: str) -> str:
    return name.replace(".", "_")
