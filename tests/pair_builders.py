"""Toy exports with several images a chip, or without label files; in the manner of `builders`.

Each builder writes into `folder` (made if missing), is deterministic in `seed`, and returns `folder`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from builders import (
    BAND_NAMES,
    TOPS,
    class_names,
    classified_tiles,
    paint,
    signature,
    squares,
    write_metadata,
    write_raster,
    write_voc_xml,
)
from numpy.typing import NDArray


def noise(bands: int, size: int, dtype: str, rng: np.random.Generator, level: float = 0.3) -> NDArray[Any]:
    """Return a (bands, size, size) image of one brightness (0..1) with a little noise."""
    return paint(np.full((bands, size, size), level), dtype, rng)


def second_facts(images: Sequence[NDArray[Any]]) -> dict[str, Any]:
    """Return what the .emd says of second images: their bands and statistics."""
    names = list(BAND_NAMES[::-1][: len(images[0])])
    bands = [np.concatenate([image[band].ravel() for image in images]).astype(float) for band in range(len(names))]
    return {
        "InputRastersProps2": {"RasterCount": 1, "SensorName": "Undefined", "BandNames": names},
        "AllTilesStats2": [
            {"BandName": name, "Min": p.min(), "Max": p.max(), "Mean": p.mean(), "StdDev": p.std(ddof=1)}
            for name, p in zip(names, bands, strict=True)
        ],
    }


def export_tiles(
    folder: Path,
    count: int = 4,
    size: int = 32,
    bands: int = 3,
    dtype: str = "uint8",
    seed: int = 0,
    *,
    mode: str = "Export_Tiles",
    second_bands: int = 0,
    second_dtype: str = "uint8",
    statistics: bool = True,
    nodata: tuple[float | None, float | None] = (None, None),
    level: float = 0.3,
    esri: bool = True,
) -> Path:
    """Write Export_Tiles: images alone, or with images2 where `second_bands` says how many bands these have.

    Args:
        nodata: of the first and the second images; a corner of each is then set to it.
        level: brightness of the first images.
    """
    rng = np.random.default_rng(seed)
    images: tuple[list[NDArray[Any]], list[NDArray[Any]]] = [], []
    kinds = [("images", bands, dtype), ("images2", second_bands, second_dtype)][: 2 if second_bands else 1]
    for index in range(count):
        for (name, depth, kind), kept, hole in zip(kinds, images, nodata, strict=False):
            image = noise(depth, size, kind, rng, level)
            if hole is not None:
                image[:, : size // 4, : size // 4] = hole
            write_raster(folder / name / f"{index:012d}.tif", image, nodata=hole)
            kept.append(image)
    rows = [f"images\\{index:012d}.tif" for index in range(count)]
    rows = [f"{row} images2\\{row[-16:]}" for row in rows] if second_bands else rows
    if esri:
        extra = second_facts(images[1]) if second_bands and statistics else {}
        write_metadata(folder, mode, images[0], (), rows, statistics=statistics, extra=extra)
    return folder


def sharp_scenes(folder: Path, count: int = 12, size: int = 32, bands: int = 3, dtype: str = "uint8", seed: int = 0) -> Path:
    """Write Export_Tiles of images alone: bright squares on dark ground, whose edges are sharp."""
    rng = np.random.default_rng(seed)
    images = []
    for index in range(count):
        picture = np.full((bands, size, size), 0.2)
        for left, top, right, bottom in squares(4, size, rng):
            picture[:, top:bottom, left:right] = rng.uniform(0.5, 1, (bands, 1, 1))
        images.append(paint(picture, dtype, rng))
        write_raster(folder / "images" / f"{index:012d}.tif", images[-1])
    write_metadata(folder, "Export_Tiles", images, (), [f"images\\{index:012d}.tif" for index in range(count)])
    return folder


def translated_scenes(
    folder: Path, count: int = 12, size: int = 32, bands: int = 3, dtype: str = "uint8", seed: int = 0
) -> Path:
    """Write Export_Tiles of pairs: bright squares on dark ground, and the same the other way round in the second image."""
    sharp_scenes(folder, count, size, bands, dtype, seed)
    images: tuple[list[NDArray[Any]], list[NDArray[Any]]] = [], []
    for path in sorted((folder / "images").iterdir()):
        with rasterio.open(path) as file:
            image = file.read()
        top = int(TOPS.get(dtype, 1))
        images[0].append(image)
        images[1].append((top - np.minimum(image, top))[::-1].astype(dtype))
        write_raster(folder / "images2" / path.name, images[1][-1])
    names = [f"{index:012d}.tif" for index in range(count)]
    rows = [f"images\\{name} images2\\{name}" for name in names]
    write_metadata(folder, "Export_Tiles", images[0], (), rows, extra=second_facts(images[1]))
    return folder


def thematic_tiles(folder: Path, count: int = 4, size: int = 32, seed: int = 0) -> Path:
    """Write Export_Tiles with a label raster under each image, values 1 and 2 on background."""
    export_tiles(folder, count, size, seed=seed)
    rng = np.random.default_rng(seed)
    for index in range(count):
        write_raster(folder / "labels" / f"{index:012d}.tif", rng.integers(0, 3, (size, size), dtype=np.uint8))
    return folder


def painted_labels(
    folder: Path,
    count: int = 12,
    size: int = 32,
    bands: int = 3,
    dtype: str = "uint8",
    seed: int = 0,
    *,
    values: Sequence[int] = (1, 2),
) -> Path:
    """Write Export_Tiles with a label raster under each image, from which the image's colours follow."""
    classified_tiles(folder, count, size, bands, dtype, values, seed, georeferenced=True)
    for name in ("esri_model_definition.emd", "esri_accumulated_stats.json"):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace("Classified_Tiles", "Export_Tiles"), encoding="utf-8")
    return folder


