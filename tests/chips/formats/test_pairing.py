from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from chipwright.chips.formats.esri import Export, entries_of, open_export
from chipwright.chips.formats.pairing import IMAGE_SUFFIXES, NO_LABEL, Sample, holding, paired
from chipwright.errors import DataError


def folder(tmp_path: Path, files: Iterable[str], rows: str | None = None) -> Export:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    if rows is not None:
        (tmp_path / "map.txt").write_text(rows)
    return open_export(tmp_path, tmp_path, entries_of(tmp_path))


def pair(export: Export, *suffixes: str) -> list[Sample]:
    return paired(export, export.root / "images", export.root / "labels", suffixes or IMAGE_SUFFIXES)


def test_images_and_labels_belong_together_by_stem_and_side_cars_are_skipped(tmp_path: Path) -> None:
    cars = ["0.jgw", "0.jpg.aux.xml", "0.jpg.ovr", "._0.jpg", "Thumbs.db", "1.idx", "1.ppg"]
    export = folder(
        tmp_path, ["images/1.mrf", "images/0.jpg", "labels/0.tif", "labels/1.tif", *(f"images/{car}" for car in cars)]
    )
    root = tmp_path
    assert pair(export) == [
        Sample("0", (root / "images/0.jpg",), root / "labels/0.tif"),
        Sample("1", (root / "images/1.mrf",), root / "labels/1.tif"),
    ]


def test_paths_of_map_txt_that_no_file_can_have_are_survived(tmp_path: Path) -> None:
    export = folder(tmp_path, ["images/0.tif", "images/1.tif", "labels/1.tif"], f"images\\0.tif  labels\\{'a' * 3000}.tif")
    assert [sample.name for sample in pair(export)] == ["1"]


def test_suffixes_count_in_any_case(tmp_path: Path) -> None:
    assert len(pair(folder(tmp_path, ["images/0.TIF", "labels/0.Tif"]))) == 1


def test_chips_without_a_label_are_dropped_and_named(tmp_path: Path) -> None:
    export = folder(tmp_path, ["images/0.jpg", "images/1.jpg", "images/2.jpg", "labels/1.tif"])
    assert [sample.name for sample in pair(export)] == ["1"]
    assert export.account.dropped == {NO_LABEL: ["0.jpg", "2.jpg"]}


def test_the_label_suffix_of_map_txt_wins(tmp_path: Path) -> None:
    export = folder(tmp_path, ["images/0.jpg", "labels/0.tif", "labels/0.png"], "images\\0.jpg labels\\0.png\n")
    assert pair(export)[0].label == tmp_path / "labels/0.png"


def test_map_txt_may_pair_files_of_different_names(tmp_path: Path) -> None:
    export = folder(tmp_path, ["images/0.jpg", "labels/mask_0.tif"], "images\\0.jpg labels\\mask_0.tif\n")
    assert pair(export)[0].label == tmp_path / "labels/mask_0.tif"


def test_a_label_outside_the_folder_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "secret.xml").touch()
    inner = tmp_path / "export"
    inner.mkdir()
    export = folder(inner, ["images/0.jpg", "images/1.jpg", "labels/1.xml"], "images\\0.jpg ..\\secret.xml\n")
    assert [sample.name for sample in pair(export, ".xml")] == ["1"]


def test_chips_that_map_txt_lists_and_that_are_missing_are_counted(tmp_path: Path) -> None:
    rows = "".join(f"images\\{name}.jpg labels\\{name}.tif\n" for name in "0123")
    export = folder(tmp_path, ["images/0.jpg", "labels/0.tif"], rows)
    pair(export)
    assert any("lists 3 chips whose image is missing" in warning for warning in export.account.warnings)


def test_without_any_label_the_error_says_what_the_label_folder_holds(tmp_path: Path) -> None:
    export = folder(tmp_path, ["images/0.jpg", "labels/0.txt"])
    with pytest.raises(DataError, match=r"None of the 1 chip in .*holds 1 \.txt file"):
        pair(export)


def test_without_any_image_the_error_says_what_the_image_folder_holds(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no chips: it holds 1 \.gif file"):
        pair(folder(tmp_path, ["images/0.gif"]))


def test_holding_counts_files_by_suffix_and_names_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("0.tif", "1.tif", "2.TIF", "x.csv", ".hidden"):
        (tmp_path / name).touch()
    names = entries_of(tmp_path).values()
    assert holding(tmp_path, names) == "it holds 3 .tif files, 1 .csv file and the folder a"


def test_names_that_differ_in_case_only_are_chips_of_their_own_where_the_system_has_them(tmp_path: Path) -> None:
    export = folder(tmp_path, ["images/a.tif", "images/A.tif", "labels/a.xml", "labels/A.xml"])
    there = {path.stem for path in (tmp_path / "images").iterdir()}
    assert {sample.name: sample.label for sample in pair(export, ".xml")} == {
        name: tmp_path / "labels" / f"{name}.xml" for name in there
    }
