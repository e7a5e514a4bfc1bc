"""Pretrained backbone weights: found, read, and brought with the scaling they were trained with.

weights = find_weights("RESNET34", "imagenet")
backbone = create_backbone("RESNET34", bands=4, weights=weights)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from chipwright.console import say, warn
from chipwright.errors import OptionError
from chipwright.files import whole_file
from chipwright.networks.architectures import KEYWORDS, Architecture, default_scaling, find_architecture, weights_config
from chipwright.networks.state_dicts import expected_tensors, match_tensors, read_weights_file
from chipwright.networks.weight_sources import FOLDER_VARIABLE, DownloadFailed, download, find_file, is_hub_file, own_file_stem

NONE, IMAGENET = "none", "imagenet"

_MINUS_ONE_TO_ONE = re.compile(r"/\s*127\.5\s*-\s*1|\[\s*-1(\.0*)?\s*,\s*\+?1(\.0*)?\s*\]")
_ZERO_TO_ONE = re.compile(r"/\s*255\b(?!\s*-)|\[\s*0(\.0*)?\s*,\s*1(\.0*)?\s*\]")

Scaling = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True, eq=False)
class BackboneWeights:
    """Weights of a backbone and the scaling of images that goes with them.

    Attributes:
        state: float32 tensors by the backbone's own names, classifier left out.
        mean, std: for red, green and blue scaled to 0..1.
        folded: whether batch normalisation was folded into the convolutions, so that its statistics must be held.
        source: what the weights are, for the log and the package: "resnet34.tv_in1k" or a file's name.
    """

    state: dict[str, Tensor]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    folded: bool
    source: str


@dataclass(frozen=True)
class WeightsRow:
    """One line of `chipwright weights list`.

    Attributes:
        keyword: the backbone's.
        network: timm's full name of the weights, "resnet34.tv_in1k".
        licence: as the publisher states it, or None.
        megabytes: size of the file here, else of the download, or None where unknown.
        path: where the file lies on this machine, or None.
    """

    keyword: str
    network: str
    licence: str | None
    megabytes: int | None
    path: Path | None


_OTHER_WAYS = "or give a file with --backbone-weights FILE; or start from random weights with --backbone-weights none"


def find_weights(backbone: str, source: str, other_ways: str = _OTHER_WAYS) -> BackboneWeights | None:
    """Return the weights of a backbone, or None for `source` "none".

    Args:
        backbone: keyword or "timm:NAME".
        source: "imagenet" for the published weights (looked for on this machine, then downloaded), "none", or a file
            (.safetensors, .pth, .pt, .bin) whose tensors have torchvision's, timm's or any names in the same order.
        other_ways: what a user without a network may do beside bringing the published file here, for the error.

    Raises:
        OptionError: if the weights are not to be had, with the ways on, or if the file does not fit the backbone.
    """
    architecture = find_architecture(backbone)
    word = source.strip().lower()
    if word == NONE:
        return None
    if word != IMAGENET:
        path = Path(source.strip()).expanduser()
        if not path.is_file():
            raise OptionError(f'The weights of {backbone} are {source!r}, which is neither "imagenet", "none" nor a file.')
        return _read(architecture, path, path.name)
    path = _published_file(architecture, other_ways)
    return _read(architecture, path, architecture.tagged if is_hub_file(path) else path.name)


def _published_file(architecture: Architecture, other_ways: str = _OTHER_WAYS) -> Path:
    path = find_file(architecture)
    if path is not None:
        return path
    if architecture.tag is None:
        raise OptionError(
            f"There are no published weights for {architecture.name}: "
            "give a file with --backbone-weights FILE, or take --backbone-weights none."
        )
    try:
        return download(architecture)
    except DownloadFailed as fault:
        name = architecture.name
        raise OptionError(
            f"The pretrained weights of {name} are not on this machine and could not be downloaded: {fault}. Three ways on: "
            f"on a machine with a network run `chipwright weights fetch {name} --to DIR`, bring DIR here and set "
            f"{FOLDER_VARIABLE} to it; {other_ways}."
        ) from fault


def _read(architecture: Architecture, path: Path, source: str) -> BackboneWeights:
    tensors, metadata = read_weights_file(path)
    metadata |= _sidecar(path)
    matched = match_tensors(tensors, expected_tensors(architecture), architecture.name, str(path))
    mean, std = _scaling(metadata, default_scaling(architecture), path)
    # Fetched files say what they are, whatever the file is called.
    name = str(metadata.get("network", source))
    return BackboneWeights(matched, mean, std, "folded" in str(metadata.get("batch_norm", "")).lower(), name)


def _sidecar(path: Path) -> dict[str, Any]:
    """Return what NAME.json beside NAME.pth says, with the same keys as a safetensors file's metadata."""
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return {}
    try:
        content = json.loads(beside.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise OptionError(f"{beside}, beside the weights, is no JSON ({fault}); mend or remove it.") from fault
    return content if isinstance(content, dict) else {}


def _scaling(metadata: Mapping[str, Any], default: Scaling, path: Path) -> Scaling:
    """Return mean and deviation as "mean" and "std" (lists for RGB in 0..1) or the words of "input" say, else `default`."""
    if "mean" in metadata or "std" in metadata:
        return _stated_scaling(metadata, path)
    text = str(metadata.get("input", ""))
    if _MINUS_ONE_TO_ONE.search(text):
        return (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    if _ZERO_TO_ONE.search(text):
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if text and "imagenet" not in text.lower():
        warn(
            f'{path} says of its input "{text}", which is not understood; taking mean {default[0]} and deviation {default[1]}.'
        )
    return default


def _stated_scaling(metadata: Mapping[str, Any], path: Path) -> Scaling:
    try:
        mean, std = (tuple(map(float, _decoded(metadata[key]))) for key in ("mean", "std"))
    except (KeyError, TypeError, ValueError) as fault:
        raise OptionError(f"{path} must state both mean and std as JSON lists of numbers.") from fault
    if len(mean) != len(std) or not mean or min(std) <= 0 or max(map(abs, mean)) > 1 or max(std) > 1:
        raise OptionError(
            f"{path} states mean {list(mean)} and std {list(std)}; expected one each per band, for values 0 to 1."
        )
    return mean, std


def _decoded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def list_weights() -> list[WeightsRow]:
    """Return a row for every backbone keyword, with where its weights lie on this machine; asks no network.

    Raises:
        OptionError: if CHIPWRIGHT_WEIGHTS names no folder.
    """
    rows = []
    for keyword, architecture in KEYWORDS.items():
        path = find_file(architecture)
        megabytes = architecture.megabytes if path is None else round(path.stat().st_size / 1e6)
        rows.append(WeightsRow(keyword, architecture.tagged, _licence(architecture), megabytes, path))
    return rows


def _licence(architecture: Architecture) -> str | None:
    config = weights_config(architecture)
    return config.license if config is not None else None


def fetch_weights(names: Iterable[str], to: Path) -> list[Path]:
    """Put the published weights of backbones into a folder, for a machine without a network, and return the files.

    Each becomes NAME.safetensors, without classifier, with scaling, licence and source in its metadata. What is already in
    the folder stays.

    Raises:
        OptionError: for an unknown backbone (before anything is downloaded) or if the weights are not to be had.
    """
    architectures = [find_architecture(name) for name in names]
    return [_fetch(architecture, to) for architecture in architectures]


def _fetch(architecture: Architecture, to: Path) -> Path:
    from safetensors.torch import save_file

    target = to / f"{own_file_stem(architecture)}.safetensors"
    if target.is_file():
        say(f"{target} is already there.")
        return target
    path = _published_file(architecture)
    weights = _read(architecture, path, architecture.tagged)
    metadata = {
        "format": "pt",
        "backbone": architecture.name,
        "network": architecture.tagged,
        "mean": json.dumps(weights.mean),
        "std": json.dumps(weights.std),
        "licence": _licence(architecture) or "unknown",
        "source": _origin(architecture, path),
        "batch_norm": "folded" if weights.folded else "present",
    }
    with whole_file(target) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in weights.state.items()}, temporary, metadata=metadata)
    return target


def _origin(architecture: Architecture, path: Path) -> str:
    config = weights_config(architecture)
    return f"https://huggingface.co/{config.hf_hub_id}" if is_hub_file(path) and config is not None else path.name
