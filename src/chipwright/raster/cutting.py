"""One raster, or a mosaic, being cut into chips with their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize

from chipwright.chips.chipset import BACKGROUND, ClassInfo
from chipwright.chips.reading import valid_pixels
from chipwright.chips.writers.new_chip import NewChip
from chipwright.errors import DataError, OptionError
from chipwright.raster.export_options import PER_FEATURE, ExportOptions
from chipwright.raster.features import Features
from chipwright.raster.grid import Tile
from chipwright.raster.imagery import Imagery, Pixels, rasters_in
from chipwright.raster.label_rasters import is_raster, raster_classes
from chipwright.raster.tiling import Area, check_size, feature_tiles, grid_count, grid_tiles, turns
from chipwright.raster.truth import PolygonTruth, RasterTruth, Truth
from chipwright.raster.vector_files import read_features

_OBJECTS = ("PASCAL_VOC_rectangles", "KITTI_rectangles", "COCO_rectangles", "YOLO_rectangles", "RCNN_Masks", "TimeSeries")
_MASKS = ("RCNN_Masks", "TimeSeries")
_PIXELS = ("Classified_Tiles", "ChangeDetection", "Panoptic_Segmentation", "Export_Tiles")
_UNFRAMED = (*PER_FEATURE, "MultiLabeled_Tiles")
"""Formats that points without a radius will do for: only the chip that holds them matters."""


@dataclass(frozen=True)
class Labels:
    """Class data or instance data before they are laid onto a raster.

    Attributes:
        classes: sorted by value.
        features: of a vector file.
        rasters: of class values.
    """

    classes: tuple[ClassInfo, ...]
    features: Features | None = None
    rasters: tuple[Path, ...] = ()

    @classmethod
    def read(cls, path: Path, field: str | None) -> Labels:
        """Read vector labels whole, and of label rasters the classes.

        Raises:
            DataError, OptionError: for labels that cannot be used.
        """
        if is_raster(path):
            rasters = rasters_in(path)
            return cls(raster_classes(rasters), rasters=rasters)
        features = read_features(path, field)
        return cls(features.classes, features)


class Cut:
    """Chips of one raster or mosaic; close it to close the files.

    Args:
        options: of the export.
        rasters: the imagery.
        seconds: the second raster of pairs, if any.
        labels, instances: class data and instance data, if any.
        mask: polygons in which tiles must lie, if any.
        left_out: tiles not written by reason; added to.
        domain: of CycleGAN.

    Attributes:
        imagery, second: the rasters.
        total: tiles that `chips` goes through.

    Raises:
        DataError, OptionError: for data that do not go together.
    """

    def __init__(
        self,
        options: ExportOptions,
        rasters: Sequence[Path],
        seconds: Sequence[Path] = (),
        labels: Labels | None = None,
        instances: Labels | None = None,
        mask: Features | None = None,
        left_out: Counter[str] | None = None,
        domain: int = 0,
    ) -> None:
        self.options = options
        self.keyword = options.keyword
        self.domain = domain
        self.left_out: Counter[str] = Counter() if left_out is None else left_out
        self._files: list[Imagery] = []
        self.imagery = self._opened(Imagery(rasters, cell_size=options.cell_size))
        self.grid = self.imagery.grid
        self.second = self._opened(Imagery(seconds, self.grid)) if seconds else None
        self.truth = self._truth(labels)
        self.instances = self._truth(instances)
        self.area = Area(self.grid, mask.on(self.grid) if mask is not None else None)
        self._features = self.truth.features if isinstance(self.truth, PolygonTruth) and self.keyword in PER_FEATURE else None
        self._angles = turns(options.rotation_angle)
        if options.crop_mode == "FIXED_SIZE" or self._features is None:
            check_size(self.grid, options.tile_size, rasters[0].name)
        count = grid_count(self.grid, options.tile_size, options.stride) if self._features is None else len(self._features)
        self.total = count * len(self._angles)

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    def chips(self) -> Iterator[NewChip | None]:
        """Yield the chip of each tile, None for tiles that are left out.

        Raises:
            ChipwrightError: if a file cannot be read.
        """
        for tile in self._tiles():
            for degrees in self._angles:
                yield self._chip(tile.turned(degrees))

    def _tiles(self) -> Iterator[Tile]:
        if self._features is None:
            return grid_tiles(self.grid, self.options.tile_size, self.options.stride)
        whole = self.options.crop_mode == "BOUNDING_BOX"
        return feature_tiles(self.grid, self.options.tile_size, self._features, whole)

    def _chip(self, tile: Tile) -> NewChip | None:
        if not self.area.holds(tile):
            return self._leave("reach beyond the raster or the mask polygons")
        parts = self._labels(tile)
        if parts is None:
            return self._leave("hold no feature")
        images = [self.imagery.read(tile)] + ([self.second.read(tile)] if self.second else [])
        nodata = [self.imagery.nodata, *([self.second.nodata] if self.second else [])]
        if all(_void(image, value) for image, value in zip(images, nodata, strict=True)):
            return self._leave("hold no data")
        if self.options.blacken_around_feature and self._features is not None and tile.feature is not None:
            images = [(_blackened(pixels, tile, self._features), valid) for pixels, valid in images]
        if self.options.image_chip_format != "TIFF":  # no place for a mask: what lies under it must not look like ground
            images = [(_emptied(image, value), image[1]) for image, value in zip(images, nodata, strict=True)]
        return NewChip(
            images=tuple(pixels for pixels, _ in images),
            valid=tuple(valid for _, valid in images),
            georeference=tile.georeference(self.grid),
            domain=self.domain,
            **parts,
        )

    def _leave(self, reason: str) -> NewChip | None:
        self.left_out[reason] += 1
        return None

    def _labels(self, tile: Tile) -> dict[str, Any] | None:
        """Return the labels of a tile as fields of a `NewChip`, None for a tile without a feature that is not wanted."""
        truth, parts = self.truth, dict[str, Any]()
        if truth is None:
            return parts
        if self._features is not None and tile.feature is not None:
            if self.keyword == "ImageCaptioning":
                return {"texts": (self._features.texts[tile.feature],)}
            return {"values": (int(self._features.values[tile.feature]),)}
        if self.keyword in PER_FEATURE:
            parts["values"] = _commonest(truth.pixels(tile))
        elif self.keyword == "MultiLabeled_Tiles":
            parts["values"] = truth.values(tile)
        if self.keyword in _PIXELS:
            parts["label"] = truth.pixels(tile)
        if self.keyword in _OBJECTS:
            parts["objects"] = truth.objects(tile, self.keyword in _MASKS)
        if self.instances is not None:
            parts["objects"] = self.instances.objects(tile, True)
        if self.options.output_nofeature_tiles and self.keyword not in PER_FEATURE:
            return parts
        shows = any(np.any(part) if isinstance(part, np.ndarray) else bool(part) for part in parts.values())
        return parts if shows else None

    def _truth(self, labels: Labels | None) -> Truth | None:
        if labels is None:
            return None
        options = self.options
        if labels.features is None:
            if options.min_polygon_overlap_ratio and self.keyword in _OBJECTS:
                raise OptionError("The least overlap of objects is known of vector labels only; these are a raster.")
            if self.keyword == "ImageCaptioning":
                raise OptionError("Captions are texts in a field of vector labels; these labels are a raster.")
            return RasterTruth(self._opened(Imagery(labels.rasters, self.grid, categorical=True)), labels.classes)
        features = labels.features
        framed = self.keyword not in _UNFRAMED or options.crop_mode == "BOUNDING_BOX"
        if framed and features.flat(options.buffer_radius):
            raise OptionError(
                f"{features.source.name} holds points or lines, which have no area. Give a buffer radius that makes them as "
                "large as what they stand for."
            )
        if self.keyword == "ImageCaptioning" and not features.texts:
            raise OptionError(
                f"Captions are texts: name the field of {features.source.name} that holds them as the class value field."
            )
        return PolygonTruth(features.on(self.grid, options.buffer_radius), options.min_polygon_overlap_ratio)

    def _opened(self, imagery: Imagery) -> Imagery:
        self._files.append(imagery)
        return imagery


def check_alike(first: Cut, other: Cut) -> None:
    """Raise `DataError` unless the chips of two rasters can lie in one folder."""
    for what, mine, expected in (
        ("bands", len(other.imagery.bands), len(first.imagery.bands)),
        ("pixel type", other.imagery.dtype, first.imagery.dtype),
    ):
        if mine != expected:
            raise DataError(
                f"The rasters do not go together: {what} {mine} in {other.imagery.paths[0].name}, {expected} in "
                f"{first.imagery.paths[0].name}. Export them one by one, each into its own folder."
            )


def _commonest(pixels: NDArray[Any]) -> tuple[int, ...]:
    """Return the class of most pixels, none where all are background."""
    values, counts = np.unique(pixels[pixels != BACKGROUND], return_counts=True)
    return (int(values[counts.argmax()]),) if len(values) else ()


def _void(image: Pixels, nodata: float | None) -> bool:
    valid = valid_pixels(image[0], nodata, image[1])
    return valid is not None and not valid.any()


def _blackened(pixels: NDArray[Any], tile: Tile, features: Features) -> NDArray[Any]:
    """Return a chip with 0 wherever its feature is not."""
    shape = tile.seen(features.shapes[tile.feature])
    inside = rasterize([shape], (tile.height, tile.width), dtype="uint8", all_touched=True)
    return np.where(inside, pixels, pixels.dtype.type(0))


def _emptied(image: Pixels, nodata: float | None) -> NDArray[Any]:
    """Return a chip with the nodata value, or 0, wherever there is no data."""
    pixels, valid = image
    return pixels if valid is None else np.where(valid, pixels, pixels.dtype.type(nodata or 0))
