from __future__ import annotations

import json
from pathlib import Path

import builders
import pytest

from chipwright.chips.folders import read_chips
from chipwright.errors import DataError


def write_label(folder: Path, index: int, *names: str) -> None:
    builders.write_voc_xml(folder / "labels" / f"{index:012d}.xml", (32, 32), [(name, (0, 0, 32, 32)) for name in names])


@pytest.mark.parametrize("names", [False, True], ids=["values", "names"])
def test_labelled_tiles_have_one_class_each(tmp_path: Path, names: bool) -> None:
    builders.labeled_tiles(tmp_path, count=6, class_values=(1, 5, 9), names=names)
    chips = read_chips([tmp_path])
    assert chips.format == "Labeled_Tiles"
    assert [chip.values for chip in chips.chips] == [(1,), (5,), (9,), (1,), (5,), (9,)]


@pytest.mark.parametrize("names", [False, True], ids=["values", "names"])
def test_multi_labelled_tiles_have_several_classes(tmp_path: Path, names: bool) -> None:
    builders.multilabeled_tiles(tmp_path, count=3, names=names)
    write_label(tmp_path, 0, "Water, Road" if names else "1,3")
    write_label(tmp_path, 1)
    write_label(tmp_path, 2, "Road,Water,Water")
    chips = read_chips([tmp_path])
    assert chips.format == "MultiLabeled_Tiles"
    assert [chip.values for chip in chips.chips] == [(1, 3), (), (1, 3)]


def test_a_class_name_may_hold_a_comma(tmp_path: Path) -> None:
    builders.multilabeled_tiles(tmp_path, count=2)
    emd = tmp_path / "esri_model_definition.emd"
    emd.write_text(json.dumps(json.loads(emd.read_text()) | {"Classes": [{"Value": 1, "Name": "Crops, wet"}]}))
    write_label(tmp_path, 0, "Crops, wet")
    write_label(tmp_path, 1, "Forest")
    assert [chip.values for chip in read_chips([tmp_path]).chips] == [(1,), (2,)]


@pytest.mark.parametrize("build", [builders.labeled_tiles, builders.multilabeled_tiles])
def test_a_missing_label_is_an_error_that_names_the_chip(tmp_path: Path, build: object) -> None:
    build(tmp_path, count=4)
    (tmp_path / "labels" / "000000000002.xml").unlink()
    with pytest.raises(DataError, match=r"1 chip without a label \(000000000002.tif\)"):
        read_chips([tmp_path])


def test_chips_of_an_unknown_class_are_dropped_and_the_class_named(tmp_path: Path) -> None:
    builders.labeled_tiles(tmp_path, count=4)
    write_label(tmp_path, 1, "weed")
    write_label(tmp_path, 2)
    chips = read_chips([tmp_path])
    assert chips.account.dropped == {"no class of the export in its label": ["000000000001.tif", "000000000002.tif"]}
    assert any("'weed' (1)" in warning for warning in chips.account.warnings)


def test_unknown_classes_among_several_are_skipped(tmp_path: Path) -> None:
    builders.multilabeled_tiles(tmp_path, count=2)
    write_label(tmp_path, 0, "Water,weed")
    write_label(tmp_path, 1, "weed")
    chips = read_chips([tmp_path])
    assert [chip.values for chip in chips.chips] == [(1,)]
    assert any("'weed' (2)" in warning for warning in chips.account.warnings)


def test_no_known_class_at_all_is_an_error(tmp_path: Path) -> None:
    builders.labeled_tiles(tmp_path, count=2)
    for index in range(2):
        write_label(tmp_path, index, "weed")
    with pytest.raises(DataError, match="the labels say 'weed', the metadata Water, Forest and Road"):
        read_chips([tmp_path])


def test_chips_may_differ_in_size(tmp_path: Path) -> None:
    builders.labeled_tiles(tmp_path, count=8, variable=True)
    chips = read_chips([tmp_path])
    assert len({chip.height for chip in chips.chips}) > 1
    assert chips.metadata["CropTileMode"] == "Variable_Size"


def test_without_metadata_classes_the_labels_names_are_taken(tmp_path: Path) -> None:
    builders.multilabeled_tiles(tmp_path, count=3)
    for name in ("esri_model_definition.emd", "esri_accumulated_stats.json"):
        path = tmp_path / name
        path.write_text(json.dumps(json.loads(path.read_text()) | {"Classes": []}))
    for index, text in enumerate(("b,a", "c", "a")):
        write_label(tmp_path, index, text)
    chips = read_chips([tmp_path])
    assert [(info.value, info.name) for info in chips.classes] == [(1, "a"), (2, "b"), (3, "c")]
    assert [chip.values for chip in chips.chips] == [(1, 2), (3,), (1,)]
