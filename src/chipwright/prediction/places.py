"""Places on a map that are seen as a whole: the features given, or the tiles of a raster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from chipwright.chips.augmentation.pixels import fill_invalid
from chipwright.prediction.job import Job
from chipwright.prediction.stream import Seen, batched, computed
from chipwright.prediction.windows import Box, Window
from chipwright.raster.background import ahead
from chipwright.raster.features import Features
from chipwright.raster.grid import Tile
from chipwright.raster.tiling import feature_tiles, grid_tiles
from chipwright.raster.vector_files import read_features
from chipwright.raster.vector_writing import write_features
from chipwright.tasks.base import Batch

CHUNK = 512
"""Places in a piece of the work."""

_AHEAD = 2


def find_places(job: Job, squished: bool) -> tuple[NDArray[Any], list[Box]]:
    """Return (outlines in the raster's pixels, what the network sees for each)."""
    options, grid, size = job.options, job.source.grid, job.model.spec.chip_size
    if options.features is None:
        tiles = [tile.window for tile in grid_tiles(grid, (min(size[0], grid.width), min(size[1], grid.height)), size)]
        boxes = [(left, top, left + width, top + height) for left, top, width, height in filter(None, tiles)]
        shapes = shapely.box(*np.array(boxes, np.float64).T)
        inside = job.source.inside
        kept = np.ones(len(boxes), bool) if inside is None else shapely.intersects(inside, shapely.centroid(shapes))
        return shapes[kept], [box for box, one in zip(boxes, kept.tolist(), strict=True) if one]
    features: Features = read_features(options.features, classes=False)
    placed = features.on(grid)
    if not len(placed):
        raise features.elsewhere(grid)
    smaller = size[0] > grid.width or size[1] > grid.height
    seen = (min(size[0], grid.width), min(size[1], grid.height)) if smaller else size
    found, boxes = [], []
    for tile in feature_tiles(grid, seen, placed, squished):
        if tile.window is not None and tile.feature is not None:
            left, top, width, height = tile.window
            found.append(placed.shapes[tile.feature])
            boxes.append((left, top, left + width, top + height))
    return np.array(found, object), boxes


def predicted(job: Job, boxes: Sequence[Box], shapes: NDArray[Any]) -> Iterator[Seen]:
    """Yield the places with what was predicted for each; `row` is its number."""
    black = job.options.features is not None and bool(job.model.spec.metadata.get("BlackenAroundFeature"))

    def compute(batch: Batch) -> Sequence[Any]:
        return job.model.task.predict(job.model.network, batch)

    def windows() -> Iterator[Seen]:
        for number, box in enumerate(boxes):
            sample, held = job.source.read(box)
            if sample is not None and black:
                tile = Tile.at(box[0], box[1], box[2] - box[0], box[3] - box[1])
                sample["image"] = blackened(sample["image"], tile.seen(shapes[number]))
            yield Seen(number, Window(box, box), sample, None if sample is None else held)

    with ahead(lambda: batched(windows(), job.batch_size), _AHEAD) as ready:
        for batch in ready:
            yield from computed(job.model, batch, compute)


def blackened(image: NDArray[Any], shape: Any) -> NDArray[Any]:
    """Return an image (bands, height, width) with 0 around a shape in its pixels, as such training chips have it."""
    from rasterio.features import rasterize

    inside: NDArray[np.uint8] = rasterize([shape], image.shape[1:], dtype="uint8")
    return fill_invalid(image, inside != 0, (0.0,) * len(image))


def write_places(job: Job, shapes: NDArray[Any], fields: Mapping[str, NDArray[Any]], layer: str) -> None:
    """Write outlines on the map with their fields as a vector layer of polygons, or of several polygons each where some are."""
    kinds = {shapely.GeometryType(kind).name for kind in np.unique(shapely.get_type_id(shapes)).tolist()}
    if kinds == {"POLYGON"}:
        kind = "Polygon"
    elif kinds <= {"POLYGON", "MULTIPOLYGON"}:
        kind, shapes = (
            "MultiPolygon",
            np.array([shapely.MultiPolygon(shapely.get_parts(one).tolist()) for one in shapes], object),
        )
    else:
        kind = "Unknown"
    write_features(job.options.out, shapes, dict(fields), job.source.grid.crs, layer, kind)
