from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import builders
import numpy as np
import pytest
import rasterio
from affine import Affine

from chipwright.chips import reading
from chipwright.chips.chipset import IGNORE, Chip
from chipwright.chips.reading import ChipReader, in_threads, representable, valid_pixels, whole_numbers
from chipwright.errors import ChipwrightError

RNG = np.random.default_rng(0)


def chip(tmp_path: Path, image: np.ndarray, label: np.ndarray | None = None, suffix: str = "tif", **options: object) -> Chip:
    path = builders.write_raster(tmp_path / f"0.{suffix}", image, **options)
    truth = None if label is None else builders.write_raster(tmp_path / "label.tif", label)
    return Chip("0", 0, (path,), image.shape[2], image.shape[1], label=truth)


def masked(tmp_path: Path) -> Chip:
    """Return a chip whose file says that the third row holds no data."""
    sample = chip(tmp_path, np.full((3, 8, 8), 100, "uint8"))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"), rasterio.open(sample.image, "r+") as file:
        mask = np.full((8, 8), 255, "uint8")
        mask[2] = 0
        file.write_mask(mask)
    return sample


def remove(sample: Chip) -> None:
    """Take a chip's files away: what is still read of it was decoded before."""
    for path in (*sample.images, sample.label):
        if path is not None:
            path.unlink()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Paths of the images read from disk, in order."""
    found: list[Path] = []
    read = reading.read_image

    def recording(path: Path) -> object:
        found.append(path)
        return read(path)

    monkeypatch.setattr(reading, "read_image", recording)
    return found


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_pixels_keep_their_type_and_values(tmp_path: Path, dtype: str) -> None:
    image = (RNG.random((5, 20, 30)) * 100).astype(dtype)
    read = ChipReader(None).image(chip(tmp_path, image))
    assert read.dtype == np.dtype(dtype)
    assert read.flags.c_contiguous
    assert (read == image).all()


def test_labels_are_the_first_band_as_whole_numbers(tmp_path: Path) -> None:
    label = RNG.integers(0, 9, (8, 8)).astype("uint16")
    read = ChipReader(None).label(chip(tmp_path, np.zeros((3, 8, 8), "uint8"), label))
    assert read.shape == (8, 8)
    assert (read == label).all()


def test_float_labels_are_rounded_and_nan_is_ignored() -> None:
    label = np.array([[1.0, 2.9999], [np.nan, np.inf]], np.float32)
    assert whole_numbers(label).tolist() == [[1, 3], [IGNORE, IGNORE]]


def test_a_chip_without_a_label_has_none_to_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no label raster"):
        ChipReader(None).label(chip(tmp_path, np.zeros((3, 8, 8), "uint8")))


def test_integers_without_nodata_are_all_valid(tmp_path: Path) -> None:
    assert ChipReader(None).valid(chip(tmp_path, np.zeros((3, 8, 8), "uint8"))) is None


def test_nodata_is_where_every_band_has_it() -> None:
    image = np.full((2, 2, 2), 5, "uint8")
    image[0, 0, 0] = 0
    image[:, 1, 1] = 0
    valid = valid_pixels(image, 0)
    assert valid is not None
    assert valid.tolist() == [[True, True], [True, False]]


def test_nan_in_any_band_is_no_data() -> None:
    image = np.ones((2, 2, 2), np.float32)
    image[1, 0, 1] = np.nan
    image[0, 1, 0] = np.inf
    valid = valid_pixels(image, None)
    assert valid is not None
    assert valid.tolist() == [[True, False], [False, True]]


def test_float_nodata_is_found_though_it_is_not_exact_in_float32() -> None:
    image = np.full((1, 1, 2), -3.4028234663852886e38, np.float32)
    image[0, 0, 1] = 0.1
    valid = valid_pixels(image, -3.4028234663852886e38)
    assert valid is not None
    assert valid.tolist() == [[False, True]]
    tenth = valid_pixels(image, 0.1)
    assert tenth is not None
    assert tenth.tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("value", "dtype", "can"), [(-9999, "uint8", False), (0.5, "int16", False), (255, "uint8", True), (1e300, "float32", False)]
)
def test_nodata_that_no_pixel_can_hold_is_told(value: float, dtype: str, can: bool) -> None:
    assert representable(value, np.dtype(dtype)) is can


def test_a_fourth_band_is_no_mask_though_gdal_takes_it_for_alpha(tmp_path: Path) -> None:
    image = np.full((4, 8, 8), 100, "uint8")
    image[3, :4] = 0
    assert ChipReader(None).valid(chip(tmp_path, image, photometric="RGB", alpha="YES")) is None


def test_a_mask_inside_the_file_counts(tmp_path: Path) -> None:
    valid = ChipReader(None).valid(masked(tmp_path))
    assert valid is not None
    assert (valid.sum(1) == [8, 8, 0, 8, 8, 8, 8, 8]).all()


def test_image_and_valid_of_one_chip_decode_it_once(tmp_path: Path, reads: list[Path]) -> None:
    sample = chip(tmp_path, np.zeros((3, 8, 8), "uint8"))
    reader = ChipReader(0)
    reader.image(sample)
    reader.valid(sample)
    assert len(reads) == 1


def test_second_images_and_chips_of_domain_b_have_a_nodata_of_their_own(tmp_path: Path) -> None:
    paths = [builders.write_raster(tmp_path / f"{value}.tif", np.full((2, 4, 4), value, "uint8")) for value in (1, 2)]
    reader = pickle.loads(pickle.dumps(ChipReader(1, second_nodata=2)))
    pair, other = Chip("0", 0, tuple(paths), 4, 4), Chip("1", 0, tuple(paths[1:]), 4, 4, domain=1)
    for valid in (reader.valid(pair, 0), reader.valid(pair, 1), reader.valid(other)):
        assert valid is not None
        assert not valid.any()
    assert ChipReader(1).valid(pair, 1) is None


def test_the_cache_takes_what_fits_and_keeps_it(tmp_path: Path, reads: list[Path]) -> None:
    chips = [chip(tmp_path / str(index), np.full((1, 8, 8), index, "uint8")) for index in range(3)]
    reader = ChipReader(None, cache_bytes=2 * 64)
    for _ in range(2):
        assert [int(reader.image(one)[0, 0, 0]) for one in chips] == [0, 1, 2]
    assert [path.parent.name for path in reads].count("0") == 1
    assert [path.parent.name for path in reads].count("1") == 1


@pytest.mark.parametrize("cache_bytes", [0, 10**6])
def test_what_was_read_ahead_is_not_decoded_again(tmp_path: Path, reads: list[Path], cache_bytes: int) -> None:
    sample = chip(tmp_path, np.full((3, 8, 8), 7, "uint8"), np.ones((8, 8), "uint8"))
    reader = ChipReader(0, cache_bytes)
    assert not reader.has(sample)
    reader.read_ahead(sample)
    assert reader.has(sample)
    remove(sample)
    assert (reader.image(sample) == 7).all() and reader.valid(sample) is None and (reader.label(sample) == 1).all()
    assert len(reads) == 1
    assert reader.has(sample) is (cache_bytes > 0)  # without a cache it is held for one use


def test_reading_ahead_stops_where_its_memory_is_full(
    tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_AHEAD_BYTES", 64)
    chips = [chip(tmp_path / str(index), np.full((1, 8, 8), index, "uint8")) for index in range(3)]
    reader = ChipReader(None)
    for one in chips:
        reader.read_ahead(one)
    assert len(reads) == 1
    assert [int(reader.image(one)[0, 0, 0]) for one in chips] == [0, 1, 2]


def test_a_mask_of_the_file_s_own_is_read_ahead_with_the_pixels(tmp_path: Path) -> None:
    sample = masked(tmp_path)
    reader = ChipReader(None)
    expected = reader.valid(sample)
    ahead = ChipReader(None)
    ahead.read_ahead(sample)
    remove(sample)
    found = ahead.valid(sample)
    assert expected is not None and found is not None
    assert (found == expected).all() and not found.all()


def test_a_geotiff_s_place_is_not_asked_for_with_its_pixels(tmp_path: Path) -> None:
    path = builders.write_raster(
        tmp_path / "0.tif", np.ones((1, 8, 8), "uint8"), crs="EPSG:32633", transform=Affine(2, 0, 9, 0, -2, 9)
    )
    with rasterio.open(path) as file:
        assert file.crs is not None
    with reading.opened_for_pixels(path) as file:
        assert file.crs is None and (file.read() == 1).all()


def test_a_reader_is_pickled_without_its_cache(tmp_path: Path) -> None:
    sample = chip(tmp_path, np.zeros((3, 512, 512), "uint8"))
    reader = ChipReader(7.0, cache_bytes=10**9)
    reader.image(sample)
    content = pickle.dumps(reader)
    assert len(content) < 1000
    copy = pickle.loads(content)
    assert (copy.nodata, copy.cache_bytes) == (7.0, 10**9)
    assert copy.image(sample).shape == (3, 512, 512)


def test_a_reader_serves_several_threads(tmp_path: Path) -> None:
    chips = [chip(tmp_path / str(index), np.full((1, 64, 64), index, "uint8")) for index in range(16)]
    reader = ChipReader(None, cache_bytes=8 * 64 * 64)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda index: int(reader.image(chips[index % 16]).max()), range(200)))
    assert found == [index % 16 for index in range(200)]


def test_a_chip_that_went_missing_is_named(tmp_path: Path) -> None:
    sample = chip(tmp_path, np.zeros((3, 8, 8), "uint8"))
    sample.image.unlink()
    with pytest.raises(ChipwrightError, match=r"0\.tif could be read before and cannot be now") as found:
        ChipReader(None).image(sample)
    assert found.value.exit_status == 1


def test_threads_keep_the_order_and_hand_on_what_was_raised() -> None:
    assert list(in_threads(lambda number: number * 2, range(100), "Doubling")) == [number * 2 for number in range(100)]
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda number: 1 // number, [1, 0, 1], "Dividing"))
