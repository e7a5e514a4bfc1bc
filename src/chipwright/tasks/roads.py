"""Road extraction: where roads are, and which way they run."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chipwright.chips.augmentation.pixels import Array
from chipwright.chips.chipset import IGNORE, Chip
from chipwright.chips.display import Panel, to_rgb
from chipwright.networks.linknet import RoadOutputs
from chipwright.networks.losses import cross_entropy, soft_iou
from chipwright.roads.graph import RoadGraph, measured_graph
from chipwright.roads.lines import simplified
from chipwright.roads.orientation import orientation_classes, orientation_target, widened
from chipwright.spec import ModelSpec
from chipwright.tasks.base import Batch, Networks, Phase, Reader, Sample
from chipwright.tasks.binary import error_panel
from chipwright.tasks.pixels import PixelTask
from chipwright.tasks.road_corruption import corrupted
from chipwright.tasks.road_metrics import RoadMetrics

OWN_SHARE = 0.5
"""Share of the training samples in which the refiner mends the network's own answer instead of a spoilt truth."""

_LINE_COLOR, _NODE_COLOR = (255, 214, 10), (230, 60, 60)


@dataclass(frozen=True)
class RoadMap:
    """A prediction, on the CPU.

    Attributes:
        mask: uint8 (height, width), 1 where there is road.
        directions: uint8 or int16 (height, width), classes of direction (see `chipwright.roads.orientation`), the last one
            where there is none.
    """

    mask: Tensor
    directions: Tensor


