"""A real U-Net over windows gives what it gives over the whole image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from map_builders import model_of, raster_file, spec_for
from scipy.ndimage import gaussian_filter

from chipwright import api, catalog
from chipwright.prediction.margins import margin_of


def unet(backbone: str) -> Any:
    """A U-Net with random weights whose probabilities are anything but even."""
    torch.manual_seed(0)
    spec = spec_for((1, 2, 3), bands=3, backbone=backbone, normalization={"mean": (128.0,) * 3, "std": (60.0,) * 3})
    row = catalog.find("UNET")
    model = model_of(row.build(spec, None), row.task(spec))
    with torch.no_grad():  # statistics of batch normalisation as after training, and a decided last layer
        model.network.train()
        for _ in range(3):
            model.network(torch.randn(4, 3, 128, 128))
        model.network.eval()
        last = [module for module in model.network.modules() if isinstance(module, torch.nn.Conv2d)][-1]
        last.weight.mul_(3 / model.network(torch.randn(1, 3, 128, 128)).std())
    return model


def picture(size: int) -> Any:
    noise = np.random.default_rng(0).normal(size=(3, size, size)).astype(np.float32)
    smooth = sum(gaussian_filter(noise, (0, grain, grain)) * grain for grain in (1, 3, 9))
    return np.clip(128 + 50 * smooth, 0, 255).astype(np.uint8)


def compared(model: Any, pixels: Any, folder: Path) -> tuple[float, float, Any]:
    """Return (largest difference of probabilities, share of equal classes, what was done)."""
    raster = raster_file(folder / "in.tif", pixels)
    done = api.predict(model, raster, folder / "classes.tif", probabilities=folder / "p.tif", precision="float32")
    normalizer = model.task.normalizer("image", torch.device("cpu"))
    with torch.inference_mode():
        whole = model.task.probabilities(model.task.logits(model.network, normalizer(torch.from_numpy(pixels)[None])))[
            0
        ].numpy()
    with rasterio.open(folder / "p.tif") as file:
        difference = float(np.abs(file.read() / 254 - whole).max())
    with rasterio.open(folder / "classes.tif") as file:
        same = float((file.read(1) == np.array(model.task.classes.values)[whole.argmax(0)]).mean())
    return difference, same, done


def test_a_small_unet_shows_no_seams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = unet("timm:test_resnet")
    monkeypatch.setattr("chipwright.prediction.job._LARGEST", 256)
    difference, same, done = compared(model, picture(500), tmp_path)
    assert done.windows > 4
    assert difference < 1e-2
    assert same >= 0.999


@pytest.mark.slow
def test_a_unet_over_resnet34_equals_the_whole_image(tmp_path: Path) -> None:
    difference, same, done = compared(unet("RESNET34"), picture(2048), tmp_path)
    assert done.windows >= 4
    assert difference < 1e-2
    assert same >= 0.999


def test_the_margin_is_where_the_gradient_lies() -> None:
    box = torch.nn.Conv2d(3, 2, 9, padding=4)  # looks four pixels far
    assert margin_of(box, 3, 64, torch.device("cpu")) == 4
    pooled = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Upsample(64))
    assert margin_of(pooled, 3, 64, torch.device("cpu")) is None
