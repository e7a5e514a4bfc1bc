from __future__ import annotations

import json
from pathlib import Path

import builders
import numpy as np
import pytest
import rasterio

from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.errors import DataError


def relabel(folder: Path, index: int, label: np.ndarray, **options: object) -> None:
    builders.write_raster(folder / "labels" / f"{index:012d}.tif", label, **options)


def edit(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}), encoding="utf-8")


def edit_metadata(folder: Path, **changes: object) -> None:
    edit(folder / "esri_model_definition.emd", **changes)
    edit(folder / "esri_accumulated_stats.json", **changes)


@pytest.mark.parametrize("suffix", ["tif", "jpg", "png", "mrf"])
def test_what_was_written_is_read(tmp_path: Path, suffix: str) -> None:
    builders.classified_tiles(
        tmp_path, count=5, size=48, class_values=(1, 4), image_suffix=suffix, georeferenced=suffix == "tif"
    )
    chips = read_chips([tmp_path])
    assert (chips.format, chips.dtype, chips.tile_size) == ("Classified_Tiles", "uint8", (48, 48))
    assert [(info.value, info.name, info.color) for info in chips.classes] == [
        (1, "Water", builders.COLORS[0]),
        (4, "Forest", builders.COLORS[1]),
    ]
    assert chips.bands == ("Red", "Green", "Blue")
    assert [chip.name for chip in chips.chips] == [f"{index:012d}" for index in range(5)]
    assert (chips.account.kept, chips.account.dropped, chips.account.warnings) == (5, {}, [])
    chip = chips.chips[3]
    with rasterio.open(tmp_path / "labels" / "000000000003.tif") as file:
        label = file.read(1)
    assert chip.pixels == tuple((value, int((label == value).sum())) for value in (0, 1, 4))
    assert (ChipReader(None).label(chip) == label).all()


def test_georeferenced_chips_lie_where_they_were_put(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=12, georeferenced=True, overlap=16, image_suffix="png")
    chips = read_chips([tmp_path])
    assert chips.image_space == "MAP_SPACE"
    where = chips.chips[11].georeference
    assert where is not None
    assert where.transform == pytest.approx(builders.place(11, 64, 16)["transform"])


@pytest.mark.parametrize("label_dtype", ["uint8", "uint16", "int16", "int32", "float32"])
def test_class_values_are_counted_in_any_label_type(tmp_path: Path, label_dtype: str) -> None:
    builders.classified_tiles(tmp_path, count=2, class_values=(1, 120), label_dtype=label_dtype)
    chip = read_chips([tmp_path]).chips[0]
    assert [value for value, _ in chip.pixels] == [0, 1, 120]
    assert ChipReader(None).label(chip).dtype.kind in "iu"


def test_palette_labels_are_read_as_indices(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=1)
    label = np.zeros((64, 64), "uint8")
    label[:8] = 2
    relabel(tmp_path, 0, label, colormap={0: (0, 0, 0), 1: (9, 9, 9), 2: (200, 100, 50)})
    assert read_chips([tmp_path]).chips[0].pixels == ((0, 56 * 64), (2, 8 * 64))


def test_a_label_of_several_bands_is_refused(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=2)
    relabel(tmp_path, 1, np.zeros((3, 64, 64), "uint8"))
    with pytest.raises(DataError, match=r"1 label raster with more than one band \(000000000001\)"):
        read_chips([tmp_path])


def test_a_label_of_another_size_is_refused(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=2)
    relabel(tmp_path, 1, np.zeros((64, 32), "uint8"))
    with pytest.raises(DataError, match=r"label of 32 x 64 pixels under an image of 64 x 64"):
        read_chips([tmp_path])


def test_unknown_values_are_named_with_their_chips(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=3)
    relabel(tmp_path, 1, np.full((64, 64), 9, "uint8"))
    chips = read_chips([tmp_path])
    assert len(chips) == 3
    assert any("1 label with values that are no class: 9 (000000000001)" in warning for warning in chips.account.warnings)


def test_nodata_of_a_label_is_no_unknown_value(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=2)
    label = np.full((64, 64), 255, "uint8")
    label[:9] = 1
    relabel(tmp_path, 1, label, nodata=255)
    assert read_chips([tmp_path]).account.warnings == []


def test_labels_without_any_known_class_are_refused(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=2)
    for index in range(2):
        relabel(tmp_path, index, np.full((64, 64), 255, "uint8"))
    with pytest.raises(DataError, match="hold the values 255, and none of them is a class of the export \\(1 and 2\\)"):
        read_chips([tmp_path])


def test_chips_of_background_only_load_with_a_word(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=2)
    for index in range(2):
        relabel(tmp_path, index, np.zeros((64, 64), "uint8"))
    assert any("2 of 2 chips without any class" in warning for warning in read_chips([tmp_path]).account.warnings)


def test_without_classes_in_the_metadata_label_values_are_taken(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=2, class_values=(3, 7))
    edit_metadata(tmp_path, Classes=...)
    chips = read_chips([tmp_path])
    assert [(info.value, info.name) for info in chips.classes] == [(3, "3"), (7, "7")]
    assert any("name no classes" in warning for warning in chips.account.warnings)


def test_value_0_is_a_class_only_where_the_export_names_it(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=2)
    edit(tmp_path / "esri_model_definition.emd", Classes=[{"Value": 0, "Name": "Ground"}, {"Value": 1, "Name": "Water"}])
    assert [info.value for info in read_chips([tmp_path]).classes] == [0, 1, 2]


def test_metadata_that_contradict_the_chips_are_said_and_the_chips_count(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=2, bands=4)
    edit(tmp_path / "esri_accumulated_stats.json", NumBands=3, TileSizeX=256)
    chips = read_chips([tmp_path])
    assert (len(chips.bands), chips.tile_size) == (4, (64, 64))
    assert any("say 3 bands, the chips have 4" in warning for warning in chips.account.warnings)
    assert any("say 256 x 64 pixels, the chips have 64 x 64" in warning for warning in chips.account.warnings)


def test_facts_of_the_export_are_kept_under_their_names(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=2, extra={"MinCellSize": {"x": 5, "y": 5}, "DimensionValues": "e.g. [1]"})
    metadata = read_chips([tmp_path]).metadata
    assert (metadata["MinCellSize"], metadata["CropTileMode"]) == ({"x": 5, "y": 5}, "Fixed_Size")
    assert "DimensionValues" not in metadata


def test_declared_nodata_is_the_set_s(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=3, dtype="uint16", nodata=0)
    chips = read_chips([tmp_path])
    assert chips.nodata == 0
    valid = ChipReader(chips.nodata).valid(chips.chips[0])
    assert valid is not None
    assert not valid[:8, :8].any()
    assert valid.sum() == 64 * 64 - 64
