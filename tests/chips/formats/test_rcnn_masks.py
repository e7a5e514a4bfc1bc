from __future__ import annotations

import os
from pathlib import Path

import builders
import mask_builders
import numpy as np
import pytest
from mask_builders import HIGH, LOW, SIZE, mask_path, painted, rcnn_masks
from mask_checks import assert_boxes_are_those_of_the_instances, edit, objects, refusal, warned

from chipwright.chips.folders import read_chips
from chipwright.chips.formats.mask_survey import MOST_OBJECTS, TOO_MANY
from chipwright.chips.formats.pairing import NO_LABEL
from chipwright.chips.formats.survey import UNREADABLE
from chipwright.chips.reading import ChipReader


@pytest.mark.parametrize(("suffix", "image_suffix"), [("tif", "tif"), ("png", "jpg"), ("tif", "jpg")])
def test_what_was_written_is_read(tmp_path: Path, suffix: str, image_suffix: str) -> None:
    rcnn_masks(tmp_path, [{"Tree": [LOW], "Roof": [HIGH]}, {"Roof": [LOW, HIGH]}], suffix=suffix, image_suffix=image_suffix)
    chips = read_chips(tmp_path)
    assert (chips.format, chips.dtype, chips.tile_size) == ("RCNN_Masks", "uint8", (SIZE, SIZE))
    assert [(info.value, info.name) for info in chips.classes] == [(1, "Tree"), (4, "Roof")]
    assert (chips.account.kept, chips.account.dropped, chips.account.warnings) == (2, {}, [])
    first, second = chips.chips
    assert first.masks == (
        (1, mask_path(tmp_path, 0, "Tree", suffix=suffix)),
        (4, mask_path(tmp_path, 0, "Roof", suffix=suffix)),
    )
    assert objects(first) == [(1, list(LOW)), (4, list(HIGH))]
    assert objects(second) == [(4, list(LOW)), (4, list(HIGH))]
    assert_boxes_are_those_of_the_instances(chips)


def test_boxes_are_in_the_order_of_the_instances_through_bands_and_files(tmp_path: Path) -> None:
    rcnn_masks(tmp_path, [{"Tree": [LOW], "4": [HIGH], "Roof": []}, {"Tree": []}])
    bands = np.stack([painted([LOW, HIGH], first=7)[::-1], painted([HIGH], first=7), painted([LOW], first=3)])
    builders.write_raster(mask_path(tmp_path, 0, "Roof"), bands)
    chips = read_chips(tmp_path)
    assert [value for value, _ in chips.chips[0].masks] == [1, 4, 4]
    instances = ChipReader(None).instances(chips.chips[0])
    assert {value: layers.shape for value, layers in instances.items()} == {1: (1, SIZE, SIZE), 4: (4, SIZE, SIZE)}
    assert np.unique(instances[4]).tolist() == [0, 1, 2, 3, 4, 5]
    assert_boxes_are_those_of_the_instances(chips)


@pytest.mark.parametrize("folder", ["roof", "ROOF", "4", "4.0"])
def test_folders_are_called_by_name_or_by_value(tmp_path: Path, folder: str) -> None:
    rcnn_masks(tmp_path, [{folder: [LOW]}])
    assert objects(read_chips(tmp_path).chips[0]) == [(4, list(LOW))]


def test_a_folder_of_no_class_is_skipped_and_said(tmp_path: Path) -> None:
    rcnn_masks(tmp_path, [{"Tree": [LOW], "Lake": [HIGH]}, {"Lake": [HIGH]}])
    chips = read_chips(tmp_path)
    assert objects(chips.chips[0]) == [(1, list(LOW))]
    assert chips.account.dropped == {NO_LABEL: ["000000000001.tif"]}
    assert warned(chips, "Skipped 1 folder of masks in labels that is called like no class of the export (Lake)")


def test_without_any_folder_of_a_class_it_is_refused(tmp_path: Path) -> None:
    rcnn_masks(tmp_path, [{"Lake": [LOW]}])
    assert "there are Lake, the classes are Tree and Roof" in refusal(tmp_path)


