"""Roads of a raster as lines in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from map_builders import CELL, LEFT, TOP, echo

from chipwright.errors import OptionError
from chipwright.prediction.road_lines import raster_road_lines


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    """A crossing of two roads, 5 pixels wide, of class index 1; a patch of index 2."""
    pixels = np.zeros((160, 200), np.uint8)
    pixels[78:83], pixels[:, 98:103] = 1, 1
    pixels[10:30, 10:30] = 2
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "height": 160, "width": 200, "crs": "EPSG:32633"}
    with rasterio.open(tmp_path / "in.tif", "w", **profile, transform=rasterio.transform.from_origin(LEFT, TOP, 2, 2)) as file:
        file.write(pixels, 1)
    return tmp_path / "in.tif"


def test_roads_are_four_lines_on_the_map_that_meet_at_the_crossing(raster: Path, tmp_path: Path) -> None:
    out = tmp_path / "roads.gpkg"
    lines = raster_road_lines(echo(3, 7), raster, out, class_value=3)
    crossing = shapely.Point(LEFT + CELL * 100.5, TOP - CELL * 80.5)
    assert len(lines) == 4
    assert all(line.distance(crossing) < 2 * CELL for line in lines)
    assert sum(line.length for line in lines) == pytest.approx(CELL * (160 + 200), rel=0.03)
    meta, _, wkb, (lengths,) = pyogrio.raw.read(out)
    assert meta["crs"] == "EPSG:32633"
    np.testing.assert_allclose(lengths, shapely.length(shapely.from_wkb(wkb)))
    assert len(wkb) == 4


def test_geojson_is_in_longitude_and_latitude(raster: Path, tmp_path: Path) -> None:
    out = tmp_path / "roads.geojson"
    raster_road_lines(echo(3, 7), raster, out, class_value=3)
    _, _, wkb, (lengths,) = pyogrio.raw.read(out)
    west, south, east, north = shapely.total_bounds(shapely.from_wkb(wkb))
    assert 14.9 < west < east < 15.1
    assert 45.1 < south < north < 45.2
    assert lengths.sum() == pytest.approx(CELL * (160 + 200), rel=0.03)  # still metres


def test_a_raster_without_roads_gives_an_empty_file(raster: Path, tmp_path: Path) -> None:
    with rasterio.open(raster, "r+") as file:
        file.write(np.zeros((160, 200), np.uint8), 1)
    assert raster_road_lines(echo(3), raster, tmp_path / "none.gpkg") == []
    assert len(pyogrio.raw.read(tmp_path / "none.gpkg")[2]) == 0


@pytest.mark.filterwarnings("error:'crs' was not provided")
@pytest.mark.parametrize("suffix", ["gpkg", "geojson"])
def test_a_raster_without_a_place_gives_lines_in_its_pixels_rows_downwards(tmp_path: Path, suffix: str) -> None:
    pixels = np.zeros((100, 120), np.uint8)
    pixels[48:53] = 1
    with rasterio.open(tmp_path / "in.png", "w", driver="PNG", count=1, dtype="uint8", height=100, width=120) as file:
        file.write(pixels, 1)
    (line,) = raster_road_lines(echo(3), tmp_path / "in.png", tmp_path / f"roads.{suffix}")
    assert line.bounds == pytest.approx((0, -50, 120, -50), abs=6)
    assert len(pyogrio.raw.read(tmp_path / f"roads.{suffix}")[2]) == 1


def test_of_several_classes_the_roads_must_be_named(raster: Path) -> None:
    with pytest.raises(OptionError, match=r"3 \(Class 3\) and 7 \(Class 7\)\. Say which are roads"):
        raster_road_lines(echo(3, 7), raster)
    with pytest.raises(OptionError, match="no class of value 5"):
        raster_road_lines(echo(3, 7), raster, class_value=5)


def test_other_files_are_refused_before_anything_is_computed(raster: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"\.gpkg, \.geojson and \.json, not \.shp"):
        raster_road_lines(echo(3), raster, tmp_path / "roads.shp")
    assert not (tmp_path / "roads.shp").exists()
