"""Parts of the raster functions, called as ArcGIS Pro does, with networks that are no ONNX files."""

import json
from typing import Any

import numpy as np
import pytest

from chipwright.package.functions.object_detector import ChipwrightObjectDetector
from chipwright.package.functions.pixel_classifier import ChipwrightPixelClassifier
from chipwright.package.functions.shared import RasterFunction


def made(kind: Any, **facts: Any) -> Any:
    function = kind()
    function.emd = {"ExtractBands": [0]}
    function.facts = {"fill": [0.0], "threshold": 0.5, "nms_overlap": 0.3} | facts
    function.height = function.width = 64
    function.classes = [{"Name": "tree", "Value": 1}]
    function.padding, function.batch_size = 16, 4
    return function


@pytest.mark.parametrize(
    ("given", "padding", "sides"),
    [
        ({}, 16, (64, 64)),
        ({"padding": "8", "batch_size": "2"}, 8, (96, 48)),
        ({"padding": "8.0", "batch_size": 2.0}, 8, (96, 48)),
        ({"padding": "", "batch_size": None}, 16, (64, 64)),
        ({"padding": -3, "batch_size": 0}, 0, (64, 64)),
        ({"padding": 500, "batch_size": 1}, 31, (2, 2)),
    ],
)
def test_arguments_may_be_texts_or_left_empty(given: dict[str, Any], padding: int, sides: tuple[int, int]) -> None:
    wanted = made(RasterFunction).getConfiguration(**given)
    assert (wanted["padding"], wanted["tx"], wanted["ty"]) == (padding, *sides)


def test_objects_on_ground_without_data_are_none() -> None:
    function = made(ChipwrightObjectDetector)
    function.getConfiguration(padding=0, batch_size=1)
    boxes = np.array([[4, 4, 14, 14], [40, 40, 56, 56]], np.float32)
    function.run = lambda pixels: {"boxes": boxes, "scores": np.array([0.9, 0.8]), "labels": np.array([1, 1])}
    mask = np.ones((1, 64, 64), np.uint8)
    mask[:, 30:60, 30:60] = 0
    found = function.vectorize(raster_pixels=np.ones((1, 64, 64), np.uint8), raster_mask=mask)
    (feature,) = json.loads(found["output_vectors"])["features"]
    assert feature["geometry"]["rings"][0][0] == [4, 4]


def test_dates_that_hold_nodata_are_missing_from_a_time_series() -> None:
    pixels = np.full((6, 1, 4), 7, np.int16)
    pixels[2:4, 0, 1] = -1
    pixels[4, 0, 2] = -1  # one variable alone is a value
    held = np.array([[True, True, True, False]])
    plain = made(ChipwrightPixelClassifier, fill=[None] * 6).filled(pixels, held)
    assert np.isnan(plain).sum() == 6
    found = made(ChipwrightPixelClassifier, fill=[None] * 6, missing={"value": -1.0, "bands": 2}).filled(pixels, held)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(found)[:, 0, :3].nonzero(), [[2, 3], [1, 1]])
    assert np.isnan(found[:, 0, 3]).all()
