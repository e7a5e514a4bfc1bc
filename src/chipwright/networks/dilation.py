"""Feature maps of a finer stride from any convolutional network, by dilation in place of downsampling.

A dry run finds at which stride every convolution and pooling layer reads its input. Layers that downsample below the wanted
stride stop doing so, and the convolutions behind them are spread by the factor that was saved, so that pretrained filters still
meet the pixels they were trained on (Chen et al. 2017, "Rethinking atrous convolution for semantic image segmentation",
https://arxiv.org/abs/1706.05587). Where timm or torchvision can do this themselves, the outcome equals theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

Sizes = list[tuple[int, int]]

DRY_RUN_FAULTS = (RuntimeError, ValueError, AssertionError, TypeError)
"""What a network raises that does not take an image's size, or whose layers no longer fit each other."""

_DRY_SIZES = (1024, 2048)
_REAL_SIZES = (128, 256)
# What changes no shape. The meta device works normalisation out in Python, which would take most of a dry run's time.
_SHAPELESS = (_BatchNorm, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.SiLU, nn.GELU, nn.Hardswish, nn.Hardsigmoid)
_BLUR = ("BlurPool2d", "BlurPool")


@dataclass(frozen=True)
class Trace:
    """What a dry run saw: channels and strides of the maps, and for each convolution and pool the strides of its inputs."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    inputs: dict[str, tuple[int, ...]]


def trace(network: nn.Module, bands: int = 3) -> Trace:
    """Find the strides in a network that returns a list of feature maps (batch, channels, height, width).

    Strides are read off the growth between two image sizes, so that convolutions without padding do not blur them. Layers whose
    input does not grow with the image (behind a global pool) are left out.

    Raises:
        ValueError: if a map does not grow with the image, or has its channels elsewhere than in the second place.
    """
    try:
        small, large = (dry_run(network, bands, (size, size), record=True) for size in _DRY_SIZES)
        step = _DRY_SIZES[1] - _DRY_SIZES[0]
    except (RuntimeError, NotImplementedError):
        # Some operators have no shape rule for the meta device; a small real image tells the same.
        small, large = (dry_run(network, bands, (size, size), record=True, real=True) for size in _REAL_SIZES)
        step = _REAL_SIZES[1] - _REAL_SIZES[0]
    channels, strides = [], []
    for before, after in zip(small.maps, large.maps, strict=True):
        if len(before) != 4 or before[1] != after[1] or after[2] == before[2] or after[3] == before[3]:
            raise ValueError("its feature maps are not (batch, channels, height, width)")
        channels.append(before[1])
        strides.append(round(step / (after[2] - before[2])))
    inputs = {}
    for name, sizes in small.inputs.items():
        grown = zip(sizes, large.inputs.get(name, []), strict=False)
        inputs[name] = tuple(round(step / (after[0] - before[0])) for before, after in grown if after[0] > before[0])
    return Trace(tuple(channels), tuple(strides), {name: found for name, found in inputs.items() if found})


@dataclass
class DryRun:
    """Shapes of the feature maps, and (height, width) of every input of each convolution and pool, by layer name."""

    maps: list[torch.Size]
    inputs: dict[str, Sizes]


def dry_run(network: nn.Module, bands: int, size: tuple[int, int], *, record: bool = False, real: bool = False) -> DryRun:
    """Run `network` on an image of (height, width) `size` without computing anything, on the meta device.

    With `real` the network runs on its own device on an image of zeros.
    """
    inputs: dict[str, Sizes] = {}
    handles = []

    def recorder(name: str) -> Any:
        def hook(layer: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            height, width = arguments[0].shape[-2:]
            inputs.setdefault(name, []).append((height, width))

        return hook

    tensors = dict(network.named_parameters()) | dict(network.named_buffers())
    first = next(iter(tensors.values()))
    device = first.device if real else torch.device("meta")
    try:
        if record:
            for name, layer in network.named_modules():
                if _can_downsample(layer):
                    handles.append(layer.register_forward_pre_hook(recorder(name)))
        images = torch.zeros(1, bands, *size, device=device, dtype=first.dtype)
        with _evaluating(network), nullcontext() if real else _skipping_shapeless(network), torch.no_grad():
            # A network that lies there already is called as it is: swapping its tensors takes longer than the run.
            moved = {name: tensor.to(device) for name, tensor in tensors.items() if tensor.device != device}
            maps = functional_call(network, moved, (images,)) if moved else network(images)
    finally:
        for handle in handles:
            handle.remove()
    return DryRun([feature.shape for feature in maps], inputs)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Switch to inference, where no running statistic moves, and back to what each layer was in before."""
    modes = [(layer, layer.training) for layer in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for layer, training in modes:
            layer.training = training


@contextmanager
def _skipping_shapeless(network: nn.Module) -> Iterator[None]:
    layers = [layer for layer in network.modules() if isinstance(layer, _SHAPELESS) and "forward" not in vars(layer)]
    for layer in layers:
        vars(layer)["forward"] = _unchanged
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["forward"]


def _unchanged(images: Tensor) -> Tensor:
    return images


def _can_downsample(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d) or type(layer).__name__ in _BLUR


def dilate(network: nn.Module, traced: Trace, output_stride: int) -> None:
    """Change `network` in place so that nothing in it runs at a coarser stride than `output_stride`.

    A layer that reads at stride s >= output_stride loses its own stride; a convolution there is spread by s / output_stride.

    Args:
        network: the network, as it was when traced.
        traced: what `trace` found in it (or in another copy of it).
        output_stride: the coarsest stride wanted, in pixels.

    Raises:
        ValueError: if one layer serves at several strides, so that no one dilation fits.
    """
    for name, strides in traced.inputs.items():
        if max(strides) * _stride(network.get_submodule(name)) <= output_stride:
            continue
        if len(set(strides)) > 1:
            raise ValueError(f"its layer {name} is used at strides {sorted(set(strides))}")
        factor = max(1, strides[0] // output_stride)
        most = max(1, output_stride // strides[0])
        layer = network.get_submodule(name)
        if isinstance(layer, nn.Conv2d):
            _dilate_convolution(layer, factor, most)
        elif _stride(layer) > most:
            _replace(network, name, _without_stride(layer))


def _dilate_convolution(layer: nn.Conv2d, factor: int, most: int) -> None:
    loses_stride = max(layer.stride) > most
    layer.stride = (min(layer.stride[0], most), min(layer.stride[1], most))
    layer.dilation = _scaled(layer.dilation, factor)
    if _pads_itself(layer) or isinstance(layer.padding, str):
        return
    if not loses_stride:
        layer.padding = _scaled(layer.padding, factor)
    elif max(layer.stride) == 1:
        spread = [dilation * (kernel - 1) for dilation, kernel in zip(layer.dilation, layer.kernel_size, strict=True)]
        # An even kernel needs one pixel more on one side, which only the word can say.
        layer.padding = "same" if any(width % 2 for width in spread) else (spread[0] // 2, spread[1] // 2)
    if layer.padding_mode != "zeros" and not isinstance(layer.padding, str):
        layer._reversed_padding_repeated_twice = [width for width in reversed(layer.padding) for _ in range(2)]


def _without_stride(layer: nn.Module) -> nn.Module:
    """Return what stands in for a pool that keeps the size: nothing for 2x2 and blurs, else the same pool at stride 1."""
    if type(layer).__name__ in _BLUR or max(_pair(layer.kernel_size)) <= 2:
        return nn.Identity()
    layer.stride = (1, 1)  # type: ignore[assignment]
    layer.ceil_mode = False  # type: ignore[assignment]
    if not _pads_itself(layer):
        height, width = _pair(layer.kernel_size)
        layer.padding = ((height - 1) // 2, (width - 1) // 2)  # type: ignore[assignment]
    return layer


def _replace(network: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    network.get_submodule(parent)._modules[child] = layer


def _pads_itself(layer: nn.Module) -> bool:
    """Whether a layer of timm works out its padding anew at every call (TensorFlow's "SAME")."""
    return type(layer).__name__.endswith("Same") or bool(getattr(layer, "same_pad", False))


def _stride(layer: nn.Module) -> int:
    return max(_pair(layer.stride))


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _scaled(value: Any, factor: int) -> tuple[int, int]:
    height, width = _pair(value)
    return height * factor, width * factor
