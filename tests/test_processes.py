"""Two processes train one model together."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import builders
import pair_builders
import pytest

import chipwright
from chipwright import catalog
from chipwright.chips.folders import read_chips
from chipwright.chips.split import split_chips


def train_together(chips: Path, out: Path, *options: str) -> list[dict[str, float]]:
    """Train in two processes, a quarter validating, and return the rows of the log."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "chipwright", "train",
        str(chips), "--out", str(out), "--validation-percentage", "25", "--processor-type", "CPU", "--precision", "float32",
        "--continue-training", *options,
    ]  # fmt: skip
    run = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("Epoch 1/") == 1, "one voice for both"
    with (out / "training_log.csv").open() as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def figures(out: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((out / "model_metrics.json").read_text(encoding="utf-8"))["metrics"]
    return found


STOPPED = """
import os, signal, sys
from chipwright.cli import main
from chipwright.engine import fit

usual = fit._Run._step

def step(self, epoch, step, batch):
    if os.environ["RANK"] == "1" and (epoch, step) == (0, 2):
        os.kill(os.getpid(), signal.SIGINT)
    return usual(self, epoch, step, batch)

fit._Run._step = step
sys.exit(main())
"""


def validation_chips(chips: Path, folder: Path) -> Path:
    """Copy the chips that a training of `train_together` held back."""
    shutil.copytree(chips, folder)
    found = read_chips([chips])
    for index in split_chips(found, 25, None, 42).training:
        for image in found.chips[index].images:
            (folder / image.relative_to(chips)).unlink()
    return folder


def small(keyword: str) -> list[str]:
    """Return the options of a small network of an adversarial type."""
    arguments = [f"{name}={value}" for name, value in catalog.find(keyword).tiny.arguments.items()]
    return ["--model-type", keyword, *(word for argument in arguments for word in ("--argument", argument))]


@pytest.mark.slow
def test_two_processes_train_one_model_and_measure_every_chip_once(tmp_path: Path) -> None:
    chips = builders.classified_tiles(tmp_path / "chips", count=29, size=64)
    out = tmp_path / "model"
    rows = train_together(
        chips, out, "--model-type", "UNET", "--backbone-model", "timm:test_resnet", "--backbone-weights", "none",
        "--unfreeze-model", "--max-epochs", "4", "--batch-size", "2", "--learning-rate", "0.003",
    )  # fmt: skip
    assert len(rows) == 4
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    held_back = validation_chips(chips, tmp_path / "validation")
    alone = chipwright.evaluate(out, held_back, tmp_path / "evaluation", processor_type="CPU", precision="float32")
    together = figures(out)
    assert {name: alone.metrics[name] for name in together} == pytest.approx(together, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keyword", "builder"), [("CYCLEGAN", pair_builders.two_kinds), ("PIX2PIX", pair_builders.translated_scenes)]
)
def test_two_processes_keep_one_generator_and_one_judge(keyword: str, builder: Callable[..., Path], tmp_path: Path) -> None:
    chips, out = builder(tmp_path / "chips", 13, 32), tmp_path / "model"
    rows = train_together(chips, out, *small(keyword), "--max-epochs", "4", "--batch-size", "2", "--learning-rate", "0.002")
    assert rows[-1]["valid_loss"] < rows[0]["valid_loss"]
    best, together = min(rows, key=lambda row: row.get("translation_error", row["valid_loss"])), figures(out)
    # measured by both processes under way, each with the weights that it had; and once more with those that were kept
    assert {name: best[name] for name in together} == pytest.approx(together, rel=1e-5)
    held_back = validation_chips(chips, tmp_path / "validation")
    alone = chipwright.evaluate(out, held_back, tmp_path / "evaluation", processor_type="CPU", precision="float32")
    assert {name: alone.metrics[name] for name in together} == pytest.approx(together, rel=1e-4)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_of_the_same_batches(tmp_path: Path) -> None:
    chips = pair_builders.two_kinds(tmp_path / "chips", 16, 32)
    rows = train_together(chips, tmp_path / "both", *small("CYCLEGAN"), "--max-epochs", "2", "--batch-size", "1")
    chipwright.train(
        chips, tmp_path / "one", model_type="CYCLEGAN", arguments=catalog.find("CYCLEGAN").tiny.arguments, max_epochs=2,
        batch_size=2, validation_percentage=25, processor_type="CPU", precision="float32", stop_training=False,
    )  # fmt: skip
    history: list[dict[str, Any]] = json.loads((tmp_path / "one" / "model_metrics.json").read_text(encoding="utf-8"))["history"]
    for both, one in zip(rows, history, strict=True):
        for name in ("valid_loss", "cycle_error", "histogram_distance"):
            assert both[name] == pytest.approx(one[name], rel=1e-3)


def test_both_stop_where_one_is_asked_to(tmp_path: Path) -> None:
    chips = builders.classified_tiles(tmp_path / "chips", count=48, size=32)
    script, out = tmp_path / "stopped.py", tmp_path / "model"
    script.write_text(STOPPED, encoding="utf-8")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script), "train",
        str(chips), "--out", str(out), "--model-type", "UNET", "--backbone-model", "timm:test_resnet", "--backbone-weights",
        "none", "--batch-size", "2", "--learning-rate", "0.001", "--processor-type", "CPU", "--max-epochs", "50",
        "--continue-training",
    ]  # fmt: skip
    run = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=240)
    assert run.returncode != 0
    assert "Stopped in epoch 1 after 8 of" in run.stderr
    assert "Epoch 2/" not in run.stderr
