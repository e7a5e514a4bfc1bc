"""MMSegmentation's encoder-decoders as one of our pixel classifiers: images in, logits of every pixel out.

Its heads are asked for logits alone; the losses are those of our pixel classification, weighted as the config weighs its own.
Importing this module imports torch and the OpenMMLab packages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chipwright.errors import OptionError
from chipwright.networks.losses import ClassPresence
from chipwright.networks.padding import pad_to_multiple
from chipwright.networks.point_refinement import PointAnswers
from chipwright.networks.pretrained import mark_backbone
from chipwright.networks.pyramid_pooling import averages
from chipwright.networks.segmenter import UNSETTLED
from chipwright.openmmlab.building import build_network
from chipwright.openmmlab.descriptions import Description

MULTIPLE = 32
"""Image sides are padded to multiples of this many pixels, the coarsest stride: some decoders take no other."""

_CLASS_LAYERS = ("conv_seg", "pam_conv_seg", "cam_conv_seg", "fc_seg", "se_layer")
"""Names of the layers whose rows are the classes, in the heads that are taken."""

_OWN_LOSSES = ("DAHead", "EncHead", "PointHead")
"""Heads whose losses are of a kind of their own that is known here: of several maps, of classes present, at single points."""

Outputs = dict[str, Tensor | PointAnswers | ClassPresence]


class Segmenter(nn.Module):
    """An encoder-decoder of MMSegmentation.

    Args:
        description: of the network, with as many classes as there are class indices (see `descriptions.adapted`).
        bands: of the images.
        first_class: index of the first named class: 1 where index 0 is the unnamed background.
        pretrained: see `building.build_network`.

    Input: normalised images (batch, bands, height, width) of any size. Output: logits (batch, classes, height, width); in
    training of networks that learn from more than one map a dictionary of "out" and the others.

    Attributes:
        model: MMSegmentation's network.
        aux_weight: how much the loss of each further output counts beside that of "out".
        unsettled: see `chipwright.package.onnx`.

    Raises:
        OptionError: if the network is none whose heads give logits of pixels.
    """

    def __init__(self, description: Description, bands: int, first_class: int, *, pretrained: bool = False) -> None:
        super().__init__()
        self.model = build_network("mmseg", description, bands, pretrained=pretrained)
        self.heads = _heads(self.model, "decode_head")
        self.auxiliary = _heads(self.model, "auxiliary_head")
        _require_pixel_heads(self.model, [*self.heads, *self.auxiliary])
        take_any_size(self.model)
        self.first_class = first_class
        self.unsettled = UNSETTLED if any(_draws_points(head) for head in self.heads) else 0.0
        self.aux_weight = self._weights()
        mark_backbone(self.model.backbone)

    def forward(self, images: Tensor) -> Tensor | Outputs:
        """Return the logits of every pixel, and in training what else is learnt from."""
        height, width = images.shape[-2:]
        images = pad_to_multiple(images, MULTIPLE)
        wide = images.shape[-2], images.shape[-1]
        maps = self.model.extract_feat(images)

        def enlarged(logits: Tensor, head: Any) -> Tensor:
            logits = F.interpolate(logits, size=wide, mode="bilinear", align_corners=head.align_corners)
            return logits[..., :height, :width]

        outputs: Outputs = {}
        logits: Tensor | None = None
        for place, head in enumerate(self.heads):
            if _draws_points(head):
                assert logits is not None
                if self.training:
                    outputs["points"] = _answers(head, maps, logits, self.model.train_cfg, wide, (height, width))
                else:
                    outputs["out"] = _refined(head, maps, logits, self.model.test_cfg, wide)[..., :height, :width]
                continue
            if place and "out" in outputs:
                outputs[f"stage_{place - 1}"] = outputs.pop("out")
            logits, *others = _all(head(maps) if logits is None else head(maps, logits))
            outputs["out"] = enlarged(logits, head)
            if self.training:
                for number, other in enumerate(others):
                    outputs[f"branch_{number}"] = ClassPresence(other) if other.ndim == 2 else enlarged(other, head)
        if not self.training:
            return outputs["out"]  # type: ignore[return-value]
        for number, head in enumerate(self.auxiliary):
            outputs[f"aux_{number}"] = enlarged(_all(head(maps))[0], head)
        return outputs

    def _weights(self) -> dict[str, float]:
        """Return what the config weighs each further output's loss by, as a share of the last map's."""
        *earlier, last = (head for head in self.heads if not _draws_points(head))
        weights = {f"stage_{place}": _weight(head) for place, head in enumerate(earlier)}
        weights |= {f"aux_{number}": _weight(head) for number, head in enumerate(self.auxiliary)}
        if hasattr(last, "loss_se_decode"):
            weights["branch_0"] = float(last.loss_se_decode.loss_weight)
        return {name: weight / _weight(last) for name, weight in weights.items()}

    def class_tensors(self) -> dict[str, tuple[int, int]]:
        """Return the tensors with rows for each class: name -> (rows a class, row of the first named class)."""
        names = [name for name, _ in self.named_parameters() if name.split(".")[-2] in _CLASS_LAYERS]
        return dict.fromkeys(names, (1, self.first_class))


class FittingPool(nn.AvgPool2d):
    """An average pool whose window is as large as the map where that is smaller.

    LRASPP's head (MobileNetV3) pools over 49 x 49 cells, which chips below 392 pixels do not have; on larger ones it is what
    it was.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the pooled (batch, channels, height, width)."""
        height, width = self.kernel_size if isinstance(self.kernel_size, tuple) else (self.kernel_size, self.kernel_size)
        window = min(height, input.shape[-2]), min(width, input.shape[-1])
        return F.avg_pool2d(input, window, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class GridPool(nn.Module):
    """Means over a grid of cells that export to ONNX for any image size, and are exact in any order on a GPU."""

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, features: Tensor) -> Tensor:
        """Return the pooled (batch, channels, cells, cells)."""
        return averages(features, [self.cells])[0]


class Enlarging(nn.Module):
    """Enlarging by a whole factor that exports to ONNX for any image size."""

    def __init__(self, factor: float, mode: str, align_corners: bool | None) -> None:
        super().__init__()
        self.factor, self.mode, self.align_corners = factor, mode, align_corners

    def forward(self, features: Tensor) -> Tensor:
        """Return the enlarged (batch, channels, height, width)."""
        return F.interpolate(features, scale_factor=self.factor, mode=self.mode, align_corners=self.align_corners)


def take_any_size(module: nn.Module, heads: bool = False) -> None:
    """Put layers that take any image size, here and in ONNX, in the place of those that do not, in place.

    Pools of a fixed window are changed in decode heads alone: those in backbones halve maps.
    """
    layer: Any
    for name, layer in module.named_children():
        inside = heads or name == "decode_head"
        new: nn.Module | None = None
        if type(layer) is nn.AdaptiveAvgPool2d and isinstance(layer.output_size, int) and layer.output_size > 1:
            new = GridPool(layer.output_size)
        elif inside and type(layer) is nn.AvgPool2d and layer.padding in (0, (0, 0)):
            new = FittingPool(layer.kernel_size, layer.stride, 0, layer.ceil_mode, layer.count_include_pad)
        elif type(layer).__name__ == "Upsample" and not layer.size and float(layer.scale_factor or 0.5).is_integer():
            new = Enlarging(layer.scale_factor, layer.mode, layer.align_corners)
        if new is None:
            take_any_size(layer, inside)
        else:
            setattr(module, name, new)


def _heads(model: Any, name: str) -> list[Any]:
    found = getattr(model, name, None)
    if found is None:
        return []
    return list(found) if isinstance(found, nn.ModuleList) else [found]


def _all(found: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """Return what a head gives: its logits, and what else it learns by."""
    return [found] if isinstance(found, Tensor) else list(found)


def _draws_points(head: Any) -> bool:
    return type(head).__name__ == "PointHead"


def _require_pixel_heads(model: Any, heads: Sequence[Any]) -> None:
    from mmseg.models.decode_heads.decode_head import BaseDecodeHead
    from mmseg.models.segmentors import EncoderDecoder

    remedy = "Choose one of the names, or a config whose heads are trained on labels of pixels alone."
    if not isinstance(model, EncoderDecoder):
        raise OptionError(f"The config describes a {type(model).__name__}, but MMSEGMENTATION takes encoder-decoders. {remedy}")
    for head in heads:
        kind = type(head)
        plain = isinstance(head, BaseDecodeHead) and kind.loss_by_feat is BaseDecodeHead.loss_by_feat
        if not plain and kind.__name__ not in _OWN_LOSSES:
            raise OptionError(
                f"The config's head {kind.__name__} learns by a loss of its own, which is not known here. {remedy}"
            )


def _weight(head: Any) -> float:
    """Return how much a head's first loss counts, 1 where it does not say."""
    losses = head.loss_decode
    first = next(iter(losses)) if isinstance(losses, nn.ModuleList) else losses
    return float(getattr(first, "loss_weight", 1.0)) or 1.0


def _answers(
    head: Any, maps: Sequence[Tensor], coarse: Tensor, settings: Mapping[str, Any], wide: tuple[int, int], size: tuple[int, int]
) -> PointAnswers:
    """Return PointRend's logits at the points that it draws; those in the padding move to the image's edge."""
    from mmseg.models.decode_heads.point_head import calculate_uncertainty

    fine = head._transform_inputs(maps)
    with torch.no_grad():
        points = head.get_points_train(coarse, calculate_uncertainty, cfg=settings)
        inside = points.new_tensor([size[1] / wide[1], size[0] / wide[0]]) * (1 - 1e-6)
        points = torch.minimum(points, inside)
        column, row = (points * points.new_tensor([wide[1], wide[0]])).long().unbind(-1)
    logits = head(head._get_fine_grained_point_feats(fine, points), head._get_coarse_point_feats(coarse, points))
    return PointAnswers(logits, row * size[1] + column)


def _refined(head: Any, maps: Sequence[Tensor], coarse: Tensor, settings: Mapping[str, Any], wide: tuple[int, int]) -> Tensor:
    """Return PointRend's logits of every pixel."""
    return head.predict(maps, coarse, [{"img_shape": torch.Size(wide)}], settings)
