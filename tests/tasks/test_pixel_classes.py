"""Class values to class indices, and class frequencies to weights."""

from pathlib import Path

import numpy as np
import pytest
from builders import classified_tiles

from chipwright.chips.chipset import IGNORE, ClassInfo
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.errors import DataError, OptionError
from chipwright.tasks.pixel_classes import PixelClasses, balancing_weights, count_pixels, require_labels


def classes(*values: int) -> list[ClassInfo]:
    return [ClassInfo(value=value, name=f"Class {value}", color=(value % 256, 0, 0)) for value in values]


def test_the_background_is_index_0_and_the_classes_follow_by_value():
    found = PixelClasses.of(classes(7, 2, 40))
    assert (found.values, found.first, found.measured) == ((0, 2, 7, 40), 1, (1, 2, 3))


def test_a_named_value_0_is_a_class_like_any_other():
    found = PixelClasses.of(classes(0, 3))
    assert (found.values, found.names[0], found.first, found.measured) == ((0, 3), "Class 0", 0, (0, 1))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "uint32", "int64", "float32"])
def test_values_without_a_class_are_unlabelled_in_any_pixel_type(dtype):
    labels = np.array([[0, 1, 2, 3, 9, 100]], dtype)
    assert PixelClasses.of(classes(1, 9)).indices(labels).tolist() == [[0, 1, IGNORE, IGNORE, 2, IGNORE]]


def test_the_ends_of_the_pixel_type_find_their_class():
    assert PixelClasses.of(classes(255)).indices(np.array([0, 254, 255], np.uint8)).tolist() == [0, IGNORE, 1]


def test_values_far_apart_are_found_without_a_large_table():
    found = PixelClasses.of(classes(5, 2_000_000_000))
    labels = np.array([0, 5, 6, 2_000_000_000], np.int64)
    assert found._table is None
    assert found.indices(labels).tolist() == [0, 1, IGNORE, 2]


def test_not_a_number_is_unlabelled():
    assert PixelClasses.of(classes(1)).indices(np.array([np.nan, 1, 0.5], np.float32)).tolist() == [IGNORE, 1, IGNORE]


@pytest.mark.parametrize("span", [9, 2_000_000_000])
def test_ignored_classes_are_unlabelled(span):
    found = PixelClasses.of(classes(1, 4, span), ignore=[0, 4])
    assert found.indices(np.array([0, 1, 4, span])).tolist() == [IGNORE, 1, IGNORE, 3]
    assert (found.ignored, found.kept, found.measured) == ((0, 2), (1, 3), (1, 3))


@pytest.mark.parametrize("word", [4, "4", "class 4", " Class 4 "])
def test_classes_are_ignored_by_value_or_name(word):
    assert PixelClasses.of(classes(1, 4), ignore=[word]).ignored == (2,)


def test_a_class_called_background_is_meant_before_the_unnamed_value_0():
    named = [ClassInfo(value=3, name="Background", color=(0, 0, 0)), *classes(5)]
    assert PixelClasses.of(named, ignore=["background"]).ignored == (1,)


def test_ignoring_an_unknown_class_names_the_known_ones():
    with pytest.raises(OptionError, match=r"'Clas 4'.*Did you mean Class 4\?.*1 \(Class 1\) and 4 \(Class 4\)"):
        PixelClasses.of(classes(1, 4), ignore=["Clas 4"])


def test_weights_are_inverse_frequencies_with_mean_1():
    found = PixelClasses.of(classes(1, 2))
    weights = balancing_weights(np.array([600, 300, 100]), found)
    assert np.mean(weights) == pytest.approx(1, abs=1e-5)
    assert np.array(weights) * [6, 3, 1] == pytest.approx(np.full(3, weights[2]), rel=1e-4)


def test_a_very_rare_class_weighs_at_most_50_times_the_mean_pixel():
    found = PixelClasses.of(classes(1))
    counts = np.array([10_000_000, 1])
    weights = balancing_weights(counts, found)
    assert weights[1] / weights[0] == pytest.approx(50 / 0.5, rel=1e-3)


def test_classes_without_pixels_do_not_change_the_others_weights():
    found = PixelClasses.of(classes(1, 2, 3), ignore=[0])
    assert balancing_weights(np.array([0, 30, 0, 10]), found) == pytest.approx([1, 0.5, 1, 1.5])


def test_pixels_are_counted_by_class_and_only_where_the_image_holds_data(tmp_path: Path):
    folder = classified_tiles(tmp_path, count=3, size=32, class_values=(1, 5), nodata=0)
    chips = read_chips([folder])
    reader = ChipReader(chips.nodata)
    found = PixelClasses.of(chips.classes)
    expected = np.zeros(3, int)
    for chip in chips.chips:
        label, valid = reader.label(chip), reader.valid(chip)
        assert valid is not None
        expected += [int(((label == value) & valid).sum()) for value in (0, 1, 5)]
    assert count_pixels(chips, found, reader).tolist() == expected.tolist()


def test_labels_that_hold_background_alone_are_refused(tmp_path: Path):
    folder = classified_tiles(tmp_path, count=2, size=32, class_values=(1, 2))
    chips = read_chips([folder])
    with pytest.raises(DataError, match=r"No pixel of the 2 labels belongs to a class.*Road \(9\)"):
        require_labels(chips, PixelClasses.of([ClassInfo(value=9, name="Road", color=(0, 0, 0))]), ChipReader(chips.nodata))
