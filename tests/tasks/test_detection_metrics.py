"""Detection figures against a hand computation, torchmetrics, and the cases in which nothing can be computed."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict

import numpy as np
import pytest
import torch

from chipwright.chips.chipset import ClassInfo
from chipwright.tasks.base import Batch
from chipwright.tasks.detection_metrics import DetectionMetrics, between_boxes, box_overlaps, matches

CLASSES = tuple(ClassInfo(value=value, name=name, color=(value, 0, 0)) for value, name in ((2, "Palm"), (7, "Roof")))
Image = tuple[dict[str, torch.Tensor], Batch]


def image(truth: list[tuple[list[float], int]], found: list[tuple[list[float], int, float]]) -> Image:
    prediction = {
        "boxes": torch.tensor([box for box, _, _ in found]).reshape(-1, 4),
        "labels": torch.tensor([label for _, label, _ in found], dtype=torch.int64),
        "scores": torch.tensor([score for _, _, score in found]),
    }
    batch = {
        "boxes": [torch.tensor([box for box, _ in truth]).reshape(-1, 4)],
        "labels": [torch.tensor([label for _, label in truth], dtype=torch.int64)],
    }
    return prediction, batch


def measured(*images: Image) -> DetectionMetrics:
    metrics = DetectionMetrics(CLASSES)
    for prediction, batch in images:
        metrics.update([prediction], batch)
    return metrics


def square(x: float, y: float, side: float = 10) -> list[float]:
    return [x, y, x + side, y + side]


def random_images(count: int, boxes: int, classes: int = 2, seed: int = 0) -> list[Image]:
    """Return images in which about half of the truth is found, somewhat off its place, among false boxes."""
    rng = np.random.default_rng(seed)

    def scattered(number: int) -> np.ndarray:
        corner = rng.uniform(0, 400, (number, 2))
        return np.concatenate([corner, corner + rng.uniform(10, 80, (number, 2))], 1)

    images = []
    for _ in range(count):
        truth, labels = scattered(boxes), rng.integers(1, classes + 1, boxes)
        near = truth[: boxes // 2] + rng.normal(0, 3, (boxes // 2, 4))
        found = np.concatenate([near, scattered(boxes - boxes // 2)])
        found_labels = np.concatenate([labels[: boxes // 2], rng.integers(1, classes + 1, boxes - boxes // 2)])
        prediction = {
            "boxes": torch.from_numpy(found).float(),
            "labels": torch.from_numpy(found_labels),
            "scores": torch.from_numpy(rng.uniform(0, 1, boxes)).float(),
        }
        batch = {"boxes": [torch.from_numpy(truth).float()], "labels": [torch.from_numpy(labels)]}
        images.append((prediction, batch))
    return images


def test_a_hand_computed_case() -> None:
    """Palm: ranked hit, miss, hit over three boxes. Roof: one box, found with an IoU of 90 / 110 = 0.818.

    Palm's precision is 1 up to recall 1/3, then 2/3 up to 2/3, then 0. COCO samples recall at 0, 0.01, ..., 1: 34 points at 1,
    33 at 2/3, 34 at 0. Roof is right at the IoUs 0.5 to 0.8: 7 of 10.
    """
    figures = measured(
        image(
            [(square(0, 0), 1), (square(50, 50), 1), (square(100, 0), 2)],
            [(square(0, 0), 1, 0.9), (square(200, 200), 1, 0.8), ([101, 0, 111, 10], 2, 0.6)],
        ),
        image([(square(0, 0), 1)], [(square(0, 0), 1, 0.7)]),
    ).compute()

    palm = (34 + 33 * 2 / 3) / 101
    rows = {row["class"]: row for row in figures.per_class}
    assert rows["Palm"]["ap50"] == pytest.approx(palm)
    assert rows["Palm"]["coco_ap"] == pytest.approx(palm)
    assert rows["Palm"]["average_recall"] == pytest.approx(2 / 3)
    assert rows["Roof"]["ap50"] == pytest.approx(1)
    assert rows["Roof"]["coco_ap"] == pytest.approx(0.7)
    assert rows["Roof"]["value"] == 7
    assert figures.scalars["average_precision"] == pytest.approx((palm + 1) / 2)
    assert figures.scalars["coco_ap"] == pytest.approx((palm + 0.7) / 2)
    assert figures.scalars["average_recall"] == pytest.approx((2 / 3 + 0.7) / 2)


def test_the_best_threshold_is_that_of_the_highest_f1_over_all_classes() -> None:
    """Thresholds and F1: 0.9: 2/4, 0.8: 2/5, 0.7: 4/6, 0.6: 6/7, 0.1: 6/8 (3 truths)."""
    figures = measured(
        image(
            [(square(0, 0), 1), (square(50, 50), 2), (square(100, 0), 2)],
            [
                (square(0, 0), 1, 0.9),
                (square(200, 200), 1, 0.8),
                (square(50, 50), 2, 0.7),
                (square(100, 0), 2, 0.6),
                (square(300, 0), 2, 0.1),
            ],
        )
    ).compute()

    assert figures.scalars["best_threshold"] == pytest.approx(0.6)
    assert figures.scalars["precision"] == pytest.approx(3 / 4)
    assert figures.scalars["recall"] == pytest.approx(1)
    assert figures.scalars["f1"] == pytest.approx(6 / 7)
    palm, roof = figures.per_class
    assert (palm["boxes"], palm["predictions"], palm["precision"]) == (1, 2, 0.5)
    assert (roof["boxes"], roof["predictions"], roof["f1"]) == (2, 2, 1)


def test_the_curve_is_of_the_ranked_detections() -> None:
    curve = measured(
        image(
            [(square(0, 0), 1), (square(50, 50), 1)],
            [(square(0, 0), 1, 0.9), (square(200, 200), 1, 0.8), (square(50, 50), 1, 0.7)],
        )
    ).compute().curves["Precision and recall: Palm"]  # fmt: skip

    assert curve["x"] == pytest.approx([1 / 2, 1 / 2, 1])
    assert curve["y"] == pytest.approx([1, 1 / 2, 2 / 3])


def test_average_precision_is_torchmetrics() -> None:
    from torchmetrics.detection import MeanAveragePrecision

    images = random_images(40, 12)
    theirs = MeanAveragePrecision(backend="faster_coco_eval", class_metrics=True)
    for prediction, batch in images:
        theirs.update([prediction], [{key: batch[key][0] for key in ("boxes", "labels")}])
    expected = theirs.compute()

    figures = measured(*images).compute()

    names = {"coco_ap": "map", "average_precision": "map_50", "ap75": "map_75", "average_recall": "mar_100"}
    assert {name: figures.scalars[name] for name in names} == pytest.approx(
        {name: float(expected[key]) for name, key in names.items()}
    )
    assert [row["coco_ap"] for row in figures.per_class] == pytest.approx(expected["map_per_class"].tolist())


def test_matching_is_cocos() -> None:
    """At the lowest threshold, recall is hits over truth: our matching must find as many as the library's."""
    figures = measured(*random_images(30, 20, seed=3))
    own = figures.compute()
    _, recall = figures.coco(figures.measured(between_boxes))

    for label in (1, 2):
        assert own.curves[f"Precision and recall: {CLASSES[label - 1].name}"]["x"][-1] == pytest.approx(recall[0, label - 1])


