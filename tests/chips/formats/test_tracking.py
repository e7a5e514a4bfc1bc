from __future__ import annotations

from pathlib import Path
from typing import Any

import builders
import mask_builders
import numpy as np
import pytest
from mask_builders import HIGH, LOW, SIZE, mask_path, moving, painted, picture, tracking, youtube_vos
from mask_checks import assert_boxes_are_those_of_the_instances, objects, refusal, warned

from chipwright.chips.folders import read_chips
from chipwright.chips.formats.locating import locate_export
from chipwright.chips.formats.pairing import NO_LABEL
from chipwright.chips.formats.sniffing import format_of

UNKNOWN = ((1, "boat"), (2, "car"))


def sniffed(folder: Path) -> str:
    return format_of(locate_export(folder)).keyword


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_what_was_written_is_read(tmp_path: Path, suffix: str) -> None:
    tracking(tmp_path, suffix=suffix)
    chips = read_chips(tmp_path)
    assert (chips.format, chips.account.dropped, chips.account.warnings) == ("ObjectTracking", {}, [])
    assert [(info.value, info.name) for info in chips.classes] == [(1, "ferry"), (2, "truck")]
    assert [(chip.sequence, chip.frame) for chip in chips.chips] == [
        (video, turn * 4 + frame) for turn, video in enumerate(("ferry", "truck")) for frame in range(4)
    ]
    chip = chips.chips[5]
    assert chip.masks == ((2, mask_path(tmp_path, 5, "truck", suffix=suffix)),)
    assert objects(chip) == [(2, list(box)) for box in moving(1)]
    assert_boxes_are_those_of_the_instances(chips)


def test_an_object_keeps_its_identity_when_another_leaves(tmp_path: Path) -> None:
    chips = read_chips(tracking(tmp_path)).chips
    assert [chip.identities.tolist() for chip in chips[:4] if chip.identities is not None] == [[1, 2], [1, 2], [1, 2], [2]]


def test_videos_need_no_metadata(tmp_path: Path) -> None:
    tracking(tmp_path, esri=False)
    chips = read_chips(tmp_path)
    assert [(info.value, info.name) for info in chips.classes] == [(1, "Object")]
    assert {value for chip in chips.chips for value, _ in chip.masks} == {1}


@pytest.mark.parametrize("videos", [("a", "b"), ("a",)])
def test_folders_of_png_masks_that_are_no_classes_are_videos(tmp_path: Path, videos: tuple[str, ...]) -> None:
    chips = read_chips(tracking(tmp_path, videos, classes=UNKNOWN))
    assert chips.format == "ObjectTracking"
    assert [info.name for info in chips.classes] == ["boat", "car"]
    assert {value for chip in chips.chips for value, _ in chip.masks} == {1}


def scattered(index: int) -> list[Any]:
    return mask_builders.random_objects(index, ["one"])["one"]


@pytest.mark.parametrize(
    "chips",
    [
        [{"Tree": scattered(index)} for index in range(8)],
        [{"Tree" if index < 4 else "Roof": scattered(index)} for index in range(8)],
        [{"Tree" if index % 2 else "Roof": [LOW]} for index in range(8)],
        [{"Tree": [LOW], "Roof": [HIGH]} for _ in range(8)],
        [{"Tree": [LOW]}, {"Roof": [HIGH]}],
    ],
    ids=["one class", "sorted by class", "classes in turn", "several classes a chip", "two chips"],
)
def test_objects_by_class_stay_rcnn_masks(tmp_path: Path, chips: list[dict[str, list[Any]]]) -> None:
    assert sniffed(mask_builders.rcnn_masks(tmp_path, chips, suffix="png")) == "RCNN_Masks"


def test_a_damaged_mask_does_not_hide_the_videos(tmp_path: Path) -> None:
    tracking(tmp_path, frames=6)
    mask_path(tmp_path, 0, "ferry", suffix="png").write_bytes(b"no picture")
    assert len(read_chips(tmp_path)) == 11


def test_the_evidence_is_given(tmp_path: Path) -> None:
    tracking(tmp_path)
    path = tmp_path / "esri_accumulated_stats.json"
    for name in (path, tmp_path / "esri_model_definition.emd"):
        name.write_text(name.read_text(encoding="utf-8").replace("MetaDataMode", "Mode"), encoding="utf-8")
    chips = read_chips(tmp_path)
    assert warned(
        chips, "read as ObjectTracking, since it holds the folders ferry and truck in labels, and each image has a mask"
    )
    assert warned(chips, "objects stay in place from image to image")


