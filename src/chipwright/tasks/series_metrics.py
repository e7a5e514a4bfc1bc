"""Figures of class maps of time series, and of the classes on every date: their values, and the attention paid to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chipwright.chips.formats.time_series import variables_of
from chipwright.spec import ModelSpec
from chipwright.tasks.base import Batch, Evaluation, Metrics
from chipwright.tasks.pixel_classes import PixelClasses
from chipwright.tasks.pixel_metrics import PixelMetrics

MOST_VARIABLES = 4
"""Variables whose course is drawn."""


class SeriesMetrics(PixelMetrics):
    """The figures of pixel classification; by true class each variable's mean and deviation by date, and the mean attention.

    Reads from `ModelSpec.fitted`: selected, days, dates and axis. Takes from a batch, beside the mask, "image", normalised,
    "held" (dates, height, width), and "attention" (dates used, height, width) where it is there, a tensor or a list of each.
    """

    def __init__(self, classes: PixelClasses, spec: ModelSpec) -> None:
        super().__init__(classes)
        self.selected = np.asarray(spec.fitted["selected"])[:, :MOST_VARIABLES]
        self.steps = (self.selected[:, 0] // (len(spec.bands) // spec.fitted["dates"])).tolist()
        self.days, self.axis = list(spec.fitted["days"]), str(spec.fitted["axis"])
        scaling = spec.normalization
        self.mean, self.std = np.asarray(scaling.mean)[self.selected], np.asarray(scaling.std)[self.selected]
        self.names = used_variables(spec)[:MOST_VARIABLES]
        dates = len(self.days)
        self.pixels: NDArray[np.float64] = np.zeros((len(classes), dates, 1))
        self.sums: NDArray[np.float64] = np.zeros((2, len(classes), *self.selected.shape))
        self.attention: NDArray[np.float64] = np.zeros((len(classes), dates))

    def update(self, predictions: Sequence[Tensor], batch: Batch) -> None:
        """Count one batch's pixels, and add up their values, squares and attention."""
        super().update(predictions, batch)
        attention = batch.get("attention") or [None] * len(predictions)
        for image, mask, held, weights in zip(batch["image"], batch["mask"], batch["held"], attention, strict=True):
            values = image[self.selected.flatten().tolist()].unflatten(0, self.selected.shape)
            for index in torch.unique(mask[mask >= 0]).tolist():
                own = mask == index
                known = held[self.steps][:, own].double()
                found = values[:, :, own].double()
                self.pixels[index, :, 0] += known.sum(1).cpu().numpy()
                self.sums[0, index] += (found * known[:, None]).sum(2).cpu().numpy()
                self.sums[1, index] += (found.square() * known[:, None]).sum(2).cpu().numpy()
                if weights is not None:
                    self.attention[index] += weights[:, own].double().sum(1).cpu().numpy()

    def merge(self, other: Metrics) -> None:
        """Add another process's counts and sums."""
        super().merge(other)
        assert isinstance(other, SeriesMetrics)
        self.pixels, self.sums = self.pixels + other.pixels, self.sums + other.sums
        self.attention = self.attention + other.attention

    def compute(self) -> Evaluation:
        """Return the figures, the course of the classes in each variable, and their attention to the dates."""
        seen = [index for index in self.classes.measured if self.pixels[index].any()]
        curves: dict[str, dict[str, Any]] = {}
        for at, name in enumerate(self.names):
            for index in seen:
                curves[f"{name} over the dates: {self.classes.names[index]}"] = self._course(index, at) | {"y_label": name}
        for index in seen:
            if weight := self.attention[index].sum():
                curves[f"Attention to each date: {self.classes.names[index]}"] = {
                    "x": self.days,
                    "y": (self.attention[index] / weight).tolist(),
                    "x_label": self.axis,
                    "y_label": "share of the attention",
                }
        return replace(super().compute(), curves=curves)

    def _course(self, index: int, at: int) -> dict[str, Any]:
        """Return a class's mean on the dates with data, in the units of the files, and a deviation to either side."""
        pixels = self.pixels[index, :, 0]
        mean, square = (part[index, :, at] / np.maximum(pixels, 1) for part in self.sums)
        spread = np.sqrt(np.maximum(square - mean**2, 0))
        known = pixels > 0

        def in_units(values: NDArray[np.float64]) -> list[float]:
            return [float(value) for value in (values * self.std[:, at] + self.mean[:, at])[known]]

        return {
            "x": [day for day, there in zip(self.days, known, strict=True) if there],
            "y": in_units(mean),
            "low": in_units(mean - spread),
            "high": in_units(mean + spread),
            "x_label": self.axis,
        }


def used_variables(spec: ModelSpec) -> list[str]:
    """Return the names of the variables that are used."""
    depth = len(spec.bands) // spec.fitted["dates"]
    known = variables_of(spec.bands, spec.metadata)
    names = known if len(known) == depth else tuple(f"Variable {at}" for at in range(depth))
    return [names[band % depth] for band in spec.fitted["selected"][0]]
