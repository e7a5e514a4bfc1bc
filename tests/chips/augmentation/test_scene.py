from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwright.chips.augmentation.pixels import fill_invalid, squish
from chipwright.chips.augmentation.recipe import Recipe, Tones, training_recipe
from chipwright.chips.augmentation.scene import Scene, apply
from chipwright.chips.augmentation.settings import Augmentation
from chipwright.chips.chipset import IGNORE, BandStatistics


def statistics(bands: int = 3, mean: float = 100, std: float = 40, top: float = 255) -> BandStatistics:
    return BandStatistics(
        minimum=(0,) * bands, maximum=(top,) * bands, mean=(mean,) * bands, std=(std,) * bands, source="computed"
    )


def tones(bands: int = 3, dtype: str = "uint8", **figures: float) -> Tones:
    return Tones.of(statistics(bands, **figures), dtype)


def recipe(
    kind: str = "pixels", size: tuple[int, int] = (48, 48), space: str = "MAP_SPACE", of: Tones | None = None, **given: object
) -> Recipe:
    return training_recipe(kind, space, size, (of or tones(),), given)


def unlit(kind: str = "pixels", size: tuple[int, int] = (48, 48), **given: object) -> Recipe:
    return recipe(kind, size, light_share=0.0, **given)


def cut(size: tuple[int, int], of: Tones | None = None, **changes: object) -> Recipe:
    """Return the recipe of validation, with `changes`."""
    return Recipe(size, (of or tones(1),), Augmentation(**changes))


