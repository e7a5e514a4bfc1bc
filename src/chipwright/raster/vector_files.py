"""Vector files of labels, read whole: GeoPackage, shapefile, GeoJSON, file geodatabase and whatever else GDAL reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FieldError
from rasterio.crs import CRS
from rasterio.errors import CRSError

from chipwright import console
from chipwright.errors import DataError, OptionError, listed, suggestion
from chipwright.raster.class_tables import COLOR_FIELDS, NAME_FIELDS, ClassTable
from chipwright.raster.features import Features

VALUE_FIELDS = ("classvalue", "value", "class_value")
"""Names under which the class value is looked for, in this order, in any case."""

_LAYER = "|layername="
"""What stands between a file and its layer, as in QGIS."""

_LARGEST = 2**31 - 1


def read_features(path: Path, class_value_field: str | None = None, classes: bool = True, fields: bool = False) -> Features:
    """Read labelled features.

    Class values are whole numbers from 1. A field of text gives its texts the values 1, 2, ... in alphabetical order; without a
    class field all features are of one class.

    Args:
        path: the file; `labels.gpkg|layername=trees` names one of several layers.
        class_value_field: name of the field, in any case; one of `VALUE_FIELDS` if not given.
        classes: whether the features have classes; without, all get the value 1.
        fields: whether what else the file says of them is kept.

    Raises:
        DataError: if the file cannot be read, has several layers, or holds nothing usable.
        OptionError: if there is no such field.
    """
    file, _, named_layer = str(path).partition(_LAYER)
    source = Path(file)
    if not source.exists():
        raise DataError(f"There is no file {source}.")
    layer = named_layer or _only_layer(source)
    try:
        names = [str(name) for name in pyogrio.read_info(source, layer=layer)["fields"]]
        value_field = _field(names, class_value_field, source) if classes else None
        about = [name for name in names if classes and name.lower() in (*NAME_FIELDS, *COLOR_FIELDS)]
        columns = list(dict.fromkeys([*([value_field] if value_field else []), *about]))
        meta, _, wkb, data = pyogrio.raw.read(source, layer=layer, columns=None if fields else columns, force_2d=True)
    except (DataSourceError, DataLayerError, FieldError, ValueError, OSError) as error:
        raise DataError(f"{source} cannot be read as vector labels: {error}") from error
    columns_read = dict(zip(map(str, meta["fields"]), data, strict=True))
    shapes = shapely.from_wkb(wkb, on_invalid="ignore") if wkb is not None else np.array([], object)
    usable = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    table = ClassTable()
    values, texts = _values(columns_read[value_field] if value_field else None, len(shapes), table)
    table.add(values.tolist(), {name.lower(): columns_read[name] for name in about})
    kept = usable & (values > 0)
    _tell(source, int((~usable).sum()), int((usable & (values <= 0)).sum()))
    if not kept.any():
        raise DataError(
            f"{source} holds no feature with a shape and a class. Class values are whole numbers from 1; 0 is background."
        )
    return Features(
        source,
        shapely.make_valid(shapes[kept]),
        values[kept],
        table.classes(values[kept].tolist()),
        tuple(texts[kept].tolist()) if texts is not None else (),
        _crs(meta["crs"]),
        {name: column[kept] for name, column in columns_read.items() if _plain(column)} if fields else {},
    )


def _plain(column: NDArray[Any]) -> bool:
    """Return whether a field holds numbers, texts or times, which every format of ours keeps, and not lists or bytes."""
    return column.dtype.kind in "biufM" or all(value is None or isinstance(value, str) for value in column.tolist())


def _only_layer(source: Path) -> str | None:
    try:
        layers = [str(name) for name in pyogrio.list_layers(source)[:, 0]]
    except (DataSourceError, OSError) as error:
        raise DataError(
            f"{source} cannot be read as vector labels: {error}. GeoPackage, shapefile and GeoJSON are read, among others."
        ) from error
    if len(layers) > 1:
        raise DataError(f"{source} has the layers {listed(layers, 20)}. Name one: {source.name}{_LAYER}{layers[0]}.")
    return layers[0] if layers else None


def _field(fields: Sequence[str], wanted: str | None, source: Path) -> str | None:
    by_lower = {name.lower(): name for name in fields}
    if wanted is None:
        return next((by_lower[name] for name in VALUE_FIELDS if name in by_lower), None)
    if wanted.lower() not in by_lower:
        raise OptionError(
            f"{source.name} has no field {wanted!r}.{suggestion(wanted, fields)} Its fields: {listed(fields, 20) or 'none'}."
        )
    return by_lower[wanted.lower()]


def _values(column: NDArray[Any] | None, count: int, table: ClassTable) -> tuple[NDArray[np.int64], NDArray[Any] | None]:
    """Return (class values with 0 where there is none, texts of a text field); the table takes in names that texts are."""
    if column is None:
        return np.ones(count, np.int64), None
    if column.dtype.kind in "iufb":
        return _whole(column.astype(np.float64)), None
    texts = np.array(["" if text is None else str(text).strip() for text in column], object)
    written = texts != ""
    numbers = np.array([_number(text) for text in texts], np.float64)
    if written.any() and np.isfinite(numbers[written]).all():
        return _whole(numbers), texts
    known = {text: at for at, text in enumerate(sorted(set(texts[written].tolist())), 1)}
    for text, value in known.items():
        table.name(value, text)
    return np.array([known.get(text, 0) for text in texts], np.int64), texts


def _whole(numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return numbers as class values, 0 for those that are none."""
    within = np.isfinite(numbers) & (numbers >= 1) & (numbers <= _LARGEST)
    filled = np.where(within, numbers, 0)
    return np.where(filled % 1 == 0, filled, 0).astype(np.int64)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _tell(source: Path, shapeless: int, unlabelled: int) -> None:
    if shapeless:
        console.warn(f"{shapeless} features in {source.name} have no shape that can be read, and are left out.")
    if unlabelled:
        console.warn(f"{unlabelled} features in {source.name} have no class value of 1 or more, and are left out.")


def _crs(text: str | None) -> CRS | None:
    try:
        return CRS.from_user_input(text) if text else None
    except CRSError:
        return None
