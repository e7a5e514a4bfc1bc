"""The U-Net that sharpens: pixel shuffle instead of enlargement, blur, and self-attention.

After fastai's `unet_learner(blur=True, self_attention=True, norm_type=NormType.Weight)`, which the reference uses:

- channels become pixels (Shi et al. 2016, arXiv:1609.05158) by convolutions that begin as nearest-neighbour enlargement
  (ICNR, Aitken et al. 2017, arXiv:1707.02937), then a 2x2 mean takes away what is left of a checkerboard (Sugawara et al.
  2018, arXiv:1806.02658);
- self-attention (Zhang et al. 2019, arXiv:1805.08318) at stride 8;
- weight normalisation (Salimans & Kingma 2016, arXiv:1602.07868) in the decoder, where batches' statistics would change
  brightness;
- the image itself stands beside the decoder's result before the last layers.

Beyond it, the network's answer is added to the image, as in VDSR (Kim et al. 2016, arXiv:1511.04587): what is learnt is the
detail alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from chipwright.networks.padding import pad_to_multiple
from chipwright.networks.unet import UnetDecoder

if TYPE_CHECKING:
    from chipwright.networks.backbones import Backbone

_ATTENTION_STRIDE = 8
_HEAD_WIDTH = 32


class SuperresolutionUnet(nn.Module):
    """Sharpens images.

    Args:
        backbone: gives maps at ascending strides.

    Input: normalised images (batch, bands, height, width) of any size. Output: the same shape.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.multiple = max(backbone.strides)
        self.decoder = UnetDecoder(backbone.channels, backbone.strides, block=_Shuffle)
        self._attend(backbone.strides)
        joined = self.decoder.out_channels + backbone.bands
        self.mix = nn.Sequential(
            nn.Conv2d(joined, _HEAD_WIDTH, 3, padding=1), nn.ReLU(), nn.Conv2d(_HEAD_WIDTH, joined, 3, padding=1)
        )
        self.head = nn.Conv2d(joined, backbone.bands, 1)
        for block in self.decoder.blocks:
            assert isinstance(block, _Shuffle)
            block.start_as_enlargement()
        for part in (self.decoder, self.mix):
            for module in list(part.modules()):
                if isinstance(module, nn.Conv2d):
                    weight_norm(module)
        nn.init.normal_(self.head.weight, std=1e-2)  # the image as it is, or nearly
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def _attend(self, strides: tuple[int, ...]) -> None:
        """Put self-attention behind the block whose result has its stride."""
        stride = max(strides)
        for block in self.decoder.blocks:
            assert isinstance(block, _Shuffle)
            stride //= block.enlargement
            if stride == _ATTENTION_STRIDE:
                block.attention = SelfAttention(block.out_channels)
                return

    def forward(self, images: Tensor) -> Tensor:
        """Return the sharpened images."""
        height, width = images.shape[-2:]
        padded = pad_to_multiple(images, self.multiple)
        joined = torch.cat([self.decoder(self.backbone(padded)), padded], 1)
        detail = self.head(F.relu(joined + self.mix(joined)))
        return images + detail[..., :height, :width]


class SelfAttention(nn.Module):
    """Every place sees every other: `x + gain * attention(x)`, the gain beginning at 0.

    Input and output: (batch, channels, height, width).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(1, channels // 8)
        self.query, self.key = (nn.Conv2d(channels, narrow, 1, bias=False) for _ in range(2))
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        """Return the features with what was seen elsewhere."""
        query, key, value = (part(features).flatten(2).transpose(1, 2)[:, None] for part in (self.query, self.key, self.value))
        # in SAGAN the products are not scaled by the root of their width
        seen = F.scaled_dot_product_attention(query, key, value, scale=1.0)[:, 0]
        return features + self.gain * seen.transpose(1, 2).reshape(features.shape)


class _Shuffle(nn.Module):
    """Make pixels of channels, put the encoder's map beside them, and convolve twice."""

    def __init__(self, inputs: int, skip_channels: int, outputs: int, enlargement: int) -> None:
        super().__init__()
        self.enlargement = enlargement
        self.out_channels = outputs
        self.spread = nn.Conv2d(inputs, outputs * enlargement**2, 1)
        self.skip_scaling = nn.BatchNorm2d(skip_channels) if skip_channels else None
        self.convolution1 = nn.Conv2d(outputs + skip_channels, outputs, 3, padding=1)
        self.convolution2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.attention: SelfAttention | None = None

    def start_as_enlargement(self) -> None:
        """Give all pixels that come of one place the same weights."""
        with torch.no_grad():
            copies = self.enlargement**2
            self.spread.weight.copy_(self.spread.weight[::copies].repeat_interleave(copies, 0))
            assert self.spread.bias is not None
            self.spread.bias.zero_()

    def forward(self, coarse: Tensor, skip: Tensor | None) -> Tensor:
        fine = F.relu(F.pixel_shuffle(self.spread(coarse), self.enlargement))
        if self.enlargement > 1:
            fine = F.avg_pool2d(F.pad(fine, (1, 0, 1, 0), mode="replicate"), 2, stride=1)
        if self.skip_scaling is not None:
            assert skip is not None
            fine = torch.cat([fine, F.relu(self.skip_scaling(skip))], 1)
        fine = F.relu(self.convolution2(F.relu(self.convolution1(fine))))
        return fine if self.attention is None else self.attention(fine)
