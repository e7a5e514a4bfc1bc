"""`chipwright package`: a trained model as a .dlpk file, or as ONNX for other programs, QGIS among them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chipwright.cli.output import AsJson, emit
from chipwright.errors import OptionError, suggestion

_FORMATS = ("dlpk", "onnx", "qgis")


def package(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Trained model: folder, .emd or .dlpk.")],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="dlpk|onnx|qgis",
            help="dlpk: for ArcGIS Pro; onnx: for any program; qgis: for its plugin Deepness.",
        ),
    ] = "dlpk",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="PATH", help="Where to write.", show_default="beside the model")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a trained model as .dlpk or ONNX.

    Example: chipwright package models/trees --format onnx
    """
    wanted = format.strip().lower().lstrip(".")
    if wanted not in _FORMATS:
        raise OptionError(f"--format is {format!r}; expected dlpk, onnx or qgis.{suggestion(wanted, _FORMATS)}")

    from chipwright import api

    written = api.repackage(model.expanduser(), wanted, out.expanduser() if out is not None else None)
    emit({"out_file": written, "format": wanted}, f"Written: {written}", as_json)
