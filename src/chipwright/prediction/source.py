"""What a model is applied to: rasters on one pixel grid, as the samples that its network takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.features import rasterize
from rasterio.transform import Affine
from shapely.geometry.base import BaseGeometry

from chipwright import console
from chipwright.chips.reading import representable, valid_pixels
from chipwright.errors import DataError, listed
from chipwright.model import Model
from chipwright.prediction.windows import Box
from chipwright.raster.grid import Grid, Tile
from chipwright.raster.imagery import Imagery
from chipwright.tasks.base import RasterTaken, Sample

_FINER, _COARSER = 0.67, 1.5
"""Cell sizes, as shares of the training chips', beyond which a warning is due."""


class Source:
    """The raster, or the raster before and after, that a model is applied to. Used by one thread at a time.

    Args:
        model: that is applied.
        rasters: files of the raster, a mosaic if several.
        second: files of the raster at the later date, for models of pairs.
        cell_size: in map units to which the raster is resampled; its own if not given.

    Raises:
        DataError: if the rasters do not suit the model.

    Attributes:
        grid: of the raster.
        inside: polygons in the raster's pixels outside of which nothing is predicted, if any.
    """

    def __init__(
        self, model: Model, rasters: Sequence[Path], second: Sequence[Path] = (), cell_size: float | None = None
    ) -> None:
        self.model = model
        taken = model.task.rasters
        first = Imagery(rasters, cell_size=cell_size, categorical=taken[0].categorical)
        self.grid: Grid = first.grid
        self._imagery = [first, *([Imagery(second, grid=first.grid)] if second else [])]
        self.inside: BaseGeometry | None = None
        self._check()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for imagery in self._imagery:
            imagery.close()

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file that is read."""
        return tuple(path for imagery in self._imagery for path in imagery.paths)

    @property
    def bounds(self) -> Box:
        """The raster in its pixels."""
        return 0, 0, self.grid.width, self.grid.height

    def read(self, box: Box) -> tuple[Sample | None, NDArray[np.bool_] | None]:
        """Return (a sample of the pixels in a box, where they hold data); no sample where none do.

        The box may reach beyond the raster, which holds no data there.
        """
        wanted = self._wanted(box)
        if wanted is not None and not wanted.any():
            return None, wanted
        left, top, right, bottom = box
        tile = Tile.at(left, top, right - left, bottom - top)
        images, valids = [], []
        for imagery, taken in zip(self._imagery, self.model.task.rasters, strict=True):
            image, mask = imagery.read(tile)
            valids.append(valid_pixels(image, imagery.nodata, mask))
            images.append(_as_learnt(image, imagery.nodata, taken))
        held: NDArray[np.bool_] | None = None
        for valid in valids:
            held = valid if held is None else held if valid is None else held & valid
        if wanted is not None:
            held = wanted if held is None else held & wanted
        if held is not None and not held.any():
            return None, held
        return self.model.task.sample(images, valids), held

    def _wanted(self, box: Box) -> NDArray[np.bool_] | None:
        """Return which pixels of a box are to be predicted, None for all: those whose centre lies inside."""
        if self.inside is None or shapely.contains_properly(self.inside, shapely.box(*box)):
            return None
        left, top, right, bottom = box
        shape = bottom - top, right - left
        if not shapely.intersects(self.inside, shapely.box(*box)):
            return np.zeros(shape, bool)
        drawn: NDArray[np.uint8] = rasterize([self.inside], shape, transform=Affine.translation(left, top), dtype="uint8")
        return drawn != 0

    def _check(self) -> None:
        spec, taken = self.model.spec, self.model.task.rasters
        pairs = len(taken) == 2
        if pairs != (len(self._imagery) == 2):
            raise DataError(
                f"{self.model.name} compares two images: name the raster of the later date, too (--second)."
                if pairs
                else f"{self.model.name} takes one image; a second raster means nothing to it."
            )
        for imagery, wanted in zip(self._imagery, taken, strict=True):
            name, bands, dtype = imagery.paths[0].name, wanted.bands, wanted.dtype
            if len(imagery.bands) != len(bands):
                raise DataError(
                    f"{name} has {len(imagery.bands)} bands ({listed(imagery.bands, 8)}), but {self.model.name} was trained on "
                    f"{len(bands)} ({listed(bands, 8)}). Give it a raster with those bands in that order."
                )
            named = [[band.casefold() for band in some] for some in (imagery.bands, bands)]
            if named[0] != named[1] and sorted(named[0]) == sorted(named[1]):
                console.warn(
                    f"{name} has its bands in another order ({listed(imagery.bands, 8)}) than the training chips "
                    f"({listed(bands, 8)}): each is taken for the one in its place, which gives wrong results."
                )
            if dtype is not None and imagery.dtype != dtype:
                console.warn(
                    f"{name} has pixels of {imagery.dtype}, the training chips had {dtype}: values on another scale than the "
                    "training data's give wrong results."
                )
        trained = _cell_of(spec.metadata)
        if trained and self.grid.crs is not None and not self.grid.crs.is_geographic and spec.image_space == "MAP_SPACE":
            ratio = max(self.grid.cell) / trained
            if not _FINER <= ratio <= _COARSER:
                console.warn(
                    f"The raster's cells are {max(self.grid.cell):.3g} map units, the training chips' were {trained:.3g}: "
                    f"things look {1 / ratio:.2g} times as large as those learnt. Resample with --cell-size {trained:.3g}."
                )


def _as_learnt(image: NDArray[Any], nodata: float | None, taken: RasterTaken) -> NDArray[Any]:
    """Return an image in which bands without data hold what stood for that in training, or NaN."""
    if not taken.sparse or nodata == taken.nodata or not representable(nodata, image.dtype):
        return image
    missing = image == image.dtype.type(nodata)
    if representable(taken.nodata, image.dtype):
        return np.where(missing, image.dtype.type(taken.nodata), image)
    return np.where(missing, np.float32(np.nan), image.astype(np.float32)) if missing.any() else image


def _cell_of(metadata: Any) -> float | None:
    """Return the cell size of the training chips in map units, where their export said so."""
    facts = metadata.get("MinCellSize")
    if not isinstance(facts, dict):
        return None
    size, system = facts.get("x"), facts.get("spatialReference")
    try:
        crs = CRS.from_epsg(system["wkid"]) if isinstance(system, dict) else None
    except (CRSError, KeyError):
        return None
    if not isinstance(size, (int, float)) or size <= 0 or crs is None or crs.is_geographic:
        return None
    return float(size)
