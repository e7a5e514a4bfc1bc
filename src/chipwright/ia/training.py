"""`TrainDeepLearningModel`."""

# ruff: noqa: N802 - the reference's names

from __future__ import annotations

from typing import Any

from chipwright.errors import OptionError, listed, suggestion
from chipwright.ia.environment import env
from chipwright.ia.results import Folder, Result


class _Default(str):
    """A default that can be told from the same text given by the user."""


_FREEZE_MODEL = _Default("FREEZE_MODEL")

_PARAMETERS = (
    "in_folder", "out_folder", "max_epochs", "model_type", "batch_size", "arguments", "learning_rate", "backbone_model",
    "pretrained_model", "validation_percentage", "stop_training", "freeze",
)  # fmt: skip


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
        learning_rate: found by a range test if not given, or the default of the type (object detectors).
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
