"""Vector files of results: GeoPackage and GeoJSON, whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataSourceError
from pyogrio.raw import write
from rasterio.crs import CRS

from chipwright.errors import ChipwrightError, OptionError, listed
from chipwright.files import whole_file

DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".json": "GeoJSON"}


def driver_for(out: Path, what: str = "Features") -> str:
    """Return GDAL's name of the format that a file's ending means.

    Raises:
        OptionError: for another ending.
    """
    ending = out.suffix.lower()
    if ending not in DRIVERS:
        raise OptionError(f"{what} are written as {listed(DRIVERS)}, not {ending or 'without a suffix'} ({out}).")
    return DRIVERS[ending]


def write_features(
    out: Path, shapes: NDArray[Any], fields: Mapping[str, NDArray[Any]], crs: CRS | None, layer: str, geometry_type: str
) -> Path:
    """Write geometries with their fields, whole or not at all.

    GeoJSON comes in longitude and latitude, as its standard has it, where the reference system is known.

    Args:
        out: `.gpkg` or `.geojson`.
        shapes: shapely geometries in units of `crs`.
        fields: name -> values, one a geometry.
        crs: reference system, None if there is none.
        layer: name of the layer.
        geometry_type: "Polygon", "LineString", ...

    Raises:
        OptionError: for another ending.
        ChipwrightError: if the file cannot be written.
    """
    driver = driver_for(out)
    options = {"RFC7946": "YES"} if driver == "GeoJSON" and crs else {}
    with tempfile.TemporaryDirectory(prefix="chipwright-", ignore_cleanup_errors=True) as folder, whole_file(out) as part:
        written = Path(folder) / f"{layer}{out.suffix.lower()}"  # GDAL looks at the suffix
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided")  # a raster without one gives features without one
            try:
                write(
                    written,
                    shapely.to_wkb(np.asarray(shapes, object)),
                    list(fields.values()),
                    list(fields),
                    layer=layer,
                    driver=driver,
                    geometry_type=geometry_type,
                    crs=crs.to_wkt() if crs else None,
                    layer_options=options,
                )
            except DataSourceError as error:
                raise ChipwrightError(f"{out} cannot be written: {error}.") from error
        shutil.copyfile(written, part)
    return out
