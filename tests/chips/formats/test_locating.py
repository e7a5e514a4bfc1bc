from __future__ import annotations

from pathlib import Path

import builders
import pytest

from chipwright.chips.formats.locating import locate_export
from chipwright.errors import DataError


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as found:
        locate_export(path)
    return str(found.value)


def test_an_export_one_level_down_is_found_and_said(tmp_path: Path) -> None:
    builders.voc(tmp_path / "export_1", count=1)
    (tmp_path / "notes").mkdir()
    export = locate_export(tmp_path)
    assert (export.given, export.root) == (tmp_path, tmp_path / "export_1")
    assert any("the export in export_1 is used" in warning for warning in export.account.warnings)


def test_several_exports_one_level_down_must_be_named(tmp_path: Path) -> None:
    for name in ("east", "west"):
        builders.voc(tmp_path / name, count=1)
    assert "holds 2 exports, east and west" in refusal(tmp_path)


def test_a_missing_folder_is_named_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "palms").mkdir()
    assert refusal(tmp_path / "palm").endswith("Did you mean palms?")
    assert "Nor is there a folder" in refusal(tmp_path / "a" / "b")


def test_a_file_is_told_from_a_folder(tmp_path: Path) -> None:
    builders.voc(tmp_path, count=1)
    (tmp_path / "model.dlpk").touch()
    assert "is a file; give the folder" in refusal(tmp_path / "map.txt")
    assert "is a trained model" in refusal(tmp_path / "model.dlpk")


def test_a_part_of_an_export_points_to_the_folder_above(tmp_path: Path) -> None:
    builders.voc(tmp_path, count=1)
    for name in ("images", "labels"):
        assert refusal(tmp_path / name).endswith(f"give the folder above it, {tmp_path}.")


def test_a_trained_model_is_told_from_training_data(tmp_path: Path) -> None:
    (tmp_path / "palms.emd").touch()
    (tmp_path / "palms.safetensors").touch()
    assert "holds a trained model (palms.emd and palms.safetensors), not training data" in refusal(tmp_path)


def test_anything_else_is_described(tmp_path: Path) -> None:
    assert "it is empty; expected the folders images and labels" in refusal(tmp_path)
    for index in range(3):
        (tmp_path / f"{index}.tif").touch()
    assert "it holds 3 .tif files and no images folder" in refusal(tmp_path)


def test_metadata_without_images_say_that_a_part_is_missing(tmp_path: Path) -> None:
    (tmp_path / "map.txt").write_text("images\\0.tif labels\\0.tif")
    assert "a part of the export is missing" in refusal(tmp_path)
