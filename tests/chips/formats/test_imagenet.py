from __future__ import annotations

from collections import Counter
from pathlib import Path

import builders
import numpy as np
import pair_builders
import pytest

from chipwright.chips.chipset import ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.split import split_chips
from chipwright.errors import DataError


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as found:
        read_chips(folder)
    return str(found.value)


def counts(chips: ChipSet) -> dict[int, int]:
    return Counter(value for chip in chips.chips for value in chip.values)


def test_the_folder_names_the_class(tmp_path: Path) -> None:
    chips = read_chips(pair_builders.imagenet(tmp_path, (2, 1)))
    assert (chips.format, [(info.value, info.name) for info in chips.classes]) == ("Imagenet", [(3, "Water"), (5, "Forest")])
    assert [(chip.name, chip.values) for chip in chips.chips] == [
        ("Forest/000000000002", (5,)),
        ("Water/000000000000", (3,)),
        ("Water/000000000001", (3,)),
    ]
    assert chips.account.warnings == []


def test_files_of_one_name_in_two_folders_are_two_chips(tmp_path: Path) -> None:
    pair_builders.imagenet(tmp_path, (1, 1))
    (tmp_path / "images" / "Forest" / "000000000001.tif").rename(tmp_path / "images" / "Forest" / "000000000000.tif")
    names = [chip.name for chip in read_chips(tmp_path).chips]
    assert names == ["Forest/000000000000", "Water/000000000000"]


def test_a_folder_may_be_named_by_the_value(tmp_path: Path) -> None:
    pair_builders.imagenet(tmp_path, (2, 1))
    (tmp_path / "images" / "Water").rename(tmp_path / "images" / "3")
    assert counts(read_chips(tmp_path)) == {3: 2, 5: 1}


def test_chips_may_differ_in_size(tmp_path: Path) -> None:
    chips = read_chips(pair_builders.imagenet(tmp_path, (3, 3), variable=True))
    assert len({chip.height for chip in chips.chips}) == 3


@pytest.mark.parametrize("within", [".", "images"])
def test_plain_folders_of_classes_need_no_export(tmp_path: Path, within: str) -> None:
    names = {"St. Louis": 1, "train": 2, "beach": 3}
    chips = read_chips(pair_builders.imagenet(tmp_path, names, within=within, esri=False))
    assert [(info.value, info.name) for info in chips.classes] == [(1, "St. Louis"), (2, "beach"), (3, "train")]
    assert counts(chips) == {1: 1, 2: 3, 3: 2}
    assert any("folders were taken for them: St. Louis, beach and train" in warning for warning in chips.account.warnings)


def test_classes_named_a_and_b_are_no_domains(tmp_path: Path) -> None:
    chips = read_chips(pair_builders.imagenet(tmp_path, {"a": 2, "b": 2}, within=".", esri=False))
    assert (chips.format, counts(chips)) == ("Imagenet", {1: 2, 2: 2})


def test_folders_of_images_beside_the_parts_of_an_export_are_no_classes(tmp_path: Path) -> None:
    for name in ("labels", "images2", "more"):
        builders.write_raster(tmp_path / name / "0.tif", np.zeros((3, 8, 8), "uint8"))
    assert "is no training-data folder" in refusal(tmp_path)


def test_chips_beside_the_class_folders_are_dropped(tmp_path: Path) -> None:
    pair_builders.imagenet(tmp_path, (2, 2))
    builders.write_raster(tmp_path / "images" / "9.tif", np.zeros((3, 32, 32), "uint8"))
    account = read_chips(tmp_path).account
    assert account.dropped == {"in no class folder": ["9.tif"]}
    assert "Dropped 1 of 5 chips (in no class folder): 9.tif." in account.warnings


def test_without_a_class_folder_it_is_refused(tmp_path: Path) -> None:
    pair_builders.imagenet(tmp_path, (2, 2))
    for name in ("Water", "Forest"):
        for path in (tmp_path / "images" / name).iterdir():
            path.rename(tmp_path / "images" / path.name)
        (tmp_path / "images" / name).rmdir()
    assert "images has no class folder with chips: it holds 4 .tif files" in refusal(tmp_path)


def test_empty_class_folders_are_said(tmp_path: Path) -> None:
    pair_builders.imagenet(tmp_path, {"Water": 2, "Forest": 2, "Road": 0}, values=(1, 2, 3))
    (tmp_path / "images" / ".cache").mkdir()
    chips = read_chips(tmp_path)
    assert [info.value for info in chips.classes] == [1, 2, 3]
    assert chips.account.warnings == ["Found 1 class folder without a chip (Road)."]


def test_folders_of_no_class_of_the_export_are_dropped_and_named(tmp_path: Path) -> None:
    pair_builders.imagenet(tmp_path, {"Water": 2, "Forest": 2, "Weed": 1}, values=(3, 5))
    account = read_chips(tmp_path).account
    assert account.dropped == {"no class of the export in its folder": ["Weed/000000000004.tif"]}
    assert any(
        "Folders name classes that the export does not list, which were skipped: 'Weed' (1)" in w for w in account.warnings
    )


def test_no_known_class_at_all_is_refused(tmp_path: Path) -> None:
    pair_builders.imagenet(tmp_path, (2, 2))
    for name in ("Water", "Forest"):
        (tmp_path / "images" / name).rename(tmp_path / "images" / f"x{name}")
    assert "the folders say 'xForest' and 'xWater', the metadata Water and Forest" in refusal(tmp_path)


def test_images_that_only_map_txt_has_are_said(tmp_path: Path) -> None:
    pair_builders.imagenet(tmp_path, (2, 2))
    (tmp_path / "images" / "Water" / "000000000001.tif").unlink()
    warnings = read_chips(tmp_path).account.warnings
    assert warnings == ["map.txt lists 1 chip whose image is missing (images\\Water\\000000000001.tif); the rest is used."]


def test_chips_must_have_the_same_bands(tmp_path: Path) -> None:
    pair_builders.imagenet(tmp_path, (4, 4))
    builders.write_raster(tmp_path / "images" / "Water" / "000000000001.tif", np.zeros((1, 32, 32), "uint8"))
    assert "7 chips with 3, 1 with 1 (Water/000000000001)" in refusal(tmp_path)


def test_the_split_keeps_each_class_s_share(tmp_path: Path) -> None:
    chips = read_chips(pair_builders.imagenet(tmp_path, (16, 4)))
    split = split_chips(chips, 25, None, 0)
    assert split.method == "stratified"
    assert counts(chips.subset(split.validation)) == {3: 4, 5: 1}


def test_real_scenes(data: Path) -> None:
    chips = read_chips(data / "imagenet_scenes")
    assert (chips.format, len(chips), counts(chips)) == ("Imagenet", 36, {3: 12, 4: 12, 5: 12})
    assert [info.name for info in chips.classes] == ["Industry", "RiverLake", "Forest"]
    assert all(chips.classes[chip.values[0] - 3].name == chip.image.parent.name for chip in chips.chips)
    assert chips.account.warnings == []


def test_real_identities(data: Path) -> None:
    chips = read_chips(data / "reid_davis")
    assert (chips.format, len(chips), chips.tile_size) == ("Imagenet", 144, (64, 128))
    assert set(counts(chips).values()) == {24}
    assert len(chips.classes) == 6
