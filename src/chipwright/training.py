"""The way of a training run: options, chips, split, network, fit, package, report."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwright import catalog, console
from chipwright.chips.chipset import ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.chips.split import Split, shared_ground, split_chips
from chipwright.errors import DataError, OptionError, listed
from chipwright.files import write_json
from chipwright.models.base import Arguments, ModelType
from chipwright.models.parsing import parse_arguments
from chipwright.normalization import choose_normalization
from chipwright.options import TrainOptions
from chipwright.publishing import TrainResult, publish
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.tasks.base import Task

CACHE_BYTES = 2 * 1024**3
"""Most memory for decoded chips."""
SETUP = "setup.json"


@dataclass(frozen=True)
class Setup:
    """A run before its first step: everything decided, nothing written."""

    options: TrainOptions
    model: ModelType
    arguments: Arguments
    chips: ChipSet
    split: Split
    spec: ModelSpec
    network: nn.Module
    task: Task
    notes: list[str]
    loaded: list[str]
    held: bool
    fingerprint: dict[str, Any]


def train(options: TrainOptions) -> TrainResult:
    """Train a model on exported chips and write its package and report.

    Raises:
        UsageError: for data or options that cannot be used; nothing is written then.
        Interrupted: after Ctrl-C; `resume` goes on.
        ChipwrightError: for a failure under way.
    """
    started = time.perf_counter()
    check_folders(options)
    from chipwright.engine.devices import choose_device, choose_precision
    from chipwright.engine.fit import FitSettings, fit

    device = choose_device(options.processor_type, options.gpu_id)
    precision = choose_precision(options.precision, device)
    setup = prepare(options, precision)
    for note in [*setup.chips.account.warnings, *setup.notes]:
        console.say(note)
    units = setup.task.training_units(setup.chips.subset(setup.split.training).chips)
    validation = setup.task.units(setup.chips.subset(setup.split.validation).chips)
    batch_size = _batch_size(options, setup, len(units))
    console.say(
        f"Training {setup.model.keyword}{f' with {setup.spec.backbone}' if setup.spec.backbone else ''} on "
        f"{len(setup.split.training)} chips, validating on {len(setup.split.validation)} "
        f"({device.type.upper()}, {precision}, batch {batch_size})."
    )
    _start_folder(options, setup)
    result = fit(
        setup.network,
        setup.task,
        units,
        validation,
        ChipReader(setup.chips.nodata, cache_bytes=CACHE_BYTES),
        FitSettings(
            max_epochs=options.max_epochs,
            batch_size=batch_size,
            learning_rate=options.learning_rate,
            monitor=setup.arguments.monitor,
            device=device,
            precision=precision,
            seed=options.seed,
            stop_early=options.stop_training,
            augment=options.augmentation == "DEFAULT",
            workers=options.workers,
            resume=options.resume,
            smallest_batch=setup.model.smallest_batch,
        ),
        options.out_folder,
    )
    return publish(setup, result, validation, precision, started)


# -- before anything is written


def check_folders(options: TrainOptions) -> None:
    """Raise `OptionError` where the output folder cannot be used."""
    out = options.out_folder
    if out.exists() and not out.is_dir():
        raise OptionError(f"{out} is a file; --out names the folder in which the model is stored.")
    for folder in options.in_folder:
        inside = out.resolve() == folder.resolve() or folder.resolve() in out.resolve().parents
        if inside:
            raise OptionError(f"The model cannot be stored inside the training data ({folder}): it is never written to.")
    if options.overwrite and options.resume:
        raise OptionError("--resume goes on with the run in the folder and --overwrite discards it; give one of them.")
    if options.overwrite or not out.is_dir():
        return
    if not options.resume and any(out.glob("*.emd")):
        raise OptionError(f"{out} already holds a trained model. Give another folder, or --overwrite to replace it.")
    if not options.resume and (out / "checkpoints").is_dir():
        raise OptionError(f"{out} holds a run that was not finished. Go on with --resume, or start anew with --overwrite.")


def prepare(options: TrainOptions, precision: str) -> Setup:
    """Read the chips and build the network and its task; everything that can be refused is refused here."""
    model = catalog.find(options.model_type) if options.model_type else None
    if model is not None:  # the faults of options are told before the data is read
        parse_arguments(options.arguments, model.arguments, model.keyword, model.monitors)
        _backbone(options, model)
    chips = read_chips(options.in_folder)
    if model is None:
        model = catalog.find(catalog.pick(chips.format))
        console.say(f"Model type {model.keyword}, picked for {chips.format}.")
    if chips.format not in model.formats:
        fits = catalog.fitting(chips.format)
        raise DataError(
            f"{model.keyword} trains on {listed(model.formats)}, but {options.in_folder[0]} holds {chips.format}. "
            + (f"Types that take it: {listed(fits, 30)}." if fits else "No type of this version takes it yet.")
        )
    arguments = parse_arguments(options.arguments, model.arguments, model.keyword, model.monitors)
    model.check(chips, arguments)
    facts = fingerprint(options, model, arguments, chips, precision)
    saved = _saved_setup(options, facts)
    split = split_chips(chips, options.validation_percentage, options.split, options.seed)
    return _build(options, model, arguments, chips, split, facts, saved)


def _backbone(options: TrainOptions, model: ModelType) -> str | None:
    if model.backbones is None:
        return None
    return model.backbones.resolve(options.backbone_model, model.keyword)


def _build(
    options: TrainOptions,
    model: ModelType,
    arguments: Arguments,
    chips: ChipSet,
    split: Split,
    facts: dict[str, Any],
    saved: dict[str, Any] | None,
) -> Setup:
    from chipwright.engine.seeds import seed_build
    from chipwright.networks.backbones import Backbone
    from chipwright.networks.finetune import match_state
    from chipwright.networks.pretrained import freeze_loaded, hold_statistics, loaded_names, mark_loaded
    from chipwright.networks.weights import find_weights
    from chipwright.package import open_package

    notes = [split.sentence]
    backbone = _backbone(options, model)
    package = open_package(options.pretrained_model) if options.pretrained_model else None
    if package is not None:
        _check_pretrained(package.spec, model, backbone, chips)
    if options.freeze and options.backbone_weights.lower() == "none" and backbone and package is None:
        raise OptionError(
            "FREEZE_MODEL keeps pretrained weights as they are, but --backbone-weights none loads none. "
            "Give weights, or UNFREEZE_MODEL."
        )
    needed = backbone is not None and package is None and saved is None
    weights = find_weights(backbone, options.backbone_weights) if needed and backbone else None
    if saved is not None:
        spec = ModelSpec.model_validate(saved["spec"])
    else:
        training = chips.subset(split.training)
        scale = (weights.mean, weights.std) if weights else None
        same_bands = package is not None and package.spec.dtype == chips.dtype
        spec = ModelSpec(
            model_type=model.keyword,
            arguments=arguments.model_dump(),
            backbone=backbone,
            classes=chips.classes,
            bands=chips.bands,
            dtype=chips.dtype,
            chip_size=(arguments.chip_size, arguments.chip_size) if arguments.chip_size else chips.tile_size,
            normalization=package.spec.normalization if package and same_bands else choose_normalization(chips, scale),
            statistics=chips.statistics,
            metadata_format=chips.format,
            image_space=chips.image_space,
            nodata=chips.nodata,
            metadata=chips.metadata,
            fitted=model.fit(training, arguments),
        )
    notes += spec.fitted.get("notes", [])
    seed_build(options.seed)
    network = model.build(spec, weights)
    bones = {name: module for name, module in network.named_modules() if isinstance(module, Backbone)}
    held = bool(weights and weights.folded)
    if weights is not None:
        notes.append(f"Backbone weights: {weights.source}.")
    if package is not None:
        report = match_state(network, package.state(), package.spec, spec)
        notes += report.sentences
        held, kept = report.statistics_held, set(report.kept)
        for prefix, bone in bones.items():
            mark_loaded(bone, [name for name in bone.state_dict() if f"{prefix}.{name}" in kept])
    if saved is not None:
        held = saved["held"]
        for bone in bones.values():
            mark_loaded(bone, saved["loaded"])
            if held:
                hold_statistics(bone)
    loaded = sorted(name for bone in bones.values() for name in loaded_names(bone))
    notes += _freeze(options, network, loaded, freeze_loaded)
    share = shared_ground(chips, split)
    if share:
        notes.append(
            f"Warning: {share:.0%} of the validation chips overlap training chips on the ground, so their figures flatter the "
            "model. Use --split block to validate on ground of its own."
        )
    task = model.task(spec)
    return Setup(options, model, arguments, chips, split, spec, network, task, notes, loaded, held, facts)


def _check_pretrained(old: ModelSpec, model: ModelType, backbone: str | None, chips: ChipSet) -> None:
    if old.model_type != model.keyword:
        raise OptionError(f"The pretrained model is a {old.model_type}, but {model.keyword} is to be trained. They must be the same.")
    if old.backbone != backbone:
        raise OptionError(f"The pretrained model has the backbone {old.backbone}, not {backbone}: give --backbone-model {old.backbone}.")
    if len(old.bands) != len(chips.bands):
        raise OptionError(f"The pretrained model takes {len(old.bands)} bands, but the chips have {len(chips.bands)}.")


def _freeze(options: TrainOptions, network: nn.Module, loaded: Sequence[str], freeze_loaded: Any) -> list[str]:
    """Freeze what the options ask for, and return what to say about it."""
    if options.freeze is False:
        return []
    if not loaded:
        has_backbone = options.backbone_weights.lower() == "none"
        return ["No pretrained weights were loaded, so nothing is frozen: the whole network is trained."] if has_backbone else []
    trained = freeze_loaded(network)
    return [f"The backbone is frozen, but these of its tensors were not loaded and are trained: {listed(trained)}."] if trained else []


def _batch_size(options: TrainOptions, setup: Setup, units: int) -> int:
    model, split = setup.model, setup.split
    if units < model.smallest_batch:
        raise DataError(
            f"{model.keyword} needs a batch of at least {model.smallest_batch}, but there are {units} training samples. Export more."
        )
    if options.batch_size is None:
        return min(model.default_batch_size(max(setup.spec.chip_size)), units)
    if options.batch_size > units:
        raise DataError(
            f"There are {len(split.training)} training samples, fewer than one batch of {options.batch_size}. "
            "Give a smaller batch size, or export more chips."
        )
    if options.batch_size < model.smallest_batch:
        raise OptionError(f"{model.keyword} needs a batch size of at least {model.smallest_batch}; {options.batch_size} was given.")
    return options.batch_size


def fingerprint(
    options: TrainOptions, model: ModelType, arguments: Arguments, chips: ChipSet, precision: str
) -> dict[str, Any]:
    """Return the options that decide the outcome, as plain data: a resumed run must have the same."""
    pretrained = options.pretrained_model
    return {
        "in_folder": [str(folder.resolve()) for folder in options.in_folder],
        "chips": len(chips),
        "model_type": model.keyword,
        "arguments": arguments.model_dump(mode="json"),
        "backbone_model": _backbone(options, model),
        "max_epochs": options.max_epochs,
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
        "validation_percentage": options.validation_percentage,
        "split": options.split,
        "stop_training": options.stop_training,
        "freeze": options.freeze,
        "pretrained_model": str(pretrained.resolve()) if pretrained else None,
        "augmentation": options.augmentation,
        "precision": precision,
        "seed": options.seed,
    }


def _saved_setup(options: TrainOptions, now: dict[str, Any]) -> dict[str, Any] | None:
    """Return the setup of the run that is to be resumed, or None where there is none to resume.

    Raises:
        OptionError: if it was started with other options.
    """
    path = options.out_folder / "checkpoints" / SETUP
    if not options.resume or not path.is_file():
        return None
    saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for name, value in now.items():
        then = saved["fingerprint"].get(name)
        if then != value:
            raise OptionError(
                f"The run in {options.out_folder} was started with other options: {name} was {then!r}, now it is {value!r}. "
                "Resume with the same options, or start anew with --overwrite."
            )
    return saved


def _start_folder(options: TrainOptions, setup: Setup) -> None:
    """Make the output folder ready for a run: an unfinished one is discarded unless it is resumed."""
    checkpoints = options.out_folder / "checkpoints"
    if not options.resume:
        shutil.rmtree(checkpoints, ignore_errors=True)
        shutil.rmtree(options.out_folder / "events", ignore_errors=True)
    if not (checkpoints / SETUP).is_file():
        data = {
            "fingerprint": setup.fingerprint,
            "spec": setup.spec.model_dump(mode="json"),
            "loaded": setup.loaded,
            "held": setup.held,
        }
        write_json(checkpoints / SETUP, data)
