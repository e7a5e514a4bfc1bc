"""Kinds of work whose predictions are images.

A sample holds "image", what the network is given, and "target", what it should make of it, both (bands, height, width) in the
file's dtype. A prediction is an image (bands, height, width) in the dtype and units of the targets, on the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chipwright.chips.chipset import BandStatistics
from chipwright.chips.display import Panel, color_bands, to_rgb
from chipwright.tasks.base import Batch, Metrics, Sample, Task
from chipwright.tasks.image_metrics import ImageMetrics, psnr, value_range
from chipwright.tasks.lpips import LpipsMetrics
from chipwright.tasks.network_metrics import Colors, pair_colors


@dataclass(frozen=True)
class Made:
    """What is made: names of the bands, pixel type, value without data, and statistics of the training chips."""

    bands: tuple[str, ...]
    dtype: str
    nodata: float | None
    statistics: BandStatistics


class ImageTask(Task):
    """What making images has in common. The network gives normalised images (batch, bands, height, width)."""

    augmentation = "translation"
    higher_is_better = frozenset({"psnr", "ssim"})
    panel_titles = ("Input", "Output", "Truth")

    made_key = "image"
    """Sample key of the images whose scaling those that are made have."""

    @property
    def made(self) -> Made:
        """What the network makes: images like those it is given, unless a kind of work makes others."""
        return Made(self.spec.bands, self.spec.dtype, self.spec.nodata, self.spec.statistics)

    def make(self, network: nn.Module, images: Tensor) -> Tensor:
        """Return normalised images (batch, bands, height, width) of normalised ones; the network is in evaluation mode."""
        made: Tensor = network(images)
        return made

    def truth(self, batch: Batch) -> Tensor:
        """Return the normalised true images (batch, bands, height, width); `batch["target"]` stays as it is for the metrics."""
        target: Tensor = batch["target"]
        return self.normalizer(self.made_key, target.device)(target)

    def restored(self, images: Tensor) -> list[Tensor]:
        """Return normalised images (batch, bands, height, width) in the chips' units and pixel type, on the CPU."""
        return self.in_units(images, self.made_key, self.made.dtype)

    def in_units(self, images: Tensor, key: str, dtype: str) -> list[Tensor]:
        """Return images that are normalised as those of an image key in their units and pixel type, on the CPU."""
        scaling = self.normalizer(key, images.device)
        values = images.float() / scaling.scale + scaling.mean
        kind = np.dtype(dtype)
        if kind.kind in "iu":
            limits = np.iinfo(kind)
            values = values.round().clamp(limits.min, limits.max)
        return [torch.from_numpy(image.astype(kind)) for image in values.cpu().numpy()]

    def host_facts(self) -> dict[str, Any] | None:
        """Return what brings the network's images back to the units and pixel type of what is made."""
        scaling = self.scaling(self.made_key)
        return {
            "function": "ChipwrightImageTranslator", "dtype": self.made.dtype,
            "mean": list(scaling.mean), "std": list(scaling.std),
        }  # fmt: skip

    def predict(self, network: nn.Module, batch: Batch) -> Sequence[Tensor]:
        """Return the image that is made of every sample; images may differ in size."""
        images = batch[self.image_keys[0]]
        if isinstance(images, list):
            return [self.restored(self.make(network, image[None]))[0] for image in images]
        return self.restored(self.make(network, images))

    def metrics(self) -> Metrics:
        """Return fresh averages of PSNR and SSIM."""
        return ImageMetrics(*value_range(self.made))

    def thorough_metrics(self) -> Metrics:
        """Return PSNR, SSIM and LPIPS."""
        return LpipsMetrics(self.metrics(), self.colors)

    @property
    def colors(self) -> Colors:
        """What trained networks are shown."""
        bands, _ = color_bands(len(self.made.bands), self.made.bands)
        return pair_colors(*value_range(self.made), bands)

    def panels(self, sample: Sample, prediction: Any) -> list[Panel]:
        """Return input, output and truth; below the output its PSNR, and below an input of the same kind its own."""
        given, made, truth = (np.asarray(image) for image in (sample["image"], prediction, sample["target"]))
        alike = (given.shape, given.dtype) == (truth.shape, truth.dtype)
        output, true = (Panel("", to_rgb(image, self.made.statistics, self.made.bands)) for image in (made, truth))
        pictures = [self.given_panel(given), output, true]
        texts = [self._closeness(given, truth) if alike else "", self._closeness(made, truth), ""]
        return [
            replace(picture, title=title, text=text)
            for picture, title, text in zip(pictures, self.panel_titles, texts, strict=True)
        ]

    def given_panel(self, image: NDArray[Any]) -> Panel:
        """Return the picture of what the network is given, (bands, height, width) in the file's dtype."""
        return Panel("", to_rgb(image, self.spec.statistics, self.spec.bands))

    def _closeness(self, image: NDArray[Any], truth: NDArray[Any]) -> str:
        low, high = value_range(self.made)
        scaled = [(torch.from_numpy(one.astype(np.float64)) - low) / (high - low) for one in (image, truth)]
        return f"PSNR {psnr(*scaled):.1f} dB"


def degraded(image: Any, factor: int) -> Any:
    """Return an image (bands, height, width) at 1 / `factor` of its size, brought back to it, both bilinearly, in its dtype."""
    height, width = image.shape[1:]
    values = torch.from_numpy(image.astype(np.float32))[None]
    size = (max(1, height // factor), max(1, width // factor))
    small = nn.functional.interpolate(values, size=size, mode="bilinear", antialias=True)
    large = nn.functional.interpolate(small, size=(height, width), mode="bilinear")[0].numpy()
    return (np.rint(large) if image.dtype.kind in "iu" else large).astype(image.dtype)
