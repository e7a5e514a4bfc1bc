from __future__ import annotations

import json
from pathlib import Path

import builders
import numpy as np
import pair_builders
import pytest

from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.errors import DataError


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as found:
        read_chips(folder)
    return str(found.value)


def relabel(folder: Path, index: int, label: np.ndarray, **options: object) -> None:
    builders.write_raster(folder / "labels" / f"{index:012d}.tif", label, **options)


def rename(folder: Path, prefix: str) -> None:
    for path in folder.iterdir():
        path.rename(path.with_name(f"{prefix}{int(path.stem)}{path.suffix}"))


@pytest.mark.parametrize(
    ("names", "home"),
    [
        (("images", "images2"), "."),
        (("images_before", "images_after"), "."),
        (("images_before", "images_after"), "images_before"),
    ],
)
def test_both_layouts_are_read(tmp_path: Path, names: tuple[str, str], home: str) -> None:
    chips = read_chips(pair_builders.change_pairs(tmp_path, names=names, home=home))
    assert (chips.format, len(chips)) == ("ChangeDetection", 4)
    assert [(info.value, info.name) for info in chips.classes] == [(1, "Change")]
    assert [path.parent.name for path in chips.chips[0].images] == list(names)
    assert chips.second is not None
    assert (chips.second.bands, chips.statistics.source) == (chips.bands, "export")
    before, after = (ChipReader.of(chips).image(chips.chips[0], index) for index in range(2))
    changed = ChipReader.of(chips).label(chips.chips[0]) > 0
    assert dict(chips.chips[0].pixels)[1] == changed.sum()
    assert after[:, changed].mean() > 2 * before[:, changed].mean()


def test_folders_that_share_no_name_are_paired_in_order_and_it_is_said(tmp_path: Path) -> None:
    pair_builders.change_pairs(tmp_path, count=12, esri=False)
    rename(tmp_path / "images", "before_")
    rename(tmp_path / "images2", "after_")
    rename(tmp_path / "labels", "change_")
    chips = read_chips(tmp_path)
    numbers = [[path.stem.split("_")[1] for path in (*chip.images, chip.label)] for chip in chips.chips if chip.label]
    assert len(numbers) == 12
    assert all(len(set(each)) == 1 for each in numbers)
    assert any(
        "paired in order, before_0.tif with after_0.tif to before_11.tif with after_11.tif" in warning
        for warning in chips.account.warnings
    )


def test_folders_that_share_no_name_and_differ_in_number_are_refused(tmp_path: Path) -> None:
    pair_builders.change_pairs(tmp_path)
    rename(tmp_path / "images2", "after_")
    (tmp_path / "images2" / "after_0.tif").unlink()
    assert "4 images in" in refusal(tmp_path)
    assert "share no name (000000000000.tif, after_1.tif), and as their numbers differ" in refusal(tmp_path)


def test_chips_that_lack_a_date_or_a_label_are_dropped(tmp_path: Path) -> None:
    pair_builders.change_pairs(tmp_path, count=5)
    (tmp_path / "images2" / "000000000001.tif").unlink()
    (tmp_path / "labels" / "000000000003.tif").unlink()
    account = read_chips(tmp_path).account
    assert account.dropped == {"no label file": ["000000000003.tif"], "no second image": ["000000000001.tif"]}
    assert not any("Ignored" in warning for warning in account.warnings)


def test_labels_must_be_there(tmp_path: Path) -> None:
    pair_builders.change_pairs(tmp_path)
    for path in (tmp_path / "labels").iterdir():
        path.unlink()
    (tmp_path / "labels").rmdir()
    assert "has a label in" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("folder", "shape", "dtype", "sentence"),
    [
        ("images2", (4, 32, 32), "uint8", "images has 3 bands of uint8, images2 has 4 bands of uint8"),
        ("images2", (3, 32, 32), "uint16", "images has 3 bands of uint8, images2 has 3 bands of uint16"),
        ("images2", (3, 64, 64), "uint8", "4 pairs of images that differ in size"),
        ("labels", (16, 32), "uint8", "a label of 32 x 16 pixels under an image of 32 x 32"),
    ],
)
def test_dates_and_labels_must_be_alike(tmp_path: Path, folder: str, shape: tuple[int, ...], dtype: str, sentence: str) -> None:
    pair_builders.change_pairs(tmp_path)
    for path in list((tmp_path / folder).iterdir()):
        builders.write_raster(path, np.ones(shape, dtype))
    assert sentence in refusal(tmp_path)


def test_the_value_that_labels_use_is_the_class_s(tmp_path: Path) -> None:
    chips = read_chips(pair_builders.change_pairs(tmp_path, value=255, classes=[(1, "New building")]))
    assert [(info.value, info.name) for info in chips.classes] == [(255, "New building")]
    assert any("hold 255 for change, the metadata say 1" in warning for warning in chips.account.warnings)


