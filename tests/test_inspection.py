from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import box_builders
import builders
import numpy as np
import pytest
import rasterio

from chipwright import inspection
from chipwright.chips.folders import read_chips
from chipwright.errors import OptionError
from chipwright.preview import chosen, preview


def test_a_folder_is_told_with_its_evidence_and_balance(tmp_path: Path) -> None:
    facts = inspection.inspect([builders.classified_tiles(tmp_path, count=4)])
    assert facts["evidence"] == "MetaDataMode in esri_accumulated_stats.json"
    assert sum(row["share"] for row in facts["balance"]) == pytest.approx(1, abs=1e-3)
    assert facts["fits"] == ["UNET", "PSPNET", "DEEPLAB", "MMSEGMENTATION"]  # those of one class do not


@pytest.mark.parametrize(
    ("count", "objects", "keyword", "reason"),
    [
        (3, 2, "UNET", "trains on Classified_Tiles"),
        (1, 2, "FASTERRCNN", "needs at least 2 chips"),
        (3, 0, "FASTERRCNN", "None of the 3 chips has a labelled box"),
    ],
)
def test_types_that_do_not_fit_are_told_with_their_reason(
    tmp_path: Path, count: int, objects: int, keyword: str, reason: str
) -> None:
    builders.voc(tmp_path, count=count, objects=objects)
    assert inspection.inspect([tmp_path])["fits_not"][keyword].startswith(reason)


BUILDERS: dict[str, Callable[[Path], Any]] = {
    "classified": lambda folder: builders.classified_tiles(folder, count=3, bands=4, dtype="uint16"),
    "boxes": lambda folder: builders.voc(folder, count=5, bands=1),
    "labeled": lambda folder: builders.labeled_tiles(folder, count=4),
    "multilabeled": lambda folder: builders.multilabeled_tiles(folder, count=4),
    "yolo": lambda folder: box_builders.yolo(folder, {"a": [(0, (1, 1, 9, 9))], "b": []}),
}


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_a_sheet_of_samples_is_drawn_beside_the_data(tmp_path: Path, build: Callable[[Path], Any]) -> None:
    build(tmp_path / "chips")
    target = tmp_path / "out" / "sheet.png"
    assert inspection.inspect([tmp_path / "chips"], target)["preview"] == str(target)
    with rasterio.open(target) as picture:
        assert picture.width > 200
        assert len(np.unique(picture.read())) > 5


def test_the_sheet_shows_boxes_in_their_colour(tmp_path: Path) -> None:
    box_builders.kitti(tmp_path, {"a": [("tree", (8, 8, 56, 56))], "b": []})
    chips = read_chips([tmp_path])
    with rasterio.open(BytesIO(preview(chips))) as picture:
        pixels = picture.read([1, 2, 3]).reshape(3, -1).T
    assert (pixels == chips.classes[0].color).all(axis=1).sum() > 200


def test_the_samples_show_every_class_and_then_spread(tmp_path: Path) -> None:
    labels = {f"{index:02d}": [("common", (1, 1, 9, 9))] for index in range(40)} | {"40": [("rare", (1, 1, 9, 9))]}
    chips = read_chips([box_builders.kitti(tmp_path, labels)])
    picked = chosen(chips, 6)
    assert len(set(picked)) == 6
    assert 40 in picked
    assert max(np.diff(picked)) <= 16
    assert chosen(chips, 100) == list(range(41))


@pytest.mark.parametrize(
    ("name", "sentence"), [("sheet.jpg", "PNG picture; give a name such as"), ("chips/sheet.png", "inside the training data")]
)
def test_a_sheet_that_cannot_be_written_is_refused_first(tmp_path: Path, name: str, sentence: str) -> None:
    folder = builders.classified_tiles(tmp_path / "chips", count=2)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OptionError, match=sentence):
        inspection.inspect([folder], tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before
