"""`chipwright train`: every option of the reference and ours beyond it, from the command line and from a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chipwright.cli.output import AsJson, columns, emit, quoted
from chipwright.errors import OptionError

if TYPE_CHECKING:
    from chipwright.api import TrainResult
    from chipwright.options import TrainOptions

_DATA, _MODEL, _TRAINING, _MACHINE, _RUN = "Data", "Model", "Training", "Machine", "This command"

_SPELLINGS = {"in_folder": "IN_FOLDER", "out_folder": "--out", "arguments": "--argument", "freeze": "--freeze-model"}


def _option(*names: str, panel: str, help: str, metavar: str | None = None, default: str | bool = False) -> Any:
    return typer.Option(*names, rich_help_panel=panel, help=help, metavar=metavar, show_default=default)


# fmt: off
def train(
    in_folder: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IN_FOLDER...", show_default=False, help="Folder(s) that Export Training Data For Deep Learning wrote."),
    ] = None,
    out_folder: Annotated[Path | None, _option("--out", "--out-folder", panel=_DATA, metavar="OUT_FOLDER", help="Folder in which the trained model is stored; its name becomes the model's.")] = None,
    validation_percentage: Annotated[float | None, _option("--validation-percentage", panel=_DATA, metavar="PERCENT", help="Share of samples held back for validation.", default="10")] = None,
    split: Annotated[str | None, _option("--split", panel=_DATA, metavar="random|stratified|block|folder", help="How validation samples are chosen.", default="picked")] = None,
    augmentation: Annotated[str | None, _option("--augmentation", panel=_DATA, metavar="DEFAULT|NONE", help="Random changes to training samples.", default="DEFAULT")] = None,
    model_type: Annotated[str | None, _option("--model-type", panel=_MODEL, metavar="KEYWORD", help='Model type; "chipwright models" lists them.', default="picked from the data")] = None,
    argument: Annotated[list[str] | None, _option("--argument", "-a", panel=_MODEL, metavar="NAME=VALUE", help='Model argument, once for each; "chipwright models KEYWORD" lists them.')] = None,
    backbone_model: Annotated[str | None, _option("--backbone-model", panel=_MODEL, metavar="KEYWORD|timm:NAME", help="Backbone.", default="the model type's")] = None,
    backbone_weights: Annotated[str | None, _option("--backbone-weights", panel=_MODEL, metavar="imagenet|none|FILE", help="Where the backbone's first weights come from.", default="imagenet")] = None,
    pretrained_model: Annotated[Path | None, _option("--pretrained-model", panel=_MODEL, metavar="MODEL", help="Trained model to go on from: folder, .emd or .dlpk.")] = None,
    freeze: Annotated[bool | None, _option("--freeze-model/--unfreeze-model", panel=_MODEL, help="Keep the backbone's pretrained weights as they are.", default="freeze-model")] = None,
    max_epochs: Annotated[int | None, _option("--max-epochs", panel=_TRAINING, metavar="COUNT", help="Most epochs; one epoch shows every training sample once.", default="20")] = None,
    batch_size: Annotated[int | None, _option("--batch-size", panel=_TRAINING, metavar="COUNT", help="Samples per step and device.", default="picked")] = None,
    learning_rate: Annotated[float | None, _option("--learning-rate", panel=_TRAINING, metavar="RATE", help="Learning rate.", default="found by a range test")] = None,
    stop_training: Annotated[bool | None, _option("--stop-training/--continue-training", panel=_TRAINING, help="Stop early when the monitored metric no longer improves.", default="stop-training")] = None,
    seed: Annotated[int | None, _option("--seed", panel=_TRAINING, metavar="NUMBER", help="Seed of everything random.", default="42")] = None,
    processor_type: Annotated[str | None, _option("--processor-type", panel=_MACHINE, metavar="CPU|GPU", help="Where to train.", default="a GPU if there is one")] = None,
    gpu_id: Annotated[int | None, _option("--gpu-id", panel=_MACHINE, metavar="NUMBER", help="Which GPU.", default="0")] = None,
    precision: Annotated[str | None, _option("--precision", panel=_MACHINE, metavar="auto|float32|bfloat16|float16", help="Arithmetic of training.", default="auto")] = None,
    workers: Annotated[int | None, _option("--workers", panel=_MACHINE, metavar="COUNT", help="Loader processes.", default="picked")] = None,
    resume: Annotated[bool | None, _option("--resume", panel=_RUN, help="Go on from the last checkpoint in OUT_FOLDER.")] = None,
    overwrite: Annotated[bool | None, _option("--overwrite", panel=_RUN, help="Replace a model that is already in OUT_FOLDER.")] = None,
    config: Annotated[Path | None, _option("--config", panel=_RUN, metavar="FILE.yaml", help="Read options from a file; the command line wins.")] = None,
    print_config: Annotated[bool, _option("--print-config", panel=_RUN, help="Print every option as YAML for --config, and stop.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model from image chips.

    Example: chipwright train chips --out models/trees --model-type FASTERRCNN
    """
    # fmt: on
    given = {
        "in_folder": in_folder, "out_folder": out_folder, "validation_percentage": validation_percentage, "split": split,
        "augmentation": augmentation, "model_type": model_type, "arguments": argument, "backbone_model": backbone_model,
        "backbone_weights": backbone_weights, "pretrained_model": pretrained_model, "freeze": freeze,
        "max_epochs": max_epochs, "batch_size": batch_size, "learning_rate": learning_rate,
        "stop_training": stop_training, "seed": seed, "processor_type": processor_type, "gpu_id": gpu_id,
        "precision": precision, "workers": workers, "resume": resume, "overwrite": overwrite,
    }  # fmt: skip
    options = effective_options(given, config)
    if print_config:
        emit({"config": options.model_dump(mode="json")}, as_yaml(options), as_json)
        return

    from chipwright.option_values import check_model_options

    check_model_options(options)

    from chipwright import api

    result = api.train(options)
    emit(result, summary(result), as_json)