def cyclegan(folder: Path, counts: tuple[int, int] = (4, 6), size: int = 32, *, bands: tuple[int, int] = (3, 3)) -> Path:
    """Write CycleGAN data: dark chips in A, bright ones in B."""
    for name, count, depth, level in zip("AB", counts, bands, (0.2, 0.8), strict=True):
        export_tiles(folder / name, count, size, depth, seed=depth, mode="CycleGAN", level=level)
    return folder


def two_kinds(folder: Path, count: int = 12, size: int = 32, bands: int = 3, dtype: str = "uint8", seed: int = 0) -> Path:
    """Write CycleGAN data: bright squares on dark ground in A, dark ones on bright ground in B; `count` of each."""
    rng = np.random.default_rng(seed)
    for name, ground, light in (("A", 0.2, 0.7), ("B", 0.8, 0.3)):
        images = []
        for index in range(count):
            picture = np.full((bands, size, size), ground)
            for left, top, right, bottom in squares(3, size, rng):
                picture[:, top:bottom, left:right] = light
            images.append(paint(picture, dtype, rng))
            write_raster(folder / name / "images" / f"{index:012d}.tif", images[-1])
        rows = [f"images\\{index:012d}.tif" for index in range(len(images))]
        write_metadata(folder / name, "CycleGAN", images, (), rows)
    return folder


def change_pairs(
    folder: Path,
    count: int = 4,
    size: int = 32,
    bands: int = 3,
    dtype: str = "uint8",
    value: int = 1,
    seed: int = 0,
    *,
    names: tuple[str, str] = ("images", "images2"),
    home: str = ".",
    classes: Sequence[tuple[int, str]] | None = None,
    esri: bool = True,
) -> Path:
    """Write change pairs: squares that are bright at the second date only, `value` in the label.

    Args:
        names: of the folders of both dates.
        home: folder of the metadata within the export.
        classes: (value, name) pairs; one of `value` unless given.
    """
    rng = np.random.default_rng(seed)
    images, rows = [], []
    for index in range(count):
        before, label = np.full((bands, size, size), 0.2), np.zeros((size, size), np.uint8)
        after = before.copy()
        for left, top, right, bottom in squares(2, size, rng):
            after[:, top:bottom, left:right] = 0.9
            label[top:bottom, left:right] = value
        stem = f"{index:012d}"
        images.append(paint(before, dtype, rng))
        write_raster(folder / names[0] / f"{stem}.tif", images[-1])
        write_raster(folder / names[1] / f"{stem}.tif", paint(after, dtype, rng))
        write_raster(folder / "labels" / f"{stem}.tif", label)
        rows.append(f"{names[0]}\\{stem}.tif {names[1]}\\{stem}.tif  labels\\{stem}.tif")
    if esri:
        write_metadata(folder / home, "Classified_Tiles", images, classes or [(value, "Change")], rows)
    return folder


