"""Which config and which weights the arguments `model` and `model_weight` mean. Imports none of OpenMMLab's packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chipwright.errors import OptionError
from chipwright.openmmlab.configs import SUFFIXES, Unreadable, read_config, shipped


@dataclass(frozen=True)
class Source:
    """A network and the weights it starts from.

    Attributes:
        config: the file that describes it.
        weights: a file or the address of one; None for random weights.
    """

    config: Path
    weights: str | None


def is_config(text: str) -> bool:
    """Whether a text is the path of a config, not a name."""
    return text.lower().endswith(SUFFIXES)


def find_source(package: str, names: Mapping[str, str], model: str, model_weight: bool | str) -> Source:
    """Return what two arguments mean.

    Args:
        package: "mmseg" or "mmdet".
        names: name -> config that the package ships.
        model: a name, or the path of a config.
        model_weight: False for random weights; True for those that the config's publisher names; the path of a weights file;
            or the path of a config, whose network and weights (`load_from`) are taken whatever `model` says.

    Raises:
        OptionError: if a file is not there, or no weights are known.
    """
    if isinstance(model_weight, str) and is_config(model_weight):
        config = _file(model_weight, "model_weight")
        return Source(config, _named_in(config))
    config = _file(model, "model") if is_config(model) else shipped(package, names[model])
    if isinstance(model_weight, str):
        return Source(config, str(_file(model_weight, "model_weight")))
    if not model_weight:
        return Source(config, None)
    return Source(config, _named_in(config) if is_config(model) else _published(config))


def find_weights_file(weights: str) -> Path:
    """Return the file of a source's weights: itself, a copy on this machine, or one downloaded from its address.

    Raises:
        OptionError: if it is not to be had.
    """
    from chipwright.networks.weight_sources import published_file

    if "://" not in weights:
        return Path(weights)
    other_ways = " or model_weight to the file; or leave model_weight out to start from random weights"
    return published_file(weights, f"the weights {Path(urlsplit(weights).path).name}", other_ways=other_ways)


def _file(text: str, argument: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_file():
        others = "; True and False are taken as well" if argument == "model_weight" else ""
        raise OptionError(f"{argument} is {text!r}, but there is no such file{others}.")
    return path


def _named_in(config: Path) -> str:
    """Return the weights that a config names (`load_from`), a path of which is beside it."""
    named = read_config(config).get("load_from")
    if named is None:
        raise OptionError(f"{config} names no weights: it gives no value to `load_from`. Write a file's path or address there.")
    if not isinstance(named, str):
        raise Unreadable(f"{config} gives no text to `load_from`; expected the path or address of a weights file.")
    return named if "://" in named else str(_file(str(config.parent / Path(named).expanduser()), f"load_from in {config}"))


def _published(config: Path) -> str:
    """Return the address of the weights that a package states for a config that it ships."""
    import yaml

    tables = [table for table in (config.parent / "metafile.yaml", config.parent / "metafile.yml") if table.is_file()]
    rows: list[dict[str, Any]] = [
        row for table in tables for row in yaml.safe_load(table.read_text(encoding="utf-8")).get("Models") or ()
    ]
    # the shortest, since a name may end another's ("fcn_" and "emanet_fcn_"); EMANet's own is misspelt "eemanet_"
    named = sorted((row for row in rows if str(row.get("Config")).endswith(config.name)), key=lambda row: len(row["Config"]))
    address = named[0].get("Weights") if named else None
    if not address:
        raise OptionError(f"No weights are published for {config.stem}. Give a file with model_weight, or leave it out.")
    return str(address)
