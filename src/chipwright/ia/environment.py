"""The reference's environment settings that our tools heed."""

# ruff: noqa: N802, N815 - the reference's names

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chipwright.errors import OptionError, listed, suggestion
from chipwright.text_values import is_empty


class Environment:
    """The reference's environment settings that our tools heed.

    Attributes:
        processorType: "CPU", "GPU", or None for a GPU if there is one.
        gpuId: which GPU, or None for the first.
        overwriteOutput: whether a model or an export already in the output folder is replaced.
        cellSize: of exported chips, in map units; None for that of the raster.
    """

    processorType: str | None
    gpuId: int | str | None
    overwriteOutput: bool
    cellSize: float | str | None

    def __init__(self) -> None:
        self.processorType = None
        self.gpuId = None
        self.overwriteOutput = False
        self.cellSize = None

    def __setattr__(self, name: str, value: Any) -> None:
        known = Environment.__annotations__
        if name not in known:
            raise OptionError(f"There is no environment setting {name!r}.{suggestion(name, known)} Settings: {listed(known)}.")
        if name == "processorType" and not is_empty(value) and str(value).strip().upper() not in ("CPU", "GPU"):
            raise OptionError(f"processorType is {value!r}; expected CPU or GPU.")
        object.__setattr__(self, name, value)


env = Environment()
"""The environment settings in force."""


def share(name: str, given: Any, default: float) -> float:
    """Return a number from 0 to 1 that may be given as text.

    Raises:
        OptionError: for anything else.
    """
    try:
        number = default if is_empty(given) else float(given)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number <= 1:
        raise OptionError(f"{name} is {given!r}; expected a number from 0 to 1.")
    return number


@contextmanager
def EnvManager(**settings: Any) -> Iterator[Environment]:
    """Set environment settings within a `with` block, as `arcpy.EnvManager` does."""
    before = dict(vars(env))
    try:
        for name, value in settings.items():
            setattr(env, name, value)
        yield env
    finally:
        for name, value in before.items():
            setattr(env, name, value)
