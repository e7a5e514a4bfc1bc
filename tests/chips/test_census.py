from __future__ import annotations

from pathlib import Path

import builders
import pytest

from chipwright.chips.census import ground_overlap, object_sizes, objects_per_chip
from chipwright.chips.folders import read_chips


def test_objects_are_counted_and_measured_by_class(tmp_path: Path) -> None:
    builders.voc(tmp_path, count=3, class_values=(1, 2), empty=1)
    for index in range(2):
        objects = [("1", (0, 0, 4, 9)), ("2", (10, 10, 50, 50))]
        builders.write_voc_xml(tmp_path / "labels" / f"{index:012d}.xml", (64, 64), objects)
    chips = read_chips([tmp_path])
    first, second = object_sizes(chips)
    assert (first["objects"], first["smallest"], first["median"], first["share under 32 px"]) == (2, 6, 6, 1)
    assert (second["objects"], second["largest"], second["share under 32 px"]) == (2, 40, 0)
    assert objects_per_chip(chips) == {"total": 4, "median": 2, "most": 2, "chips without any": 1}


def test_formats_without_boxes_have_no_objects(tmp_path: Path) -> None:
    chips = read_chips([builders.classified_tiles(tmp_path, count=2)])
    assert (object_sizes(chips), objects_per_chip(chips), ground_overlap(chips)) == ([], None, None)


@pytest.mark.parametrize(("overlap", "overlapping", "times"), [(0, 0, 1.0), (32, 6, 1.7)])
def test_shared_ground_is_measured(tmp_path: Path, overlap: int, overlapping: int, times: float) -> None:
    chips = read_chips([builders.classified_tiles(tmp_path, count=6, georeferenced=True, overlap=overlap)])
    found = ground_overlap(chips)
    assert found is not None
    assert found["chips"] == overlapping
    assert found["times covered"] == pytest.approx(times, abs=0.3)
