from __future__ import annotations

import time
from pathlib import Path

import builders
import numpy as np
import pytest

from chipwright.chips.chipset import Chip
from chipwright.chips.instances import boxes_of, joined, numbered
from chipwright.chips.reading import ChipReader, instance_ids


def test_objects_are_numbered_without_gaps_by_their_ids() -> None:
    instances, ids = numbered(np.array([[[0, 7, 7], [300, 0, 2]]]))
    assert instances.tolist() == [[[0, 2, 2], [3, 0, 1]]]
    assert instances.dtype == np.int32
    assert ids.tolist() == [2, 7, 300]


def test_objects_of_different_bands_are_different_though_they_have_one_id() -> None:
    instances, ids = numbered(np.array([[[1, 1, 0]], [[0, 1, 3]]]))
    assert instances.tolist() == [[[1, 1, 0]], [[0, 2, 3]]]
    assert ids.tolist() == [1, 1, 3]


def test_a_grey_picture_stored_in_three_bands_is_one_mask() -> None:
    instances, ids = numbered(np.broadcast_to(np.array([[0, 1, 2]]), (3, 1, 3)))
    assert instances.tolist() == [[[0, 1, 2]]]
    assert ids.tolist() == [1, 2]


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
)
def test_ids_of_any_type_are_read_from_files(tmp_path: Path, dtype: str) -> None:
    mask = np.zeros((6, 9), dtype)
    mask[1, 2:4], mask[4] = 100, 3
    path = builders.write_raster(tmp_path / "mask.tif", mask)
    chip = Chip("0", 0, (path,), 9, 6, masks=((5, path),))
    assert {value: found.tolist() for value, found in ChipReader(None).instances(chip).items()} == {
        5: [np.select([mask == 100, mask == 3], [2, 1]).tolist()]
    }


def test_negative_ids_nodata_and_nan_are_no_object() -> None:
    assert instance_ids(np.array([-1, 0, 2, 9], np.int16), 9).tolist() == [0, 0, 2, 0]
    assert instance_ids(np.array([2**64 - 1, 4], np.uint64), None).tolist() == [0, 4]
    assert instance_ids(np.array([np.nan, np.inf, -3, 1.2, 2.9]), None).tolist() == [0, 0, 0, 1, 3]
    assert instance_ids(np.array([255, 1], np.uint8), -9999).tolist() == [255, 1]


def test_huge_ids_take_no_memory() -> None:
    instances, ids = numbered(np.array([[[2**62, 0, 5, 2**40]]]))
    assert instances.tolist() == [[[3, 0, 1, 2]]]
    assert ids.tolist() == [5, 2**40, 2**62]
    instances, ids = numbered(np.array([[[2**62, 5]]]))
    assert (instances.tolist(), ids.tolist()) == ([[[2, 1]]], [5, 2**62])


def test_many_bands_and_many_ids_are_numbered_soon() -> None:
    started = time.monotonic()
    numbered(np.random.default_rng(0).integers(0, 2**50, (1, 1000, 1000)))
    instances, _ = numbered(np.arange(20_000)[:, None, None] % 700 + np.zeros((1, 4, 4), np.int64))
    assert instances.shape == (700, 4, 4)
    assert time.monotonic() - started < 10


def test_boxes_hold_the_outer_edges_of_their_pixels() -> None:
    instances = np.zeros((2, 5, 6), np.int32)
    instances[0, 1:3, 2:6] = 1
    instances[1, 4, 0] = instances[1, 0, 1] = 2
    boxes = boxes_of(instances, 2)
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [[2, 1, 6, 3], [0, 0, 2, 5]]
    assert boxes_of(np.zeros((1, 4, 4), np.int32), 0).shape == (0, 4)


def test_several_masks_of_a_class_are_numbered_on() -> None:
    first, second = np.array([[[0, 2, 1]]], np.int32), np.array([[[1, 0, 0]]], np.int32)
    assert joined([first, second]).tolist() == [[[0, 2, 1]], [[3, 0, 0]]]
    assert joined([first]) is first


def test_masks_are_cached_as_images_are(tmp_path: Path) -> None:
    path = builders.write_raster(tmp_path / "mask.tif", np.eye(8, dtype="uint8"))
    chip = Chip("0", 0, (path,), 8, 8, masks=((1, path),))
    fits, full = ChipReader(None, cache_bytes=8 * 8 * 4), ChipReader(None, cache_bytes=8 * 8)
    assert fits.instances(chip)[1] is fits.instances(chip)[1]
    assert full.instances(chip)[1] is not full.instances(chip)[1]
    assert ChipReader(None).instances(Chip("1", 0, (path,), 8, 8)) == {}
