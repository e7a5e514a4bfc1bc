"""Captioners on a map: a sentence for every feature, or for every tile of a raster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from chipwright import console
from chipwright.errors import DataError, OptionError
from chipwright.prediction.job import Job
from chipwright.prediction.outputs import VECTORS, wanted
from chipwright.prediction.places import find_places, predicted, write_places
from chipwright.prediction.work import Work

CAPTION = "Caption"
"""Field of the captions, as the reference names it."""


def predict_captions(job: Job) -> tuple[dict[str, int], list[Path]]:
    """Write every feature's, or every tile's, caption with its score; return (how many have one, the files)."""
    options, model = job.options, job.model
    wanted(options.out, VECTORS, "Captions")
    if options.probabilities or options.polygons:
        raise OptionError(f"{model.name} describes whole tiles; --probabilities and --polygons are for pixel classifiers.")
    if options.threshold is not None:
        raise OptionError(f"{model.name} gives every tile a caption; leave the threshold out, and choose by Confidence.")
    places = find_places(job, squished=False)
    work = Work(options.out, job.facts("captions") | {"places": len(places.boxes)})
    chunks = places.chunks
    for chunk in console.track(work.missing(len(chunks)), "Describing", len(chunks)):
        found: list[Any] = [None] * len(chunks[chunk])
        for one in predicted(job, places, chunks[chunk]):
            if one.result is not None:
                found[one.row] = [one.result.text, one.result.score]
        work.piece(chunk, "json").write_text(json.dumps(found), encoding="utf-8")
        work.finish(chunk)
    said = [one for chunk in range(len(chunks)) for one in json.loads(work.piece(chunk, "json").read_text(encoding="utf-8"))]
    seen = np.array([one is not None for one in said], bool)
    if not seen.any():
        raise DataError("None of the places to describe holds data.")
    texts, scores = zip(*filter(None, said), strict=True)
    fields = {CAPTION: np.array(texts, object), "Confidence": np.round(100 * np.array(scores, np.float64), 2)}
    write_places(job, places, seen, fields, "captions")
    if not seen.all():
        console.warn(f"{int((~seen).sum())} places hold no data and got no caption.")
    work.clear()
    return {"captions": int(seen.sum())}, [options.out]
