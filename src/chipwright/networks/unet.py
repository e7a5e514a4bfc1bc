"""U-Net: an encoder's maps joined from the deepest to the finest (Ronneberger et al. 2015, arXiv:1505.04597).

    network = Unet(create_backbone("RESNET34", bands=3), outputs=6)
    logits = network(images)                    # (batch, 6, height, width) for images of any size

The decoder is the usual one over a pretrained encoder: nearest-neighbour enlargement, the encoder's map of that size beside
it, two 3x3 convolutions with batch normalisation. With the same weights it gives what segmentation_models_pytorch's gives,
in less time on a CPU (see `_convolve_enlarged`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.networks.padding import pad_to_multiple

if TYPE_CHECKING:
    from chipwright.networks.backbones import Backbone

_MOST_CHANNELS_MERGED = 128
"""Enlarging and convolving in one step pays where maps are large, that is where channels are few: with 64 it took a third to
two thirds of the time, with 256 and bfloat16 more than the plain way."""


class UnetDecoder(nn.Module):
    """Joins an encoder's maps into one of the input's size.

    Every step goes to the next finer map, or to twice the size where the encoder has no map of it (encoders that begin at
    stride 4 or 2), until `finest`. Its width falls with the stride: 256 channels at stride 16, then 128, 64, 32 and 16.

    Args:
        channels: channels of the encoder's maps, finest first.
        strides: their strides in input pixels, ascending; neighbours may be equal (dilated encoders).
        finest: stride of the result; finer maps of the encoder are left aside.
        block: makes one step's module from (channels in, of the skip or 0, out, enlargement), to be called as `UnetBlock`.

    Attributes:
        out_channels: channels of the result.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        finest: int = 1,
        block: Callable[[int, int, int, int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        block = block or UnetBlock
        inputs, stride = channels[-1], strides[-1]
        skips = [skip for skip in zip(channels[:-1], strides[:-1], strict=True) if skip[1] >= finest]
        blocks: list[nn.Module] = []
        skip_channels: list[int] = []
        while skips or stride > finest:
            if skips and skips[-1][1] >= stride // 2:
                skip, target = skips.pop()
            else:
                skip, target = 0, stride // 2
            width = min(max(16 * target, 16), 256)
            blocks.append(block(inputs, skip, width, stride // target))
            skip_channels.append(skip)
            inputs, stride = width, target
        self.blocks = nn.ModuleList(blocks)
        self.skip_channels = tuple(skip_channels)
        self.out_channels = inputs
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, mode="fan_in", nonlinearity="relu")

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return (batch, out_channels, height, width) from the encoder's maps, finest first.

        At stride 1 the size is that of the encoder's input if its sides are multiples of the coarsest stride.
        """
        result, skips = maps[-1], list(maps[:-1])
        for block, skip_channels in zip(self.blocks, self.skip_channels, strict=True):
            result = block(result, skips.pop() if skip_channels else None)
        return result


class Unet(nn.Module):
    """U-Net over any backbone.

    Args:
        backbone: gives maps at ascending strides.
        outputs: number of class indices.
        first_class: index of the first named class: 1 where index 0 is the unnamed background.

    Input: normalised images (batch, bands, height, width) of any size. Output: logits (batch, outputs, height, width).
    """

    def __init__(self, backbone: Backbone, outputs: int, first_class: int = 1) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = UnetDecoder(backbone.channels, backbone.strides)
        self.head = nn.Conv2d(self.decoder.out_channels, outputs, kernel_size=3, padding=1)
        self.first_class = first_class
        self.multiple = max(backbone.strides)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]  # the head has a bias

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of every pixel."""
        height, width = images.shape[-2:]
        logits = self.head(self.decoder(self.backbone(pad_to_multiple(images, self.multiple))))
        return logits[..., :height, :width]

    def class_tensors(self) -> dict[str, tuple[int, int]]:
        """Return the tensors with rows for each class: name -> (rows a class, row of the first named class)."""
        return {"head.weight": (1, self.first_class), "head.bias": (1, self.first_class)}


class UnetBlock(nn.Module):
    """Enlarge, put the encoder's map beside it, and convolve twice."""

    def __init__(self, inputs: int, skip_channels: int, outputs: int, enlargement: int) -> None:
        super().__init__()
        self.skip_channels = skip_channels
        self.enlargement = enlargement
        self.convolution1 = nn.Conv2d(inputs + skip_channels, outputs, kernel_size=3, padding=1, bias=False)
        self.normalisation1 = nn.BatchNorm2d(outputs)
        self.convolution2 = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False)
        self.normalisation2 = nn.BatchNorm2d(outputs)

    def forward(self, coarse: Tensor, skip: Tensor | None) -> Tensor:
        if self._merges(coarse, skip):
            joined = _convolve_enlarged(coarse, skip, self.convolution1.weight)
        else:
            size = [self.enlargement * side for side in coarse.shape[-2:]] if skip is None else list(skip.shape[-2:])
            fine = F.interpolate(coarse, size=size, mode="nearest")
            joined = self.convolution1(fine if skip is None else torch.cat([fine, skip], dim=1))
        joined = F.relu(self.normalisation1(joined), inplace=True)
        return F.relu(self.normalisation2(self.convolution2(joined)), inplace=True)

    def _merges(self, coarse: Tensor, skip: Tensor | None) -> bool:
        """Whether enlarging and convolving in one step is possible and faster here."""
        if torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export():  # elsewhere the plain operators serve best
            return False
        doubles = skip is None or all(2 * small == large for small, large in zip(coarse.shape[2:], skip.shape[2:], strict=True))
        few = coarse.shape[1] <= _MOST_CHANNELS_MERGED
        return coarse.device.type == "cpu" and self.enlargement == 2 and doubles and few


def _convolve_enlarged(coarse: Tensor, skip: Tensor | None, weight: Tensor) -> Tensor:
    """Return the 3x3 convolution of `coarse` enlarged twofold (nearest neighbour) with `skip` beside it.

    Enlarging and convolving is one transposed convolution: each coarse pixel stands for four fine ones, so its 4x4 kernel is
    the 3x3 kernel added up at those four places. Nine multiplications a fine pixel become four, and neither the enlarged map
    nor the joined one is written to memory. Equal to the plain way up to rounding.

    Args:
        coarse: (batch, inputs, height, width).
        skip: (batch, skip channels, 2 height, 2 width) or None.
        weight: (outputs, inputs + skip channels, 3, 3).
    """
    inputs = coarse.shape[1]
    flipped = weight[:, :inputs].flip(2, 3)
    places = ((0, 1, 0, 1), (1, 0, 0, 1), (0, 1, 1, 0), (1, 0, 1, 0))
    kernel = torch.stack([F.pad(flipped, place) for place in places]).sum(0)
    result = F.conv_transpose2d(coarse, kernel.transpose(0, 1), stride=2, padding=1)
    return result if skip is None else result + F.conv2d(skip, weight[:, inputs:], padding=1)
