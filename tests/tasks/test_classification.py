"""Classification of whole chips: samples, losses, predictions and pictures."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from chipwright.chips.chipset import BandStatistics, Chip, ClassInfo
from chipwright.spec import ModelSpec, Normalization
from chipwright.tasks.classification import ClassificationTask, balanced

CLASSES = tuple(
    ClassInfo(value=value, name=name, color=(value, 0, 0)) for value, name in ((2, "Water"), (5, "Forest"), (9, "Road"))
)


def spec_of(**changes: Any) -> ModelSpec:
    return ModelSpec(
        model_type="FEATURE_CLASSIFIER",
        classes=CLASSES,
        bands=("Red", "Green", "Blue"),
        dtype="uint8",
        chip_size=(32, 32),
        normalization=Normalization(mean=(100.0,) * 3, std=(50.0,) * 3),
        statistics=BandStatistics(minimum=(0,) * 3, maximum=(255,) * 3, mean=(100,) * 3, std=(50,) * 3, source="computed"),
        metadata_format="Labeled_Tiles",
    ).model_copy(update=changes)


def several(**changes: Any) -> ClassificationTask:
    return ClassificationTask(spec_of(metadata_format="MultiLabeled_Tiles", **changes))


def chip(values: tuple[int, ...] = (5,), width: int = 32, height: int = 32, name: str = "a") -> Chip:
    return Chip(name, 0, (Path(f"{name}.tif"),), width, height, values=values)


class Reader:
    """Gives every chip one colour."""

    def __init__(self, color: int = 7, valid: NDArray[np.bool_] | None = None) -> None:
        self.color, self.mask = color, valid

    def image(self, chip: Chip, index: int = 0) -> NDArray[Any]:
        return np.full((3, chip.height, chip.width), self.color, np.uint8)

    def valid(self, chip: Chip, index: int = 0) -> NDArray[np.bool_] | None:
        return self.mask

    def label(self, chip: Chip) -> NDArray[Any]:
        raise AssertionError("classification reads no label raster")

    def instances(self, chip: Chip) -> dict[int, NDArray[np.int32]]:
        raise NotImplementedError


class Fixed(nn.Module):
    """A network that always gives the same logits, and remembers what it was shown."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)
        self.shown: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.shown.append(images)
        return self.logits[: len(images)]


def draw(task: ClassificationTask, unit: Chip, reader: Reader | None = None, augment: bool = False) -> dict[str, Any]:
    return task.draw(unit, reader or Reader(), np.random.default_rng(0), augment)


def batch_of(target: list[list[float]]) -> dict[str, Any]:
    return {"image": torch.rand(len(target), 3, 32, 32), "target": torch.tensor(target)}


def loss(task: ClassificationTask, logits: torch.Tensor, batch: dict[str, Any]) -> torch.Tensor:
    return task.losses({"network": Fixed(logits)}, batch, task.phases[0])["classification"]


# -- samples


def test_a_sample_is_the_chip_and_a_one_at_each_of_its_classes() -> None:
    assert draw(ClassificationTask(spec_of()), chip((5,)))["target"].tolist() == [0, 1, 0]
    assert draw(several(), chip((2, 9)))["target"].tolist() == [1, 0, 1]


def test_values_without_a_class_are_no_class() -> None:
    assert draw(several(), chip((2, 77)))["target"].tolist() == [1, 0, 0]


@pytest.mark.parametrize("augment", [False, True])
def test_images_have_the_chip_size_and_the_files_dtype(augment: bool) -> None:
    image = draw(ClassificationTask(spec_of()), chip(width=50, height=20), augment=augment)["image"]
    assert image.shape == (3, 32, 32) and image.dtype == np.uint8


def test_chips_of_fixed_size_are_padded_with_the_mean_not_squeezed() -> None:
    image = draw(ClassificationTask(spec_of()), chip(width=32, height=16))["image"]
    assert (image[:, 8:24] == 7).all() and (image[:, :8] == 100).all()


@pytest.mark.parametrize("changes", [{"metadata": {"CropTileMode": "Variable_Size"}}, {"metadata_format": "Imagenet"}])
def test_chips_of_variable_size_are_squeezed_to_the_chip_size(changes: dict[str, Any]) -> None:
    image = draw(ClassificationTask(spec_of(**changes)), chip(width=80, height=16))["image"]
    assert image.shape == (3, 32, 32) and (image == 7).all()


