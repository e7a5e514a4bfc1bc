"""A small synthetic scene, drawn rather than shipped: a GeoTIFF of an invented village and the polygons that label it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
import shapely.affinity
from numpy.typing import NDArray
from pyogrio.raw import write
from rasterio.features import rasterize
from rasterio.transform import Affine, from_origin
from scipy.ndimage import gaussian_filter
from shapely.geometry import LineString, Point, Polygon, box
from shapely.geometry.base import BaseGeometry

from chipwright.chips.chipset import ClassInfo

CLASSES = (
    ClassInfo(value=1, name="Water", color=(38, 115, 190)),
    ClassInfo(value=2, name="Trees", color=(30, 110, 50)),
    ClassInfo(value=3, name="Road", color=(90, 90, 95)),
    ClassInfo(value=4, name="Building", color=(200, 60, 40)),
)
CRS = "EPSG:32633"
CELL = 0.5
"""Metres a pixel."""
_ORIGIN = (500_000.0, 5_300_000.0)
_GROUND = np.array([128, 138, 82], np.float32)
_LOOKS = {
    "Water": ((46, 74, 96), 4.0, 6.0),
    "Trees": ((52, 82, 44), 26.0, 1.5),
    "Road": ((142, 138, 132), 7.0, 2.0),
    "Building": ((168, 96, 78), 9.0, 1.0),
}
"""Mean colour, strength of the texture, and its grain in pixels."""


@dataclass(frozen=True)
class Scene:
    """Paths of the drawn scene: a 3-band 8-bit GeoTIFF and a GeoPackage of polygons with their classes and colours."""

    image: Path
    labels: Path


def draw_scene(folder: Path, size: int = 1280, seed: int = 42) -> Scene:
    """Draw a scene of `size` x `size` pixels of half a metre into `folder` and return its files."""
    rng = np.random.default_rng(seed)
    transform = from_origin(*_ORIGIN, CELL, CELL)
    shapes = _landscape(size * CELL, rng)
    folder.mkdir(parents=True, exist_ok=True)
    image, labels = folder / "scene.tif", folder / "labels.gpkg"
    _write_image(image, _paint(shapes, size, rng), transform)
    _write_labels(labels, shapes, transform)
    return Scene(image, labels)


def _landscape(side: float, rng: np.random.Generator) -> dict[str, list[BaseGeometry]]:
    """Return non-overlapping polygons by class name, in metres from the top left corner, rows downward."""
    whole = box(0, 0, side, side)
    roads = _roads(side, rng)
    water = shapely.union_all([_blob(rng.uniform(0, side, 2), side / rng.uniform(9, 14), rng) for _ in range(5)])
    water = water.difference(roads.buffer(4))
    buildings: list[BaseGeometry] = []
    taken = roads.buffer(2).union(water)
    for _ in range(int(side * side / 700)):
        house = _house(rng.uniform(0, side, 2), rng)
        if not house.intersects(taken) and whole.contains(house):
            buildings.append(house)
            taken = taken.union(house.buffer(3))
    crowns = []
    for _ in range(14):
        centre, spread = rng.uniform(0, side, 2), side / rng.uniform(14, 30)
        for offset in rng.normal(0, spread, (60, 2)):
            crowns.append(Point(*(centre + offset)).buffer(rng.uniform(2.0, 5.0), quad_segs=6))
    trees = shapely.union_all(crowns).difference(taken)
    shapes = {
        "Water": [water],
        "Trees": [trees],
        "Road": [roads.difference(shapely.union_all(buildings))],
        "Building": buildings,
    }
    return {
        name: [part for shape in group for part in shapely.get_parts(shape.intersection(whole)) if part.area > 1]
        for name, group in shapes.items()
    }


def _roads(side: float, rng: np.random.Generator) -> BaseGeometry:
    """Return a few winding roads as one polygon."""
    lines = []
    along = np.linspace(-0.05, 1.05, 12) * side
    for place in (0.28, 0.72):
        for turned in (False, True):
            across = side * place + np.cumsum(rng.normal(0, side / 60, along.size))
            points = np.stack([across, along] if turned else [along, across], 1)
            lines.append(LineString(points).buffer(rng.uniform(3.0, 4.5)))
    return shapely.union_all(lines)


def _blob(centre: NDArray[np.float64], radius: float, rng: np.random.Generator) -> BaseGeometry:
    """Return a smooth irregular pond."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radii = np.full(angles.size, radius)
    for waves in (2, 3, 4):
        radii += radius * rng.normal(0, 0.16) * np.sin(waves * angles + rng.uniform(0, 6))
    return Polygon(centre + np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None]).buffer(0)


