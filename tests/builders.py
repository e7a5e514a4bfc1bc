"""Toy exports, written the way *Export Training Data For Deep Learning* writes them.

Their content can be learnt in seconds: classes differ in colour, objects are bright squares on dark noise. Each builder writes
into `folder` (made if missing), is deterministic in `seed`, and returns `folder`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

TOPS = {"uint8": 250.0, "int8": 120.0, "uint16": 10_000.0, "int16": 5_000.0, "int32": 100_000.0, "uint32": 100_000.0}
"""Brightest value painted per pixel type; floats reach 1."""

DRIVERS = {"tif": "GTiff", "jpg": "JPEG", "png": "PNG", "mrf": "MRF"}

BAND_NAMES = ("Red", "Green", "Blue", "NearInfrared", "RedEdge", "ShortWaveInfrared", "CoastalBlue", "Yellow")

CLASS_NAMES = ("Water", "Forest", "Road", "Building", "Field", "Sand", "Snow", "Rock")

COLORS = ((0, 92, 230), (56, 168, 0), (130, 130, 130), (230, 76, 0), (255, 255, 115), (205, 170, 102), (240, 240, 240))

CELL = 10.0
"""Pixel size in metres of georeferenced chips."""

Box = tuple[float, float, float, float]


# -- pictures


def class_names(class_values: Sequence[int]) -> list[str]:
    """Return the names the builders give to classes: by position, `CLASS_NAMES` over and over with a number."""
    rounds = [divmod(position, len(CLASS_NAMES)) for position in range(len(class_values))]
    return [CLASS_NAMES[rest] + (f" {turn + 1}" if turn else "") for turn, rest in rounds]


def signature(position: int, classes: int, bands: int) -> NDArray[np.float64]:
    """Return the colour of one class as (bands,) in 0..1; background is near 0.1."""
    if bands == 1:
        return np.array([0.1 + 0.85 * (position + 1) / classes])
    color = np.full(bands, 0.15 + 0.5 * (position // bands) / max(1, classes // bands))
    color[position % bands] = 0.95
    return color


def paint(picture: NDArray[np.float64], dtype: str, rng: np.random.Generator) -> NDArray[Any]:
    """Return a (bands, height, width) picture in 0..1 with a little noise, scaled to the pixel type."""
    noisy = np.clip(picture + rng.normal(0, 0.02, picture.shape), 0, 1)
    scaled = noisy * TOPS.get(dtype, 1.0)
    return (np.rint(scaled) if np.dtype(dtype).kind in "iu" else scaled).astype(dtype)


def squares(count: int, size: int, rng: np.random.Generator) -> list[tuple[int, int, int, int]]:
    """Return up to `count` squares that do not touch, as integer (xmin, ymin, xmax, ymax) inside a size x size chip."""
    found: list[tuple[int, int, int, int]] = []
    for _ in range(count * 20):
        side = int(rng.integers(max(4, size // 6), max(6, size // 3)))
        left, top = (int(at) for at in rng.integers(0, size - side + 1, 2))
        square = (left, top, left + side, top + side)
        apart = all(
            square[2] < other[0] or other[2] < square[0] or square[3] < other[1] or other[3] < square[1] for other in found
        )
        if apart:
            found.append(square)
        if len(found) == count:
            break
    return found


def lines(size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a (size, size) mask of two or three straight streets, 3 to 5 pixels wide."""
    mask = np.zeros((size, size), bool)
    for number in range(int(rng.integers(2, 4))):
        width = int(rng.integers(3, 6))
        at = int(rng.integers(0, size - width))
        if number % 2:
            mask[at : at + width] = True
        else:
            mask[:, at : at + width] = True
    return mask


# -- files


def write_raster(
    path: Path,
    array: NDArray[Any],
    *,
    nodata: float | None = None,
    transform: tuple[float, ...] | None = None,
    crs: str | None = None,
    colormap: dict[int, tuple[int, int, int]] | None = None,
    **creation: Any,
) -> Path:
    """Write (bands, height, width) or (height, width) in the format of the file's suffix; JPEG and PNG get a world file."""
    layers = array[None] if array.ndim == 2 else array
    suffix = path.suffix[1:]
    profile: dict[str, Any] = {
        "driver": DRIVERS[suffix],
        "count": layers.shape[0],
        "height": layers.shape[1],
        "width": layers.shape[2],
        "dtype": layers.dtype.name,
        "nodata": nodata,
        **creation,
    }
    if suffix == "jpg":
        profile.setdefault("quality", 95)
    if suffix == "mrf":
        profile.setdefault("compress", "DEFLATE")  # the default, PNG, takes 8- and 16-bit pixels only
    if transform is not None and suffix == "tif":
        profile |= {"transform": Affine(*transform), "crs": crs}
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), rasterio.Env(GDAL_PAM_ENABLED="NO"):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile) as file:
            file.write(layers)
            if colormap is not None:
                file.write_colormap(1, colormap)
    if transform is not None and suffix != "tif":
        a, b, c, d, e, f = transform
        rows = (a, d, b, e, c + (a + b) / 2, f + (d + e) / 2)
        path.with_suffix(f".{suffix[0]}{suffix[-1]}w").write_text("".join(f"{row:.10f}\n" for row in rows))
    return path


