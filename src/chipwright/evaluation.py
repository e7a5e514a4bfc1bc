"""Measuring a trained model on labelled folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chipwright import console
from chipwright.chips.chipset import BACKGROUND, ChipSet, ClassInfo
from chipwright.chips.folders import read_chips
from chipwright.chips.formats import change_pairs
from chipwright.chips.reading import ChipReader
from chipwright.engine.feed import Feed, choose_workers
from chipwright.engine.measure import example_panels, measure
from chipwright.errors import DataError, OptionError, listed
from chipwright.model import Model, load_model
from chipwright.publishing import SAMPLES_SHOWN, summarise
from chipwright.report import write_report
from chipwright.report.record import RunRecord


@dataclass(frozen=True)
class EvaluateResult:
    """Figures of a model on labelled folders, and where the report lies."""

    name: str
    folder: Path
    metrics: dict[str, float]
    per_class: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def evaluate(
    path: Path,
    folders: Sequence[Path],
    out: Path | None,
    processor_type: str | None,
    gpu_id: int,
    batch_size: int | None,
    precision: str,
    workers: int | None,
) -> EvaluateResult:
    """Measure the model at `path` on every chip of `folders` and write a report."""
    model = load_model(path, processor_type=processor_type, gpu_id=gpu_id, precision=precision)
    spec, task = model.spec, model.task
    chips = _suited(read_chips(folders), model)
    _check_kind(chips, model)
    for warning in chips.account.warnings:
        console.say(warning)
    target = out or path.resolve().parent / f"{model.name}_evaluation"
    if any(target.resolve() == folder.resolve() or folder.resolve() in target.resolve().parents for folder in folders):
        raise OptionError(f"The report cannot be stored inside the labelled data ({target}): it is never written to.")
    reader = ChipReader.of(chips)
    units = task.units(chips.chips)
    size = batch_size or model.type.default_batch_size(max(spec.chip_size))
    feed = Feed(task, units, reader, size, workers=choose_workers(workers, model.accelerator.device, len(units)))
    measurement = measure(model.network, task, feed, model.accelerator, "Evaluating")
    record = RunRecord(
        name=model.name,
        spec=spec,
        title=model.type.title,
        settings={
            "Model": str(path),
            "Labelled data": "; ".join(str(folder) for folder in folders),
            "Model type": spec.model_type,
            "Backbone": spec.backbone or "none",
            "Batch size": size,
            "Device": str(model.accelerator.device),
        },
        data=summarise(folders, chips, None),
        evaluation=measurement.evaluation,
        samples=example_panels(model.network, task, units, reader, model.accelerator, SAMPLES_SHOWN),
    )
    write_report(target, record)
    figures = measurement.evaluation
    return EvaluateResult(model.name, target, measurement.scalars, figures.per_class, chips.account.warnings)


def _suited(chips: ChipSet, model: Model) -> ChipSet:
    """Return the chips with the model's classes, or raise `DataError` where they do not suit the model."""
    spec = model.spec
    if chips.format not in model.type.formats:
        raise DataError(f"{spec.model_type} is measured on {listed(model.type.formats)}, but the folder holds {chips.format}.")
    if len(chips.bands) != len(spec.bands) or chips.dtype != spec.dtype:
        raise DataError(
            f"{model.name} was trained on {len(spec.bands)} bands of {spec.dtype}, but the chips have "
            f"{len(chips.bands)} bands of {chips.dtype}."
        )
    learnt, given = spec.second, chips.second
    if learnt and given and (len(learnt.bands), learnt.dtype) != (len(given.bands), given.dtype):
        raise DataError(
            f"{model.name} was trained on second images of {len(learnt.bands)} bands of {learnt.dtype}, but those of the chips "
            f"have {len(given.bands)} bands of {given.dtype}."
        )
    values, strange = _meant(chips.classes, spec.classes)
    account = replace(chips.account, warnings=list(chips.account.warnings))
    if chips.format == change_pairs.KEYWORD:  # every value but 0 is the one class
        change = next(info.value for info in spec.classes if info.value != BACKGROUND)
        values, strange = {info.value: change for info in chips.classes if info.value != BACKGROUND}, []
    elif any(chip.label is not None for chip in chips.chips):  # what stands in rasters is not renumbered
        known = {info.value for info in spec.classes}
        strange = [info for info in chips.classes if info.value not in known and info.value != BACKGROUND]
        others = [info for info in chips.classes if info not in strange and values[info.value] != info.value]
        if others:
            account.warnings.append(
                f"The labels have other values than the model for classes of the same names, and values count: "
                f"{listed(f'{info.name} is {info.value} in the labels' for info in others)}."
            )
        values = {}
    if strange:
        names = listed(f"{info.name} ({info.value})" for info in strange)
        account.warnings.append(f"The model does not know these classes, which are left out of the figures: {names}.")
    if any(value != new for value, new in values.items()):
        chips = replace(chips, chips=tuple(chip.renumbered(values) for chip in chips.chips))
    return replace(chips, classes=spec.classes, account=account)


def _check_kind(chips: ChipSet, model: Model) -> None:
    """Raise `DataError` where other things lie beside the first images than the model learnt from."""
    classes = model.task.rasters[0].categorical
    learnt = _beside(model.spec.second is not None, classes)
    given = _beside(chips.second is not None, classes and any(chip.label is not None for chip in chips.chips))
    if learnt != given:
        raise DataError(f"{model.name} was trained on {learnt}, but the chips are {given}. Give chips of the same kind.")


def _beside(second: bool, classes: bool) -> str:
    return "pairs of images" if second else "images with maps of classes" if classes else "single images"


def _meant(given: Sequence[ClassInfo], known: Sequence[ClassInfo]) -> tuple[dict[int, int], list[ClassInfo]]:
    """Return (the model's value for each value of the chips, the chips' classes that the model does not know).

    Classes are the same if they have one name, in any case, else one value: folders without metadata number their classes by
    themselves. Unknown ones get values that no class of the model has.
    """
    by_name = {info.name.casefold(): info.value for info in known}
    named = {info.value: by_name[info.name.casefold()] for info in given if info.name.casefold() in by_name}
    left = {info.value for info in known} - set(named.values())
    free = max((info.value for info in (*given, *known)), default=0)
    values, strange = dict(named), []
    for info in given:
        if info.value in named:
            continue
        if info.value in left or info.value == BACKGROUND:
            values[info.value] = info.value
        else:
            free += 1
            values[info.value] = free
            strange.append(info)
    return values, strange