@pytest.mark.parametrize("esri", [True, False])
def test_undeclared_classes_are_called_like_the_folders(tmp_path: Path, esri: bool) -> None:
    rcnn_masks(tmp_path, [{"Shed": [LOW], "Barn": [HIGH]}], esri=esri)
    if esri:
        edit(tmp_path, Classes=...)
    chips = read_chips(tmp_path)
    assert [(info.value, info.name) for info in chips.classes] == [(1, "Barn"), (2, "Shed")]
    assert objects(chips.chips[0]) == [(1, list(HIGH)), (2, list(LOW))]
    assert warned(chips, "the folders in labels are taken for classes: Barn and Shed") is esri


def test_class_0_is_left_out_and_said(tmp_path: Path) -> None:
    rcnn_masks(tmp_path, [{"Tree": [LOW], "Ground": [HIGH]}], [(0, "Ground"), (1, "Tree")])
    chips = read_chips(tmp_path)
    assert [info.value for info in chips.classes] == [1]
    assert objects(chips.chips[0]) == [(1, list(LOW))]
    assert warned(chips, "Left out the class 0 ('Ground'): the values of classes with instances must start at 1.")
    rcnn_masks(tmp_path / "alone", [{"Ground": [HIGH]}], [(0, "Ground")])
    assert "has no class but 0" in refusal(tmp_path / "alone")


def test_chips_without_a_mask_are_dropped_and_those_without_objects_kept(tmp_path: Path) -> None:
    rcnn_masks(tmp_path, [{"Tree": [LOW]}, {}, {"Tree": []}])
    chips = read_chips(tmp_path)
    assert [chip.name for chip in chips.chips] == ["000000000000", "000000000002"]
    assert [len(objects(chip)) for chip in chips.chips] == [1, 0]
    assert chips.account.dropped == {NO_LABEL: ["000000000001.tif"]}


def test_masks_without_an_image_are_named(tmp_path: Path) -> None:
    rcnn_masks(tmp_path, 2)
    builders.write_raster(mask_path(tmp_path, 9, "Tree"), painted([LOW]))
    assert warned(read_chips(tmp_path), "Ignored 1 mask without an image (000000000009.tif)")


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "uint64", "int64", "float32"])
def test_ids_may_be_of_any_type(tmp_path: Path, dtype: str) -> None:
    rcnn_masks(tmp_path, [{"Tree": [LOW, HIGH]}], dtype=dtype)
    chips = read_chips(tmp_path)
    assert len(objects(chips.chips[0])) == 2
    assert_boxes_are_those_of_the_instances(chips)


def test_negative_ids_nodata_and_nan_are_background(tmp_path: Path) -> None:
    rcnn_masks(tmp_path, [{"Tree": [LOW]}, {"Tree": [LOW]}, {"Tree": [LOW]}])
    builders.write_raster(mask_path(tmp_path, 0, "Tree"), -painted([LOW, HIGH], "int16"))
    builders.write_raster(mask_path(tmp_path, 1, "Tree"), painted([LOW, HIGH]), nodata=1)
    holes = painted([LOW], "float32")
    holes[holes == 0] = np.nan
    builders.write_raster(mask_path(tmp_path, 2, "Tree"), holes)
    chips = read_chips(tmp_path)
    assert [objects(chip) for chip in chips.chips] == [[], [(1, list(HIGH))], [(1, list(LOW))]]
    assert_boxes_are_those_of_the_instances(chips)


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    rcnn_masks(tmp_path, 3)
    builders.write_raster(mask_path(tmp_path, 1, "Roof"), np.ones((SIZE, 16), "uint8"))
    found = refusal(tmp_path)
    assert "1 chip with a mask of another size than the image (000000000001; 000000000001 has a mask of 16 x 32 pixels" in found


def test_damaged_masks_are_dropped_up_to_a_fifth(tmp_path: Path) -> None:
    rcnn_masks(tmp_path, 5)
    mask_path(tmp_path, 3, "Roof").write_bytes(b"II*\0nonsense")
    chips = read_chips(tmp_path)
    assert (len(chips), chips.account.dropped) == (4, {UNREADABLE: ["000000000003.tif"]})
    mask_path(tmp_path, 1, "Tree").write_bytes(mask_path(tmp_path, 1, "Tree").read_bytes()[:300])
    assert "2 of 5 chips in" in refusal(tmp_path)