def effective_options(given: Mapping[str, Any], config: Path | None) -> TrainOptions:
    """Return the options of the command line (None or empty where not given) over those of the configuration file.

    Raises:
        OptionError: for a file or an option that cannot be used.
    """
    from chipwright.models.parsing import read_arguments
    from chipwright.option_values import canonical_options, make_options

    said = {name: value for name, value in given.items() if value is not None and value != []}
    if config is None:
        return make_options(said, spell)
    written = canonical_options(_read_config(config))
    arguments = read_arguments(written.get("arguments")) | read_arguments(said.get("arguments"))
    return make_options({**written, **said, "arguments": arguments}, spell)


def _read_config(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"The configuration file {path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise OptionError(f"The configuration file {path} is not YAML: {problem}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise OptionError(f'The configuration file {path} holds no options; expected lines such as "max_epochs: 20".')
    return content


def spell(name: str) -> str:
    """Return an option as the command line spells it: `--max-epochs`; `IN_FOLDER` is no option."""
    return _SPELLINGS.get(name, "--" + name.replace("_", "-"))


def as_yaml(options: TrainOptions) -> str:
    """Return every option with its value and its help as a YAML file that `--config` reads."""
    import yaml

    lines = ["# Options of chipwright train; null stands for the default."]
    values = options.model_dump(mode="json")
    for name, field in type(options).model_fields.items():
        lines += [f"# {field.description}", yaml.safe_dump({name: values[name]}, sort_keys=False, allow_unicode=True).rstrip()]
    return "\n".join(lines)


def summary(result: TrainResult) -> str:
    """Return what a user reads after training: the figures, where everything lies, and what to do next."""
    from chipwright.report.wording import capital, duration, figure, metric

    epochs = "1 epoch" if result.epochs == 1 else f"{result.epochs} epochs"
    best = f"; the best was epoch {result.best_epoch}" if result.epochs > 1 else ""
    figures = [(capital(metric(name).label), figure(name, value)) for name, value in result.metrics.items()]
    places = [
        ("Model:", str(result.out_model_file)),
        ("Report:", str(result.folder / "model_metrics.html")),
        ("Next:", f"chipwright evaluate {quoted(result.folder)} CHIPS_FOLDER   measures it on other labelled chips"),
    ]
    return "\n".join(
        [
            f"Trained {result.model_type} for {epochs} in {duration(result.seconds)}{best}.",
            *([columns(figures, indent=2)] if figures else []),
            "",
            columns(places),
        ]
    )
