"""Detectors on maps, with networks whose answer is known."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
import torch
from map_builders import CELL, LEFT, TOP, model_of, raster_file, spec_for
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label
from torch import Tensor, nn

from chipwright import api
from chipwright.errors import OptionError
from chipwright.prediction.objects import Objects, merged
from chipwright.tasks.detection import DetectionTask
from chipwright.tasks.instances import InstanceTask


class Blobs(nn.Module):
    """Finds everything that hangs together, its value being the class; of what a border cuts it finds the part that it sees.

    The score is 0.9 for what is seen whole, and less the more is cut.
    """

    def __init__(self, masks: bool = False) -> None:
        super().__init__()
        self.masks = masks

    def forward(self, images: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """Return boxes, labels and scores, and the objects' layers as masks."""
        return [self._one(image[0].numpy()) for image in images]

    def _one(self, image: NDArray[Any]) -> dict[str, Tensor]:
        numbers, count = label(image > 0)
        places = find_objects(numbers)
        boxes = [(columns.start, rows.start, columns.stop, rows.stop) for rows, columns in places]
        labels = [int(image[numbers == number].max()) for number in range(1, count + 1)]
        scores = [0.5 + 0.4 * min(1.0, float((numbers == number).sum()) / 400) for number in range(1, count + 1)]
        found = {
            "boxes": torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
            "labels": torch.tensor(labels, dtype=torch.int64),
            "scores": torch.tensor(scores, dtype=torch.float32),
        }
        if self.masks:
            found["masks"] = torch.from_numpy(
                np.stack([numbers == number for number in range(1, count + 1)] or [numbers > 0])[:count]
            )
        return found


class _Instances(InstanceTask):
    """Masks come from the toy network as large as the image."""

    def finished(self, detections: Any, batch: Any) -> Any:
        return DetectionTask.finished(self, detections, batch)


def finder(masks: bool = False) -> Any:
    spec = spec_for((4, 6), metadata_format="RCNN_Masks" if masks else "PASCAL_VOC_rectangles", chip_size=(64, 64))
    task = _Instances(spec) if masks else DetectionTask(spec)
    task.score_threshold = 0.3
    return model_of(Blobs(masks), task, "MASKRCNN" if masks else "FASTERRCNN")


def scene(
    shape: tuple[int, int] = (300, 260), count: int = 60
) -> tuple[NDArray[np.uint8], list[tuple[int, int, int, int, int]]]:
    """Return pixels and (left, top, right, bottom, label) of squares that do not touch."""
    rng = np.random.default_rng(0)
    pixels, boxes = np.zeros(shape, np.uint8), []
    while len(boxes) < count:
        side = int(rng.integers(6, 20))
        top, left = int(rng.integers(0, shape[0] - side)), int(rng.integers(0, shape[1] - side))
        if not pixels[max(0, top - 2) : top + side + 2, max(0, left - 2) : left + side + 2].any():
            kind = int(rng.integers(1, 3))
            pixels[top : top + side, left : left + side] = kind
            boxes.append((left, top, left + side, top + side, kind))
    return pixels, boxes


def on_map(left: float, top: float, right: float, bottom: float) -> Any:
    return shapely.box(LEFT + left * CELL, TOP - bottom * CELL, LEFT + right * CELL, TOP - top * CELL)


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("ending", ["gpkg", "geojson"])
@pytest.mark.parametrize(("size", "padding"), [(None, None), (96, 24), (64, 20), (512, 0)])
def test_every_object_is_found_once_wherever_borders_lie(
    tmp_path: Path, masks: bool, ending: str, size: int | None, padding: int | None
) -> None:
    pixels, boxes = scene()
    raster = raster_file(tmp_path / "in.tif", pixels)
    done = api.predict(finder(masks), raster, tmp_path / f"out.{ending}", tile_size=size, padding=padding)
    meta, _, wkb, (names, values, scores) = pyogrio.raw.read(tmp_path / f"out.{ending}")
    assert len(wkb) == len(boxes)
    assert done.counts == {f"Class {v}": sum(box[4] == at for box in boxes) for at, v in enumerate((4, 6), 1)}
    assert {(n, v) for n, v in zip(names.tolist(), values.tolist(), strict=True)} == {("Class 4", 4), ("Class 6", 6)}
    assert (np.diff(scores) <= 0).all()
    assert 50 < scores.min() <= scores.max() <= 90.01
    if ending == "gpkg":
        assert meta["crs"] == "EPSG:32633"
        found = {shapely.normalize(shapely.box(*shape.bounds)) for shape in shapely.from_wkb(wkb)}
        assert found == {shapely.normalize(on_map(*box[:4])) for box in boxes}
        assert shapely.area(shapely.from_wkb(wkb)).sum() == sum((r - x) * (b - y) * CELL**2 for x, y, r, b, _ in boxes)


def test_ground_without_data_and_outside_the_mask_holds_nothing(tmp_path: Path) -> None:
    pixels, boxes = scene()
    raster = raster_file(tmp_path / "in.tif", pixels)
    extent = on_map(60, 60, 200, 200).bounds
    api.predict(finder(), raster, tmp_path / "out.gpkg", extent=extent, tile_size=96, padding=24)
    shapes = shapely.from_wkb(pyogrio.raw.read(tmp_path / "out.gpkg")[2])
    inside = [box for box in boxes if 60 <= (box[0] + box[2]) / 2 < 200 and 60 <= (box[1] + box[3]) / 2 < 200]
    assert len(shapes) == len(inside)


