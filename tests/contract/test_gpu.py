"""What every model type promises on a GPU; skipped where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contract.test_catalog import KEYWORDS, assemble, history, options, toy

import chipwright
from chipwright import catalog, console

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that PyTorch can use")


SAMPLED = ("FASTERRCNN", "MASKRCNN")
"""Their losses are of regions drawn at random, by another generator on each device."""


@pytest.fixture(autouse=True)
def _silence() -> Any:
    with console.quiet():
        yield


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_trained_on_the_gpu_its_loss_falls_and_the_package_works_on_a_cpu(keyword: str, tmp_path: Path) -> None:
    model = catalog.find(keyword)
    chips = toy(tmp_path / "chips", model)
    result = chipwright.train(chips, tmp_path / "model", **options(model, processor_type="GPU", precision="auto"))
    rows = history(tmp_path / "model")
    assert rows[-1]["train_loss"] < 0.9 * rows[0]["train_loss"]
    there = chipwright.evaluate(result.folder, chips, tmp_path / "gpu", processor_type="GPU", precision="float32").metrics
    here = chipwright.evaluate(result.folder, chips, tmp_path / "cpu", processor_type="CPU", precision="float32").metrics
    assert here["valid_loss"] == pytest.approx(there["valid_loss"], rel=0.02)


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_losses_are_those_of_the_cpu(keyword: str, tmp_path: Path) -> None:
    model = catalog.find(keyword)
    _, network, task, units, reader = assemble(toy(tmp_path / "chips", model, count=4), model)
    batch = task.collate([task.draw(unit, reader, np.random.default_rng(0), False) for unit in units[:4]])
    values = {}
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    for device in (torch.device("cpu"), torch.device("cuda")):
        network.to(device).eval()
        torch.manual_seed(0)
        with torch.inference_mode():
            losses, _ = task.validate(network, task.to_device(batch, device))
        values[device.type] = float(torch.stack(list(losses.values())).sum())
    sampled = keyword in SAMPLED
    assert values["cuda"] == pytest.approx(values["cpu"], rel=0.1 if sampled else 1e-3)


def test_a_run_cut_short_on_the_gpu_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: Any) -> None:
    from chipwright.engine import fit

    model = catalog.find("UNET")
    chips = toy(tmp_path / "chips", model)
    changes = options(model, max_epochs=3, processor_type="GPU")
    chipwright.train(chips, tmp_path / "whole", **changes)
    kept, steps = fit._Run._step, []

    def breaks(self: Any, *everything: Any) -> Any:
        steps.append(1)
        if len(steps) == 5:
            raise OSError("killed")
        return kept(self, *everything)

    monkeypatch.setattr(fit._Run, "_step", breaks)
    with pytest.raises(OSError, match="killed"):
        chipwright.train(chips, tmp_path / "cut", **changes)
    monkeypatch.undo()
    chipwright.train(chips, tmp_path / "cut", **changes | {"resume": True})
    whole, cut = history(tmp_path / "whole"), history(tmp_path / "cut")
    assert [row["train_loss"] for row in cut] == pytest.approx([row["train_loss"] for row in whole], rel=1e-3)
