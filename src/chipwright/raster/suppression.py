"""Non-maximum suppression of features: of those that overlap, the one of the highest score stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS

from chipwright.errors import DataError, OptionError, listed, suggestion
from chipwright.raster.vector_files import VALUE_FIELDS
from chipwright.raster.vector_writing import driver_for, write_features


def overlapping(shapes: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return (first, second, shared area) of every pair of shapes that touch, the first being earlier."""
    if not len(shapes):
        none = np.zeros(0, np.intp)
        return none, none, np.zeros(0)
    first, second = shapely.STRtree(shapes).query(shapes, "intersects")
    once = first < second
    first, second = first[once], second[once]
    return first, second, shapely.area(shapely.intersection(shapes[first], shapes[second]))


def survivors(count: int, winners: NDArray[np.intp], losers: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return who stays when each winner that stays removes its losers, earlier ones first."""
    alive = np.ones(count, bool)
    order = np.argsort(winners, kind="stable")
    for winner, loser in zip(winners[order].tolist(), losers[order].tolist(), strict=True):
        if alive[winner]:
            alive[loser] = False
    return alive


def suppress(shapes: NDArray[Any], scores: NDArray[Any], groups: NDArray[Any], overlap: float) -> NDArray[np.bool_]:
    """Return which features stay: of two of a group whose IoU exceeds `overlap`, the one of the lower score goes."""
    order = np.argsort(-scores, kind="stable")
    shapes, groups = shapes[order], groups[order]
    first, second, shared = overlapping(shapes)
    areas = shapely.area(shapes)
    union = areas[first] + areas[second] - shared
    beaten = (groups[first] == groups[second]) & (shared > overlap * union)
    alive = np.empty(len(shapes), bool)
    alive[order] = survivors(len(shapes), first[beaten], second[beaten])
    return alive


def suppress_file(
    source: Path, confidence_field: str, out: Path, class_value_field: str | None = None, overlap: float = 0.0
) -> tuple[int, int]:
    """Write the features of a file that stay, with all their fields, and return (how many there were, how many stay).

    Args:
        source: polygons.
        confidence_field: field with the score.
        out: `.gpkg` or `.geojson`.
        class_value_field: field with the class; one of `VALUE_FIELDS`, or all of one class where there is none.
        overlap: IoU up to which two of a class may overlap.

    Raises:
        DataError, OptionError: for a file or fields that cannot be used.
    """
    driver_for(out)
    if out.resolve() == source.resolve():
        raise OptionError(f"{out} is the input, which is never written to. Choose another name for the output.")
    try:
        meta, _, wkb, columns = pyogrio.raw.read(source, force_2d=True)
    except (DataSourceError, DataLayerError, OSError, ValueError) as error:
        raise DataError(f"{source} cannot be read as a layer of features: {error}.") from error
    fields = dict(zip(map(str, meta["fields"]), columns, strict=True))
    scores = fields[_named(fields, confidence_field, source)]
    if scores.dtype.kind not in "iuf":
        raise DataError(f"The field {confidence_field} of {source.name} holds no numbers.")
    known = [name for name in fields if name.lower() in VALUE_FIELDS]
    group = _named(fields, class_value_field, source) if class_value_field else known[0] if known else None
    shapes = np.asarray(shapely.from_wkb(wkb), object)
    groups = np.unique(fields[group].astype(str), return_inverse=True)[1] if group else np.zeros(len(shapes), np.int64)
    kept = suppress(shapes, scores.astype(np.float64), groups, overlap)
    crs = CRS.from_user_input(meta["crs"]) if meta["crs"] else None
    kept_fields = {name: column[kept] for name, column in fields.items()}
    write_features(out, shapes[kept], kept_fields, crs, "objects", meta["geometry_type"] or "Unknown")
    return len(shapes), int(kept.sum())


def _named(fields: dict[str, Any], wanted: str, source: Path) -> str:
    found = next((name for name in fields if name.lower() == wanted.lower()), None)
    if found is None:
        hint = suggestion(wanted, list(fields))
        raise OptionError(f"{source.name} has no field {wanted!r}.{hint} Its fields: {listed(fields, 20) or 'none'}.")
    return found
