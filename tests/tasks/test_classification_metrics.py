"""Figures of classified chips, against torchmetrics and by hand."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from torchmetrics import classification as reference

from chipwright.chips.chipset import ClassInfo
from chipwright.tasks.classification_metrics import ChipClasses, ClassificationMetrics

NAMES = ("Water", "Forest", "Road", "Building")
CLASSES = tuple(ClassInfo(value=2 * n + 1, name=name, color=(n, 0, 0)) for n, name in enumerate(NAMES))


def measured(probabilities: torch.Tensor, target: torch.Tensor, several: bool) -> ClassificationMetrics:
    metrics = ClassificationMetrics(CLASSES, several)
    predictions = [ChipClasses((), row.astype(np.float32)) for row in probabilities.numpy()]
    metrics.update(predictions, {"target": target.float()})
    return metrics


def random_case(seed: int, several: bool, count: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, 4, generator=generator)
    if several:
        return logits.sigmoid(), (torch.rand(count, 4, generator=generator) < 0.4).long()
    return logits.softmax(1), torch.randint(0, 4, (count,), generator=generator)


def one_hot(truth: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(truth, 4)


@pytest.mark.parametrize("seed", range(3))
def test_one_class_a_chip_agrees_with_torchmetrics(seed: int) -> None:
    probabilities, truth = random_case(seed, several=False)
    result = measured(probabilities, one_hot(truth), several=False).compute()
    accuracy = reference.MulticlassAccuracy(4, average="micro")(probabilities, truth)
    assert result.scalars["accuracy"] == pytest.approx(accuracy.item())
    assert result.scalars["f1"] == pytest.approx(reference.MulticlassF1Score(4, average="macro")(probabilities, truth).item())
    for column, metric in (
        ("precision", reference.MulticlassPrecision(4, average=None)),
        ("recall", reference.MulticlassRecall(4, average=None)),
        ("F1", reference.MulticlassF1Score(4, average=None)),
    ):
        assert [row[column] for row in result.per_class] == pytest.approx(metric(probabilities, truth).tolist())
    names, counts = result.confusion
    assert names == list(NAMES)
    assert counts == reference.MulticlassConfusionMatrix(4)(probabilities, truth).tolist()
    assert [row["chips"] for row in result.per_class] == torch.bincount(truth, minlength=4).tolist()


@pytest.mark.parametrize("seed", range(3))
def test_several_classes_a_chip_agree_with_torchmetrics(seed: int) -> None:
    probabilities, truth = random_case(seed, several=True)
    result = measured(probabilities, truth, several=True).compute()
    for name, metric in (
        ("accuracy", reference.MultilabelAccuracy(4, average="micro")),
        ("multi_label_fbeta", reference.MultilabelFBetaScore(2.0, 4, average="micro")),
        ("f1", reference.MultilabelF1Score(4, average="macro")),
        ("multi_label_average_precision", reference.MultilabelAveragePrecision(4, average="macro")),
    ):
        assert result.scalars[name] == pytest.approx(metric(probabilities, truth).item()), name
    for column, metric in (
        ("precision", reference.MultilabelPrecision(4, average=None)),
        ("recall", reference.MultilabelRecall(4, average=None)),
        ("F1", reference.MultilabelF1Score(4, average=None)),
        ("multi_label_average_precision", reference.MultilabelAveragePrecision(4, average=None)),
    ):
        assert [row[column] for row in result.per_class] == pytest.approx(metric(probabilities, truth).tolist())


def test_fbeta_by_hand() -> None:
    # 3 pairs found of which 2 true, 4 pairs true: 5 * 2 / (4 * 4 + 3)
    probabilities = torch.tensor([[0.9, 0.9, 0.1, 0.1], [0.9, 0.2, 0.1, 0.4]])
    truth = torch.tensor([[1, 0, 0, 1], [1, 0, 1, 0]])
    result = measured(probabilities, truth, several=True).compute()
    assert result.scalars["multi_label_fbeta"] == pytest.approx(10 / 19)
    assert result.scalars["accuracy"] == pytest.approx(5 / 8)


def test_chips_without_a_known_class_do_not_count() -> None:
    probabilities = torch.tensor([[0.9, 0.1, 0, 0], [0.9, 0.1, 0, 0]])
    result = measured(probabilities, torch.tensor([[1, 0, 0, 0], [0, 0, 0, 0]]), several=False).compute()
    assert result.scalars["accuracy"] == 1


def test_absent_classes_are_left_out_of_the_mean_and_named() -> None:
    probabilities = torch.tensor([[0.9, 0.1, 0, 0], [0.2, 0.8, 0, 0]])
    result = measured(probabilities, torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0]]), several=False).compute()
    assert result.scalars["f1"] == 1
    assert math.isnan(result.per_class[2]["F1"])
    assert result.notes == ["Neither in the truth nor predicted, so left out of the means: Road and Building."]


@pytest.mark.parametrize("several", [False, True])
def test_merged_processes_give_the_figures_of_one(several: bool) -> None:
    probabilities, truth = random_case(0, several)
    target = truth if several else one_hot(truth)
    whole = measured(probabilities, target, several)
    first = pickle.loads(pickle.dumps(measured(probabilities[:25], target[:25], several)))
    first.merge(measured(probabilities[25:], target[25:], several))
    assert first.compute() == whole.compute()


@pytest.mark.parametrize("several", [False, True])
def test_without_a_chip_the_figures_are_unknown(several: bool) -> None:
    assert all(math.isnan(value) for value in ClassificationMetrics(CLASSES, several).compute().scalars.values())
