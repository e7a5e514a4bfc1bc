from __future__ import annotations

import numpy as np
import pytest

from chipwright.chips.formats.boxes import BoxAccount, fit_boxes

NAN = float("nan")


def fitted(*corners: tuple[float, float, float, float], name: str = "1") -> tuple[list[list[float]], BoxAccount]:
    account = BoxAccount()
    boxes, values = fit_boxes([(name, box) for box in corners], (100, 50), "chip", {"1": 1}.get, account)
    assert boxes.dtype == np.float32
    assert values.dtype == np.int64
    assert boxes.shape == (len(values), 4)
    return boxes.tolist(), account


def test_boxes_inside_stay_as_they_are_and_may_touch_the_edges() -> None:
    boxes, account = fitted((0, 0, 100, 50), (1.5, 2.5, 3.5, 4.5), (0, 0, 100.005, 50))
    assert boxes == [[0, 0, 100, 50], [1.5, 2.5, 3.5, 4.5], [0, 0, 100, 50]]
    assert (account.clipped, account.dropped) == ([], {})


def test_boxes_over_the_edge_are_clipped_and_counted() -> None:
    boxes, account = fitted((-5, -5, 20, 20), (90, 40, 140, 80))
    assert boxes == [[0, 0, 20, 20], [90, 40, 100, 50]]
    assert account.clipped == ["chip", "chip"]


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((10, 10, 10, 20), "empty or inverted"),
        ((20, 10, 10, 20), "empty or inverted"),
        ((110, 10, 120, 20), "wholly outside the chip"),
        ((-20, 10, -10, 20), "wholly outside the chip"),
        ((10, 10, 10.9, 20), "under a pixel wide or high"),
        ((99.5, 10, 120, 20), "under a pixel wide or high"),
        ((NAN, 10, 20, 20), "without numbers for corners"),
        ((10, 10, float("inf"), 20), "without numbers for corners"),
    ],
)
def test_boxes_of_no_use_are_dropped_for_their_reason(box: tuple[float, float, float, float], reason: str) -> None:
    boxes, account = fitted(box)
    assert boxes == []
    assert account.dropped == {reason: ["chip"]}


def test_objects_of_an_unknown_class_are_skipped_and_counted_by_name() -> None:
    boxes, account = fitted((0, 0, 10, 10), (5, 5, 15, 15), name="weed")
    assert boxes == []
    assert account.unknown == {"weed": ["chip", "chip"]}
