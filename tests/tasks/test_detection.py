"""The detection task: what is drawn from chips, how it learns, and what it shows."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chipwright.chips.chipset import BandStatistics, Chip, ClassInfo
from chipwright.networks.fasterrcnn import FasterRCNN
from chipwright.networks.pretrained import train_mode
from chipwright.spec import ModelSpec, Normalization
from chipwright.tasks.detection import DetectionTask

SIZE = 64
CLASSES = (ClassInfo(value=3, name="Palm", color=(0, 255, 0)), ClassInfo(value=8, name="Roof", color=(255, 0, 0)))


class Squares:
    """Chips of bright squares on dark noise; stands in for a reader."""

    def __init__(self, bands: int = 3, dtype: str = "uint8") -> None:
        self.bands, self.dtype = bands, dtype
        self.mask: NDArray[np.bool_] | None = None

    def image(self, chip: Chip, index: int = 0) -> NDArray[Any]:
        rng = np.random.default_rng(int(chip.name))
        picture = rng.integers(10, 40, (self.bands, chip.height, chip.width))
        if chip.boxes is not None and chip.box_values is not None:
            for (left, top, right, bottom), value in zip(chip.boxes.astype(int), chip.box_values, strict=True):
                picture[int(value) % self.bands, top:bottom, left:right] = 240
        return picture.astype(self.dtype)

    def valid(self, chip: Chip, index: int = 0) -> NDArray[np.bool_] | None:
        return self.mask

    def label(self, chip: Chip) -> NDArray[Any]:
        raise NotImplementedError

    def instances(self, chip: Chip) -> dict[int, NDArray[np.int32]]:
        raise NotImplementedError


def chip(name: int, *objects: tuple[float, float, float, float, int], size: int = SIZE) -> Chip:
    return Chip(
        name=str(name),
        folder=0,
        images=(Path(f"{name}.tif"),),
        width=size,
        height=size,
        boxes=np.array([one[:4] for one in objects], np.float32).reshape(-1, 4),
        box_values=np.array([one[4] for one in objects], np.int64),
    )


def toy_chips(count: int, objects: int = 2) -> list[Chip]:
    rng = np.random.default_rng(0)
    chips = []
    for name in range(count):
        places = rng.permutation([(4, 4), (36, 4), (4, 36), (36, 36)])[:objects]
        sides = rng.integers(14, 26, objects)
        turns = zip((3, 8, 3, 8), places, sides, strict=False)
        boxes = [(x, y, x + side, y + side, value) for value, (x, y), side in turns]
        chips.append(chip(name, *boxes))
    return chips


def spec(bands: int = 3, dtype: str = "uint8", **changes: Any) -> ModelSpec:
    statistics = BandStatistics(
        minimum=(0.0,) * bands, maximum=(255.0,) * bands, mean=(40.0,) * bands, std=(60.0,) * bands, source="computed"
    )
    settings = {
        "model_type": "FASTERRCNN",
        "classes": CLASSES,
        "bands": tuple(f"Band_{band}" for band in range(bands)),
        "dtype": dtype,
        "chip_size": (SIZE, SIZE),
        "normalization": Normalization(mean=statistics.mean, std=statistics.std),
        "statistics": statistics,
        "metadata_format": "PASCAL_VOC_rectangles",
    }
    return ModelSpec.model_validate(settings | changes)


def drawn(task: DetectionTask, chips: list[Chip], reader: Squares | None = None, augment: bool = False) -> dict[str, Any]:
    source = reader or Squares()
    samples = [task.draw(unit, source, np.random.default_rng(0), augment) for unit in chips]
    return task.to_device(task.collate(samples), torch.device("cpu"))


class Backbone(nn.Module):
    """Three strided convolutions: maps of stride 4 and 8."""

    channels, strides = (16, 32), (4, 8)

    def __init__(self, bands: int = 3) -> None:
        super().__init__()

        def step(have: int, make: int) -> nn.Module:
            return nn.Sequential(nn.Conv2d(have, make, 3, 2, 1), nn.BatchNorm2d(make), nn.ReLU())

        self.first = nn.Sequential(step(bands, 8), step(8, 16))
        self.second = step(16, 32)

    def forward(self, images: Tensor) -> list[Tensor]:
        first = self.first(images)
        return [first, self.second(first)]


def network(bands: int = 3) -> FasterRCNN:
    torch.manual_seed(0)
    return FasterRCNN(
        Backbone(bands),  # type: ignore[arg-type]
        3,
        anchor_sizes=[16, 24, 32],
        rpn_pre_nms_top_n_train=100,
        rpn_post_nms_top_n_train=50,
        rpn_post_nms_top_n_test=50,
        box_batch_size_per_image=16,
        pyramid_channels=32,
        representation=64,
    )


def trained(task: DetectionTask, net: FasterRCNN, batch: dict[str, Any], steps: int) -> list[float]:
    """Train on one batch as the engine does; return the losses."""
    phase = task.phases[0]
    optimizer = task.optimizer(task.parameter_groups([net]), phase)
    for group in optimizer.param_groups:
        group["lr"] *= 3e-3
    train_mode(net)
    losses = []
    for step in range(steps):
        torch.manual_seed(step)
        optimizer.zero_grad()
        loss = sum(task.losses(task.parts(net), batch, phase).values())
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def test_labels_count_from_one_in_the_order_of_class_values() -> None:
    boxes, labels = DetectionTask(spec()).truth(chip(0, (1, 2, 30, 40, 8), (5, 5, 9, 9, 3)))

    assert labels.tolist() == [2, 1]
    assert boxes.tolist() == [[1, 2, 30, 40], [5, 5, 9, 9]]


def test_boxes_of_values_that_are_no_class_are_left_out() -> None:
    _, labels = DetectionTask(spec()).truth(chip(0, (1, 2, 30, 40, 9), (5, 5, 9, 9, 3), (5, 5, 9, 9, 1)))

    assert labels.tolist() == [1]


def test_a_chip_without_labels_is_a_sample_without_boxes() -> None:
    bare = Chip(name="1", folder=0, images=(Path("1.tif"),), width=SIZE, height=SIZE)

    sample = DetectionTask(spec()).draw(bare, Squares(), np.random.default_rng(0), augment=True)

    assert sample["boxes"].shape == (0, 4)
    assert sample["labels"].shape == (0,)


def test_without_augmentation_a_sample_is_its_chip() -> None:
    reader, unit = Squares(dtype="uint16"), chip(5, (8, 8, 30, 30, 3))

    sample = DetectionTask(spec(dtype="uint16")).draw(unit, reader, np.random.default_rng(0), augment=False)

    assert sample["image"].dtype == np.uint16
    np.testing.assert_array_equal(sample["image"], reader.image(unit))
    np.testing.assert_array_equal(sample["boxes"], unit.boxes)


def test_augmented_boxes_stay_on_their_objects() -> None:
    task, unit = DetectionTask(spec()), chip(5, (8, 16, 40, 36, 3))

    for seed in range(8):
        sample = task.draw(unit, Squares(), np.random.default_rng(seed), augment=True)
        bright = np.argwhere(sample["image"][0] > 140)[:, ::-1]
        if not len(sample["boxes"]):
            continue
        hull = np.concatenate([bright.min(0), bright.max(0) + 1])
        np.testing.assert_allclose(sample["boxes"][0], hull, atol=2)


def test_pixels_without_data_become_the_mean() -> None:
    reader, task = Squares(), DetectionTask(spec())
    reader.mask = np.ones((SIZE, SIZE), bool)
    reader.mask[:, :10] = False

    batch = drawn(task, [chip(1)], reader)

    assert batch["image"][0, :, :, :10].abs().max() == 0


def test_a_task_travels_to_loader_processes() -> None:
    task = pickle.loads(pickle.dumps(DetectionTask(spec())))

    assert task.truth(chip(0, (1, 2, 30, 40, 8)))[1].tolist() == [2]


@pytest.mark.parametrize("bands", [3, 4])
def test_the_loss_falls_and_squares_are_found(bands: int) -> None:
    task, net = DetectionTask(spec(bands)), network(bands)
    batch = drawn(task, toy_chips(8), Squares(bands))

    losses = trained(task, net, batch, 50)
    net.eval()
    metrics = task.metrics()
    with torch.inference_mode():
        metrics.update(task.predict(net, batch), batch)

    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert metrics.compute().scalars["average_precision"] > 0.8


def test_a_batch_without_any_box_can_be_learnt_and_measured() -> None:
    task, net = DetectionTask(spec()), network()
    batch = drawn(task, toy_chips(2, objects=0))

    losses = trained(task, net, batch, 2)
    _, predictions = task.validate(net.eval(), batch)
    metrics = task.metrics()
    metrics.update(predictions, batch)

    assert np.isfinite(losses).all()
    assert metrics.compute().scalars["average_precision"] == 0


def test_validation_gives_the_losses_of_training_and_the_predictions() -> None:
    task, net = DetectionTask(spec()), network()
    batch = drawn(task, toy_chips(3))
    trained(task, net, batch, 5)
    net.train()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    torch.manual_seed(1)
    expected = task.losses(task.parts(net), batch, task.phases[0])

    net.eval()
    torch.manual_seed(1)
    losses, predictions = task.validate(net, batch)

    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(list(predictions), list(task.predict(net, batch)))


def test_chips_of_differing_size_make_a_batch() -> None:
    task = DetectionTask(spec())
    samples = [
        {"image": np.zeros((3, side, side), np.uint8), "boxes": np.zeros((0, 4), np.float32), "labels": np.zeros(0, int)}
        for side in (64, 80)
    ]

    batch = task.to_device(task.collate(samples), torch.device("cpu"))

    assert len(task.predict(network().eval(), batch)) == 2


def test_every_metric_that_monitors_rises() -> None:
    scalars = DetectionTask(spec()).metrics().compute().scalars

    assert DetectionTask.higher_is_better == set(scalars) - {"best_threshold"}


def test_as_many_detections_count_as_the_model_returns() -> None:
    assert DetectionTask(spec(), max_detections=250).metrics().max_detections == 250


def test_pictures_show_truth_and_what_scored_enough() -> None:
    task, unit = DetectionTask(spec()), chip(0, (8, 8, 30, 30, 3), (40, 40, 60, 60, 8))
    sample = task.draw(unit, Squares(), np.random.default_rng(0), augment=False)
    prediction = {
        "boxes": torch.tensor([[8.0, 8, 30, 30], [0, 40, 20, 60], [40, 40, 60, 60]]),
        "labels": torch.tensor([1, 2, 2]),
        "scores": torch.tensor([0.91, 0.6, 0.2]),
    }

    truth, found = task.panels(sample, prediction)

    assert truth.box_texts == ["Palm", "Roof"]
    assert truth.box_colors == [(0, 255, 0), (255, 0, 0)]
    assert truth.image.shape == (SIZE, SIZE, 3)
    assert found.box_texts == ["Palm 91%", "Roof 60%"]
    assert found.text.startswith("1 of 2 found, 1 false")
    assert found.good is False
