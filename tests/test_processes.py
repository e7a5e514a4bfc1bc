"""Two processes train one model together."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import builders
import pytest

import chipwright
from chipwright.chips.folders import read_chips
from chipwright.chips.split import split_chips


@pytest.mark.slow
def test_two_processes_train_one_model_and_measure_every_chip_once(tmp_path: Path) -> None:
    chips = builders.classified_tiles(tmp_path / "chips", count=29, size=64)
    out = tmp_path / "model"
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "chipwright", "train",
        str(chips), "--out", str(out), "--model-type", "UNET", "--backbone-model", "timm:test_resnet", "--backbone-weights",
        "none", "--unfreeze-model", "--max-epochs", "4", "--batch-size", "2", "--validation-percentage", "25",
        "--processor-type", "CPU", "--precision", "float32", "--learning-rate", "0.003", "--continue-training",
    ]  # fmt: skip
    run = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("Epoch 4/4") == 1, "one voice for both"
    with (out / "training_log.csv").open() as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file)]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    held_back = shutil.copytree(chips, tmp_path / "validation")
    found = read_chips([chips])
    for index in split_chips(found, 25, None, 42).training:
        (held_back / found.chips[index].image.relative_to(chips)).unlink()
    alone = chipwright.evaluate(out, held_back, tmp_path / "evaluation", processor_type="CPU", precision="float32")
    together = json.loads((out / "model_metrics.json").read_text(encoding="utf-8"))["metrics"]
    assert {name: alone.metrics[name] for name in together} == pytest.approx(together, rel=1e-3)
