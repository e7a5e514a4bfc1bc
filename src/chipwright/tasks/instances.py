"""Instance segmentation: objects with their outlines, each on its own though they overlap.

Samples and batches hold the objects as layers of numbers, which take the room of the image however many there are; masks are
made of them for one batch at a time, as bits of one byte. Predictions hold the masks as they lie in the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chipwright.chips.augmentation.scene import Scene
from chipwright.chips.chipset import Chip
from chipwright.chips.instances import joined
from chipwright.networks.masks import LEVEL, pasted, separated
from chipwright.tasks.base import Batch, Reader, Sample
from chipwright.tasks.detection import DetectionTask, Prediction
from chipwright.tasks.instance_metrics import InstanceMetrics, mask_overlaps, run_lengths


class InstanceTask(DetectionTask):
    """Training and applying a detector that makes masks.

    Samples hold `image`, `boxes` (count, 4), `labels` (count,) and `instances` int32 (layers, height, width): the number of the
    object that a pixel belongs to, from 1 in the order of the boxes. A prediction has `masks` as well, bool (count, height,
    width). The network is given and gives masks as `chipwright.networks.maskrcnn.MaskRCNN` says.
    """

    augmentation = "instances"
    listed_keys = DetectionTask.listed_keys | {"instances"}
    higher_is_better = DetectionTask.higher_is_better | {"box_average_precision", "box_coco_ap"}

    # -- samples

    def scene(self, image: NDArray[Any], chip: Chip, reader: Reader) -> Scene:
        """Return a chip's image with its objects. Those of values that are no class of the model are left out."""
        masks = reader.instances(chip)
        known = [(label, masks[info.value]) for label, info in enumerate(self.spec.classes, 1) if info.value in masks]
        labels = np.repeat([label for label, _ in known], [int(mask.max(initial=0)) for _, mask in known]).astype(np.int64)
        instances = joined([mask for _, mask in known]) if known else np.zeros((1, *image.shape[1:]), np.int32)
        return Scene([image], instances=instances, box_labels=labels)

    # -- learning and measuring

    def targets(self, batch: Batch) -> list[dict[str, Tensor]]:
        """Return boxes, labels and masks of each image."""
        targets = super().targets(batch)
        layers = batch["instances"]
        return [one | {"masks": separated(own, len(one["labels"]))} for one, own in zip(targets, layers, strict=True)]

    def finished(self, detections: Sequence[dict[str, Tensor]], batch: Batch) -> list[Prediction]:
        """Return a network's detections as predictions, on the CPU, with masks of the images' size."""
        sizes = [tuple(image.shape[-2:]) for image in batch["image"]]
        found = super().finished(detections, batch)
        return [one | {"masks": pasted(one["masks"], one["boxes"], size)} for one, size in zip(found, sizes, strict=True)]

    def host_facts(self) -> dict[str, Any]:
        """Return the probability from which on a pixel belongs to an object, too."""
        return super().host_facts() | {"function": "ChipwrightInstanceDetector", "mask_level": LEVEL}

    def metrics(self) -> InstanceMetrics:
        """Return a fresh accumulator."""
        return InstanceMetrics(self.spec.classes, self.max_detections)

    # -- showing

    def shown_truth(self, sample: Sample) -> dict[str, NDArray[Any]]:
        """Return a sample's objects as a prediction has them, as arrays and without scores."""
        truth = super().shown_truth(sample)
        instances = torch.as_tensor(np.asarray(sample["instances"]))
        return truth | {"masks": separated(instances, len(truth["labels"])).numpy()}

    def overlaps(self, found: dict[str, NDArray[Any]], truth: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Return the IoU of the masks of everything found and everything true, (found, true)."""
        return mask_overlaps(*([run_lengths(mask) for mask in part["masks"]] for part in (found, truth)))

    def drawn(self, objects: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """Return what a `Panel` shows of objects: their outlines."""
        return {"masks": objects["masks"], "mask_colors": self.colors(objects["labels"])}
