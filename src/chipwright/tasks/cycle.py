"""Translation between two kinds of imagery without pairs: what is translated and brought back must be what it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.chips.augmentation.pixels import fill_invalid
from chipwright.chips.augmentation.recipe import Recipe
from chipwright.chips.augmentation.scene import Scene, apply
from chipwright.chips.chipset import Chip
from chipwright.chips.display import Panel, color_bands, to_rgb
from chipwright.networks.adversarial import ImagePool, adversarial_loss, bare, held
from chipwright.networks.cyclegan import Cycled
from chipwright.spec import ModelSpec
from chipwright.tasks.base import Batch, Networks, Phase, Reader, Sample
from chipwright.tasks.cycle_metrics import CycleMetrics
from chipwright.tasks.frechet import FrechetMetrics
from chipwright.tasks.images import Made
from chipwright.tasks.network_metrics import cycle_colors
from chipwright.tasks.translation import GENERATE, AdversarialTask

CYCLE_WEIGHT = 10.0
IDENTITY_WEIGHT = 0.5 * CYCLE_WEIGHT


@dataclass(frozen=True)
class Unpaired:
    """An image of A with those of B, one of which is drawn to it; `usual` where nothing is drawn."""

    first: Chip
    others: Sequence[Chip]
    usual: int


class CycleTask(AdversarialTask):
    """Learns both ways at once. A sample holds "image" of A and "target" of B, which show different ground.

    Reads from `ModelSpec.arguments`: lsgan. Of a labelled sample `predict` gives what is made both ways, of an image alone the
    translated image.
    """

    image_keys = ("image", "target")
    higher_is_better: frozenset[str] = frozenset()

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.least_squares = bool(spec.arguments["lsgan"])
        self.pools = ImagePool(), ImagePool()

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"pools": (ImagePool(), ImagePool())}

    @property
    def made(self) -> Made:
        """Images of the other domain."""
        second = self.spec.second
        assert second is not None
        return Made(second.bands, second.dtype, second.nodata, second.statistics)

    # -- samples

    def units(self, chips: Sequence[Chip]) -> Sequence[Unpaired]:
        """Return as many units as the larger domain has images."""
        first, others = ([chip for chip in chips if chip.domain == domain] for domain in (0, 1))
        count = max(len(first), len(others))
        return [Unpaired(first[place % len(first)], others, place % len(others)) for place in range(count)]

    def chips_of(self, unit: Unpaired) -> Sequence[Chip]:
        """Return the image of A and the usual one of B."""
        return unit.first, unit.others[unit.usual]

    def draw(self, unit: Unpaired, reader: Reader, rng: np.random.Generator, augment: bool) -> Sample:
        """Return an image of each domain, cropped and mirrored on its own if `augment`; B's is then any of them."""
        place = int(rng.integers(len(unit.others))) if augment else unit.usual
        recipe = self.recipes[augment]
        images = [
            self._drawn(chip, reader, rng, Recipe(recipe.size, (tones,), recipe.augmentation))
            for chip, tones in zip((unit.first, unit.others[place]), recipe.tones, strict=True)
        ]
        return {"image": images[0], "target": images[1]}

    def _drawn(self, chip: Chip, reader: Reader, rng: np.random.Generator, recipe: Recipe) -> NDArray[Any]:
        image = fill_invalid(reader.image(chip), reader.valid(chip), recipe.tones[0].fill)
        return np.ascontiguousarray(apply(Scene([image]), recipe, rng).images[0])

    # -- learning

    def losses(self, networks: Networks, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        """Return what teaches the generators, or the judges; these are shown earlier images half of the time."""
        real = batch["image"], batch["target"]
        if phase == GENERATE:
            cycled = networks["generator"](*real)
            batch["made"] = cycled.to_a.detach(), cycled.to_b.detach()
            judges = bare(networks["discriminator"])
            with held(judges):
                scores = judges(cycled.to_a, cycled.to_b)
            return {
                "adversarial": torch.stack([adversarial_loss(one, True, self.least_squares) for one in scores]).sum(),
                "cycle": CYCLE_WEIGHT * _distance((cycled.back_a, cycled.back_b), real),
            } | _identity(cycled, real)
        made = [pool.exchanged(images) for pool, images in zip(self.pools, batch["made"], strict=True)]
        judges = networks["discriminator"]
        losses = [
            adversarial_loss(one, true, self.least_squares) / 2
            for images, true in ((made, False), (real, True))
            for one in judges(*images)
        ]
        return {"discriminator": torch.stack(losses).sum()}

    def state_dict(self) -> dict[str, Any]:
        """Return the earlier images."""
        return {"pools": [pool.state() for pool in self.pools]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the earlier images back."""
        for pool, images in zip(self.pools, state["pools"], strict=True):
            pool.restore(images)

    # -- measuring

    def validate(self, network: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Sequence[Cycled]]:
        """Return how far images are from what they were once brought back, and what is made both ways, within -1..1."""
        cycled = self._cycled(network, batch)
        distance = _distance((cycled.back_a, cycled.back_b), (batch["image"], batch["target"]))
        return {"cycle": distance}, _apart(cycled)

    def _cycled(self, network: nn.Module, batch: Batch) -> Cycled:
        assert isinstance(network.generator, nn.Module)
        cycled: Cycled = network.generator(batch["image"], batch["target"])
        return cycled

    def predict(self, network: nn.Module, batch: Batch) -> Sequence[Any]:
        """Return the translated images; where images of both domains are given, what is made both ways, in their units."""
        if "target" not in batch:
            return super().predict(network, batch)
        cycled = self._cycled(network, batch)
        ours = [self.restored(images) for images in (cycled.to_b, cycled.back_b)]
        theirs = [self.in_units(images, "image", self.spec.dtype) for images in (cycled.to_a, cycled.back_a)]
        return [Cycled(to_b, to_a, back_a, back_b) for to_b, back_b, to_a, back_a in zip(*ours, *theirs, strict=True)]

    def metrics(self) -> CycleMetrics:
        """Return a fresh accumulator."""
        return CycleMetrics(len(self.spec.bands), len(self.made.bands))

    def thorough_metrics(self) -> FrechetMetrics:
        """Return the same with the FID of either kind."""
        first, second = (color_bands(len(bands), bands)[0] for bands in (self.spec.bands, self.made.bands))
        return FrechetMetrics(self.metrics(), cycle_colors(first, second))

    # -- showing

    def panels(self, sample: Sample, prediction: Any) -> list[Panel]:
        """Return an image of each domain, as one of the other, and back again."""
        a, b = (self.spec.statistics, self.spec.bands), (self.made.statistics, self.made.bands)
        rows = [
            ("A", sample["image"], a), ("A as B", prediction.to_b, b), ("and back", prediction.back_a, a),
            ("B", sample["target"], b), ("B as A", prediction.to_a, a), ("and back", prediction.back_b, b),
        ]  # fmt: skip
        return [Panel(title, to_rgb(np.asarray(image), *meaning)) for title, image, meaning in rows]


def _distance(made: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Return the mean absolute difference of normalised images, that of A and that of B together."""
    return torch.stack([F.l1_loss(one.float(), true) for one, true in zip(made, wanted, strict=True)]).sum()


def _identity(cycled: Cycled, real: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Return the loss of images that are of the wanted domain already, where bands allow it."""
    if cycled.same_a is None or cycled.same_b is None:
        return {}
    return {"identity": IDENTITY_WEIGHT * _distance((cycled.same_a, cycled.same_b), real)}


def _apart(cycled: Cycled) -> list[Cycled]:
    """Return the samples of a batch."""
    parts = (cycled.to_b, cycled.to_a, cycled.back_a, cycled.back_b)
    return [Cycled(*(part[place].float() for part in parts)) for place in range(len(cycled.to_b))]
