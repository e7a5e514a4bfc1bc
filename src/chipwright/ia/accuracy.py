"""`ComputeAccuracyForObjectDetection`."""

# ruff: noqa: N802 - the reference's names

from __future__ import annotations

from pathlib import Path

from chipwright.errors import OptionError
from chipwright.files import whole_file, write_text
from chipwright.ia.environment import env, share
from chipwright.ia.results import Folder, TableResult
from chipwright.text_values import is_empty


def ComputeAccuracyForObjectDetection(
    detected_features: Folder,
    ground_truth_features: Folder,
    out_accuracy_table: Folder,
    out_accuracy_report: Folder | None = None,
    detected_class_value_field: str | None = None,
    ground_truth_class_value_field: str | None = None,
    min_iou: float | str | None = 0.5,
    mask_features: Folder | None = None,
) -> TableResult:
    """Compare detected objects with true ones, class by class.

    Args:
        detected_features: polygons with scores (`Confidence`).
        ground_truth_features: polygons of what is true.
        out_accuracy_table: `.csv` with precision, recall, F1 score, average precision and counts for every class and for all.
        out_accuracy_report: `.pdf` with the table and the curve of precision and recall, if given.
        detected_class_value_field, ground_truth_class_value_field: fields with the class; classvalue or value if not given.
        min_iou: overlap from which a detection counts as right.
        mask_features: polygons; only objects that touch them count.

    Raises:
        OptionError, DataError: for input that cannot be used; nothing is written then.
    """
    table, report = Path(out_accuracy_table), None if is_empty(out_accuracy_report) else Path(str(out_accuracy_report))
    if table.suffix.lower() != ".csv":
        raise OptionError(f"The accuracy table is written as .csv, not {table.suffix or 'without a suffix'} ({table}).")
    if report is not None and report.suffix.lower() != ".pdf":
        raise OptionError(f"The accuracy report is written as .pdf, not {report.suffix or 'without a suffix'} ({report}).")
    least = share("min_iou", min_iou, 0.5)

    from chipwright.prediction.work import check_output

    for out in filter(None, (table, report)):
        check_output(out, [Path(detected_features), Path(ground_truth_features)], bool(env.overwriteOutput))

    from chipwright.accuracy.objects import compare_objects
    from chipwright.accuracy.run import table as as_table

    found = compare_objects(
        Path(detected_features),
        Path(ground_truth_features),
        class_value_field=_given(detected_class_value_field),
        reference_class_value_field=_given(ground_truth_class_value_field),
        least_iou=least,
        mask=None if is_empty(mask_features) else Path(str(mask_features)),
    )
    rows = [found.row(info) for info in found.classes] + [found.row()]
    columns = {
        "Class": "class", "Precision": "precision", "Recall": "recall", "F1_Score": "f1", "AP": "ap", "True_Positive": "found",
        "False_Positive": "false", "False_Negative": "missed",
    }  # fmt: skip
    shown = [{name: row[key] for name, key in columns.items()} for row in rows]
    write_text(table, as_table(shown))
    if report is not None:
        from chipwright.accuracy.pdf import write_pdf

        with whole_file(report) as part:
            write_pdf(part, found, shown)
    return TableResult(table, shown)


def _given(text: str | None) -> str | None:
    return None if is_empty(text) else text
