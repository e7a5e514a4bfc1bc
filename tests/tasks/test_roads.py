"""Road extraction as a task: samples, losses, predictions, pictures, refinement."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import classified_tiles
from torch import Tensor, nn

from chipwright.chips.chipset import IGNORE, ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.models.roads import RoadArguments
from chipwright.networks.linknet import RoadOutputs
from chipwright.networks.roads import RoadNetwork
from chipwright.roads.orientation import orientation_target
from chipwright.spec import ModelSpec, Normalization
from chipwright.tasks.road_corruption import corrupted
from chipwright.tasks.roads import RoadTask, hues

SIZE = 64


def spec_of(chips: ChipSet, **arguments: Any) -> ModelSpec:
    statistics = chips.statistics
    return ModelSpec(
        model_type="CONNECTNET",
        arguments=RoadArguments(**arguments).model_dump(),
        classes=chips.classes,
        bands=chips.bands,
        dtype=chips.dtype,
        chip_size=chips.tile_size,
        normalization=Normalization(mean=statistics.mean, std=statistics.std),
        statistics=statistics,
        metadata_format=chips.format,
        image_space="MAP_SPACE",
        nodata=chips.nodata,
    )


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> ChipSet:
    return read_chips([classified_tiles(tmp_path_factory.mktemp("chips"), 3, SIZE, class_values=(1,), shape="lines")])


@pytest.fixture(scope="module")
def reader(chips: ChipSet) -> ChipReader:
    return ChipReader(chips.nodata)


def draw(task: RoadTask, chips: ChipSet, reader: ChipReader, augment: bool = False, seed: int = 0) -> dict[str, Any]:
    return task.draw(chips.chips[0], reader, np.random.default_rng(seed), augment)


def batch_of(task: RoadTask, chips: ChipSet, reader: ChipReader) -> dict[str, Any]:
    samples = [task.draw(chip, reader, np.random.default_rng(0), False) for chip in chips.chips]
    return task.to_device(task.collate(samples), torch.device("cpu"))


class Even(nn.Module):
    """Says that every class is as likely, at the given scales."""

    def __init__(self, scales: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.scales, self.classes = scales, classes

    def forward(self, images: Tensor) -> RoadOutputs:
        def even(count: int, scale: int) -> Tensor:
            return torch.zeros(len(images), count, -(-images.shape[2] // scale), -(-images.shape[3] // scale))

        return RoadOutputs(*([even(count, scale) for scale in self.scales] for count in (2, self.classes)))


# -- samples


def test_a_sample_of_the_hourglass_has_directions_at_three_scales(chips, reader):
    sample = draw(RoadTask(spec_of(chips)), chips, reader)
    roads = reader.label(chips.chips[0]) == 1
    np.testing.assert_array_equal(sample["mask"], roads)
    for stride in (1, 2, 4):
        np.testing.assert_array_equal(sample[f"orientation{stride}"], orientation_target(roads, 20, 8, stride))
        assert sample[f"orientation{stride}"].shape == (SIZE // stride, SIZE // stride)
    assert "draft" not in sample


def test_a_sample_of_linknet_has_them_at_full_size_alone(chips, reader):
    sample = draw(RoadTask(spec_of(chips, mtl_model="linknet")), chips, reader)
    assert {name for name in sample if name.startswith("orientation")} == {"orientation1"}


@pytest.mark.parametrize("seed", range(6))
def test_directions_are_those_of_the_roads_as_they_lie_after_augmentation(chips, reader, seed):
    sample = draw(RoadTask(spec_of(chips, orient_theta=3)), chips, reader, augment=True, seed=seed)
    known = sample["mask"] >= 0
    expected = orientation_target(sample["mask"] == 1, 20, 3)
    np.testing.assert_array_equal(sample["orientation1"], np.where(known, expected, IGNORE))


def test_ground_beyond_the_chip_has_neither_road_nor_direction(chips, reader):
    task = RoadTask(spec_of(chips).model_copy(update={"chip_size": (SIZE + 16, SIZE + 16)}))
    sample = draw(task, chips, reader)
    outside = np.ones((SIZE + 16, SIZE + 16), bool)
    outside[8:-8, 8:-8] = False
    for stride in (1, 2, 4):
        np.testing.assert_array_equal(sample[f"orientation{stride}"] == IGNORE, outside[::stride, ::stride])
    np.testing.assert_array_equal(sample["mask"] == IGNORE, outside)


def test_a_threshold_above_the_default_teaches_narrower_roads(chips, reader):
    wide, narrow = (
        (draw(RoadTask(spec_of(chips, gaussian_thresh=value)), chips, reader)["mask"] == 1).sum() for value in (0.4, 0.97)
    )
    assert narrow < 0.6 * (reader.label(chips.chips[0]) == 1).sum() < 0.6 * wide


def test_only_training_samples_with_refinement_have_drafts(chips, reader):
    task = RoadTask(spec_of(chips, refinement=3))
    assert "draft" not in draw(task, chips, reader)
    drafts = [draw(task, chips, reader, augment=True, seed=seed)["draft"] for seed in range(12)]
    assert all(draft.dtype == np.int8 and draft.shape == (SIZE, SIZE) for draft in drafts)
    own = [bool((draft == -1).all()) for draft in drafts]
    assert 2 < sum(own) < 10
    assert all(set(np.unique(draft)) <= {0, 1} for draft, is_own in zip(drafts, own, strict=True) if not is_own)


def test_the_same_seed_draws_the_same_sample(chips, reader):
    task = RoadTask(spec_of(chips, refinement=1))
    one, other = (draw(task, chips, reader, augment=True, seed=7) for _ in range(2))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_task_travels_to_other_processes(chips, reader):
    task = RoadTask(spec_of(chips))
    there = pickle.loads(pickle.dumps(task))
    np.testing.assert_array_equal(draw(there, chips, reader)["orientation2"], draw(task, chips, reader)["orientation2"])


# -- faulty masks


def test_faults_are_lines_erased_from_roads_and_lines_made_up():
    mask = np.zeros((300, 300), bool)
    mask[140:160] = True
    spoilt = corrupted(mask, np.random.default_rng(0))
    assert 0.1 < (mask & ~spoilt).sum() / mask.sum() < 0.95
    assert (spoilt & ~mask).any()
    erased = corrupted(mask, np.random.default_rng(0), lines=1)
    assert (erased != mask).any(0).sum() < 2 * 110  # no line is longer than a quarter of the diagonal


def test_a_mask_without_roads_gets_false_lines():
    assert corrupted(np.zeros((64, 64), bool), np.random.default_rng(0)).any()


# -- losses


def test_losses_of_all_scales_are_added_up(chips, reader):
    task = RoadTask(spec_of(chips, orient_bin_size=10))
    batch = batch_of(task, chips, reader)
    losses = task.losses({"network": RoadNetwork(Even((4, 4, 2, 1), 37)).train()}, batch, task.phases[0])
    assert losses["roads"].item() == pytest.approx(4 * np.log(2), rel=1e-5)
    assert losses["directions"].item() == pytest.approx(4 * 3.610918, rel=1e-5)


def test_the_papers_loss_of_roads_is_one_less_the_soft_iou(chips, reader):
    task = RoadTask(spec_of(chips, mtl_model="linknet", road_loss="soft_iou"))
    batch = batch_of(task, chips, reader)
    losses = task.losses({"network": RoadNetwork(Even((1,), 19)).train()}, batch, task.phases[0])
    share = (batch["mask"] == 1).float().mean((1, 2))
    # of probabilities of a half: the class's share / 2 over 1/2 + share / 2
    expected = 1 - torch.stack([part / (1 + part) for part in (share, 1 - share)]).mean()
    assert losses["roads"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert losses["directions"].item() == pytest.approx(np.log(19), rel=1e-5)


def test_unlabelled_pixels_do_not_count(chips, reader):
    task = RoadTask(spec_of(chips, mtl_model="linknet"))
    batch = batch_of(task, chips, reader)
    for name in ("mask", "orientation1"):
        batch[name] = torch.full_like(batch[name], IGNORE)
    losses = task.losses({"network": RoadNetwork(Even((1,), 19)).train()}, batch, task.phases[0])
    assert [loss.item() for loss in losses.values()] == [0, 0]


def test_validation_has_the_losses_of_training_and_those_of_the_rounds_their_mean(chips, reader):
    class Mender(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.zeros(len(images), 2, *images.shape[-2:])

    task = RoadTask(spec_of(chips, mtl_model="linknet", refinement=2))
    batch = batch_of(task, chips, reader)
    network = RoadNetwork(Even((1,), 19), Mender(), rounds=2)
    trained = task.losses({"network": network.train()}, batch, task.phases[0])
    validated, _ = task.validate(network.eval(), batch)
    assert trained.keys() == validated.keys() == {"roads", "directions", "refinement"}
    assert validated["refinement"].item() == pytest.approx(np.log(2), rel=1e-5)
    assert all(torch.equal(trained[name], validated[name]) for name in trained)


# -- predictions and pictures


class Truth(nn.Module):
    """Answers with the batch's truth."""

    scales = (1,)

    def __init__(self, batch: dict[str, Any]) -> None:
        super().__init__()
        self.batch = batch

    def forward(self, images: Tensor) -> RoadOutputs:
        mask, directions = self.batch["mask"].long(), self.batch["orientation1"].long()
        return RoadOutputs(
            [nn.functional.one_hot(mask, 2).movedim(-1, 1).float()],
            [nn.functional.one_hot(directions, 19).movedim(-1, 1).float()],
        )


