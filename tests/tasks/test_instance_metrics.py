"""Figures of masks against a hand computation and torchmetrics, and COCO's run lengths against its own encoder."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from chipwright.chips.chipset import ClassInfo
from chipwright.chips.instances import boxes_of
from chipwright.tasks.instance_metrics import InstanceMetrics, mask_overlaps, run_lengths, windows

CLASSES = tuple(ClassInfo(value=value, name=name, color=(value, 0, 0)) for value, name in ((2, "Palm"), (7, "Roof")))
SIZE = (40, 50)
Pair = tuple[dict[str, torch.Tensor], dict[str, Any]]


def rectangle(left: int, top: int, right: int, bottom: int) -> NDArray[np.bool_]:
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def hull(masks: list[NDArray[np.bool_]]) -> torch.Tensor:
    layers = np.stack([mask * np.int32(number) for number, mask in enumerate(masks, 1)] or [np.zeros(SIZE, np.int32)])
    return torch.from_numpy(boxes_of(layers, len(masks)))


def pair(truth: list[tuple[NDArray[np.bool_], int]], found: list[tuple[NDArray[np.bool_], int, float]]) -> Pair:
    """Return a prediction and a batch of one image; every true object stands on a layer of its own."""
    masks = [mask for mask, *_ in found]
    prediction = {
        "boxes": hull(masks),
        "labels": torch.tensor([label for _, label, _ in found], dtype=torch.int64),
        "scores": torch.tensor([score for *_, score in found]),
        "masks": torch.from_numpy(np.stack(masks)) if masks else torch.zeros(0, *SIZE, dtype=torch.bool),
    }
    objects = [mask for mask, _ in truth]
    layers = [mask * np.int32(number) for number, mask in enumerate(objects, 1)]
    batch = {
        "boxes": [hull(objects)],
        "labels": [torch.tensor([label for _, label in truth], dtype=torch.int64)],
        "instances": [torch.from_numpy(np.stack(layers or [np.zeros(SIZE, np.int32)]))],
    }
    return prediction, batch


def measured(*pairs: Pair) -> InstanceMetrics:
    metrics = InstanceMetrics(CLASSES)
    for prediction, batch in pairs:
        metrics.update([prediction], batch)
    return metrics


def blobs(count: int, rng: np.random.Generator) -> list[NDArray[np.bool_]]:
    """Return ragged masks."""
    made = []
    for left, top in zip(rng.integers(0, 30, count), rng.integers(0, 20, count), strict=True):
        width, height = (int(side) for side in rng.integers(6, 18, 2))
        mask = rectangle(left, top, left + width, top + height)
        made.append(mask & (rng.random(SIZE) < 0.9))
    return made


def random_pairs(count: int, objects: int, seed: int = 0) -> list[Pair]:
    """Return images in which about half of the truth is found, shifted by up to two pixels, among false masks."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        truth = blobs(objects, rng)
        labels = rng.integers(1, 3, objects).tolist()
        near = [np.roll(mask, tuple(rng.integers(-2, 3, 2)), (0, 1)) for mask in truth[: objects // 2]]
        found = near + blobs(objects - len(near), rng)
        given = labels[: len(near)] + rng.integers(1, 3, objects - len(near)).tolist()
        scores = rng.uniform(0, 1, objects).tolist()
        made.append(pair(list(zip(truth, labels, strict=True)), list(zip(found, given, scores, strict=True))))
    return made


@pytest.mark.parametrize("seed", range(6))
def test_run_lengths_are_cocos(seed: int) -> None:
    from faster_coco_eval.core.mask import encode

    mask = np.random.default_rng(seed).random((7, 9)) < (0.0, 1.0, 0.5, 0.9, 0.1, 0.7)[seed]

    assert run_lengths(mask) == encode(np.asfortranarray(mask.astype(np.uint8)))


@pytest.mark.parametrize("window", [(0, 0, 50, 40), (7, 5, 22, 31), (40, 0, 50, 40), (0, 38, 1, 40)])
def test_run_lengths_of_a_window_are_those_of_the_whole(window: tuple[int, int, int, int]) -> None:
    mask = rectangle(*window) & (np.random.default_rng(1).random(SIZE) < 0.8)
    (place,) = windows(np.array([window], float), SIZE)

    assert run_lengths(mask[place], place, SIZE) == run_lengths(mask)


def test_windows_are_the_pixels_that_boxes_touch() -> None:
    assert windows(np.array([[1.2, 2.0, 3.1, 4.0], [-4, -1, 99, 99]]), SIZE) == [
        (slice(2, 4), slice(1, 4)),
        (slice(0, 40), slice(0, 50)),
    ]


def test_overlaps_of_masks_are_shared_over_joined_pixels() -> None:
    first = [run_lengths(rectangle(0, 0, 10, 10)), run_lengths(rectangle(20, 20, 30, 30))]
    second = [run_lengths(rectangle(5, 0, 15, 10)), run_lengths(rectangle(20, 20, 30, 30)), run_lengths(rectangle(0, 0, 0, 0))]

    np.testing.assert_allclose(mask_overlaps(first, second), [[50 / 150, 0, 0], [0, 1, 0]])
    assert mask_overlaps([], second).shape == (0, 3)


def test_a_mask_that_misses_its_object_is_wrong_however_good_its_box() -> None:
    """Half of a square, cut at the diagonal, and its corners have the whole one's box, but overlap it by less than half."""
    upper = rectangle(10, 10, 30, 30) & (np.arange(SIZE[1]) - np.arange(SIZE[0])[:, None] > 0)
    corners = rectangle(10, 10, 11, 11) | rectangle(29, 29, 30, 30)
    whole = rectangle(10, 10, 30, 30)

    figures = measured(pair([(whole, 1)], [(upper | corners, 1, 0.9)])).compute().scalars

    assert figures["average_precision"] == 0
    assert figures["f1"] == 0
    assert figures["box_average_precision"] == pytest.approx(1)
    assert figures["box_coco_ap"] == pytest.approx(1)


def test_a_hand_computed_case() -> None:
    """Palm is found with an overlap of 90 / 100: right up to 0.9. Roof: its finding is of another class."""
    figures = measured(
        pair(
            [(rectangle(0, 0, 10, 10), 1), (rectangle(20, 0, 30, 10), 2)],
            [(rectangle(0, 0, 10, 9), 1, 0.8), (rectangle(20, 0, 30, 10), 1, 0.6)],
        )
    ).compute()

    palm, roof = figures.per_class
    assert (palm["ap50"], palm["coco_ap"], palm["box_ap50"]) == pytest.approx((1, 0.9, 1))
    assert (roof["ap50"], roof["recall"]) == (0, 0)
    assert figures.scalars["best_threshold"] == pytest.approx(0.8)
    assert figures.scalars["f1"] == pytest.approx(2 / 3)


def test_objects_that_overlap_on_different_layers_are_measured_whole() -> None:
    under, over = rectangle(0, 0, 20, 20), rectangle(10, 10, 30, 30)

    figures = measured(pair([(under, 1), (over, 1)], [(under, 1, 0.9), (over, 1, 0.8)])).compute()

    assert figures.scalars["coco_ap"] == pytest.approx(1)


def test_average_precision_is_torchmetrics() -> None:
    from torchmetrics.detection import MeanAveragePrecision

    pairs = random_pairs(12, 8)
    theirs = MeanAveragePrecision(iou_type="segm", backend="faster_coco_eval", class_metrics=True)
    for prediction, batch in pairs:
        masks = torch.stack([layer == number for number, layer in enumerate(batch["instances"][0], 1)])
        theirs.update([prediction], [{"masks": masks, "labels": batch["labels"][0], "boxes": batch["boxes"][0]}])
    expected = theirs.compute()

    figures = measured(*pairs).compute().scalars

    names = {"coco_ap": "map", "average_precision": "map_50", "ap75": "map_75", "average_recall": "mar_100"}
    assert {name: figures[name] for name in names} == pytest.approx({name: float(expected[key]) for name, key in names.items()})


def test_what_it_says_of_masks_and_boxes_is_noted() -> None:
    assert measured(*random_pairs(1, 4)).compute().notes[0].startswith("Overlaps are measured between masks")


def test_two_processes_give_what_one_gives() -> None:
    pairs = random_pairs(6, 6)
    first, second = measured(*pairs[:2]), measured(*pairs[2:])

    first.merge(pickle.loads(pickle.dumps(second)))

    assert first.compute() == measured(*pairs).compute()


EMPTY: dict[str, list[Pair]] = {
    "nothing taken in": [],
    "no truth and no detection": [pair([], [])],
    "no truth": [pair([], [(rectangle(0, 0, 5, 5), 1, 0.9)])],
    "no detection": [pair([(rectangle(0, 0, 5, 5), 1)], [])],
}


@pytest.mark.parametrize("pairs", EMPTY.values(), ids=EMPTY)
def test_figures_are_defined_where_nothing_is_right(pairs: list[Pair]) -> None:
    figures = measured(*pairs).compute()

    assert {name: value for name, value in figures.scalars.items() if value} == {"best_threshold": 0.5}
    json.dumps(asdict(figures), allow_nan=False)
