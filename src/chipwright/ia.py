"""Drop-in functions with the reference's names, parameters and values, for scripts that call `arcpy.ia`.

from chipwright.ia import TrainDeepLearningModel, env

env.processorType = "GPU"
result = TrainDeepLearningModel("chips", "models/trees", 20, "FASTERRCNN", 8, "monitor average_precision")
print(result.out_model_file, result.metrics)
"""

# ruff: noqa: N802, N815 - the reference's names

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from chipwright.errors import OptionError, listed, suggestion
from chipwright.text_values import is_empty

__all__ = ["EnvManager", "Environment", "Result", "TrainDeepLearningModel", "env"]


class _Default(str):
    """A default that can be told from the same text given by the user."""


_FREEZE_MODEL = _Default("FREEZE_MODEL")

_PARAMETERS = (
    "in_folder", "out_folder", "max_epochs", "model_type", "batch_size", "arguments", "learning_rate", "backbone_model",
    "pretrained_model", "validation_percentage", "stop_training", "freeze",
)  # fmt: skip


class Environment:
    """The reference's environment settings that training heeds.

    Attributes:
        processorType: "CPU", "GPU", or None for a GPU if there is one.
        gpuId: which GPU, or None for the first.
        overwriteOutput: whether a model already in the output folder is replaced.
    """

    processorType: str | None
    gpuId: int | str | None
    overwriteOutput: bool

    def __init__(self) -> None:
        self.processorType = None
        self.gpuId = None
        self.overwriteOutput = False

    def __setattr__(self, name: str, value: Any) -> None:
        known = Environment.__annotations__
        if name not in known:
            raise OptionError(f"There is no environment setting {name!r}.{suggestion(name, known)} Settings: {listed(known)}.")
        if name == "processorType" and not is_empty(value) and str(value).strip().upper() not in ("CPU", "GPU"):
            raise OptionError(f"processorType is {value!r}; expected CPU or GPU.")
        object.__setattr__(self, name, value)


env = Environment()
"""The environment settings in force."""


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


@dataclass(frozen=True)
class Result:
    """What a tool returns; like arcpy's, `result[0]` and `result.getOutput(0)` are the output as text.

    Attributes:
        out_model_file: path of the `.dlpk`.
        metrics: figures on the validation samples by name.
        epochs: epochs trained.
        best_epoch: the epoch whose weights were kept, counted from 1.
        details: the whole result of `chipwright.train`.
    """

    out_model_file: Path
    metrics: dict[str, float]
    epochs: int
    best_epoch: int | None
    details: Any = field(repr=False, compare=False)

    outputCount = 1
    status = 4
    """arcpy's number for a tool that succeeded."""

    def getOutput(self, index: int) -> str:
        """Return an output as text; there is one, the model file."""
        return self[index]

    def getMessages(self, severity: int = 0) -> str:
        """Return the warnings, a line each."""
        return "\n".join(self.details.warnings)

    def __getitem__(self, index: int) -> str:
        if index not in (0, -1):
            raise IndexError("the result has one output, number 0: the model file")
        return str(self.out_model_file)

    def __len__(self) -> int:
        return self.outputCount

    def __str__(self) -> str:
        return str(self.out_model_file)

    def __fspath__(self) -> str:
        return str(self.out_model_file)


Folder = str | PathLike[str]


def TrainDeepLearningModel(
    in_folder: Folder | list[Folder],
    out_folder: Folder,
    max_epochs: int | str | None = 20,
    model_type: str | None = None,
    batch_size: int | str | None = None,
    arguments: str | list[Any] | dict[str, Any] | None = None,
    learning_rate: float | str | None = None,
    backbone_model: str | None = None,
    pretrained_model: Folder | None = None,
    validation_percentage: float | str | None = 10,
    stop_training: str | bool | None = "STOP_TRAINING",
    freeze: str | bool | None = _FREEZE_MODEL,
    **beyond: Any,
) -> Result:
    """Train a deep-learning model from the output of *Export Training Data For Deep Learning*.

    Parameters, order, values and defaults are the reference's. None, `""` and `"#"` stand for a default, numbers may be text,
    and `env` says where to compute.

    Args:
        in_folder: folder of chips, or several as a list or as text with semicolons.
        out_folder: folder in which the model is stored; its name becomes the model's.
        max_epochs: most epochs.
        model_type: one of the keywords that `chipwright models` lists; picked from the data if not given.
        batch_size: samples per step; picked if not given.
        arguments: model arguments as `"name value;name value"`, a list of pairs, or a dictionary.
        learning_rate: found by a range test if not given.
        backbone_model: keyword or `timm:NAME`; the model type's default if not given.
        pretrained_model: `.emd` or `.dlpk` to fine-tune.
        validation_percentage: share of samples held back for validation.
        stop_training: STOP_TRAINING or CONTINUE_TRAINING, or a truth.
        freeze: FREEZE_MODEL or UNFREEZE_MODEL, or a truth.
        **beyond: options that the reference has not, such as `backbone_weights`, `split`, `seed`, `resume`, `overwrite`.

    Returns:
        The model file and the figures.

    Raises:
        OptionError, DataError, PackageError: for input that cannot be used; nothing is written then.
        ChipwrightError: for a failure under way.
    """
    given = {
        "in_folder": in_folder, "out_folder": out_folder, "max_epochs": max_epochs, "model_type": model_type,
        "batch_size": batch_size, "arguments": arguments, "learning_rate": learning_rate,
        "backbone_model": backbone_model, "pretrained_model": pretrained_model,
        "validation_percentage": validation_percentage, "stop_training": stop_training,
        "freeze": None if isinstance(freeze, _Default) else freeze,
    }  # fmt: skip
    from chipwright.option_values import check_model_options, make_options

    settings = {"processor_type": env.processorType, "gpu_id": env.gpuId, "overwrite": env.overwriteOutput}
    options = make_options({**settings, **_checked(beyond), **given})
    check_model_options(options)

    from chipwright import api

    trained = api.train(**dict(options))
    return Result(trained.out_model_file, dict(trained.metrics), trained.epochs, trained.best_epoch, trained)


def _checked(beyond: dict[str, Any]) -> dict[str, Any]:
    """Return the options beyond the reference's, or refuse a name that is neither's."""
    from chipwright.options import TrainOptions

    known = {name for name in TrainOptions.model_fields if name not in _PARAMETERS}
    for name in beyond:
        if name not in known:
            everything = [*_PARAMETERS, *sorted(known)]
            raise OptionError(
                f"TrainDeepLearningModel has no parameter {name!r}.{suggestion(name, everything)} "
                f"Its parameters are {listed(_PARAMETERS, 20)}; beyond the reference: {listed(sorted(known), 20)}."
            )
    return beyond
