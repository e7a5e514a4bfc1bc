"""Edge detection: a probability of edge for every pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from chipwright.chips.chipset import IGNORE
from chipwright.chips.display import Panel, to_rgb
from chipwright.networks.edges import balanced_cross_entropy
from chipwright.spec import ModelSpec
from chipwright.tasks.base import Batch, Evaluation, Metrics, Networks, Phase, Sample
from chipwright.tasks.binary import ERROR_COLORS, ERROR_NAMES, BinaryMetrics
from chipwright.tasks.edge_metrics import (
    TOLERANCE,
    EdgeCounts,
    count_edges,
    edge_figures,
    one_wide,
    thinned,
)
from chipwright.tasks.pixel_classes import PixelClasses
from chipwright.tasks.pixels import PixelTask


class EdgeTask(PixelTask):
    """Trains, applies and measures edge detectors.

    Reads from `ModelSpec.fitted`: side_weight, fuse_weight and negative (see `balanced_cross_entropy`).

    A sample is that of any pixel classification. A prediction is a map of probabilities (height, width), float32, on the CPU.
    """

    higher_is_better = frozenset({"accuracy", "precision", "recall", "f1_score", "iou", "ods", "ois", "edge_average_precision"})
    score_threshold = 0.5
    default_learning_rate = 1e-3

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        fitted = spec.fitted
        self.side_weight, self.fuse_weight = float(fitted["side_weight"]), float(fitted["fuse_weight"])
        self.negative = float(fitted["negative"])

    def losses(self, networks: Networks, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        """Return the balanced cross-entropy of the sides together, and of the fused map."""
        *sides, fused = networks["network"](batch["image"])
        target = batch["mask"]
        total = torch.stack([self._loss(side, target) for side in sides]).sum()
        return {"sides": self.side_weight * total, "fused": self.fuse_weight * self._loss(fused, target)}

    def _loss(self, logits: Tensor, target: Tensor) -> Tensor:
        # a mean over pixels where the papers take sums: it makes losses of chips of any size comparable, and AdamW's steps
        # do not depend on it
        return (balanced_cross_entropy(logits, target, self.negative) / target[0].numel()).mean()

    def validate(self, network: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Sequence[Tensor]]:
        """Return the loss of the fused map, and the probabilities."""
        logits = network(batch["image"])
        return {"fused": self.fuse_weight * self._loss(logits, batch["mask"])}, self.decide(logits)

    def decide(self, logits: Tensor) -> list[Tensor]:
        """Return the probability of edge of every pixel as one (height, width) map a sample."""
        return list(logits[:, 0].float().sigmoid().cpu())

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probability of edge, not thinned, (batch, 1, height, width)."""
        return logits[:, :1].float().sigmoid()

    @property
    def probability_names(self) -> tuple[str, ...]:
        """Name of the class of edges."""
        return self.classes.names[-1:]

    def host_facts(self) -> dict[str, Any]:
        """Return the least probability of an edge."""
        return super().host_facts() | {"decision": "edges", "threshold": self.score_threshold}

    def class_values(self, prediction: Tensor) -> NDArray[np.int64]:
        """Return a predicted map as class values: thin edges of the score asked for, background elsewhere."""
        return np.asarray(self.classes.values)[self.edges(prediction).astype(np.intp)]

    def edges(self, prediction: Tensor) -> NDArray[np.bool_]:
        """Return the thinned edges of a predicted map."""
        assert self.score_threshold is not None
        return thinned(np.asarray(prediction, np.float32)) >= self.score_threshold

    def metrics(self) -> EdgeMetrics:  # type: ignore[override]  # of probabilities, not of class maps
        """Return a fresh accumulator."""
        return EdgeMetrics(self.classes)

    def panels(self, sample: Sample, prediction: Tensor) -> list[Panel]:
        """Return the image, the probabilities, and which edges were found, missed and false within the tolerance."""
        image = to_rgb(np.asarray(sample["image"]), self.spec.statistics, self.spec.bands)
        truth, probabilities = np.asarray(sample["mask"], np.int16), np.asarray(prediction, np.float32)
        grey = np.repeat((255 * (1 - probabilities)).astype(np.uint8)[..., None], 3, 2)
        true, found = one_wide(truth == 1), self.edges(prediction) & (truth >= 0)
        reach = TOLERANCE * np.hypot(*truth.shape)
        errors = np.full(truth.shape, IGNORE, np.int16)
        errors[true & ~_within(found, reach)] = 1
        errors[found] = np.where(_within(true, reach)[found], 0, 2)
        shown = np.where(truth == 1, 1, IGNORE).astype(np.int16)
        return [
            Panel("Image", image),
            Panel("Truth", image, classes=shown, palette=self.classes.colors),
            Panel("Probability", grey),
            Panel("Edges", image, classes=errors, palette=ERROR_COLORS, text=ERROR_NAMES),
        ]


class EdgeMetrics(Metrics):
    """ODS, OIS and average precision with a tolerance in place, and the figures of pixels at probability 0.5."""

    def __init__(self, classes: PixelClasses) -> None:
        self.pixels = BinaryMetrics(classes)
        self.counts: list[EdgeCounts] = []

    def update(self, predictions: Sequence[Tensor], batch: Batch) -> None:
        """Count one batch's edges."""
        self.pixels.update([(one >= 0.5).to(torch.uint8) for one in predictions], batch)
        for probabilities, truth in zip(predictions, batch["mask"], strict=True):
            self.counts.append(count_edges(probabilities.numpy(), truth.cpu().numpy()))

    def merge(self, other: Metrics) -> None:
        """Take in another process's counts."""
        assert isinstance(other, EdgeMetrics)
        self.pixels.merge(other.pixels)
        self.counts += other.counts

    def compute(self) -> Evaluation:
        """Return the figures and the precision-recall curve."""
        pixels, figures = self.pixels.compute(), edge_figures(self.counts)
        plain = {name: value for name, value in pixels.scalars.items() if name != "f1"}
        scalars: dict[str, float] = {
            "ods": figures.ods,
            "ois": figures.ois,
            "edge_average_precision": figures.average_precision,
            "best_threshold": figures.threshold,
            "f1_score": pixels.scalars["f1"],
            **plain,
        }
        order = np.argsort(figures.recall, kind="stable")
        curve: dict[str, Any] = {
            "x": figures.recall[order].tolist(),
            "y": figures.precision[order].tolist(),
            "x_label": "recall",
            "y_label": "precision",
        }
        notes = [
            f"ODS, OIS and average precision take an edge for right within {TOLERANCE:.2%} of the image's diagonal; the other "
            "figures are of pixels at probability 0.5."
        ]
        return Evaluation(scalars, pixels.per_class, pixels.confusion, {"Edges: precision and recall": curve}, notes)


def _within(pixels: NDArray[np.bool_], reach: float) -> NDArray[np.bool_]:
    """Return which pixels lie within reach of the given ones."""
    return np.asarray(ndimage.distance_transform_edt(~pixels) <= reach) if pixels.any() else np.zeros_like(pixels)
