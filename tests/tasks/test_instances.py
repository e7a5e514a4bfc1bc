"""The task of instance segmentation: objects of overlapping layers drawn, learnt, measured and shown, each on its own."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import write_raster
from detector_builders import Convolutions
from mask_builders import SIZE, discs, mask_path, rcnn_masks

from chipwright.chips.chipset import ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.networks.maskrcnn import MaskRCNN
from chipwright.networks.pretrained import train_mode
from chipwright.spec import ModelSpec, Normalization
from chipwright.tasks.instances import InstanceTask

CHIP = 64


def spec_of(chips: ChipSet, **changes: Any) -> ModelSpec:
    settings = {
        "model_type": "MASKRCNN",
        "classes": chips.classes,
        "bands": chips.bands,
        "dtype": chips.dtype,
        "chip_size": chips.tile_size,
        "normalization": Normalization(mean=chips.statistics.mean, std=chips.statistics.std),
        "statistics": chips.statistics,
        "metadata_format": chips.format,
    }
    return ModelSpec.model_validate(settings | changes)


def network() -> MaskRCNN:
    torch.manual_seed(0)
    return MaskRCNN(
        Convolutions(width=16),  # type: ignore[arg-type]
        3,
        anchor_sizes=[12, 18, 24, 32, 48],
        rpn_pre_nms_top_n_train=100,
        rpn_post_nms_top_n_train=50,
        rpn_post_nms_top_n_test=50,
        box_batch_size_per_image=16,
        pyramid_channels=32,
        representation=64,
    )


class Toy:
    """A folder of chips, its task and its samples."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.chips = read_chips([folder])
        self.task = InstanceTask(spec_of(self.chips, **changes))
        self.reader = ChipReader.of(self.chips)

    def sample(self, index: int = 0, augment: bool = False, seed: int = 0) -> dict[str, Any]:
        return self.task.draw(self.chips.chips[index], self.reader, np.random.default_rng(seed), augment)

    def batch(self, count: int | None = None) -> dict[str, Any]:
        samples = [self.sample(index) for index in range(len(self.chips))][:count]
        return self.task.to_device(self.task.collate(samples), torch.device("cpu"))


@pytest.fixture
def layered(tmp_path: Path) -> Toy:
    """A chip whose Tree mask has two bands: a tree, and another that overlaps it; and a roof."""
    rcnn_masks(tmp_path, [{"Tree": [(2, 2, 10, 12)], "Roof": [(18, 16, 30, 30)]}])
    bands = np.zeros((2, SIZE, SIZE), np.uint8)
    bands[0, 2:12, 2:10] = bands[1, 6:20, 6:15] = 1
    write_raster(mask_path(tmp_path, 0, "Tree"), bands)
    return Toy(tmp_path)


def test_a_sample_has_the_objects_by_class_in_the_order_of_its_numbers(layered: Toy) -> None:
    sample = layered.sample()

    assert sample["labels"].tolist() == [1, 1, 2]
    assert sample["boxes"].tolist() == [[2, 2, 10, 12], [6, 6, 15, 20], [18, 16, 30, 30]]
    assert sorted(np.unique(sample["instances"]).tolist()) == [0, 1, 2, 3]
    np.testing.assert_array_equal(sample["image"], layered.reader.image(layered.chips.chips[0]))


def test_objects_that_overlap_have_masks_of_their_own(layered: Toy) -> None:
    (target,) = layered.task.targets(layered.batch())

    assert target["masks"].dtype == torch.bool
    assert target["masks"].sum((1, 2)).tolist() == [80, 126, 168]
    assert (target["masks"][0] & target["masks"][1]).sum() == 24


def test_a_class_that_the_model_does_not_know_is_left_out(layered: Toy) -> None:
    roofs = tuple(info for info in layered.chips.classes if info.name == "Roof")
    task = InstanceTask(spec_of(layered.chips, classes=roofs))

    sample = task.draw(layered.chips.chips[0], layered.reader, np.random.default_rng(0), False)

    assert sample["labels"].tolist() == [1]
    assert sample["boxes"].tolist() == [[18, 16, 30, 30]]
    assert sample["instances"].max() == 1


def test_a_chip_of_background_is_a_sample_without_objects(tmp_path: Path) -> None:
    toy = Toy(discs(tmp_path, count=3, empty=1))

    sample = toy.sample(2, augment=True)

    assert sample["boxes"].shape == (0, 4)
    assert sample["labels"].shape == (0,)
    assert not sample["instances"].any()