def test_nothing_found_gives_an_empty_layer(tmp_path: Path) -> None:
    raster = raster_file(tmp_path / "in.tif", np.zeros((100, 100), np.uint8))
    done = api.predict(finder(), raster, tmp_path / "out.gpkg")
    meta, _, wkb, _ = pyogrio.raw.read(tmp_path / "out.gpkg")
    assert done.counts == {"Class 4": 0, "Class 6": 0}
    assert len(wkb) == 0
    assert meta["fields"].tolist() == ["Class", "classvalue", "Confidence"]


def test_a_higher_threshold_leaves_the_best(tmp_path: Path) -> None:
    pixels, boxes = scene()
    raster = raster_file(tmp_path / "in.tif", pixels)
    model = finder()
    done = api.predict(model, raster, tmp_path / "out.gpkg", threshold=0.7)
    assert sum(done.counts.values()) == sum((r - x) * (b - y) >= 200 for x, y, r, b, _ in boxes)
    assert model.task.score_threshold == 0.3


def test_interrupted_work_goes_on_and_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raster, given = raster_file(tmp_path / "in.tif", scene()[0]), {"tile_size": 96, "padding": 24, "batch_size": 1}
    api.predict(finder(True), raster, tmp_path / "whole.geojson", **given)
    seen, forward = [], Blobs.forward

    def counting(self: Any, images: Any) -> Any:
        seen.append(1)
        if len(seen) == 12:
            raise KeyboardInterrupt
        return forward(self, images)

    monkeypatch.setattr(Blobs, "forward", counting)
    with pytest.raises(KeyboardInterrupt):
        api.predict(finder(True), raster, tmp_path / "out.geojson", **given)
    assert not (tmp_path / "out.geojson").exists()
    before = len(seen)
    done = api.predict(finder(True), raster, tmp_path / "out.geojson", **given)
    assert len(seen) - before < done.windows
    assert (tmp_path / "out.geojson").read_bytes() == (tmp_path / "whole.geojson").read_bytes()


def test_of_what_two_windows_saw_the_better_stays() -> None:
    shapes = [shapely.box(0, 0, 10, 10), shapely.box(1, 0, 11, 10), shapely.box(6, 0, 10, 10), shapely.box(2, 0, 12, 10)]
    objects = Objects(
        np.array(shapes, object), np.array([1, 1, 1, 2]), np.array([0.6, 0.8, 0.9, 0.7]), np.array([1, 2, 3, 4]),
        np.array([False, False, True, False]), np.zeros(4, bool),
    )  # fmt: skip
    kept = merged(objects, 0.5)
    # the second beats the first; the third, cut, is part of the second; the fourth is of another class
    assert kept.scores.tolist() == [0.8, 0.7]
    same_window = replace(objects, windows=np.ones(4, np.int64), cut=np.zeros(4, bool))
    assert len(merged(same_window, 0.5)) == 4


def test_objects_are_no_raster(tmp_path: Path) -> None:
    raster = raster_file(tmp_path / "in.tif", scene()[0])
    with pytest.raises(OptionError, match=r"Objects are written as \.gpkg"):
        api.predict(finder(), raster, tmp_path / "out.tif")
    with pytest.raises(OptionError, match="are for pixel classifiers"):
        api.predict(finder(), raster, tmp_path / "out.gpkg", polygons=tmp_path / "more.gpkg")
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


class Apart(Blobs):
    """Sees everything a little farther from the middle of the window than it is."""

    def _one(self, image: NDArray[Any]) -> dict[str, Tensor]:
        found = super()._one(image)
        boxes, (height, width) = found["boxes"], image.shape
        right = (boxes[:, 0] + boxes[:, 2] > width).float()
        low = (boxes[:, 1] + boxes[:, 3] > height).float()
        shift = torch.stack([2 * right - 1, 2 * low - 1], 1) * 2
        return found | {"boxes": boxes + shift.repeat(1, 2)}


def test_an_object_that_windows_see_in_slightly_different_places_is_not_lost(tmp_path: Path) -> None:
    pixels = np.zeros((400, 400), np.uint8)
    corners = [(left, top) for top in range(4, 380, 23) for left in range(3, 380, 23)]
    for left, top in corners:
        pixels[top : top + 18, left : left + 18] = 1
    raster, model = raster_file(tmp_path / "in.tif", pixels), finder()
    model.network = Apart()
    done = api.predict(model, raster, tmp_path / "out.gpkg", tile_size=96, padding=24)
    assert done.counts["Class 4"] == len(corners)


def test_spare_objects_beat_none_but_their_like() -> None:
    shapes = np.array([shapely.box(0, 0, 10, 10), shapely.box(1, 0, 11, 10), shapely.box(2, 0, 12, 10)], object)
    objects = Objects(
        shapes, np.ones(3, np.int64), np.array([0.6, 0.8, 0.9]), np.arange(3), np.array([True, False, False]),
        np.array([False, True, True]),
    )  # fmt: skip
    assert merged(objects, 0.5).scores.tolist() == [0.6]
    assert merged(objects.taken([1, 2]), 0.5).scores.tolist() == [0.9]
