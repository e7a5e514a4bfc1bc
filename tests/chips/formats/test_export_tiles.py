from __future__ import annotations

from pathlib import Path

import builders
import numpy as np
import pair_builders
import pytest

from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.chips.statistics import computed
from chipwright.errors import DataError


def name(index: int) -> str:
    return f"{index:012d}.tif"


def test_images_alone_are_chips_without_classes(tmp_path: Path) -> None:
    chips = read_chips(pair_builders.export_tiles(tmp_path, count=3, bands=4, dtype="uint16"))
    assert (chips.format, len(chips), chips.classes, chips.second) == ("Export_Tiles", 3, (), None)
    assert (chips.dtype, len(chips.bands), chips.tile_size) == ("uint16", 4, (32, 32))
    assert all(len(chip.images) == 1 and chip.label is None for chip in chips.chips)
    assert chips.account.warnings == []


def test_second_images_are_described_apart(tmp_path: Path) -> None:
    chips = read_chips(pair_builders.export_tiles(tmp_path, second_bands=2, second_dtype="uint16"))
    second = chips.second
    assert second is not None
    assert (len(chips.bands), chips.dtype) == (3, "uint8")
    assert (second.bands, second.dtype, second.tile_size) == (("Yellow", "CoastalBlue"), "uint16", (32, 32))
    paths = [chip.images[1] for chip in chips.chips]
    assert [path.parent.name for path in paths] == ["images2"] * 4
    expected = computed(paths, None).statistics()
    assert second.statistics.source == "export"
    assert second.statistics.mean == pytest.approx(expected.mean)
    assert second.statistics.std == pytest.approx(expected.std)
    assert chips.account.warnings == []


def test_statistics_of_second_images_are_computed_where_the_export_has_none(tmp_path: Path) -> None:
    chips = read_chips(pair_builders.export_tiles(tmp_path, second_bands=2, statistics=False))
    assert chips.second is not None
    assert chips.second.statistics == computed([chip.images[1] for chip in chips.chips], None).statistics()
    assert any("no band statistics of the second images" in warning for warning in chips.account.warnings)


def test_each_image_has_its_own_nodata(tmp_path: Path) -> None:
    chips = read_chips(pair_builders.export_tiles(tmp_path, second_bands=1, nodata=(None, 7)))
    reader, chip = ChipReader.of(chips), chips.chips[0]
    assert reader.valid(chip, 0) is None
    valid = reader.valid(chip, 1)
    assert valid is not None
    assert not valid[:8, :8].any()
    assert chips.second is not None
    assert (chips.nodata, chips.second.nodata) == (None, 7)
    assert chips.second.statistics.minimum[0] > 7  # the export's figures took 7 for a measurement
    assert any("the second images took the nodata value 7" in warning for warning in chips.account.warnings)


def test_chips_without_a_partner_are_dropped_and_partners_without_a_chip_said(tmp_path: Path) -> None:
    pair_builders.export_tiles(tmp_path, second_bands=3)
    (tmp_path / "images2" / name(1)).unlink()
    (tmp_path / "images" / name(2)).unlink()
    account = read_chips(tmp_path).account
    assert account.kept == 2
    assert account.dropped == {"no second image": [name(1)]}
    assert any(f"Ignored 1 second image without an image ({name(2)})" in warning for warning in account.warnings)


def test_no_partner_at_all_is_refused(tmp_path: Path) -> None:
    pair_builders.export_tiles(tmp_path, second_bands=3)
    for path in (tmp_path / "images2").iterdir():
        path.rename(path.with_stem(f"b{path.stem}"))
    with pytest.raises(DataError, match=r"None of the 4 chips in .*images has a second image in .*images2 \(it holds 4 \.tif"):
        read_chips(tmp_path)


