"""Classification of time series: chips that stack the bands of many dates, and the classes of some of their pixels.

What is learnt from are sets of pixels of one class and chip, drawn anew in each epoch; what is measured and predicted are maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chipwright.chips.chipset import IGNORE, Chip
from chipwright.chips.display import Panel, to_rgb
from chipwright.chips.reading import representable
from chipwright.networks.losses import PixelLoss
from chipwright.networks.pse_tae import NEIGHBOURHOOD
from chipwright.spec import ModelSpec
from chipwright.tasks.base import Batch, Networks, Phase, RasterTaken, Reader, Sample
from chipwright.tasks.pixel_classes import PixelClasses
from chipwright.tasks.pixels import PixelTask
from chipwright.tasks.series_metrics import SeriesMetrics, used_variables

JITTER = 0.01
"""Deviation of the noise that training adds to normalised values, cut at five times of it (Garnot et al. 2020)."""


NEIGHBOURHOODS, MAPPED = 0.25, 0.25
"""Shares of the sets that are a pixel's neighbourhood: as far as it is of the pixel's object, and as a map shows it."""

TILE = 64
"""Side in pixels of the largest map that is measured at once: a series takes some kB a pixel and date."""


@dataclass(frozen=True)
class Tile:
    """A part of a chip that is measured on its own."""

    chip: Chip
    top: int
    left: int

    @property
    def part(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.top, self.top + TILE), slice(self.left, self.left + TILE)


@dataclass(frozen=True)
class PixelSet:
    """One of the sets of a class's pixels in a chip: the `part`-th that is drawn from them in an epoch."""

    chip: Chip
    value: int
    part: int


