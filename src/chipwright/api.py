"""The public calls: options in, result out. Each imports what it needs when it is called."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwright.option_reading import read_folders
from chipwright.option_values import make_options

if TYPE_CHECKING:
    from chipwright.accuracy.run import MapAccuracy
    from chipwright.evaluation import EvaluateResult
    from chipwright.model import Model
    from chipwright.prediction import Predicted
    from chipwright.publishing import TrainResult
    from chipwright.raster.export_options import Exported

PathLike = str | os.PathLike[str]


def train(
    in_folder: PathLike | Sequence[PathLike], out_folder: PathLike, *, arguments: Any = None, **options: Any
) -> TrainResult:
    """Train a model on the chips in `in_folder` (one folder or several) and store it in `out_folder`.

    `arguments` are the model arguments as text ("name value;name value"), pairs or a mapping. All other keywords are the fields
    of `TrainOptions`, such as `model_type`, `max_epochs`, `backbone_model`, `learning_rate`, `seed`.

    Raises:
        UsageError: for data or options that cannot be used; nothing is written then.
        Interrupted: after Ctrl-C; call again with `resume=True` to go on.
        ChipwrightError: for a failure under way.
    """
    from chipwright.training import train as run

    values = {"in_folder": in_folder, "out_folder": out_folder, "arguments": arguments} | options
    return run(make_options({name: value for name, value in values.items() if value is not None}))


def evaluate(
    model: PathLike,
    in_folder: PathLike | Sequence[PathLike],
    out_folder: PathLike | None = None,
    *,
    processor_type: str | None = None,
    gpu_id: int = 0,
    batch_size: int | None = None,
    precision: str = "auto",
    workers: int | None = None,
) -> EvaluateResult:
    """Measure a trained model on labelled folders and write a report like training's into `out_folder`.

    Without `out_folder` the report goes beside the model, into `NAME_evaluation`.

    Raises:
        PackageError: for a model that cannot be used.
        DataError: for chips that cannot be used, or do not suit the model.
    """
    from chipwright.evaluation import evaluate as run

    out = Path(out_folder) if out_folder else None
    return run(Path(model), read_folders(in_folder), out, processor_type, gpu_id, batch_size, precision, workers)


def evaluate_map(
    predicted: PathLike,
    reference: PathLike,
    out_folder: PathLike | None = None,
    *,
    class_value_field: str | None = None,
    min_iou: float = 0.5,
    mask: PathLike | None = None,
) -> MapAccuracy:
    """Compare a predicted layer with a reference layer and write figures and errors into `out_folder`.

    Without `out_folder` they go beside the prediction, into `NAME_accuracy`.

    Args:
        predicted: raster of class values, or vector file of objects.
        reference: raster of class values or polygons; polygons for objects.
        class_value_field: of the reference's polygons.
        min_iou: overlap asked of a found object.
        mask: polygons to which the comparison is limited.

    Raises:
        DataError, OptionError: for layers that cannot be used.
    """
    from chipwright.accuracy.run import evaluate_map as run

    limits: dict[str, Any] = {
        "class_value_field": class_value_field,
        "least_iou": min_iou,
        "mask": Path(mask) if mask else None,
    }
    return run(Path(predicted), Path(reference), Path(out_folder) if out_folder else None, **limits)


def load(model: PathLike, *, processor_type: str | None = None, gpu_id: int = 0, precision: str = "float32") -> Model:
    """Return a trained model, ready to predict, from its folder, `.emd` or `.dlpk`. Runs no code from the package.

    Raises:
        PackageError: for a package that cannot be used.
    """
    from chipwright.model import load_model

    return load_model(Path(model), processor_type=processor_type, gpu_id=gpu_id, precision=precision)


def predict(model: PathLike | Model, in_raster: PathLike | Sequence[PathLike], out: PathLike, **options: Any) -> Predicted:
    """Apply a trained model to a raster (or several as one) and write what it finds to `out`.

    A pixel classifier writes a Cloud Optimized GeoTIFF of class values, or polygons; a detector writes objects and a classifier
    labels, as GeoPackage or GeoJSON. All other keywords are the fields of `PredictOptions`, such as `second`, `features`,
    `probabilities`, `threshold`, `mask`. Interrupted work is gone on with by the same call.

    Args:
        model: folder, `.emd` or `.dlpk`, or a model loaded before.

    Raises:
        OptionError, DataError, PackageError: for input that cannot be used; nothing is written then.
        ChipwrightError: for a failure under way.
    """
    from chipwright.prediction import make_predict_options
    from chipwright.prediction.run import predict as run

    loaded = None if isinstance(model, (str, os.PathLike)) else model
    values = {"model": loaded.name if loaded else model, "in_raster": in_raster, "out": out} | options
    given = make_predict_options({name: value for name, value in values.items() if value is not None})
    return run(given, loaded)


def export(
    in_raster: PathLike | Sequence[PathLike], out_folder: PathLike, in_class_data: PathLike | None = None, **options: Any
) -> Exported:
    """Cut training chips from a raster and labels, or turn a folder of training data into another format.

    All other keywords are the fields of `ExportOptions`, such as `metadata_format`, `tile_size_x`, `stride_x`.

    Raises:
        OptionError, DataError: for input that cannot be used; nothing is written then.
        ChipwrightError: for a failure under way; nothing is left behind.
    """
    from chipwright.exporting import export as run
    from chipwright.raster.export_options import make_export_options

    values = {"in_raster": in_raster, "out_folder": out_folder, "in_class_data": in_class_data} | options
    return run(make_export_options({name: value for name, value in values.items() if value is not None}))


def inspect(folder: PathLike | Sequence[PathLike], *, preview: PathLike | None = None) -> dict[str, Any]:
    """Return what training-data folders (or a model package) hold, as plain data.

    `preview` names a PNG file to draw labelled samples into.
    """
    from chipwright.inspection import inspect as run

    return run(read_folders(folder), Path(preview) if preview else None)


def repackage(model: PathLike, format: str, out: PathLike | None = None) -> Path:
    """Write a model as "dlpk", "onnx" or "qgis" (ONNX for QGIS's plugin Deepness) and return the file's path.

    It lies beside the model if `out` is not given.
    """
    from chipwright.model import repackage as run

    return run(Path(model), format, Path(out) if out else None)


def demo(out: PathLike, *, seed: int = 42, overwrite: bool = False) -> dict[str, Any]:
    """Run the whole job on a small scene that chipwright draws itself; return what was made, as plain data."""
    from chipwright.demo import demo as run

    return run(Path(out), seed, overwrite)
