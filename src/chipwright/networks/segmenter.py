"""A head on a backbone's coarsest map, its logits enlarged to the image: DeepLabV3, PSPNet, and what they share.

In training an auxiliary head on the map before the coarsest speaks as well, so that gradients reach the backbone's middle
(Zhao et al. 2017, 1612.01105). With PointRend the logits are not only enlarged but drawn anew where classes are in doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.fcn import FCNHead

from chipwright.networks.padding import pad_to_multiple
from chipwright.networks.point_refinement import PointAnswers, PointRefinement
from chipwright.networks.pyramid_pooling import PyramidPooling
from chipwright.networks.unet import UnetDecoder

if TYPE_CHECKING:
    from chipwright.networks.backbones import Backbone

ATROUS_REACHES = (96, 192, 288)
"""How far DeepLabV3's filters look, in pixels: rates 12, 24, 36 at output stride 8, half of that at stride 16 as in the paper
(Chen et al. 2017, 1706.05587)."""

POINT_STRIDE = 4
"""Of the map that PointRend reads, where the backbone has one: the paper's. A U-Net's decoder ends there, too."""

UNSETTLED = 0.005
"""Largest share of logits that rounding may change where PointRend asks the most doubtful places (1 in 7000 was seen)."""

Outputs = dict[str, Tensor | PointAnswers]


class Segmenter(nn.Module):
    """Backbone, head, and where asked for an auxiliary head and PointRend.

    Args:
        backbone: gives maps at ascending strides.
        head: from the backbone's maps to logits over the same ground.
        last: name of the head's last convolution, whose rows are the classes.
        outputs: number of class indices.
        first_class: index of the first named class: 1 where index 0 is the unnamed background.
        auxiliary: whether the map before the coarsest gets a head as well.
        points: whether PointRend refines the logits.
        stride: of the head's logits.

    Input: normalised images (batch, bands, height, width) of any size. Output: logits (batch, outputs, height, width); in
    training with an auxiliary head or points a dictionary of "out" and of "aux" and "points".
    """

    aux_weight = 0.4

    def __init__(
        self,
        backbone: Backbone,
        head: nn.Module,
        last: str,
        outputs: int,
        first_class: int = 1,
        *,
        auxiliary: bool = True,
        points: bool = False,
        stride: int = 8,
        multiple: int = 1,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.last = last
        self.auxiliary = FCNHead(backbone.channels[-2], outputs) if auxiliary else None
        self.points: PointRefinement | None = None
        if points:
            self.fine = next((at for at, have in enumerate(backbone.strides) if have >= POINT_STRIDE), 0)
            self.points = PointRefinement(backbone.channels[self.fine], outputs, stride)
        self.unsettled = UNSETTLED if points else 0.0
        self.first_class = first_class
        self.multiple = multiple

    def forward(self, images: Tensor) -> Tensor | Outputs:
        """Return the logits of every pixel, and in training what else is learnt from."""
        height, width = images.shape[-2:]
        images = pad_to_multiple(images, self.multiple)
        size = images.shape[-2], images.shape[-1]
        maps = self.backbone(images)
        coarse = self.head(maps)
        if self.points is not None and not self.training:
            return self.points(coarse, maps[self.fine], size)[..., :height, :width]
        out = _enlarged(coarse, size)[..., :height, :width]
        if not self.training or (self.auxiliary is None and self.points is None):
            return out
        outputs: Outputs = {"out": out}
        if self.auxiliary is not None:
            outputs["aux"] = _enlarged(self.auxiliary(maps[-2]), size)[..., :height, :width]
        if self.points is not None:
            outputs["points"] = self.points.answers(coarse, maps[self.fine], size, (height, width))
        return outputs

    def class_tensors(self) -> dict[str, tuple[int, int]]:
        """Return the tensors with rows for each class: name -> (rows a class, row of the first named class)."""
        layers = [f"head.{self.last}"]
        if self.auxiliary is not None:
            layers.append(f"auxiliary.{len(self.auxiliary) - 1}")
        if self.points is not None:
            layers.append("points.head.scores")
        return {f"{layer}.{kind}": (1, self.first_class) for layer in layers for kind in ("weight", "bias")}


class AtrousHead(nn.Module):
    """DeepLabV3's: atrous spatial pyramid pooling on the coarsest map, whose stride sets the rates."""

    last = "layers.4"

    def __init__(self, channels: Sequence[int], outputs: int, stride: int = 8) -> None:
        super().__init__()
        self.layers = DeepLabHead(channels[-1], outputs, [max(1, reach // stride) for reach in ATROUS_REACHES])
        for branch in self.layers[0].convs[1:-1]:
            branch[0] = SpreadConvolution(channels[-1], branch[0].out_channels, branch[0].dilation[0])

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return logits over the coarsest map's cells."""
        return self.layers(maps[-1])


class SpreadConvolution(nn.Conv2d):
    """A dilated 3x3 convolution that leaves out the weights that meet nothing but zeros: those beyond the map's sides.

    On the map of a 256 pixel chip at stride 8, 32 x 32, a rate of 36 leaves one weight of nine.
    """

    def __init__(self, inputs: int, outputs: int, rate: int) -> None:
        super().__init__(inputs, outputs, kernel_size=3, padding=rate, dilation=rate, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution of (batch, channels, height, width), of the same size."""
        if torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export():  # sizes are open there
            return super().forward(input)
        rate = int(self.dilation[0])
        down, across = (slice(None) if side > rate else slice(1, 2) for side in input.shape[-2:])
        weight = self.weight[:, :, down, across]
        padding = [rate * (side // 2) for side in weight.shape[-2:]]
        return F.conv2d(input, weight, padding=padding, dilation=self.dilation)


class PyramidHead(nn.Module):
    """PSPNet's: pyramid pooling on the coarsest map, then the classes."""

    last = "classes"

    def __init__(self, channels: Sequence[int], outputs: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.pooling = PyramidPooling(channels[-1], sizes)
        self.classes = nn.Conv2d(self.pooling.out_channels, outputs, kernel_size=1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return logits over the coarsest map's cells."""
        return self.classes(self.pooling(maps[-1]))


class PyramidUnetHead(nn.Module):
    """Pyramid pooling at the bottleneck of a U-Net: on the coarsest map, which the decoder then joins with the finer ones.

    `finest` is the stride of the logits: 1 for those of every pixel.
    """

    last = "classes"

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], outputs: int, sizes: Sequence[int], finest: int = 1
    ) -> None:
        super().__init__()
        self.pooling = PyramidPooling(channels[-1], sizes)
        self.decoder = UnetDecoder([*channels[:-1], self.pooling.out_channels], strides, finest)
        self.classes = nn.Conv2d(self.decoder.out_channels, outputs, kernel_size=3, padding=1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return logits at the finest stride."""
        return self.classes(self.decoder([*maps[:-1], self.pooling(maps[-1])]))


def _enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