def scene(height: int = 48, width: int = 48, bands: int = 3, dtype: str = "uint8", seed: int = 0) -> Scene:
    """Return noise, and a mask of blocks whose class shows in the first band: class k has grey 40 + 50 k."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 4, (height // 8 + 1, width // 8 + 1)).repeat(8, 0).repeat(8, 1)[:height, :width]
    image = rng.integers(0, 255, (bands, height, width)).astype(dtype)
    image[0] = 40 + 50 * blocks
    return Scene([image], blocks.astype(np.int16))


@pytest.mark.parametrize("seed", range(25))
def test_mask_and_image_move_together(seed: int) -> None:
    result = apply(scene(), unlit(rotation_share=0.8, zoom_share=0.8), np.random.default_rng(seed))
    known = result.mask != IGNORE
    expected = 40 + 50 * result.mask[known].astype(float)
    # bilinear edges between blocks blur; the inside of the blocks must fit exactly
    fits = np.abs(result.images[0][0][known] - expected) <= 1
    assert fits.mean() > 0.55
    assert np.median(np.abs(result.images[0][0][known] - expected)) <= 1


@pytest.mark.parametrize("seed", range(25))
def test_boxes_enclose_the_moved_blob(seed: int) -> None:
    image = np.zeros((1, 64, 64), np.uint8)
    image[:, 20:30, 34:50] = 255
    before = Scene([image], None, np.array([[34, 20, 50, 30]], np.float32), np.array([7]))
    result = apply(before, unlit("boxes", (64, 64), of=tones(1, mean=0)), np.random.default_rng(seed))
    rows, columns = np.nonzero(result.images[0][0] > 127)
    if not len(result.boxes):
        assert len(rows) < 0.4 * 160 * 1.5**2
        return
    xmin, ymin, xmax, ymax = result.boxes[0]
    assert (xmin, ymin) == pytest.approx((columns.min(), rows.min()), abs=1)
    assert (xmax, ymax) == pytest.approx((columns.max() + 1, rows.max() + 1), abs=1)
    assert result.box_labels.tolist() == [7]


def test_rotated_boxes_are_the_hull_of_their_corners() -> None:
    before = Scene([np.zeros((1, 100, 100), np.uint8)], None, np.array([[40, 40, 60, 60]], np.float32), np.array([1]))
    turned = cut((100, 100), rotation=45.0, rotation_share=1.0)

    class Always45(np.random.Generator):
        def uniform(self, low: float, high: float) -> float:  # type: ignore[override]
            return high

    result = apply(before, turned, Always45(np.random.PCG64(0)))
    half = 10 * 2**0.5
    assert result.boxes[0] == pytest.approx([50 - half, 50 - half, 50 + half, 50 + half], abs=1e-3)


def test_all_eight_symmetries_occur_and_no_other() -> None:
    image = np.arange(16, dtype=np.uint16).reshape(1, 4, 4)
    only = unlit("boxes", (4, 4), zoom_share=0.0)
    rng = np.random.default_rng(0)
    seen = {apply(Scene([image]), only, rng).images[0].tobytes() for _ in range(200)}
    wanted = {np.rot90(turned, turn, (1, 2)).tobytes() for turned in (image, image[:, ::-1]) for turn in range(4)}
    assert seen == wanted


def test_oriented_imagery_is_only_mirrored_left_to_right() -> None:
    image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    only = unlit("boxes", (4, 4), space="PIXEL_SPACE", zoom_share=0.0)
    rng = np.random.default_rng(0)
    seen = {apply(Scene([image]), only, rng).images[0].tobytes() for _ in range(50)}
    assert seen == {image.tobytes(), image[:, :, ::-1].tobytes()}


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    size=st.tuples(st.integers(4, 50), st.integers(4, 50)),
    bands=st.integers(1, 6),
    dtype=st.sampled_from(["uint8", "int16", "uint16", "int32", "float32", "float64"]),
    kind=st.sampled_from(["boxes", "pixels", "tiles", "validation"]),
    seed=st.integers(0, 2**31),
)
def test_any_input_gets_the_recipes_size_and_keeps_its_dtype(height, width, size, bands, dtype, kind, seed) -> None:  # type: ignore[no-untyped-def]
    one = scene(height, width, bands, dtype)
    one.boxes, one.box_labels = np.array([[0, 0, width, height]], np.float32), np.array([1])
    before = one.images[0].copy()
    meant = tones(bands, dtype)
    made = Recipe(size, (meant,)) if kind == "validation" else recipe(kind, size, of=meant)
    result = apply(one, made, np.random.default_rng(seed))
    assert result.images[0].shape == (bands, size[1], size[0])
    assert result.images[0].dtype == dtype
    assert result.mask.shape == (size[1], size[0]) and result.mask.dtype == np.int16
    assert set(np.unique(result.mask)) <= {IGNORE, *np.unique(one.mask)}
    assert len(result.boxes) == len(result.box_labels) and result.boxes.dtype == np.float32
    assert (result.boxes >= 0).all() and (result.boxes <= [size[0], size[1]] * 2).all()
    assert not np.shares_memory(result.images[0], one.images[0])
    assert np.array_equal(one.images[0], before)


def test_smaller_chips_are_padded_around_with_the_mean_and_ignore() -> None:
    one = Scene(
        [np.full((3, 4, 6), 9, np.uint8)], np.ones((4, 6), np.int16), np.array([[0, 0, 6, 4]], np.float32), np.array([2])
    )
    result = apply(one, cut((10, 8), tones()), np.random.default_rng(0))
    inside = np.zeros((8, 10), bool)
    inside[2:6, 2:8] = True
    assert (result.images[0][:, inside] == 9).all() and (result.images[0][:, ~inside] == 100).all()
    assert (result.mask[inside] == 1).all() and (result.mask[~inside] == IGNORE).all()
    assert result.boxes.tolist() == [[2, 2, 8, 6]]


def test_ground_beyond_a_turned_chip_is_mean_and_ignore_even_after_a_change_of_light() -> None:
    made = recipe("pixels", rotation_share=1.0, zoom_share=0.0, light_share=1.0)
    result = apply(Scene([np.full((3, 48, 48), 200, np.uint8)], np.ones((48, 48), np.int16)), made, np.random.default_rng(3))
    corner = result.mask == IGNORE
    far = corner & (np.roll(corner, 1, 0) & np.roll(corner, -1, 0) & np.roll(corner, 1, 1) & np.roll(corner, -1, 1))
    assert far.any() and (result.images[0][:, far] == 100).all()


def test_validation_is_the_centre_crop() -> None:
    image = np.arange(100, dtype=np.uint8).reshape(1, 10, 10)
    result = apply(Scene([image]), cut((4, 4)), np.random.default_rng(0))
    assert np.array_equal(result.images[0], image[:, 3:7, 3:7])


def test_every_place_of_a_random_crop_occurs() -> None:
    image = np.arange(25, dtype=np.uint8).reshape(1, 5, 5)
    made = cut((3, 3), random_crop=True)
    rng = np.random.default_rng(0)
    assert {int(apply(Scene([image]), made, rng).images[0][0, 0, 0]) for _ in range(200)} == {0, 1, 2, 5, 6, 7, 10, 11, 12}


def test_same_seed_same_result_and_other_seed_another() -> None:
    first, again, other = (apply(scene(), recipe(), np.random.default_rng(seed)).images[0] for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_boxes_that_hardly_show_go_with_their_labels() -> None:
    boxes = np.array([[0, 0, 10, 10], [2, 3, 6, 9], [2.2, 3, 6, 9.0]], np.float32)  # the crop shows columns and rows 3 to 7
    before = Scene([np.zeros((1, 10, 10), np.uint8)], None, boxes, np.array([1, 2, 3]))
    result = apply(before, cut((4, 4)), np.random.default_rng(0))
    assert result.box_labels.tolist() == [2, 3]  # the first keeps 16 of its 100 square pixels
    assert result.boxes.tolist() == [[0, 0, 3, 4], [0, 0, 3, 4]]


def test_empty_boxes_stay_empty() -> None:
    before = Scene([np.zeros((3, 48, 48), np.uint8)], None, np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    for seed in range(5):
        assert apply(before, recipe("boxes"), np.random.default_rng(seed)).boxes.shape == (0, 4)


@pytest.mark.parametrize("dtype, top", [("uint8", 250), ("uint16", 10000), ("float32", 1.0)])
def test_brightness_shifts_by_the_share_of_the_bands_range(dtype: str, top: float) -> None:
    meant = tones(1, dtype, mean=top / 2, std=top, top=top)
    bright = cut((4, 4), meant, brightness=(0.6, 0.6), light_share=1.0)
    result = apply(Scene([np.full((1, 4, 4), top * 0.4).astype(dtype)]), bright, np.random.default_rng(0))
    assert float(result.images[0][0, 0, 0]) == pytest.approx(top * 0.5)


def test_contrast_stretches_about_the_mean_and_stays_in_range() -> None:
    made = cut((3, 1), contrast=(2.0, 2.0), light_share=1.0)
    result = apply(Scene([np.array([[[100, 120, 250]]], np.uint8)]), made, np.random.default_rng(0))
    assert result.images[0].ravel().tolist() == [100, 140, 255]


def test_nan_does_not_spread_through_resampling() -> None:
    image = np.full((3, 48, 48), 7.0, np.float32)
    image[:, 24, 24] = np.nan
    made = recipe(of=tones(dtype="float32"), rotation_share=1.0, zoom_share=1.0)
    assert np.isfinite(apply(Scene([image]), made, np.random.default_rng(0)).images[0]).all()


def test_all_images_of_a_scene_move_alike() -> None:
    first = scene(bands=3).images[0]
    made = replace(unlit(rotation_share=1.0), tones=(tones(), tones(2, mean=0)))
    result = apply(Scene([first, first[:2]]), made, np.random.default_rng(4))
    middle = slice(16, 32)  # far from the fill, which each image has of its own
    assert np.array_equal(result.images[0][:2, middle, middle], result.images[1][:, middle, middle])


def test_pixels_without_data_get_the_fill() -> None:
    valid = np.array([[True, False]])
    image = np.array([[[5, 0]], [[6, 0]]], np.uint16)
    assert fill_invalid(image, valid, (50.0, 60.0)).tolist() == [[[5, 50]], [[6, 60]]]
    assert fill_invalid(image, None, (50.0, 60.0)) is image


def test_squish_keeps_dtype_and_mean() -> None:
    image = scene(37, 90, 4, "uint16").images[0]
    small = squish(image, (20, 10))
    assert small.shape == (4, 10, 20) and small.dtype == np.uint16
    assert small.mean(axis=(1, 2)) == pytest.approx(image.mean(axis=(1, 2)), rel=0.05)
