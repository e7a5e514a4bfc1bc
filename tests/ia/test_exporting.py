from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from raster_builders import CELL, pixel_box, texture, write_imagery, write_vector

from chipwright.chips.folders import read_chips
from chipwright.errors import OptionError
from chipwright.ia import EnvManager, ExportTrainingDataForDeepLearning


@pytest.fixture
def scene(tmp_path: Path) -> tuple[Path, Path]:
    raster = write_imagery(tmp_path / "in" / "scene.tif", texture(3, 100, 100))
    return raster, write_vector(tmp_path / "in" / "labels.gpkg", [pixel_box(10, 10, 30, 30)], {"classvalue": [1]})


def test_the_signature_is_the_reference_s() -> None:
    parameters = list(inspect.signature(ExportTrainingDataForDeepLearning).parameters)
    assert parameters == [
        "in_raster", "out_folder", "in_class_data", "image_chip_format", "tile_size_x", "tile_size_y", "stride_x", "stride_y",
        "output_nofeature_tiles", "metadata_format", "start_index", "class_value_field", "buffer_radius", "in_mask_polygons",
        "rotation_angle", "reference_system", "processing_mode", "blacken_around_feature", "crop_mode", "in_raster2",
        "in_instance_data", "instance_class_value_field", "min_polygon_overlap_ratio", "beyond",
    ]  # fmt: skip


def test_parameters_by_position_with_the_reference_s_keywords(scene: tuple[Path, Path], tmp_path: Path) -> None:
    result = ExportTrainingDataForDeepLearning(
        str(scene[0]), str(tmp_path / "out"), str(scene[1]), "PNG", "50", 50, "50", 50, "ALL_TILES", "KITTI_rectangles", 100,
        "#", "", None, 0, "PIXEL_SPACE", "PROCESS_AS_MOSAICKED_IMAGE", "NO_BLACKEN", "FIXED_SIZE", "", "", "", 0.2,
    )  # fmt: skip
    chips = read_chips([tmp_path / "out"])
    assert (result.chips, len(chips), chips.format, chips.image_space) == (4, 4, "KITTI_rectangles", "PIXEL_SPACE")
    assert chips.chips[0].images[0].name == "000000000100.png"
    assert result[0] == result.getOutput(0) == str(result) == str(tmp_path / "out")


def test_the_environment_is_heeded(scene: tuple[Path, Path], tmp_path: Path) -> None:
    def cut() -> int:
        return ExportTrainingDataForDeepLearning(scene[0], tmp_path / "out", scene[1], tile_size_x=25, tile_size_y=25).chips

    cut()
    with pytest.raises(OptionError, match="not empty"):
        cut()
    with EnvManager(overwriteOutput=True, cellSize=2 * CELL):
        cut()
    found = read_chips([tmp_path / "out"]).chips[0].georeference
    assert found is not None
    assert found.transform[0] == 2 * CELL


def test_an_unknown_parameter_is_named(scene: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"no option 'tilesize'"):
        ExportTrainingDataForDeepLearning(scene[0], tmp_path / "out", scene[1], tilesize=3)