def test_pixels_without_data_get_the_mean() -> None:
    valid = np.ones((32, 32), bool)
    valid[0, 0] = False
    image = draw(ClassificationTask(spec_of()), chip(), Reader(0, valid))["image"]
    assert image[:, 0, 0].tolist() == [100, 100, 100] and (image[:, 1:] == 0).all()


def test_samples_depend_on_the_generator_alone() -> None:
    task = ClassificationTask(spec_of())
    first, again = (task.draw(chip(), Reader(90), np.random.default_rng(3), True)["image"] for _ in range(2))
    assert np.array_equal(first, again)


def test_oversampling_makes_all_classes_as_frequent_and_repeats_chips_evenly() -> None:
    chips = [chip((2,), name=f"w{n}") for n in range(7)] + [chip((5,), name=f"f{n}") for n in range(3)]
    names = [unit.name for unit in balanced(chips)]
    assert len(names) == 14
    assert sorted(names.count(f"w{n}") for n in range(7)) == [1] * 7
    assert sorted(names.count(f"f{n}") for n in range(3)) == [2, 2, 3]


def test_only_training_samples_are_oversampled_and_only_if_asked() -> None:
    chips = [chip((2,)), chip((2,)), chip((5,))]
    assert len(ClassificationTask(spec_of()).training_units(chips)) == 3
    asked = ClassificationTask(spec_of(arguments={"oversample": True}))
    assert len(asked.training_units(chips)) == 4
    assert len(asked.units(chips)) == 3


# -- losses


def test_the_loss_of_one_class_is_pytorchs_cross_entropy() -> None:
    logits = torch.randn(4, 3)
    truth = torch.tensor([0, 2, 1, 2])
    batch = batch_of(F.one_hot(truth, 3).float().tolist())
    assert loss(ClassificationTask(spec_of()), logits, batch).item() == pytest.approx(F.cross_entropy(logits, truth).item())
    weighted = ClassificationTask(spec_of(fitted={"class_weights": [0.5, 2.0, 1.0]}))
    expected = F.cross_entropy(logits, truth, torch.tensor([0.5, 2.0, 1.0]))
    assert loss(weighted, logits, batch).item() == pytest.approx(expected.item())


def test_the_loss_of_several_classes_is_pytorchs_binary_cross_entropy() -> None:
    logits, target = torch.randn(4, 3), torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
    plain = F.binary_cross_entropy_with_logits(logits, target)
    assert loss(several(), logits, batch_of(target.tolist())).item() == pytest.approx(plain.item())
    weighted = several(fitted={"class_weights": [3.0, 1.0, 0.5]})
    expected = F.binary_cross_entropy_with_logits(logits, target, pos_weight=torch.tensor([3.0, 1.0, 0.5]))
    assert loss(weighted, logits, batch_of(target.tolist())).item() == pytest.approx(expected.item())


def test_chips_without_a_known_class_do_not_count() -> None:
    logits = torch.randn(3, 3)
    with_unknown = batch_of([[1, 0, 0], [0, 0, 0], [0, 0, 1]])
    known = F.cross_entropy(logits[[0, 2]], torch.tensor([0, 2]))
    assert loss(ClassificationTask(spec_of()), logits, with_unknown).item() == pytest.approx(known.item())
    nothing = loss(ClassificationTask(spec_of()), logits, batch_of([[0, 0, 0]] * 3))
    assert nothing.item() == 0


def test_mixup_mixes_images_and_classes_by_the_same_share() -> None:
    task = ClassificationTask(spec_of(arguments={"mixup": True}))
    images = torch.zeros(6, 3, 32, 32) + torch.arange(6.0).view(-1, 1, 1, 1)  # image k holds k; its class is k mod 3
    batch = {"image": images, "target": F.one_hot(torch.arange(6) % 3, 3).float()}
    mixed: list[torch.Tensor] = []
    task._loss = lambda logits, target: mixed.append(target) or logits.sum()  # type: ignore[method-assign, func-returns-value]
    network = Fixed(torch.zeros(6, 3))
    torch.manual_seed(0)
    task.losses({"network": network}, batch, task.phases[0])
    values, targets = network.shown[0][:, 0, 0, 0], mixed[0]
    assert torch.allclose(targets.sum(1), torch.ones(6))
    assert (values != torch.arange(6.0)).any()
    for own, (value, target) in enumerate(zip(values.tolist(), targets, strict=True)):
        share = target[own % 3].item()
        others = [other for other in range(6) if abs(share * own + (1 - share) * other - value) < 1e-4]
        assert share >= 0.5 and any(other % 3 == own % 3 or target[other % 3] == pytest.approx(1 - share) for other in others)


