from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rasterio.warp import transform

from chipwright.chips.chipset import BandStatistics, Chip, ChipSet, GeoReference
from chipwright.chips.split import Split, shared_ground, split_chips
from chipwright.errors import DataError, OptionError

UTM = "EPSG:32633"


def chip(
    number: int, at: tuple[float, float] | None = None, values: tuple[int, ...] = (), folder: int = 0, crs: str = UTM
) -> Chip:
    """Return a chip of 10 x 10 pixels of one map unit, its left top corner at `at`."""
    place = None if at is None else GeoReference((1, 0, at[0], 0, -1, at[1]), crs, 10, 10)
    return Chip(f"{number:04d}", folder, (Path(f"{number:04d}.tif"),), 10, 10, values=values, georeference=place)


def chipset(chips: list[Chip], format: str = "Classified_Tiles") -> ChipSet:
    folders = tuple(Path(f"export_{number}") for number in range(1 + max((c.folder for c in chips), default=0)))
    statistics = BandStatistics(minimum=(0,), maximum=(1,), mean=(0.5,), std=(0.1,), source="computed")
    return ChipSet(folders, format, tuple(chips), (), ("Red",), "uint8", (10, 10), statistics)


def grid(columns: int, rows: int, stride: float, left: float = 0, start: int = 0) -> list[Chip]:
    return [
        chip(start + row * columns + column, (left + column * stride, -row * stride))
        for row in range(rows)
        for column in range(columns)
    ]


def check(split: Split, count: int) -> None:
    assert sorted(split.training + split.validation + split.dropped) == list(range(count))
    assert split.training and split.validation


def overlap(chips: ChipSet, split: Split) -> bool:
    """Whether a training chip and a validation chip share ground; by hand, pair by pair."""

    def box(index: int) -> tuple[float, float, float, float]:
        return chips.chips[index].georeference.bounds

    return any(
        a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
        for a in map(box, split.training)
        for b in map(box, split.validation)
    )


# -- random


@pytest.mark.parametrize("count, percentage, expected", [(100, 10, 10), (8, 10, 1), (3, 99, 2), (2, 1, 1), (10, 25, 3)])
def test_random_takes_the_share_and_leaves_both_sides_something(count: int, percentage: float, expected: int) -> None:
    split = split_chips(chipset([chip(n) for n in range(count)]), percentage, None, 42)
    check(split, count)
    assert split.method == "random" and len(split.validation) == expected and not split.dropped


def test_same_seed_same_split_and_other_seed_another() -> None:
    chips = chipset([chip(n) for n in range(60)])
    assert split_chips(chips, 20, "random", 1) == split_chips(chips, 20, "random", 1)
    assert split_chips(chips, 20, "random", 1).validation != split_chips(chips, 20, "random", 2).validation


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_chips_are_refused(count: int) -> None:
    with pytest.raises(DataError, match="no sample is left for validation; at least 2 are needed"):
        split_chips(chipset([chip(n) for n in range(count)]), 10, "random", 0)


def test_unknown_method_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="Did you mean stratified"):
        split_chips(chipset([chip(0), chip(1)]), 10, "stratifed", 0)


# -- stratified


def labeled(counts: dict[int, int]) -> ChipSet:
    values = [value for value, count in counts.items() for _ in range(count)]
    return chipset([chip(n, values=(value,)) for n, value in enumerate(values)], "Labeled_Tiles")


def test_labeled_tiles_are_stratified_by_default() -> None:
    chips = labeled({1: 100, 2: 50, 3: 10})
    split = split_chips(chips, 10, None, 3)
    check(split, 160)
    assert split.method == "stratified"
    assert Counter(chips.chips[index].values[0] for index in split.validation) == {1: 10, 2: 5, 3: 1}


def test_every_class_of_two_is_on_both_sides_where_the_count_allows() -> None:
    chips = labeled({1: 90, 2: 2, 3: 2, 4: 1})
    for seed in range(10):
        split = split_chips(chips, 10, None, seed)
        counts = Counter(chips.chips[index].values[0] for index in split.validation)
        assert counts == {1: 8, 2: 1, 3: 1}  # 10 in all; the single chip of class 4 trains


