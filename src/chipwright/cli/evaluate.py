"""`chipwright evaluate`: how good a trained model is on chips whose truth is known, or a map against a reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chipwright.cli.output import AsJson, columns, emit, figure_columns
from chipwright.cli.train import spell

if TYPE_CHECKING:
    from chipwright.accuracy.run import MapAccuracy
    from chipwright.evaluation import EvaluateResult


def evaluate(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL|MAP", help="Trained model (folder, .emd or .dlpk); or a predicted layer.")
    ],
    in_folder: Annotated[
        list[Path],
        typer.Argument(metavar="IN_FOLDER...|REFERENCE", help="Folder(s) of labelled chips; of a layer, the reference layer."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="OUT_FOLDER", help="Write the report there.", show_default=False)
    ] = None,
    processor_type: Annotated[
        str | None,
        typer.Option("--processor-type", metavar="CPU|GPU", help="Where to compute.", show_default="a GPU if there is one"),
    ] = None,
    gpu_id: Annotated[str, typer.Option("--gpu-id", metavar="NUMBER", help="Which GPU.")] = "0",
    batch_size: Annotated[
        str | None, typer.Option("--batch-size", metavar="COUNT", help="Samples per step.", show_default="picked")
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", metavar="auto|float32|bfloat16|float16", help="Arithmetic.")
    ] = "auto",
    workers: Annotated[
        str | None, typer.Option("--workers", metavar="COUNT", help="Loader processes.", show_default="picked")
    ] = None,
    class_value_field: Annotated[
        str | None,
        typer.Option(
            "--class-value-field", metavar="FIELD", help="Of the reference layer.", show_default="classvalue or value"
        ),
    ] = None,
    min_iou: Annotated[
        float, typer.Option("--min-iou", metavar="0..1", min=0, max=1, help="Overlap asked of objects on a map.")
    ] = 0.5,
    mask: Annotated[
        Path | None,
        typer.Option("--mask", metavar="FILE", help="Polygons in which a map is compared.", show_default="everywhere"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a trained model on labelled chips, or a map against a reference.

    Writes metrics, per-class figures and pictures like those of training; of a map figures and a layer of its errors.

    Example: chipwright evaluate models/trees other_chips --out checks/trees
    Example: chipwright evaluate trees.gpkg surveyed.gpkg --out checks/map
    """
    from chipwright.accuracy.run import is_map

    if is_map(model):
        _evaluate_map(model, in_folder, out, class_value_field, min_iou, mask, as_json)
        return

    from chipwright.option_values import make_options

    # the same rules as for training: numbers in range, keywords in any case
    options = make_options(
        {
            "in_folder": in_folder,
            "out_folder": out or Path(),
            "processor_type": processor_type,
            "gpu_id": gpu_id,
            "batch_size": batch_size,
            "precision": precision,
            "workers": workers,
        },
        spell,
    )

    from chipwright import api

    result = api.evaluate(
        model.expanduser(),
        options.in_folder,
        options.out_folder if out is not None else None,
        processor_type=options.processor_type,
        gpu_id=options.gpu_id,
        batch_size=options.batch_size,
        precision=options.precision,
        workers=options.workers,
    )
    emit(result, _text(result), as_json)


def _evaluate_map(
    predicted: Path,
    reference: list[Path],
    out: Path | None,
    class_value_field: str | None,
    min_iou: float,
    mask: Path | None,
    as_json: bool,
) -> None:
    from chipwright import api
    from chipwright.errors import OptionError

    if len(reference) != 1:
        raise OptionError(f"A map is compared with one reference layer, not {len(reference)}.")
    found = api.evaluate_map(
        predicted.expanduser(), reference[0].expanduser(), out, class_value_field=class_value_field, min_iou=min_iou, mask=mask
    )
    emit(found, _map_text(found), as_json)


def _map_text(found: MapAccuracy) -> str:
    lines = [figure_columns(found.metrics), "", _class_table(found.per_class), "", *found.notes, f"Written to: {found.folder}"]
    return "\n".join(lines)


def _text(result: EvaluateResult) -> str:
    lines = [f"{result.name}:", figure_columns(result.metrics)]
    if result.per_class:
        lines += ["", _class_table(result.per_class)]
    lines += ["", f"Report: {result.folder / 'model_metrics.html'}"]
    return "\n".join(lines)


def _class_table(per_class: list[dict[str, Any]]) -> str:
    from chipwright.report.wording import capital, figure, metric

    if not per_class:
        return "No class occurs."
    names = list(per_class[0])
    rows = [[figure(name, row.get(name)) for name in names] for row in per_class]
    return columns(rows, [capital(metric(name).label) for name in names])
