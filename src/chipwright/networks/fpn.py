"""Feature pyramid over a backbone (Lin et al. 2017, 1612.03144): every scale gets the coarse maps' understanding."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock, LastLevelMaxPool

from chipwright.errors import OptionError


class FeaturePyramid(nn.Module):
    """torchvision's pyramid over a backbone's deepest map of every stride from `finest` on, and coarser levels on top.

    Attributes:
        names: of the levels that stem from the backbone, fine to coarse: "0", "1", ...
        strides: of all levels, those on top included.
        channels: of every level.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        finest: int = 4,
        out_channels: int = 256,
        top: ExtraFPNBlock | None = None,
        top_levels: int = 1,
    ) -> None:
        """Make the pyramid.

        Args:
            channels, strides: of the backbone's maps, fine to coarse.
            finest: smallest stride that is used.
            out_channels: channels of every level.
            top: makes the levels beyond the backbone; torchvision's max-pooled one if not given.
            top_levels: how many levels `top` makes, each of twice the stride.

        Raises:
            OptionError: if the backbone has no two maps of stride `finest` or more.
        """
        super().__init__()
        deepest = {stride: index for index, stride in enumerate(strides) if stride >= finest}
        self.used = list(deepest.values())
        if len(self.used) < 2:
            raise OptionError(
                f"The backbone's maps have strides {', '.join(map(str, strides))}; a feature pyramid needs at least two of "
                f"{finest} or more. Choose a backbone with a feature pyramid, such as RESNET50."
            )
        used_strides = list(deepest)
        self.names = [str(level) for level in range(len(self.used))]
        self.strides = (*used_strides, *(used_strides[-1] * 2**step for step in range(1, top_levels + 1)))
        self.channels = out_channels
        self.fpn = FeaturePyramidNetwork(
            [channels[index] for index in self.used], out_channels, LastLevelMaxPool() if top is None else top
        )

    def forward(self, maps: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return level name -> (batch, channels, height / stride, width / stride), fine to coarse."""
        levels: dict[str, Tensor] = self.fpn(
            OrderedDict((name, maps[index]) for name, index in zip(self.names, self.used, strict=True))
        )
        return levels
