"""DEEPLAB: pixel classification by DeepLabV3, atrous convolutions over a pretrained backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from chipwright.models.base import BackboneArguments, BackboneRule, Tiny
from chipwright.models.pixel_arguments import PixelClassifier, PointArguments
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights


class DeeplabArguments(PointArguments, BackboneArguments):
    """Arguments of DEEPLAB."""


class DeeplabModel(PixelClassifier):
    """DeepLabV3 (Chen et al. 2017)."""

    keyword = "DEEPLAB"
    title = "DeepLabV3 (pixel classification)"
    paper = "Chen et al.: Rethinking Atrous Convolution for Semantic Image Segmentation. 2017, arXiv:1706.05587"
    arguments = DeeplabArguments
    backbones = BackboneRule("RESNET101", ("resnet", "densenet", "vgg", "mobilenet"))
    smallest_batch = 2  # image pooling: one value a channel and image, of which one image has no statistics
    tiny = Tiny(epochs=10)
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "_deeplab_infrencing",
        "ModelType": "ImageClassification",
        "ModelName": "DeepLab",
        "SupportsVariableTileSize": True,
    }

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network with a class index for the background and one for every other class."""
        from chipwright.networks.segmenter import AtrousHead, Segmenter
        from chipwright.tasks.pixel_classes import PixelClasses

        arguments = DeeplabArguments.model_validate(spec.arguments)
        classes = PixelClasses.of(spec.classes)
        backbone = self.backbone(spec, weights, arguments.output_stride)
        head = AtrousHead(backbone.channels, len(classes), backbone.strides[-1])
        return Segmenter(
            backbone, head, head.last, len(classes), classes.first, points=arguments.pointrend, stride=backbone.strides[-1]
        )


DEEPLAB = DeeplabModel()
