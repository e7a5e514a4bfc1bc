"""The roads of a map of classes, as lines."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray

from chipwright.chips.chipset import BACKGROUND
from chipwright.errors import OptionError, listed
from chipwright.prediction.options import make_predict_options
from chipwright.raster.grid import Grid
from chipwright.raster.vector_writing import driver_for, write_features
from chipwright.roads.graph import require_scikit_image
from chipwright.roads.lines import road_lines

if TYPE_CHECKING:
    from chipwright.model import Model


def raster_road_lines(model: Model, raster: Path, out: Path | None = None, class_value: int | None = None) -> list[Any]:
    """Return the roads of a raster as shapely LineStrings in its reference system, from junction to junction.

    Args:
        model: a road extractor, or any pixel classifier with a class of roads.
        raster: with the bands of the model's chips.
        out: written if given: `.gpkg`, or `.geojson` (in longitude and latitude, as its standard has it); each road with its
            length in the units of the map.
        class_value: of the roads; not needed where the model has one class beside the background.

    Raises:
        MissingExtra: without scikit-image.
        OptionError: for a model without a class of roads, or another kind of file.
    """
    from chipwright.prediction.run import predict

    require_scikit_image("Tracing roads")
    if out is not None:
        driver_for(out, "Roads")
    value = road_value(model, class_value)
    with tempfile.TemporaryDirectory(prefix="chipwright-roads-", ignore_cleanup_errors=True) as folder:
        classes = Path(folder) / "classes.tif"
        predict(make_predict_options({"model": model.name, "in_raster": raster, "out": classes}), model)
        with rasterio.open(classes) as file:
            grid = Grid(file.transform, file.crs, file.width, file.height)
        lines = traced([(classes, 0)], grid, value)
    if out is not None:
        write_lines(lines, grid, out)
    return list(lines)


def traced(pieces: Sequence[tuple[Path, int]], grid: Grid, value: int) -> NDArray[Any]:
    """Return the roads of a raster of classes on the map.

    Args:
        pieces: (file, first row) of the raster.
        grid: of the raster.
        value: of the class of roads.
    """
    roads = np.zeros((grid.height, grid.width), bool)
    for path, row in pieces:
        with rasterio.open(path) as file:
            roads[row : row + file.height] = file.read(1) == value
    lines: NDArray[Any] = grid.on_map(np.array(road_lines(roads, Affine.identity()), object))
    return lines


def write_lines(lines: NDArray[Any], grid: Grid, out: Path) -> None:
    """Write roads with their lengths in map units."""
    write_features(out, lines, {"length": shapely.length(lines).astype(np.float64)}, grid.crs, "roads", "LineString")


def road_value(model: Model, given: int | None = None) -> int:
    """Return the value of a model's class of roads: the one given, or the only one beside the background."""
    named = [info for info in model.spec.classes if info.value != BACKGROUND]
    known = listed((f"{info.value} ({info.name})" for info in named), 20)
    if given is None:
        if len(named) == 1:
            return named[0].value
        raise OptionError(f"{model.name} has the classes {known or 'none'}. Say which are roads: class_value.")
    if given not in {info.value for info in named}:
        raise OptionError(f"{model.name} has no class of value {given}; its classes are {known or 'none'}.")
    return given
