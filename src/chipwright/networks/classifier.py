"""A backbone and a small head that says what a whole image shows.

    network = ImageClassifier(create_backbone("RESNET34", bands=4), classes=7)
    logits = network(images)                    # (batch, 7) for images of any size

The head is the one of fastai's `cnn_learner`, which the reference trains: mean and maximum of the deepest map side by side,
then two linear layers with batch normalisation and dropout before each. It learns well with a frozen backbone and few chips.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from chipwright.networks.backbones import Backbone

_HIDDEN = 512
_DROPOUT = (0.25, 0.5)


class ImageClassifier(nn.Module):
    """Logits (batch, classes) of normalised images (batch, bands, height, width).

    Args:
        backbone: its deepest map is pooled.
        classes: number of logits.
    """

    def __init__(self, backbone: Backbone, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        width = 2 * backbone.channels[-1]
        self.head = nn.Sequential(
            _Norm(width),
            nn.Dropout(_DROPOUT[0]),
            nn.Linear(width, _HIDDEN),
            nn.ReLU(),
            _Norm(_HIDDEN),
            nn.Dropout(_DROPOUT[1]),
        )
        self.classify = nn.Linear(_HIDDEN, classes)
        # near zero, so that the first loss is that of guessing and the rate matters little: over rates from 1e-4 to 6e-2
        # frozen features reach the same accuracy, where larger first logits take epochs to unlearn
        nn.init.normal_(self.classify.weight, std=0.01)
        nn.init.zeros_(self.classify.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        deepest = self.backbone(images)[-1]
        pooled = torch.cat([deepest.mean((2, 3)), deepest.amax((2, 3))], dim=1)
        return self.classify(self.head(pooled))

    def class_tensors(self) -> dict[str, tuple[int, int]]:
        """Return the tensors with rows for classes: name -> (rows a class, row of the first class)."""
        return {"classify.weight": (1, 0), "classify.bias": (1, 0)}


class _Norm(nn.BatchNorm1d):
    """Batch normalisation that takes its running statistics for a training batch of one, which has none of its own."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training and len(input) == 1:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(input)
