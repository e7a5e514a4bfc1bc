"""`chipwright predict`: a trained model at work on a raster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from chipwright.cli.output import AsJson, columns, emit

if TYPE_CHECKING:
    from chipwright.prediction import Predicted

_SPELLINGS = {"model": "MODEL", "in_raster": "IN_RASTER"}


def _option(name: str, metavar: str | None, help: str, default: str = "") -> Any:
    return typer.Option(name, metavar=metavar, help=help + (f" Default: {default}." if default else ""), show_default=False)


def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Trained model: folder, .emd or .dlpk.")],
    in_raster: Annotated[
        list[str],
        typer.Argument(metavar="IN_RASTER...", help="Raster that GDAL reads, a folder of them, or several as one."),
    ],
    out: Annotated[
        str, _option("--out", "FILE", "Results: .tif for pixels; .gpkg or .geojson for objects, labels, polygons and roads.")
    ],
    second: Annotated[
        list[str] | None, _option("--second", "RASTER", "Raster of the later date, for models that compare two.")
    ] = None,
    direction: Annotated[str | None, _option("--direction", "AtoB|BtoA", "CYCLEGAN: what is made of what.", "AtoB")] = None,
    features: Annotated[
        str | None, _option("--features", "FILE", "Classifiers: polygons to label; without them tiles of the chips' size are.")
    ] = None,
    probabilities: Annotated[
        str | None, _option("--probabilities", "FILE", "Pixel classifiers: .tif of every class's probability, too.")
    ] = None,
    polygons: Annotated[
        str | None, _option("--polygons", "FILE", "Pixel classifiers: polygons (of roads, lines) beside the raster.")
    ] = None,
    threshold: Annotated[
        str | None,
        _option("--threshold", "0..1", "Least score of objects and edges.", "the one of the highest F1 in training"),
    ] = None,
    nms_overlap: Annotated[
        str | None, _option("--nms-overlap", "0..1", "IoU above which the weaker of two objects of a class goes.", "0.3")
    ] = None,
    tile_size: Annotated[
        str | None, _option("--tile-size", "PIXELS", "Side of a window.", "the chips', or more where a margin needs it")
    ] = None,
    padding: Annotated[
        str | None, _option("--padding", "PIXELS", "Pixels around what is kept of a window.", "measured on the network")
    ] = None,
    batch_size: Annotated[str | None, _option("--batch-size", "COUNT", "Windows at once.", "picked")] = None,
    cell_size: Annotated[
        str | None, _option("--cell-size", "LENGTH", "Resample to cells of this size in map units.", "the raster's own")
    ] = None,
    extent: Annotated[
        str | None, _option("--extent", "XMIN,YMIN,XMAX,YMAX", "Predict only here, in the raster's map units.")
    ] = None,
    mask: Annotated[str | None, _option("--mask", "FILE", "Predict only inside these polygons.")] = None,
    processor_type: Annotated[
        str | None, _option("--processor-type", "CPU|GPU", "Where to compute.", "a GPU if there is one")
    ] = None,
    gpu_id: Annotated[str | None, _option("--gpu-id", "NUMBER", "Which GPU.", "0")] = None,
    precision: Annotated[str | None, _option("--precision", "auto|float32|bfloat16|float16", "Arithmetic.", "auto")] = None,
    overwrite: Annotated[bool, _option("--overwrite", None, "Replace an earlier result.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put a trained model to work on a raster.

    Interrupted work goes on where it was when the same command is given again.

    Example: chipwright predict models/trees ortho.tif --out trees.gpkg
    """
    given = dict(locals())
    del given["as_json"]

    from chipwright.prediction import make_predict_options

    options = make_predict_options({name: value for name, value in given.items() if value not in (None, False, [])}, spell)

    from chipwright.prediction.run import predict as run

    done = run(options)
    emit(done, summary(done), as_json)


def spell(name: str) -> str:
    """Return an option as the command line spells it."""
    return _SPELLINGS.get(name, "--" + name.replace("_", "-"))


def summary(done: Predicted) -> str:
    """Return what a user reads after a prediction."""
    counts = [(name, _amount(done, count)) for name, count in done.counts.items()]
    scores = f" at a score of {done.threshold:.2g} or more" if done.kind == "objects" and done.threshold is not None else ""
    rows = [("Result:", str(done.outputs[0])), *(("", str(path)) for path in done.outputs[1:])]
    rate = f"{done.pixels / max(done.seconds, 1e-6) / 1e6:.2g} million pixels a second"
    return "\n".join(
        [
            f"{done.model}: {_TITLES.get(done.kind, done.kind)}{scores}, in {done.seconds:.0f} s ({rate}).",
            columns(counts, indent=2),
            columns(rows, indent=2),
        ]
    )


_TITLES = {"classes": "classes of pixels", "objects": "objects", "labels": "labels"}


def _amount(done: Predicted, count: int) -> str:
    if done.kind == "image":
        return f"{count:,} pixels"
    if done.kind != "classes" or done.outputs[0].suffix.lower() not in (".tif", ".tiff"):
        return str(count)
    return f"{100 * count / max(1, sum(done.counts.values())):.1f} % of the pixels"