def test_more_classes_than_validation_chips_keep_the_count_asked_for() -> None:
    split = split_chips(labeled(dict.fromkeys(range(10), 3)), 10, None, 0)
    check(split, 30)
    assert len(split.validation) == 3


def test_chips_of_several_classes_count_for_the_rarest() -> None:
    chips = chipset([chip(n, values=(1, 2) if n % 10 else (1, 2, 3)) for n in range(100)], "MultiLabeled_Tiles")
    split = split_chips(chips, 20, "stratified", 0)
    assert sum(3 in chips.chips[index].values for index in split.validation) == 2


def test_stratified_by_the_classes_of_objects_with_empty_chips_as_a_class_of_their_own() -> None:
    chips = [replace(chip(n), boxes=np.zeros((n % 2, 4), np.float32), box_values=np.ones(n % 2, np.int64)) for n in range(40)]
    split = split_chips(chipset(chips, "PASCAL_VOC_rectangles"), 10, "stratified", 0)
    assert sorted(index % 2 for index in split.validation) == [0, 0, 1, 1]


def test_stratified_without_classes_of_chips_is_refused() -> None:
    with pytest.raises(OptionError, match="Classified_Tiles has none"):
        split_chips(chipset([chip(0), chip(1)]), 10, "stratified", 0)


def test_stratified_does_not_depend_on_the_order_of_classes() -> None:
    values = [1, 2] * 20
    chips = [chip(n, values=(value,)) for n, value in enumerate(values)]
    first = split_chips(chipset(chips, "Labeled_Tiles"), 20, None, 5)
    swapped = [replace(c, values=(3 - c.values[0],)) for c in chips]  # class 2 is now met first
    second = split_chips(chipset(swapped, "Labeled_Tiles"), 20, None, 5)
    assert Counter(index % 2 for index in first.validation) == Counter(index % 2 for index in second.validation)


# -- block


@pytest.mark.parametrize("seed", range(5))
def test_whole_places_validate_where_they_come_near_the_percentage(seed: int) -> None:
    chips = chipset(grid(5, 5, 5) + grid(4, 5, 5, left=500, start=25))
    split = split_chips(chips, 44, "block", seed)
    check(split, 45)
    assert split.validation == tuple(range(25, 45)) and not split.dropped
    assert "1 of 2 whole" in split.sentence


@pytest.mark.parametrize("stride", [10, 5, 10 / 3])
@pytest.mark.parametrize("percentage", [10, 30, 60])
@pytest.mark.parametrize("seed", range(3))
def test_no_ground_is_on_both_sides(stride: float, percentage: float, seed: int) -> None:
    chips = chipset(grid(15, 14, stride))
    split = split_chips(chips, percentage, "block", seed)
    check(split, 210)
    assert len(split.validation) == 210 * percentage / 100
    assert not overlap(chips, split)
    assert f" {len(split.dropped)} more are left out because they touch validation ground." in split.sentence


def test_only_training_chips_that_touch_validation_ground_are_dropped() -> None:
    chips = chipset(grid(20, 20, 5))
    split = split_chips(chips, 10, "block", 0)
    for index in split.dropped:
        alone = replace(split, training=(index,), dropped=())
        assert overlap(chips, alone)


def test_chips_edge_to_edge_share_no_ground() -> None:
    split = split_chips(chipset(grid(20, 20, 10)), 20, "block", 0)
    assert not split.dropped