def place(index: int, size: int, overlap: int = 0) -> dict[str, Any]:
    """Return `transform` and `crs` of the index-th chip of a grid ten chips wide, neighbours sharing `overlap` pixels."""
    row, column = divmod(index, 10)
    stride = (size - overlap) * CELL
    return {
        "transform": (CELL, 0.0, 500_000 + column * stride, 0.0, -CELL, 5_000_000 - row * stride),
        "crs": "EPSG:32633",
    }


def write_voc_xml(path: Path, size: tuple[int, int], objects: Iterable[tuple[str, Box]], depth: int = 3) -> Path:
    """Write a Pascal VOC label of (name, box) objects as the exporter does; `size` is (width, height)."""
    rows = [
        '<?xml version="1.0"?>',
        "<annotation>",
        f"    <filename>{path.stem}.jpg</filename>",
        "    <source>",
        "        <annotation>ArcGIS Pro 2.1</annotation>",
        "    </source>",
        "    <size>",
        f"        <width>{size[0]}</width>",
        f"        <height>{size[1]}</height>",
        f"        <depth>{depth}</depth>",
        "    </size>",
    ]
    for name, box in objects:
        corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        rows += ["    <object>", f"        <name>{name}</name>", "        <bndbox>"]
        rows += [f"            <{corner}>{at:.2f}</{corner}>" for corner, at in corners]
        rows += ["        </bndbox>", "    </object>"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*rows, "</annotation>", ""]), encoding="utf-8")
    return path


def write_metadata(
    folder: Path,
    mode: str,
    images: Sequence[NDArray[Any]],
    classes: Sequence[tuple[int, str]],
    rows: Sequence[str],
    *,
    statistics: bool = True,
    image_space: str = "PIXEL_SPACE",
    extra: dict[str, Any] | None = None,
) -> None:
    """Write the .emd, esri_accumulated_stats.json and map.txt beside the chips.

    Args:
        images: every chip's pixels as (bands, height, width); their statistics are written if `statistics`.
        classes: (value, name) pairs.
        rows: lines of map.txt.
        extra: further keys of the .emd.
    """
    bands, height, width = images[0].shape
    names = [BAND_NAMES[band] if band < len(BAND_NAMES) else f"Band_{band + 1}" for band in range(bands)]
    cell = {"x": CELL if image_space == "MAP_SPACE" else 1, "y": CELL if image_space == "MAP_SPACE" else 1}
    emd: dict[str, Any] = {
        "Framework": "e.g. TensorFlow or PyTorch",
        "ModelConfiguration": "e.g. UNet or FasterRCNN",
        "ImageHeight": height,
        "ImageWidth": width,
        "ExtractBands": "e.g. [0, 1, 2]",
        "MetaDataMode": mode,
        "BlackenAroundFeature": False,
        "IsMultidimensional": False,
        "CropTileMode": "Fixed_Size",
        "ImageSpaceUsed": image_space,
        "MinCellSize": cell,
        "MaxCellSize": cell,
        "InputRastersProps": {"RasterCount": 1, "SensorName": "Undefined", "BandNames": names},
    }
    totals: dict[str, Any] = {
        "Version": 1,
        "NumBands": bands,
        "TileSizeX": width,
        "TileSizeY": height,
        "NumClasses": len(classes),
        "NumTiles": len(images),
        "OutputFeatures": mode != "Classified_Tiles",
        "MetaDataMode": mode,
        "Classes": [{"ClassValue": value, "ClassName": name} for value, name in classes],
    }
    if statistics:
        pixels = [np.concatenate([image[band].ravel() for image in images]).astype(np.float64) for band in range(bands)]
        emd["AllTilesStats"] = [
            {"BandName": name, "Min": p.min(), "Max": p.max(), "Mean": p.mean(), "StdDev": p.std(ddof=1)}
            for name, p in zip(names, pixels, strict=True)
        ]
        totals["BandStatsState"] = [
            {"Min": p.min(), "Max": p.max(), "M1": p.mean(), "M2": ((p - p.mean()) ** 2).sum(), "Num": p.size} for p in pixels
        ]
    emd["Classes"] = [
        {"Value": value, "Name": name, "Color": list(COLORS[position % len(COLORS)])}
        for position, (value, name) in enumerate(classes)
    ]
    emd |= extra or {}
    (folder / "esri_model_definition.emd").write_text(json.dumps(emd, indent=2), encoding="utf-8")
    (folder / "esri_accumulated_stats.json").write_text(json.dumps(totals, indent=2), encoding="utf-8")
    (folder / "map.txt").write_text("".join(f"{row} \r\n" for row in rows), encoding="utf-8", newline="")


