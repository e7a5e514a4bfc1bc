"""Images as trained networks see them: FID and LPIPS, beside other figures.

To look at every image takes such a network some time, so these are figures of a trained model, not of every epoch. Where a
network's weights are not to be had, its figure is left out with a sentence; a trained model is not lost for it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from chipwright.errors import ChipwrightError
from chipwright.networks.perceptual import color_images
from chipwright.tasks.base import Batch, Evaluation, Metrics

Shown = Mapping[str, tuple[list[Tensor], list[Tensor]]]
"""(made, true) images as `as_seen` returns them, by what is added to a figure's name: "" or "_a", "_b"."""

Colors = Callable[[Sequence[Any], Batch], Shown]
"""Takes predictions and their batch and returns what a network is shown."""


class NetworkMetrics(Metrics):
    """Other metrics, and beside them a figure by a trained network.

    Args:
        others: that are computed all the same.
        colors: what the network is shown; must be picklable.
    """

    name: str
    """Of the figure, for sentences; its key is the same in lower case."""

    def __init__(self, others: Metrics, colors: Colors) -> None:
        self.others, self.colors = others, colors
        self.missing = ""
        self._network: Any = None

    @abstractmethod
    def network(self, device: torch.device) -> Any:
        """Return the network, or raise `ChipwrightError` saying why there is none."""

    @abstractmethod
    def take(self, network: Any, suffix: str, made: list[Tensor], true: list[Tensor]) -> None:
        """Take in some images."""

    @abstractmethod
    def join(self, other: Any) -> None:
        """Take in what another process accumulated."""

    @abstractmethod
    def figures(self) -> tuple[dict[str, float], str]:
        """Return figures by suffix and a sentence on them; without figures, why there are none."""

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_network": None}

    def update(self, predictions: Sequence[Any], batch: Batch) -> None:
        """Take in one batch's predictions and truth."""
        self.others.update(predictions, batch)
        if self.missing:
            return
        if self._network is None:
            images = batch["image"]
            try:
                self._network = self.network((images[0] if isinstance(images, list) else images).device)
            except ChipwrightError as error:
                self.missing = str(error)
                return
        for suffix, (made, true) in self.colors(predictions, batch).items():
            self.take(self._network, suffix, made, true)

    def merge(self, other: Metrics) -> None:
        """Take in what another process accumulated."""
        assert isinstance(other, type(self))
        self.others.merge(other.others)
        self.missing = self.missing or other.missing
        self.join(other)

    def compute(self) -> Evaluation:
        """Return the others' figures, and the network's."""
        found = self.others.compute()
        figures, sentence = ({}, self.missing) if self.missing else self.figures()
        notes = [*found.notes, sentence if figures else f"{self.name} is left out. {sentence}"]
        own = {self.name.lower() + suffix: figure for suffix, figure in figures.items()}
        return replace(found, scalars=found.scalars | own, notes=notes)


def as_seen(image: Any, low: float, high: float, bands: Sequence[int]) -> Tensor:
    """Return an image (bands, height, width) as colours (3, height, width) of 8 bits.

    Args:
        image: of any dtype.
        low, high: values that stand for black and white; those beyond are clipped.
        bands: that stand for colour (see `chipwright.chips.display.color_bands`).
    """
    scaled = (color_images(torch.as_tensor(image).float()[None], bands)[0] - low) / (high - low)
    return (scaled.clamp(0, 1) * 255).round().to(torch.uint8)


def pair_colors(low: float, high: float, bands: Sequence[int]) -> Colors:
    """Return what is shown of made images in the chips' units, and the true ones."""
    return partial(_pairs, low=low, high=high, bands=bands)


def _pairs(predictions: Sequence[Any], batch: Batch, low: float, high: float, bands: Sequence[int]) -> Shown:
    made, true = ([as_seen(image, low, high, bands) for image in images] for images in (predictions, batch["target"]))
    return {"": (made, true)}


def cycle_colors(first: Sequence[int], second: Sequence[int]) -> Colors:
    """Return what is shown of either kind of images, made (`chipwright.networks.cyclegan.Cycled`) and true, within -1..1."""
    return partial(_cycles, first=first, second=second)


def _cycles(predictions: Sequence[Any], batch: Batch, first: Sequence[int], second: Sequence[int]) -> Shown:
    kinds = ("_a", "to_a", "image", first), ("_b", "to_b", "target", second)
    return {
        suffix: ([as_seen(getattr(one, made), -1, 1, bands) for one in predictions],
                 [as_seen(image, -1, 1, bands) for image in batch[true]])
        for suffix, made, true, bands in kinds
    }  # fmt: skip