def test_augmented_masks_stay_on_their_objects(tmp_path: Path) -> None:
    toy = Toy(discs(tmp_path, count=4, class_values=(1,), objects=3))
    shares = []
    for seed in range(12):
        sample = toy.sample(seed % 4, augment=True, seed=seed)
        painted, bright = sample["instances"].any(0), sample["image"][0].astype(int) > sample["image"][0].mean() + 30
        if painted.any():
            shares.append((painted & bright).sum() / (painted | bright).sum())
        for number, box in enumerate(sample["boxes"], 1):
            rows, columns = np.nonzero((sample["instances"] == number).any(0))
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]

    assert np.median(shares) > 0.85


def test_a_sample_takes_the_room_of_its_image_however_many_objects_it_has(tmp_path: Path) -> None:
    boxes = [(float(x), float(y), x + 2.0, y + 2.0) for x in range(0, SIZE, 3) for y in range(0, SIZE, 3) if x < 30 and y < 30]
    toy = Toy(rcnn_masks(tmp_path, [{"Tree": boxes}], classes=((1, "Tree"),)))

    sample = toy.sample()

    assert len(sample["labels"]) == 100
    assert sample["instances"].shape == (1, SIZE, SIZE)
    assert toy.task.targets(toy.batch())[0]["masks"].shape == (100, SIZE, SIZE)


def test_the_loss_falls_and_discs_are_outlined(tmp_path: Path) -> None:
    toy = Toy(discs(tmp_path, count=6, size=CHIP))
    batch, net = toy.batch(), network()
    optimizer = toy.task.optimizer(toy.task.parameter_groups([net]), toy.task.phases[0])
    for group in optimizer.param_groups:
        group["lr"] *= 4e-3
    train_mode(net)
    losses = []
    for step in range(60):
        torch.manual_seed(step)
        named = toy.task.losses({"network": net}, batch, toy.task.phases[0])
        optimizer.zero_grad()
        torch.stack(list(named.values())).sum().backward()
        optimizer.step()
        losses.append(named["loss_mask"].item())

    metrics = toy.task.metrics()
    with torch.inference_mode():
        _, predictions = toy.task.validate(net.eval(), batch)
    metrics.update(predictions, batch)

    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert metrics.compute().scalars["average_precision"] > 0.7
    assert all(one["masks"].shape == (len(one["boxes"]), CHIP, CHIP) for one in predictions)
    assert {one["masks"].dtype for one in predictions} == {torch.bool}


def test_a_batch_without_any_object_can_be_learnt_and_measured(tmp_path: Path) -> None:
    toy, net = Toy(discs(tmp_path, count=3, empty=2)), network()
    samples = [toy.sample(index) for index in (1, 2)]
    batch = toy.task.to_device(toy.task.collate(samples), torch.device("cpu"))

    losses = toy.task.losses({"network": net.train()}, batch, toy.task.phases[0])
    _, predictions = toy.task.validate(net.eval(), batch)
    metrics = toy.task.metrics()
    metrics.update(predictions, batch)

    assert all(torch.isfinite(loss) for loss in losses.values())
    assert metrics.compute().scalars["average_precision"] == 0


def test_every_metric_that_monitors_rises(layered: Toy) -> None:
    scalars = layered.task.metrics().compute().scalars

    assert InstanceTask.higher_is_better == set(scalars) - {"best_threshold"}


def test_as_many_detections_count_as_the_model_returns(layered: Toy) -> None:
    assert InstanceTask(layered.task.spec, max_detections=250).metrics().max_detections == 250


def test_a_task_travels_to_loader_processes(layered: Toy) -> None:
    task = pickle.loads(pickle.dumps(layered.task))

    assert task.draw(layered.chips.chips[0], layered.reader, np.random.default_rng(0), False)["labels"].tolist() == [1, 1, 2]


def test_pictures_show_the_outlines_of_truth_and_of_what_scored_enough(layered: Toy) -> None:
    layered.task.score_threshold = 0.3
    sample = layered.sample()
    masks = layered.task.targets(layered.batch())[0]["masks"]
    prediction = {
        "boxes": torch.as_tensor(sample["boxes"])[[0, 2, 1]],
        "labels": torch.tensor([1, 1, 1]),
        "scores": torch.tensor([0.9, 0.4, 0.2]),
        "masks": masks[[0, 2, 1]],
    }

    truth, found = layered.task.panels(sample, prediction)

    tree, roof = (info.color for info in layered.chips.classes)
    np.testing.assert_array_equal(truth.masks, masks.numpy())
    np.testing.assert_array_equal(found.masks, masks[[0, 2]].numpy())
    assert truth.mask_colors == [tree, tree, roof]
    assert found.mask_colors == [tree, tree]
    assert truth.boxes is None
    assert found.text == "1 of 3 found, 1 false (score 0.3 or more)"
