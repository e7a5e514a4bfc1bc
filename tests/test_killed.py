"""A run killed at any moment and resumed reaches the very weights of an undisturbed one."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import builders
import pytest


def command(chips: Path, out: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "chipwright", "train", str(chips), "--out", str(out), "--model-type", "UNET",
        "--backbone-model", "timm:test_resnet", "--backbone-weights", "none", "--unfreeze-model", "--max-epochs", "6",
        "--batch-size", "4", "--validation-percentage", "25", "--processor-type", "CPU", "--continue-training", *more,
    ]  # fmt: skip


def weights(folder: Path) -> bytes:
    return (folder / f"{folder.name}.safetensors").read_bytes()


@pytest.mark.slow
def test_killed_three_times_and_resumed_it_reaches_the_very_weights(tmp_path: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    chips = builders.classified_tiles(tmp_path / "chips", count=80, size=64)
    whole = tmp_path / "whole" / "model"
    subprocess.run(command(chips, whole), check=True, env=environment, capture_output=True)
    cut = tmp_path / "cut" / "model"
    moments = random.Random(0)
    killed = 0
    for attempt in range(20):
        more = ["--resume"] if attempt else []
        run = subprocess.Popen(
            command(chips, cut, *more), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if killed < 3:
            started = time.monotonic()
            while not (cut / "checkpoints" / "last.pt").is_file() and time.monotonic() - started < 120:
                time.sleep(0.05)
            if attempt:  # until torch is imported and the first steps are done
                time.sleep(5)
            time.sleep(moments.uniform(0, 1.5))
            if run.poll() is None:
                run.kill()
                killed += 1
            run.wait()
            if (cut / "model.dlpk").is_file():
                break
        else:
            assert run.wait() == 0
            break
    assert killed > 0
    assert weights(cut) == weights(whole)
    assert not (cut / "checkpoints").exists()


@pytest.mark.slow
def test_resuming_with_other_options_is_refused_by_name(tmp_path: Path) -> None:
    chips = builders.classified_tiles(tmp_path / "chips", count=16, size=64)
    out = tmp_path / "model"
    run = subprocess.Popen(command(chips, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (out / "checkpoints" / "last.pt").is_file() and run.poll() is None:
        time.sleep(0.02)
    run.kill()
    run.wait()
    if not (out / "checkpoints").is_dir():
        pytest.skip("the run was over before it could be killed")
    resumed = subprocess.run(command(chips, out, "--resume", "--seed", "7"), capture_output=True, text=True)
    assert resumed.returncode == 2
    assert "seed was 42, now it is 7" in resumed.stderr
