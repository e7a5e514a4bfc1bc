from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import box_builders
import numpy as np
import pytest

from chipwright.chips.folders import read_chips
from chipwright.errors import DataError

BOX = (8.0, 16.0, 24.0, 48.0)
CATEGORIES = {3: "palm", 7: "fern"}


def rewrite(folder: Path, **changes: Any) -> None:
    path = folder / "labels.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("name", ["labels.json", "annotations.json", "annotations/instances_train.json", "labels/all.json"])
def test_what_was_written_is_read(tmp_path: Path, name: str) -> None:
    box_builders.coco(tmp_path, {"a": [(7, BOX), (3, (0, 0, 64, 64))], "b": []}, CATEGORIES, name)
    chips = read_chips([tmp_path])
    assert chips.format == "COCO_rectangles"
    assert [(info.value, info.name) for info in chips.classes] == [(3, "palm"), (7, "fern")]
    first, empty = chips.chips
    assert first.boxes is not None
    assert first.box_values is not None
    assert first.boxes.tolist() == [list(BOX), [0, 0, 64, 64]]
    assert first.box_values.tolist() == [7, 3]
    assert empty.boxes is not None
    assert len(empty.boxes) == 0


def test_a_category_zero_of_no_object_is_left_out(tmp_path: Path) -> None:
    box_builders.coco(tmp_path, {"a": [(3, BOX)]}, {0: "everything"} | CATEGORIES)
    assert [info.value for info in read_chips([tmp_path]).classes] == [3, 7]


def test_missing_images_crowds_and_unlisted_images_are_said(tmp_path: Path) -> None:
    box_builders.coco(tmp_path, {"a": [(3, BOX)], "b": [(3, BOX)], "c": [(3, BOX)]}, CATEGORIES)
    content = json.loads((tmp_path / "labels.json").read_text())
    content["annotations"][0]["iscrowd"] = 1
    rewrite(tmp_path, images=content["images"][:2], annotations=content["annotations"])
    (tmp_path / "images" / "b.png").unlink()
    chips = read_chips([tmp_path])
    assert [(chip.name, chip.boxes is not None and len(chip.boxes)) for chip in chips.chips] == [("a", 0)]
    said = " ".join(chips.account.warnings)
    assert "list 1 image missing from the folder (b.png)" in said
    assert "Left out 1 annotation of crowds" in said
    assert "Ignored 1 image that the labels do not list (c.png)" in said


@pytest.mark.parametrize("name", ["../secret.png", "/etc/secret.png", "sub/../../secret.png", "a\x00.png", "", "a.exe"])
def test_names_that_lead_out_of_the_folder_are_not_followed(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "export"
    box_builders.coco(folder, {"a": [(3, BOX)]}, CATEGORIES)
    box_builders.write_images(tmp_path, ["secret"])
    images = json.loads((folder / "labels.json").read_text())["images"]
    rewrite(folder, images=[*images, {"id": 9, "file_name": name}])
    assert [chip.image.parent for chip in read_chips([folder]).chips] == [folder / "images"]


def test_the_name_alone_counts_where_the_path_is_another_machines(tmp_path: Path) -> None:
    box_builders.coco(tmp_path, {"a": [(3, BOX)]}, CATEGORIES)
    rewrite(tmp_path, images=[{"id": 0, "file_name": "D:\\work\\chips\\a.png"}])
    assert [chip.name for chip in read_chips([tmp_path]).chips] == ["a"]


@pytest.mark.parametrize("box", [None, [1, 2, 3], [1, 2, 3, "x"], [1, 2, float("nan"), 4], [1, 2, 10**400, 4], [60, 60, 0, 0]])
def test_a_box_of_no_use_is_dropped_and_said(tmp_path: Path, box: Any) -> None:
    box_builders.coco(tmp_path, {"a": [(3, BOX)]}, CATEGORIES)
    annotations = json.loads((tmp_path / "labels.json").read_text())["annotations"]
    rewrite(tmp_path, annotations=[*annotations, {"image_id": 0, "category_id": 3, "bbox": box}])
    chips = read_chips([tmp_path])
    assert chips.chips[0].boxes is not None
    np.testing.assert_array_equal(chips.chips[0].boxes, [BOX])
    assert any("Dropped 1 box" in text for text in chips.account.warnings)


def test_two_label_files_are_read_together_unless_they_disagree(tmp_path: Path) -> None:
    box_builders.coco(tmp_path, {"a": [(3, BOX)]}, CATEGORIES, "annotations/train.json")
    box_builders.coco(tmp_path, {"b": [(7, BOX)]}, CATEGORIES, "annotations/val.json")
    assert [chip.name for chip in read_chips([tmp_path]).chips] == ["a", "b"]
    box_builders.coco(tmp_path, {"b": [(7, BOX)]}, {7: "moss"}, "annotations/val.json")
    with pytest.raises(DataError, match="category 7 is 'fern' and 'moss'"):
        read_chips([tmp_path])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[" * 100_000, "is not valid JSON"),
        ("[]", "holds no JSON object"),
        ('{"images": 3, "annotations": []}', "holds no COCO labels"),
        ('{"images": [{"id": 1, "file_name": "x.png"}], "annotations": []}', "None of the 1 image"),
        ('{"images": [], "annotations": []}', "None of the 0 images"),
    ],
)
def test_labels_of_no_use_are_refused_in_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    box_builders.coco(tmp_path, {"a": []}, {})
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(DataError, match=sentence):
        read_chips([tmp_path])


def test_an_unlisted_category_is_an_unknown_class(tmp_path: Path) -> None:
    box_builders.coco(tmp_path, {"a": [(3, BOX), (9, BOX)]}, CATEGORIES)
    assert any("'9' (1); chip a" in text for text in read_chips([tmp_path]).account.warnings)
