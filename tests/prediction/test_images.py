"""Models that make images on maps: pixels without data, and which windows are taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from map_builders import model_of, raster_file, spec_for
from rasterio.enums import MaskFlags
from torch import Tensor, nn

from chipwright import api, catalog
from chipwright.chips.chipset import BandStatistics
from chipwright.errors import OptionError
from chipwright.tasks.superresolution import SuperresolutionTask


class Darker(nn.Module):
    """Gives every value less one."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the darker images."""
        return images - 1


def darker(**changes: Any) -> Any:
    arguments = catalog.find("SUPERRESOLUTION").arguments(perceptual_loss=False).model_dump()
    statistics = BandStatistics(minimum=(0, 0), maximum=(9, 9), mean=(3, 3), std=(1, 1), source="computed")
    shared = {"bands": 2, "arguments": arguments, "metadata_format": "Export_Tiles", "statistics": statistics}
    spec = spec_for((), **shared, **changes)
    return model_of(Darker(), SuperresolutionTask(spec), "SUPERRESOLUTION")


def test_a_made_value_that_would_mean_no_data_becomes_its_neighbour(tmp_path: Path) -> None:
    pixels = np.full((2, 70, 90), 5, np.uint8)
    pixels[:, 10, 10] = 1, 2
    pixels[:, 20:30, 20:30] = 0
    raster = raster_file(tmp_path / "in.tif", pixels, nodata=0)
    done = api.predict(darker(nodata=0.0), raster, tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as out:
        made = out.read()
        assert out.nodata == 0
    assert made[:, 10, 10].tolist() == [1, 1]
    assert made[:, 0, 0].tolist() == [4, 4]
    assert not made[:, 20:30, 20:30].any()
    assert done.counts == {"image": 70 * 90 - 100}


@pytest.mark.parametrize("declared", [None, -9999.0])
def test_ground_without_data_is_0_where_the_images_learnt_have_no_such_value(declared: float | None, tmp_path: Path) -> None:
    pixels = np.full((2, 70, 90), 5, np.uint8)
    pixels[:, 20:30, 20:30] = 9
    raster = raster_file(tmp_path / "in.tif", pixels, nodata=9)
    done = api.predict(darker(nodata=declared), raster, tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as out:
        made, held = out.read(), out.dataset_mask() != 0
        assert out.nodata is None
    assert not made[:, 20:30, 20:30].any()
    assert (np.delete(made, np.s_[20:30], 1) == 4).all()
    np.testing.assert_array_equal(held, pixels[0] != 9)
    assert done.counts == {"image": 70 * 90 - 100}


def test_images_of_whole_rasters_have_no_mask(tmp_path: Path) -> None:
    raster = raster_file(tmp_path / "in.tif", np.full((2, 70, 90), 5, np.uint8))
    api.predict(darker(), raster, tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as out:
        assert [MaskFlags.all_valid in flags for flags in out.mask_flag_enums] == [True, True]


def test_large_images_keep_their_mask(tmp_path: Path) -> None:
    pixels = np.full((2, 700, 640), 5, np.uint8)
    pixels[:, 100:400, :333] = 9
    raster = raster_file(tmp_path / "in.tif", pixels, nodata=9)
    api.predict(darker(), raster, tmp_path / "out.tif", tile_size=256, padding=8)
    with rasterio.open(tmp_path / "out.tif") as out:
        np.testing.assert_array_equal(out.dataset_mask() != 0, pixels[0] != 9)
        assert out.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tif", "out.tif", "out.tif.aux.xml"]


def test_float_images_keep_nan_for_ground_without_data(tmp_path: Path) -> None:
    pixels = np.full((2, 70, 90), 5, np.float32)
    pixels[:, 20:30, 20:30] = np.nan
    raster = raster_file(tmp_path / "in.tif", pixels, nodata=np.nan)
    api.predict(darker(nodata=np.nan, dtype="float32"), raster, tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as out:
        made = out.read()
        assert np.isnan(out.nodata)
    assert np.isnan(made[:, 20:30, 20:30]).all()
    assert np.isnan(made).sum() == 200


def test_it_is_said_that_images_depend_on_their_windows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raster = raster_file(tmp_path / "in.tif", np.full((2, 70, 90), 5, np.uint8))
    api.predict(darker(), raster, tmp_path / "out.tif")
    assert "looks at all of a window for every pixel" in capsys.readouterr().err
    api.predict(darker(), raster, tmp_path / "other.tif", padding=8)
    assert "looks at all" not in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value"), [("threshold", 0.5), ("probabilities", "p.tif"), ("polygons", "p.gpkg")])
def test_what_means_nothing_to_images_is_refused(option: str, value: Any, tmp_path: Path) -> None:
    raster = raster_file(tmp_path / "in.tif", np.full((2, 70, 90), 5, np.uint8))
    given = {option: tmp_path / value if isinstance(value, str) else value}
    with pytest.raises(OptionError, match="toy makes images"):
        api.predict(darker(), raster, tmp_path / "out.tif", **given)
    assert not (tmp_path / "out.tif").exists()
