from __future__ import annotations

from pathlib import Path

from chipwright.chips.formats.esri import Export, entries_of, open_export


def export(tmp_path: Path, emd: str = "{}", totals: str = '{"Version": 1}', rows: str | None = None) -> Export:
    (tmp_path / "esri_model_definition.emd").write_text(emd)
    (tmp_path / "esri_accumulated_stats.json").write_text(totals)
    if rows is not None:
        (tmp_path / "map.txt").write_bytes(rows.encode())
    return open_export(tmp_path, tmp_path, entries_of(tmp_path))


def test_placeholders_are_no_facts(tmp_path: Path) -> None:
    found = export(tmp_path, '{"ImageHeight": "e.g. 256", "MinCellSize": "e.g. 1"}', '{"TileSizeY": 448}')
    assert found.fact("MinCellSize") is None
    assert found.number("TileSizeY", "ImageHeight") == 448
    assert found.number("ImageHeight") is None


def test_numbers_may_be_spelled_as_text_or_as_decimals(tmp_path: Path) -> None:
    found = export(tmp_path, totals='{"NumBands": "4", "NumTiles": 8.0, "TileSizeX": -1, "TileSizeY": null}')
    assert [found.number(key) for key in ("NumBands", "NumTiles", "TileSizeX", "TileSizeY")] == [4, 8, None, None]


def test_map_rows_are_read_with_either_slash_blanks_in_names_and_any_line_end(tmp_path: Path) -> None:
    rows = "\r\nimages\\a.jpg  labels\\a.tif \r\nimages/my tile 1.jpg\tlabels/my tile 1.tif\r\n\n"
    rows += "images\\b.tif labels\\R\\b.tif labels\\S\\b.tif"
    found = export(tmp_path, rows=rows).rows
    assert found is not None
    assert [row.parts for row in found] == [
        (("images", "a.jpg"), ("labels", "a.tif")),
        (("images", "my tile 1.jpg"), ("labels", "my tile 1.tif")),
        (("images", "b.tif"), ("labels", "R", "b.tif"), ("labels", "S", "b.tif")),
    ]


def test_rows_that_lead_out_of_the_folder_are_ignored_and_said(tmp_path: Path) -> None:
    rows = "images\\0.tif  labels\\..\\..\\secret.xml\n/etc/1.tif labels/1.tif\nC:\\x\\2.tif labels\\2.tif\n"
    found = export(tmp_path, rows=rows)
    assert found.rows is not None
    assert [row.parts for row in found.rows] == [
        (("images", "0.tif"), None),
        (None, ("labels", "1.tif")),
        (None, ("labels", "2.tif")),
    ]
    assert any("3 rows leading out of the folder" in warning for warning in found.account.warnings)


def test_sub_folders_are_found_in_any_case(tmp_path: Path) -> None:
    (tmp_path / "Images").mkdir()
    found = export(tmp_path)
    assert found.directory("images") == tmp_path / "Images"
    assert found.directory("labels") is None


def test_a_missing_metadata_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "esri_accumulated_stats.json").write_text('{"Version": 1}')
    found = open_export(tmp_path, tmp_path, entries_of(tmp_path))
    assert any("no esri_model_definition.emd" in warning for warning in found.account.warnings)


def test_the_reference_s_file_of_transforms_is_named_as_not_used_with_what_to_give_instead(tmp_path: Path) -> None:
    (tmp_path / "transforms.json").write_text('{"Training": {}}')
    (warning,) = export(tmp_path, emd='{"Version": 1}', rows="images\\0.tif").account.warnings
    assert warning == (
        f"{tmp_path / 'transforms.json'} is not used. To set the random changes yourself, give --augmentation FILE."
    )
