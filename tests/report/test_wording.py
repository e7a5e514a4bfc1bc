from __future__ import annotations

import math

import pytest

from chipwright.report.wording import METRICS, MISSING, canonical, duration, figure, metric, number, plain, share, short_count


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.87123, "87.1\u00a0%"),
        (0.9, "90.0\u00a0%"),
        (0.05213, "5.21\u00a0%"),
        (0.0004, "0.04\u00a0%"),
        (0.00001, "< 0.01\u00a0%"),
        (0.9997, "> 99.9\u00a0%"),
        (1.0, "100\u00a0%"),
        (0.0, "0\u00a0%"),
        (math.nan, MISSING),
        (None, MISSING),
    ],
)
def test_shares_are_per_cent_to_three_digits_and_never_falsely_all_or_nothing(value: float | None, text: str) -> None:
    assert share(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.48123, "0.481"),
        (0.5, "0.500"),
        (12.345, "12.3"),
        (123.4, "123"),
        (1234.5, "1,234"),
        (0.00001, "0.0000100"),
        (3.0, "3"),
    ],
)
def test_numbers_have_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert number(value) == text


def test_chosen_numbers_are_written_without_zeros_at_the_end() -> None:
    assert [number(value, trim=True) for value in (0.001, 0.00083, 0.5)] == ["0.001", "0.00083", "0.5"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (7, "7"), (999, "999"), (1000, "1.0k"), (12_345, "12.3k"), (123_456, "123k"), (999_700, "1.0M"),
        (1_250_000, "1.2M"), (3.4e9, "3.4G"),
    ],
)  # fmt: skip
def test_short_counts_take_at_most_five_characters(value: float, text: str) -> None:
    assert short_count(value) == text
    assert len(text) <= 5


@pytest.mark.parametrize(
    ("name", "label"),
    [("valid_loss", "validation loss"), ("miou", "mean IoU"), ("average_precision", "AP50"), ("ap50", "AP50"), ("IoU", "IoU")],
)
def test_metrics_are_named_in_words(name: str, label: str) -> None:
    assert metric(name).label == label


@pytest.mark.parametrize(
    ("name", "label"),
    [("valid_loss_cls", "loss cls (validation)"), ("train_pixel", "pixel (training)"), ("valid_miou", "mean IoU")],
)
def test_parts_of_losses_are_told_apart_in_words(name: str, label: str) -> None:
    assert metric(name).label == label


def test_an_unknown_metric_is_shown_by_its_name() -> None:
    assert metric("Wobble_2").label == "Wobble_2"
    assert figure("Wobble_2", 0.123456) == "0.123"


def test_every_alias_leads_to_a_metric_with_an_explanation() -> None:
    for name in ("f1_score", "mean_iou", "valid_miou", "coco_ap", "ap75", "pq", "predictions"):
        assert METRICS[canonical(name)].explanation


def test_a_share_counted_to_100_is_not_scaled_again() -> None:
    assert figure("accuracy", 87.5) == "87.5"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("pixels", 1204551, "1,204,551"),
        ("psnr", 31.25, "31.2\u00a0dB"),
        ("learning_rate", 0.0008, "0.0008"),
        ("accuracy", float("nan"), MISSING),
        ("valid_loss", None, MISSING),
        ("comment", "ok", "ok"),
    ],
)
def test_figures_are_written_by_their_kind(name: str, value: object, text: str) -> None:
    assert figure(name, value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "under 1 s"), (45.2, "45 s"), (719, "12 min"), (11100, "3 h 5 min"), (math.nan, MISSING)]
)
def test_durations_are_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, MISSING), (True, "yes"), (8, "8"), (0.00012345, "0.00012345"), ([1, 0.8], "1, 0.8"),
        ([[1.0, 1.0], [2.0, 1.0]], "[1, 1], [2, 1]"), ({"a": 1}, "a = 1"), ("RESNET34", "RESNET34"), ([], MISSING),
    ],
)  # fmt: skip
def test_settings_are_written_in_full(value: object, text: str) -> None:
    assert plain(value) == text