def test_a_prediction_is_a_mask_and_directions_and_the_truth_scores_all(chips, reader):
    task = RoadTask(spec_of(chips, mtl_model="linknet"))
    batch = batch_of(task, chips, reader)
    predictions = task.predict(RoadNetwork(Truth(batch)).eval(), batch)
    assert len(predictions) == 3
    assert predictions[0].mask.dtype == predictions[0].directions.dtype == torch.uint8
    assert torch.equal(predictions[1].mask.long(), batch["mask"][1].long())
    assert torch.equal(predictions[1].directions.long(), batch["orientation1"][1].long())
    np.testing.assert_array_equal(task.class_values(predictions[0]), reader.label(chips.chips[0]))
    metrics = task.metrics()
    metrics.update(predictions, batch)
    scalars = metrics.compute().scalars
    assert {scalars[name] for name in ("iou", "relaxed_iou", "accuracy", "miou", "dice")} == {1.0}
    assert scalars["apls"] == pytest.approx(1)


def test_pictures_show_errors_directions_and_lines(chips, reader):
    task = RoadTask(spec_of(chips, mtl_model="linknet"))
    batch = batch_of(task, chips, reader)
    prediction = task.predict(RoadNetwork(Truth(batch)).eval(), batch)[0]
    sample = draw(task, chips, reader)
    image, errors, directions, lines = task.panels(sample, prediction)
    assert [panel.title for panel in (image, errors, directions, lines)] == ["Image", "Roads", "Direction", "Lines"]
    roads = sample["mask"] == 1
    np.testing.assert_array_equal(errors.classes, np.where(roads, 0, IGNORE))  # all found
    np.testing.assert_array_equal(directions.classes == IGNORE, sample["orientation1"] == 18)
    changed = (lines.image != image.image).any(-1)
    assert changed.any()
    assert roads[changed].mean() > 0.7  # along the roads, but for nodes' discs and lines' width
    assert "from junction to junction" in lines.text


def test_every_direction_has_its_own_hue():
    assert len(set(hues(36))) == 36
    assert hues(4)[0] != hues(4)[2]


def test_pixels_without_data_are_unlabelled(tmp_path: Path):
    chips = read_chips([classified_tiles(tmp_path, 1, SIZE, class_values=(1,), shape="lines", nodata=0)])
    reader = ChipReader(chips.nodata)
    sample = draw(RoadTask(spec_of(chips)), chips, reader)
    invalid = ~reader.valid(chips.chips[0])
    assert invalid.any()
    np.testing.assert_array_equal(sample["mask"] == IGNORE, invalid)
    np.testing.assert_array_equal(sample["orientation1"] == IGNORE, invalid)
