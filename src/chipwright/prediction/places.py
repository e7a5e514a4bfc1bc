"""Places on a map that are seen as a whole: the features given, or the tiles of a raster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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

_OWN = ("fid", "geom", "geometry")
"""Fields that formats have of their own, in lower case."""


@dataclass(frozen=True)
class Places:
    """Places that are seen as a whole.

    Attributes:
        shapes: outlines in the raster's pixels.
        boxes: what the network sees for each.
        fields: of the features that they are: name -> values.
    """

    shapes: NDArray[Any]
    boxes: list[Box]
    fields: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def chunks(self) -> list[range]:
        """Places of each piece of the work."""
        return [range(start, min(start + CHUNK, len(self.boxes))) for start in range(0, len(self.boxes), CHUNK)]


def find_places(job: Job, squished: bool) -> Places:
    """Return the features given, or the tiles of the raster."""
    options, grid, size = job.options, job.source.grid, job.model.spec.chip_size
    if options.features is None:
        tiles = [tile.window for tile in grid_tiles(grid, (min(size[0], grid.width), min(size[1], grid.height)), size)]
        boxes = [(left, top, left + width, top + height) for left, top, width, height in filter(None, tiles)]
        shapes = shapely.box(*np.array(boxes, np.float64).T)
        inside = job.source.inside
        kept = np.ones(len(boxes), bool) if inside is None else shapely.intersects(inside, shapely.centroid(shapes))
        return Places(shapes[kept], [box for box, one in zip(boxes, kept.tolist(), strict=True) if one])
    features: Features = read_features(options.features, classes=False, fields=True)
    placed = features.on(grid)
    if not len(placed):
        raise features.elsewhere(grid)
    smaller = size[0] > grid.width or size[1] > grid.height
    seen = (min(size[0], grid.width), min(size[1], grid.height)) if smaller else size
    found: list[int] = []
    boxes = []
    for tile in feature_tiles(grid, seen, placed, squished):
        if tile.window is not None and tile.feature is not None:
            left, top, width, height = tile.window
            found.append(tile.feature)
            boxes.append((left, top, left + width, top + height))
    kept = placed.taken(np.array(found, np.int64))
    return Places(kept.shapes, boxes, kept.fields)


def predicted(job: Job, places: Places, chunk: range) -> Iterator[Seen]:
    """Yield some of the places with what was predicted for each; `row` is its number among them."""
    black = job.options.features is not None and bool(job.model.spec.metadata.get("BlackenAroundFeature"))

    def compute(batch: Batch) -> Sequence[Any]:
        return job.model.task.predict(job.model.network, batch)

    def windows() -> Iterator[Seen]:
        for row, number in enumerate(chunk):
            box = places.boxes[number]
            sample, held = job.source.read(box)
            if sample is not None and black:
                tile = Tile.at(box[0], box[1], box[2] - box[0], box[3] - box[1])
                sample["image"] = blackened(sample["image"], tile.seen(places.shapes[number]))
            yield Seen(row, Window(box, box), sample, None if sample is None else held)

    with ahead(lambda: batched(windows(), job.batch_size), _AHEAD) as ready:
        for batch in ready:
            yield from computed(job.model, batch, compute)


def blackened(image: NDArray[Any], shape: Any) -> NDArray[Any]:
    """Return an image (bands, height, width) with 0 around a shape in its pixels, as such training chips have it."""
    from rasterio.features import rasterize

    inside: NDArray[np.uint8] = rasterize([shape], image.shape[1:], dtype="uint8")
    return fill_invalid(image, inside != 0, (0.0,) * len(image))


def write_places(job: Job, places: Places, seen: NDArray[np.bool_], found: Mapping[str, NDArray[Any]], layer: str) -> None:
    """Write the places that were seen on the map as a vector layer of polygons, or of several polygons each where some are.

    What was found of them stands in fields beside those that they had, and in their stead where names are the same.
    """
    shapes = job.source.grid.on_map(places.shapes[seen])
    taken = {name.lower() for name in (*found, *_OWN)}
    fields = {name: values[seen] for name, values in places.fields.items() if name.lower() not in taken} | dict(found)
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
    write_features(job.options.out, shapes, fields, job.source.grid.crs, layer, kind)
