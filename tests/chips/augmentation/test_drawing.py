"""Marks are drawn into everything that belongs to a scene; after any change they must still lie on one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from chipwright.chips.augmentation.recipe import Recipe, Tones, training_recipe
from chipwright.chips.augmentation.scene import Scene, apply
from chipwright.chips.chipset import IGNORE
from chipwright.chips.instances import boxes_of

KINDS = ("boxes", "instances", "pixels", "change", "tiles", "captions", "translation")
SPACES = ("MAP_SPACE", "PIXEL_SPACE")
WILD = {"rotation": 180.0, "rotation_share": 1.0, "zoom": [0.5, 2.0], "zoom_share": 1.0}
EXACT = {"rotation": 0.0, "zoom": [1.0, 1.0]}
DARK = {"light_share": 0.0}
CLASS_GREY = 1000
"""Value of class 1 in the second, thematic image; that of class k is k times as much."""


@dataclass(frozen=True)
class Drawing:
    """Marks as masks (count, height, width), and the scene that they were drawn into.

    Mark k is white in band k of the first image; the later of overlapping ones covers the earlier in the mask and in the
    thematic image, and stands on a layer of its own among the instances. The third image is the first with its own fill.
    """

    marks: NDArray[np.bool_]
    scene: Scene
    tones: tuple[Tones, ...]


def drawing(width: int, height: int, rng: np.random.Generator, count: int = 4) -> Drawing:
    """Return rectangles of random places and sizes, and one slanting line."""
    marks = np.zeros((count, height, width), bool)
    for mark in marks[:-1]:
        wide, high = (int(rng.integers(2, max(3, side // 2))) for side in (width, height))
        left, top = int(rng.integers(0, max(1, width - wide))), int(rng.integers(0, max(1, height - high)))
        mark[top : top + high, left : left + wide] = True
    rows, columns = np.indices((height, width))
    marks[-1] = np.abs(rows * width - columns * height) <= 2 * max(width, height)
    numbers = np.arange(1, count + 1)
    classes = (marks * numbers[:, None, None]).max(0)
    image = np.where(marks, np.uint8(255), np.uint8(0))
    instances = (marks * numbers[:, None, None]).astype(np.int32)
    scene = Scene(
        [image, (classes * CLASS_GREY)[None].astype(np.uint16), image.astype(np.float32)],
        mask=classes.astype(np.int16),
        instances=instances,
        boxes=boxes_of(instances, count),
        box_labels=numbers.astype(np.int64),
    )
    black = (0.0,) * count
    grey = (40.0,) * count
    return Drawing(marks, scene, (tones(black), Tones((0.0,), (0.0,), (0.0,), thematic=True), tones(grey)))


def tones(fill: tuple[float, ...]) -> Tones:
    return Tones(fill, (0.0,) * len(fill), (255.0,) * len(fill))


def recipe(kind: str, space: str, size: tuple[int, int], drawn: Drawing, given: dict[str, Any]) -> Recipe:
    return training_recipe(kind, space, size, drawn.tones, DARK | given)


def grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask with every pixel that touches it."""
    edged = np.pad(mask, 1)
    height, width = mask.shape
    return np.any([edged[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)


def shrunk(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask without its edge, and without what lies at the edge of the picture."""
    edged = np.pad(mask, 1)
    height, width = mask.shape
    return np.all([edged[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)


def assert_everything_lies_together(result: Scene, exact: bool) -> None:
    image, thematic, other = result.images
    labels = result.box_labels
    assert len(result.boxes) == len(labels) == result.instances.max(initial=0)
    assert np.array_equal(boxes_of(result.instances, len(labels)), result.boxes)
    known = result.mask != IGNORE
    assert np.array_equal(thematic[0], np.where(known, result.mask, 0) * CLASS_GREY)  # both by the nearest pixel
    for number, label in enumerate(labels.tolist(), 1):
        lit, shown = image[label - 1] > 127, (result.instances == number).any(0)
        again = other[label - 1] > 147  # its own fill is 40, so half way to white
        if exact:
            assert np.array_equal(lit, shown)
            assert np.array_equal(again, shown)
        else:
            for one in (lit, again):
                assert not (one & ~grown(shown)).any()
                assert not (shrunk(shown) & ~one).any()
        assert not ((result.mask == label) & ~shown).any()
        assert not ((result.mask < label) & known & shown).any()  # only later marks cover earlier ones


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("given", [{}, EXACT, WILD], ids=["default", "exact", "wild"])
@pytest.mark.parametrize("kind", KINDS)
def test_marks_lie_on_one_another_after_every_kind_of_change(kind: str, given: dict[str, Any], space: str) -> None:
    seen = set()
    for seed in range(12):
        drawn = drawing(72, 72, np.random.default_rng(seed))
        made = recipe(kind, space, (64, 64), drawn, given)
        result = apply(drawn.scene, made, np.random.default_rng(100 + seed))
        assert_everything_lies_together(result, exact=made.augmentation.rotation == 0 and made.augmentation.zoom == (1, 1))
        seen.update(result.box_labels.tolist())
    assert seen == {1, 2, 3, 4}


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    source=st.tuples(st.integers(6, 60), st.integers(6, 60)),
    size=st.tuples(st.integers(4, 60), st.integers(4, 60)),
    kind=st.sampled_from(KINDS),
    space=st.sampled_from(SPACES),
    given=st.sampled_from([EXACT, {}, WILD, EXACT | {"quarter_turn": True, "vertical_flip": True}]),
    seed=st.integers(0, 2**31),
)
def test_marks_lie_on_one_another_whatever_the_sizes(
    source: tuple[int, int], size: tuple[int, int], kind: str, space: str, given: dict[str, Any], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    drawn = drawing(*source, rng)
    made = recipe(kind, space, size, drawn, given)
    result = apply(drawn.scene, made, rng)
    assert result.instances.shape == (4, size[1], size[0]) and result.instances.dtype == np.int32
    assert [image.dtype for image in result.images] == [np.uint8, np.uint16, np.float32]
    assert_everything_lies_together(result, exact=made.augmentation.rotation == 0 and made.augmentation.zoom == (1, 1))


@pytest.mark.parametrize("given", [EXACT, WILD | {"zoom": [1.0, 1.0]}], ids=["exact", "rotated"])
def test_objects_go_when_less_than_a_quarter_shows_and_only_then(given: dict[str, Any]) -> None:
    fates = set()
    for seed in range(40):
        drawn = drawing(72, 72, np.random.default_rng(seed))
        result = apply(drawn.scene, recipe("instances", "MAP_SPACE", (40, 40), drawn, given), np.random.default_rng(seed))
        for label, mark in enumerate(drawn.marks, 1):
            share = (result.images[0][label - 1] / 255).sum() / mark.sum()
            slack = 0.0 if given is EXACT else 0.05 + 2 / mark.sum() ** 0.5  # the edge's pixels fall to either side
            stays = label in result.box_labels
            assert stays or share < 0.25 + slack
            assert not stays or share >= 0.25 - slack
            fates.add(stays)
    assert fates == {True, False}


def test_boxes_of_rotated_objects_are_tighter_than_the_hulls_of_their_corners() -> None:
    drawn = drawing(72, 72, np.random.default_rng(1))
    line = drawn.marks[-1:].astype(np.int32)
    turned = {**EXACT, "rotation": 45.0, "rotation_share": 1.0}
    areas = []
    for instances in (line, None):
        scene = Scene([drawn.scene.images[0]], instances=instances, boxes=boxes_of(line, 1), box_labels=np.array([1]))
        for seed in range(10):
            boxes = apply(scene, recipe("boxes", "PIXEL_SPACE", (72, 72), drawn, turned), np.random.default_rng(seed)).boxes
            areas.append(float((boxes[0, 2:] - boxes[0, :2]).prod()))
    by_mask, by_corners = areas[:10], areas[10:]
    assert all(tight <= loose + 2 for tight, loose in zip(by_mask, by_corners, strict=True))
    assert sum(by_mask) < 0.8 * sum(by_corners)


@pytest.mark.parametrize("layers", [0, 2])
def test_scenes_without_an_object_stay_without(layers: int) -> None:
    drawn = drawing(32, 32, np.random.default_rng(0))
    nothing = np.zeros((layers, 32, 32), np.int32)
    scene = Scene([drawn.scene.images[0]], instances=nothing, box_labels=np.zeros(0, np.int64))
    for changes in (EXACT, WILD):
        result = apply(scene, recipe("instances", "MAP_SPACE", (24, 24), drawn, changes), np.random.default_rng(0))
        assert result.boxes.shape == (0, 4) and result.box_labels.shape == (0,)
        assert result.instances.shape == (layers, 24, 24) and not result.instances.any()


def test_what_a_reader_gives_becomes_the_scenes_instances(tmp_path: Any) -> None:
    from mask_builders import rcnn_masks

    from chipwright.chips.folders import read_chips
    from chipwright.chips.instances import joined
    from chipwright.chips.reading import ChipReader

    chips = read_chips([rcnn_masks(tmp_path / "chips")])
    reader = ChipReader.of(chips)
    meant = (Tones.of(chips.statistics, chips.dtype),)
    for chip in chips.chips:
        instances = joined(list(reader.instances(chip).values()))
        scene = Scene([reader.image(chip)], instances=instances, boxes=chip.boxes, box_labels=chip.box_values)
        result = apply(scene, Recipe((chip.width, chip.height), meant), np.random.default_rng(0))
        assert np.array_equal(result.boxes, chip.boxes)
        assert np.array_equal(result.box_labels, chip.box_values)
        assert np.array_equal(result.instances, instances)


# -- two images


def test_each_image_has_its_own_light_and_its_own_fill() -> None:
    pair = [np.full((2, 16, 16), 100, np.uint8), np.full((2, 16, 16), 100, np.uint8)]
    meant = tones((100.0, 100.0)), tones((7.0, 7.0))
    made = training_recipe("change", "MAP_SPACE", (32, 32), meant, {**EXACT, "light_share": 1.0})
    lights = []
    for seed in range(20):
        first, second = apply(Scene(pair), made, np.random.default_rng(seed)).images
        assert (first[:, 0, 0] == 100).all() and (second[:, 0, 0] == 7).all()
        lights.append((int(first[0, 16, 16]), int(second[0, 16, 16])))
    assert len({first for first, _ in lights}) > 10 and len({second for _, second in lights}) > 10
    assert len({first - second for first, second in lights}) > 10


@pytest.mark.parametrize("space", SPACES)
def test_translation_moves_pixels_whole_and_leaves_them_as_they_are(space: str) -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 255, (3, 20, 20)).astype(np.uint8)
    second = first[:1] // 2
    made = training_recipe("translation", space, (20, 20), (tones((0.0,) * 3), tones((0.0,))))
    for seed in range(20):
        one, other = apply(Scene([first, second]), made, np.random.default_rng(seed)).images
        assert np.array_equal(one[:1] // 2, other)
        assert np.array_equal(np.sort(one, axis=None), np.sort(first, axis=None))


def test_thematic_images_keep_their_values() -> None:
    codes = np.random.default_rng(0).choice([3, 70, 200], (1, 40, 40)).astype(np.uint8)
    meant = Tones.of(statistics(), "uint8", thematic=True)
    made = training_recipe("pixels", "MAP_SPACE", (40, 40), (meant,), WILD | {"light_share": 1.0})
    for seed in range(10):
        assert set(np.unique(apply(Scene([codes]), made, np.random.default_rng(seed)).images[0])) <= {0, 3, 70, 200}


def statistics() -> Any:
    from chipwright.chips.chipset import BandStatistics

    return BandStatistics(minimum=(0,), maximum=(255,), mean=(90,), std=(50,), source="computed")
