from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chipwright.prediction import Predicted


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Take the place of the prediction; what it was asked for comes in here."""
    found: list[Any] = []

    def predict(options: Any) -> Predicted:
        found.append(options)
        kind, counts = ("objects", {"Palm": 12}) if options.out.suffix == ".gpkg" else ("classes", {"Water": 30, "Trees": 90})
        outputs = (options.out, *([options.probabilities] if options.probabilities else []))
        return Predicted("trees", "TOY", outputs, kind, counts, 4, 256, 64, 0.4 if kind == "objects" else None, 4_000_000, 2.0)

    monkeypatch.setattr("chipwright.prediction.run.predict", predict)
    return found


def test_a_raster_and_an_output_are_all_that_is_needed(run: Any, asked: list[Any]) -> None:
    found = run("predict", "models/trees", "ortho.tif", "--out", "trees.gpkg")
    assert found.status == 0
    assert asked[0].in_raster == (Path("ortho.tif"),)
    assert (asked[0].threshold, asked[0].padding, asked[0].precision) == (None, None, "auto")
    lines = [" ".join(line.split()) for line in found.out.splitlines()]
    assert lines == [
        "trees: objects at a score of 0.4 or more, in 2 s (2 million pixels a second).", "Palm 12", "Result: trees.gpkg",
    ]  # fmt: skip


def test_every_option_reaches_the_prediction(run: Any, asked: list[Any]) -> None:
    words = [
        "--second",
        "later.tif",
        "--probabilities",
        "p.tif",
        "--threshold",
        "0.25",
        "--nms-overlap",
        ".5",
        "--tile-size",
        "512",
    ]
    words += ["--padding", "64", "--batch-size", "2", "--cell-size", "0.5", "--extent", "1,2,3,4.5", "--mask", "area.gpkg"]
    words += ["--processor-type", "cpu", "--precision", "Float32", "--overwrite", "--polygons", "p.gpkg"]
    found = run("predict", "m.dlpk", "a.tif", "b.tif", "--out", "classes.tif", *words)
    assert found.status == 0
    options = asked[0]
    assert options.in_raster == (Path("a.tif"), Path("b.tif"))
    assert options.second == (Path("later.tif"),)
    assert (options.threshold, options.nms_overlap, options.tile_size, options.padding) == (0.25, 0.5, 512, 64)
    assert (options.batch_size, options.cell_size, options.extent) == (2, 0.5, (1, 2, 3, 4.5))
    assert (options.mask, options.polygons, options.overwrite) == (Path("area.gpkg"), Path("p.gpkg"), True)
    assert (options.processor_type, options.precision) == ("CPU", "float32")
    assert "75.0 % of the pixels" in found.out
    assert "p.tif" in found.out


def test_the_result_as_json(run: Any, asked: list[Any]) -> None:
    data = run("predict", "m", "a.tif", "--out", "t.gpkg", "--json").data
    assert (data["counts"], data["outputs"], data["kind"]) == ({"Palm": 12}, ["t.gpkg"], "objects")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--threshold", "2"], "--threshold is '2'; expected a number from 0 to 1"),
        (["--tile-size", "wide"], "--tile-size is 'wide'; expected a whole number"),
        (["--extent", "1,2,3"], "--extent"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(run: Any, asked: list[Any], words: list[str], sentence: str) -> None:
    found = run("predict", "m", "a.tif", "--out", "t.gpkg", *words)
    assert found.status == 2
    assert sentence in found.err
    assert not asked


def test_of_an_image_the_pixels_are_counted() -> None:
    from chipwright.cli.predict import summary

    done = Predicted("infrared", "TOY", (Path("made.tif"),), "image", {"image": 675282}, 4, 256, 64, None, 675282, 2.0)
    assert "image  675,282 pixels" in summary(done)
