import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_task import SPEC, ToyTask, network

from chipwright import console
from chipwright.engine.fit import FitResult, FitSettings, fit
from chipwright.errors import ChipwrightError, Interrupted

UNITS = list(range(40))
HELD_BACK = list(range(100, 112))


@pytest.fixture(autouse=True)
def _silence() -> Any:
    with console.quiet():
        yield


def run(
    folder: Path, task: ToyTask | None = None, units: list[int] = UNITS, **changes: Any
) -> tuple[FitResult, torch.nn.Module]:
    settings = {
        "max_epochs": 3,
        "batch_size": 8,
        "learning_rate": 0.01,
        "monitor": "valid_loss",
        "device": torch.device("cpu"),
        "precision": "float32",
        "stop_early": False,
    }
    net = network()
    result = fit(net, task or ToyTask(SPEC), units, HELD_BACK, None, FitSettings(**settings | changes), folder)  # type: ignore[arg-type]
    return result, net


def same(left: torch.nn.Module, right: torch.nn.Module) -> bool:
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


class StopsAt(ToyTask):
    """Raises an interrupt signal in the middle of one step, as Ctrl-C does."""

    def __init__(self, step: int) -> None:
        super().__init__(SPEC)
        self.left = step

    def losses(self, *everything: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return super().losses(*everything)


class Breaks(ToyTask):
    """Fails in one step as a killed process would: nothing is saved after it."""

    def __init__(self, step: int) -> None:
        super().__init__(SPEC)
        self.left = step

    def losses(self, *everything: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise OSError("killed")
        return super().losses(*everything)


class Greedy(ToyTask):
    """Takes more memory than there is for batches over 4."""

    def losses(self, networks: Any, batch: Any, phase: Any) -> Any:
        if len(batch["image"]) > 4:
            raise RuntimeError("CUDA out of memory.")
        return super().losses(networks, batch, phase)


class FindsNothing(ToyTask):
    """Is never right, like a detector in its first epochs."""

    def predict(self, network: torch.nn.Module, batch: Any) -> Any:
        return [-1] * len(batch["label"])

    def validate(self, network: torch.nn.Module, batch: Any) -> Any:
        losses, _ = super().validate(network, batch)
        return losses, self.predict(network, batch)


def test_training_learns_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    result, _ = run(tmp_path, max_epochs=8)
    history = result.progress.history
    assert history[-1]["train_loss"] < history[0]["train_loss"] / 2
    best = min(history, key=lambda row: row["valid_loss"])
    assert result.progress.best_epoch == best["epoch"]
    assert result.measurement.scalars["valid_loss"] == pytest.approx(best["valid_loss"], abs=1e-6)


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    _, first = run(tmp_path / "a")
    _, second = run(tmp_path / "b")
    assert same(first, second)


def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    _, first = run(tmp_path / "a")
    _, second = run(tmp_path / "b", seed=7)
    assert not same(first, second)


def test_loader_processes_do_not_change_the_outcome(tmp_path: Path) -> None:
    _, alone = run(tmp_path / "a", max_epochs=2)
    _, helped = run(tmp_path / "b", max_epochs=2, workers=2)
    assert same(alone, helped)


@pytest.mark.parametrize("step", [1, 4, 5, 6, 14])
@pytest.mark.parametrize("kind", [StopsAt, Breaks])
def test_a_resumed_run_reaches_the_very_weights(tmp_path: Path, step: int, kind: Any) -> None:
    _, whole = run(tmp_path / "whole")
    with pytest.raises((Interrupted, OSError)):
        run(tmp_path / "cut", kind(step))
    resumed, net = run(tmp_path / "cut", resume=True)
    assert same(whole, net)
    assert [row["epoch"] for row in resumed.progress.history] == [1, 2, 3]


def test_a_run_cut_in_the_range_test_is_resumed_to_the_very_weights(tmp_path: Path) -> None:
    units = list(range(160))
    changes: dict[str, Any] = {"learning_rate": None, "max_epochs": 10, "units": units}
    _, whole = run(tmp_path / "whole", **changes)
    with pytest.raises(OSError, match="killed"):
        run(tmp_path / "cut", Breaks(5), **changes)
    resumed, net = run(tmp_path / "cut", resume=True, **changes)
    assert resumed.progress.range_test is not None
    assert same(whole, net)


def test_the_range_test_leaves_no_trace_in_the_weights(tmp_path: Path) -> None:
    units = list(range(160))
    found, first = run(tmp_path / "a", units=units, learning_rate=None, max_epochs=10)
    _, second = run(tmp_path / "b", units=units, learning_rate=found.progress.learning_rate, max_epochs=10)
    assert same(first, second)


def test_when_memory_runs_out_the_batch_is_halved_and_said(tmp_path: Path) -> None:
    result, _ = run(tmp_path, Greedy(SPEC), batch_size=16)
    assert result.progress.batch_size == 4
    assert [line for line in result.progress.log if "Memory ran out with a batch of 16" in line]
    assert len(result.progress.history) == 3


def test_when_the_smallest_batch_is_too_large_the_error_says_so(tmp_path: Path) -> None:
    with pytest.raises(ChipwrightError, match="does not suffice for a batch of 8"):
        run(tmp_path, Greedy(SPEC), smallest_batch=8)


def test_training_stops_when_the_monitor_no_longer_improves(tmp_path: Path) -> None:
    result, _ = run(tmp_path, max_epochs=30, stop_early=True, learning_rate=1e-9)
    assert result.progress.epoch < 30
    assert "has not improved" in result.progress.log[-1]


def test_a_loss_that_is_no_number_is_told(tmp_path: Path) -> None:
    with pytest.raises(ChipwrightError, match="no number in epoch 1"):
        run(tmp_path, learning_rate=1e30)


def test_the_monitored_metric_is_maximised_where_higher_is_better(tmp_path: Path) -> None:
    result, _ = run(tmp_path, monitor="accuracy")
    history = result.progress.history
    assert history[result.progress.best_epoch - 1]["accuracy"] == max(row["accuracy"] for row in history)


def test_a_score_that_is_still_zero_neither_stops_training_nor_hides_the_better_loss(tmp_path: Path) -> None:
    result, _ = run(tmp_path, FindsNothing(SPEC), monitor="accuracy", max_epochs=8, stop_early=True)
    history = result.progress.history
    assert len(history) == 8
    assert history[result.progress.best_epoch - 1]["valid_loss"] == min(row["valid_loss"] for row in history)


def test_the_log_has_a_row_an_epoch(tmp_path: Path) -> None:
    run(tmp_path)
    lines = (tmp_path / "training_log.csv").read_text().splitlines()
    assert lines[0].startswith("epoch,train_loss")
    assert len(lines) == 4
