"""`chipwright train`: every option of the reference and ours beyond it, from the command line and from a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwright.cli import train_options as choose
from chipwright.cli.output import AsJson, columns, emit, figure_columns, quoted
from chipwright.files import read_mapping

if TYPE_CHECKING:
    from chipwright.options import TrainOptions
    from chipwright.publishing import TrainResult

_SPELLINGS = {"in_folder": "IN_FOLDER", "out_folder": "--out", "arguments": "--argument", "freeze": "--freeze-model"}


def train(
    in_folder: choose.InFolder = None,
    out_folder: choose.OutFolder = None,
    validation_percentage: choose.ValidationPercentage = None,
    split: choose.Split = None,
    augmentation: choose.Augmentation = None,
    model_type: choose.ModelTypeKeyword = None,
    argument: choose.ModelArguments = None,
    backbone_model: choose.BackboneModel = None,
    backbone_weights: choose.BackboneWeights = None,
    pretrained_model: choose.PretrainedModel = None,
    freeze: choose.Freeze = None,
    max_epochs: choose.MaxEpochs = None,
    batch_size: choose.BatchSize = None,
    learning_rate: choose.LearningRate = None,
    stop_training: choose.StopTraining = None,
    seed: choose.Seed = None,
    processor_type: choose.ProcessorType = None,
    gpu_id: choose.GpuId = None,
    precision: choose.Precision = None,
    workers: choose.Workers = None,
    resume: choose.Resume = None,
    overwrite: choose.Overwrite = None,
    raster_function: choose.RasterFunction = None,
    config: choose.Config = None,
    print_config: choose.PrintConfig = False,
    as_json: AsJson = False,
) -> None:
    """Train a model from image chips.

    Example: chipwright train chips --out models/trees --model-type FASTERRCNN
    """
    given = {
        "in_folder": in_folder, "out_folder": out_folder, "validation_percentage": validation_percentage, "split": split,
        "augmentation": augmentation, "model_type": model_type, "arguments": argument, "backbone_model": backbone_model,
        "backbone_weights": backbone_weights, "pretrained_model": pretrained_model, "freeze": freeze,
        "max_epochs": max_epochs, "batch_size": batch_size, "learning_rate": learning_rate,
        "stop_training": stop_training, "seed": seed, "processor_type": processor_type, "gpu_id": gpu_id,
        "precision": precision, "workers": workers, "resume": resume, "overwrite": overwrite,
        "raster_function": raster_function,
    }  # fmt: skip
    options = effective_options(given, config)
    if print_config:
        emit({"config": options.model_dump(mode="json")}, as_yaml(options), as_json)
        return

    from chipwright.option_values import check_model_options

    check_model_options(options)

    from chipwright import api

    result = api.train(**dict(options))
    emit(result, summary(result), as_json)


def effective_options(given: Mapping[str, Any], config: Path | None) -> TrainOptions:
    """Return the options of the command line (None or empty where not given) over those of the configuration file.

    Raises:
        OptionError: for a file or an option that cannot be used.
    """
    from chipwright.models.parsing import raw_arguments
    from chipwright.option_values import canonical_options, make_options

    said = {name: value for name, value in given.items() if value is not None and value != []}
    if config is None:
        return make_options(said, spell)
    written = canonical_options(read_mapping(config, "configuration file", "max_epochs: 20"))
    arguments = raw_arguments(written.get("arguments")) | raw_arguments(said.get("arguments"))
    return make_options({**written, **said, "arguments": arguments}, spell)


def spell(name: str) -> str:
    """Return an option as the command line spells it: `--max-epochs`; `IN_FOLDER` is no option."""
    return _SPELLINGS.get(name, "--" + name.replace("_", "-"))


def as_yaml(options: TrainOptions) -> str:
    """Return every option with its value and its help as a YAML file that `--config` reads."""
    import yaml

    lines = ["# Options of chipwright train; null stands for the default."]
    values = options.model_dump(mode="json")
    for name, field in type(options).model_fields.items():
        lines += [f"# {field.description}", yaml.safe_dump({name: values[name]}, sort_keys=False).rstrip()]
    return "\n".join(lines)


def summary(result: TrainResult) -> str:
    """Return what a user reads after training: the figures, where everything lies, and what to do next."""
    from chipwright.report.wording import duration

    epochs = "1 epoch" if result.epochs == 1 else f"{result.epochs} epochs"
    best = f"; the best was epoch {result.best_epoch}" if result.epochs > 1 else ""
    places = [
        ("Model:", str(result.out_model_file)),
        ("Report:", str(result.folder / "model_metrics.html")),
        ("Next:", f"chipwright predict {quoted(result.folder)} RASTER --out FILE   puts it to work on a map"),
        ("", f"chipwright evaluate {quoted(result.folder)} CHIPS_FOLDER   measures it on other labelled chips"),
    ]
    return "\n".join(
        [
            f"Trained {result.model_type} for {epochs} in {duration(result.seconds)}{best}.",
            *([figure_columns(result.metrics)] if result.metrics else []),
            "",
            columns(places),
        ]
    )
