"""From a description (see `descriptions`) to a network: our bands, no message, no file, and no code but the packages' own.

Importing this module imports torch and the OpenMMLab packages.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from torch import nn

from chipwright.errors import ChipwrightError, OptionError, listed
from chipwright.openmmlab.configs import PACKAGES, unmarked
from chipwright.openmmlab.descriptions import Description, every
from chipwright.openmmlab.operators import ensure_operators

_FILES = ("pretrained", "checkpoint", "load_from")
"""Keys by which parts of networks load files."""

_WORDS = frozenset({"nms", "soft_nms", "RoIAlign", "dilation", "offset"})
"""Types in configs that no registry has: operators, and ways of adapting a convolution. mmcv runs the words of suppression as
code (`eval`), hence no others."""

_BANDS = frozenset({"in_channels", "in_chans"})
"""Names under which backbones are told how many bands images have."""

_MOMENTUM = 0.1
"""Share of each batch in the statistics of batch normalisation: PyTorch's own, and the least for what starts from nothing."""

COLOURS = 3
"""Bands that every config of the packages has been written for."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the packages from writing to the log and from warning: nothing of what they say is for users of a network."""
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def build_network(package: str, description: Description, bands: int, *, pretrained: bool = False) -> Any:
    """Return the network of a description with its first values, drawn from torch's generator.

    Args:
        package: "mmseg" or "mmdet", whose names the description uses.
        description: as `descriptions.adapted` returns it.
        bands: of the images.
        pretrained: whether weights of such a network will be loaded. Without them batch normalisation learns whatever the
            config says (`norm_eval`): statistics that nobody measured would be used for ever (seen: losses of 5e7). Nor does
            it learn them more slowly than usual, as Fast-SCNN's config has it for its hundreds of thousands of steps (seen:
            after 150 steps, maps of one class).

    Raises:
        OptionError: if it names what is no part of a network, or the parts do not go together.
    """
    ensure_operators()
    from mmengine.config import ConfigDict
    from mmengine.registry import DefaultScope

    with quiet(), DefaultScope.overwrite_default_scope(package):
        models = _models(package)
        require_known(description, package)
        try:
            network = models.build(ConfigDict(_for_bands(unmarked(description), bands, models)))
            for backbone in _backbones(network):
                if not _BANDS & _parameters(type(backbone)):
                    widen(backbone, bands)
            network.init_weights()
        except ChipwrightError:
            raise
        except Exception as error:  # a config may hold anything, and the packages check little
            reason = str(error).strip().partition("\n")[0]
            raise OptionError(
                f"The config describes a network that cannot be built: {type(error).__name__}: {reason}. Is it a config of "
                "MMSegmentation 1.x or MMDetection 3.x?"
            ) from error
    if not pretrained:
        for module in network.modules():
            if getattr(module, "norm_eval", False):
                module.norm_eval = False
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.momentum is not None:
                module.momentum = max(module.momentum, _MOMENTUM)
    network.usual_layout = True  # some parts take no maps that lie channels last; two that do were no faster with them
    return network


def _models(package: str) -> Any:
    """Return a package's registry of networks and parts, filled; importing is what fills it."""
    import_module(f"{package}.models")
    return import_module(f"{package}.registry").MODELS


def require_known(description: Description, package: str) -> None:
    """Check that every `type` is a part of the packages' networks, and that no file is loaded.

    Their registries would import and call anything that a dotted name points to ("os.system"), their loaders unpickle files,
    and a description comes from a file: a config's, or a package's from elsewhere.

    Raises:
        OptionError: naming those that are not.
    """
    from mmengine.registry import MODELS, TASK_UTILS, WEIGHT_INITIALIZERS

    registries = [tree for root in (MODELS, TASK_UTILS, WEIGHT_INITIALIZERS) for tree in (root, *root.children.values())]
    known = {name for registry in registries for name in registry.module_dict} | _WORDS
    nodes = every(description)
    named = {str(node["type"]) for node in nodes if "type" in node}
    strange = sorted(name for name in named if _without_scope(name) not in known or name == "Pretrained")
    strange += sorted(key for key in _FILES if any(node.get(key) for node in nodes))
    if strange:
        raise OptionError(
            f"The config names {listed(strange)}, which is no part of the networks of {package}. Give a config of "
            "MMSegmentation 1.x or MMDetection 3.x that uses their own parts alone."
        )


def _without_scope(name: str) -> str:
    scope, _, inside = name.partition(".")
    return inside if scope in PACKAGES else name


def _for_bands(node: Any, bands: int, models: Any) -> Any:
    """Return a description whose backbones are told of the bands, where they take the number."""
    if isinstance(node, (list, tuple)):
        return type(node)(_for_bands(item, bands, models) for item in node)
    if not isinstance(node, dict):
        return node
    changed = {}
    for key, value in node.items():
        changed[key] = _for_bands(value, bands, models)
        if key.endswith("backbone") and isinstance(value, dict) and bands != COLOURS:
            changed[key] |= dict.fromkeys(_BANDS & _parameters(models.get(value["type"])), bands)
    return changed


def _parameters(kind: type) -> set[str]:
    """Return the names that a class's constructor takes, those that it hands on to its parents included."""
    return {
        name
        for base in kind.__mro__
        if issubclass(base, nn.Module) and base is not nn.Module
        for name in inspect.signature(base).parameters
    }


def _backbones(network: nn.Module) -> list[nn.Module]:
    return [module for name, module in network.named_modules() if name.rpartition(".")[2].endswith("backbone")]


def widen(backbone: nn.Module, bands: int) -> None:
    """Give a backbone that was built for three bands a first convolution for `bands`, in place.

    Raises:
        OptionError: if its first layer is none that could be replaced.
    """
    if bands == COLOURS:
        return
    first = next((layer for parent in backbone.modules() for layer in parent.children() if isinstance(layer, nn.Conv2d)), None)
    if first is None or first.in_channels != COLOURS or first.groups > 1:
        raise OptionError(
            f"The backbone {type(backbone).__name__} takes images of {COLOURS} bands alone; the chips have {bands}. Choose "
            "another network."
        )
    first.in_channels = bands
    first.weight = nn.Parameter(first.weight.new_empty(first.out_channels, bands, *first.kernel_size))
    first.reset_parameters()
