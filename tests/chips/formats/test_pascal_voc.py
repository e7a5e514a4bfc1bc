from __future__ import annotations

from pathlib import Path

import builders
import numpy as np
import pytest

from chipwright.chips.folders import read_chips
from chipwright.errors import DataError


@pytest.mark.parametrize("names", [False, True], ids=["values", "names"])
def test_what_was_written_is_read(tmp_path: Path, names: bool) -> None:
    builders.voc(tmp_path, count=6, objects=3, empty=2, class_values=(2, 5), names=names)
    chips = read_chips([tmp_path])
    assert (chips.format, [info.value for info in chips.classes]) == ("PASCAL_VOC_rectangles", [2, 5])
    assert [len(chip.boxes) for chip in chips.chips if chip.boxes is not None] == [3, 3, 3, 3, 0, 0]
    first = chips.chips[0]
    assert first.boxes is not None
    assert first.box_values is not None
    assert (first.boxes.dtype, first.box_values.dtype) == (np.float32, np.int64)
    assert first.box_values.tolist() == [2, 5, 2]
    assert (first.boxes[:, 2:] > first.boxes[:, :2]).all()
    empty = chips.chips[5]
    assert empty.boxes is not None
    assert empty.boxes.shape == (0, 4)


def test_objects_of_unknown_classes_are_skipped_and_counted(tmp_path: Path) -> None:
    builders.voc(tmp_path, count=3, class_values=(1,))
    builders.write_voc_xml(tmp_path / "labels" / "000000000001.xml", (64, 64), [("weed", (1, 1, 9, 9)), ("1", (2, 2, 8, 8))])
    chips = read_chips([tmp_path])
    assert [len(chip.boxes) for chip in chips.chips if chip.boxes is not None] == [2, 1, 2]
    assert any(
        "Skipped 1 object of classes" in text and "'weed' (1); chip 000000000001" in text for text in chips.account.warnings
    )


def test_labels_without_any_known_class_are_refused(tmp_path: Path) -> None:
    builders.voc(tmp_path, count=2, class_values=(1,))
    for index in range(2):
        builders.write_voc_xml(tmp_path / "labels" / f"{index:012d}.xml", (64, 64), [("weed", (1, 1, 9, 9))])
    with pytest.raises(DataError, match="the labels say 'weed', the metadata Water"):
        read_chips([tmp_path])


def test_a_damaged_label_drops_its_chip_up_to_a_fifth(tmp_path: Path) -> None:
    builders.voc(tmp_path, count=5)
    (tmp_path / "labels" / "000000000002.xml").write_text("<annotation><object>")
    chips = read_chips([tmp_path])
    assert (len(chips), chips.account.dropped) == (4, {"cannot be read": ["000000000002.xml"]})
    (tmp_path / "labels" / "000000000003.xml").write_text("")
    with pytest.raises(DataError, match="2 of 5 label files"):
        read_chips([tmp_path])


def test_labels_of_another_image_size_are_said(tmp_path: Path) -> None:
    builders.voc(tmp_path, count=2)
    builders.write_voc_xml(tmp_path / "labels" / "000000000001.xml", (640, 480), [("1", (2, 2, 8, 8))])
    assert any("1 label file stating another image size" in text for text in read_chips([tmp_path]).account.warnings)


@pytest.mark.parametrize("folders", [("images", "labels"), ("JPEGImages", "Annotations")])
def test_a_plain_voc_folder_is_read_by_its_names(tmp_path: Path, folders: tuple[str, str]) -> None:
    builders.voc(tmp_path / "voc", count=4, names=True, esri=False, image_suffix="jpg")
    for old, new in zip(("images", "labels"), folders, strict=True):
        (tmp_path / "voc" / old).rename(tmp_path / "voc" / new)
    chips = read_chips([tmp_path / "voc"])
    assert (chips.format, len(chips)) == ("PASCAL_VOC_rectangles", 4)
    assert [(info.value, info.name) for info in chips.classes] == [(1, "Forest"), (2, "Water")]
    assert chips.statistics.source == "computed"
    assert chips.bands == ("Red", "Green", "Blue")


def test_plain_voc_images_may_differ_in_size(tmp_path: Path) -> None:
    builders.voc(tmp_path, count=3, names=True, esri=False)
    builders.write_raster(tmp_path / "images" / "000000000001.tif", np.full((3, 80, 100), 9, "uint8"))
    chips = read_chips([tmp_path])
    assert (chips.chips[1].width, chips.chips[1].height, chips.tile_size) == (100, 80, (64, 64))
    assert any("2 different sizes" in text for text in chips.account.warnings)


def test_plain_voc_folders_agree_on_values_by_name(tmp_path: Path) -> None:
    builders.voc(tmp_path / "a", count=2, class_values=(1, 2), names=True, esri=False)
    builders.voc(tmp_path / "b", count=2, class_values=(1,), objects=1, names=True, esri=False)
    chips = read_chips([tmp_path / "a", tmp_path / "b"])
    assert [(info.value, info.name) for info in chips.classes] == [(1, "Forest"), (2, "Water")]
    last = chips.chips[-1]
    assert last.box_values is not None
    assert last.box_values.tolist() == [2]


def test_a_plain_voc_folder_takes_the_values_of_an_export_beside_it(tmp_path: Path) -> None:
    builders.voc(tmp_path / "a", count=2, class_values=(7, 3))
    builders.voc(tmp_path / "b", count=2, class_values=(1, 2, 3), objects=3, names=True, esri=False)
    chips = read_chips([tmp_path / "a", tmp_path / "b"])
    assert [(info.value, info.name) for info in chips.classes] == [(3, "Forest"), (7, "Water"), (8, "Road")]
    last = chips.chips[-2]
    assert last.box_values is not None
    assert sorted(last.box_values.tolist()) == [3, 7, 8]
