from __future__ import annotations

from pathlib import Path

import builders
import numpy as np
import pytest
import rasterio

from chipwright.chips.formats.esri import entries_of
from chipwright.chips.formats.georeference import crs_text, locate, read_side_car, read_world_file

PICTURE = np.arange(3 * 12 * 16, dtype="uint8").reshape(3, 12, 16)
TILTED = (0.5, 0.25, 1000.0, 0.125, -0.75, 2000.0)


def located(path: Path) -> tuple[object, object]:
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO"), rasterio.open(path) as file:
        return locate(file, path, entries_of(path.parent))


def test_a_geotiff_says_where_it_lies(tmp_path: Path) -> None:
    path = builders.write_raster(tmp_path / "0.tif", PICTURE, transform=TILTED, crs="EPSG:32633", nodata=7)
    where, nodata = located(path)
    assert (where.transform, where.crs, where.width, where.height, nodata) == (TILTED, "EPSG:32633", 16, 12, 7)


def test_a_raster_without_coordinates_lies_nowhere(tmp_path: Path) -> None:
    assert located(builders.write_raster(tmp_path / "0.jpg", PICTURE)) == (None, None)


@pytest.mark.parametrize(("suffix", "world"), [("jpg", "jgw"), ("png", "pgw"), ("tif", "tfw"), ("jpg", "jpgw"), ("png", "wld")])
def test_world_files_are_read_as_gdal_reads_them(tmp_path: Path, suffix: str, world: str) -> None:
    path = builders.write_raster(tmp_path / f"0.{suffix}", PICTURE)
    (tmp_path / f"0.{world}").write_text("0.5\n0.125\n0.25\n-0.75\n1000.375\n1999.6875\n")
    found = read_world_file(path, entries_of(tmp_path))
    assert found == pytest.approx(TILTED)
    if world in ("jgw", "pgw", "tfw"):
        with rasterio.open(path) as file:
            assert found == pytest.approx(tuple(file.transform)[:6])


@pytest.mark.parametrize("text", ["", "1\n2\n", "a\nb\nc\nd\ne\nf\n", "0\n0\n0\n0\n5\n5\n", "nan\n0\n0\n1\n0\n0\n"])
def test_a_broken_world_file_counts_for_nothing(tmp_path: Path, text: str) -> None:
    path = builders.write_raster(tmp_path / "0.jpg", PICTURE)
    (tmp_path / "0.jgw").write_text(text)
    assert read_world_file(path, entries_of(tmp_path)) is None


def test_the_aux_xml_adds_coordinate_system_and_nodata(tmp_path: Path) -> None:
    path = builders.write_raster(tmp_path / "0.jpg", PICTURE)
    (tmp_path / "0.jgw").write_text("10\n0\n0\n-10\n5\n-5\n")
    wkt = rasterio.crs.CRS.from_epsg(26914).to_wkt().replace('"', "&quot;")
    (tmp_path / "0.jpg.aux.xml").write_text(
        f'<PAMDataset><SRS dataAxisToSRSAxisMapping="1,2">{wkt}</SRS>'
        '<PAMRasterBand band="1"><NoDataValue le_hex_equiv="00">9</NoDataValue></PAMRasterBand></PAMDataset>'
    )
    where, nodata = located(path)
    assert (where.transform, where.crs, nodata) == ((10, 0, 0, 0, -10, 0), "EPSG:26914", 9)


def test_the_geotransform_of_an_aux_xml_is_understood(tmp_path: Path) -> None:
    (tmp_path / "a.aux.xml").write_text(
        "<PAMDataset><GeoTransform> 1000, 0.5, 0.25, 2000, 0.125, -0.75</GeoTransform></PAMDataset>"
    )
    assert read_side_car(tmp_path / "a.aux.xml").transform == TILTED


def test_a_coordinate_system_that_is_none_is_left_out() -> None:
    assert crs_text("PROJCS[nonsense") is None


def test_real_chips_lie_where_gdal_says(data: Path) -> None:
    for folder in ("voc_palm", "classified_naip4"):
        path = sorted(path for path in (data / folder / "images").iterdir() if path.suffix in (".jpg", ".tif"))[0]
        where, _ = located(path)
        with rasterio.open(path) as file:
            assert where.transform == pytest.approx(tuple(file.transform)[:6])
            assert where.bounds == pytest.approx(tuple(file.bounds))
            assert where.crs == file.crs.to_string()
