"""Operators of mmcv's compiled extension, supplied on plain PyTorch: no compiler is needed, gradients are PyTorch's own.

Where mmcv was compiled its own operators are used. Otherwise a module stands in for the extension so that mmcv can be imported,
and functions that the networks call are replaced. Operators that are not supplied stop with a sentence that names them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

import torch
from torch import Tensor

from chipwright.errors import ChipwrightError

_EXTENSION = "mmcv._ext"


def ensure_operators() -> None:
    """Make mmcv's operators work; to be called before the first import of mmcv.ops, mmdet or mmseg."""
    if _EXTENSION in sys.modules:
        return
    try:
        importlib.import_module(_EXTENSION)
    except ImportError:
        pass
    else:
        return
    sys.modules[_EXTENSION] = _Extension()
    for module, functions in _SUPPLIED.items():
        place = importlib.import_module(module)
        for name, function in functions.items():
            setattr(place, name, function)


class _Extension(ModuleType):
    """Stands in for the compiled extension: every name in it is an operator that is missing."""

    def __init__(self) -> None:
        super().__init__(_EXTENSION)
        self.__spec__ = ModuleSpec(_EXTENSION, None)

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*given: Any, **named: Any) -> NoReturn:
            raise ChipwrightError(
                f"The network calls the operator {name}, which needs mmcv's compiled extension. Choose another network, or "
                "build mmcv with its operators; chipwright then uses it."
            )

        return missing


def psa_mask(masks: Tensor, psa_type: int, mask_size: tuple[int, int]) -> Tensor:
    """Return what each place of a map attends to, from masks about every place (Zhao et al. 2018, PSANet).

    Args:
        masks: (batch, mask rows x mask columns, height, width): at each place a mask whose middle is that place.
        psa_type: 0 to collect: the result (batch, places, height, width) says how much each place takes of every other;
            1 to distribute: how much it gives to every other.
        mask_size: (rows, columns) of the masks. What of them lies outside of the map is cut off, what they do not reach is 0.
    """
    (count, _, height, width), (mask_rows, mask_columns) = masks.shape, mask_size
    rows, columns = (torch.arange(side, device=masks.device) for side in (height, width))
    down = rows[:, None] - rows + (mask_rows - 1) // 2
    right = columns[:, None] - columns + (mask_columns - 1) // 2
    reached = ((down >= 0) & (down < mask_rows))[:, None, :, None] & ((right >= 0) & (right < mask_columns))[None, :, None]
    index = down.clamp(0, mask_rows - 1)[:, None, :, None] * mask_columns + right.clamp(0, mask_columns - 1)[None, :, None]
    places = height * width
    taken = masks.gather(1, index.view(1, places, height, width).expand(count, -1, -1, -1))
    taken = torch.where(reached.view(places, height, width), taken, 0.0)
    if psa_type == 0:
        return taken
    return taken.view(count, places, places).transpose(1, 2).reshape(count, places, height, width)


_SUPPLIED: dict[str, dict[str, Callable[..., Any]]] = {"mmcv.ops.psa_mask": {"psa_mask": psa_mask}}
"""Module of mmcv -> its functions that are replaced."""