def imagenet(
    folder: Path,
    counts: Mapping[str, int] | Sequence[int] = (4, 4),
    size: int = 32,
    bands: int = 3,
    seed: int = 0,
    *,
    values: Sequence[int] = (3, 5),
    within: str = "images",
    esri: bool = True,
    variable: bool = False,
) -> Path:
    """Write Imagenet: each class a colour, its chips in a folder of its name, numbered through.

    Args:
        counts: chips a class, by class name or for the names `builders` gives.
        values: of the classes, in that order.
        within: the folder of the class folders; "." for none.
        variable: chips of differing heights.
    """
    rng = np.random.default_rng(seed)
    by_name = counts if isinstance(counts, Mapping) else dict(zip(class_names(range(len(counts))), counts, strict=True))
    images, rows = [], []
    for position, (name, count) in enumerate(by_name.items()):
        (folder / within / name).mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            height = size + (len(images) % 3 if variable else 0)
            color = signature(position, len(by_name), bands)[:, None, None]
            images.append(paint(np.broadcast_to(color, (bands, height, size)), "uint8", rng))
            stem = f"{len(rows):012d}"
            write_raster(folder / within / name / f"{stem}.tif", images[-1])
            rows.append(f"images\\{name}\\{stem}.tif")
    if esri:
        write_metadata(folder, "Imagenet", images, list(zip(values, by_name, strict=False)), rows)
    return folder


def caption_tiles(folder: Path, texts: Sequence[Sequence[str]], size: int = 32, seed: int = 0) -> Path:
    """Write captions as labels: the texts of each chip as the names of the objects in its XML file."""
    rng = np.random.default_rng(seed)
    images, rows = [], []
    for index, captions in enumerate(texts):
        stem = f"{index:012d}"
        images.append(noise(3, size, "uint8", rng))
        write_raster(folder / "images" / f"{stem}.tif", images[-1])
        write_voc_xml(folder / "labels" / f"{stem}.xml", (size, size), [(text, (0, 0, size, size)) for text in captions])
        rows.append(f"images\\{stem}.tif  labels\\{stem}.xml")
    write_metadata(folder, "MultiLabeled_Tiles", images, (), rows, extra={"SingleLabelFieldFound": "Caption"})
    return folder


def caption_listing(
    folder: Path,
    texts: Mapping[str, Sequence[object]],
    *,
    images: str = "images",
    name: str = "dataset_rsicd.json",
    present: Sequence[str] | None = None,
    split: bool = False,
) -> Path:
    """Write captions as RSICD has them: a JSON file of file names and sentences, beside a folder of images.

    Args:
        texts: the captions of each file.
        images: folder of the images; "." for none.
        present: files that are written; all unless given.
        split: whether the JSON says which images train.
    """
    rng = np.random.default_rng(0)
    for file in texts if present is None else present:
        write_raster(folder / images / file, noise(3, 32, "uint8", rng))
    rows = [
        {"filename": file, "sentences": [{"raw": text, "tokens": []} for text in captions]}
        | ({"split": "train"} if split else {})
        for file, captions in texts.items()
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps({"images": rows, "dataset": "rsicd"}), encoding="utf-8")
    return folder


def captioned_scenes(
    folder: Path, count: int = 12, size: int = 32, bands: int = 3, dtype: str = "uint8", seed: int = 0
) -> Path:
    """Write captions as labels: chips of one colour each, in turn, with two sentences that say which."""
    rng = np.random.default_rng(seed)
    names = class_names((1, 2, 3))
    images, rows = [], []
    for index in range(count):
        position, stem = index % len(names), f"{index:012d}"
        color = signature(position, len(names), bands)[:, None, None]
        images.append(paint(np.broadcast_to(color, (bands, size, size)), dtype, rng))
        write_raster(folder / "images" / f"{stem}.tif", images[-1])
        name = names[position]
        texts = [f"A chip full of {name}.", f"There is {name} in the middle and all around"]
        write_voc_xml(folder / "labels" / f"{stem}.xml", (size, size), [(text, (0, 0, size, size)) for text in texts], bands)
        rows.append(f"images\\{stem}.tif  labels\\{stem}.xml")
    write_metadata(folder, "MultiLabeled_Tiles", images, (), rows, extra={"SingleLabelFieldFound": "Caption"})
    return folder