class RoadTask(PixelTask):
    """Trains, applies and measures road networks (`chipwright.networks.roads.RoadNetwork`).

    Reads from `ModelSpec.arguments`: gaussian_thresh, orient_bin_size, orient_theta, road_loss, refinement, and the network's
    scales: mtl_model, hourglass_stacks.

    A sample is that of pixel classification with "orientation1" (height, width), int16 classes of direction, for the hourglass
    also "orientation2" and "orientation4" at half and quarter size; and in training, with refinement, "draft": int8
    (height, width), a road mask with faults, or -1 where the network's own is to be mended. Directions are made of the
    mask after it was moved.
    """

    higher_is_better = frozenset({"accuracy", "miou", "dice", "iou", "relaxed_iou", "apls"})
    default_learning_rate = 3e-3  # measured on `roads_epfl`: 1e-3 needs twice the steps, 1e-2 is no faster

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        arguments = spec.arguments
        self.threshold = float(arguments["gaussian_thresh"])
        self.bin_size, self.theta = int(arguments["orient_bin_size"]), float(arguments["orient_theta"])
        self.refines = int(arguments.get("refinement", 0)) > 0
        self.road_loss = str(arguments.get("road_loss", "cross_entropy"))
        self.strides = (1,) if arguments["mtl_model"] == "linknet" else (4, 2, 1)

    # -- samples

    def draw(self, unit: Chip, reader: Reader, rng: np.random.Generator, augment: bool) -> Sample:
        """Return the chip's image, road mask and directions, cropped to the chip size and changed at random if `augment`."""
        sample = super().draw(unit, reader, rng, augment)
        mask: Array = sample["mask"]
        known, roads = mask >= 0, widened(mask == 1, self.threshold)
        sample["mask"] = np.where(known, roads, np.int16(IGNORE)).astype(np.int16)
        for stride in self.strides:
            target = orientation_target(roads, self.bin_size, self.theta, stride)
            target[~known[::stride, ::stride]] = IGNORE
            sample[f"orientation{stride}"] = target
        if augment and self.refines:
            spoilt = corrupted(roads & known, rng)
            sample["draft"] = np.full(roads.shape, -1, np.int8) if rng.random() < OWN_SHARE else spoilt.astype(np.int8)
        return sample

    # -- learning

    def losses(self, networks: Networks, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        """Return the losses of roads, directions and refinement; those of all scales are added up, as in the paper."""
        outputs, refined = networks["network"](batch["image"], batch.get("draft"))
        return self._losses(outputs, refined, batch, networks["network"])

    def _losses(  # type: ignore[override]
        self, outputs: RoadOutputs, refined: Sequence[Tensor], batch: Batch, network: nn.Module
    ) -> dict[str, Tensor]:
        mask = batch["mask"].long()
        bare: Any = getattr(network, "module", network)  # where it is wrapped for several processes
        scales: tuple[int, ...] = bare.scales
        roads = [self._road_loss(logits, mask[:, ::step, ::step]) for logits, step in zip(outputs.roads, scales, strict=True)]
        directions = [
            cross_entropy(logits, batch[f"orientation{step}"].long(), ignored=IGNORE)
            for logits, step in zip(outputs.orientations, scales, strict=True)
        ]
        losses = {"roads": torch.stack(roads).sum(), "directions": torch.stack(directions).sum()}
        if refined:
            losses["refinement"] = torch.stack([self._road_loss(logits, mask) for logits in refined]).mean()
        return losses

    def _road_loss(self, logits: Tensor, mask: Tensor) -> Tensor:
        if self.road_loss == "soft_iou":
            return 1 + soft_iou(logits, mask, IGNORE)  # 0 where all is right: the gradient is the paper's
        return cross_entropy(logits, mask, ignored=IGNORE)

    # -- measuring

    def validate(self, network: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Sequence[Any]]:
        """Return the losses as in training, and the predictions."""
        outputs, refined = network.everything(batch["image"])  # type: ignore[operator]
        return self._losses(outputs, refined, batch, network), self._maps(outputs, refined)

    def predict(self, network: nn.Module, batch: Batch) -> Sequence[Any]:
        """Return a `RoadMap` of every sample; images may differ in size."""
        images = batch["image"]
        groups = [image[None] for image in images] if isinstance(images, list) else [images]
        return [found for group in groups for found in self._maps(*network.everything(group))]  # type: ignore[operator]

    def _maps(self, outputs: RoadOutputs, refined: Sequence[Tensor]) -> list[RoadMap]:
        masks = self.decide(refined[-1] if refined else outputs.roads[-1])
        small = torch.uint8 if orientation_classes(self.bin_size) <= 256 else torch.int16
        directions = outputs.orientations[-1].argmax(1).to(small).cpu()
        return [RoadMap(mask, own) for mask, own in zip(masks, directions, strict=True)]

    def class_values(self, prediction: Any) -> NDArray[np.int64]:
        """Return the roads of a `RoadMap`, or of a map of class indices, as class values, as label rasters have them."""
        return super().class_values(getattr(prediction, "mask", prediction))

    def metrics(self) -> RoadMetrics:
        """Return a fresh accumulator."""
        return RoadMapMetrics(self.classes)

    # -- showing

    def panels(self, sample: Sample, prediction: Any) -> list[Panel]:
        """Return the image, which roads were found, missed and false, the directions as hues, and the roads as lines."""
        image = to_rgb(np.asarray(sample["image"]), self.spec.statistics, self.spec.bands)
        truth, found = np.asarray(sample["mask"], np.int16), prediction.mask.numpy() == 1
        count = orientation_classes(self.bin_size)
        directions = prediction.directions.numpy().astype(np.int16)
        directions[directions == count - 1] = IGNORE
        graph = measured_graph(found)
        roads = "road" if len(graph.edges) == 1 else "roads"
        return [
            Panel("Image", image),
            error_panel("Roads", image, truth, found),
            Panel("Direction", image, classes=directions, palette=hues(count - 1), text="each hue a direction, 0° to 360°"),
            Panel("Lines", with_lines(image, graph), text=f"{len(graph.edges)} {roads} from junction to junction"),
        ]


class RoadMapMetrics(RoadMetrics):
    """`RoadMetrics` of `RoadMap` predictions."""

    def update(self, predictions: Sequence[Any], batch: Batch) -> None:
        """Take in one batch."""
        super().update([prediction.mask for prediction in predictions], batch)


def hues(count: int) -> tuple[tuple[int, int, int], ...]:
    """Return as many colours, once around the circle."""
    found = (colorsys.hsv_to_rgb(index / count, 0.85, 1.0) for index in range(count))
    return tuple((round(255 * red), round(255 * green), round(255 * blue)) for red, green, blue in found)


def with_lines(image: NDArray[np.uint8], graph: RoadGraph) -> NDArray[np.uint8]:
    """Return the picture (height, width, 3) with a graph's roads and nodes drawn over it."""
    from PIL import Image, ImageDraw

    picture = Image.fromarray(np.ascontiguousarray(image))
    draw = ImageDraw.Draw(picture)
    for edge in graph.edges:
        draw.line([tuple(point) for point in simplified(edge.points, 1.0).tolist()], fill=_LINE_COLOR, width=2)
    for node in {node for edge in graph.edges for node in (edge.start, edge.end)}:
        x, y = graph.nodes[node].tolist()
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=_NODE_COLOR)
    return np.array(picture)