def test_each_truth_is_taken_once_by_the_best_scored() -> None:
    truth, labels = np.array([square(0, 0), square(5, 0)]), np.array([1, 1])
    found = np.array([square(1, 0), square(0, 0), square(3, 0), square(0, 0)])

    matched = matches(box_overlaps(found, truth), np.array([1, 1, 1, 2]), labels, np.array([0.5, 0.9, 0.4, 0.95]))

    assert matched.tolist() == [-1, 0, 1, -1]


def test_overlap_of_boxes_without_area_is_zero() -> None:
    point = np.array([[5.0, 5, 5, 5]])

    assert box_overlaps(point, point).tolist() == [[0]]


def test_two_processes_give_what_one_gives() -> None:
    images = random_images(20, 8)
    first, second = measured(*images[:7]), measured(*images[7:])

    first.merge(pickle.loads(pickle.dumps(second)))

    assert first.compute() == measured(*images).compute()


EMPTY: dict[str, list[Image]] = {
    "nothing taken in": [],
    "no truth and no detection": [image([], [])],
    "no truth": [image([], [(square(0, 0), 1, 0.9)])],
    "no detection": [image([(square(0, 0), 1)], [])],
    "only wrong detections": [image([(square(0, 0), 1)], [(square(0, 0), 2, 0.9)])],
}


@pytest.mark.parametrize("images", EMPTY.values(), ids=EMPTY)
def test_figures_are_defined_where_nothing_is_right(images: list[Image]) -> None:
    figures = measured(*images).compute()

    assert {name: value for name, value in figures.scalars.items() if value} == {"best_threshold": 0.5}
    json.dumps(asdict(figures), allow_nan=False)


def test_classes_without_truth_are_left_out_of_means_and_named() -> None:
    figures = measured(image([(square(0, 0), 1)], [(square(0, 0), 1, 0.9), (square(50, 0), 2, 0.8)])).compute()

    assert figures.scalars["average_precision"] == pytest.approx(1)
    roof = figures.per_class[1]
    assert (roof["ap50"], roof["recall"]) == (None, None)
    assert any("Roof" in note for note in figures.notes)


def test_finding_nothing_is_said() -> None:
    assert any("found nothing" in note for note in measured(image([(square(0, 0), 1)], [])).compute().notes)
