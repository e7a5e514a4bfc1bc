"""Operators of mmcv's compiled extension, supplied on torchvision and plain PyTorch: no compiler, gradients PyTorch's own.

Where mmcv was compiled its own operators are used, but for CARAFE of tensors on the CPU, which it has none for. Otherwise a
module stands in for the extension so that mmcv can be imported, and functions that the networks call are replaced. Operators
that are not supplied stop with a sentence that names them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import wraps
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision import ops

from chipwright.errors import ChipwrightError

_EXTENSION = "mmcv._ext"
_NAIVE, _LINEAR = 0, 1


def ensure_operators() -> None:
    """Make mmcv's operators work; to be called before the first import of mmcv.ops, mmdet or mmseg."""
    if _EXTENSION in sys.modules:
        return
    try:
        importlib.import_module(_EXTENSION)
    except ImportError:
        sys.modules[_EXTENSION] = _Extension()
        for module, functions in _SUPPLIED.items():
            for name, function in functions.items():
                _replace(module, name, function)
    else:
        _replace("mmcv.ops.carafe", "carafe", _by_device(carafe, importlib.import_module("mmcv.ops.carafe").carafe))


def _replace(module: str, name: str, function: Callable[..., Any]) -> None:
    """Put a function in the place of one of mmcv, wherever in mmcv that was imported to."""
    old = getattr(importlib.import_module(module), name)
    for place in [place for key, place in sys.modules.items() if key.startswith("mmcv.")]:
        for key in [key for key, value in vars(place).items() if value is old]:
            setattr(place, key, function)


def _by_device(on_cpu: Callable[..., Tensor], elsewhere: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def chosen(features: Tensor, *given: Any) -> Tensor:
        return (on_cpu if features.device.type == "cpu" else elsewhere)(features, *given)

    return chosen


class _Extension(ModuleType):
    """Stands in for the compiled extension: what has no gradient is called on it, every other name is a missing operator."""

    def __init__(self) -> None:
        super().__init__(_EXTENSION)
        self.__spec__ = ModuleSpec(_EXTENSION, None)
        self.nms, self.softnms, self.nms_match = nms, softnms, nms_match

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*given: Any, **named: Any) -> NoReturn:
            raise ChipwrightError(
                f"The network calls the operator {name}, which needs mmcv's compiled extension. Choose another network, or "
                "build mmcv with its operators; chipwright then uses it."
            )

        return missing


