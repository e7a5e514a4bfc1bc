from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from chipwright.report.drawing import COLORS, label_text
from chipwright.report.pictures import _diagrams, cell_percent, confusion_picture, curves_picture, loss_graph, rate_graph
from chipwright.report.record import RunRecord

Maker = Callable[..., RunRecord]


def pixels_of(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)).convert("RGB"))


def count_color(picture: np.ndarray, color: str) -> int:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return int((np.abs(picture.astype(int) - (red, green, blue)).max(-1) <= 4).sum())


def test_loss_graph_draws_both_losses_and_the_metrics(pixels: Maker) -> None:
    picture = pixels_of(loss_graph(pixels().history, 7))
    left, right = np.split(picture[:, : picture.shape[1] // 2 * 2], 2, axis=1)
    assert picture.shape[1] > 1200
    assert min(count_color(half, color) for half in (left, right) for color in COLORS[:2]) > 300


def test_errors_are_not_drawn_among_what_is_better_higher() -> None:
    history = [{"epoch": 1, "train_loss": 2.0, "accuracy": 0.5, "cycle_error": 0.1, "translation_error": 0.2}]
    groups = dict(_diagrams(history, "valid_loss"))
    assert groups["Metrics: higher is better"] == ["accuracy"]
    assert groups["Errors: lower is better"] == ["cycle_error", "translation_error"]


def test_the_kept_epoch_is_marked(pixels: Maker) -> None:
    history = pixels().history
    assert loss_graph(history, 3) != loss_graph(history, 7) != loss_graph(history, None)


@pytest.mark.parametrize("epochs", [1, 2, 300])
def test_loss_graph_of_any_number_of_epochs(epochs: int) -> None:
    history = [{"epoch": epoch + 1, "train_loss": 1 / (epoch + 1), "accuracy": 0.5} for epoch in range(epochs)]
    assert count_color(pixels_of(loss_graph(history, 1)), COLORS[0]) > 20


def test_epochs_without_a_number_are_left_out() -> None:
    history = [
        {"epoch": 1, "train_loss": 2.0, "valid_loss": math.nan},
        {"epoch": 2, "train_loss": None, "valid_loss": math.inf},
        {"epoch": 3, "train_loss": 1.0, "valid_loss": math.nan},
    ]
    picture = pixels_of(loss_graph(history, 3))
    assert count_color(picture, COLORS[0]) > 50
    assert count_color(picture, COLORS[1]) == 0  # a column without any number is not drawn


def test_a_history_without_numbers_has_no_picture() -> None:
    assert loss_graph([{"epoch": 1, "train_loss": math.nan}]) is None
    assert loss_graph([]) is None


def test_rate_graph_marks_the_chosen_rate(pixels: Maker) -> None:
    record = pixels()
    assert count_color(pixels_of(rate_graph([], record.range_test)), "#c0262d") > 100
    assert count_color(pixels_of(rate_graph([], record.range_test | {"chosen": None})), "#c0262d") == 0


def test_rate_graph_needs_a_test_or_a_schedule() -> None:
    assert rate_graph([{"epoch": 1, "learning_rate": 0.1}], None) is None
    assert rate_graph([{"epoch": 1, "learning_rate": 0.1}, {"epoch": 2, "learning_rate": 0.01}], None) is not None


@pytest.mark.parametrize("size", [2, 5, 12, 30, 120])
def test_confusion_matrix_is_dark_on_the_diagonal_only(size: int) -> None:
    picture = pixels_of(confusion_picture([f"class {index}" for index in range(size)], (np.eye(size) * 1e6).tolist()))
    dark = np.abs(picture.astype(int) - (8, 48, 107)).max(-1) <= 4  # the end of the colour scale
    assert 0.3 < dark.sum() / (dark.any(0).sum() * dark.any(1).sum() / size) < 3
    assert max(picture.shape[:2]) < 3000


def test_a_class_without_truth_leaves_its_row_pale() -> None:
    pale = pixels_of(confusion_picture(["a", "b"], [[10, 0], [0, 0]]))
    both = pixels_of(confusion_picture(["a", "b"], [[10, 0], [0, 10]]))
    assert 0.4 < count_color(pale, "#08306b") / count_color(both, "#08306b") < 0.6


@pytest.mark.parametrize(("part", "text"), [(0.0, "0 %"), (0.001, "< 1 %"), (0.42, "42 %"), (0.997, "> 99 %"), (1.0, "100 %")])
def test_cells_do_not_claim_all_or_nothing_falsely(part: float, text: str) -> None:
    assert cell_percent(part) == text


def test_every_curve_is_drawn_in_its_colour(detection: Maker) -> None:
    picture = pixels_of(curves_picture(detection().evaluation.curves))
    assert min(count_color(picture, color) for color in COLORS[:2]) > 500


def test_a_spread_is_shaded_about_its_curve() -> None:
    curve = {"x": [0, 100], "y": [2.0, 3.0], "x_label": "days", "y_label": "NDVI"}
    plain, shaded = (pixels_of(curves_picture({"a": curve | more})) for more in ({}, {"low": [1.9, 2.9], "high": [2.1, 3.1]}))
    pale = "#d9eaf3"  # the first colour, 15 % of it on white
    assert count_color(shaded, pale) > count_color(plain, pale) + 1000


def test_curves_of_thirty_classes_are_drawn() -> None:
    curve = {"x": [0, 0.5, 1], "y": [1, None, 0], "x_label": "recall", "y_label": "precision"}
    assert pixels_of(curves_picture({f"Precision and recall: {index}": curve for index in range(30)})).shape[1] > 1200


def test_no_curves_no_picture() -> None:
    assert curves_picture({}) is None
    assert curves_picture({"empty": {"x": [], "y": []}}) is None


def test_names_are_never_taken_for_formulas() -> None:
    hostile = ["$x^2", r"$\frac{$", "_hidden", "a\nb", "$a$ $b$"]
    png = confusion_picture(hostile, np.ones((5, 5)).tolist())
    curve = {"x": [0, 1], "y": [1, 0]}
    assert png and curves_picture(dict.fromkeys(hostile, curve))


def test_long_names_are_cut() -> None:
    assert label_text("x" * 50, 10) == "xxxxxxxxx…"


def test_pictures_are_the_same_from_many_threads(pixels: Maker) -> None:
    history = pixels().history
    with ThreadPoolExecutor(3) as pool:
        drawn = list(pool.map(lambda _: loss_graph(history, 7), range(3)))
    assert len(set(drawn)) == 1
