"""Figures of road extraction against hand-computed ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from chipwright.chips.chipset import IGNORE, ClassInfo
from chipwright.tasks import road_metrics
from chipwright.tasks.pixel_classes import PixelClasses
from chipwright.tasks.road_metrics import RoadMetrics, relaxed_counts

CLASSES = PixelClasses.of([ClassInfo(value=1, name="Road", color=(1, 2, 3))])


def street(row: int, thick: int = 1, size: int = 120) -> NDArray[np.int16]:
    mask = np.zeros((size, size), np.int16)
    mask[row : row + thick] = 1
    return mask


def figures(*pairs: tuple[NDArray[np.int16], NDArray[np.int16]]) -> RoadMetrics:
    metrics = RoadMetrics(CLASSES)
    truths, found = zip(*pairs, strict=True)
    batch = {"mask": torch.from_numpy(np.stack(truths))}
    metrics.update([torch.from_numpy(one.astype(np.uint8)) for one in found], batch)
    return metrics


def test_within_four_pixels_a_road_is_right():
    assert relaxed_counts(street(50) == 1, street(54) == 1).tolist() == [120, 0, 0]
    assert relaxed_counts(street(50) == 1, street(55) == 1).tolist() == [0, 120, 120]


def test_what_is_missed_and_false_counts_once_each():
    # true rows 50, found rows 46 to 55: 46 to 54 are near, 55 is not; all of the truth is near
    assert relaxed_counts(street(50) == 1, street(46, 10) == 1).tolist() == [9 * 120, 120, 0]
    assert figures((street(50), street(46, 10))).compute().scalars["relaxed_iou"] == pytest.approx(0.9)


def test_areas_come_from_all_pixels_together():
    scalars = figures((street(50, 10), street(55, 10)), (street(20, 10), street(20, 10))).compute().scalars
    # true 2400, found 2400, both 1800 pixels; background: true and found 26400 each, both 25800
    assert scalars["iou"] == pytest.approx(1800 / 3000)
    assert scalars["dice"] == pytest.approx(2 * 1800 / 4800)
    assert scalars["miou"] == pytest.approx((1800 / 3000 + 25800 / 27000) / 2)
    assert scalars["accuracy"] == pytest.approx(1 - 1200 / 28800)
    assert (scalars["precision"], scalars["recall"]) == (0.75, 0.75)


def test_apls_is_the_mean_over_chips_with_a_road():
    empty = np.zeros((120, 120), np.int16)
    metrics = figures((street(50, 3), street(50, 3)), (street(50, 3), empty), (empty, empty))
    assert metrics.compute().scalars["apls"] == pytest.approx(0.5)


def test_a_gap_costs_apls_more_than_iou():
    gap = street(50, 5)
    gap[:, 55:65] = 0
    scalars = figures((street(50, 5), gap)).compute().scalars
    assert scalars["iou"] > 0.9
    assert scalars["apls"] < 0.6


def test_unlabelled_ground_counts_nowhere():
    truth, found = street(50, 5), street(50, 5)
    truth[:40] = IGNORE
    found[10:15] = 1
    scalars = figures((truth, found)).compute().scalars
    assert {scalars[name] for name in ("iou", "relaxed_iou", "accuracy")} == {1.0}
    assert scalars["apls"] == pytest.approx(1)


def test_without_roads_there_are_no_figures():
    empty = np.zeros((30, 30), np.int16)
    scalars = figures((empty, empty)).compute().scalars
    assert all(math.isnan(scalars[name]) for name in ("iou", "relaxed_iou", "apls", "dice"))
    assert (scalars["accuracy"], scalars["miou"]) == (1, 1)


def test_what_processes_counted_adds_up():
    pairs = [(street(50, 10), street(55, 10)), (street(20, 10), street(21, 10)), (street(20, 3), street(70, 3))]
    whole = figures(*pairs)
    parts = figures(*pairs[:1])
    parts.merge(figures(*pairs[1:]))
    assert parts.compute().scalars == pytest.approx(whole.compute().scalars)


def test_beyond_a_number_of_chips_graphs_are_no_longer_compared_and_it_is_said(monkeypatch):
    monkeypatch.setattr(road_metrics, "MOST_CHIPS", 2)
    metrics = figures(*[(street(50, 3), street(50, 3))] * 3)
    assert len(metrics.similarities) == 2
    assert metrics.compute().notes[-1] == "APLS is that of 2 of the 3 chips."
    assert "within 4 pixels" in metrics.compute().notes[0]