def _full_precision(operator: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return an operator that computes in float32 (or float64) under autocast, and gives the first tensor's type back."""

    def widened(value: Any) -> Any:
        reduced = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
        return value.float() if reduced else value

    @wraps(operator)
    def run(first: Tensor, *given: Any, **named: Any) -> Tensor:
        with torch.autocast(first.device.type, enabled=False):
            wide = widened(first)
            others = [widened(value) for value in given]
            return operator(wide, *others, **{name: widened(value) for name, value in named.items()}).to(first.dtype)

    return run


# -- boxes


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the rows of boxes (count, 4) kept, best first; `offset` is 1 where corners are pixels that belong to the box."""
    return ops.nms(_with_offset(boxes.float(), offset), scores.float(), iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Lower the scores of boxes that better ones overlap instead of removing them (Bodla et al. 2017, Soft-NMS).

    Args:
        boxes, scores: (count, 4) and (count,).
        dets: (count, 5); its first rows take the boxes kept and their new scores, best first.
        iou_threshold: least IoU that scores are lowered for, but in method 2, where all are.
        sigma: of method 2: scores are multiplied by exp(-IoU^2 / sigma).
        min_score: below it a box is removed.
        method: 0 sets scores to 0 (plain suppression), 1 multiplies them by 1 - IoU, 2 see `sigma`.
        offset: as in `nms`.

    Returns:
        The rows kept, (kept,).
    """
    wide, scores = _with_offset(boxes, offset), scores.clone()
    left = torch.arange(len(boxes))
    kept: list[Tensor] = []
    while len(left):
        best = left[scores[left].argmax()]
        dets[len(kept), :4], dets[len(kept), 4] = boxes[best], scores[best]
        kept.append(best)
        left = left[left != best]
        overlap = ops.box_iou(wide[best][None], wide[left])[0]
        if method in (_NAIVE, _LINEAR):
            factor = torch.where(overlap >= iou_threshold, 1 - overlap if method == _LINEAR else 0.0, 1.0)
        else:
            factor = torch.exp(-(overlap**2) / sigma)
        scores[left] *= factor
        left = left[scores[left] >= min_score]
    return torch.stack(kept) if kept else left


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Return groups of rows of (count, 5) boxes with scores: one kept by suppression, then those that it suppressed."""
    order = dets[:, 4].argsort(descending=True, stable=True)
    overlaps = ops.box_iou(dets[order, :4], dets[order, :4]) >= iou_threshold
    free, groups = torch.ones(len(dets), dtype=torch.bool), []
    for place in range(len(dets)):
        if free[place]:
            taken = free & overlaps[place]
            taken[: place + 1] = False
            groups.append([int(order[place]), *order[taken].tolist()])
            free &= ~taken
    return groups


def _with_offset(boxes: Tensor, offset: int) -> Tensor:
    return torch.cat([boxes[:, :2], boxes[:, 2:] + offset], 1) if offset else boxes


@_full_precision
def roi_align(
    input: Tensor,
    rois: Tensor,
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    pool_mode: str = "avg",
    aligned: bool = True,
) -> Tensor:
    """Return features of regions (count, channels, height, width), averaged over points between the cells (He et al. 2017).

    Args:
        input: features (batch, channels, height, width).
        rois: (count, 5): place in the batch, xmin, ymin, xmax, ymax in pixels of the image.
        output_size: cells of a region.
        spatial_scale: of the features, 1 / 8 at stride 8.
        sampling_ratio: points of a cell along a side; 0 for as many as it covers.
        pool_mode: "avg".
        aligned: whether pixels' middles are at half coordinates.

    Raises:
        ChipwrightError: if regions are to be pooled by maxima.
    """
    if pool_mode != "avg":
        raise ChipwrightError(
            f"The network pools regions by {pool_mode!r}, which needs mmcv's compiled extension; 'avg' does not. Choose it."
        )
    return ops.roi_align(input, rois.to(input.dtype), output_size, spatial_scale, sampling_ratio, aligned)


# -- convolutions and maps


@_full_precision
def deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    deform_groups: int = 1,
    bias: bool = False,
    im2col_step: int = 32,
) -> Tensor:
    """Return a deformable convolution (Dai et al. 2017): every tap looks beside its place, by `offset`'s (y, x).

    Args:
        input: (batch, channels, height, width).
        offset: (batch, deform_groups x taps x 2, rows, columns), in pixels.
        weight: (outputs, channels / groups, kernel rows, kernel columns).
        stride, padding, dilation: numbers or (rows, columns).
        groups, deform_groups: told by the shapes.
        bias: never, in this version of the operator.
        im2col_step: of no meaning here.
    """
    return ops.deform_conv2d(input, offset, weight, None, stride, padding, dilation)


@_full_precision
def modulated_deform_conv2d(
    input: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    deform_groups: int = 1,
) -> Tensor:
    """Return a deformable convolution whose taps are weighed by `mask` (Zhu et al. 2019); see `deform_conv2d`.

    Args:
        mask: (batch, deform_groups x taps, rows, columns).
    """
    return ops.deform_conv2d(input, offset, weight, bias, stride, padding, dilation, mask)


@_full_precision
def carafe(features: Tensor, masks: Tensor, kernel_size: int, group_size: int, scale_factor: int) -> Tensor:
    """Return features enlarged by a kernel of their own at every place (Wang et al. 2019, CARAFE).

    Args:
        features: (batch, channels, height, width).
        masks: (batch, group_size x kernel_size^2, height x scale_factor, width x scale_factor).
        kernel_size: side of the kernels; beyond the border features are 0.
        group_size: groups of channels, each with kernels of its own.
        scale_factor: what height and width are multiplied by.
    """
    (count, channels, height, width), taps = features.shape, kernel_size**2
    around = F.unfold(features, kernel_size, padding=kernel_size // 2)
    around = around.view(count, group_size, channels // group_size, taps, height, width)
    kernels = masks.view(count, group_size, taps, height, scale_factor, width, scale_factor)
    enlarged = torch.einsum("ngcthw,ngthawb->ngchawb", around, kernels)
    return enlarged.reshape(count, channels, height * scale_factor, width * scale_factor)


@_full_precision
def sigmoid_focal_loss(
    input: Tensor,
    target: Tensor,
    gamma: float = 2.0,
    alpha: float = 0.25,
    weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the focal loss (Lin et al. 2017) of logits (count, classes) for class indices (count,), `classes` for background.

    Args:
        input, target: logits and class indices.
        gamma: how much less easy ones count.
        alpha: weight of what is to be 1; what is to be 0 has 1 - alpha.
        weight: (classes,) what rows of a class count; those of the background count once.
        reduction: "none" for (count, classes), "sum", or "mean": the sum over `count`.
    """
    wanted = F.one_hot(target, input.shape[1] + 1)[:, :-1].to(input.dtype)
    loss = ops.sigmoid_focal_loss(input, wanted, alpha, gamma)
    if weight is not None:
        loss = loss * F.pad(weight, (0, 1), value=1.0)[target][:, None]
    if reduction == "none":
        return loss
    return loss.sum() / len(input) if reduction == "mean" else loss.sum()


def psa_mask(masks: Tensor, psa_type: int, mask_size: tuple[int, int]) -> Tensor:
    """Return what each place of a map attends to, from masks about every place (Zhao et al. 2018, PSANet).

    Args:
        masks: (batch, mask rows x mask columns, height, width): at each place a mask whose middle is that place.
        psa_type: 0 to collect: the result (batch, places, height, width) says how much each place takes of every other;
            1 to distribute: how much it gives to every other.
        mask_size: (rows, columns) of the masks. What of them lies outside of the map is cut off, what they do not reach is 0.
    """
    (count, _, height, width), (mask_rows, mask_columns) = masks.shape, mask_size
    rows, columns = (torch.arange(side, device=masks.device) for side in (height, width))
    down = rows[:, None] - rows + (mask_rows - 1) // 2
    right = columns[:, None] - columns + (mask_columns - 1) // 2
    reached = ((down >= 0) & (down < mask_rows))[:, None, :, None] & ((right >= 0) & (right < mask_columns))[None, :, None]
    index = down.clamp(0, mask_rows - 1)[:, None, :, None] * mask_columns + right.clamp(0, mask_columns - 1)[None, :, None]
    places = height * width
    taken = masks.gather(1, index.view(1, places, height, width).expand(count, -1, -1, -1))
    taken = torch.where(reached.view(places, height, width), taken, 0.0)
    if psa_type == 0:
        return taken
    return taken.view(count, places, places).transpose(1, 2).reshape(count, places, height, width)


_SUPPLIED: dict[str, dict[str, Callable[..., Any]]] = {
    "mmcv.ops.roi_align": {"roi_align": roi_align},
    "mmcv.ops.deform_conv": {"deform_conv2d": deform_conv2d},
    "mmcv.ops.modulated_deform_conv": {"modulated_deform_conv2d": modulated_deform_conv2d},
    "mmcv.ops.carafe": {"carafe": carafe, "carafe_naive": carafe},
    "mmcv.ops.focal_loss": {"sigmoid_focal_loss": sigmoid_focal_loss},
    "mmcv.ops.psa_mask": {"psa_mask": psa_mask},
}
"""Module of mmcv -> its functions that are replaced."""
