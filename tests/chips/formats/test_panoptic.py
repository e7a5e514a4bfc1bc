from __future__ import annotations

import shutil
from pathlib import Path

import builders
import numpy as np
import pytest
from mask_builders import LOW, SIZE, mask_path, painted, panoptic
from mask_checks import assert_boxes_are_those_of_the_instances, edit, objects, refusal, warned

from chipwright.chips.balance import unit_of
from chipwright.chips.folders import read_chips
from chipwright.chips.formats.panoptic import THINGS
from chipwright.chips.reading import ChipReader


def test_what_was_written_is_read(tmp_path: Path) -> None:
    panoptic(tmp_path)
    chips = read_chips(tmp_path)
    assert (chips.format, chips.account.dropped, chips.account.warnings) == (
        "Panoptic_Segmentation",
        {},
        [],
    )
    assert [(info.value, info.name) for info in chips.classes] == [(1, "Field"), (3, "Roof")]
    assert chips.metadata[THINGS] == [{"Value": 3, "Name": "Roof"}]
    first, last = chips.chips[0], chips.chips[3]
    assert first.masks == ((3, mask_path(tmp_path, 0, "Roof", "labels2")),)
    roofs = ChipReader(None).instances(first)[3]
    assert ((roofs > 0).any(axis=0) == (ChipReader(None).label(first) == 3)).all()
    assert (last.masks, objects(last), last.pixels) == ((), [], ((1, SIZE * SIZE),))
    assert_boxes_are_those_of_the_instances(chips)
    assert unit_of(chips.chips) == "pixels"


def test_labels_are_checked_as_those_of_classified_tiles(tmp_path: Path) -> None:
    panoptic(tmp_path)
    builders.write_raster(tmp_path / "labels" / "000000000001.tif", np.zeros((8, 8), "uint8"))
    assert "label of 8 x 8 pixels under an image of 32 x 32" in refusal(tmp_path)


def test_instances_of_another_size_are_refused(tmp_path: Path) -> None:
    panoptic(tmp_path)
    builders.write_raster(mask_path(tmp_path, 3, "Roof", "labels2"), np.ones((8, 8), "uint8"))
    assert "000000000003 has a mask of 8 x 8 pixels" in refusal(tmp_path)


def test_without_a_list_of_things_the_folders_tell(tmp_path: Path) -> None:
    panoptic(tmp_path)
    edit(tmp_path, **{THINGS: ...})
    assert read_chips(tmp_path).metadata[THINGS] == [{"Value": 3, "Name": "Roof"}]


@pytest.mark.parametrize("row", [{"Value": "3"}, {"Name": "roof"}, "Roof", {"Value": "e.g. 1", "Name": "Roof"}])
def test_things_are_known_by_value_or_by_name(tmp_path: Path, row: object) -> None:
    panoptic(tmp_path, metadata={THINGS: [row, {"Value": 77}]})
    chips = read_chips(tmp_path)
    assert chips.metadata[THINGS] == [{"Value": 3, "Name": "Roof"}]
    assert warned(chips, "lists what is no class: {'Value': 77}")


def test_instances_of_what_is_no_thing_are_skipped(tmp_path: Path) -> None:
    panoptic(tmp_path)
    builders.write_raster(mask_path(tmp_path, 0, "Field", "labels2"), painted([LOW]))
    chips = read_chips(tmp_path)
    assert {value for value, _ in chips.chips[0].masks} == {3}
    assert warned(chips, "Skipped the instances of Field in labels2")


def test_without_labels2_there_are_no_instances_which_is_said(tmp_path: Path) -> None:
    panoptic(tmp_path)
    shutil.rmtree(tmp_path / "labels2")
    chips = read_chips(tmp_path)
    assert [chip.masks for chip in chips.chips] == [()] * 4
    assert warned(chips, "has no folder labels2")
    edit(tmp_path, **{THINGS: []})
    assert read_chips(tmp_path).account.warnings == []


def test_the_buildings_of_dubai_are_all_there(data: Path) -> None:
    chips = read_chips(data / "panoptic_dubai")
    assert (len(chips), chips.account.warnings) == (80, [])
    assert sum(bool(chip.masks) for chip in chips.chips) == 70
    assert sum(len(objects(chip)) for chip in chips.chips) == 406
    assert chips.metadata[THINGS] == [{"Value": 4, "Name": "Building"}]
    assert_boxes_are_those_of_the_instances(chips)