@pytest.mark.parametrize("value", [1, 255])
def test_without_classes_in_the_metadata_there_is_one_of_change(tmp_path: Path, value: int) -> None:
    chips = read_chips(pair_builders.change_pairs(tmp_path, value=value, esri=False))
    assert [(info.value, info.name) for info in chips.classes] == [(value, "Change")]


def test_no_change_is_a_class_only_where_the_export_names_it(tmp_path: Path) -> None:
    chips = read_chips(pair_builders.change_pairs(tmp_path, classes=[(0, "Same"), (1, "Other")]))
    assert [(info.value, info.name) for info in chips.classes] == [(0, "Same"), (1, "Other")]


def test_every_value_but_0_is_change(tmp_path: Path) -> None:
    pair_builders.change_pairs(tmp_path, count=2, classes=[(1, "Built"), (2, "Gone")])
    label = np.zeros((32, 32), "uint8")
    label[0], label[1] = 1, 2
    relabel(tmp_path, 0, label)
    chips = read_chips(tmp_path)
    assert [(info.value, info.name) for info in chips.classes] == [(1, "Change")]
    assert chips.chips[0].pixels == ((0, 30 * 32), (1, 2 * 32))
    assert any("name 2 classes (Built and Gone)" in warning for warning in chips.account.warnings)
    assert any("hold 2 values beside 0 (1 and 2); all of them count" in warning for warning in chips.account.warnings)


def test_nodata_of_a_label_is_no_change(tmp_path: Path) -> None:
    pair_builders.change_pairs(tmp_path, count=1)
    label = np.full((32, 32), 255, "uint8")
    label[0] = 1
    relabel(tmp_path, 0, label, nodata=255)
    assert read_chips(tmp_path).chips[0].pixels == ((1, 32), (255, 31 * 32))


def test_pairs_without_any_change_load_with_a_word(tmp_path: Path) -> None:
    pair_builders.change_pairs(tmp_path, count=3)
    for index in range(3):
        relabel(tmp_path, index, np.zeros((32, 32), "uint8"))
    assert any("3 of 3 chips without any class" in warning for warning in read_chips(tmp_path).account.warnings)


@pytest.mark.parametrize("esri", [True, False], ids=["metadata in each", "no metadata"])
def test_train_and_val_are_read_as_one_set(tmp_path: Path, esri: bool) -> None:
    for name, count in (("train", 4), ("val", 2)):
        pair_builders.change_pairs(tmp_path / name, count=count, names=("images_before", "images_after"), seed=count, esri=esri)
    (tmp_path / "val" / "images_after" / "000000000001.tif").unlink()
    chips = read_chips(tmp_path)
    assert [chip.name for chip in chips.chips[3:]] == ["train/000000000003", "val/000000000000"]
    assert chips.account.dropped == {"no second image": ["val/000000000001.tif"]}
    assert chips.statistics.source == "computed"
    assert len(chips.chips) == chips.account.kept == 5
    assert any("train and val are read as one set" in warning for warning in chips.account.warnings)


def test_train_and_val_under_the_metadata_of_all(tmp_path: Path) -> None:
    for name in ("train", "val"):
        pair_builders.change_pairs(tmp_path / name, esri=False)
    pair_builders.change_pairs(tmp_path / "other", value=9)
    for path in (tmp_path / "other").glob("esri*"):
        path.rename(tmp_path / path.name)
    chips = read_chips(tmp_path)
    assert (len(chips), chips.format, chips.classes[0].name) == (8, "ChangeDetection", "Change")


def test_a_folder_of_the_export_points_to_the_folder_above(tmp_path: Path) -> None:
    pair_builders.change_pairs(tmp_path, names=("images_before", "images_after"))
    assert f"give the folder above it, {tmp_path}" in refusal(tmp_path / "images_after")


def test_metadata_that_say_classified_tiles_without_second_images_are_no_pairs(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=2)
    assert read_chips(tmp_path).format == "Classified_Tiles"


@pytest.mark.parametrize(("folder", "count"), [("change_naip", 105), ("change_levir", 24)])
def test_real_pairs(data: Path, folder: str, count: int) -> None:
    chips = read_chips(data / folder)
    assert (chips.format, len(chips), chips.tile_size) == ("ChangeDetection", count, (128, 128))
    assert [(info.value, info.name) for info in chips.classes] == [(1, "Change")]
    assert chips.account.dropped == {}
    totals = json.loads((data / folder / "esri_accumulated_stats.json").read_text(encoding="utf-8"))
    changed = sum(dict(chip.pixels).get(1, 0) for chip in chips.chips)
    assert changed == totals["ClassPixelStats"]["NumPixelsPerClass"][0]
    assert chips.second is not None
    assert chips.second.statistics.mean == pytest.approx([band["M1"] for band in totals["BandStatsState2"]])
