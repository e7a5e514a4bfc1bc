"""Maps against references."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from map_builders import CELL, LEFT, TOP, counted, echo, raster_file

import chipwright
from chipwright.accuracy.objects import average_precision, compare_objects
from chipwright.cli.evaluate import _map_text
from chipwright.errors import DataError


def layer(path: Path, boxes: list[tuple[float, float, float, float]], crs: str = "EPSG:32633", **fields: Any) -> Path:
    shapes = np.array([shapely.box(LEFT + x * CELL, TOP - b * CELL, LEFT + r * CELL, TOP - t * CELL) for x, t, r, b in boxes])
    pyogrio.raw.write(
        path, shapely.to_wkb(shapes), [np.array(one) for one in fields.values()], list(fields), crs=crs, geometry_type="Polygon"
    )
    return path


def test_classes_are_counted_pixel_by_pixel(tmp_path: Path) -> None:
    truth = counted((120, 90), 3)
    found = truth.copy()
    found[:30] = (found[:30] + 1) % 3
    found[100:] = 255
    result = chipwright.evaluate_map(
        raster_file(tmp_path / "found.tif", found, nodata=255), raster_file(tmp_path / "truth.tif", truth), tmp_path / "out"
    )
    assert result.kind == "classes"
    assert result.metrics["accuracy"] == pytest.approx(0.7)
    one = next(row for row in result.per_class if row["value"] == 1)
    hits, seen, true = (int(m[:100].sum()) for m in ((found == 1) & (truth == 1), found == 1, truth == 1))
    assert one["IoU"] == pytest.approx(hits / (seen + true - hits))
    with rasterio.open(tmp_path / "out" / "errors.tif") as file:
        np.testing.assert_array_equal(file.read(1), np.where(found == 255, 255, found != truth))
    assert json.loads((tmp_path / "out" / "accuracy.json").read_text())["metrics"]["accuracy"] == pytest.approx(0.7)
    assert len(list(csv.DictReader((tmp_path / "out" / "accuracy.csv").open()))) == 2


def test_polygons_are_drawn_onto_the_map_and_uncovered_ground_is_background(tmp_path: Path) -> None:
    found = np.zeros((60, 60), np.uint8)
    found[10:30, 10:30] = 4
    truth = layer(tmp_path / "truth.gpkg", [(10, 10, 30, 40)], classvalue=[4])
    result = chipwright.evaluate_map(raster_file(tmp_path / "found.tif", found), truth, tmp_path / "out")
    assert result.per_class[0]["IoU"] == pytest.approx(400 / 600)
    assert result.metrics["accuracy"] == pytest.approx(1 - 200 / 3600)
    within = layer(tmp_path / "within.gpkg", [(10, 10, 30, 40)])
    masked = chipwright.evaluate_map(tmp_path / "found.tif", truth, tmp_path / "masked", mask=within)
    assert masked.metrics["accuracy"] == pytest.approx(400 / 600)


def test_a_reference_on_another_grid_is_laid_onto_the_map(tmp_path: Path) -> None:
    coarse = counted((20, 20), 3)
    fine = np.repeat(np.repeat(coarse, 3, 0), 3, 1)
    place = rasterio.transform.from_origin(LEFT, TOP, 3 * CELL, 3 * CELL)
    reference = raster_file(tmp_path / "coarse.tif", coarse, transform=place)
    assert (
        chipwright.evaluate_map(raster_file(tmp_path / "fine.tif", fine), reference, tmp_path / "out").metrics["accuracy"] == 1
    )


def test_objects_are_matched_across_reference_systems(tmp_path: Path) -> None:
    found = layer(
        tmp_path / "found.gpkg", [(0, 0, 10, 10), (0, 1, 10, 11), (50, 50, 60, 60)], classvalue=[1, 1, 1],
        Confidence=[80.0, 90.0, 70.0],
    )  # fmt: skip
    boxes = layer(tmp_path / "truth.gpkg", [(0, 0, 10, 10), (30, 30, 40, 40)], classvalue=[1, 1])
    meta, _, wkb, columns = pyogrio.raw.read(boxes)
    shapes = shapely.transform(
        shapely.from_wkb(wkb), lambda points: np.column_stack(rasterio.warp.transform(meta["crs"], "EPSG:4326", *points.T))
    )
    truth = tmp_path / "degrees.geojson"
    pyogrio.raw.write(truth, shapely.to_wkb(shapes), columns, ["classvalue"], crs="EPSG:4326", geometry_type="Polygon")
    result = chipwright.evaluate_map(found, truth, tmp_path / "out")
    row = result.per_class[0]
    assert (row["found"], row["false"], row["missed"]) == (1, 2, 1)
    assert (row["precision"], row["recall"]) == (pytest.approx(1 / 3), 0.5)
    _, _, _, (verdicts, *_) = pyogrio.raw.read(tmp_path / "out" / "errors.gpkg")
    assert verdicts.tolist() == ["false", "found", "false", "missed"]  # the better of the two that overlap has it


def test_an_empty_prediction_misses_everything(tmp_path: Path) -> None:
    found = layer(tmp_path / "found.gpkg", [], classvalue=np.zeros(0, int), Confidence=np.zeros(0))
    truth = layer(tmp_path / "truth.gpkg", [(0, 0, 10, 10)], classvalue=[1])
    result = chipwright.evaluate_map(found, truth, tmp_path / "out")
    assert (result.per_class[0]["missed"], result.per_class[0]["ap"]) == (1, 0.0)


@pytest.mark.parametrize(
    ("hits", "truth", "expected"),
    [
        ([], 3, 0.0),
        ([True], 1, 1.0),
        ([False, True], 1, 0.5),
        ([True, False, True], 4, (26 + 25 * 2 / 3) / 101),
        ([True], 0, None),
    ],
)
def test_average_precision_is_coco_s(hits: list[bool], truth: int, expected: float | None) -> None:
    scores = np.linspace(1, 0.5, len(hits))
    assert average_precision(np.array(hits, bool), scores, truth) == (expected if expected is None else pytest.approx(expected))


def test_maps_of_other_places_have_nothing_in_common(tmp_path: Path) -> None:
    far = rasterio.transform.from_origin(LEFT + 10_000, TOP, CELL, CELL)
    found = raster_file(tmp_path / "found.tif", counted((20, 20), 3))
    with pytest.raises(DataError, match="no pixel in common"):
        chipwright.evaluate_map(found, raster_file(tmp_path / "far.tif", counted((20, 20), 3), transform=far), tmp_path / "out")
    with pytest.raises(DataError, match="Objects are compared with polygons"):
        chipwright.evaluate_map(layer(tmp_path / "o.gpkg", [(0, 0, 9, 9)], classvalue=[1]), found, tmp_path / "out")
    assert not (tmp_path / "out" / "errors.tif").exists()


def test_a_map_on_which_nothing_was_found_is_measured(tmp_path: Path) -> None:
    found = raster_file(tmp_path / "found.tif", np.zeros((40, 40), np.uint8))
    truth = layer(tmp_path / "truth.gpkg", [(0, 0, 10, 40)], classvalue=[2])
    result = chipwright.evaluate_map(found, truth, tmp_path / "out")
    assert result.metrics["accuracy"] == pytest.approx(0.75)
    assert result.per_class[0]["recall"] == 0
    empty = chipwright.evaluate_map(found, raster_file(tmp_path / "truth.tif", np.zeros((40, 40), np.uint8)), tmp_path / "more")
    assert empty.metrics["accuracy"] == 1
    assert "No class occurs." in _map_text(empty)


def test_classes_of_texts_are_compared_by_name(tmp_path: Path) -> None:
    boxes: list[tuple[float, float, float, float]] = [(0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)]
    found = layer(
        tmp_path / "found.gpkg", boxes, Class=["oak", "palm", "palm"], classvalue=[1, 2, 2], Confidence=[90.0, 80.0, 70.0]
    )
    truth = layer(tmp_path / "truth.gpkg", boxes[1:], species=["palm", "yew"])
    result = chipwright.evaluate_map(found, truth, tmp_path / "out", class_value_field="species")
    assert {row["class"]: (row["found"], row["false"], row["missed"]) for row in result.per_class} == {
        "oak": (0, 1, 0), "palm": (1, 1, 0), "yew": (0, 0, 1),
    }  # fmt: skip
    compared = compare_objects(found, truth, class_value_field="Class", reference_class_value_field="species")
    assert compared.matched.tolist() == [-1, 0, -1]


def test_values_are_compared_where_the_reference_holds_numbers(tmp_path: Path) -> None:
    boxes: list[tuple[float, float, float, float]] = [(0, 0, 10, 10), (20, 0, 30, 10)]
    found = layer(tmp_path / "found.gpkg", boxes, Class=["b", "a"], classvalue=[3, 7])
    for name, values in (("numbers", [3, 7]), ("texts", ["3", "7"])):
        truth = layer(tmp_path / f"{name}.gpkg", boxes, classvalue=values)
        assert compare_objects(found, truth).matched.tolist() == [0, 1]


def test_polygons_of_texts_are_compared_with_a_map_by_its_names(tmp_path: Path) -> None:
    model = echo(1, 2, 3)  # called Class 1, Class 2 and Class 3
    pixels = np.zeros((40, 40), np.uint8)
    pixels[:10], pixels[10:20] = 2, 3
    chipwright.predict(model, raster_file(tmp_path / "in.tif", pixels), tmp_path / "found.tif", padding=8)
    boxes: list[tuple[float, float, float, float]] = [(0, 0, 40, 10), (0, 10, 40, 15), (0, 15, 40, 20)]
    truth = layer(tmp_path / "truth.gpkg", boxes, kind=["class 2", "Class 3", "Water"])
    result = chipwright.evaluate_map(tmp_path / "found.tif", truth, tmp_path / "out", class_value_field="kind")
    rows = {row["class"].casefold(): row for row in result.per_class}
    assert rows["class 2"]["IoU"] == 1
    assert rows["class 3"]["IoU"] == pytest.approx(0.5)
    assert rows["water"]["IoU"] == 0
    same = chipwright.evaluate_map(tmp_path / "found.tif", tmp_path / "found.tif", tmp_path / "same")
    assert [row["class"] for row in same.per_class] == ["Class 2", "Class 3"]
