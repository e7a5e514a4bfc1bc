from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
import torch

from chipwright.chips.chipset import BandStatistics, ClassInfo
from chipwright.raster.classify import classify_raster
from chipwright.spec import ModelSpec, Normalization
from chipwright.tasks.pixels import PixelTask

CLASSES = tuple(ClassInfo(value=value, name=f"Class {value}", color=(value, 2 * value, 0)) for value in (3, 7, 9))


def model_that_returns_its_input() -> Any:
    """A model whose class index is the pixel's value."""
    spec = ModelSpec(
        model_type="UNET", classes=CLASSES, bands=("Band_1",), dtype="uint8", chip_size=(64, 64),
        metadata_format="Classified_Tiles",
        normalization=Normalization(mean=(0.0,), std=(1.0,)),
        statistics=BandStatistics(minimum=(0.0,), maximum=(3.0,), mean=(1.0,), std=(1.0,), source="computed"),
    )  # fmt: skip
    return SimpleNamespace(
        name="echo", spec=spec, task=PixelTask(spec), predict=lambda images: [torch.from_numpy(i[0]) for i in images]
    )


@pytest.mark.parametrize("shape", [(64, 64), (65, 130), (200, 33), (17, 300), (256, 191)])
@pytest.mark.parametrize("margin", [0, 8, 40])
def test_an_echo_comes_back_whole_as_class_values(tmp_path: Path, shape: tuple[int, int], margin: int) -> None:
    indices = np.random.default_rng(0).integers(0, 4, shape).astype(np.uint8)
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "height": shape[0], "width": shape[1]}
    transform = rasterio.transform.from_origin(500_000, 5_000_000, 2, 2)
    with rasterio.open(tmp_path / "in.tif", "w", **profile, transform=transform, crs="EPSG:32633") as target:
        target.write(indices, 1)
    classify_raster(model_that_returns_its_input(), tmp_path / "in.tif", tmp_path / "out.tif", margin=margin)
    with rasterio.open(tmp_path / "out.tif") as out:
        np.testing.assert_array_equal(out.read(1), np.array([0, 3, 7, 9])[indices])
        assert out.transform == transform
        assert out.crs == "EPSG:32633"
        assert out.colormap(1)[7][:3] == (7, 14, 0)
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []
