"""A map of classes against reference polygons or a reference raster, pixel by pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.windows import Window

from chipwright import console
from chipwright.accuracy.objects import named
from chipwright.chips.chipset import BACKGROUND, IGNORE, ClassInfo
from chipwright.chips.reading import valid_pixels, whole_numbers
from chipwright.errors import DataError
from chipwright.files import whole_file
from chipwright.raster.features import Features
from chipwright.raster.grid import Tile
from chipwright.raster.imagery import Imagery, rasters_in
from chipwright.raster.label_rasters import attribute_names, is_raster, raster_classes
from chipwright.raster.truth import PolygonTruth
from chipwright.raster.vector_files import read_features
from chipwright.tasks.base import Evaluation
from chipwright.tasks.pixel_classes import PixelClasses
from chipwright.tasks.pixel_metrics import PixelMetrics

_SIDE = 2048
"""Side in pixels of the parts in which maps are compared."""

RIGHT, WRONG, UNKNOWN = 0, 1, 255


@dataclass(frozen=True)
class ClassComparison:
    """Figures of a map of classes, and where its errors lie."""

    evaluation: Evaluation
    error_map: Path | None


def compare_classes(
    predicted: Path,
    reference: Path,
    *,
    class_value_field: str | None = None,
    mask: Path | None = None,
    error_map: Path | None = None,
) -> ClassComparison:
    """Count a predicted map's pixels by predicted and by true class.

    Where the prediction holds no data, nothing is counted. A reference raster counts where it holds data; of reference polygons
    the ground that none covers is background (value 0), as in the export of training data. Classes are told apart by their
    values, or by their names where the polygons' are texts and the prediction's attribute table names its own.

    Args:
        predicted: raster of class values.
        reference: raster of class values, on any grid, or polygons.
        class_value_field: of polygons.
        mask: polygons; only pixels inside count.
        error_map: raster to write: 0 right, 1 wrong, 255 not compared.

    Raises:
        DataError, OptionError: for files that cannot be used, or that have no pixel in common.
    """
    files = rasters_in(predicted)
    with Imagery(files, categorical=True) as found:
        if len(found.bands) != 1:
            raise DataError(f"{predicted} has {len(found.bands)} bands; a map of classes has one.")
        grid = found.grid
        truth = _Truth(reference, found, files, class_value_field)
        table = {info.value: info for info in (*raster_classes(files, empty=True), *truth.classes)}
        classes = PixelClasses.of([table[value] for value in sorted(table)])
        inside = None
        if mask is not None:
            placed = read_features(mask, classes=False)
            inside = PolygonTruth(placed.on(grid))
            if not len(inside.features):
                raise placed.elsewhere(grid)
        metrics = PixelMetrics(classes)
        parts = [(row, column) for row in range(0, grid.height, _SIDE) for column in range(0, grid.width, _SIDE)]
        with _error_file(error_map, found) as errors:
            for row, column in console.track(parts, "Comparing", len(parts)):
                tile = Tile.at(column, row, min(_SIDE, grid.width - column), min(_SIDE, grid.height - row))
                pixels, held = found.read(tile)
                values = classes.indices(whole_numbers(pixels[0]))
                known = (values >= 0) if (valid := valid_pixels(pixels, found.nodata, held)) is None else valid & (values >= 0)
                if inside is not None:
                    known &= inside.pixels(tile) != BACKGROUND
                true = np.where(known, truth.indices(tile, classes), np.int16(IGNORE))
                metrics.update([torch.from_numpy(np.maximum(values, 0))], {"mask": [torch.from_numpy(true)]})
                if errors is not None:
                    verdict = np.where(true < 0, UNKNOWN, np.where(true == values, RIGHT, WRONG)).astype(np.uint8)
                    errors.write(verdict, 1, window=Window(column, row, tile.width, tile.height))
            if not metrics.counts.any():
                raise DataError(f"{predicted} and {reference} have no pixel in common. Do they lie in the same place?")
    return ClassComparison(metrics.compute(), error_map)


class _Truth:
    """The reference on the grid of the prediction."""

    def __init__(self, path: Path, found: Imagery, maps: Sequence[Path], class_value_field: str | None) -> None:
        self._imagery: Imagery | None = None
        self.classes: tuple[ClassInfo, ...]
        if is_raster(path):
            files = rasters_in(path)
            self.classes = raster_classes(files, empty=True)
            self._imagery = Imagery(files, grid=found.grid, categorical=True)
            return
        features = read_features(path, class_value_field)
        placed = features.on(found.grid)
        if not len(placed):
            raise features.elsewhere(found.grid)
        placed = _by_name(placed, maps)
        self.classes = placed.classes
        self._polygons = PolygonTruth(placed)

    def indices(self, tile: Tile, classes: PixelClasses) -> NDArray[np.int16]:
        """Return class indices (height, width), `IGNORE` where nothing is known."""
        if self._imagery is None:
            return classes.indices(self._polygons.pixels(tile))
        pixels, held = self._imagery.read(tile)
        known = valid_pixels(pixels, self._imagery.nodata, held)
        indices = classes.indices(whole_numbers(pixels[0]))
        return indices if known is None else np.where(known, indices, np.int16(IGNORE))


def _by_name(features: Features, maps: Sequence[Path]) -> Features:
    """Return features whose classes are texts with the values that maps give to these names; else as they are.

    Texts that no map knows get values that none has.
    """
    known = {name.casefold(): value for path in maps for value, name in attribute_names(path).items()}
    texts = [text.casefold() for text in features.texts]
    if not named(features) or not set(texts) & set(known):
        return features
    free = max(known.values()) + 1
    for at, text in enumerate(sorted(set(texts) - set(known))):
        known[text] = free + at
    values = np.array([known[text] for text in texts], np.int64)
    infos = {info.name.casefold(): info for info in features.classes}
    classes = [infos[text].model_copy(update={"value": known[text]}) for text in set(texts)]
    return replace(features, values=values, classes=tuple(sorted(classes, key=attrgetter("value"))))


@contextmanager
def _error_file(out: Path | None, found: Imagery) -> Iterator[Any]:
    """Yield the error map, open, None where none is wanted; it takes its place when the block ends well."""
    if out is None:
        yield None
        return
    grid = found.grid
    profile: dict[str, Any] = {
        "driver": "GTiff", "count": 1, "dtype": "uint8", "width": grid.width, "height": grid.height, "nodata": UNKNOWN,
        "crs": grid.crs, "transform": grid.transform, "compress": "deflate", "tiled": True,
    }  # fmt: skip
    with whole_file(out) as part, rasterio.open(part, "w", **profile) as file:
        file.write_colormap(1, {RIGHT: (225, 235, 225), WRONG: (215, 48, 39)})
        yield file
