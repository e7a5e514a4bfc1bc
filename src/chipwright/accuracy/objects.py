"""Objects on a map against reference objects: which are found, missed and false, and the average precision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FieldError
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from chipwright.chips.chipset import ClassInfo
from chipwright.errors import DataError, OptionError, listed, suggestion
from chipwright.raster.features import Features
from chipwright.raster.vector_files import read_features
from chipwright.raster.vector_writing import write_features
from chipwright.tasks.detection_metrics import matches

CONFIDENCE_FIELDS = ("confidence", "score", "scores", "probability")
"""Names under which scores are looked for, in any case."""

NAME_FIELD = "class"
"""Field in which predictions name their classes, in any case."""

FOUND, FALSE, MISSED = "found", "false", "missed"

_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Predicted objects against reference objects.

    Attributes:
        classes: of the reference.
        predicted, reference: what is compared, in the reference system of the prediction.
        scores: of the predicted objects.
        matched: for every predicted object the reference object it stands for, or -1.
        least_iou: overlap asked of a match.
    """

    classes: tuple[ClassInfo, ...]
    predicted: Features
    reference: Features
    scores: NDArray[np.float64]
    matched: NDArray[np.int64]
    least_iou: float

    def row(self, info: ClassInfo | None = None) -> dict[str, Any]:
        """Return the figures of one class, or of all together."""
        own = self.predicted.values == info.value if info else np.ones(len(self.predicted), bool)
        truth = int((self.reference.values == info.value).sum()) if info else len(self.reference)
        hits = int((self.matched[own] >= 0).sum())
        found = int(own.sum())
        ap = average_precision(self.matched[own] >= 0, self.scores[own], truth)
        if info is None:
            rows = [self.row(one)["ap"] for one in self.classes]
            ap = float(np.mean([one for one in rows if one is not None])) if any(one is not None for one in rows) else None
        return {
            "class": info.name if info else "All",
            "value": info.value if info else None,
            "precision": hits / found if found else None,
            "recall": hits / truth if truth else None,
            "f1": 2 * hits / (found + truth) if found + truth else None,
            "ap": ap,
            "found": hits,
            "false": found - hits,
            "missed": truth - hits,
        }

    def write_errors(self, out: Path) -> Path:
        """Write all objects with what is true of each: found, false, or missed."""
        hit = self.matched >= 0
        missed = np.setdiff1d(np.arange(len(self.reference)), self.matched[hit])
        shapes = np.concatenate([self.predicted.shapes, self.reference.shapes[missed]])
        verdicts = [FOUND if one else FALSE for one in hit.tolist()] + [MISSED] * len(missed)
        values = np.concatenate([self.predicted.values, self.reference.values[missed]])
        scores = np.concatenate([self.scores, np.full(len(missed), np.nan)])
        fields = {"verdict": np.array(verdicts, object), "classvalue": values.astype(np.int64), "Confidence": scores}
        return write_features(out, shapes, fields, self.predicted.crs, "errors", "Unknown")


def compare_objects(
    predicted: Path,
    reference: Path,
    *,
    class_value_field: str | None = None,
    reference_class_value_field: str | None = None,
    confidence_field: str | None = None,
    least_iou: float = 0.5,
    mask: Path | None = None,
) -> Comparison:
    """Match predicted objects to reference objects.

    Each predicted object, the best score first, takes that object of its class, of those not taken yet, which it overlaps most,
    if their IoU is `least_iou` at least: COCO's rule. Polygons overlap as they are, not by their boxes.

    Classes are told apart by their values, or by their names where both files give names: those of the reference's field of
    texts, and of the field `Class` that predictions have.

    Args:
        predicted, reference: vector files of polygons.
        class_value_field, reference_class_value_field: fields with the class; classvalue or value if not given.
        confidence_field: field with the score; one of `CONFIDENCE_FIELDS` if not given, and all alike without one.
        least_iou: 0 to 1.
        mask: polygons; only objects that touch them count.

    Raises:
        DataError, OptionError: for files or fields that cannot be used.
    """
    truth = read_features(reference, reference_class_value_field)
    found, scores = _predictions(predicted, class_value_field, confidence_field, truth)
    found, truth = alike(found, truth)
    truth = truth.in_system(found.crs)
    if mask is not None:
        area = shapely.union_all(read_features(mask, classes=False).in_system(found.crs).shapes)
        inside = shapely.intersects(area, found.shapes)
        found, scores = found.taken(inside), scores[inside]
        truth = truth.taken(shapely.intersects(area, truth.shapes))
    classes = {info.value: info for info in (*found.classes, *truth.classes)}
    by_value = tuple(classes[value] for value in sorted(classes))
    matched = np.full(len(found), -1, np.int64)
    for mine, theirs in _clusters(found.shapes, truth.shapes):
        overlaps = _ious(found.shapes[mine], truth.shapes[theirs])
        own = matches(overlaps, found.values[mine], truth.values[theirs], scores[mine], least_iou)
        matched[mine] = np.where(own >= 0, theirs[own], -1)
    return Comparison(by_value, found, truth, scores, matched, least_iou)