def test_chips_edge_to_edge_lie_in_one_place_and_validate_in_one_piece() -> None:
    chips = chipset(grid(10, 10, 10))
    split = split_chips(chips, 16, "block", 0)
    rows, columns = {index // 10 for index in split.validation}, {index % 10 for index in split.validation}
    assert len(rows) == len(columns) == 4  # a square block, not strewn chips


def test_a_large_place_gives_several_blocks() -> None:
    split = split_chips(chipset(grid(60, 60, 10)), 10, "block", 0)
    assert "8 straight blocks" in split.sentence


def test_a_small_place_beside_a_large_one_is_filled_up_from_the_large_one() -> None:
    chips = chipset(grid(2, 2, 10) + grid(20, 20, 10, left=1000, start=4))
    split = split_chips(chips, 20, "block", 0)
    check(split, 404)
    assert set(range(4)) <= set(split.validation) and len(split.validation) == 81


def test_rotated_chips_are_compared_by_their_true_outline() -> None:
    def turned(number: int, x: float, y: float) -> Chip:
        half = 0.5**0.5
        place = GeoReference((half, -half, x, half, half, y), UTM, 10, 10)
        return replace(chip(number), georeference=place)

    # two diamonds corner to corner: bounding boxes overlap by far, the ground does not
    chips = chipset([turned(0, 0, 0), turned(1, 7.2, 7.2)])
    assert not split_chips(chips, 50, "block", 0).dropped
    assert shared_ground(chips, split_chips(chips, 50, "random", 0)) == 0


def test_the_same_ground_in_two_coordinate_systems_is_recognised() -> None:
    (x,), (y,) = transform(UTM, "EPSG:3857", [500_000], [5_000_000])
    same = chipset([chip(0, (500_000, 5_000_000)), chip(1, (x, y), crs="EPSG:3857"), chip(2, (x, y + 50), crs="EPSG:3857")])
    assert shared_ground(same, Split((0,), (1, 2), (), "random", "")) == 0.5


def test_block_that_leaves_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(OptionError, match="leaves no training chip"):
        split_chips(chipset([chip(n, (n * 0.1, 0)) for n in range(10)]), 10, "block", 0)


def test_block_without_georeference_is_refused() -> None:
    with pytest.raises(OptionError, match=r"1 of 3 chips have no georeference \(0002\)"):
        split_chips(chipset([chip(0, (0, 0)), chip(1, (100, 0)), chip(2)]), 10, "block", 0)


def test_palm_groves_are_kept_apart(data: Path) -> None:
    import warnings

    import rasterio

    warnings.simplefilter("ignore")
    chips = []
    for path in sorted((data / "voc_palm" / "images").glob("*.jpg")):
        with rasterio.open(path) as file:
            place = GeoReference(tuple(file.transform)[:6], None, file.width, file.height)
        chips.append(Chip(path.stem, 0, (path,), 448, 448, georeference=place))
    palms = chipset(chips, "PASCAL_VOC_rectangles")
    split = split_chips(palms, 38, "block", 42)
    assert (len(split.training), len(split.validation), len(split.dropped)) == (124, 76, 0)
    assert shared_ground(palms, split) == 0
    assert shared_ground(palms, split_chips(palms, 38, "random", 42)) > 0.9
    tenth = split_chips(palms, 10, "block", 42)
    assert len(tenth.validation) == 20 and len(tenth.training) > 120 and shared_ground(palms, tenth) == 0


@pytest.mark.timeout(60)  # takes a second or two; pair by pair it would take hours
def test_forty_thousand_chips_are_split_by_place() -> None:
    split = split_chips(chipset(grid(200, 200, 5)), 10, "block", 0)
    assert len(split.validation) == 4000


# -- folder


def test_whole_folders_validate() -> None:
    chips = chipset([chip(n, folder=0 if n < 50 else 1 if n < 70 else 2) for n in range(100)])
    split = split_chips(chips, 25, "folder", 0)
    check(split, 100)
    assert split.validation == tuple(range(50, 70))
    assert "as folder export_1" in split.sentence


def test_a_single_folder_is_refused() -> None:
    with pytest.raises(OptionError, match="all chips are from export_0"):
        split_chips(chipset([chip(n) for n in range(4)]), 25, "folder", 0)


# -- shared ground


def test_shared_ground_is_the_share_of_validation_chips_that_touch_training_chips() -> None:
    chips = chipset([chip(0, (0, 0)), chip(1, (5, 0)), chip(2, (100, 0)), chip(3, (200, 0)), chip(4, (10.0, 0))])
    assert shared_ground(chips, Split((0,), (1, 2, 3, 4), (), "random", "")) == 0.25


def test_shared_ground_is_unknown_without_georeference() -> None:
    chips = chipset([chip(0), chip(1)])
    assert shared_ground(chips, Split((0,), (1,), (), "random", "")) is None
