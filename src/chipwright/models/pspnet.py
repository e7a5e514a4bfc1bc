"""PSPNET: pixel classification by pyramid pooling, in a U-Net or over a dilated backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, field_validator

from chipwright.models.base import BackboneArguments, BackboneRule, Tiny
from chipwright.models.pixel_arguments import PixelClassifier, PointArguments
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights

Cells = Annotated[int, Field(ge=1, le=64)]


class PspnetArguments(PointArguments, BackboneArguments):
    """Arguments of PSPNET."""

    use_unet: bool = Field(True, description="Pool at the bottleneck of a U-Net; False: PSPNet as published.")
    pyramid_sizes: list[Cells] = Field(
        [1, 2, 3, 6], min_length=1, max_length=16, description="Cells a side of the grids that are pooled over."
    )
    unet_aux_loss: bool = Field(False, description="Give the U-Net PSPNet's auxiliary loss as well.")

    @field_validator("pyramid_sizes", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        """Take a single number for a list of one."""
        return [value] if isinstance(value, int) and not isinstance(value, bool) else value

    @property
    def output_stride(self) -> int:
        """The backbone's coarsest stride: that of a U-Net's stays unless `keep_dilation`."""
        if self.use_unet:
            return 8 if self.keep_dilation else 32
        return super().output_stride


class PspnetModel(PixelClassifier):
    """PSPNet (Zhao et al. 2017)."""

    keyword = "PSPNET"
    title = "Pyramid Scene Parsing Network (pixel classification)"
    paper = "Zhao et al.: Pyramid Scene Parsing Network. CVPR 2017, arXiv:1612.01105"
    arguments = PspnetArguments
    backbones = BackboneRule("RESNET50", ("resnet", "densenet", "vgg", "mobilenet"))
    tiny = Tiny(epochs=10)
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "_psp",
        "ModelType": "ImageClassification",
        "ModelName": "PSPNetClassifier",
        "SupportsVariableTileSize": True,
    }

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network with a class index for the background and one for every other class."""
        from chipwright.networks.segmenter import POINT_STRIDE, PyramidHead, PyramidUnetHead, Segmenter
        from chipwright.tasks.pixel_classes import PixelClasses

        arguments = PspnetArguments.model_validate(spec.arguments)
        classes = PixelClasses.of(spec.classes)
        backbone = self.backbone(spec, weights, arguments.output_stride)
        sizes, points = arguments.pyramid_sizes, arguments.pointrend
        if arguments.use_unet:
            finest = POINT_STRIDE if points else 1
            decoded = PyramidUnetHead(backbone.channels, backbone.strides, len(classes), sizes, finest)
            return Segmenter(
                backbone, decoded, decoded.last, len(classes), classes.first,
                auxiliary=arguments.unet_aux_loss, points=points, stride=finest, multiple=max(backbone.strides),
            )  # fmt: skip
        head = PyramidHead(backbone.channels, len(classes), sizes)
        return Segmenter(backbone, head, head.last, len(classes), classes.first, points=points, stride=backbone.strides[-1])

    def emd_keys(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the family's keys, and how the pyramid is built."""
        names = ("pyramid_sizes", "use_unet", "pointrend", "keep_dilation", "unet_aux_loss")
        return super().emd_keys(spec) | {name: spec.arguments[name] for name in names}


PSPNET = PspnetModel()
