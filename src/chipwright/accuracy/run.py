"""The way of a comparison of maps: two layers in, figures and errors out."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chipwright.errors import DataError, OptionError
from chipwright.files import write_json, write_text
from chipwright.raster.label_rasters import is_raster
from chipwright.report.numbers import as_json

LAYERS = (".tif", ".tiff", ".vrt", ".img", ".gpkg", ".geojson", ".json", ".shp", ".gdb")
"""Endings of maps."""


@dataclass(frozen=True)
class MapAccuracy:
    """Figures of a map against a reference.

    Attributes:
        folder: where they were written.
        kind: "classes" or "objects".
        metrics: figures of all classes together.
        per_class: a row a class.
        confusion: (class names, counts by true and predicted class) of classes.
        notes: sentences that a reader of the figures must know.
    """

    folder: Path
    kind: str
    metrics: dict[str, Any]
    per_class: list[dict[str, Any]]
    confusion: tuple[list[str], list[list[int]]] | None = None
    notes: list[str] = field(default_factory=list)


def is_map(path: Path) -> bool:
    """Return whether a path is a layer rather than a model."""
    return path.suffix.lower() in LAYERS


def evaluate_map(
    predicted: Path,
    reference: Path,
    out: Path | None = None,
    *,
    class_value_field: str | None = None,
    least_iou: float = 0.5,
    mask: Path | None = None,
) -> MapAccuracy:
    """Compare a predicted layer with a reference layer and write figures and errors.

    Into `out` (`NAME_accuracy` beside the prediction if not given) go `accuracy.json`, `accuracy.csv` with a row a class, and
    `errors.tif` or `errors.gpkg`: which pixels, or objects, are right and wrong.

    Args:
        predicted: raster of class values, or vector file of objects.
        reference: raster of class values or polygons; polygons for objects.
        out: folder.
        class_value_field: of the reference's polygons.
        least_iou: overlap asked of a found object.
        mask: polygons to which the comparison is limited.

    Raises:
        DataError, OptionError: for layers that cannot be used.
    """
    for path in (predicted, reference):
        if not Path(str(path).partition("|")[0]).exists():
            raise DataError(f"There is no file {path}.")
    folder = out or predicted.resolve().parent / f"{predicted.stem}_accuracy"
    if folder.is_file():
        raise OptionError(f"{folder} is a file; figures and errors go into a folder.")
    if is_raster(predicted):
        from chipwright.accuracy.classes import compare_classes

        compared = compare_classes(
            predicted, reference, class_value_field=class_value_field, mask=mask, error_map=folder / "errors.tif"
        )
        found = compared.evaluation
        result = MapAccuracy(folder, "classes", found.scalars, found.per_class, found.confusion, found.notes)
    else:
        from chipwright.accuracy.objects import compare_objects

        if is_raster(reference):
            raise DataError(f"Objects are compared with polygons; {reference} is a raster.")
        objects = compare_objects(
            predicted, reference, reference_class_value_field=class_value_field, least_iou=least_iou, mask=mask
        )
        rows = [objects.row(info) for info in objects.classes]
        overall = {name: value for name, value in objects.row().items() if name not in ("class", "value")}
        objects.write_errors(folder / "errors.gpkg")
        result = MapAccuracy(folder, "objects", overall | {"least_iou": least_iou}, rows)
    _write(result, predicted, reference)
    return result


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows as CSV text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["class"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write(result: MapAccuracy, predicted: Path, reference: Path) -> None:
    data = as_json(
        {
            "predicted": predicted, "reference": reference, "kind": result.kind, "metrics": result.metrics,
            "per_class": result.per_class, "confusion": result.confusion, "notes": result.notes,
        }
    )  # fmt: skip
    write_json(result.folder / "accuracy.json", data)
    write_text(result.folder / "accuracy.csv", table(result.per_class))
