"""Classification of time series: chips that stack the bands of many dates, and the classes of some of their pixels.

What is learnt from are sets of pixels of one class and chip, drawn anew in each epoch; what is measured and predicted are maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chipwright.chips.chipset import IGNORE, Chip
from chipwright.chips.display import Panel, to_rgb
from chipwright.chips.formats.time_series import variables_of
from chipwright.networks.losses import PixelLoss
from chipwright.spec import ModelSpec
from chipwright.tasks.base import Batch, Evaluation, Metrics, Networks, Phase, Reader, Sample
from chipwright.tasks.pixel_classes import PixelClasses
from chipwright.tasks.pixel_metrics import PixelMetrics
from chipwright.tasks.pixels import PixelTask

JITTER = 0.01
"""Deviation of the noise that training adds to normalised values, cut at five times of it (Garnot et al. 2020)."""


@dataclass(frozen=True)
class PixelSet:
    """One of the sets of a class's pixels in a chip: the `part`-th that is drawn from them in an epoch."""

    chip: Chip
    value: int
    part: int


class TimeSeriesTask(PixelTask):
    """Draws pixel sets to learn from and chips to measure on.

    Reads from `ModelSpec.arguments`: min_points and gamma; and from `ModelSpec.fitted`: selected, days and ignored.

    A sample of a set holds "image" (bands, 1, points) in the file's dtype, "present" bool (1, points), "mask" int16 (1, 1), its
    class index, and "jitter"; one of a chip "image" (bands, height, width) and "mask" int16 (height, width).
    """

    augmentation = None
    default_learning_rate = 3e-3

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.classes = PixelClasses.of(spec.classes, spec.fitted["ignored"])
        self.points = int(spec.arguments["min_points"])
        self.loss = PixelLoss(focal_gamma=float(spec.arguments["gamma"]) or None, ignored=IGNORE)

    # -- samples

    def units(self, chips: Sequence[Chip]) -> Sequence[Any]:
        """Return the chips: whole maps are measured."""
        return chips

    def chips_of(self, unit: Chip | PixelSet) -> Sequence[Chip]:
        """Return the chip that a set, or a map, is of."""
        return (unit.chip if isinstance(unit, PixelSet) else unit,)

    def training_units(self, chips: Sequence[Chip]) -> Sequence[PixelSet]:
        """Return as many sets of each chip's classes as it has pixels for, and one at least."""
        return [
            PixelSet(chip, value, part)
            for chip in chips
            for value, count in chip.pixels
            if count and value in self._learnt
            for part in range(-(-count // self.points))
        ]

    @property
    def _learnt(self) -> set[int]:
        return {self.classes.values[index] for index in self.classes.measured}

    def draw(self, unit: Chip | PixelSet, reader: Reader, rng: np.random.Generator, augment: bool) -> Sample:
        """Return a set's pixels, or a chip with the classes of its pixels.

        A set has `min_points` pixels, but every second one fewer, down to one, so that the neighbourhoods of a map are nothing
        new to the network. Where the class has too few, the first is repeated and does not count.
        """
        if isinstance(unit, PixelSet):
            return self._set(unit, reader, rng, augment)
        image = reader.image(unit)
        return {"image": image, "mask": self._map(unit, image.shape[1:], reader)}

    def _set(self, unit: PixelSet, reader: Reader, rng: np.random.Generator, augment: bool) -> Sample:
        image = reader.image(unit.chip)
        places = np.flatnonzero(_pixels_of(unit.value, unit.chip, reader))
        size = self.points
        if augment and rng.random() < 0.5:
            size = round(np.exp(rng.uniform(0, np.log(self.points))))
        chosen = rng.permutation(places)[:size]
        present = np.arange(self.points) < len(chosen)
        chosen = np.concatenate([chosen, np.repeat(chosen[:1], self.points - len(chosen))])
        index = self.classes.values.index(unit.value)
        return {
            "image": image.reshape(len(image), -1)[:, None, chosen],
            "present": present[None],
            "mask": np.full((1, 1), index, np.int16),
            "jitter": np.array(JITTER if augment else 0.0, np.float32),
        }

    def _map(self, chip: Chip, size: tuple[int, ...], reader: Reader) -> NDArray[np.int16]:
        """Return the class index of every labelled pixel; of those with several classes none is known."""
        found = np.full(size, IGNORE, np.int16)
        times = np.zeros(size, np.uint8)
        for value, masks in reader.instances(chip).items():
            pixels = masks.any(0)
            if value in self._learnt:
                found[pixels] = self.classes.values.index(value)
            times += pixels
        found[times > 1] = IGNORE
        return found

    # -- learning

    def losses(self, networks: Networks, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        """Return the focal loss of the sets' classes, or of the labelled pixels of maps."""
        images, target = batch["image"], batch["mask"].long()
        if "present" not in batch:
            return {"pixel": self.loss(networks["network"](images), target)}
        noise = torch.randn_like(images).mul(JITTER).clamp(-5 * JITTER, 5 * JITTER)
        images = images + noise * (batch["jitter"] > 0).view(-1, 1, 1, 1)
        return {"pixel": self.loss(networks["network"](images, batch["present"])[..., None, None], target)}

    # -- measuring

    def validate(self, network: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Sequence[Tensor]]:
        """Return the loss of the labelled pixels, and the class maps."""
        images = batch["image"]
        if not isinstance(images, list):
            return super().validate(network, batch)
        logits = [network(image[None]) for image in images]
        losses = [self.loss(one, mask[None].long()) for one, mask in zip(logits, batch["mask"], strict=True)]
        return {"pixel": torch.stack(losses).mean()}, [self.decide(one)[0] for one in logits]

    def metrics(self) -> SeriesMetrics:
        """Return a fresh confusion matrix, which keeps the classes' course through the year beside."""
        return SeriesMetrics(self.classes, self.spec)

    # -- showing

    def panels(self, sample: Sample, prediction: Any) -> list[Panel]:
        """Return the first variable at three dates as red, green and blue, with the truth and the prediction."""
        selected = self.spec.fitted["selected"]
        shown = [selected[round(at * (len(selected) - 1))][0] for at in (0, 0.5, 1)]
        image, statistics = np.asarray(sample["image"])[shown], self.spec.statistics.select(shown)
        picture = to_rgb(np.nan_to_num(image), statistics, ("1", "2", "3"))
        title = "First, middle and last date"
        return [Panel(title, picture), *self.class_panels(picture, sample["mask"], prediction)]


class SeriesMetrics(PixelMetrics):
    """The figures of pixel classification, and each variable's mean by date and class."""

    def __init__(self, classes: PixelClasses, spec: ModelSpec) -> None:
        super().__init__(classes)
        self.selected = np.asarray(spec.fitted["selected"])
        self.days = list(spec.fitted["days"])
        scaling = spec.normalization
        self.mean, self.std = np.asarray(scaling.mean)[self.selected], np.asarray(scaling.std)[self.selected]
        names = variables_of(spec.bands, spec.metadata)
        self.names = [names[band % len(names)] for band in self.selected[0]]
        self.sums = np.zeros((len(classes), *self.selected.shape))
        self.pixels = np.zeros(len(classes), np.int64)

    def update(self, predictions: Sequence[Tensor], batch: Batch) -> None:
        """Count one batch's pixels, and add up their values."""
        super().update(predictions, batch)
        for image, mask in zip(batch["image"], batch["mask"], strict=True):
            values, truth = image[self.selected.flatten().tolist()].flatten(1).cpu(), mask.flatten().cpu()
            for index in self.classes.measured:
                own = truth == index
                self.sums[index] += values[:, own].double().sum(1).numpy().reshape(self.selected.shape)
                self.pixels[index] += int(own.sum())

    def merge(self, other: Metrics) -> None:
        """Add another process's counts and sums."""
        super().merge(other)
        assert isinstance(other, SeriesMetrics)
        self.sums, self.pixels = self.sums + other.sums, self.pixels + other.pixels

    def compute(self) -> Evaluation:
        """Return the figures, and for each variable the course of the classes."""
        whole = super().compute()
        curves = {
            f"{name} through the year: {self.classes.names[index]}": {
                "x": self.days,
                "y": (self.sums[index] / self.pixels[index] * self.std + self.mean)[:, at].tolist(),
                "x_label": "day from the first date",
                "y_label": f"mean {name}",
            }
            for at, name in enumerate(self.names[:4])
            for index in self.classes.measured
            if self.pixels[index]
        }
        return Evaluation(whole.scalars, whole.per_class, whole.confusion, curves, whole.notes)


def _pixels_of(value: int, chip: Chip, reader: Reader) -> NDArray[np.bool_]:
    found = reader.instances(chip)[value]
    return np.asarray(found.any(0))
