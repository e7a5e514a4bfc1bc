from __future__ import annotations

from pathlib import Path

import builders
import numpy as np
import pytest
import rasterio

from chipwright.chips.formats import survey as module
from chipwright.chips.formats.esri import Export, entries_of, open_export
from chipwright.chips.formats.pairing import IMAGE_SUFFIXES, paired
from chipwright.chips.formats.survey import UNREADABLE, Surveyed, check_mrf, check_size, check_type, survey, value_counts
from chipwright.errors import DataError


def opened(folder: Path) -> Export:
    return open_export(folder, folder, entries_of(folder))


def surveyed(export: Export) -> list[Surveyed]:
    samples = paired(export, export.root / "images", export.root / "labels", IMAGE_SUFFIXES)
    return survey(export, samples, raster_labels=True)


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


@pytest.mark.parametrize("decoded", [2**40, -1], ids=["whole", "last block"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("suffix", ["tif", "jpg", "png"])
def test_a_file_that_was_cut_short_is_dropped_and_named(
    tmp_path: Path, suffix: str, share: float, decoded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DECODED", decoded)
    builders.classified_tiles(tmp_path, count=5, size=96, image_suffix=suffix)
    cut(tmp_path / "images" / f"000000000002.{suffix}", share)
    export = opened(tmp_path)
    assert len(surveyed(export)) == 4
    assert export.account.dropped == {UNREADABLE: [f"000000000002.{suffix}"]}


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_a_chip_whose_label_was_cut_short_is_dropped(tmp_path: Path, suffix: str) -> None:
    builders.classified_tiles(tmp_path, count=5, label_suffix=suffix)
    cut(tmp_path / "labels" / f"000000000001.{suffix}", 0.5)
    export = opened(tmp_path)
    assert len(surveyed(export)) == 4
    assert export.account.dropped == {UNREADABLE: [f"000000000001.{suffix}"]}


def test_damage_in_the_middle_of_a_compressed_tiff_is_found(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=5)
    path = tmp_path / "images" / "000000000000.tif"
    rng = np.random.default_rng(0)
    builders.write_raster(path, rng.integers(0, 255, (3, 64, 64), dtype="uint8"), compress="deflate")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    path.write_bytes(content)
    export = opened(tmp_path)
    assert len(surveyed(export)) == 4


def test_a_text_file_named_as_a_chip_is_dropped(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=5)
    (tmp_path / "images" / "000000000004.tif").write_text("no picture")
    export = opened(tmp_path)
    surveyed(export)
    assert export.account.dropped == {UNREADABLE: ["000000000004.tif"]}


def test_a_chip_that_claims_a_size_no_memory_holds_is_not_decoded(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=5)
    path = tmp_path / "images" / "000000000004.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=200_000, height=200_000, count=3, dtype="uint8", SPARSE_OK="TRUE", tiled=True
    ):
        pass
    export = opened(tmp_path)
    assert len(surveyed(export)) == 4
    assert export.account.dropped == {UNREADABLE: ["000000000004.tif"]}


def test_a_fifth_may_be_damaged_and_more_may_not(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=10)
    for index in range(2):
        cut(tmp_path / "images" / f"{index:012d}.tif", 0.5)
    assert len(surveyed(opened(tmp_path))) == 8
    cut(tmp_path / "images" / "000000000002.tif", 0.5)
    with pytest.raises(DataError, match=r"3 of 10 chips in .* cannot be read \(000000000000.tif, 000000000001.tif and"):
        surveyed(opened(tmp_path))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "uint32", "float32", "float64"])
@pytest.mark.parametrize("suffix", ["tif", "mrf"])
def test_size_bands_and_pixel_type_are_the_files(tmp_path: Path, dtype: str, suffix: str) -> None:
    builders.classified_tiles(tmp_path, count=1, bands=5, dtype=dtype, image_suffix=suffix, size=48)
    facts = surveyed(opened(tmp_path))[0].images[0]
    assert (facts.size, facts.bands, facts.dtype) == ((48, 48), 5, dtype)


def test_complex_pixels_are_refused(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=1)
    builders.write_raster(tmp_path / "images" / "000000000000.tif", np.zeros((1, 64, 64), "complex64"))
    with pytest.raises(DataError, match="complex64"):
        surveyed(opened(tmp_path))


@pytest.mark.parametrize(
    ("dtype", "declared", "kept"), [("float32", float("nan"), None), ("uint8", 0, 0), ("int16", -9999, -9999)]
)
def test_nodata_is_kept_where_a_pixel_can_equal_it(tmp_path: Path, dtype: str, declared: float, kept: float | None) -> None:
    builders.classified_tiles(tmp_path, count=1, dtype=dtype, nodata=declared)
    assert surveyed(opened(tmp_path))[0].images[0].nodata == kept


def test_chips_that_differ_are_named_with_what_they_have(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=5)
    builders.write_raster(tmp_path / "images" / "000000000003.tif", np.zeros((4, 64, 32), "uint8"))
    export = opened(tmp_path)
    found = surveyed(export)
    with pytest.raises(DataError, match=r"4 chips with 3, 1 with 4 \(000000000003\)"):
        check_type(export, found)
    with pytest.raises(DataError, match=r"4 chips with 64 x 64, 1 with 32 x 64 \(000000000003\)"):
        check_size(export, found)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "int64"])
def test_values_are_counted_as_numpy_counts_them(dtype: str) -> None:
    label = np.random.default_rng(0).integers(0, 120, (40, 50)).astype(dtype)
    values, counts = np.unique(label, return_counts=True)
    assert value_counts(label) == tuple(zip(values.tolist(), counts.tolist(), strict=True))


def test_no_file_is_written_beside_the_chips(tmp_path: Path) -> None:
    builders.classified_tiles(tmp_path, count=3, image_suffix="jpg", georeferenced=True)
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    surveyed(opened(tmp_path))
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "inner",
    [
        "<CachedSource><Source>/data/b.tif</Source></CachedSource>",
        "<Raster><DataFile>../b.pzp</DataFile></Raster>",
        '<Raster indexfile="C:b.idx"/>',
        "<a:DataFile xmlns:a='b'>\\\\server\\b</a:DataFile>",
        "<Raster>",
        "<!-- never closed",
    ],
)
def test_an_mrf_that_names_files_elsewhere_is_not_opened(inner: str) -> None:
    with pytest.raises(ValueError, match=r"the MRF names a file elsewhere|header of the MRF cannot be read"):
        check_mrf(f"<MRF_META xmlns='c'>{inner}</MRF_META>".encode())


def test_an_mrf_may_name_the_files_beside_it() -> None:
    check_mrf(b"<MRF_META><Raster><DataFile>b.pzp</DataFile><IndexFile>b.idx</IndexFile></Raster></MRF_META>")
