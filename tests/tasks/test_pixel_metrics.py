"""Figures of pixel classification against a hand computation and torchmetrics."""

import json
import math
import pickle

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_jaccard_index,
    multiclass_precision,
    multiclass_recall,
)

from chipwright.chips.chipset import IGNORE, ClassInfo
from chipwright.tasks.pixel_classes import PixelClasses
from chipwright.tasks.pixel_metrics import PixelMetrics, confusion_counts

NAMES = {0: "Ground", 1: "Water", 4: "Road", 6: "Tree"}


def classes(*values: int, ignore: tuple[int, ...] = ()) -> PixelClasses:
    return PixelClasses.of([ClassInfo(value=value, name=NAMES[value], color=(0, 0, 0)) for value in values], ignore)


def measured(found: PixelClasses, truth: list[list[int]], prediction: list[list[int]]) -> PixelMetrics:
    metrics = PixelMetrics(found)
    masks = torch.tensor([truth], dtype=torch.int16)
    metrics.update([torch.tensor(prediction, dtype=torch.uint8)], {"mask": masks})
    return metrics


def random_maps(count: int = 4, size: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    truth = torch.randint(0, 4, (3, size, size), generator=generator)
    noise = torch.randint(0, 4, (3, size, size), generator=generator)
    prediction = torch.where(torch.rand(3, size, size, generator=generator) < 0.6, truth, noise)
    truth[torch.rand(3, size, size, generator=generator) < 0.2] = IGNORE
    return truth.short(), prediction.to(torch.uint8)


def test_figures_by_hand():
    # truth:      0 0 1 1 2 2 2 ignored     prediction: 0 1 1 1 2 0 1 2
    evaluation = measured(classes(1, 4), [[0, 0, 1, 1, 2, 2, 2, IGNORE]], [[0, 1, 1, 1, 2, 0, 1, 2]]).compute()
    water, road = evaluation.per_class
    assert water == {"class": "Water", "value": 1, "IoU": 0.5, "precision": 0.5, "recall": 1.0, "F1": 2 / 3, "pixels": 2}
    assert road["IoU"] == road["recall"] == pytest.approx(1 / 3)
    assert (road["precision"], road["F1"], road["pixels"]) == (1.0, 0.5, 3)
    assert evaluation.scalars == {
        "accuracy": pytest.approx(4 / 7),
        "miou": pytest.approx((1 / 2 + 1 / 3) / 2),
        "dice": pytest.approx((2 / 3 + 1 / 2) / 2),
    }
    assert evaluation.confusion == (["Background", "Water", "Road"], [[1, 1, 0], [0, 2, 0], [1, 1, 1]])


def test_figures_are_those_of_torchmetrics():
    truth, prediction = random_maps()
    metrics = PixelMetrics(classes(0, 1, 4, 6))
    metrics.update(list(prediction), {"mask": truth})
    evaluation = metrics.compute()
    given = (prediction.long(), truth.long())
    settings = {"num_classes": 4, "ignore_index": IGNORE}
    columns = {
        "IoU": multiclass_jaccard_index,
        "precision": multiclass_precision,
        "recall": multiclass_recall,
        "F1": multiclass_f1_score,
    }
    for name, function in columns.items():
        expected = function(*given, average="none", **settings)
        np.testing.assert_allclose([row[name] for row in evaluation.per_class], expected.numpy(), rtol=1e-6)
    assert evaluation.scalars["accuracy"] == pytest.approx(multiclass_accuracy(*given, average="micro", **settings).item())
    assert evaluation.scalars["miou"] == pytest.approx(multiclass_jaccard_index(*given, **settings).item())
    assert metrics.counts.tolist() == multiclass_confusion_matrix(*given, **settings).tolist()


def test_the_unnamed_background_counts_in_accuracy_but_is_no_class():
    evaluation = measured(classes(1), [[0, 0, 0, 1]], [[0, 0, 0, 0]]).compute()
    assert evaluation.scalars["accuracy"] == 0.75
    assert evaluation.scalars["miou"] == 0
    assert [row["class"] for row in evaluation.per_class] == ["Water"]
    assert "Background (value 0) counts in accuracy" in evaluation.notes[0]


def test_a_named_value_0_is_measured():
    evaluation = measured(classes(0, 1), [[0, 0, 0, 1]], [[0, 0, 1, 1]]).compute()
    assert evaluation.scalars["miou"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert [row["class"] for row in evaluation.per_class] == ["Ground", "Water"]


def test_a_class_that_does_not_occur_is_nan_and_left_out_of_the_means():
    evaluation = measured(classes(1, 4), [[1, 1]], [[1, 1]]).compute()
    assert (evaluation.scalars["miou"], evaluation.scalars["dice"]) == (1, 1)
    road = evaluation.per_class[1]
    assert all(math.isnan(road[name]) for name in ("IoU", "precision", "recall", "F1"))
    assert evaluation.notes == ["Neither in the truth nor predicted, so left out of the means: Road."]


def test_a_class_that_is_only_predicted_counts_as_0_in_the_means():
    evaluation = measured(classes(1, 4), [[1, 1]], [[1, 2]]).compute()
    assert evaluation.scalars["miou"] == pytest.approx((0.5 + 0) / 2)


def test_the_background_stands_in_the_confusion_only_where_it_occurs():
    assert measured(classes(1, 4), [[1, 2]], [[1, 1]]).compute().confusion == (["Water", "Road"], [[1, 0], [1, 0]])


def test_ignored_classes_appear_nowhere_but_in_a_note():
    evaluation = measured(classes(1, 4, 6, ignore=(0, 4)), [[1, 3, IGNORE]], [[1, 1, 3]]).compute()
    assert [row["class"] for row in evaluation.per_class] == ["Water", "Tree"]
    assert evaluation.confusion == (["Water", "Tree"], [[1, 0], [1, 0]])
    assert evaluation.notes == ["Ignored in training and in all figures: Background and Road."]


def test_nothing_labelled_gives_nan_figures():
    evaluation = measured(classes(1), [[IGNORE]], [[1]]).compute()
    assert all(math.isnan(value) for value in evaluation.scalars.values())


def test_counts_are_plain_numbers():
    evaluation = measured(classes(1), [[1, 0]], [[1, 0]]).compute()
    assert json.loads(json.dumps(evaluation.confusion)) == [["Background", "Water"], [[1, 0], [0, 1]]]


def test_parts_measured_apart_and_merged_equal_the_whole():
    truth, prediction = random_maps()
    whole, first, second = (PixelMetrics(classes(1, 4, 6)) for _ in range(3))
    whole.update(list(prediction), {"mask": truth})
    first.update(list(prediction[:1]), {"mask": truth[:1]})
    second.update(list(prediction[1:]), {"mask": truth[1:]})
    first.merge(pickle.loads(pickle.dumps(second)))
    assert (first.counts == whole.counts).all()


def test_masks_of_differing_sizes_are_counted_one_by_one():
    metrics = PixelMetrics(classes(1))
    masks = [torch.ones(2, 3, dtype=torch.int16), torch.zeros(4, 4, dtype=torch.int16)]
    metrics.update([torch.ones(2, 3, dtype=torch.uint8), torch.ones(4, 4, dtype=torch.uint8)], {"mask": masks})
    assert metrics.counts.tolist() == [[0, 16], [0, 6]]


def test_many_classes_do_not_overflow_small_number_types():
    truth = torch.full((1, 1, 4), 299, dtype=torch.int16)
    assert confusion_counts(truth, truth, 300)[299, 299] == 4