def test_a_mask_that_numbers_every_pixel_is_none(tmp_path: Path) -> None:
    rcnn_masks(tmp_path, 5)
    side = 300
    assert side * side > MOST_OBJECTS
    for index in range(5):
        builders.write_raster(tmp_path / "images" / f"{index:012d}.tif", np.zeros((3, side, side), "uint8"))
        for name in ("Tree", "Roof"):
            builders.write_raster(mask_path(tmp_path, index, name), np.zeros((side, side), "uint8"))
    builders.write_raster(mask_path(tmp_path, 2, "Tree"), np.arange(side * side, dtype="uint32").reshape(side, side))
    assert read_chips(tmp_path).account.dropped == {TOO_MANY: ["000000000002.tif"]}


def test_jpeg_masks_are_read_with_a_warning(tmp_path: Path) -> None:
    rcnn_masks(tmp_path, 2, suffix="jpg")
    assert warned(read_chips(tmp_path), "Found 4 masks stored as JPEG")


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    rcnn_masks(tmp_path / "secret", [{"Roof": [HIGH]}])
    rcnn_masks(tmp_path / "chips", [{"Tree": [LOW]}])
    (tmp_path / "chips" / "labels" / "Roof").symlink_to(tmp_path / "secret" / "labels" / "Roof", target_is_directory=True)
    chips = read_chips(tmp_path / "chips")
    assert objects(chips.chips[0]) == [(1, list(LOW))]
    assert warned(chips, "1 link to folders elsewhere (Roof)")


def test_labels_without_folders_are_refused(tmp_path: Path) -> None:
    rcnn_masks(tmp_path, [{}])
    assert "holds no folders of masks: it is empty; expected one for each class" in refusal(tmp_path)
    (tmp_path / "labels").rmdir()
    assert "has no folder labels" in refusal(tmp_path)


def test_an_empty_class_folder_is_said(tmp_path: Path) -> None:
    rcnn_masks(tmp_path, [{"Tree": [LOW]}])
    (tmp_path / "labels" / "Roof").mkdir()
    assert warned(read_chips(tmp_path), "Found 1 class folder without any mask (Roof)")


def test_several_folders_agree_on_classes(tmp_path: Path) -> None:
    rcnn_masks(tmp_path / "declared", [{"Tree": [LOW]}])
    rcnn_masks(tmp_path / "plain", [{"Roof": [LOW], "Shed": [HIGH]}], esri=False)
    chips = read_chips([tmp_path / "declared", tmp_path / "plain"])
    assert [(info.value, info.name) for info in chips.classes] == [(1, "Tree"), (4, "Roof"), (5, "Shed")]
    assert chips.chips[1].masks == tuple(
        (value, mask_path(tmp_path / "plain", 0, name)) for value, name in ((4, "Roof"), (5, "Shed"))
    )
    assert objects(chips.chips[1]) == [(4, list(LOW)), (5, list(HIGH))]
    assert_boxes_are_those_of_the_instances(chips)


def test_an_export_one_level_down_is_found(tmp_path: Path) -> None:
    mask_builders.rcnn_masks(tmp_path / "export_1")
    assert len(read_chips(tmp_path)) == 4


def test_the_nuclei_are_all_there(data: Path) -> None:
    chips = read_chips(data / "rcnn_nuclei")
    assert (chips.format, len(chips), chips.account.warnings) == ("RCNN_Masks", 80, [])
    assert sum(len(objects(chip)) for chip in chips.chips) == 1917
    assert_boxes_are_those_of_the_instances(chips)


def test_masks_of_background_only_load(data: Path) -> None:
    chips = read_chips(data / "broken" / "masks_background_only")
    assert len(chips) == 8
    assert all(objects(chip) == [] for chip in chips.chips)
    assert warned(chips, "hold no object, only background")
