"""Rasters and models for tests of prediction: models whose answer is known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from torch import Tensor, nn

from chipwright import catalog
from chipwright.chips.chipset import BandStatistics, ClassInfo
from chipwright.engine.devices import choose_device, start_accelerator
from chipwright.spec import ModelSpec, Normalization
from chipwright.tasks.pixels import PixelTask

LEFT, TOP, CELL = 500_000, 5_000_000, 2


def raster_file(path: Path, pixels: NDArray[Any], *, nodata: float | None = None, located: bool = True, **profile: Any) -> Path:
    """Write (bands, height, width) or (height, width) as a GeoTIFF with cells of 2 m in UTM."""
    bands = pixels if pixels.ndim == 3 else pixels[None]
    place = {"crs": "EPSG:32633", "transform": rasterio.transform.from_origin(LEFT, TOP, CELL, CELL)} if located else {}
    profile = {"driver": "GTiff", "dtype": bands.dtype, "nodata": nodata} | place | profile
    with rasterio.open(path, "w", count=len(bands), height=bands.shape[1], width=bands.shape[2], **profile) as file:
        file.write(bands)
    return path


class Echo(nn.Module):
    """Gives the class whose index is the first band's value."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of 5 for the pixel's class."""
        indices = images[:, 0].round().long().clamp(0, self.classes - 1)
        return 5 * nn.functional.one_hot(indices, self.classes).permute(0, 3, 1, 2).float()


def spec_for(values: tuple[int, ...], bands: int = 1, dtype: str = "uint8", **changes: Any) -> ModelSpec:
    """Return a pixel classifier's spec whose normalisation changes nothing."""
    return ModelSpec(
        **{
            "model_type": "UNET", "bands": tuple(f"Band_{number}" for number in range(1, bands + 1)), "dtype": dtype,
            "chip_size": (64, 64), "metadata_format": "Classified_Tiles",
            "classes": tuple(ClassInfo(value=value, name=f"Class {value}", color=(value % 256, 0, 0)) for value in values),
            "normalization": Normalization(mean=(0.0,) * bands, std=(1.0,) * bands),
            "statistics": BandStatistics(
                minimum=(0.0,) * bands, maximum=(3.0,) * bands, mean=(1.0,) * bands, std=(1.0,) * bands, source="computed"
            ),
        } | changes
    )  # fmt: skip


def model_of(network: nn.Module, task: Any, keyword: str = "UNET") -> Any:
    """Return what `Model` is, without a package."""
    accelerator = start_accelerator(choose_device("CPU", 0), "float32")
    return SimpleNamespace(
        name="toy", spec=task.spec, task=task, network=network.eval(), accelerator=accelerator, type=catalog.find(keyword),
        threshold=task.score_threshold,
    )  # fmt: skip


def echo(*values: int, **changes: Any) -> Any:
    """A pixel classifier whose class index is the pixel's value."""
    spec = spec_for(values, **changes)
    return model_of(Echo(len(values) + (0 not in values)), PixelTask(spec))


def counted(shape: tuple[int, int], classes: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return random class indices."""
    return np.random.default_rng(seed).integers(0, classes, shape).astype(np.uint8)
