"""One door to every convolutional backbone: any keyword or timm network, any number of bands, any image size.

backbone = create_backbone("RESNET34", bands=4, output_stride=16)
maps = backbone(images)     # a list; maps[i] is (batch, backbone.channels[i], about height / backbone.strides[i], ...)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chipwright.errors import OptionError
from chipwright.networks.architectures import Architecture, build_features, build_without_values, find_architecture
from chipwright.networks.dilation import DRY_RUN_FAULTS, Trace, dilate, dry_run, trace
from chipwright.networks.pretrained import hold_statistics, mark_backbone, mark_loaded
from chipwright.networks.state_dicts import expected_tensors, match_tensors
from chipwright.networks.weights import BackboneWeights

OUTPUT_STRIDES = (8, 16, 32)
INIT_SCHEMES = ("random", "red_band", "all_random")


class Backbone(nn.Module):
    """A convolutional network that returns its feature maps, finest first.

    Attributes:
        name: keyword or "timm:NAME".
        bands: bands of the images.
        channels: channels of each map.
        strides: stride of each map in pixels, ascending; equal ones follow each other where dilation stopped the downsampling.
    """

    def __init__(self, name: str, bands: int, body: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.name = name
        self.bands = bands
        self.channels = layout.channels
        self.strides = layout.strides
        self.body = body
        self._smallest = layout.smallest
        self._multiple = layout.multiple
        mark_backbone(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps of `images` (batch, bands, height, width), normalised float32 of any height and width.

        Networks that do not take a size see the image with its last column and row repeated; their maps are cut to the image.
        """
        height, width = images.shape[-2:]
        below, right = self._missing(height), self._missing(width)
        if not (self._multiple > 1 or below or right):
            return list(self.body(images))
        maps = self.body(F.pad(images, (0, right, 0, below), mode="replicate"))
        sides = zip(maps, self.strides, strict=True)
        return [feature[..., : -(-height // stride), : -(-width // stride)] for feature, stride in sides]

    def _missing(self, side: int) -> int:
        if self._smallest > 1 and side < self._smallest:
            return self._smallest - side
        return -side % self._multiple

    def extra_repr(self) -> str:
        """Return the line that `print` shows."""
        return f"{self.name}, bands={self.bands}, channels={self.channels}, strides={self.strides}"


def create_backbone(
    name: str,
    bands: int,
    weights: BackboneWeights | None = None,
    *,
    output_stride: int = 32,
    weight_init_scheme: str = "random",
) -> Backbone:
    """Build a backbone.

    Args:
        name: keyword ("RESNET34", in any case) or "timm:NAME".
        bands: bands of the images.
        weights: pretrained weights from `find_weights`; None leaves the random ones, drawn from torch's generator.
        output_stride: 8, 16 or 32; layers that would downsample further are dilated instead.
        weight_init_scheme: how a pretrained first convolution is adapted to more than three bands: "random" keeps the
            weights of the first three and leaves the others random, "red_band" gives the others copies of the first band's,
            "all_random" takes none of them. An adapted first convolution does not count as loaded, so freezing trains it.

    Raises:
        OptionError: for an unknown backbone, one without a feature pyramid, a stride it cannot be brought to, or weights that
            do not fit it.
    """
    architecture = find_architecture(name)
    if output_stride not in OUTPUT_STRIDES:
        raise OptionError(f"The output stride is {output_stride}; it must be 8, 16 or 32.")
    if weight_init_scheme not in INIT_SCHEMES:
        raise OptionError(f"weight_init_scheme is {weight_init_scheme!r}; it must be random, red_band or all_random.")
    if bands != 3 and not expected_tensors(architecture).banded:
        raise OptionError(
            f"{architecture.name} takes images of 3 bands alone; the chips have {bands}. Choose another backbone."
        )
    layout = _layout(architecture, output_stride)
    body = build_features(architecture, bands)
    if layout.dilated:
        dilate(body, layout.traced, output_stride)
    backbone = Backbone(architecture.name, bands, body, layout)
    if weights is not None:
        _load(backbone, architecture, weights, weight_init_scheme)
    return backbone


@dataclass(frozen=True)
class Layout:
    """What is known of a network at an output stride, whatever its bands and weights.

    Attributes:
        traced: strides in the network before dilation.
        dilated: whether the output stride asks for dilation.
        channels, strides: of the maps, after dilation.
        smallest: smallest image side in pixels that the network takes.
        multiple: image sides must be a multiple of this many pixels; 1 for nearly all networks.
    """

    traced: Trace
    dilated: bool
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    smallest: int
    multiple: int


@cache
def _layout(architecture: Architecture, output_stride: int) -> Layout:
    body = build_without_values(architecture)
    before = _pyramid(architecture, body)
    after = before
    if dilated := max(before.strides) > output_stride:
        try:
            dilate(body, before, output_stride)
            after = trace(body)
        except DRY_RUN_FAULTS as fault:
            raise _no_such_stride(architecture, output_stride, _reason(fault)) from fault
        if max(after.strides) > output_stride or after.channels != before.channels:
            reason = f"it downsamples to stride {max(after.strides)} outside of its layers"
            raise _no_such_stride(architecture, output_stride, reason)
    unit = max(before.strides)
    multiple = 1 if _runs(body, after, (4 * unit - 1, 4 * unit + unit // 2 + 1)) else unit
    sides = (1, unit, 2 * unit, 4 * unit) if multiple == 1 else (unit, 2 * unit, 4 * unit)
    smallest = next((side for side in sides if _runs(body, after, (side, side))), 8 * unit)
    return Layout(before, dilated, after.channels, after.strides, smallest, multiple)


def _pyramid(architecture: Architecture, body: nn.Module) -> Trace:
    """Return the network's trace, or say why it cannot serve as a backbone."""
    reductions = set(body.feature_info.reduction())  # type: ignore[union-attr, operator]
    remedy = "Choose a convolutional network such as timm:resnet50, timm:efficientnet_b0 or timm:convnext_tiny."
    if len(reductions) == 1:
        stride = reductions.pop()
        raise OptionError(f"{architecture.name} has no feature pyramid: its maps all have stride {stride}. {remedy}")
    try:
        found = trace(body)
    except DRY_RUN_FAULTS as fault:
        raise OptionError(
            f"{architecture.name} is no convolutional network for images of any size: {_reason(fault)}. {remedy}"
        ) from fault
    if list(found.strides) != sorted(found.strides):
        raise OptionError(f"{architecture.name} has no feature pyramid: strides {list(found.strides)}. {remedy}")
    return found


def _no_such_stride(architecture: Architecture, output_stride: int, reason: str) -> OptionError:
    return OptionError(
        f"{architecture.name} cannot be brought to output stride {output_stride}: {reason}. "
        "Choose another backbone, for example RESNET50."
    )


def _reason(fault: Exception) -> str:
    """Return why a dry run failed; what torch says of two tensors that do not meet would help nobody."""
    if isinstance(fault, RuntimeError):
        return "its layers do not meet at equal sizes"
    return str(fault).partition("\n")[0].rstrip(".") or type(fault).__name__


def _runs(body: nn.Module, traced: Trace, size: tuple[int, int]) -> bool:
    """Whether the network takes images of (height, width) `size` and returns a map of at least one pixel at every stride."""
    try:
        maps = dry_run(body, 3, size).maps
    except DRY_RUN_FAULTS:
        return False
    return len(maps) == len(traced.strides) and all(min(shape[-2:]) > 0 for shape in maps)


def _load(backbone: Backbone, architecture: Architecture, weights: BackboneWeights, scheme: str) -> None:
    """Copy `weights` into the backbone, adapt its first convolution, and mark what came whole."""
    expected = expected_tensors(architecture)
    matched = match_tensors(weights.state, expected, architecture.name, weights.source)
    own = backbone.body.state_dict()
    adapted = {name: matched.pop(name) for name in expected.banded if matched[name].shape != own[name].shape}
    for name, pretrained in adapted.items():
        if pretrained.shape[1] != 3:
            raise OptionError(
                f"The weights {weights.source} are for images of {pretrained.shape[1]} bands and the chips have "
                f"{backbone.bands}; weights for 3 bands are adapted to any number, others serve their own number alone."
            )
        adapted[name] = adapt_first_convolution(pretrained, own[name], scheme)
    backbone.body.load_state_dict({**own, **matched, **adapted})
    # The bias of an adapted convolution belongs to it, and is trained with it.
    first = {name.rpartition(".")[0] for name in adapted}
    mark_loaded(backbone, [f"body.{name}" for name in matched if name.rpartition(".")[0] not in first])
    if weights.folded:
        hold_statistics(backbone.body)


def adapt_first_convolution(pretrained: Tensor, own: Tensor, scheme: str) -> Tensor:
    """Return the first convolution's weights (out, bands, height, width) from the pretrained (out, 3, height, width).

    `own` are the randomly drawn ones. One band takes the sum over red, green and blue, so that grey images give the pretrained
    activations; two bands take red's and green's times 3/2, which keeps the activations' scale.
    """
    if scheme == "all_random":
        return own
    bands = own.shape[1]
    if bands == 1:
        return pretrained.sum(dim=1, keepdim=True)
    if bands == 2:
        return pretrained[:, :2] * 1.5
    drawn = own[:, 3:]
    extra = pretrained[:, :1].expand_as(drawn) if scheme == "red_band" else drawn
    return torch.cat([pretrained, extra], dim=1)
