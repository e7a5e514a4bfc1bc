from __future__ import annotations

from pathlib import Path

import box_builders
import numpy as np
import pytest

from chipwright.chips.folders import read_chips
from chipwright.chips.formats.kitti import read_label
from chipwright.errors import DataError


def test_what_was_written_is_read(tmp_path: Path) -> None:
    box_builders.kitti(tmp_path, {"a": [("tree", (1, 2, 10.5, 20)), ("car", (3, 3, 64, 64))], "b": []})
    chips = read_chips([tmp_path])
    assert chips.format == "KITTI_rectangles"
    assert [(info.value, info.name) for info in chips.classes] == [(1, "car"), (2, "tree")]
    first, empty = chips.chips
    assert first.boxes is not None
    assert first.box_values is not None
    assert first.boxes.tolist() == [[1, 2, 10.5, 20], [3, 3, 64, 64]]
    assert first.box_values.tolist() == [2, 1]
    assert empty.boxes is not None
    assert empty.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("1 0 0 0 1 2 3 4 0 0 0 0 0 0 0", "1"),
        ("-1 0 0 0 1 2 3 4 0 0 0 0 0 0 0", "-1"),
        ("1 0 0 0 1 2 3 4 0 0 0 0 0 0 0 0.98", "1"),
        ("Tree2 0 0 0 1 2 3 4 0 0 0 0 0 0 0", "Tree2"),
        ("big tree 0 0 0 1 2 3 4 0 0 0 0 0 0 0", "big tree"),
        ("1\t0 0 0   1 2\t3 4 0 0 0 0 0 0 0\r", "1"),
        ("1 0 0 0 1 2 3 4", "1"),
    ],
)
def test_class_and_box_are_found_in_every_spelling(tmp_path: Path, line: str, text: str) -> None:
    path = tmp_path / "0.txt"
    path.write_text(f"{line}\n\n", newline="")
    assert read_label(path).objects == [(text, (1, 2, 3, 4))]


@pytest.mark.parametrize("line", ["1 0 0 0 1 2 3", "1", "1 " * 100_000])
def test_a_line_that_is_no_object_is_counted(tmp_path: Path, line: str) -> None:
    path = tmp_path / "0.txt"
    path.write_text(f"{line}\n1 0 0 0 1 2 3 4 0 0 0 0 0 0 0\n")
    label = read_label(path)
    assert (len(label.objects), label.unread) == (1, 1)


def test_lines_that_are_no_objects_are_said_and_refused_where_there_is_nothing_else(tmp_path: Path) -> None:
    box_builders.kitti(tmp_path, {"a": [("tree", (1, 2, 10, 20))], "b": []})
    (tmp_path / "labels" / "b.txt").write_text("what is this\n")
    assert any(
        "Skipped 1 line of label files that are no object (b)" in text for text in read_chips([tmp_path]).account.warnings
    )
    (tmp_path / "labels" / "a.txt").write_text("1 2 3 4 5 x 6 7 8 9 10 11 12 13 x\n")
    with pytest.raises(DataError, match=r"No line in the labels of .* is an object"):
        read_chips([tmp_path])


def test_regions_nobody_labelled_are_no_objects(tmp_path: Path) -> None:
    box_builders.kitti(tmp_path, {"a": [("DontCare", (1, 2, 10, 20)), ("tree", (1, 2, 10, 20))]})
    chips = read_chips([tmp_path])
    assert [info.name for info in chips.classes] == ["tree"]
    assert any("Skipped 1 region marked DontCare (a)" in text for text in chips.account.warnings)


@pytest.mark.parametrize("content", [b"\x00\x01\x02", b"\xff\x00"])
def test_binary_labels_are_damaged(tmp_path: Path, content: bytes) -> None:
    box_builders.kitti(tmp_path, {stem: [("tree", (1, 2, 10, 20))] for stem in "abcdef"})
    (tmp_path / "labels" / "c.txt").write_bytes(content)
    assert read_chips([tmp_path]).account.dropped == {"cannot be read": ["c.txt"]}


def test_the_real_export_is_read(data: Path) -> None:
    chips = read_chips([data / "kitti_phragmites"])
    assert (len(chips), len(chips.bands), chips.dtype, len(chips.classes)) == (50, 6, "uint16", 7)
    first = np.concatenate([chip.box_values[:1] for chip in chips.chips if chip.box_values is not None])
    values, counts = np.unique(first, return_counts=True)
    assert dict(zip(values.tolist(), counts.tolist(), strict=True)).keys() == {1, 2, 3}
    assert any("map.txt lists 256 chips whose image is missing" in text for text in chips.account.warnings)
