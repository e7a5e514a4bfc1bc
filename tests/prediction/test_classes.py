"""Pixel classifiers on maps, with a network whose answer is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.shutil
import shapely
from map_builders import CELL, LEFT, TOP, Echo, counted, echo, model_of, raster_file, spec_for
from rasterio.windows import Window

from chipwright import api
from chipwright.chips.chipset import SecondImages
from chipwright.errors import DataError, OptionError
from chipwright.tasks.change import ChangeTask
from chipwright.tasks.edges import EdgeTask

TABLE = np.array([0, 3, 7, 9])
ONE = spec_for((1,)).statistics


def read(path: Path) -> Any:
    with rasterio.open(path) as file:
        return file.read(1)


@pytest.mark.parametrize("shape", [(64, 64), (65, 130), (200, 33), (17, 300), (256, 191)])
@pytest.mark.parametrize(("size", "padding"), [(None, None), (64, 0), (64, 8), (100, 40)])
def test_an_echo_comes_back_exactly_with_its_place(
    tmp_path: Path, shape: tuple[int, int], size: int | None, padding: int | None
) -> None:
    indices = counted(shape, 4)
    raster = raster_file(tmp_path / "in.tif", indices)
    done = api.predict(echo(3, 7, 9), raster, tmp_path / "out.tif", tile_size=size, padding=padding)
    with rasterio.open(tmp_path / "out.tif") as out, rasterio.open(raster) as source:
        np.testing.assert_array_equal(out.read(1), TABLE[indices])
        assert out.transform == source.transform
        assert out.crs == source.crs
        assert out.colormap(1)[7][:3] == (7, 0, 0)
        assert out.dtypes == ("uint8",)
        assert out.nodata == 255
    assert done.counts["Class 7"] == int((indices == 2).sum())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tif", "out.tif", "out.tif.aux.xml"]


@pytest.mark.parametrize("shape", [(130, 97), (64, 200)])
def test_ground_without_data_stays_so(tmp_path: Path, shape: tuple[int, int]) -> None:
    indices = counted(shape, 4)
    indices[:70, :70] = 99
    indices[::7, ::3] = 99
    api.predict(echo(3, 7, 9), raster_file(tmp_path / "in.tif", indices, nodata=99), tmp_path / "out.tif", padding=8)
    found = read(tmp_path / "out.tif")
    np.testing.assert_array_equal(found == 255, indices == 99)
    np.testing.assert_array_equal(found[indices < 4], TABLE[indices[indices < 4]])


def test_values_beyond_a_byte_have_a_wider_type(tmp_path: Path) -> None:
    indices = counted((40, 40), 3)
    api.predict(echo(300, 70000), raster_file(tmp_path / "in.tif", indices), tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as out:
        np.testing.assert_array_equal(out.read(1), np.array([0, 300, 70000])[indices])
        assert out.dtypes == ("int32",)


def test_a_rotated_raster_keeps_its_place(tmp_path: Path) -> None:
    turned = rasterio.Affine.translation(LEFT, TOP) * rasterio.Affine.rotation(30) * rasterio.Affine.scale(2, -2)
    raster = raster_file(tmp_path / "in.tif", counted((90, 110), 4), transform=turned)
    api.predict(echo(3, 7, 9), raster, tmp_path / "out.tif", polygons=tmp_path / "out.gpkg")
    with rasterio.open(tmp_path / "out.tif") as out:
        assert out.transform.almost_equals(turned)
    shapes = shapely.from_wkb(pyogrio.raw.read(tmp_path / "out.gpkg")[2])
    corners = shapely.Polygon([turned * corner for corner in ((0, 0), (110, 0), (110, 90), (0, 90))])
    assert corners.buffer(1e-6).covers(shapely.union_all(shapes))


def test_a_picture_without_a_place_gives_one_without(tmp_path: Path) -> None:
    indices = counted((50, 70), 4)
    raster = raster_file(tmp_path / "in.png", indices, located=False, driver="PNG")
    api.predict(echo(3, 7, 9), raster, tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as out:
        np.testing.assert_array_equal(out.read(1), TABLE[indices])
        assert out.crs is None
        assert out.transform == rasterio.Affine.identity()


def test_probabilities_are_bytes_by_class(tmp_path: Path) -> None:
    indices = counted((70, 66), 4)
    indices[:9] = 99
    raster = raster_file(tmp_path / "in.tif", indices, nodata=99)
    api.predict(echo(3, 7, 9), raster, tmp_path / "out.tif", probabilities=tmp_path / "p.tif")
    share = np.exp(5) / (np.exp(5) + 3)
    with rasterio.open(tmp_path / "p.tif") as file:
        found = file.read()
        assert [name.split(" (")[0] for name in file.descriptions] == ["Background", "Class 3", "Class 7", "Class 9"]
    for index in range(4):
        assert set(np.unique(found[index][indices == index])) == {round(254 * share)}
    assert (found[:, indices == 99] == 255).all()


def test_polygons_cover_each_class_across_windows(tmp_path: Path) -> None:
    indices = np.zeros((300, 200), np.uint8)
    indices[20:280, 30:60] = 1  # over several rows of windows
    indices[100:140, 100:190] = 2
    raster = raster_file(tmp_path / "in.tif", indices)
    done = api.predict(echo(3, 7), raster, tmp_path / "out.gpkg", tile_size=64, padding=0)
    meta, _, wkb, (values, names) = pyogrio.raw.read(tmp_path / "out.gpkg")
    assert done.counts == {"Class 3": 1, "Class 7": 1}
    assert dict(zip(values.tolist(), names.tolist(), strict=True)) == {3: "Class 3", 7: "Class 7"}
    by_value = dict(zip(values.tolist(), shapely.from_wkb(wkb), strict=True))
    assert by_value[3].equals(shapely.box(LEFT + 30 * CELL, TOP - 280 * CELL, LEFT + 60 * CELL, TOP - 20 * CELL))
    assert meta["crs"] == "EPSG:32633"


def test_an_extent_and_a_mask_limit_the_work(tmp_path: Path) -> None:
    indices = counted((200, 240), 4)
    raster = raster_file(tmp_path / "in.tif", indices)
    extent = (LEFT + 50 * CELL, TOP - 150 * CELL, LEFT + 120 * CELL, TOP - 30 * CELL)
    done = api.predict(echo(3, 7, 9), raster, tmp_path / "out.tif", extent=extent, tile_size=64, padding=8)
    with rasterio.open(tmp_path / "out.tif") as out:
        np.testing.assert_array_equal(out.read(1), TABLE[indices[30:150, 50:120]])
        assert out.bounds == extent
    assert done.pixels == 70 * 120
    triangle = shapely.Polygon([(LEFT, TOP), (LEFT + 199.5 * CELL, TOP), (LEFT, TOP - 199.5 * CELL)])
    pyogrio.raw.write(
        tmp_path / "mask.gpkg", shapely.to_wkb(np.array([triangle])), [], [], crs="EPSG:32633", geometry_type="Polygon"
    )
    api.predict(echo(3, 7, 9), raster, tmp_path / "masked.tif", mask=tmp_path / "mask.gpkg", padding=8)
    found = read(tmp_path / "masked.tif")
    rows, columns = np.mgrid[:200, :200] + 0.5
    inside = rows + columns < 200
    np.testing.assert_array_equal(found != 255, inside)
    np.testing.assert_array_equal(found[inside], TABLE[indices[:, :200]][inside])


def test_several_rasters_are_one(tmp_path: Path) -> None:
    indices = counted((100, 160), 4)
    (tmp_path / "parts").mkdir()
    for number, left in enumerate((0, 80)):
        place = rasterio.transform.from_origin(LEFT + left * CELL, TOP, CELL, CELL)
        raster_file(tmp_path / f"parts/{number}.tif", indices[:, left : left + 80], transform=place)
    api.predict(echo(3, 7, 9), tmp_path / "parts", tmp_path / "out.tif", tile_size=64, padding=8)
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), TABLE[indices])


def test_gdal_shows_statistics_and_the_attribute_table(tmp_path: Path) -> None:
    indices = counted((100, 100), 4)
    api.predict(echo(3, 7, 9), raster_file(tmp_path / "in.tif", indices), tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as out:
        tags = out.tags(1)
        values = TABLE[indices]
        assert float(tags["STATISTICS_MEAN"]) == pytest.approx(values.mean())
        assert float(tags["STATISTICS_STDDEV"]) == pytest.approx(values.std())
        assert out.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    table = (tmp_path / "out.tif.aux.xml").read_text()
    assert "<F>Class 7</F>" in table
    assert f"<F>{int((values == 7).sum())}</F>" in table


def test_interrupted_work_goes_on_and_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    indices = counted((300, 100), 4)
    raster, model = raster_file(tmp_path / "in.tif", indices), echo(3, 7, 9)
    given: dict[str, Any] = {"tile_size": 64, "padding": 8, "batch_size": 1}
    seen = []
    forward = type(model.network).forward

    def counting(self: Any, images: Any) -> Any:
        seen.append(len(images))
        if len(seen) == 7:
            raise KeyboardInterrupt
        return forward(self, images)

    monkeypatch.setattr(type(model.network), "forward", counting)
    with pytest.raises(KeyboardInterrupt):
        api.predict(model, raster, tmp_path / "out.tif", **given)
    assert not (tmp_path / "out.tif").exists()
    before = len(seen)
    done = api.predict(model, raster, tmp_path / "out.tif", **given)
    assert 0 < len(seen) - before < done.windows
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), TABLE[indices])
    assert not [path for path in tmp_path.iterdir() if "unfinished" in path.name]


def test_work_on_another_raster_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = echo(3, 7, 9)
    first = raster_file(tmp_path / "in.tif", counted((300, 100), 4))
    calls = iter([False, False, False, True])
    forward = type(model.network).forward

    def failing(self: Any, images: Any) -> Any:
        if next(calls, False):
            raise KeyboardInterrupt
        return forward(self, images)

    monkeypatch.setattr(type(model.network), "forward", failing)
    with pytest.raises(KeyboardInterrupt):
        api.predict(model, first, tmp_path / "out.tif", tile_size=64, padding=8, batch_size=1)
    other = counted((300, 100), 4, seed=1)
    api.predict(model, raster_file(tmp_path / "in2.tif", other), tmp_path / "out.tif", tile_size=64, padding=8, batch_size=1)
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), TABLE[other])


def test_bad_input_gets_one_sentence_and_nothing_is_left(tmp_path: Path) -> None:
    raster, model = raster_file(tmp_path / "in.tif", counted((80, 80), 4)), echo(3, 7, 9)
    two = raster_file(tmp_path / "two.tif", np.zeros((2, 80, 80), np.uint8))
    with pytest.raises(OptionError, match=r"is an input, which is never written to"):
        api.predict(model, raster, raster, overwrite=True)
    with pytest.raises(DataError, match=r"two.tif has 2 bands .* trained on 1"):
        api.predict(model, two, tmp_path / "out.tif")
    with pytest.raises(DataError, match="a second raster means nothing"):
        api.predict(model, raster, tmp_path / "out.tif", second=raster)
    with pytest.raises(OptionError, match=r"\.tif, \.tiff, \.gpkg, .* not \.jpg"):
        api.predict(model, raster, tmp_path / "out.jpg")
    with pytest.raises(OptionError, match="does not overlap the raster"):
        api.predict(model, raster, tmp_path / "out.tif", extent=(0, 0, 1, 1))
    with pytest.raises(OptionError, match="keeps nothing"):
        api.predict(model, raster, tmp_path / "out.tif", tile_size=32, padding=16)
    with pytest.raises(OptionError, match="A window of 64 pixels with 32 around what is kept keeps nothing"):
        api.predict(model, raster, tmp_path / "out.tif", padding=32)
    with pytest.raises(OptionError, match="labelled by classifiers"):
        api.predict(model, raster, tmp_path / "out.tif", features=raster)
    with pytest.raises(OptionError, match=r"out.tif is given for two results"):
        api.predict(model, raster, tmp_path / "out.tif", probabilities=tmp_path / "out.tif")
    with pytest.raises(OptionError, match=r"Probabilities are written as \.tif and \.tiff, not \.png"):
        api.predict(model, raster, tmp_path / "out.tif", probabilities=tmp_path / "p.png")
    (tmp_path / "old.tif").write_bytes(b"old")
    with pytest.raises(OptionError, match=r"exists\. .*--overwrite"):
        api.predict(model, raster, tmp_path / "old.tif")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tif", "old.tif", "two.tif"]


def test_windows_of_a_raster_can_be_read_of_what_comes_out(tmp_path: Path) -> None:
    """A Cloud Optimized GeoTIFF has tiles and overviews."""
    indices = np.repeat(np.repeat(counted((150, 150), 4), 8, 0), 8, 1)
    api.predict(echo(3, 7, 9), raster_file(tmp_path / "in.tif", indices), tmp_path / "out.tif", tile_size=512)
    with rasterio.open(tmp_path / "out.tif") as out:
        assert out.overviews(1)
        assert out.block_shapes == [(512, 512)]
        np.testing.assert_array_equal(out.read(1, window=Window(700, 300, 50, 60)), TABLE[indices[300:360, 700:750]])
        shrunk = out.read(1, out_shape=(600, 600))
        assert set(np.unique(shrunk)) <= set(TABLE.tolist())


def edges() -> Any:
    """An edge detector that is sure of pixels of 0."""
    fitted = {"side_weight": 0.5, "fuse_weight": 1.1, "negative": 1.1}
    return model_of(Echo(2), EdgeTask(spec_for((1,), fitted=fitted)), "HED_EDGEDETECTOR")


def test_work_at_another_threshold_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raster = raster_file(tmp_path / "in.tif", counted((300, 100), 2))
    model = edges()
    api.predict(model, raster, tmp_path / "whole.tif", tile_size=64, padding=8, threshold=0.95)
    forward, calls = Echo.forward, iter([False] * 6 + [True])

    def failing(self: Any, images: Any) -> Any:
        if next(calls, False):
            raise KeyboardInterrupt
        return forward(self, images)

    monkeypatch.setattr(Echo, "forward", failing)
    given: dict[str, Any] = {"tile_size": 64, "padding": 8, "batch_size": 1}
    with pytest.raises(KeyboardInterrupt):
        api.predict(model, raster, tmp_path / "out.tif", threshold=0.001, **given)
    api.predict(model, raster, tmp_path / "out.tif", threshold=0.95, **given)
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), read(tmp_path / "whole.tif"))


def test_probabilities_that_there_are_not_leave_nothing_behind(tmp_path: Path) -> None:
    raster = raster_file(tmp_path / "in.tif", counted((40, 40), 2))
    spec = spec_for((1,), second=SecondImages(bands=("Band_1",), dtype="uint8", tile_size=(64, 64), statistics=ONE))
    with pytest.raises(OptionError, match="gives no probabilities"):
        api.predict(
            model_of(Echo(1), ChangeTask(spec), "CHANGEDETECTOR"), raster, tmp_path / "out.tif", second=raster,
            probabilities=tmp_path / "p.tif", padding=8,
        )  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


def test_bands_in_another_order_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = echo(3, 7, 9, bands=2)
    raster = raster_file(tmp_path / "in.tif", np.stack([counted((40, 40), 4)] * 2))
    with rasterio.open(raster, "r+") as file:
        file.descriptions = ("band_2", "Band_1")
    api.predict(model, raster, tmp_path / "out.tif", padding=8)
    assert "in another order (band_2 and Band_1) than the training chips (Band_1 and Band_2)" in capsys.readouterr().err
    with rasterio.open(raster, "r+") as file:
        file.descriptions = ("Red", "Green")
    api.predict(model, raster, tmp_path / "more.tif", padding=8)
    assert "order" not in capsys.readouterr().err


def test_a_subdataset_is_read_by_the_name_that_is_told(tmp_path: Path) -> None:
    indices = counted((40, 50), 4)
    raster = raster_file(tmp_path / "in.tif", np.stack([indices, indices]))
    rasterio.shutil.copy(raster, tmp_path / "in.nc", driver="netCDF", FORMAT="NC4")
    for prefix, between in (("HDF5", "://"), ("NETCDF", ":")):
        name, out = f'{prefix}:"{tmp_path / "in.nc"}"{between}Band1', tmp_path / f"{prefix}.tif"
        api.predict(echo(3, 7, 9), name, out, padding=8)
        found = read(out)
        assert (found == TABLE[indices]).all() or (found == TABLE[indices[::-1]]).all()  # rows may count from below


def test_a_threshold_that_changes_nothing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raster, model = raster_file(tmp_path / "in.tif", counted((40, 40), 4)), echo(3, 7, 9)
    done = api.predict(model, raster, tmp_path / "out.tif", padding=8, threshold=0.9)
    assert "The threshold changes nothing: toy is a UNET, which leaves nothing out by its score." in capsys.readouterr().err
    assert done.threshold is None
    api.predict(edges(), raster, tmp_path / "edges.tif", padding=8, threshold=0.9)
    assert "changes nothing" not in capsys.readouterr().err