class TimeSeriesTask(PixelTask):
    """Draws pixel sets to learn from and chips to measure on.

    Reads from `ModelSpec.arguments`: min_points and gamma; and from `ModelSpec.fitted`: what `PseTaeModel.fit` returns.

    Images are float32, NaN on dates without data. A sample of a set holds "image" (bands, 1, points), "present" bool
    (1, points), "mask" int16 (1, 1), its class index, and "jitter"; one of a chip "image" (bands, height, width), "mask" int16
    (height, width) and "held" bool (dates, height, width), where there are data.
    """

    augmentation = None
    default_learning_rate = 3e-3

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.classes = PixelClasses.of(spec.classes, spec.fitted["ignored"])
        self.points = int(spec.arguments["min_points"])
        self.dates = int(spec.fitted["dates"])
        self.names = {name.casefold(): at for at, name in enumerate(used_variables(spec))}
        self.loss = PixelLoss(focal_gamma=float(spec.arguments["gamma"]) or None, ignored=IGNORE)

    # -- samples

    def units(self, chips: Sequence[Chip]) -> Sequence[Any]:
        """Return the chips: whole maps are measured, larger ones in tiles."""
        return [unit for chip in chips for unit in _tiles(chip)]

    def chips_of(self, unit: Chip | Tile | PixelSet) -> Sequence[Chip]:
        """Return the chip that a set, or a map, is of."""
        return (unit if isinstance(unit, Chip) else unit.chip,)

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

    def draw(self, unit: Chip | Tile | PixelSet, reader: Reader, rng: np.random.Generator, augment: bool) -> Sample:
        """Return a set's pixels, or a chip (or a tile of one) with the classes of its pixels.

        A set are the `min_points` pixels of one object about a pixel drawn at random. Every fourth one is that pixel's
        neighbourhood, as far as it is of the object, and every fourth one its neighbourhood on a map, whatever stands around
        it, so that maps are nothing new to the network. What is too few is filled up with the first pixel, which then does not
        count.
        """
        if isinstance(unit, PixelSet):
            return self._set(unit, reader, rng, augment)
        chip, part = (unit, np.s_[:, :]) if isinstance(unit, Chip) else (unit.chip, unit.part)
        image, mask = self._map(chip, part, reader)
        held = self._held(image, reader.valid(chip), part)
        return {"image": self._filled(image, held), "mask": np.where(held.any(0), mask, np.int16(IGNORE)), "held": held}

    def _set(self, unit: PixelSet, reader: Reader, rng: np.random.Generator, augment: bool) -> Sample:
        index = self.classes.values.index(unit.value)
        image, mask = self._map(unit.chip, np.s_[:, :], reader)
        valid = reader.valid(unit.chip)

        def taken(places: NDArray[np.intp]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
            """Return the values (bands, 1, pixels) at places (2, pixels), and on which dates they are known."""
            values = image[:, *places][:, None]
            return values, self._held(values, None if valid is None else valid[*places][None], np.s_[:, :])

        own = np.stack(np.nonzero(mask == index))
        own = own[:, taken(own)[1].any((0, 1))]
        if own.shape[1]:
            first = own[:, int(rng.integers(own.shape[1])), None]
            kind = rng.random()
            if kind < MAPPED:
                places = _around(first, mask.shape)
            else:
                objects = reader.instances(unit.chip)[unit.value].max(0)
                places = own[:, objects[*own] == objects[*first]]
                if kind < MAPPED + NEIGHBOURHOODS:
                    places = places[:, np.abs(places - first).max(0) <= NEIGHBOURHOOD // 2]
            values, held = taken(_nearest(places, first, self.points, rng))
        else:  # masks that overlap, or images without data, left nothing of the class
            index, values, held = IGNORE, np.full((len(image), 1, 1), np.nan, np.float32), np.zeros((self.dates, 1, 1), bool)
        present = np.arange(self.points) < values.shape[2]
        filled = np.where(present, np.arange(self.points), 0)
        return {
            "image": self._filled(values[:, :, filled], held[:, :, filled]),
            "present": present[None],
            "mask": np.full((1, 1), index, np.int16),
            "jitter": np.array(JITTER if augment else 0.0, np.float32),
        }

    def _map(self, chip: Chip, part: Any, reader: Reader) -> tuple[NDArray[Any], NDArray[np.int16]]:
        """Return a part of the image, and the class index of its labelled pixels; with several classes none is known."""
        image = reader.image(chip)[:, *part]
        found = np.full(image.shape[1:], IGNORE, np.int16)
        times = np.zeros(image.shape[1:], np.uint8)
        for value, masks in reader.instances(chip).items():
            pixels = masks[:, *part].any(0)
            if value in self._learnt:
                found[pixels] = self.classes.values.index(value)
            times += pixels
        found[times > 1] = IGNORE
        return image, found

    def _held(self, image: NDArray[Any], valid: NDArray[np.bool_] | None, part: Any) -> NDArray[np.bool_]:
        """Return on which dates an image (bands, rows, columns) holds data: (dates, rows, columns).

        Args:
            valid: which pixels of the chip hold data on some date, those of floats finite data on all; None where all do.
            part: of the chip, that the image is.
        """
        nodata = self.spec.nodata if representable(self.spec.nodata, image.dtype) else None
        if valid is None and nodata is None and image.dtype.kind != "f":
            return np.ones((self.dates, *image.shape[1:]), bool)
        series = image.reshape(self.dates, -1, *image.shape[1:])
        held = np.isfinite(series).any(1)
        complete = np.isfinite(series).all((0, 1))
        if nodata is not None:
            held &= (series != image.dtype.type(nodata)).any(1)
        if valid is None:
            return held
        complete &= held.all(0)
        return held & (valid[part] | ~complete)  # what only the file's own mask takes out, it takes out on all dates

    def _filled(self, image: NDArray[Any], held: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the image as floats, NaN on dates without data, which scaling turns into the mean."""
        series = image.reshape(self.dates, -1, *image.shape[1:])
        filled = np.where(held[:, None], series, np.float32(np.nan)).astype(np.float32)
        return filled.reshape(image.shape)

    @property
    def rasters(self) -> tuple[RasterTaken, ...]:
        """Return the raster that a prediction is made from, of which a pixel may have data on some dates alone."""
        return (replace(super().rasters[0], sparse=True, nodata=self.spec.nodata),)

    def sample(self, images: Sequence[NDArray[Any]], valids: Sequence[NDArray[np.bool_] | None]) -> Sample:
        """Return the series, NaN on dates without data."""
        return {"image": self._filled(images[0], self._held(images[0], valids[0], np.s_[:, :]))}

    def fill(self) -> tuple[float | None, ...]:
        """Return that missing dates are NaN."""
        return (None,) * len(self.spec.bands)

    def host_facts(self) -> dict[str, Any]:
        """Return what stands for no data, too, and of how many bands a date is made."""
        nodata = self.spec.nodata
        if not representable(nodata, np.dtype(self.spec.dtype)):
            return super().host_facts()
        return super().host_facts() | {"missing": {"value": nodata, "bands": len(self.spec.bands) // self.dates}}

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
        """Return the loss of the labelled pixels, and the class maps; the attention to each date goes into the batch."""
        images, masks = batch["image"], batch["mask"]
        alike = isinstance(images, Tensor)
        explain: Callable[[Tensor], tuple[Tensor, Tensor]] = network.explain  # type: ignore[assignment]
        explained = [explain(some) for some in ([images] if alike else [image[None] for image in images])]
        targets = [masks] if alike else [mask[None] for mask in masks]
        losses = [self.loss(logits, mask.long()) for (logits, _), mask in zip(explained, targets, strict=True)]
        batch["attention"] = [attention for _, some in explained for attention in some]
        return {"pixel": torch.stack(losses).mean()}, [found for logits, _ in explained for found in self.decide(logits)]

    def metrics(self) -> SeriesMetrics:
        """Return a fresh confusion matrix, which keeps the classes' course through the year beside."""
        return SeriesMetrics(self.classes, self.spec)

    # -- showing

    def panels(self, sample: Sample, prediction: Any) -> list[Panel]:
        """Return a picture with the truth and the prediction: red, green and blue of the middle date where there are such
        variables, else the first variable at three dates as red, green and blue."""
        selected = self.spec.fitted["selected"]
        colors = [self.names.get(name) for name in ("red", "green", "blue")]
        if None in colors:
            shown = [selected[round(at * (len(selected) - 1))][0] for at in (0, 0.5, 1)]
            title = "First, middle and last date"
        else:
            shown = [selected[len(selected) // 2][at] for at in colors if at is not None]
            title = "Middle date"
        image, statistics = np.asarray(sample["image"])[shown], self.spec.statistics.select(shown)
        picture = to_rgb(image, statistics, ("Red", "Green", "Blue"))
        # classes laid over dates as colours could not be told apart
        grey = picture.mean(2, keepdims=True).astype(np.uint8).repeat(3, 2)
        return [Panel(title, picture), *self.class_panels(grey, sample["mask"], prediction)]


def _around(place: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the neighbourhood (2, pixels) of a pixel (2, 1) on a map of a shape, cut at its edges."""
    around = place + np.indices((NEIGHBOURHOOD, NEIGHBOURHOOD)).reshape(2, -1) - NEIGHBOURHOOD // 2
    return around[:, ((around >= 0) & (around < np.array(shape)[:, None])).all(0)]


def _nearest(places: NDArray[np.intp], first: NDArray[np.intp], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return as many of the places (2, pixels) as asked for, the nearest to the first (2, 1), which is one of them."""
    order = np.lexsort((rng.random(places.shape[1]), np.square(places - first).sum(0)))
    return places[:, order[:count]]


def _tiles(chip: Chip) -> list[Chip | Tile]:
    """Return the chip where it is no larger than `TILE`, else its tiles."""
    if max(chip.width, chip.height) <= TILE:
        return [chip]
    return [Tile(chip, top, left) for top in range(0, chip.height, TILE) for left in range(0, chip.width, TILE)]
