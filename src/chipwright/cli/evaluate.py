"""`chipwright evaluate`: how good a trained model is on chips whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chipwright.cli.output import AsJson, columns, emit
from chipwright.cli.train import spell

if TYPE_CHECKING:
    from chipwright.evaluation import EvaluateResult


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Trained model: folder, .emd or .dlpk.")],
    in_folder: Annotated[list[Path], typer.Argument(metavar="IN_FOLDER...", help="Folder(s) of labelled chips.")],
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
    as_json: AsJson = False,
) -> None:
    """Measure a trained model on labelled chips.

    Writes metrics, per-class figures and pictures like those of training.

    Example: chipwright evaluate models/trees other_chips --out checks/trees
    """
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


def _text(result: EvaluateResult) -> str:
    from chipwright.report.wording import capital, figure, metric

    figures = [(capital(metric(name).label), figure(name, value)) for name, value in result.metrics.items()]
    lines = [f"{result.name}:", columns(figures, indent=2)]
    if result.per_class:
        lines += ["", _class_table(result.per_class)]
    lines += ["", f"Report: {result.folder / 'model_metrics.html'}"]
    return "\n".join(lines)


def _class_table(per_class: list[dict[str, Any]]) -> str:
    from chipwright.report.wording import capital, figure, metric

    names = list(per_class[0])
    rows = [[figure(name, row.get(name)) for name in names] for row in per_class]
    return columns(rows, [capital(metric(name).label) for name in names])
