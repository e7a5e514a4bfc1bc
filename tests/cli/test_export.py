from __future__ import annotations

from pathlib import Path
from typing import Any

from raster_builders import pixel_box, texture, write_imagery, write_vector


def scene(folder: Path) -> tuple[Path, Path]:
    raster = write_imagery(folder / "scene.tif", texture(3, 100, 100))
    return raster, write_vector(folder / "labels.gpkg", [pixel_box(10, 10, 30, 30)], {"classvalue": [1]})


def test_an_export_says_what_was_made_and_what_was_not(run: Any, tmp_path: Path) -> None:
    raster, labels = scene(tmp_path / "in")
    found = run("export", raster, "--labels", labels, "--out", tmp_path / "out", "--tile-size", "50", "--stride", "50")
    lines = [" ".join(line.split()) for line in found.out.splitlines()]
    assert found.status == 0
    assert lines[:2] == ["1 chips of PASCAL_VOC_rectangles, 1 class.", "3 tiles left out: they hold no feature"]
    assert "chipwright inspect" in found.out


def test_an_export_as_json(run: Any, tmp_path: Path) -> None:
    raster, labels = scene(tmp_path / "in")
    words = ["--labels", labels, "--out", tmp_path / "out", "--tile-size", "50,25", "--metadata-format", "rcnn_masks"]
    data = run("export", raster, *words, "--output-nofeature-tiles", "--json").data
    assert (data["metadata_format"], data["chips"]) == ("RCNN_Masks", 24)
    assert data["classes"][0]["value"] == 1


def test_options_are_spelled_as_the_user_gave_them(run: Any, tmp_path: Path) -> None:
    raster, labels = scene(tmp_path / "in")
    found = run("export", raster, "--labels", labels, "--out", tmp_path / "out", "--tile-size", "wide")
    assert found.status == 2
    assert "--tile-size is 'wide'; expected a whole number" in found.err
    assert not (tmp_path / "out").exists()


def test_a_folder_of_training_data_is_converted(run: Any, tmp_path: Path) -> None:
    raster, labels = scene(tmp_path / "in")
    assert run("export", raster, "--labels", labels, "--out", tmp_path / "out", "--tile-size", "50").status == 0
    found = run("export", tmp_path / "out", "--out", tmp_path / "yolo", "--metadata-format", "YOLO_rectangles")
    assert found.status == 0
    assert (tmp_path / "yolo" / "data.yaml").is_file() or list((tmp_path / "yolo" / "labels").glob("*.txt"))
