"""How edges are measured, by cases that can be counted by hand."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import classified_tiles

import chipwright
from chipwright import console
from chipwright.chips.chipset import IGNORE, ClassInfo
from chipwright.errors import MissingExtra
from chipwright.tasks.edge_metrics import EdgeCounts, count_edges, edge_figures, one_wide, thinned
from chipwright.tasks.edges import EdgeMetrics
from chipwright.tasks.pixel_classes import PixelClasses

LEVELS = np.array([0.3, 0.6])


@pytest.fixture(autouse=True)
def _silence() -> Any:
    with console.quiet():
        yield


def ridge(size: int = 60, at: int = 30, strength: float = 0.9) -> np.ndarray:
    """Return probabilities that fall off to both sides of a row."""
    rows = np.arange(size)[:, None] * np.ones((1, size))
    return strength * np.exp(-((rows - at) ** 2) / 8)


def line(size: int = 60, at: int = 30) -> np.ndarray:
    truth = np.zeros((size, size), np.int16)
    truth[at - 1 : at + 2] = 1
    return truth


@pytest.mark.parametrize("turned", [False, True])
def test_thinning_leaves_the_crest(turned: bool) -> None:
    map_ = ridge().T if turned else ridge()
    kept = thinned(map_)
    kept = kept.T if turned else kept
    inner = kept[:, 5:-5]
    assert (inner[30] == inner.max()).all()
    assert np.count_nonzero(inner[:30]) == np.count_nonzero(inner[31:]) == 0


def test_a_plateau_is_thinned_to_its_middle() -> None:
    flat = np.zeros((40, 40))
    flat[18:23] = 1.0
    kept = thinned(flat)[:, 5:-5]
    assert (kept[20] == 1).all()
    assert np.count_nonzero(kept) == kept.shape[1]


def test_true_lines_become_one_pixel_wide() -> None:
    assert one_wide(line() == 1).sum(0)[10:-10].max() == 1


def test_edges_within_the_tolerance_are_right_and_beyond_it_are_not() -> None:
    tolerance = 3.01 / np.hypot(60, 60)
    near = count_edges(ridge(at=33), line(at=30), LEVELS, tolerance)
    far = count_edges(ridge(at=35), line(at=30), LEVELS, tolerance)
    assert near.matched[0] > 0.95 * near.true
    assert far.matched[0] == 0
    assert far.found[0] == near.found[0]


def test_labels_taken_for_answers_are_right_where_broad_lines_meet() -> None:
    rows, columns = np.indices((120, 120))
    truth = (abs(rows - columns) < 5) | (abs(rows - 40) < 9) | (abs(rows + columns - 130) < 4)
    counts = count_edges(truth * 0.9, truth.astype(np.int16), LEVELS)
    assert (counts.matched / counts.found > 0.95).all()
    assert (counts.matched / counts.true > 0.9).all()


def test_one_true_pixel_makes_one_found_pixel_right() -> None:
    double = np.maximum(ridge(at=27), ridge(at=33))
    counts = count_edges(double, line(at=30), LEVELS, 4 / np.hypot(60, 60))
    assert counts.found[0] == pytest.approx(2 * counts.true, rel=0.1)
    assert counts.matched[0] <= counts.true


def test_thresholds_drop_what_is_weaker() -> None:
    counts = count_edges(ridge(strength=0.5), line(), LEVELS)
    assert counts.found[0] > 0
    assert counts.found[1] == counts.matched[1] == 0


def test_nothing_counts_where_nothing_is_known() -> None:
    truth = line()
    truth[:, 30:] = IGNORE
    half = count_edges(ridge(), truth, LEVELS)
    assert half.found[0] <= 31
    assert half.true <= 31


def counts(matched: list[int], found: list[int], true: int) -> EdgeCounts:
    return EdgeCounts(np.array(matched), np.array(found), true)


def test_ods_takes_one_threshold_for_all_and_ois_each_images_own() -> None:
    first, second = counts([8, 4], [16, 4], 8), counts([2, 8], [20, 8], 8)
    figures = edge_figures([first, second], LEVELS)
    assert figures.ods == pytest.approx(2 * 12 / (12 + 16))
    assert figures.threshold == 0.6
    # the first image: 2*8/(16+8) at the lower, 2*4/(4+8) at the upper, equal: the lower is taken; the second: the upper
    assert figures.ois == pytest.approx(2 * 16 / (24 + 16))


def test_average_precision_is_the_area_under_the_curve() -> None:
    figures = edge_figures([counts([10, 5], [20, 5], 10)], LEVELS)
    assert figures.average_precision == pytest.approx((51 * 1.0 + 50 * 0.5) / 101)
    perfect = edge_figures([counts([10, 10], [10, 10], 10)], LEVELS)
    assert (perfect.ods, perfect.ois, perfect.average_precision) == (1, 1, 1)


def test_without_a_true_edge_there_is_no_figure() -> None:
    assert np.isnan(edge_figures([counts([0, 0], [3, 0], 0)], LEVELS).ods)


def test_metrics_of_two_processes_are_those_of_one() -> None:
    classes = PixelClasses.of([ClassInfo(value=4, name="Edge", color=(1, 2, 3))])
    truth = torch.from_numpy(line())
    batches = [([torch.from_numpy(ridge(at=at)).float()], {"mask": truth[None]}) for at in (30, 36)]
    whole, left, right = (EdgeMetrics(classes) for _ in range(3))
    for batch in batches:
        whole.update(*batch)
    left.update(*batches[0])
    right.update(*batches[1])
    left.merge(right)
    assert left.compute().scalars == whole.compute().scalars
    assert whole.compute().scalars["best_threshold"] > 0


@pytest.mark.parametrize("keyword", ["HED_EDGEDETECTOR", "BDCN_EDGEDETECTOR"])
def test_more_classes_than_one_are_refused(keyword: str, tmp_path: Path) -> None:
    chips = classified_tiles(tmp_path / "chips", count=4)
    with pytest.raises(chipwright.DataError, match="exactly one class beside the background"):
        chipwright.train(chips, tmp_path / "m", model_type=keyword, backbone_weights="none")
    assert not (tmp_path / "m").exists()


def test_edges_are_learnt_and_put_on_maps_by_their_class_value(tmp_path: Path) -> None:
    chips = classified_tiles(tmp_path / "chips", count=16, class_values=(7,), shape="lines")
    result = chipwright.train(
        chips, tmp_path / "m", model_type="HED_EDGEDETECTOR", backbone_model="timm:test_resnet", backbone_weights="none",
        max_epochs=15, batch_size=4, learning_rate=5e-3, processor_type="CPU", precision="float32",
        arguments={"monitor": "ods"}, validation_percentage=25, stop_training=False,
    )  # fmt: skip
    assert result.metrics["ods"] > 0.6
    model = chipwright.load(result.folder, processor_type="CPU")
    assert model.threshold == result.metrics["best_threshold"]
    map_ = model.predict([np.zeros((3, 64, 64), np.uint8)])[0]
    assert map_.shape == (64, 64)
    assert set(np.unique(model.task.class_values(map_))) <= {0, 7}  # type: ignore[attr-defined]


def test_measuring_without_scikit_image_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.morphology", None)
    with pytest.raises(MissingExtra, match=r'needs the extra "roads"'):
        count_edges(np.zeros((8, 8), np.float32), np.eye(8))
