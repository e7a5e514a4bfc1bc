from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from new_chips import SIZE, chip_for, facts_for, picture, place, write_some
from rasterio.enums import ColorInterp, Compression

from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.errors import ChipwrightError, OptionError

STEM = "000000000000"


def export(folder: Path, image: Any, **facts: Any) -> Path:
    names = ("Red", "Green", "Blue", "NearInfrared", "RedEdge")[: len(image)]
    given = facts_for("Export_Tiles", bands=names, **facts)
    return write_some(folder, "Export_Tiles", count=1, facts=given, images=(image,), georeference=place()) / "images"


def test_tiff_is_deflated_georeferenced_and_declares_nodata(tmp_path: Path) -> None:
    images = export(tmp_path / "chips", picture(bands=4), nodata=3)
    assert [path.name for path in images.iterdir()] == [f"{STEM}.tif"]
    with rasterio.open(images / f"{STEM}.tif") as file:
        assert (file.compression, file.nodata) == (Compression.deflate, 3)
        assert (tuple(file.transform)[:6], file.crs.to_epsg()) == (place().transform, 32633)
        assert file.colorinterp[0] == ColorInterp.red
        assert ColorInterp.alpha not in file.colorinterp  # the fourth band is no transparency


@pytest.mark.parametrize(("chip_format", "suffix", "world"), [("PNG", "png", "pgw"), ("JPEG", "jpg", "jgw")])
def test_other_formats_have_a_world_file_and_a_side_car(tmp_path: Path, chip_format: str, suffix: str, world: str) -> None:
    images = export(tmp_path / "chips", picture(), chip_format=chip_format, nodata=3)
    names = {path.name for path in images.iterdir()}
    assert {f"{STEM}.{suffix}", f"{STEM}.{world}", f"{STEM}.{suffix}.aux.xml"} <= names
    lines = (images / f"{STEM}.{world}").read_text().splitlines()
    assert lines == ["2.0000000000", "0.0000000000", "0.0000000000", "-2.0000000000", "500001.0000000000", "4999999.0000000000"]
    with rasterio.open(images / f"{STEM}.{suffix}") as file:  # GDAL's own view of the side-cars
        assert (tuple(file.transform)[:6], file.crs.to_epsg(), file.nodata) == (place().transform, 32633, 3)


def test_small_cells_keep_their_digits_in_world_files(tmp_path: Path) -> None:
    cell = 8.729167728547333e-07
    where = place().__class__((cell, 0.0, -112.14, 0.0, -cell, 41.1), "EPSG:4326", SIZE, SIZE)
    facts = facts_for("Export_Tiles", chip_format="PNG")
    folder = write_some(tmp_path / "chips", "Export_Tiles", facts=facts, georeference=where)
    assert float((folder / "images" / f"{STEM}.pgw").read_text().splitlines()[0]) == cell


def test_nothing_lies_beside_chips_that_lie_nowhere(tmp_path: Path) -> None:
    folder = write_some(tmp_path / "chips", "Export_Tiles", count=1, facts=facts_for("Export_Tiles", chip_format="JPEG"))
    assert [path.name for path in (folder / "images").iterdir()] == [f"{STEM}.jpg"]


@pytest.mark.parametrize(
    ("chip_format", "bands", "dtype", "words"),
    [
        ("JPEG", 4, "uint8", "JPEG chips hold 1 or 3 bands of 8 bits without sign; these chips have 4 of uint8"),
        ("JPEG", 3, "uint16", "have 3 of uint16. Choose the chip format TIFF"),
        ("PNG", 5, "uint8", "PNG chips hold 1 to 4 bands of 8 or 16 bits without sign; these chips have 5 of uint8"),
        ("PNG", 3, "int16", "have 3 of int16. Choose the chip format TIFF"),
        ("TIFF", 3, "complex64", "whole numbers or decimal numbers"),
        ("TIFF", 3, "float16", "whole numbers or decimal numbers"),
    ],
)
def test_pixels_that_a_format_cannot_hold_are_refused(
    tmp_path: Path, chip_format: str, bands: int, dtype: str, words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        export(tmp_path / "chips", picture(bands=bands, dtype=dtype), chip_format=chip_format)
    assert not list(tmp_path.iterdir())


def test_nodata_that_pixels_cannot_hold_is_not_declared(tmp_path: Path) -> None:
    images = export(tmp_path / "chips", picture(), nodata=-9999)
    with rasterio.open(images / f"{STEM}.tif") as file:
        assert file.nodata is None


def test_a_mask_of_its_own_goes_into_the_tiff(tmp_path: Path) -> None:
    mask = np.ones((SIZE, SIZE), bool)
    mask[3:5] = False
    folder = write_some(tmp_path / "chips", "Classified_Tiles", count=1, valid=(mask,))
    valid = ChipReader(None).valid(read_chips(folder).chips[0])
    np.testing.assert_array_equal(valid, mask)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rasterio, "open", full)
    with pytest.raises(ChipwrightError, match=r"tif cannot be written: .*No space left on device"):
        write_some(tmp_path / "chips", "Classified_Tiles", images=chip_for("Classified_Tiles").images)
    assert not list(tmp_path.iterdir())