def map_row(stem: str, image_suffix: str, label_suffix: str) -> str:
    """Return a line of map.txt, with the exporter's back slashes and two blanks."""
    return f"images\\{stem}.{image_suffix}  labels\\{stem}.{label_suffix}"


# -- exports


def classified_tiles(
    folder: Path,
    count: int = 8,
    size: int = 64,
    bands: int = 3,
    dtype: str = "uint8",
    class_values: Sequence[int] = (1, 2),
    seed: int = 0,
    *,
    georeferenced: bool = False,
    overlap: int = 0,
    statistics: bool = True,
    image_suffix: str = "tif",
    label_suffix: str = "tif",
    label_dtype: str = "uint8",
    shape: str = "squares",
    background: bool = True,
    nodata: float | None = None,
    extra: dict[str, Any] | None = None,
) -> Path:
    """Write Classified_Tiles: each class a colour, painted as squares (or, with `shape="lines"`, as streets) on dark ground.

    Args:
        background: whether the ground between the shapes is value 0; if not, the first class covers it.
        nodata: declared nodata; a corner of every chip is then set to it.
        label_dtype, label_suffix, image_suffix: how files are written.
        overlap: pixels that georeferenced neighbours share.
    """
    rng = np.random.default_rng(seed)
    classes = list(zip(class_values, class_names(class_values), strict=True))
    images, rows = [], []
    for index in range(count):
        picture = np.full((bands, size, size), 0.1)
        label = np.zeros((size, size), label_dtype)
        if not background:
            picture[:] = signature(0, len(classes), bands)[:, None, None]
            label[:] = class_values[0]
        painted = list(range(len(classes)))[0 if background or len(classes) == 1 else 1 :]
        areas: list[tuple[int, Any]] = []
        if shape == "lines":
            areas = [(position, lines(size, rng)) for position in painted]
        else:
            found = squares(2 * len(painted), size, rng)
            order = [painted[turn % len(painted)] for turn in range(len(found))]
            areas = [(at, np.s_[box[1] : box[3], box[0] : box[2]]) for at, box in zip(order, found, strict=True)]
        for position, area in areas:
            label[area] = class_values[position]
            color = signature(position, len(classes), bands)
            for band in range(bands):
                picture[band][area] = color[band]
        image = paint(picture, dtype, rng)
        if nodata is not None:
            image[:, : size // 8, : size // 8] = nodata
        stem = f"{index:012d}"
        where = place(index, size, overlap) if georeferenced else {}
        write_raster(folder / "images" / f"{stem}.{image_suffix}", image, nodata=nodata, **where)
        write_raster(folder / "labels" / f"{stem}.{label_suffix}", label, **(where if label_suffix == "tif" else {}))
        images.append(image)
        rows.append(map_row(stem, image_suffix, label_suffix))
    write_metadata(
        folder,
        "Classified_Tiles",
        images,
        classes,
        rows,
        statistics=statistics,
        image_space="MAP_SPACE" if georeferenced else "PIXEL_SPACE",
        extra=extra,
    )
    return folder


def voc(
    folder: Path,
    count: int = 8,
    size: int = 64,
    bands: int = 3,
    dtype: str = "uint8",
    class_values: Sequence[int] = (1, 2),
    seed: int = 0,
    *,
    objects: int = 2,
    empty: int = 0,
    georeferenced: bool = False,
    overlap: int = 0,
    statistics: bool = True,
    image_suffix: str = "tif",
    names: bool = False,
    esri: bool = True,
    extra: dict[str, Any] | None = None,
) -> Path:
    """Write PASCAL_VOC_rectangles: bright squares on dark ground, a colour a class, boxed tightly.

    Args:
        objects: squares a chip, taking turns through the classes.
        empty: how many of the chips, the last ones, hold no object.
        names: write class names instead of values into the labels.
        esri: write the Esri files; without them it is a plain Pascal VOC folder.
    """
    rng = np.random.default_rng(seed)
    classes = list(zip(class_values, class_names(class_values), strict=True))
    images, rows = [], []
    for index in range(count):
        picture = np.full((bands, size, size), 0.1)
        written: list[tuple[str, Box]] = []
        found = squares(objects, size, rng) if index < count - empty else []
        for turn, (left, top, right, bottom) in enumerate(found):
            position = (turn + index) % len(classes)
            picture[:, top:bottom, left:right] = signature(position, len(classes), bands)[:, None, None]
            value, name = classes[position]
            written.append((name if names else str(value), (left, top, right, bottom)))
        image = paint(picture, dtype, rng)
        stem = f"{index:012d}"
        where = place(index, size, overlap) if georeferenced else {}
        write_raster(folder / "images" / f"{stem}.{image_suffix}", image, **where)
        write_voc_xml(folder / "labels" / f"{stem}.xml", (size, size), written, bands)
        images.append(image)
        rows.append(map_row(stem, image_suffix, "xml"))
    if esri:
        write_metadata(
            folder,
            "PASCAL_VOC_rectangles",
            images,
            classes,
            rows,
            statistics=statistics,
            image_space="MAP_SPACE" if georeferenced else "PIXEL_SPACE",
            extra=extra,
        )
    return folder


def labeled_tiles(
    folder: Path,
    count: int = 12,
    size: int = 32,
    bands: int = 3,
    dtype: str = "uint8",
    class_values: Sequence[int] = (1, 2, 3),
    seed: int = 0,
    *,
    statistics: bool = True,
    image_suffix: str = "tif",
    names: bool = False,
    variable: bool = False,
    extra: dict[str, Any] | None = None,
) -> Path:
    """Write Labeled_Tiles: whole chips in their class's colour, classes in turn.

    Args:
        names: write class names instead of values into the labels.
        variable: chips of differing sizes, said so in the .emd.
    """
    rng = np.random.default_rng(seed)
    classes = list(zip(class_values, class_names(class_values), strict=True))
    images, rows = [], []
    for index in range(count):
        position = index % len(classes)
        side = size + (int(rng.integers(0, size // 2)) if variable else 0)
        color = signature(position, len(classes), bands)
        image = paint(np.broadcast_to(color[:, None, None], (bands, side, size)), dtype, rng)
        stem = f"{index:012d}"
        value, name = classes[position]
        write_raster(folder / "images" / f"{stem}.{image_suffix}", image)
        write_voc_xml(
            folder / "labels" / f"{stem}.xml",
            (size, side),
            [(name if names else str(value), (0, 0, size, side))],
            bands,
        )
        images.append(image)
        rows.append(map_row(stem, image_suffix, "xml"))
    crop = {"CropTileMode": "Variable_Size"} if variable else {}
    write_metadata(folder, "Labeled_Tiles", images, classes, rows, statistics=statistics, extra=crop | (extra or {}))
    return folder


def multilabeled_tiles(
    folder: Path,
    count: int = 12,
    size: int = 32,
    bands: int = 3,
    dtype: str = "uint8",
    class_values: Sequence[int] = (1, 2, 3),
    seed: int = 0,
    *,
    statistics: bool = True,
    image_suffix: str = "tif",
    names: bool = True,
    extra: dict[str, Any] | None = None,
) -> Path:
    """Write MultiLabeled_Tiles: chips striped in the colours of their classes, one class or more a chip."""
    rng = np.random.default_rng(seed)
    classes = list(zip(class_values, class_names(class_values), strict=True))
    images, rows = [], []
    for index in range(count):
        shown = np.flatnonzero(rng.random(len(classes)) < 0.5).tolist() or [index % len(classes)]
        picture = np.full((bands, size, size), 0.1)
        for position, stripe in zip(shown, np.array_split(np.arange(size), len(shown)), strict=True):
            picture[:, stripe] = signature(position, len(classes), bands)[:, None, None]
        image = paint(picture, dtype, rng)
        stem = f"{index:012d}"
        write_raster(folder / "images" / f"{stem}.{image_suffix}", image)
        text = ",".join(classes[position][1] if names else str(classes[position][0]) for position in shown)
        write_voc_xml(folder / "labels" / f"{stem}.xml", (size, size), [(text, (0, 0, size, size))], bands)
        images.append(image)
        rows.append(map_row(stem, image_suffix, "xml"))
    write_metadata(folder, "MultiLabeled_Tiles", images, classes, rows, statistics=statistics, extra=extra)
    return folder
