"""Cutting labelled chips from a raster and polygons, as Classified_Tiles with complete metadata."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from pyogrio.raw import read
from rasterio.features import rasterize
from rasterio.windows import Window
from rasterio.windows import transform as window_transform

from chipwright.chips.chipset import ClassInfo
from chipwright.errors import DataError
from chipwright.files import write_json, write_text


@dataclass
class _Totals:
    """What the export's metadata say, gathered chip by chip."""

    names: list[str] = field(default_factory=list)
    images_per_class: dict[int, int] = field(default_factory=dict)
    pixels_per_class: dict[int, list[int]] = field(default_factory=dict)
    values: list[NDArray[np.float64]] = field(default_factory=list)
    """Per chip: minimum, maximum, sum and sum of squares a band, as (4, bands)."""


def export_classified_tiles(
    raster: Path, labels: Path, folder: Path, classes: tuple[ClassInfo, ...], tile_size: int, stride: int | None = None
) -> int:
    """Cut chips of `tile_size` pixels every `stride` from `raster`, labelled by the polygons of `labels`; return their number.

    The polygons carry `classvalue`; where none lies the label is 0. Labels must be in the raster's reference system. Windows
    that would leave the raster are moved inward, so that no chip is padded.

    Raises:
        DataError: if the raster is smaller than one tile.
    """
    with rasterio.open(raster) as source:
        if min(source.width, source.height) < tile_size:
            raise DataError(f"{raster} has {source.width} x {source.height} pixels, less than one tile of {tile_size}.")
        _, _, geometry, columns = read(labels, columns=["classvalue"])
        shapes = list(zip(shapely.from_wkb(geometry), columns[0].tolist(), strict=True))
        tree = shapely.STRtree([shape for shape, _ in shapes])
        totals = _Totals()
        for index, window in enumerate(_windows(source.width, source.height, tile_size, stride or tile_size)):
            transform = window_transform(window, source.transform)
            extent = shapely.box(*rasterio.windows.bounds(window, source.transform))
            near = [shapes[position] for position in tree.query(extent)]
            label = np.zeros((tile_size, tile_size), np.uint8)
            if near:
                label = rasterize(near, label.shape, transform=transform, dtype="uint8")
            _write_chip(folder, f"{index:012d}", source.read(window=window), label, transform, source.crs, totals)
        _write_metadata(folder, classes, totals, source, tile_size)
    return len(totals.names)


def _windows(width: int, height: int, tile: int, stride: int) -> Iterator[Window]:
    for row in _starts(height, tile, stride):
        for column in _starts(width, tile, stride):
            yield Window(column, row, tile, tile)


def _starts(length: int, tile: int, stride: int) -> list[int]:
    starts = list(range(0, length - tile + 1, stride))
    return starts if starts[-1] == length - tile else [*starts, length - tile]


def _write_chip(
    folder: Path, name: str, image: NDArray[Any], label: NDArray[np.uint8], transform: Any, crs: Any, totals: _Totals
) -> None:
    for kind, array in (("images", image), ("labels", label[None])):
        path = folder / kind / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        profile: dict[str, Any] = {
            "driver": "GTiff", "count": array.shape[0], "height": array.shape[1], "width": array.shape[2],
            "dtype": array.dtype.name, "transform": transform, "crs": crs, "compress": "deflate",
        }  # fmt: skip
        with rasterio.open(path, "w", **profile) as target:
            target.write(array)
    totals.names.append(name)
    values, counts = np.unique(label[label > 0], return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        totals.images_per_class[value] = totals.images_per_class.get(value, 0) + 1
        totals.pixels_per_class.setdefault(value, []).append(count)
    flat = image.reshape(image.shape[0], -1).astype(np.float64)
    totals.values.append(np.stack([flat.min(1), flat.max(1), flat.sum(1), (flat**2).sum(1)]))


def _write_metadata(folder: Path, classes: tuple[ClassInfo, ...], totals: _Totals, source: Any, tile: int) -> None:
    """Write map.txt, stats.txt, esri_accumulated_stats.json and esri_model_definition.emd as the reference's export does."""
    count, bands = len(totals.names), source.count
    names = [name or f"Band_{index}" for index, name in enumerate(source.descriptions, 1)]
    pixels = count * tile * tile
    values = np.stack(totals.values)
    minimum, maximum = values[:, 0].min(0), values[:, 1].max(0)
    mean = values[:, 2].sum(0) / pixels
    std = np.sqrt(np.maximum(values[:, 3].sum(0) - pixels * mean**2, 0) / max(1, pixels - 1))
    wkid = source.crs.to_epsg() if source.crs else None
    reference = {"spatialReference": {"wkid": wkid, "latestWkid": wkid}} if wkid else {}
    cell = {"x": abs(source.transform.a), "y": abs(source.transform.e)} | reference
    per_class = [totals.pixels_per_class.get(info.value, []) for info in classes]
    common = {"MetaDataMode": "Classified_Tiles", "MinCellSize": cell, "MaxCellSize": cell}
    properties = {"InputRastersProps": {"RasterCount": 1, "SensorName": "Undefined", "BandNames": names}}
    write_json(
        folder / "esri_model_definition.emd",
        common
        | {
            "Framework": "e.g. TensorFlow or PyTorch",
            "ModelConfiguration": "e.g. UNet or FasterRCNN",
            "ModelType": "e.g. ObjectDetection or ImageClassification",
            "ModelFile": "e.g. ./trained.model",
            "ImageHeight": tile,
            "ImageWidth": tile,
            "ImageSpaceUsed": "MAP_SPACE",
            "CropTileMode": "Fixed_Size",
            "IsMultidimensional": False,
        }
        | properties
        | {
            "AllTilesStats": [
                {"BandName": name, "Min": low, "Max": high, "Mean": middle, "StdDev": spread}
                for name, low, high, middle, spread in zip(
                    names, minimum.tolist(), maximum.tolist(), mean.tolist(), std.tolist(), strict=True
                )
            ],
            "Classes": [{"Value": info.value, "Name": info.name, "Color": list(info.color)} for info in classes],
        },
    )
    write_json(
        folder / "esri_accumulated_stats.json",
        {"Version": 1, "NumBands": bands, "TileSizeX": tile, "TileSizeY": tile, "NumClasses": len(classes)}
        | {"NumTiles": count, "NumTilesAsDouble": count, "NextTileIndex": count, "OutputFeatures": False}
        | common
        | {
            "Classes": [{"ClassValue": info.value, "ClassName": info.name} for info in classes],
            "ClassPixelStats": {
                "NumClasses": len(classes),
                "NumImagesTotal": count,
                "NumImagesPerClass": [totals.images_per_class.get(info.value, 0) for info in classes],
                "NumPixelsPerClass": [sum(found) for found in per_class],
            },
        }
        | properties,
    )
    write_text(folder / "map.txt", "".join(f"images\\{name}.tif  labels\\{name}.tif \n" for name in totals.names))
    lines = [f"images = {count} *{bands}*{tile}*{tile}", f"classes = {len(classes)}"]
    lines.append(f"{'cls name':<26}{'cls value':>12}{'images':>10}{'pixels':>12}")
    for info, found in zip(classes, per_class, strict=True):
        lines.append(f"{info.name:<26}{info.value:>12}{len(found):>10}{sum(found):>12}")
    write_text(folder / "stats.txt", "\n".join(lines) + "\n")
