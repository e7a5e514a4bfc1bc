"""The roads that a model sees on a raster, as lines on the map: GeoPackage or GeoJSON."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import shapely
from pyogrio.raw import write

from chipwright.chips.chipset import BACKGROUND
from chipwright.errors import OptionError, listed
from chipwright.files import whole_file
from chipwright.raster.classify import classify_raster
from chipwright.roads.graph import require_scikit_image
from chipwright.roads.lines import road_lines

if TYPE_CHECKING:
    from chipwright.model import Model

_DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".json": "GeoJSON"}


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
    require_scikit_image("Tracing roads")
    driver = _driver(out)
    value = _value(model, class_value)
    with tempfile.TemporaryDirectory(prefix="chipwright-roads-", ignore_cleanup_errors=True) as folder:
        with rasterio.open(classify_raster(model, raster, Path(folder) / "classes.tif")) as classes:
            lines = road_lines(classes.read(1) == value, classes.transform)
            crs = classes.crs
        if out is not None:
            write_lines(lines, out, crs.to_wkt() if crs else None, driver)
    return lines


def write_lines(lines: Sequence[Any], out: Path, crs: str | None, driver: str | None = None) -> Path:
    """Write lines with their lengths to a GeoPackage or GeoJSON file, whole or not at all."""
    driver = driver or _driver(out)
    shapes = np.array(list(lines), object)
    options = {"RFC7946": "YES"} if driver == "GeoJSON" and crs else {}
    with tempfile.TemporaryDirectory(prefix="chipwright-roads-", ignore_cleanup_errors=True) as folder, whole_file(out) as part:
        written = Path(folder) / f"roads{out.suffix.lower()}"  # GDAL looks at the suffix
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided")  # a raster without one gives lines without one
            write(
                written,
                shapely.to_wkb(shapes),
                [shapely.length(shapes).astype(np.float64)],
                ["length"],
                layer="roads",
                driver=driver,
                geometry_type="LineString",
                crs=crs,
                layer_options=options,
            )
        part.write_bytes(written.read_bytes())
    return out


def _driver(out: Path | None) -> str | None:
    if out is None:
        return None
    if out.suffix.lower() not in _DRIVERS:
        raise OptionError(f"Roads are written as {listed(_DRIVERS)}, not {out.suffix or 'without a suffix'} ({out}).")
    return _DRIVERS[out.suffix.lower()]


def _value(model: Model, given: int | None) -> int:
    named = [info for info in model.spec.classes if info.value != BACKGROUND]
    known = listed((f"{info.value} ({info.name})" for info in named), 20)
    if given is None:
        if len(named) == 1:
            return named[0].value
        raise OptionError(f"{model.name} has the classes {known or 'none'}. Say which are roads: class_value.")
    if given not in {info.value for info in named}:
        raise OptionError(f"{model.name} has no class of value {given}; its classes are {known or 'none'}.")
    return given
