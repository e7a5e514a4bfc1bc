"""The training loop: epochs of steps, measured, checkpointed, resumable to the bit on a CPU."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils.memory import release_memory, should_reduce_batch_size
from torch import Tensor, nn

from chipwright import console
from chipwright.engine import schedules
from chipwright.engine.averaging import WeightAverage
from chipwright.engine.checkpoints import Checkpoints, Progress
from chipwright.engine.devices import place, share_buffers, start_accelerator
from chipwright.engine.feed import Feed, choose_workers
from chipwright.engine.interruption import StopRequest
from chipwright.engine.logs import Events, write_log
from chipwright.engine.measure import Measurement, measure
from chipwright.engine.range_test import planned_steps, range_test
from chipwright.engine.seeds import seed_step
from chipwright.errors import ChipwrightError, Interrupted
from chipwright.networks.pretrained import train_mode
from chipwright.tasks.base import Batch, Reader, Task

PATIENCE = 5
"""Epochs without improvement after which training stops early."""
SMALLEST_IMPROVEMENT = 0.001
CHECKPOINT_SECONDS = 600.0
"""A long epoch is checkpointed under way this often."""
AGREEING_STEPS = 8
"""Several processes ask each other this often whether to checkpoint or stop; each asking makes them wait for one another."""
_RANGE_TEST_EPOCH = 2**31 - 1
"""The epoch whose order and samples the range test uses, so that it shares none with training."""


@dataclass(frozen=True)
class FitSettings:
    """How to train; see `TrainOptions` for the meaning of each."""

    max_epochs: int
    batch_size: int
    learning_rate: float | None
    monitor: str
    device: torch.device
    precision: str
    seed: int = 42
    stop_early: bool = True
    augment: bool = True
    workers: int | None = None
    resume: bool = False
    smallest_batch: int = 1


@dataclass(frozen=True)
class FitResult:
    """What training came to; the network holds the weights of the best epoch."""

    progress: Progress
    measurement: Measurement
    accelerator: Accelerator


def fit(
    network: nn.Module,
    task: Task,
    training: Sequence[Any],
    validation: Sequence[Any],
    reader: Reader,
    settings: FitSettings,
    folder: Path,
) -> FitResult:
    """Train `network` on the training units and leave it with the weights of the best epoch.

    When memory runs out, training goes on from the last checkpoint with half the batch size.

    Raises:
        Interrupted: after Ctrl-C; the checkpoint is kept.
        ChipwrightError: if the loss is no number, or memory does not suffice for the smallest batch.
    """
    accelerator = start_accelerator(settings.device, settings.precision)
    place(network, accelerator.device)
    checkpoints = Checkpoints(folder / "checkpoints")
    saved = checkpoints.load() if settings.resume else None
    batch_size = saved["progress"]["batch_size"] if saved else settings.batch_size
    while True:
        run = _Run(network, task, training, validation, reader, settings, folder, checkpoints, accelerator, batch_size, saved)
        try:
            measurement = run.train()
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
        else:
            return FitResult(run.progress, measurement, accelerator)
        # outside the handler: the error's traceback would keep the step's tensors alive
        smaller = batch_size // 2
        if smaller < settings.smallest_batch:
            raise ChipwrightError(
                f"Memory does not suffice for a batch of {batch_size}. Give a smaller chip_size or a smaller backbone."
            )
        del run
        release_memory()
        message = f"Memory ran out with a batch of {batch_size}; going on from the last checkpoint with {smaller}."
        console.warn(message)
        saved = checkpoints.load()
        if saved is None:
            raise ChipwrightError("Memory ran out before the first checkpoint was written.")
        saved["progress"] |= {
            "batch_size": smaller,
            "step": 0,
            "sums": {},
            "samples": 0,
            "log": [*saved["progress"]["log"], message],
        }
        batch_size = smaller


class _Run:
    """One attempt with one batch size."""

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        training: Sequence[Any],
        validation: Sequence[Any],
        reader: Reader,
        settings: FitSettings,
        folder: Path,
        checkpoints: Checkpoints,
        accelerator: Accelerator,
        batch_size: int,
        saved: dict[str, Any] | None,
    ) -> None:
        self.network, self.task, self.settings = network, task, settings
        self.folder, self.checkpoints, self.accelerator = folder, checkpoints, accelerator
        place_in_run: dict[str, Any] = {
            "workers": choose_workers(settings.workers, accelerator.device, len(training)),
            "pin_memory": accelerator.device.type == "cuda",
            "rank": accelerator.process_index,
            "processes": accelerator.num_processes,
        }
        self.feed = Feed(
            task, training, reader, batch_size,
            seed=settings.seed, shuffle=True, augment=settings.augment, smallest=settings.smallest_batch, **place_in_run,
        )  # fmt: skip
        self.validation_feed = Feed(task, validation, reader, batch_size, seed=settings.seed, **place_in_run)
        parts = task.parts(network)
        self.networks = parts
        if accelerator.num_processes > 1:
            self.networks = {name: accelerator.prepare_model(part) for name, part in parts.items()}
        self.optimizers = {}
        for phase in task.phases:
            optimizer = task.optimizer(task.parameter_groups([parts[name] for name in phase.parts]), phase)
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])
            self.optimizers[phase.name] = accelerator.prepare_optimizer(optimizer)
        self.average = WeightAverage(network, task.weight_average) if task.weight_average else None
        self.schedule = schedules.SCHEDULES[task.schedule]
        self.progress = Progress(batch_size=batch_size, learning_rate=settings.learning_rate)
        if saved:
            self._restore(saved)

    def train(self) -> Measurement:
        """Train to the end, load the best weights and measure them."""
        progress = self.progress
        with StopRequest() as stop:
            if progress.learning_rate is None:
                self._save()
                self._find_rate()
            if progress.epoch == 0 and progress.step == 0:
                self._save()
            events = Events(self.folder, progress.epoch) if self.accelerator.is_main_process else None
            while not progress.finished:
                self._train_epoch(stop)
                self._close_epoch()
                if events:
                    events.write(progress.history[-1])
                (stopping,) = self._any(stop.requested)
                if stopping and not progress.finished:
                    self._interrupt()
            if events:
                events.close()
        self.network.load_state_dict(self.checkpoints.load_best())
        return measure(self.network, self.task, self.validation_feed, self.accelerator, "Measuring the best epoch")

    # -- one epoch

    def _train_epoch(self, stop: StopRequest) -> None:
        progress, epoch = self.progress, self.progress.epoch
        steps, size = len(self.feed), self.settings.max_epochs
        sums: dict[str, Any] = dict(progress.sums)
        started, saved_at = time.perf_counter() - progress.seconds, time.perf_counter()
        train_mode(self.network)
        batches = console.track(self.feed.batches(epoch, progress.step), f"Epoch {epoch + 1} of {size}", steps - progress.step)
        for step, batch in enumerate(batches, progress.step):
            for optimizer in self.optimizers.values():
                schedules.apply(optimizer, self.schedule, self._rate(), (epoch + step / steps) / size)
            count = len(batch[self.task.image_keys[0]])
            losses = self._step(epoch, step, batch)
            if self.average:
                self.average.update(self.network)
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0) + loss.detach().double() * count  # stays on the device: no waiting
            progress.samples += count
            progress.step = step + 1
            if self.accelerator.num_processes > 1 and progress.step % AGREEING_STEPS:
                continue
            stopping, due = self._any(stop.requested, time.perf_counter() - saved_at > CHECKPOINT_SECONDS)
            if stopping or due:
                progress.sums = {name: float(value) for name, value in sums.items()}
                progress.seconds = time.perf_counter() - started
                self._save()
                saved_at = time.perf_counter()
                if stopping:
                    self._interrupt()
        progress.sums = {name: float(value) for name, value in sums.items()}
        progress.seconds = time.perf_counter() - started

    def _step(self, epoch: int, step: int, batch: Batch) -> dict[str, Tensor]:
        """Train one step: every phase's loss lowered by its optimizer. Return all losses by name."""
        batch = self.task.to_device(batch, self.accelerator.device)
        seed_step(self.settings.seed, epoch, step)
        named: dict[str, Tensor] = {}
        for phase in self.task.phases:
            optimizer = self.optimizers[phase.name]
            optimizer.zero_grad(set_to_none=True)
            with self.accelerator.autocast():
                losses = self.task.losses(self.networks, batch, phase)
            self.accelerator.backward(torch.stack([loss.float() for loss in losses.values()]).sum())
            if self.task.gradient_clip is not None:
                parameters = [p for group in optimizer.param_groups for p in group["params"]]
                self.accelerator.clip_grad_norm_(parameters, self.task.gradient_clip)
            optimizer.step()
            named |= losses
        return named

    def _close_epoch(self) -> None:
        """Measure, keep the best, write the row, decide whether to stop, and checkpoint."""
        progress, settings = self.progress, self.settings
        with self._averaged():
            share_buffers(self.network, self.accelerator)
            measurement = measure(self.network, self.task, self.validation_feed, self.accelerator, "Validating", thorough=False)
            row = self._row(measurement)
            progress.history.append(row)
            progress.end_epoch()
            self._judge(row)
        console.say(_line(row, settings.max_epochs, settings.monitor, progress.best_epoch))
        if self.accelerator.is_main_process:
            write_log(self.folder, progress.history)
        self._save()

    def _row(self, measurement: Measurement) -> dict[str, float]:
        """Return the epoch's line of the log."""
        progress, settings = self.progress, self.settings
        *sums, samples = self._summed([*progress.sums.values(), progress.samples])
        means = {name: value / samples for name, value in zip(progress.sums, sums, strict=True)}
        row: dict[str, float] = {"epoch": progress.epoch + 1, "train_loss": sum(means.values())}
        if len(means) > 1:
            row |= {f"train_{name}": mean for name, mean in means.items()}
        share = min(1.0, (progress.epoch + 1) / settings.max_epochs)
        return (
            row
            | measurement.scalars
            | {
                "learning_rate": self._rate() * self.schedule(share)[0],
                "seconds": progress.seconds,
                "samples_per_second": samples / max(progress.seconds, 1e-9),
            }
        )

    def _summed(self, values: Sequence[float]) -> list[float]:
        """Return the sums of each value over all processes."""
        if self.accelerator.num_processes == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64, device=self.accelerator.device)
        torch.distributed.all_reduce(sums)
        return sums.tolist()

    def _any(self, *wishes: bool) -> list[bool]:
        """Return which wishes any process has: they wait for each other where one saves, so all save and stop together."""
        return [count > 0 for count in self._summed(wishes)]

    def _averaged(self) -> AbstractContextManager[None]:
        """Let the network have its averaged weights for a while, where the task asks for them."""
        return self.average.applied(self.network) if self.average else nullcontext()

    def _judge(self, row: dict[str, float]) -> None:
        """Keep the best weights and decide whether training is over."""
        progress, monitor = self.progress, self.settings.monitor
        if monitor not in row:
            raise ChipwrightError(f"There is no metric {monitor!r} to monitor; measured were {', '.join(row)}.")
        sign = -1.0 if monitor in self.task.higher_is_better else 1.0
        value = sign * row[monitor] if math.isfinite(row[monitor]) else math.inf
        if not math.isfinite(row["train_loss"]):
            if progress.best is None:
                raise ChipwrightError(
                    f"The loss became no number in epoch {int(row['epoch'])} (learning rate {self._rate():.1e}). "
                    "Give a smaller learning rate, or try precision float32."
                )
            self._note(f"The loss became no number in epoch {int(row['epoch'])}; training stopped with the best epoch before.")
            progress.finished = True
            return
        # of equals the lower loss: a detector that finds nothing yet is still learning
        equal = value == progress.best and row["valid_loss"] < progress.history[progress.best_epoch - 1]["valid_loss"]
        if progress.best is None or value < progress.best or equal:
            progress.best, progress.best_epoch = value, int(row["epoch"])
            if self.accelerator.is_main_process:
                self.checkpoints.save_best(self.network)
        if progress.anchor is None or value < progress.anchor - SMALLEST_IMPROVEMENT:
            progress.anchor, progress.waited = value, 0
        elif value or monitor not in self.task.higher_is_better:  # a score that is still 0 says nothing of the loss
            progress.waited += 1
        if progress.epoch >= self.settings.max_epochs:
            progress.finished = True
        elif self.settings.stop_early and progress.waited >= PATIENCE:
            self._note(f"Stopped after epoch {progress.epoch}: {monitor} has not improved for {PATIENCE} epochs.")
            progress.finished = True

    # -- learning rate

    def _rate(self) -> float:
        assert self.progress.learning_rate is not None, "the range test comes first"
        return self.progress.learning_rate

    def _find_rate(self) -> None:
        """Read the learning rate off a range test, or take the task's default where one makes no sense."""
        default, task = self.task.default_learning_rate, self.task
        steps = planned_steps(len(self.feed), self.settings.max_epochs) if task.range_test else 0
        if not steps:
            self.progress.learning_rate = default
            reason = "Too few steps for a learning-rate range test; the" if task.range_test else "The type's"
            self._note(f"{reason} default learning rate {default:.1e} is used.")
            return
        optimizer = self.optimizers[task.phases[0].name]
        train_mode(self.network)
        batches = iter(console.track(self.feed.batches(_RANGE_TEST_EPOCH), "Learning-rate range test", steps))

        def step(index: int) -> float:
            return sum(loss.item() for loss in self._step(_RANGE_TEST_EPOCH, index, next(batches)).values())

        self.progress.range_test = range_test(self.network, optimizer, step, steps, default)
        rate = self.progress.learning_rate = self.progress.range_test["chosen"]
        self._note(f"Learning rate {rate:.1e}, read off a range test of {len(self.progress.range_test['loss'])} steps.")

    # -- keeping and taking up

    def _note(self, sentence: str) -> None:
        self.progress.log.append(sentence)
        console.say(sentence)

    def _interrupt(self) -> None:
        progress = self.progress
        raise Interrupted(
            f"Stopped in epoch {progress.epoch + 1} after {progress.step} of {len(self.feed)} steps. "
            "Run the same command with --resume to go on."
        )

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler is not None else None
            average = self.average.saved() if self.average else None
            self.checkpoints.save(self.progress, self.network, self.optimizers, self.task.state_dict(), scaler, average)
        self.accelerator.wait_for_everyone()

    def _restore(self, saved: dict[str, Any]) -> None:
        self.network.load_state_dict(saved["network"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(saved["optimizers"][name])
        self.task.load_state_dict(saved["task"])
        if self.average:
            self.average.restore(saved["average"])
        if self.accelerator.scaler is not None and saved["scaler"]:
            self.accelerator.scaler.load_state_dict(saved["scaler"])
        self.progress = Progress(**saved["progress"])


def _line(row: dict[str, float], epochs: int, monitor: str, best_epoch: int) -> str:
    """Return one epoch as a line to read: losses, the monitored metric and a few more, time."""
    hidden = {"epoch", "learning_rate", "seconds", "samples_per_second"}
    shown = {name: value for name, value in row.items() if name not in hidden and not name.startswith(("train_", "valid_"))}
    wanted = {"train_loss": row["train_loss"], "valid_loss": row["valid_loss"], monitor: row[monitor]} | dict(
        list(shown.items())[:3]
    )
    figures = "  ".join(f"{name} {value:.4f}" for name, value in wanted.items())
    star = "  *best" if best_epoch == row["epoch"] else ""
    return f"Epoch {int(row['epoch'])}/{epochs}  {figures}  {row['seconds']:.0f} s ({row['samples_per_second']:.1f}/s){star}"
