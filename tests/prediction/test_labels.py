"""Classifiers on maps, with a network whose answer is known."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pyogrio
import pytest
import shapely
from map_builders import CELL, LEFT, TOP, model_of, raster_file, spec_for
from numpy.typing import NDArray
from torch import Tensor, nn

from chipwright import api
from chipwright.errors import DataError
from chipwright.tasks.classification import ClassificationTask


class Brightest(nn.Module):
    """Gives the class whose number is the brightest pixel's value."""

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of 4 for that class."""
        values = images.amax((1, 2, 3)).round().long().clamp(1, 3)
        return 4 * nn.functional.one_hot(values - 1, 3).float()


def classifier(**changes: Any) -> Any:
    spec = spec_for((2, 5, 8), **({"metadata_format": "Labeled_Tiles", "chip_size": (32, 32)} | changes))
    return model_of(Brightest(), ClassificationTask(spec), "FEATURE_CLASSIFIER")


def squares(path: Path, places: list[tuple[int, int, int]]) -> Path:
    """Write squares (left, top, side) in pixels as polygons."""
    shapes = [
        shapely.box(LEFT + x * CELL, TOP - (y + side) * CELL, LEFT + (x + side) * CELL, TOP - y * CELL) for x, y, side in places
    ]
    pyogrio.raw.write(path, shapely.to_wkb(np.array(shapes)), [], [], crs="EPSG:32633", geometry_type="Polygon")
    return path


def test_every_feature_gets_the_label_of_its_surroundings(tmp_path: Path) -> None:
    pixels = np.ones((200, 200), np.uint8)
    pixels[100:110, 100:110], pixels[20:25, 150:155] = 3, 2
    raster = raster_file(tmp_path / "in.tif", pixels)
    features = squares(tmp_path / "houses.gpkg", [(98, 98, 14), (148, 18, 10), (10, 10, 12), (0, 0, 6)])
    done = api.predict(classifier(), raster, tmp_path / "out.gpkg", features=features)
    meta, _, wkb, (labels, confidence, values) = pyogrio.raw.read(tmp_path / "out.gpkg")
    assert labels.tolist() == ["Class 8", "Class 5", "Class 2", "Class 2"]
    assert values.tolist() == [8, 5, 2, 2]
    np.testing.assert_allclose(confidence, 100 * np.exp(4) / (np.exp(4) + 2), atol=0.01)
    assert done.counts == {"Class 2": 2, "Class 5": 1, "Class 8": 1}
    assert shapely.from_wkb(wkb)[0].equals(shapely.from_wkb(pyogrio.raw.read(features)[2])[0])
    assert meta["crs"] == "EPSG:32633"


def test_features_keep_their_fields(tmp_path: Path) -> None:
    raster = raster_file(tmp_path / "in.tif", np.ones((200, 200), np.uint8))
    plain = squares(tmp_path / "plain.gpkg", [(98, 98, 14), (900, 900, 5), (10, 10, 12)])
    wkb = pyogrio.raw.read(plain)[2]
    fields: dict[str, NDArray[Any]] = {
        "owner": np.array(["Ann", "nobody", None], object), "floors": np.array([2, 0, 3], np.int32),
        "built": np.array(["1990-01-01", "NaT", "2001-05-03"], "datetime64[ms]"), "label": np.array(["old"] * 3, object),
        "FID": np.array([7, 7, 7], np.int64),
    }  # fmt: skip
    houses = tmp_path / "houses.geojson"
    pyogrio.raw.write(houses, wkb, list(fields.values()), list(fields), crs="EPSG:32633", geometry_type="Polygon")
    api.predict(classifier(), raster, tmp_path / "out.gpkg", features=houses)
    meta, _, _, columns = pyogrio.raw.read(tmp_path / "out.gpkg")
    found = dict(zip(meta["fields"].tolist(), columns, strict=True))
    assert list(found) == ["owner", "floors", "built", "Label", "Confidence", "classvalue"]
    assert found["owner"].tolist() == ["Ann", None]
    assert found["floors"].tolist() == [2, 3]
    assert [str(date)[:10] for date in found["built"]] == ["1990-01-01", "2001-05-03"]
    assert found["Label"].tolist() == ["Class 2", "Class 2"]


def test_without_features_tiles_are_labelled(tmp_path: Path) -> None:
    pixels = np.ones((64, 100), np.uint8)
    pixels[40, 40] = 3
    raster = raster_file(tmp_path / "in.tif", pixels)
    done = api.predict(classifier(), raster, tmp_path / "out.geojson")
    assert done.counts == {"Class 2": 7, "Class 5": 0, "Class 8": 1}


def test_what_lies_around_a_feature_is_black_where_it_was_so_in_training(tmp_path: Path) -> None:
    pixels = np.ones((100, 100), np.uint8)
    pixels[60, 60] = 3
    raster = raster_file(tmp_path / "in.tif", pixels)
    features = squares(tmp_path / "houses.gpkg", [(45, 45, 10)])
    seen = api.predict(classifier(), raster, tmp_path / "seen.gpkg", features=features)
    black = api.predict(classifier(metadata={"BlackenAroundFeature": 1}), raster, tmp_path / "black.gpkg", features=features)
    assert seen.counts["Class 8"] == 1
    assert black.counts["Class 2"] == 1


def test_several_labels_stand_in_one_text(tmp_path: Path) -> None:
    raster = raster_file(tmp_path / "in.tif", np.full((32, 32), 2, np.uint8))
    api.predict(classifier(metadata_format="MultiLabeled_Tiles"), raster, tmp_path / "out.gpkg", threshold=0.4)
    _, _, _, (labels, confidence) = pyogrio.raw.read(tmp_path / "out.gpkg")
    assert labels.tolist() == ["Class 2;Class 5;Class 8"]
    assert confidence[0].split(";") == ["50.0", "98.2", "50.0"]


def test_features_elsewhere_are_told(tmp_path: Path) -> None:
    raster = raster_file(tmp_path / "in.tif", np.ones((50, 50), np.uint8))
    with pytest.raises(DataError, match=r"None of the 1 features in far\.gpkg lies on the raster"):
        api.predict(classifier(), raster, tmp_path / "out.gpkg", features=squares(tmp_path / "far.gpkg", [(900, 900, 10)]))
    assert not (tmp_path / "out.gpkg").exists()


def test_work_on_other_features_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.ones((200, 200), np.uint8)
    pixels[20:25, 150:155] = 3
    raster = raster_file(tmp_path / "in.tif", pixels)
    features = squares(tmp_path / "houses.gpkg", [(10, 10, 12)])
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("chipwright.prediction.labels.write_places", Mock(side_effect=KeyboardInterrupt))
        api.predict(classifier(), raster, tmp_path / "out.gpkg", features=features)
    features.unlink()
    squares(features, [(148, 18, 10)])
    done = api.predict(classifier(), raster, tmp_path / "out.gpkg", features=features)
    assert done.counts["Class 8"] == 1