def _house(centre: NDArray[np.float64], rng: np.random.Generator) -> BaseGeometry:
    """Return a rectangular house, some with a wing."""
    width, depth = rng.uniform(8, 16), rng.uniform(7, 11)
    plan = box(-width / 2, -depth / 2, width / 2, depth / 2)
    if rng.random() < 0.4:
        plan = plan.union(box(-width / 2, 0, -width / 2 + depth * 0.7, depth * 1.1))
    turned = shapely.affinity.rotate(plan, rng.choice([0, 15, 30, 75]) + rng.normal(0, 3), origin=(0, 0))
    return shapely.affinity.translate(turned, *centre)


def _paint(shapes: dict[str, list[BaseGeometry]], size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the scene as (3, size, size)."""
    pixels = Affine.scale(CELL)
    picture = _GROUND[:, None, None] + 14 * _noise(size, 24.0, rng) + 7 * _noise(size, 1.2, rng)
    for name, parts in shapes.items():
        if not parts:
            continue
        mask = rasterize(parts, (size, size), transform=pixels).astype(bool)
        color, strength, grain = _LOOKS[name]
        texture = np.array(color, np.float32)[:, None, None] + strength * _noise(size, grain, rng)
        picture = np.where(mask, texture, picture)
        if name == "Building":  # each roof has its own shade, and throws a shadow
            shades = [(part, float(rng.normal(0, 22))) for part in parts]
            picture += np.where(mask, rasterize(shades, (size, size), transform=pixels, dtype="float32"), 0)
            shadow = np.roll(mask, (3, 3), (0, 1)) & ~mask
            picture = np.where(shadow, picture * 0.62, picture)
    return np.clip(gaussian_filter(picture, (0, 0.6, 0.6)), 0, 255).astype(np.uint8)


def _noise(size: int, grain: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return noise of mean 0 and deviation 1 with grains of so many pixels."""
    field = gaussian_filter(rng.normal(size=(size, size)).astype(np.float32), grain, mode="wrap")
    return field / field.std()


def _write_image(path: Path, picture: NDArray[np.uint8], transform: Affine) -> None:
    profile: dict[str, Any] = {
        "driver": "GTiff", "count": 3, "height": picture.shape[1], "width": picture.shape[2], "dtype": "uint8",
        "crs": CRS, "transform": transform, "tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate",
        "photometric": "RGB",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as target:
        target.write(picture)
        target.descriptions = ("Red", "Green", "Blue")


def _write_labels(path: Path, shapes: dict[str, list[BaseGeometry]], transform: Affine) -> None:
    rows = [(info, part) for info in CLASSES for part in shapes[info.name]]
    to_map = [1, 0, 0, -1, transform.c, transform.f]  # metres from the top left corner, rows downward, to map units
    parts = [shapely.affinity.affine_transform(part, to_map) for _, part in rows]
    fields: dict[str, Any] = {
        "classvalue": np.array([info.value for info, _ in rows], np.int32),
        "classname": np.array([info.name for info, _ in rows], dtype=object),
    }
    for band, name in enumerate(("red", "green", "blue")):
        fields[name] = np.array([info.color[band] for info, _ in rows], np.int32)
    write(
        path,
        geometry=shapely.to_wkb(np.array(parts, dtype=object)),
        field_data=list(fields.values()),
        fields=np.array(list(fields), dtype=object),
        geometry_type="Unknown",
        crs=CRS,
        layer="labels",
        driver="GPKG",
    )
