"""Chips a second that reach training: chipwright's feed, a plain rasterio Dataset, and TorchGeo, on the same files.

Classified tiles of 256 x 256 pixels (3 x 8 bit, 4 x 16 bit, 13 x 16 bit; deflated GeoTIFF, with their label rasters) are
drawn into a temporary folder. Every contestant gives batches of 16 images in the files' pixel type (TorchGeo: as it gives them,
float32) with int64 or int16 labels, in a random order, without random changes, in this process. The first epoch decodes every
file; in later ones chipwright's chips come from memory, as in its trainings. chipwright decodes the next batch in two threads
meanwhile, as in its trainings without loader processes: beside the rate stands the processor time of all threads, which a
busy machine distorts less. Rounds alternate, and the medians are compared.

    python benchmarks/loading.py --chips 300 --rounds 3        (TorchGeo takes part where it is installed)
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from common import arguments, scratch, show
from rasterio.transform import from_origin
from scipy.ndimage import gaussian_filter
from torch.utils.data import DataLoader, Dataset

from chipwright import catalog, console
from chipwright.chips.chipset import ClassInfo, GeoReference
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.chips.writers.new_chip import ExportFacts, NewChip
from chipwright.chips.writers.writing import open_writer
from chipwright.engine.feed import Feed
from chipwright.spec import ModelSpec, Normalization

SIZE, BATCH, CRS = 256, 16, "EPSG:32633"
KINDS = {"3 x 8 bit": (3, "uint8"), "4 x 16 bit": (4, "uint16"), "13 x 16 bit": (13, "uint16")}

Epoch = Callable[[], Iterable[Any]]


def draw(folder: Path, count: int, bands: int, dtype: str) -> None:
    """Write classified tiles of smooth noise."""
    rng = np.random.default_rng(0)
    classes = tuple(ClassInfo(value=value, name=str(value), color=(value * 40, 90, 90)) for value in (1, 2, 3))
    facts = ExportFacts(classes, tuple(f"Band_{band}" for band in range(bands)), (SIZE, SIZE), wkid=32633)
    high = 255 if dtype == "uint8" else 10000
    with open_writer(folder, "Classified_Tiles", facts) as writer:
        for index in range(count):
            field = gaussian_filter(rng.normal(size=(bands, SIZE, SIZE)), (0, 1.5, 1.5), mode="wrap")
            image = (high * (0.5 + 0.15 * field / field.std())).clip(0, high).astype(dtype)
            label = np.digitize(gaussian_filter(field[0], 8), (-0.01, 0, 0.01)).astype(np.uint8)
            transform = from_origin(500_000 + index * SIZE, 5_300_000, 1, 1)
            where = GeoReference(tuple(transform)[:6], CRS, SIZE, SIZE)
            writer.write(NewChip((image,), label=label, georeference=where))


def ours(folder: Path) -> Epoch:
    """Return chipwright's feed, as in training but without random changes."""
    with console.quiet():
        chips = read_chips([folder])
    found = chips.statistics
    spec = ModelSpec(
        model_type="UNET", arguments={}, classes=chips.classes, bands=chips.bands, dtype=chips.dtype, chip_size=chips.tile_size,
        normalization=Normalization(mean=found.mean, std=found.std), statistics=found, metadata_format=chips.format,
    )  # fmt: skip
    task = catalog.find("UNET").task(spec)
    feed = Feed(task, chips.chips, ChipReader.of(chips, cache_bytes=2**31), BATCH, shuffle=True)
    return feed.batches


class Plain(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """What most people write: open the two files, return two tensors."""

    def __init__(self, folder: Path) -> None:
        self.images = sorted((folder / "images").glob("*.tif"))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        path = self.images[index]
        with rasterio.open(path) as file:
            image = torch.from_numpy(file.read())
        with rasterio.open(path.parents[1] / "labels" / path.name) as file:
            return image, torch.from_numpy(file.read(1)).long()


def plain(folder: Path) -> Epoch:
    """Return a DataLoader over `Plain`."""
    loader = DataLoader(Plain(folder), BATCH, shuffle=True)
    return lambda: loader


def torchgeo(folder: Path) -> Epoch:
    """Return TorchGeo's way: raster datasets of images and masks, intersected, and a sampler of one patch a chip."""
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import RandomGeoSampler

    class Images(RasterDataset):
        filename_glob = "*.tif"
        is_image = True

    class Masks(RasterDataset):
        filename_glob = "*.tif"
        is_image = False

    both = Images(str(folder / "images")) & Masks(str(folder / "labels"))
    sampler = RandomGeoSampler(both, size=SIZE, length=len(list((folder / "images").glob("*.tif"))))
    loader = DataLoader(both, BATCH, sampler=sampler, collate_fn=stack_samples)
    return lambda: loader


def timed(batches: Iterable[Any], chips: int) -> tuple[float, float]:
    """Return (chips a second, milliseconds of processor time a chip) of one epoch."""
    started, busy = time.perf_counter(), time.process_time()
    for _ in batches:
        pass
    return chips / (time.perf_counter() - started), 1000 * (time.process_time() - busy) / chips


def medians(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the medians of the first and of the second parts."""
    return statistics.median(one for one, _ in pairs), statistics.median(other for _, other in pairs)


def main() -> None:
    """Measure everyone on every kind of chip."""
    options = arguments(__doc__.splitlines()[0], chips=300, rounds=3, out="")
    contestants: dict[str, Callable[[Path], Epoch]] = {"chipwright": ours, "rasterio Dataset": plain}
    try:
        import torchgeo as _

        contestants["TorchGeo"] = torchgeo
    except ImportError:
        print("TorchGeo is not installed: it does not take part.")
    rows = []
    for kind, (bands, dtype) in KINDS.items():
        with scratch() as folder:
            chips = Path(folder) / "chips"
            draw(chips, options.chips, bands, dtype)
            first: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
            later: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
            for _ in range(options.rounds):
                for name, make in contestants.items():
                    epoch = make(chips)
                    first[name].append(timed(epoch(), options.chips))
                    later[name].append(timed(epoch(), options.chips))
        base = medians(first["rasterio Dataset"])[0]
        for name in contestants:
            (one, busy), (other, later_busy) = medians(first[name]), medians(later[name])
            rows.append(
                {
                    "chips": kind, "": name, "first epoch, chips/s": f"{one:.0f}", "of rasterio": f"{one / base:.2f}",
                    "processor ms a chip": f"{busy:.2f}", "later epochs, chips/s": f"{other:.0f}",
                    "later, of rasterio": f"{other / base:.1f}", "later, processor ms a chip": f"{later_busy:.2f}",
                }
            )  # fmt: skip
    show(f"Loading of {SIZE} x {SIZE} chips, batch {BATCH}, in one process", rows, options.out)


if __name__ == "__main__":
    main()
