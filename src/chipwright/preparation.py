"""A run before its first step: chips read and split, network and task built; whatever can be refused is refused here."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chipwright import catalog, console
from chipwright.chips.chipset import ChipSet, SecondImages
from chipwright.chips.folders import read_chips
from chipwright.chips.split import Split, shared_ground, split_chips
from chipwright.errors import DataError, OptionError, listed
from chipwright.models.base import Arguments, ModelType
from chipwright.models.parsing import parse_arguments
from chipwright.options import TrainOptions
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights
    from chipwright.package import Package
    from chipwright.tasks.base import Task

SETUP = "setup.json"


@dataclass(frozen=True)
class Setup:
    """Everything decided, nothing written.

    Attributes:
        notes: sentences about what was decided.
        loaded: names of the pretrained tensors, within the backbone.
        held: whether batch-normalisation statistics are kept because they are folded into the convolutions.
        fingerprint: the options that decide the outcome.
    """

    options: TrainOptions
    model: ModelType
    arguments: Arguments
    chips: ChipSet
    split: Split
    spec: ModelSpec
    network: nn.Module
    task: Task
    loaded: list[str]
    held: bool
    fingerprint: dict[str, Any]
    notes: list[str]


@dataclass
class _Start:
    """Where the network's first weights come from: a backbone's file, a package to fine-tune, or an unfinished run."""

    weights: BackboneWeights | None = None
    package: Package | None = None
    saved: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)


def prepare(options: TrainOptions, precision: str) -> Setup:
    """Read the chips and build the network and its task; everything that can be refused is refused here."""
    model = catalog.find(options.model_type) if options.model_type else None
    if model is not None:  # the faults of options are told before the data is read
        parse_arguments(options.arguments, model.arguments, model.keyword, model.monitors)
        if model.backbones is not None:
            model.backbones.resolve(options.backbone_model, model.keyword)
    chips = read_chips(options.in_folder)
    if model is None:
        labelled = any(chip.label is not None for chip in chips.chips)
        model = catalog.find(catalog.pick(chips.format, paired=chips.second is not None, labelled=labelled))
        console.say(f"Model type {model.keyword}, picked for {chips.format}.")
    if chips.format not in model.formats:
        fits = catalog.fitting(chips.format)
        raise DataError(
            f"{model.keyword} trains on {listed(model.formats)}, but {options.in_folder[0]} holds {chips.format}. "
            + (f"{model.data_hint} " if model.data_hint else "")
            + (f"Types that take it: {listed(fits, 30)}." if fits else "No type of this version takes it yet.")
        )
    arguments = parse_arguments(options.arguments, model.arguments, model.keyword, model.monitors)
    model.check(chips, arguments)
    facts = fingerprint(options, model, arguments, chips, precision)
    saved = _saved_setup(options, facts)
    backbone = _backbone(options, model, arguments)
    start = _first_weights(options, model, backbone, chips, saved)
    split = split_chips(chips, options.validation_percentage, options.split, options.seed)
    spec = _spec(options, model, arguments, backbone, chips, split, start)
    required = model.requirements(spec)
    network, loaded, held, notes = _network(options, model, spec, start)
    task = model.task(spec)
    if spec.augmentation and not task.recipes:
        raise OptionError(f"{model.keyword} makes no random changes to its samples that could be set: leave augmentation out.")
    return Setup(
        options=options,
        model=model,
        arguments=arguments,
        chips=chips,
        split=split,
        spec=spec,
        network=network,
        task=task,
        loaded=loaded,
        held=held,
        fingerprint=facts,
        notes=[
            split.sentence,
            *_shared_ground(chips, split),
            *spec.fitted.get("notes", []),
            *_unused_backbone(options, model, arguments),
            *required,
            *notes,
        ],
    )


def _backbone(options: TrainOptions, model: ModelType, arguments: Arguments) -> str | None:
    if model.backbones is None:
        return None
    name = model.backbones.resolve(options.backbone_model, model.keyword)
    return None if model.no_backbone(arguments) else name


def _unused_backbone(options: TrainOptions, model: ModelType, arguments: Arguments) -> list[str]:
    reason = f"{model.keyword} takes none." if model.backbones is None else model.no_backbone(arguments)
    return [f"The backbone {options.backbone_model} is not used: {reason}"] if reason and options.backbone_model else []


def _first_weights(
    options: TrainOptions, model: ModelType, backbone: str | None, chips: ChipSet, saved: dict[str, Any] | None
) -> _Start:
    """Find the first weights; fine-tuning and resuming need no backbone weights."""
    from chipwright.networks.weights import find_weights
    from chipwright.package import open_package

    if options.pretrained_model:
        package = open_package(options.pretrained_model)
        _check_pretrained(package.spec, model, backbone, chips)
        return _Start(package=package, saved=saved)
    if options.freeze and backbone and options.backbone_weights.lower() == "none":
        raise OptionError(
            "FREEZE_MODEL keeps pretrained weights as they are, but --backbone-weights none loads none. "
            "Give weights, or UNFREEZE_MODEL."
        )
    if backbone is None or backbone in model.whole_networks or saved is not None:
        return _Start(saved=saved)
    weights = find_weights(backbone, options.backbone_weights)
    return _Start(weights=weights, notes=[f"Backbone weights: {weights.source}."] if weights else [])


def _check_pretrained(old: ModelSpec, model: ModelType, backbone: str | None, chips: ChipSet) -> None:
    if old.model_type != model.keyword:
        raise OptionError(
            f"The pretrained model is a {old.model_type}, but {model.keyword} is to be trained. They must be the same."
        )
    if old.backbone != backbone:
        raise OptionError(
            f"The pretrained model has the backbone {old.backbone}, not {backbone}: give --backbone-model {old.backbone}."
        )
    if len(old.bands) != len(chips.bands):
        raise OptionError(f"The pretrained model takes {len(old.bands)} bands, but the chips have {len(chips.bands)}.")


def _spec(
    options: TrainOptions,
    model: ModelType,
    arguments: Arguments,
    backbone: str | None,
    chips: ChipSet,
    split: Split,
    start: _Start,
) -> ModelSpec:
    """Return the model as plain data, with what is fitted on the training chips; a resumed run keeps its own."""
    if start.saved is not None:
        return ModelSpec.model_validate(start.saved["spec"])
    old = start.package.spec if start.package is not None else None
    scale = (start.weights.mean, start.weights.std) if start.weights else None
    kept = old is not None and old.dtype == chips.dtype
    normalization = old.normalization if old and kept else model.normalization(chips, arguments, scale)
    second_kept = old is not None and _alike(old.second, chips.second)
    second = old.second_normalization if old and second_kept else model.second_normalization(chips, arguments, scale)
    return ModelSpec(
        model_type=model.keyword,
        arguments=arguments.model_dump(),
        backbone=backbone,
        classes=chips.classes,
        bands=chips.bands,
        dtype=chips.dtype,
        chip_size=model.chip_size(chips, arguments),
        normalization=normalization,
        statistics=chips.statistics,
        metadata_format=chips.format,
        image_space=chips.image_space,
        nodata=chips.nodata,
        second=chips.second,
        second_normalization=second,
        metadata=chips.metadata,
        augmentation=options.augmentation if isinstance(options.augmentation, dict) else {},
        fitted=model.fit(chips.subset(split.training), arguments, old.fitted if old else None),
    )


def _alike(old: SecondImages | None, new: SecondImages | None) -> bool:
    """Whether the scaling of a pretrained model's second images means something for those at hand."""
    return old is not None and new is not None and old.dtype == new.dtype and len(old.bands) == len(new.bands)