def test_validation_is_never_mixed() -> None:
    task = ClassificationTask(spec_of(arguments={"mixup": True}))
    logits = torch.randn(4, 3)
    batch = batch_of(F.one_hot(torch.tensor([0, 2, 1, 2]), 3).float().tolist())
    network = Fixed(logits)
    losses, _ = task.validate(network, batch)
    assert torch.equal(network.shown[0], batch["image"])
    assert losses["classification"].item() == pytest.approx(F.cross_entropy(logits, torch.tensor([0, 2, 1, 2])).item())


# -- predictions


def test_the_likeliest_class_is_predicted_with_probabilities_that_sum_to_one() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0]])
    (found,) = ClassificationTask(spec_of()).predict(Fixed(logits), {"image": torch.rand(1, 3, 32, 32)})
    assert found.values == (5,)
    assert found.probabilities == pytest.approx(logits.softmax(1)[0].numpy())


def test_all_classes_above_one_half_are_predicted_where_there_may_be_several() -> None:
    logits = torch.tensor([[3.0, -1.0, 0.1], [-1.0, -2.0, 0.0]])
    first, second = several().predict(Fixed(logits), {"image": torch.rand(2, 3, 32, 32)})
    assert first.values == (2, 9) and second.values == ()
    assert first.probabilities == pytest.approx(logits.sigmoid()[0].detach().numpy())


def test_images_of_any_size_are_predicted_and_squeezed_where_chips_vary_in_size() -> None:
    images = [torch.rand(3, 40, 20), torch.rand(3, 32, 32)]
    fixed, varying = Fixed(torch.zeros(1, 3)), Fixed(torch.zeros(1, 3))
    assert len(ClassificationTask(spec_of()).predict(fixed, {"image": images})) == 2
    assert [tuple(shown.shape[-2:]) for shown in fixed.shown] == [(40, 20), (32, 32)]
    ClassificationTask(spec_of(metadata={"CropTileMode": "Variable_Size"})).predict(varying, {"image": images})
    assert [tuple(shown.shape[-2:]) for shown in varying.shown] == [(32, 32), (32, 32)]


def test_the_task_travels_to_other_processes() -> None:
    task = ClassificationTask(spec_of(arguments={"mixup": True}))
    copy = pickle.loads(pickle.dumps(task))
    assert draw(copy, chip((9,)))["target"].tolist() == [0, 0, 1]


# -- pictures


def test_a_panel_says_truth_prediction_and_whether_they_agree() -> None:
    task = ClassificationTask(spec_of())
    sample = draw(task, chip((5,)))
    (right,) = task.panels(sample, task.decide(torch.tensor([[0.0, 2.0, 0.0]]))[0])
    (wrong,) = task.panels(sample, task.decide(torch.tensor([[2.0, 0.0, 0.0]]))[0])
    assert (right.title, right.text, right.good) == ("Forest", "Forest 79%", True)
    assert (wrong.title, wrong.text, wrong.good) == ("Forest", "Water 79%", False)
    assert right.image.shape == (32, 32, 3) and right.image.dtype == np.uint8


def test_a_panel_of_several_classes_is_right_only_if_all_are() -> None:
    task = several()
    sample = draw(task, chip((2, 9)))
    (right,) = task.panels(sample, task.decide(torch.tensor([[5.0, -5.0, 5.0]]))[0])
    (part,) = task.panels(sample, task.decide(torch.tensor([[5.0, -5.0, -5.0]]))[0])
    assert right.title == "Water, Road" and right.good is True
    assert part.text == "Water 99%" and part.good is False


def test_a_chip_without_a_known_class_is_neither_right_nor_wrong() -> None:
    task = ClassificationTask(spec_of())
    (panel,) = task.panels(draw(task, replace(chip(), values=())), task.decide(torch.tensor([[2.0, 0.0, 0.0]]))[0])
    assert panel.title == "No class" and panel.good is None
