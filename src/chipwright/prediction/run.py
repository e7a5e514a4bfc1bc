"""The way of a prediction: options in, files out."""

from __future__ import annotations

import time

import numpy as np
import rasterio
import shapely

from chipwright import console
from chipwright.errors import OptionError
from chipwright.model import Model, load_model
from chipwright.prediction.captions import predict_captions
from chipwright.prediction.classes import predict_classes
from chipwright.prediction.images import predict_images
from chipwright.prediction.job import Job, planned
from chipwright.prediction.labels import predict_labels
from chipwright.prediction.objects import predict_objects
from chipwright.prediction.options import Predicted, PredictOptions
from chipwright.prediction.source import Source
from chipwright.prediction.windows import Plan
from chipwright.prediction.work import alone, check_output
from chipwright.raster.imagery import CACHE, rasters_in
from chipwright.tasks.captions import CaptionTask
from chipwright.tasks.classification import ClassificationTask
from chipwright.tasks.detection import DetectionTask
from chipwright.tasks.images import ImageTask
from chipwright.tasks.pixels import PixelTask

_KINDS = (
    (PixelTask, "classes", predict_classes),
    (DetectionTask, "objects", predict_objects),
    (ClassificationTask, "labels", predict_labels),
    (CaptionTask, "captions", predict_captions),
    (ImageTask, "image", predict_images),
)

_OF_PLACES = ("labels", "captions")
"""Kinds that see features, or tiles, as a whole."""


def predict(options: PredictOptions, model: Model | None = None) -> Predicted:
    """Apply a model to a raster and write what it finds.

    Args:
        options: what to apply it to, and how.
        model: loaded already; the options' if not given.

    Raises:
        OptionError, DataError, PackageError: for options, rasters or models that cannot be used; nothing is written then.
        ChipwrightError: for a failure under way. What was finished is kept in a hidden folder beside the output, and the same
            call goes on from there.
    """
    started = time.perf_counter()
    rasters = [file for path in options.in_raster for file in rasters_in(path)]
    second = [file for path in options.second for file in rasters_in(path)]
    files = [*filter(None, (options.out, options.probabilities, options.polygons))]
    for number, out in enumerate(files):
        check_output(out, [*rasters, *second, *filter(None, (options.features, options.mask))], options.overwrite)
        if out.resolve() in {other.resolve() for other in files[:number]}:
            raise OptionError(f"{out} is given for two results. Choose another name for one of them.")
    model = model or load_model(
        options.model, processor_type=options.processor_type, gpu_id=options.gpu_id, precision=options.precision
    )
    if options.direction is not None:
        model = model.towards(options.direction)
    found = next(((kind, run) for task, kind, run in _KINDS if isinstance(model.task, task)), None)
    if found is None:
        raise OptionError(f"{model.name} is a {model.spec.model_type}, which gives nothing that goes onto a map.")
    kind, run = found
    if options.features is not None and kind not in _OF_PLACES:
        raise OptionError(f"--features are labelled by classifiers and captioners; {model.name} is a {model.spec.model_type}.")
    before = model.task.score_threshold
    several = isinstance(model.task, ClassificationTask) and model.task.several
    if options.threshold is not None and before is None and not several and kind != "captions":
        console.warn(
            f"The threshold changes nothing: {model.name} is a {model.spec.model_type}, which leaves nothing out by its score."
        )
    elif options.threshold is not None:
        model.task.score_threshold = options.threshold
    try:
        with (
            alone(options.out),
            rasterio.Env(GDAL_CACHEMAX=CACHE),
            Source(model, rasters, second, options.cell_size) as source,
        ):
            job = Job(options, model, source, planned(options, model, source))
            plan = job.plan
            size = f"{source.grid.width} x {source.grid.height} pixels"
            console.say(f"{model.name} ({model.spec.model_type}) over {size}{_by(plan, kind)}.")
            counts, outputs = run(job)
            left, top, right, bottom = plan.area
            pixels = (right - left) * (bottom - top) if source.inside is None else int(np.ceil(shapely.area(source.inside)))
    finally:
        threshold, model.task.score_threshold = model.task.score_threshold, before
    return Predicted(
        model=model.name,
        model_type=model.spec.model_type,
        outputs=tuple(outputs),
        kind=kind,
        counts=counts,
        windows=len(plan),
        tile_size=plan.size,
        padding=plan.margin,
        threshold=threshold,
        pixels=pixels,
        seconds=time.perf_counter() - started,
    )


def _by(plan: Plan, kind: str) -> str:
    """Return by which windows, in words."""
    if kind in _OF_PLACES:
        return ""
    if len(plan) == 1:
        return " in one window"
    return f" in {len(plan)} windows of {plan.size} with {plan.margin} around what is kept"
