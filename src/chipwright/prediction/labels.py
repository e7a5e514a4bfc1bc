"""Classifiers on a map: a label for every feature, or for every tile of a raster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipwright import console
from chipwright.errors import DataError, OptionError, listed
from chipwright.prediction.job import Job
from chipwright.prediction.outputs import VECTORS, wanted
from chipwright.prediction.places import Places, find_places, predicted, write_places
from chipwright.prediction.work import Work
from chipwright.tasks.classification import ClassificationTask


def predict_labels(job: Job) -> tuple[dict[str, int], list[Path]]:
    """Write every feature's, or every tile's, label with its probability; return (how many of each class, the files)."""
    options, model = job.options, job.model
    wanted(options.out, VECTORS, "Labels")
    if options.probabilities or options.polygons:
        raise OptionError(f"{model.name} labels whole tiles; --probabilities and --polygons are for pixel classifiers.")
    task = model.task
    assert isinstance(task, ClassificationTask)
    places = find_places(job, task.squished)
    work = Work(options.out, job.facts("labels") | {"places": len(places.boxes)})
    chunks = places.chunks
    for chunk in console.track(work.missing(len(chunks)), "Labelling", len(chunks)):
        found = np.full((len(chunks[chunk]), len(model.spec.classes)), np.nan, np.float32)
        for one in predicted(job, places, chunks[chunk]):
            if one.result is not None:
                found[one.row] = one.result.probabilities
        with work.piece(chunk, "npy").open("wb") as file:
            np.save(file, found)
        work.finish(chunk)
    probabilities = np.concatenate([np.load(work.piece(chunk, "npy")) for chunk in range(len(chunks))])
    seen = ~np.isnan(probabilities).any(1)
    if not seen.any():
        raise DataError("None of the places to label holds data.")
    counts = _write(job, task, places, seen, probabilities[seen])
    if (~seen).any():
        console.warn(f"{int((~seen).sum())} places hold no data and got no label.")
    work.clear()
    return counts, [options.out]


def _write(
    job: Job, task: ClassificationTask, places: Places, seen: NDArray[np.bool_], probabilities: NDArray[np.float32]
) -> dict[str, int]:
    spec = job.model.spec
    names = [info.name for info in spec.classes]
    threshold = 0.5 if job.options.threshold is None else job.options.threshold
    chosen: list[list[int]]
    if task.several:
        chosen = [np.flatnonzero(one >= threshold).tolist() for one in probabilities]
        texts = [";".join(f"{100 * own[place]:.1f}" for place in some) for own, some in zip(probabilities, chosen, strict=True)]
        confidence = np.array(texts, object)
    else:
        chosen = [[int(one.argmax())] for one in probabilities]
        confidence = np.round(100 * probabilities.max(1).astype(np.float64), 2)
    labels = np.array([";".join(names[place] for place in some) for some in chosen], object)
    fields: dict[str, NDArray[Any]] = {job.options.label_field: labels, "Confidence": confidence}
    if not task.several:
        fields["classvalue"] = np.array([spec.classes[some[0]].value for some in chosen], np.int32)
    write_places(job, places, seen, fields, "labels")
    counts = {name: sum(place in some for some in chosen) for place, name in enumerate(names)}
    if not any(counts.values()):
        console.warn(f"No place got any of the labels {listed(names, 8)} at a probability of {threshold:.2g} or more.")
    return counts