def average_precision(hits: NDArray[np.bool_], scores: NDArray[np.float64], truth: int) -> float | None:
    """Return COCO's average precision: the mean, over 101 recalls, of the best precision at that recall or more.

    Args:
        hits: whether each prediction is right.
        scores: of the predictions.
        truth: how many objects there are; without any there is no average precision.
    """
    if not truth:
        return None
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(hits[order])
    recall, precision = right / truth, right / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, _RECALLS - 1e-12)
    return float(np.where(places < len(envelope), np.append(envelope, 0.0)[np.minimum(places, len(envelope))], 0.0).mean())


def _predictions(
    path: Path, class_field: str | None, confidence_field: str | None, truth: Features
) -> tuple[Features, NDArray[np.float64]]:
    """Return predicted objects, perhaps none, and their scores."""
    try:
        if not pyogrio.read_info(path)["features"]:
            nothing = np.array([], object)
            return Features(path, nothing, np.zeros(0, np.int64), (), crs=truth.crs), np.zeros(0)
        names = {str(name).lower(): str(name) for name in pyogrio.read_info(path)["fields"]}
    except (DataSourceError, DataLayerError, OSError) as error:
        raise DataError(f"{path} cannot be read as a layer of objects: {error}.") from error
    found = read_features(path, class_field)
    if class_field is None and named(truth) and NAME_FIELD in names:
        by_name = read_features(path, names[NAME_FIELD])
        if set(by_name.texts) & set(truth.texts):
            found = by_name
    return found, _scores(path, found, confidence_field)


def named(features: Features) -> bool:
    """Return whether classes are told by names: values of texts count within their file alone."""
    return any(not text.isdecimal() for text in features.texts)


def alike(found: Features, truth: Features) -> tuple[Features, Features]:
    """Return both with one value for each name where both files give names."""
    if not (found.texts and truth.texts and (named(found) or named(truth))):
        return found, truth
    values = {text: value for value, text in enumerate(sorted({*found.texts, *truth.texts}), 1)}

    def renumbered(features: Features) -> Features:
        own = np.array([values[text] for text in features.texts], np.int64)
        before = dict(zip(features.values.tolist(), own.tolist(), strict=True))
        classes = [info.model_copy(update={"value": before[info.value]}) for info in features.classes if info.value in before]
        return replace(features, values=own, classes=tuple(sorted(classes, key=lambda info: info.value)))

    return renumbered(found), renumbered(truth)


def _scores(path: Path, found: Features, wanted: str | None) -> NDArray[np.float64]:
    try:
        names = [str(name) for name in pyogrio.read_info(path)["fields"]]
        by_lower = {name.lower(): name for name in names}
        if wanted is not None and wanted.lower() not in by_lower:
            raise OptionError(
                f"{path.name} has no field {wanted!r}.{suggestion(wanted, names)} Its fields: {listed(names, 20)}."
            )
        known = [by_lower[name] for name in ((wanted.lower(),) if wanted else CONFIDENCE_FIELDS) if name in by_lower]
        if not known:
            return np.ones(len(found))
        _, _, _, (column,) = pyogrio.raw.read(path, columns=known[:1], read_geometry=False)
    except (DataSourceError, DataLayerError, FieldError, ValueError) as error:
        raise DataError(f"The scores in {path} cannot be read: {error}.") from error
    if len(column) != len(found) or column.dtype.kind not in "iuf":
        raise DataError(f"The scores in {path.name} ({known[0]}) are not one number for every object.")
    scores: NDArray[np.float64] = np.nan_to_num(column.astype(np.float64))
    return scores


def _clusters(found: NDArray[Any], truth: NDArray[Any]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield (predicted, reference) objects that hang together by touching: no others can be matched."""
    if not len(found) or not len(truth):
        return
    mine, theirs = shapely.STRtree(truth).query(found, "intersects")
    count = len(found) + len(truth)
    links = coo_array((np.ones(len(mine), np.int8), (mine, theirs + len(found))), (count, count))
    _, cluster = connected_components(links, directed=False)
    order = np.argsort(cluster, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(cluster[order])) + 1):
        own, other = members[members < len(found)], members[members >= len(found)] - len(found)
        if len(own) and len(other):
            yield own, other


def _ious(found: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    shared = shapely.area(shapely.intersection(found[:, None], truth[None]))
    union = shapely.area(found)[:, None] + shapely.area(truth)[None] - shared
    ious: NDArray[np.float64] = np.divide(shared, union, out=np.zeros(shared.shape), where=union > 0)
    return ious
