from __future__ import annotations

from pathlib import Path

import box_builders
import builders
import numpy as np
import pytest

from chipwright.chips.chipset import ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.formats.yolo import read_label
from chipwright.errors import DataError

BOX = (8.0, 16.0, 24.0, 48.0)


def classes_of(chips: ChipSet) -> list[tuple[int, str]]:
    return [(info.value, info.name) for info in chips.classes]


def values_of(chips: ChipSet) -> list[list[int]]:
    return [chip.box_values.tolist() for chip in chips.chips if chip.box_values is not None]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    box_builders.yolo(tmp_path, {"a": [(1, BOX), (0, (0, 0, 64, 64))], "b": []}, ["car", "big tree", "bus"])
    chips = read_chips([tmp_path])
    assert (chips.format, classes_of(chips)) == ("YOLO_rectangles", [(1, "car"), (2, "big tree"), (3, "bus")])
    assert values_of(chips) == [[2, 1], []]
    boxes = chips.chips[0].boxes
    assert boxes is not None
    np.testing.assert_allclose(boxes, [BOX, (0, 0, 64, 64)], atol=1e-3)


def test_an_image_without_a_label_shows_nothing(tmp_path: Path) -> None:
    box_builders.yolo(tmp_path, {"a": [(0, BOX)], "b": []}, ["car"])
    (tmp_path / "labels" / "b.txt").unlink()
    assert values_of(read_chips([tmp_path])) == [[1], []]


def test_numbers_stand_for_themselves_without_names(tmp_path: Path) -> None:
    box_builders.yolo(tmp_path, {"a": [(2, BOX), (0, BOX)]})
    chips = read_chips([tmp_path])
    assert (classes_of(chips), values_of(chips)) == ([(1, "0"), (2, "1"), (3, "2")], [[3, 1]])


@pytest.mark.parametrize(
    ("number", "names", "value"),
    [(3, (), 3), (7, (), 7), (0, (), 3), (1, ["x", "y"], 7)],
    ids=["a value", "another value", "a position", "a position in the names file"],
)
def test_the_metadata_say_what_numbers_mean(tmp_path: Path, number: int, names: list[str], value: int) -> None:
    box_builders.yolo(tmp_path, {"000000000000": [(number, BOX)]}, names)
    images = [np.full((3, 64, 64), 40, np.uint8)]
    builders.write_metadata(tmp_path, "YOLO_rectangles", images, [(3, "palm"), (7, "fern")], [])
    chips = read_chips([tmp_path])
    assert (classes_of(chips), values_of(chips)) == ([(3, "palm"), (7, "fern")], [[value]])


def test_a_number_beyond_the_names_is_an_unknown_class(tmp_path: Path) -> None:
    box_builders.yolo(tmp_path, {"a": [(0, BOX), (1, BOX)]}, ["car"])
    chips = read_chips([tmp_path])
    assert values_of(chips) == [[1]]
    assert any("'number 1' (1); chip a" in text for text in chips.account.warnings)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.yaml", "nc: 2\nnames: ['car', 'tree']\n"),
        ("data.yml", "names:\n  1: tree\n  0: car\n"),
        ("obj.names", "car\ntree\n"),
    ],
)
def test_names_come_from_any_of_the_files(tmp_path: Path, name: str, content: str) -> None:
    box_builders.yolo(tmp_path, {"a": [(1, BOX)]})
    (tmp_path / name).write_text(content)
    assert classes_of(read_chips([tmp_path])) == [(1, "car"), (2, "tree")]


@pytest.mark.parametrize("content", ["names: [", "names: [*unknown]"])
def test_a_names_file_that_is_no_yaml_is_refused(tmp_path: Path, content: str) -> None:
    box_builders.yolo(tmp_path, {"a": [(1, BOX)]})
    (tmp_path / "data.yaml").write_text(content)
    with pytest.raises(DataError, match=r"data\.yaml is not valid YAML"):
        read_chips([tmp_path])


def test_images_and_labels_may_lie_in_folders_of_the_same_names(tmp_path: Path) -> None:
    for part in ("train", "val"):
        box_builders.yolo(tmp_path / part, {"a": [(0, BOX)]})
        for kind in ("images", "labels"):
            (tmp_path / kind).mkdir(exist_ok=True)
            (tmp_path / part / kind).rename(tmp_path / kind / part)
        (tmp_path / part).rmdir()
    chips = read_chips([tmp_path])
    assert [chip.name for chip in chips.chips] == ["train/a", "val/a"]
    assert values_of(chips) == [[1], [1]]


@pytest.mark.parametrize(
    ("line", "box"),
    [
        ("0 0.5 0.5 1 0.5", (0, 0.25, 1, 0.75)),
        ("0 0.5 0.5 1 0.5 0.9", (0, 0.25, 1, 0.75)),
        ("0 .1 .2 .3 .2 .2 .6", (0.1, 0.2, 0.3, 0.6)),
    ],
    ids=["box", "box and score", "outline"],
)
def test_every_kind_of_line_gives_its_box(tmp_path: Path, line: str, box: tuple[float, ...]) -> None:
    path = tmp_path / "0.txt"
    path.write_text(line)
    ((text, found),) = read_label(path).objects
    assert text == "0"
    np.testing.assert_allclose(found, box, atol=1e-9)


@pytest.mark.parametrize("line", ["0 0.5 0.5 1", "0 a b c d", "0 .1 .1 .2 .2 .3 .3 .4"])
def test_a_line_that_is_no_object_is_counted(tmp_path: Path, line: str) -> None:
    path = tmp_path / "0.txt"
    path.write_text(line)
    assert read_label(path).unread == 1


def test_an_absurd_class_number_is_refused(tmp_path: Path) -> None:
    box_builders.yolo(tmp_path, {"a": [(10**12, BOX)]})
    with pytest.raises(DataError, match="class number 1000000000000"):
        read_chips([tmp_path])
