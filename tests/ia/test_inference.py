"""The reference's tools that apply models, with models whose answer is known."""

from __future__ import annotations

import csv
import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from map_builders import CELL, LEFT, TOP, counted, echo, raster_file

from chipwright import ia
from chipwright.errors import OptionError

TABLE = np.array([0, 3, 7, 9])


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let "toy.dlpk" be a pixel classifier that gives back its input."""
    model = echo(3, 7, 9)
    monkeypatch.setattr("chipwright.prediction.run.load_model", lambda *_, **__: model)
    monkeypatch.setattr("chipwright.model.load_model", lambda *_, **__: model)
    return model


def layer(path: Path, boxes: list[tuple[float, float, float, float]], **fields: Any) -> Path:
    """Write boxes (left, top, right, bottom) in pixels."""
    shapes = np.array([shapely.box(LEFT + x * CELL, TOP - b * CELL, LEFT + r * CELL, TOP - t * CELL) for x, t, r, b in boxes])
    columns = [np.array(values) for values in fields.values()]
    pyogrio.raw.write(path, shapely.to_wkb(shapes), columns, list(fields), crs="EPSG:32633", geometry_type="Polygon")
    return path


@pytest.mark.parametrize(
    ("tool", "parameters"),
    [
        ("DetectObjectsUsingDeepLearning", "in_raster out_detected_objects in_model_definition arguments run_nms "
         "confidence_score_field class_value_field max_overlap_ratio processing_mode use_pixelspace"),
        ("ClassifyPixelsUsingDeepLearning", "in_raster in_model_definition arguments processing_mode out_classified_folder "
         "out_featureclass overwrite_attachments use_pixelspace"),
        ("ClassifyObjectsUsingDeepLearning", "in_raster out_feature_class in_model_definition in_features class_label_field "
         "processing_mode model_arguments caption"),
        ("DetectChangeUsingDeepLearning", "from_raster to_raster in_model_definition arguments"),
        ("NonMaximumSuppression", "in_featureclass confidence_score_field out_featureclass class_value_field "
         "max_overlap_ratio"),
        ("ComputeAccuracyForObjectDetection", "detected_features ground_truth_features out_accuracy_table out_accuracy_report "
         "detected_class_value_field ground_truth_class_value_field min_iou mask_features"),
    ],
)  # fmt: skip
def test_the_signature_is_the_reference_s(tool: str, parameters: str) -> None:
    assert [name for name in inspect.signature(getattr(ia, tool)).parameters if name != "beyond"] == parameters.split()


def test_pixels_are_classified_and_saved(tmp_path: Path, loaded: Any) -> None:
    indices = counted((90, 110), 4)
    raster = raster_file(tmp_path / "in.tif", indices)
    result = ia.ClassifyPixelsUsingDeepLearning(str(raster), "toy.dlpk", "padding 8;batch_size 2;tile_size 64")
    assert result.save(tmp_path / "classes.tif") == str(tmp_path / "classes.tif")
    with rasterio.open(tmp_path / "classes.tif") as file:
        np.testing.assert_array_equal(file.read(1), TABLE[indices])
        assert "STATISTICS_MEAN" in file.tags(1)
    assert (result.details.tile_size, result.details.padding) == (64, 8)


def test_rasters_one_by_one_go_into_a_folder(tmp_path: Path, loaded: Any) -> None:
    (tmp_path / "in").mkdir()
    for number in (1, 2):
        raster_file(tmp_path / f"in/{number}.tif", counted((40, 40), 4, seed=number))
    given = [str(tmp_path / "in"), "toy.dlpk", None, "PROCESS_ITEMS_SEPARATELY"]
    with pytest.raises(OptionError, match="needs out_classified_folder"):
        ia.ClassifyPixelsUsingDeepLearning(*given)
    ia.ClassifyPixelsUsingDeepLearning(*given, str(tmp_path / "out"))
    for number in (1, 2):
        with rasterio.open(tmp_path / f"out/{number}.tif") as file:
            np.testing.assert_array_equal(file.read(1), TABLE[counted((40, 40), 4, seed=number)])


def test_arguments_are_the_reference_s(tmp_path: Path, loaded: Any, capsys: pytest.CaptureFixture[str]) -> None:
    raster = raster_file(tmp_path / "in.tif", counted((40, 40), 4))
    ia.ClassifyPixelsUsingDeepLearning(raster, "toy.dlpk", [["predict_background", "True"]], out_raster=tmp_path / "out.tif")
    assert "The argument predict_background changes nothing" in capsys.readouterr().err
    assert (tmp_path / "out.tif").exists()
    with pytest.raises(OptionError, match=r"no argument 'paddin'\. Did you mean padding"):
        ia.ClassifyPixelsUsingDeepLearning(raster, "toy.dlpk", "paddin 8")
    with pytest.raises(OptionError, match="processing_mode is 'PROCESS_CANDIDATE_ITEMS_ONLY'; expected"):
        ia.ClassifyPixelsUsingDeepLearning(raster, "toy.dlpk", "", "PROCESS_CANDIDATE_ITEMS_ONLY")


def test_of_overlapping_features_the_best_stays_with_all_its_fields(tmp_path: Path) -> None:
    source = layer(
        tmp_path / "in.gpkg", [(0, 0, 10, 10), (1, 0, 11, 10), (1, 0, 11, 10), (50, 50, 60, 60)],
        Confidence=[60.0, 90.0, 95.0, 5.0], Class=["a", "a", "b", "a"], classvalue=[1, 1, 2, 1], note=["w", "x", "y", "z"],
    )  # fmt: skip
    result = ia.NonMaximumSuppression(source, "Confidence", tmp_path / "out.gpkg", "Class", 0.5)
    meta, _, _, columns = pyogrio.raw.read(tmp_path / "out.gpkg")
    fields = dict(zip(meta["fields"], columns, strict=True))
    assert result.count == 3
    assert fields["note"].tolist() == ["x", "y", "z"]
    assert fields["Confidence"].tolist() == [90, 95, 5]
    assert ia.NonMaximumSuppression(source, "Confidence", tmp_path / "more.gpkg", None, 0.9).count == 4
    with pytest.raises(OptionError, match=r"no field 'Confidenc'\. Did you mean"):
        ia.NonMaximumSuppression(source, "Confidenc", tmp_path / "not.gpkg")
    with pytest.raises(OptionError, match="never written to"):
        ia.NonMaximumSuppression(source, "Confidence", source)


def test_the_accuracy_of_objects_is_a_table_and_a_page(tmp_path: Path) -> None:
    found = layer(
        tmp_path / "found.gpkg", [(0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10), (60, 0, 70, 10)],
        classvalue=[1, 1, 1, 2], Confidence=[90.0, 80.0, 70.0, 60.0],
    )  # fmt: skip
    truth = layer(
        tmp_path / "truth.gpkg", [(1, 0, 10, 10), (40, 0, 50, 9), (80, 0, 90, 10), (60, 0, 70, 10)], classvalue=[1, 1, 1, 2]
    )
    result = ia.ComputeAccuracyForObjectDetection(found, truth, tmp_path / "table.csv", tmp_path / "page.pdf")
    rows = {row["Class"]: row for row in csv.DictReader((tmp_path / "table.csv").open())}
    one = rows[result.rows[0]["Class"]]
    assert (one["True_Positive"], one["False_Positive"], one["False_Negative"]) == ("2", "1", "1")
    # hit, miss, hit of three: 1 up to recall 1/3 (34 of 101 recalls), 2/3 up to 2/3 (33)
    assert float(one["AP"]) == pytest.approx((34 + 33 * 2 / 3) / 101)
    assert float(rows["All"]["AP"]) == pytest.approx((float(one["AP"]) + 1) / 2)
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(OptionError, match=r"table.csv exists"):
        ia.ComputeAccuracyForObjectDetection(found, truth, tmp_path / "table.csv")
    with ia.EnvManager(overwriteOutput=True):
        ia.ComputeAccuracyForObjectDetection(found, truth, tmp_path / "table.csv")
    strict = ia.ComputeAccuracyForObjectDetection(found, truth, tmp_path / "strict.csv", min_iou=0.95)
    assert [row["True_Positive"] for row in strict.rows] == [0, 1, 1]


def test_options_beyond_the_reference_s_win_over_the_environment(tmp_path: Path, loaded: Any) -> None:
    raster = raster_file(tmp_path / "in.tif", counted((40, 40), 4))
    out = tmp_path / "out.tif"
    out.write_bytes(b"old")
    with pytest.raises(OptionError, match="exists"):
        ia.ClassifyPixelsUsingDeepLearning(raster, "toy.dlpk", out_raster=out)
    ia.ClassifyPixelsUsingDeepLearning(raster, "toy.dlpk", out_raster=out, overwrite=True, processor_type="CPU")
    with rasterio.open(out) as file:
        assert file.width == 40
    ia.ClassifyPixelsUsingDeepLearning(raster, "toy.dlpk", out_raster=out, overwrite=True, cell_size=2 * CELL)
    with rasterio.open(out) as file:
        assert file.width == 20


def test_rasters_of_one_name_are_told_before_anything_is_written(tmp_path: Path, loaded: Any) -> None:
    for folder, name in (("a", "x.tif"), ("b", "X.tif")):
        (tmp_path / folder).mkdir()
        raster_file(tmp_path / folder / name, counted((40, 40), 4))
    given = [[tmp_path / "a", tmp_path / "b"], "toy.dlpk", None, "PROCESS_ITEMS_SEPARATELY", tmp_path / "out"]
    with pytest.raises(OptionError, match="Two rasters are called X"):
        ia.ClassifyPixelsUsingDeepLearning(*given)
    assert not [*(tmp_path / "out").glob("*")]
    given[0] = [tmp_path / "a"]
    with pytest.raises(OptionError, match=r"a folder of rasters, .*; they need not be saved"):
        ia.ClassifyPixelsUsingDeepLearning(*given).save(tmp_path / "more.tif")


def test_with_nms_what_is_there_is_not_replaced_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [(0, 0, 10, 10), (1, 0, 11, 10)]

    def predict(model: Any, rasters: Any, out: Path, **_: Any) -> Any:
        return SimpleNamespace(outputs=(layer(out, boxes, Confidence=[60.0, 90.0], classvalue=[1, 1]),), counts={"tree": 2})

    monkeypatch.setattr("chipwright.api.predict", predict)
    out = tmp_path / "out.gpkg"
    given = ["in.tif", out, "toy.dlpk", None, "NMS", "Confidence", "Class"]
    assert ia.DetectObjectsUsingDeepLearning(*given, "0.9").count == 2
    with pytest.raises(OptionError, match="exists"):
        ia.DetectObjectsUsingDeepLearning(*given)
    with pytest.raises(OptionError, match="max_overlap_ratio is 'half'; expected a number from 0 to 1"):
        ia.DetectObjectsUsingDeepLearning(*given, "half", overwrite=True)
    assert ia.DetectObjectsUsingDeepLearning(*given, "#", overwrite=True).count == 1


def test_numbers_that_are_none_get_one_sentence(tmp_path: Path) -> None:
    source = layer(tmp_path / "in.gpkg", [(0, 0, 10, 10)], Confidence=[60.0], classvalue=[1])
    with pytest.raises(OptionError, match="max_overlap_ratio is 2; expected a number from 0 to 1"):
        ia.NonMaximumSuppression(source, "Confidence", tmp_path / "out.gpkg", None, 2)
    with pytest.raises(OptionError, match="min_iou is 'x'; expected a number from 0 to 1"):
        ia.ComputeAccuracyForObjectDetection(source, source, tmp_path / "table.csv", min_iou="x")


def test_another_name_of_a_field_is_said_to_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = SimpleNamespace(outputs=(tmp_path / "out.gpkg",), counts={})
    monkeypatch.setattr("chipwright.api.predict", lambda *_, **__: done)
    ia.DetectObjectsUsingDeepLearning("in.tif", tmp_path / "out.gpkg", "toy.dlpk", None, "NO_NMS", "confidence", "Kind")
    told = capsys.readouterr().err
    assert "class_value_field 'Kind' changes nothing: the field is Class or classvalue." in told
    assert "confidence_score_field" not in told