def test_frames_in_two_videos_count_for_the_first(tmp_path: Path) -> None:
    tracking(tmp_path)
    for name in ("esri_accumulated_stats.json", "esri_model_definition.emd"):
        path = tmp_path / name
        path.write_text(path.read_text(encoding="utf-8").replace("RCNN_Masks", "ObjectTracking"), encoding="utf-8")
    builders.write_raster(mask_path(tmp_path, 0, "truck", suffix="png"), painted([LOW]))
    chips = read_chips(tmp_path)
    assert (chips.chips[0].sequence, len(chips)) == ("ferry", 8)
    assert warned(chips, "Found 1 mask of frames that belong to another video already (truck/000000000000)")


@pytest.mark.parametrize("nested", [False, True])
def test_youtube_vos_is_read(tmp_path: Path, nested: bool) -> None:
    root = youtube_vos(tmp_path / "train" if nested else tmp_path)
    chips = read_chips(tmp_path)
    assert (chips.format, len(chips), chips.folders) == ("ObjectTracking", 6, (root,))
    assert [(info.value, info.name) for info in chips.classes] == [(1, "Object")]
    assert [(chip.name, chip.sequence, chip.frame) for chip in chips.chips[:3]] == [
        (f"0043f083b5/{frame:05d}", "0043f083b5", frame) for frame in (0, 10, 20)
    ]
    assert chips.chips[0].masks == ((1, root / "Annotations" / "0043f083b5" / "00000.png"),)
    assert objects(chips.chips[1]) == [(1, list(box)) for box in moving(1)]
    assert len(chips.account.dropped[NO_LABEL]) == 6
    assert_boxes_are_those_of_the_instances(chips)


def test_youtube_vos_needs_no_meta_json(tmp_path: Path) -> None:
    youtube_vos(tmp_path)
    (tmp_path / "meta.json").unlink()
    assert len(read_chips(tmp_path)) == 6


def test_videos_of_meta_json_that_are_missing_are_named(tmp_path: Path) -> None:
    youtube_vos(tmp_path)
    (tmp_path / "meta.json").write_text('{"videos": {"0043f083b5": {}, "ffff": {}}}', encoding="utf-8")
    assert warned(read_chips(tmp_path), "meta.json lists 1 video without masks in")
    (tmp_path / "meta.json").write_text('{"videos": [1]}', encoding="utf-8")
    assert len(read_chips(tmp_path)) == 6


def test_frames_of_other_names_are_numbered_by_their_order(tmp_path: Path) -> None:
    for stem in ("b", "a"):
        builders.write_raster(tmp_path / "JPEGImages" / "v" / f"{stem}.jpg", picture([LOW], 0))
        builders.write_raster(tmp_path / "Annotations" / "v" / f"{stem}.png", painted([LOW]))
    assert [(chip.name, chip.frame) for chip in read_chips(tmp_path).chips] == [("v/a", 0), ("v/b", 1)]


def test_youtube_vos_without_frames_or_masks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "JPEGImages" / "v").mkdir(parents=True)
    (tmp_path / "Annotations" / "v").mkdir(parents=True)
    assert "holds folders and no frames in them" in refusal(tmp_path)
    builders.write_raster(tmp_path / "JPEGImages" / "v" / "0.jpg", picture([], 0))
    assert "None of the 1 chip" in refusal(tmp_path)


def test_the_davis_videos_are_all_there(data: Path) -> None:
    chips = read_chips(data / "tracking_davis")
    assert (chips.format, len(chips), chips.account.warnings) == ("ObjectTracking", 160, [])
    assert {chip.sequence for chip in chips.chips} == {"blackswan", "car-roundabout", "dog", "drift-straight"}
    assert all(len(objects(chip)) == 1 for chip in chips.chips)
    assert (chips.chips[0].width, chips.chips[0].height) != (SIZE, SIZE)


def test_the_nuclei_are_no_videos(data: Path) -> None:
    assert sniffed(data / "rcnn_nuclei") == "RCNN_Masks"


def test_elevations_in_place_of_masks_are_no_videos_and_no_crash(tmp_path: Path) -> None:
    tracking(tmp_path, suffix="tif")
    for index in range(4):
        heights = np.arange(1, 300 * 300 + 1, dtype="uint32").reshape(300, 300)
        builders.write_raster(mask_path(tmp_path, index, "ferry", suffix="tif"), heights)
        builders.write_raster(mask_path(tmp_path, index + 4, "truck", suffix="tif"), heights)
    assert sniffed(tmp_path) == "RCNN_Masks"
