"""What a finished run writes: package and report, and the result that the caller gets."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwright.chips.balance import class_balance
from chipwright.chips.chipset import ChipSet
from chipwright.chips.reading import ChipReader
from chipwright.chips.split import Split

if TYPE_CHECKING:
    from chipwright.engine.fit import FitResult
    from chipwright.preparation import Setup
    from chipwright.report.record import DataSummary

SAMPLES_SHOWN = 8


@dataclass(frozen=True)
class TrainResult:
    """What a training run came to.

    Attributes:
        out_model_file: path of the .dlpk.
        folder, name: where the model lies and what it is called.
        metrics: figures of the best epoch on the validation samples.
        epochs, best_epoch: epochs trained, and the one kept (from 1).
        batch_size, learning_rate, precision, device: as used.
        seconds: wall time of the whole run.
        warnings: sentences about the data and the run.
    """

    out_model_file: Path
    folder: Path
    name: str
    model_type: str
    metrics: dict[str, float]
    epochs: int
    best_epoch: int
    batch_size: int
    learning_rate: float
    precision: str
    device: str
    seconds: float
    warnings: list[str] = field(default_factory=list)


def publish(setup: Setup, result: FitResult, validation: Sequence[Any], precision: str, started: float) -> TrainResult:
    """Write the package and the report of a finished run and remove its checkpoints."""
    from chipwright.engine.measure import example_panels
    from chipwright.package import pack, save_package
    from chipwright.package.raster_function import function_if_possible
    from chipwright.report import write_report
    from chipwright.report.record import RunRecord

    options, spec, progress = setup.options, setup.spec, result.progress
    folder, name = options.out_folder, options.out_folder.resolve().name
    reader = ChipReader.of(setup.chips)
    setup.task.score_threshold = result.measurement.scalars.get("best_threshold", setup.task.score_threshold)
    record = RunRecord(
        name=name,
        spec=spec,
        title=setup.model.title,
        settings=settings(setup, result, precision),
        data=summarise(options.in_folder, setup.chips, setup.split),
        evaluation=result.measurement.evaluation,
        monitor=setup.arguments.monitor,
        history=progress.history,
        best_epoch=progress.best_epoch,
        range_test=progress.range_test,
        schedule=setup.task.schedule,
        samples=example_panels(setup.network, setup.task, validation, reader, result.accelerator, SAMPLES_SHOWN),
        log=[*setup.notes, *progress.log],
    )
    out_model_file = folder / f"{name}.dlpk"
    if result.accelerator.is_main_process:
        for old in [*folder.glob("*.emd"), *folder.glob("*.dlpk")]:
            old.unlink()
        write_report(folder, record)
        facts = {
            "learning_rate": progress.learning_rate,
            "metrics": result.measurement.scalars,
            "per_class": result.measurement.evaluation.per_class,
            "monitor": setup.arguments.monitor,
            "monitored_value": progress.history[progress.best_epoch - 1][setup.arguments.monitor],
            "precision": precision,
            "augmentation": _augmentation(setup),
        }
        keys = setup.model.emd_keys(spec)
        if options.raster_function:
            keys |= function_if_possible(folder, name, spec, setup.network, setup.task, setup.model.onnx_obstacle(spec))
        save_package(folder, name, spec, setup.network.state_dict(), keys, facts)
        out_model_file = pack(folder, name)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return TrainResult(
        out_model_file=out_model_file,
        folder=folder,
        name=name,
        model_type=setup.model.keyword,
        metrics=result.measurement.scalars,
        epochs=progress.epoch,
        best_epoch=progress.best_epoch,
        batch_size=progress.batch_size,
        learning_rate=progress.learning_rate or 0.0,
        precision=precision,
        device=str(result.accelerator.device),
        seconds=time.perf_counter() - started,
        warnings=[*setup.chips.account.warnings, *progress.log],
    )


def summarise(folders: Sequence[Path], chips: ChipSet, split: Split | None) -> DataSummary:
    """Return what a report says about the chips; without a split all of them count as validation."""
    from chipwright.report.record import DataSummary

    training = split.training if split else ()
    validation = split.validation if split else tuple(range(len(chips)))
    balance, unit = class_balance(chips, {"training": training, "validation": validation})
    return DataSummary(
        folders=[str(folder) for folder in folders],
        chips=len(chips),
        training=len(training),
        validation=len(validation),
        dropped={reason: len(names) for reason, names in chips.account.dropped.items()},
        warnings=chips.account.warnings,
        split=split.sentence if split else "",
        balance=balance,
        unit=unit,
    )


def settings(setup: Setup, result: FitResult, precision: str) -> dict[str, Any]:
    """Return every option and argument with the value that was used, in the order of the tool's parameters."""
    options, spec, progress = setup.options, setup.spec, result.progress
    return {
        "Training data": "; ".join(str(folder) for folder in options.in_folder),
        "Metadata format": spec.metadata_format,
        "Model type": setup.model.keyword,
        "Backbone": spec.backbone or "none",
        "Backbone weights": options.backbone_weights if _looked_for(setup) else "none",
        "Pretrained model": str(options.pretrained_model or "none"),
        "Backbone frozen": "yes" if setup.loaded and options.freeze is not False else "no",
        "Epochs, at most": options.max_epochs,
        "Epochs trained": progress.epoch,
        "Batch size": progress.batch_size,
        "Learning rate": progress.learning_rate,
        "Stop early": "yes" if options.stop_training else "no",
        "Validation percentage": options.validation_percentage,
        "Split": setup.split.method,
        "Augmentation": options.augmentation if isinstance(options.augmentation, str) else "set by the user",
        "Chip size": f"{spec.chip_size[0]} x {spec.chip_size[1]} pixels",
        "Bands": ", ".join(spec.bands),
        "Pixel type": spec.dtype,
        "Device": str(result.accelerator.device),
        "Processes": result.accelerator.num_processes,
        "Precision": precision,
        "Seed": options.seed,
        **{f"Augmentation {name}": value for name, value in _augmentation(setup).items()},
        **{f"Argument {name}": value for name, value in spec.arguments.items()},
    }


def _looked_for(setup: Setup) -> bool:
    """Whether weights of the backbone alone were looked for: not for whole networks, nor where a trained model goes on."""
    backbone = setup.spec.backbone
    return bool(backbone) and backbone not in setup.model.whole_networks and setup.options.pretrained_model is None


def _augmentation(setup: Setup) -> dict[str, Any]:
    """Return what happened to training samples, by name; nothing where they were not changed."""
    if setup.options.augmentation == "NONE" or not setup.task.recipes:
        return {}
    return setup.task.recipes[True].augmentation.model_dump(mode="json")
