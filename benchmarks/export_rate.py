"""Chips a second and peak memory of `chipwright export` over a large raster, beside bare windowed reads and writes.

The bare loop reads the same windows with rasterio and writes the same chips with the same creation options, and a label raster
burnt from the polygons near each: the work that no exporter can do without. Each contestant runs in a process of its own;
rounds alternate, and the medians are compared.

    python benchmarks/export_rate.py --size 20000 --rounds 3
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from common import arguments, scratch, show
from pyogrio.raw import read, write
from rasterio.features import rasterize
from rasterio.transform import from_origin
from rasterio.windows import Window
from rasterio.windows import transform as window_transform
from scipy.ndimage import gaussian_filter

TILE, BANDS, CELL, CRS = 256, 4, 0.5, "EPSG:32633"


def draw(folder: Path, size: int) -> tuple[Path, Path]:
    """Draw a tiled, uncompressed 16-bit raster of `size` x `size` pixels and a polygon for every 60 x 60 of them."""
    rng = np.random.default_rng(0)
    raster, labels = folder / "scene.tif", folder / "labels.gpkg"
    block = rng.normal(size=(BANDS, 2048, 2048)).astype(np.float32)
    block = gaussian_filter(block, (0, 2, 2), mode="wrap")
    block = (3000 + 2500 * block / block.std()).clip(0, 16383).astype(np.uint16)
    profile: dict[str, Any] = {
        "driver": "GTiff", "count": BANDS, "height": size, "width": size, "dtype": "uint16", "crs": CRS, "tiled": True,
        "transform": from_origin(500_000, 5_300_000, CELL, CELL), "blockxsize": 256, "blockysize": 256, "BIGTIFF": "IF_SAFER",
    }  # fmt: skip
    with rasterio.open(raster, "w", **profile) as file:
        for row in range(0, size, 2048):
            for column in range(0, size, 2048):
                window = Window(column, row, min(2048, size - column), min(2048, size - row))
                file.write(block[:, : window.height, : window.width], window=window)
    count = (size // 60) ** 2
    lower = np.array([500_000, 5_300_000 - size * CELL]) + rng.uniform(0, size * CELL - 20, (count, 2))
    sides = rng.uniform(4, 16, (count, 2))
    shapes = shapely.box(*lower.T, *(lower + sides).T)
    values = rng.integers(1, 6, count).astype(np.int32)
    fields = np.array(["classvalue"], object)
    write(labels, shapely.to_wkb(shapes), [values], fields, geometry_type="Polygon", crs=CRS, driver="GPKG", layer="labels")
    return raster, labels


def ours(raster: Path, labels: Path, out: Path) -> int:
    """Export with chipwright and return the number of chips."""
    from chipwright import api

    done = api.export(
        raster, out, labels, metadata_format="Classified_Tiles", output_nofeature_tiles=True, stride_x=TILE, stride_y=TILE
    )
    return done.chips


def bare(raster: Path, labels: Path, out: Path) -> int:
    """Read windows and write chips and labels, nothing else; return their number."""
    for name in ("images", "labels"):
        (out / name).mkdir(parents=True)
    _, _, wkb, columns = read(labels, columns=["classvalue"])
    shapes, values = shapely.from_wkb(wkb), columns[0].tolist()
    tree, count = shapely.STRtree(shapes), 0
    with rasterio.Env(GDAL_CACHEMAX=256 * 2**20), rasterio.open(raster) as source:
        starts = [*range(0, source.width - TILE + 1, TILE)]
        starts += [source.width - TILE] if starts[-1] != source.width - TILE else []
        for row in starts:
            for column in starts:
                window = Window(column, row, TILE, TILE)
                where = window_transform(window, source.transform)
                near = tree.query(shapely.box(*rasterio.windows.bounds(window, source.transform)))
                drawn = [(shapes[at], values[at]) for at in sorted(near)]
                label = rasterize(drawn, (TILE, TILE), transform=where, dtype="uint8")
                about: dict[str, Any] = {
                    "driver": "GTiff", "height": TILE, "width": TILE, "transform": where, "crs": source.crs,
                    "compress": "deflate",
                }  # fmt: skip
                name = f"{count:012d}.tif"
                with rasterio.open(out / "images" / name, "w", count=BANDS, dtype="uint16", **about) as file:
                    file.write(source.read(window=window))
                with rasterio.open(out / "labels" / name, "w", count=1, dtype="uint8", **about) as file:
                    file.write(label, 1)
                count += 1
    return count


def one(name: str, raster: str, labels: str) -> None:
    """Run one contestant and print what it took, as JSON."""
    with scratch() as folder:
        started = time.perf_counter()
        chips = {"chipwright": ours, "bare": bare}[name](Path(raster), Path(labels), Path(folder) / "chips")
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(json.dumps({"chips": chips, "rate": chips / seconds, "peak MiB": peak}))


def main() -> None:
    """Draw the raster, let both cut it in turn, and print rates and memory."""
    if len(sys.argv) == 5 and sys.argv[1] == "--one":
        return one(*sys.argv[2:])
    options = arguments(__doc__.splitlines()[0], size=20000, rounds=3, out="")
    results: dict[str, list[dict[str, float]]] = {"bare": [], "chipwright": []}
    with scratch() as folder:
        raster, labels = draw(Path(folder), options.size)
        for _ in range(options.rounds):
            for name, found in results.items():
                command = [sys.executable, __file__, "--one", name, str(raster), str(labels)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found.append(json.loads(done.stdout.splitlines()[-1]))
    rates = {name: statistics.median(run["rate"] for run in found) for name, found in results.items()}
    rows = [
        {
            "": name,
            "chips": int(found[0]["chips"]),
            "chips/s": f"{rates[name]:.1f}",
            "of bare": f"{rates[name] / rates['bare']:.2f}",
            "peak MiB": f"{max(run['peak MiB'] for run in found):.0f}",
        }
        for name, found in results.items()
    ]
    show(f"Export of {options.size} x {options.size} pixels, {BANDS} x 16 bit, {TILE} px chips", rows, options.out)
    return None


if __name__ == "__main__":
    main()