def test_pairs_of_different_sizes_are_refused(tmp_path: Path) -> None:
    pair_builders.export_tiles(tmp_path, second_bands=3)
    builders.write_raster(tmp_path / "images2" / name(1), np.zeros((3, 64, 64), "uint8"))
    sentence = "1 pair of images that differ in size (000000000001; 000000000001 has 32 x 32 pixels in images and 64 x 64 in"
    with pytest.raises(DataError) as found:
        read_chips(tmp_path)
    assert sentence in str(found.value)


def test_second_images_must_be_alike_among_themselves(tmp_path: Path) -> None:
    pair_builders.export_tiles(tmp_path, second_bands=3)
    builders.write_raster(tmp_path / "images2" / name(1), np.zeros((4, 32, 32), "uint8"))
    with pytest.raises(DataError, match=r"The chips in .*images2 differ in their number of bands: 3 chips with 3, 1 with 4"):
        read_chips(tmp_path)


def test_thematic_rasters_are_labels(tmp_path: Path) -> None:
    chips = read_chips(pair_builders.thematic_tiles(tmp_path))
    assert (chips.format, chips.second) == ("Export_Tiles", None)
    assert [info.value for info in chips.classes] == [1, 2]
    chip = chips.chips[1]
    assert chip.label == tmp_path / "labels" / name(1)
    assert dict(chip.pixels)[1] == (ChipReader.of(chips).label(chip) == 1).sum()


def test_thematic_rasters_are_checked_as_labels(tmp_path: Path) -> None:
    pair_builders.thematic_tiles(tmp_path)
    (tmp_path / "labels" / name(0)).unlink()
    assert read_chips(tmp_path).account.dropped == {"no label file": [name(0)]}
    builders.write_raster(tmp_path / "labels" / name(1), np.ones((16, 32), "uint8"))
    with pytest.raises(DataError, match="label of 32 x 16 pixels under an image of 32 x 32"):
        read_chips(tmp_path)


def test_second_images_go_before_labels(tmp_path: Path) -> None:
    pair_builders.export_tiles(tmp_path, second_bands=3)
    builders.write_raster(tmp_path / "labels" / name(0), np.ones((32, 32), "uint8"))
    chips = read_chips(tmp_path)
    assert all(chip.label is None and len(chip.images) == 2 for chip in chips.chips)
    assert any("labels is not used: it holds 1 .tif file" in warning for warning in chips.account.warnings)


@pytest.mark.parametrize("files", [[], ["0.xml"]], ids=["empty", "other files"])
def test_a_folder_of_labels_without_rasters_changes_nothing(tmp_path: Path, files: list[str]) -> None:
    pair_builders.export_tiles(tmp_path)
    (tmp_path / "labels").mkdir()
    for file in files:
        (tmp_path / "labels" / file).touch()
    chips = read_chips(tmp_path)
    assert len(chips) == 4
    assert len(chips.account.warnings) == len(files)


def test_no_image_at_all_is_refused(tmp_path: Path) -> None:
    pair_builders.export_tiles(tmp_path)
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="images holds no chips: it is empty"):
        read_chips(tmp_path)


@pytest.mark.parametrize(
    ("folder", "count", "size", "bands"), [("export_tiles_naip", 80, 128, 0), ("pix2pix_naip", 40, 256, 3)]
)
def test_real_tiles(data: Path, folder: str, count: int, size: int, bands: int) -> None:
    chips = read_chips(data / folder)
    assert (chips.format, len(chips), chips.tile_size) == ("Export_Tiles", count, (size, size))
    assert (chips.account.dropped, chips.account.warnings) == ({}, [])
    assert len(chips.second.bands if chips.second else ()) == bands


def test_real_second_images_have_the_bands_and_statistics_of_the_export(data: Path) -> None:
    second = read_chips(data / "pix2pix_naip").second
    assert second is not None
    assert second.bands == ("NearInfrared", "Red", "Green")
    assert second.statistics.mean == pytest.approx((135.16025, 100.464715, 116.359133))
