"""Models that make images, on a map: a raster of the chips' bands and pixel type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

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
    work = Work(out, job.facts("image"))
    target = Target(Layer(task.made.dtype, task.made.nodata, task.made.bands), out)

    def paint(batch: Batch) -> Sequence[Mapping[str, NDArray[Any]]]:
        return [{"image": image.numpy()} for image in task.predict(job.model.network, batch)]

    figures = write_rasters(job, {"image": target}, paint, work)
    work.clear()
    return {"image": figures["image"][0].count}, [out]
