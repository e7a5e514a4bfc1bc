"""Folders as labelling tools leave them load with what they hold, and are told from folders of other things."""

from __future__ import annotations

import json
from pathlib import Path

import box_builders
import builders
import numpy as np
import pytest
from box_builders import move

from chipwright.chips.chipset import ChipSet
from chipwright.chips.folders import read_chips
from chipwright.errors import DataError

BOX = (8.0, 16.0, 24.0, 48.0)
NAMED = {"a": [("palm", BOX), ("fern", BOX)], "b": [], "c": [("palm", BOX)]}
NUMBERED = {"a": [(1, BOX), (0, BOX)], "b": [], "c": [(1, BOX)]}
NAMES = ["fern", "palm"]


def names_of(chips: ChipSet) -> list[list[str]]:
    """Return the class names of each chip's boxes."""
    names = {info.value: info.name for info in chips.classes}
    return [[names[value] for value in chip.box_values.tolist()] for chip in chips.chips if chip.box_values is not None]


def assert_whole(chips: ChipSet, keyword: str) -> None:
    """Check that everything of the three toy chips was read, and nothing was complained of."""
    assert (chips.format, len(chips), chips.account.dropped, chips.account.warnings) == (keyword, 3, {}, [])
    assert names_of(chips) == [["palm", "fern"], [], ["palm"]]
    boxes = chips.chips[0].boxes
    assert boxes is not None
    np.testing.assert_allclose(boxes, [BOX, BOX], atol=1e-3)


@pytest.mark.parametrize(
    ("images", "labels"),
    [(".", "."), ("images", "images"), ("JPEGImages", "Annotations"), ("images", "annotations")],
    ids=["LabelImg", "LabelImg in a folder", "VOC2012", "Label Studio"],
)
def test_voc_layouts(tmp_path: Path, images: str, labels: str) -> None:
    move(box_builders.voc(tmp_path, NAMED), images, labels)
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("a\n")
    assert_whole(read_chips([tmp_path]), "PASCAL_VOC_rectangles")


@pytest.mark.parametrize(
    ("images", "labels", "names"),
    [
        (".", ".", "obj.names"),
        (".", ".", "classes.txt"),
        (".", ".", "_darknet.labels"),
        (".", ".", "../obj.names"),
        ("images", "images", "classes.txt"),
        ("obj_train_data", "obj_train_data", "obj.names"),
        ("images", "labels", "../data.yaml"),
    ],
    ids=["darknet", "LabelImg", "Roboflow darknet", "names above", "one folder", "CVAT", "Roboflow YOLO"],
)
def test_yolo_layouts(tmp_path: Path, images: str, labels: str, names: str) -> None:
    folder = move(box_builders.yolo(tmp_path / "train", NUMBERED), images, labels)
    (folder / names).write_text(f"names: {NAMES}" if names.endswith("yaml") else "\n".join(NAMES))
    (folder / "README.roboflow.txt").write_text("Palms - v1\n")
    (folder / "train.txt").write_text("data/obj_train_data/a.png\n")
    assert_whole(read_chips([folder]), "YOLO_rectangles")


@pytest.mark.parametrize(
    ("images", "name"),
    [
        (".", "_annotations.coco.json"),
        (".", "instances_train.json"),
        ("images", "images/_annotations.coco.json"),
        ("images", "annotations/instances_default.json"),
        ("images", "result.json"),
        ("data", "labels.json"),
    ],
    ids=["Roboflow", "beside images", "in the folder of images", "CVAT", "Label Studio", "FiftyOne"],
)
def test_coco_layouts(tmp_path: Path, images: str, name: str) -> None:
    values = {"a": [(2, BOX), (1, BOX)], "b": [], "c": [(2, BOX)]}
    move(box_builders.coco(tmp_path, values, {1: "fern", 2: "palm"}, name), images)
    assert_whole(read_chips([tmp_path]), "COCO_rectangles")


@pytest.mark.parametrize(("images", "labels"), [("image_2", "label_2"), (".", ".")], ids=["KITTI", "together"])
def test_kitti_layouts(tmp_path: Path, images: str, labels: str) -> None:
    assert_whole(read_chips([move(box_builders.kitti(tmp_path, NAMED), images, labels)]), "KITTI_rectangles")


def test_of_a_folder_of_splits_the_ones_to_give_are_named(tmp_path: Path) -> None:
    for name in ("train", "valid", "test"):
        move(box_builders.voc(tmp_path / name, NAMED))
    (tmp_path / "README.dataset.txt").touch()
    with pytest.raises(DataError, match="holds 3 exports, test, train and valid; name the ones to use"):
        read_chips([tmp_path])
    assert len(read_chips([tmp_path / "train", tmp_path / "valid"])) == 6


def test_a_single_split_in_a_folder_is_used(tmp_path: Path) -> None:
    content = box_builders.coco_content(NUMBERED, {0: "fern", 1: "palm"})
    box_builders.write_images(tmp_path / "train", list(NUMBERED))
    (tmp_path / "train" / "_annotations.coco.json").write_text(json.dumps(content))
    chips = read_chips([tmp_path])
    assert (len(chips), chips.folders) == (3, (tmp_path / "train",))


def test_unlabelled_images_among_labelled_ones_are_counted(tmp_path: Path) -> None:
    move(box_builders.voc(tmp_path, NAMED))
    (tmp_path / "b.xml").unlink()
    assert read_chips([tmp_path]).account.dropped == {"no label file": ["b.png"]}


def test_what_a_tool_reads_is_said_with_what_told_it(tmp_path: Path) -> None:
    move(box_builders.kitti(tmp_path / "chips", NAMED))
    evidence = read_chips([tmp_path / "chips"]).account.evidence
    assert evidence == "3 .txt files of 15 columns beside the images of the same names in chips"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("0.xml", "<?xml version='1.0'?><isd><IMD/></isd>"),
        ("0.tif.aux.xml", "<PAMDataset/>"),
        ("0.txt", "scene taken on 2024-05-01 by satellite 3"),
        ("0.txt", "1.0 0.0 0.0 1.0"),
        ("notes.txt", "0 0.5 0.5 0.1 0.1"),
    ],
    ids=["metadata of a scene", "a side-car", "a note", "a matrix", "a file of another name"],
)
def test_other_files_beside_images_make_no_training_data(tmp_path: Path, name: str, content: str) -> None:
    builders.write_raster(tmp_path / "0.tif", np.zeros((3, 8, 8), np.uint8))
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match="is no training-data folder"):
        read_chips([tmp_path])


def test_side_cars_beside_labelled_images_are_no_labels(tmp_path: Path) -> None:
    move(box_builders.voc(tmp_path, NAMED))
    (tmp_path / "a.png.aux.xml").write_text("<PAMDataset/>")
    assert_whole(read_chips([tmp_path]), "PASCAL_VOC_rectangles")