def _network(
    options: TrainOptions, model: ModelType, spec: ModelSpec, start: _Start
) -> tuple[nn.Module, list[str], bool, list[str]]:
    """Build the network with its first weights, frozen as asked. Return it, its pretrained tensors, whether statistics are
    held, and what to say."""
    from chipwright.engine.seeds import seed_build
    from chipwright.networks.finetune import match_state
    from chipwright.networks.pretrained import backbones, freeze_loaded, hold_statistics, loaded_names, mark_loaded

    notes = list(start.notes)
    seed_build(options.seed)
    network = model.build(spec, start.weights)
    bones = backbones(network)
    held = bool(start.weights and start.weights.folded)
    if start.package is None and start.saved is None:
        notes += model.initialize(network, spec)
    if start.package is not None:
        report = match_state(network, start.package.state(), start.package.spec, spec)
        notes += report.sentences
        held, kept = report.statistics_held, set(report.kept)
        for prefix, bone in bones.items():
            mark_loaded(bone, [name for name in bone.state_dict() if f"{prefix}.{name}" in kept])
    if start.saved is not None:  # the weights themselves come from the checkpoint
        held = start.saved["held"]
        for bone in bones.values():
            mark_loaded(bone, start.saved["loaded"])
            if held:
                hold_statistics(bone)
    loaded = sorted(name for bone in bones.values() for name in loaded_names(bone))
    if loaded and options.freeze is not False:
        trained = freeze_loaded(network)
        if trained:
            notes.append(
                f"The backbone is frozen, but these of its tensors were not loaded and are trained: {listed(trained)}."
            )
    elif bones and options.freeze is not False:
        notes.append("Warning: no pretrained weights were loaded, so nothing is frozen; the whole network is trained.")
    elif options.freeze:
        notes.append(f"Warning: {spec.model_type} has no backbone to freeze; the whole network is trained.")
    return network, loaded, held, notes


def _shared_ground(chips: ChipSet, split: Split) -> list[str]:
    share = shared_ground(chips, split)
    if not share:
        return []
    return [
        f"Warning: {share:.0%} of the validation chips overlap training chips on the ground, so their figures flatter the "
        "model. Use --split block to validate on ground of its own."
    ]


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
        "backbone_model": _backbone(options, model, arguments),
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
