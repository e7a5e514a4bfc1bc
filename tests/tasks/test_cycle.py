"""Translation without pairs: what is drawn together, what teaches, what is measured and shown."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pair_builders
import pytest
import torch

from chipwright import catalog
from chipwright.chips.chipset import ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.engine.seeds import seed_build
from chipwright.networks.cyclegan import Cycled
from chipwright.spec import ModelSpec
from chipwright.tasks.cycle import CycleTask
from chipwright.tasks.cycle_metrics import BINS, CycleMetrics

CYCLE = catalog.find("CYCLEGAN")


def assembled(folder: Path, **changes: Any) -> tuple[ChipSet, CycleTask, Any]:
    """Return chips, task and network of a folder."""
    chips = read_chips([folder])
    arguments = CYCLE.arguments(**CYCLE.tiny.arguments | changes)
    spec = ModelSpec(
        model_type=CYCLE.keyword, arguments=arguments.model_dump(), classes=chips.classes, bands=chips.bands, dtype=chips.dtype,
        chip_size=CYCLE.chip_size(chips, arguments), normalization=CYCLE.normalization(chips, arguments, None),
        statistics=chips.statistics, second=chips.second,
        second_normalization=CYCLE.second_normalization(chips, arguments, None), metadata_format=chips.format,
    )  # fmt: skip
    seed_build(0)
    task = CYCLE.task(spec)
    assert isinstance(task, CycleTask)
    return chips, task, CYCLE.build(spec, None)


def batch_of(chips: ChipSet, task: CycleTask, count: int = 2) -> dict[str, Any]:
    """Return the first samples as a batch, nothing drawn."""
    reader = ChipReader.of(chips)
    samples = [task.draw(unit, reader, np.random.default_rng(0), False) for unit in task.units(chips.chips)[:count]]
    return task.to_device(task.collate(samples), torch.device("cpu"))


def flat(*values: float, bands: int = 1) -> list[torch.Tensor]:
    """Return images (bands, 4, 4) of one value each."""
    return [torch.full((bands, 4, 4), value) for value in values]


def test_an_epoch_is_as_long_as_the_larger_domain_and_b_is_drawn_in_training_alone(tmp_path: Path) -> None:
    chips, task, _ = assembled(pair_builders.cyclegan(tmp_path, (4, 6)))
    units = task.units(chips.chips)
    assert [unit.first.image.name for unit in units[4:]] == [unit.first.image.name for unit in units[:2]]
    assert len({unit.others[unit.usual].image for unit in units}) == len(units) == 6
    reader, truth = ChipReader.of(chips), units[0].others[0]
    usual = {task.draw(units[0], reader, np.random.default_rng(seed), False)["target"].tobytes() for seed in range(8)}
    assert usual == {reader.image(truth).tobytes()}
    drawn = {
        np.sort(task.draw(units[0], reader, np.random.default_rng(seed), True)["target"].ravel()).tobytes()
        for seed in range(30)
    }
    assert len(drawn) == 6


@pytest.mark.parametrize("lsgan", [True, False])
def test_losses_of_judges_that_know_nothing(lsgan: bool, tmp_path: Path) -> None:
    chips, task, network = assembled(pair_builders.cyclegan(tmp_path), lsgan=lsgan)
    for judge in (network.discriminator.of_a, network.discriminator.of_b):
        torch.nn.init.zeros_(judge.stages[-1].weight)  # scores of 0
    batch, parts = batch_of(chips, task), task.parts(network.train())
    with torch.no_grad():
        generate, discriminate = (task.losses(parts, batch, phase) for phase in task.phases)
        cycled = network.generator(batch["image"], batch["target"])
    one = 1.0 if lsgan else np.log(2)
    assert float(generate["adversarial"]) == pytest.approx(2 * one)
    assert float(discriminate["discriminator"]) == pytest.approx(2 * one * (0.5 if lsgan else 1))
    back = (cycled.back_a - batch["image"]).abs().mean() + (cycled.back_b - batch["target"]).abs().mean()
    assert float(generate["cycle"]) == pytest.approx(10 * float(back), rel=1e-5)
    same = (cycled.same_a - batch["image"]).abs().mean() + (cycled.same_b - batch["target"]).abs().mean()
    assert float(generate["identity"]) == pytest.approx(5 * float(same), rel=1e-5)


def test_each_phase_teaches_its_own_part(tmp_path: Path) -> None:
    chips, task, network = assembled(pair_builders.cyclegan(tmp_path))
    batch, parts = batch_of(chips, task), task.parts(network.train())
    for phase, resting in zip(task.phases, ("discriminator", "generator"), strict=True):
        network.zero_grad(set_to_none=True)
        torch.stack(list(task.losses(parts, batch, phase).values())).sum().backward()
        assert all(parameter.grad is not None for parameter in parts[phase.name].parameters())
        assert all(parameter.grad is None for parameter in parts[resting].parameters())


def test_earlier_images_travel_in_checkpoints_and_not_to_loader_processes(tmp_path: Path) -> None:
    chips, task, network = assembled(pair_builders.cyclegan(tmp_path))
    batch, parts = batch_of(chips, task), task.parts(network.train())
    for phase in task.phases:
        task.losses(parts, batch, phase)
    kept = task.state_dict()
    assert [len(images) for images in kept["pools"]] == [2, 2]
    torch.save(kept, tmp_path / "state.pt")
    _, other, _ = assembled(tmp_path)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for mine, theirs in zip(kept["pools"], other.state_dict()["pools"], strict=True):
        assert all(torch.equal(one, another) for one, another in zip(mine, theirs, strict=True))
    assert pickle.loads(pickle.dumps(task)).state_dict() == {"pools": [[], []]}
    assert [len(images) for images in task.state_dict()["pools"]] == [2, 2]


def test_both_ways_come_back_in_the_units_of_their_domains(tmp_path: Path) -> None:
    pair_builders.export_tiles(tmp_path / "A", 4, 32, 3, mode="CycleGAN", level=0.2)
    pair_builders.export_tiles(tmp_path / "B", 4, 32, 2, "uint16", mode="CycleGAN", level=0.8)
    chips, task, network = assembled(tmp_path)
    batch = batch_of(chips, task)
    with torch.inference_mode():
        found = task.predict(network.eval(), batch)
        assert network.generator(batch["image"], batch["target"]).same_a is None
    assert len(found) == 2
    for images, dtype, bands in (
        ((found[0].to_a, found[0].back_a), torch.uint8, 3),
        ((found[0].to_b, found[0].back_b), torch.uint16, 2),
    ):
        assert {(image.dtype, tuple(image.shape)) for image in images} == {(dtype, (bands, 32, 32))}
    sample = task.draw(task.units(chips.chips)[0], ChipReader.of(chips), np.random.default_rng(0), False)
    panels = task.panels(sample, found[0])
    assert [panel.title for panel in panels] == ["A", "A as B", "and back", "B", "B as A", "and back"]
    assert all(panel.image.shape[:2] == (32, 32) for panel in panels)


def test_figures_of_a_worked_case() -> None:
    metrics = CycleMetrics(1, 1)
    a, b, to_a, to_b, back_a, back_b = flat(-1.0, 1.0, -0.5, 0.0, -0.8, 1.0)
    metrics.update([Cycled(to_b, to_a, back_a, back_b)], {"image": [a], "target": [b]})
    found = metrics.compute()
    assert found.scalars["cycle_error_a"] == pytest.approx(0.1)
    assert found.scalars["cycle_error_b"] == 0
    assert found.scalars["cycle_error"] == pytest.approx(0.05)
    assert found.scalars["histogram_distance_a"] == pytest.approx(0.25)  # -0.5 against -1, of a range of 2
    assert found.scalars["histogram_distance_b"] == pytest.approx(0.5, abs=1 / BINS)  # 0 against 1
    assert found.scalars["translation_error"] == pytest.approx(0.425, abs=1 / BINS)
    assert any("99.2 % apart" in note for note in found.notes)


def test_figures_of_two_processes_are_those_of_one() -> None:
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(4, 6, 2, 8, 8, generator=rng) * 2 - 1
    whole, parts = CycleMetrics(2, 2), [CycleMetrics(2, 2), CycleMetrics(2, 2)]
    for index, (a, b, to_b, to_a, back_a, back_b) in enumerate(images):
        for metrics in (whole, parts[index % 2]):
            metrics.update([Cycled(to_b, to_a, back_a, back_b)], {"image": [a], "target": [b]})
    parts[0].merge(parts[1])
    assert parts[0].compute().scalars == pytest.approx(whole.compute().scalars)


def test_domains_of_differing_bands_are_not_compared_untranslated() -> None:
    metrics = CycleMetrics(1, 2)
    (a,), (b,) = flat(0.0), flat(0.5, bands=2)
    metrics.update([Cycled(b, a, a, b)], {"image": [a], "target": [b]})
    found = metrics.compute()
    assert found.scalars["translation_error"] == 0
    assert not any("Untranslated" in note for note in found.notes)
