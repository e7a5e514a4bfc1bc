"""Models that make images, on a map: a raster of the chips' bands and pixel type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipwright.chips.reading import representable
from chipwright.errors import OptionError
from chipwright.prediction.job import Job
from chipwright.prediction.outputs import RASTERS, wanted
from chipwright.prediction.rasters import Target, write_rasters
from chipwright.prediction.work import Work
from chipwright.raster.layers import Layer
from chipwright.tasks.base import Batch
from chipwright.tasks.images import ImageTask


def predict_images(job: Job) -> tuple[dict[str, int], list[Any]]:
    """Write the image; return (pixels by the image's name, the file)."""
    task, out = job.model.task, job.options.out
    assert isinstance(task, ImageTask)
    wanted(out, RASTERS, "Images")
    options, name = job.options, job.model.name
    if options.probabilities or options.polygons:
        raise OptionError(f"{name} makes images; --probabilities and --polygons are for pixel classifiers.")
    if options.threshold is not None:
        raise OptionError(f"{name} makes images, which have no scores; leave the threshold out.")
    made = task.made
    nodata = _nodata_of(made.nodata, np.dtype(made.dtype))
    work = Work(out, job.facts("image") | {"masked": nodata is None})
    target = Target(Layer(made.dtype, nodata, made.bands), out)

    def paint(batch: Batch) -> Sequence[Mapping[str, NDArray[Any]]]:
        return [{"image": beside(image.numpy(), nodata)} for image in task.predict(job.model.network, batch)]

    figures = write_rasters(job, {"image": target}, paint, work)
    work.clear()
    return {"image": figures["image"][0].count}, [out]


def beside(image: NDArray[Any], nodata: float | None) -> NDArray[Any]:
    """Return an image with the neighbouring value wherever one was made that means no data: the map would have holes there."""
    if nodata is None:
        return image
    limits: Any = np.iinfo(image.dtype) if image.dtype.kind in "iu" else np.finfo(image.dtype)
    value = image.dtype.type(nodata)
    if image.dtype.kind == "f":
        neighbour = np.nextafter(value, limits.max if value < 0 else limits.min)
    else:
        neighbour = value + 1 if value < limits.max else value - 1
    return np.where(image == value, neighbour, image).astype(image.dtype, copy=False)


def _nodata_of(nodata: float | None, dtype: np.dtype[Any]) -> float | None:
    """Return a declared nodata value if pixels of a type can hold it: exports declare others, too, which no raster can."""
    if nodata is None or representable(nodata, dtype) or (dtype.kind == "f" and np.isnan(nodata)):
        return nodata
    return None
