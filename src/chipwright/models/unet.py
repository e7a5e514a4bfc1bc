"""UNET: pixel classification by a U-Net over a pretrained backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from chipwright.models.base import BackboneArguments, BackboneRule
from chipwright.models.pixel_arguments import PixelArguments, PixelClassifier
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights


class UnetArguments(PixelArguments, BackboneArguments):
    """Arguments of UNET."""


class UnetModel(PixelClassifier):
    """U-Net: an encoder's maps joined from the coarsest to the finest."""

    keyword = "UNET"
    title = "U-Net (pixel classification)"
    paper = "Ronneberger et al.: U-Net: Convolutional Networks for Biomedical Image Segmentation. MICCAI 2015, arXiv:1505.04597"
    arguments = UnetArguments
    backbones = BackboneRule("RESNET34", ("resnet", "densenet", "vgg", "mobilenet"))
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "_unet",
        "ModelType": "ImageClassification",
        "ModelName": "UnetClassifier",
        "SupportsVariableTileSize": True,
    }

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network with a class index for the background and one for every other class."""
        from chipwright.networks.unet import Unet
        from chipwright.tasks.pixel_classes import PixelClasses

        classes = PixelClasses.of(spec.classes)
        return Unet(self.backbone(spec, weights), outputs=len(classes), first_class=classes.first)


UNET = UnetModel()
