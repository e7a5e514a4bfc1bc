"""What every detector shares: torchvision's contract, and losses of a network that is being measured rather than trained.

A detector is called as torchvision's are. In training mode `network(images, targets)` returns named losses; otherwise
`network(images)` returns one dict an image: `boxes` (count, 4) as xmin, ymin, xmax, ymax in pixels, `labels` (count,) from 1,
`scores` (count,) in falling order, and `masks` where the network makes them. `images` is a list of normalised float32
(bands, height, width), sizes may differ; a target holds `boxes` and `labels`, of no rows where an image has no object.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torchvision.models.detection._utils import _topk_min
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import batched_nms

Target = dict[str, Tensor]
Detection = dict[str, Tensor]
Losses = dict[str, Tensor]


class ExactAnchors(AnchorGenerator):
    """torchvision's anchors, float32 whatever the maps are: in bfloat16 no coordinate above 256 px is exact."""

    def set_cell_anchors(self, dtype: torch.dtype, device: torch.device) -> None:
        """Move the anchors to the device, in float32."""
        super().set_cell_anchors(torch.float32, device)


@contextmanager
def loss_branch(network: nn.Module) -> Iterator[None]:
    """Let a network in evaluation mode compute losses: its `training` flags are up within, and put back after.

    The flags of the backbone, of normalisation and of everything that drops at random stay down, so that the losses are those
    of the network as it predicts, and no statistics move.
    """
    backbone = getattr(network, "backbone", None)
    still = {id(module) for module in backbone.modules()} if isinstance(backbone, nn.Module) else set[int]()
    changed = [
        module
        for module in network.modules()
        if not module.training and id(module) not in still and not _changes_when_training(module)
    ]
    for module in changed:
        module.training = True
    try:
        yield
    finally:
        for module in changed:
            module.training = False


def _changes_when_training(module: nn.Module) -> bool:
    """Say whether a module computes something else in training mode: batch statistics, or chance.

    Stochastic depth and block dropout come under many names (timm's DropPath, torchvision's StochasticDepth), hence by name.
    """
    if isinstance(module, _NormBase | _DropoutNd | nn.MultiheadAttention):
        return True
    name = type(module).__name__.lower()
    return "drop" in name or "stochastic" in name


def losses_and_detections(
    network: nn.Module, images: Sequence[Tensor], targets: Sequence[Target]
) -> tuple[Losses, list[Detection]]:
    """Return the losses and the detections of a network in evaluation mode.

    A network that can do both from one look at the images has a method of this function's name; others are run twice.
    """
    together = getattr(network, "losses_and_detections", None)
    if together is not None:
        return together(images, targets)
    with loss_branch(network):
        losses = network(images, targets)
    return losses, network(images)


def best_scores(logits: Tensor, threshold: float, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return anchors, labels from 1 and scores of the `most` best of logits (anchors, classes) that score above `threshold`."""
    scores = logits.sigmoid().flatten()
    places = torch.where(scores > threshold)[0]
    scores, order = scores[places].topk(_topk_min(places, most, 0))
    places = places[order]
    classes = logits.shape[-1]
    return torch.div(places, classes, rounding_mode="floor"), places % classes + 1, scores


def suppressed(boxes: Tensor, labels: Tensor, scores: Tensor, threshold: float, most: int) -> Detection:
    """Return the `most` best boxes, without those that a better one of their class overlaps by more than IoU `threshold`."""
    kept = batched_nms(boxes, scores, labels, threshold)[:most]
    return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}


def padded_batch(images: Sequence[Tensor], multiple: int = 32, smallest: int = 64) -> ImageList:
    """Return images as one batch, padded at the right and below with 0, the mean of normalised images.

    Sides become a multiple of `multiple`, as torchvision's, and at least `smallest`: batch normalisation of a single image
    needs more than one cell in the coarsest map.
    """
    sizes = [(image.shape[-2], image.shape[-1]) for image in images]
    height, width = (max(_rounded_up(max(side), multiple), smallest) for side in zip(*sizes, strict=True))
    if len(images) == 1:  # traced by the ONNX exporter
        (h, w) = sizes[0]
        return ImageList(F.pad(images[0], (0, width - w, 0, height - h))[None], sizes)
    batch = images[0].new_zeros((len(images), images[0].shape[0], height, width))
    for place, image in zip(batch, images, strict=True):
        place[:, : image.shape[-2], : image.shape[-1]].copy_(image)
    return ImageList(batch, sizes)


def _rounded_up(side: int, multiple: int) -> int:
    return (side + multiple - 1) // multiple * multiple
