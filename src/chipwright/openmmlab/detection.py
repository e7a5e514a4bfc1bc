"""MMDetection's detectors under the contract of `chipwright.networks.detection`: losses in training, boxes otherwise.

A detector computes its own losses and chooses its own boxes; here only images, targets and boxes change their form. Importing
this module imports torch and the OpenMMLab packages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from chipwright.errors import OptionError
from chipwright.networks.detection import Detection, Losses, Target, padded_batch
from chipwright.networks.pretrained import mark_backbone
from chipwright.openmmlab.building import build_network, quiet
from chipwright.openmmlab.descriptions import Description
from chipwright.openmmlab.dynamic import keep_gathered

_CLASS_LAYERS = ("fc_cls", "conv_cls", "retina_cls", "atss_cls", "vfnet_cls", "reppoints_cls_out")
"""Names of the layers whose rows are the classes; in those of the second stage the background comes after them."""

_SMALLEST, _SMALLEST_MIRRORED = 64, 96
"""Least sides in pixels that images are padded to: DetectoRS mirrors two cells of its coarsest map, which takes three."""

_MAPS = ("backbone", "neck")
"""Parts that make maps; the others compute boxes and losses of them."""


class Detector(nn.Module):
    """A detector of MMDetection.

    See `chipwright.networks.detection` for how it is called. Under autocast the convolutions run in reduced precision; what
    heads make of them (box arithmetic, scores, losses) is float32.

    Args:
        description: of the network (see `descriptions.adapted` and `descriptions.for_boxes`).
        bands: of the images.
        classes: counted without a background.
        pretrained: see `building.build_network`.

    Attributes:
        model: MMDetection's network.

    Raises:
        OptionError: if the network is no detector that learns from boxes.
    """

    def __init__(self, description: Description, bands: int, classes: int, *, pretrained: bool = False) -> None:
        super().__init__()
        self.model: Any = build_network("mmdet", description, bands, pretrained=pretrained)
        _require_boxes(self.model)
        keep_gathered(self.model)
        self.classes = classes
        mirrored = any(type(layer).__name__ == "SAConv2d" for layer in self.model.modules())
        self.smallest = _SMALLEST_MIRRORED if mirrored else _SMALLEST
        mark_backbone(self.model.backbone)
        for name, part in self.model.named_children():
            if name not in _MAPS:
                _give_float32(part)

    @property
    def backbone(self) -> nn.Module:
        """The network's backbone, whose statistics stay as they are while losses are measured."""
        found: nn.Module = self.model.backbone
        return found

    def forward(self, images: Sequence[Tensor], targets: Sequence[Target] | None = None) -> Any:
        """Return losses in training mode, one dict of boxes, labels and scores an image otherwise."""
        batch = padded_batch(images, smallest=self.smallest)
        with quiet():
            if self.training:
                with nullcontext() if torch.is_grad_enabled() else _unmoved(self.model):
                    return _counted(self.model.loss(batch.tensors, _samples(batch, targets or ())))
            found = self.model.predict(batch.tensors, _samples(batch), rescale=False)
        return [_detection(sample.pred_instances) for sample in found]

    def class_tensors(self) -> dict[str, tuple[int, ...]]:
        """Return the tensors with rows for classes: name -> (rows a class, first row, repeats, rows after the last class)."""
        rows: dict[str, tuple[int, ...]] = {}
        for name, tensor in self.named_parameters():
            layer = name.split(".")[-2]
            count = len(tensor) if tensor.ndim else 1
            if "rpn_head" in name:
                continue
            if layer in _CLASS_LAYERS:
                background = 1 if layer == "fc_cls" and count == self.classes + 1 else 0
                rows[name] = (1, 0, (count - background) // self.classes, background)
            elif layer == "fc_reg" and count == 4 * self.classes:
                rows[name] = (4, 0, 1, 0)
        return rows


def _samples(batch: ImageList, targets: Sequence[Target] | None = None) -> list[Any]:
    """Return what MMDetection is told of each image: its sizes, and in training its boxes with labels from 0."""
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    padded = tuple(batch.tensors.shape[-2:])
    samples = []
    for place, size in enumerate(batch.image_sizes):
        sizes = {"img_shape": size, "ori_shape": size, "pad_shape": padded, "batch_input_shape": padded}
        sample = DetDataSample(metainfo=sizes | {"scale_factor": (1.0, 1.0)})
        if targets is not None:
            target = targets[place]
            sample.gt_instances = InstanceData(bboxes=target["boxes"], labels=target["labels"] - 1)
        samples.append(sample)
    return samples


@contextmanager
def _unmoved(model: Any) -> Iterator[None]:
    """Leave what heads gather while they compute losses as it was: losses that are only measured must change no training.

    GHM's loss keeps a running histogram, Dynamic R-CNN's head the overlaps and errors of its last steps.
    """
    heads = [part for name, part in model.named_children() if name not in _MAPS]
    buffers = [(buffer, buffer.clone()) for head in heads for buffer in head.buffers()]
    dynamic = [(head, head.iou_history, head.beta_history) for head in heads if hasattr(head, "iou_history")]
    for head, *_ in dynamic:
        head.iou_history, head.beta_history = [], []
    try:
        yield
    finally:
        for buffer, before in buffers:
            buffer.copy_(before)
        for head, overlaps, errors in dynamic:
            head.iou_history, head.beta_history = overlaps, errors


def _counted(losses: dict[str, Any]) -> Losses:
    """Return the losses that are stepped, each one number: what is measured beside them has no "loss" in its name."""
    counted: Losses = {}
    for name, value in losses.items():
        if "loss" in name:
            parts = value if isinstance(value, (list, tuple)) else [value]
            total = parts[0].mean()
            for part in parts[1:]:
                total = total + part.mean()
            counted[name.replace(".", "_")] = total
    return counted


def _detection(found: Any) -> Detection:
    scores, order = found.scores.float().sort(descending=True, stable=True)
    return {"boxes": found.bboxes[order].float(), "labels": found.labels[order] + 1, "scores": scores}


def _give_float32(head: nn.Module) -> None:
    """Let a head's layers give float32 under autocast, too: targets are written among their outputs, and boxes decoded."""
    for layer in head.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(_widened)


def _widened(layer: nn.Module, given: Any, output: Tensor) -> Tensor:
    return output.float() if output.dtype in (torch.float16, torch.bfloat16) else output


def _require_boxes(model: Any) -> None:
    from mmdet.models.detectors.base import BaseDetector

    if not isinstance(model, BaseDetector) or not model.with_bbox or not hasattr(model, "backbone"):
        raise OptionError(
            f"The config describes a {type(model).__name__}, but MMDETECTION takes detectors with a backbone that learn from "
            "boxes. Choose one of the names, or another config."
        )
