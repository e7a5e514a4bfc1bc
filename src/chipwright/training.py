"""The way of a training run: prepare, fit, publish."""

from __future__ import annotations

import shutil
import time

from chipwright import console
from chipwright.chips.decoded import reader_for
from chipwright.errors import DataError, OptionError
from chipwright.files import write_json
from chipwright.options import TrainOptions
from chipwright.preparation import SETUP, Setup, prepare
from chipwright.publishing import TrainResult, publish


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
    from chipwright.engine.feed import choose_workers
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
    workers = choose_workers(options.workers, device, len(units))
    settings = FitSettings(
        max_epochs=options.max_epochs,
        batch_size=batch_size,
        learning_rate=options.learning_rate,
        monitor=setup.arguments.monitor,
        device=device,
        precision=precision,
        seed=options.seed,
        stop_early=options.stop_training,
        augment=options.augmentation != "NONE",
        workers=workers,
        resume=options.resume,
        smallest_batch=setup.model.smallest_batch,
    )
    with reader_for(setup.chips, workers) as reader:
        result = fit(setup.network, setup.task, units, validation, reader, settings, options.out_folder)
    return publish(setup, result, validation, precision, started)


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


def _batch_size(options: TrainOptions, setup: Setup, units: int) -> int:
    model, split = setup.model, setup.split
    if units < model.smallest_batch:
        raise DataError(
            f"{model.keyword} needs a batch of at least {model.smallest_batch}, but there are {units} training samples. "
            "Export more chips."
        )
    if options.batch_size is None:
        return min(model.default_batch_size(max(setup.spec.chip_size)), units)
    if options.batch_size > units:
        raise DataError(
            f"There are {len(split.training)} training samples, fewer than one batch of {options.batch_size}. "
            "Give a smaller batch size, or export more chips."
        )
    if options.batch_size < model.smallest_batch:
        raise OptionError(
            f"{model.keyword} needs a batch size of at least {model.smallest_batch}; {options.batch_size} was given."
        )
    return options.batch_size


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
