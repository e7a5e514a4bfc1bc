"""MMSEGMENTATION: pixel classification by the networks of OpenMMLab's MMSegmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from chipwright.chips.chipset import ChipSet
from chipwright.errors import listed
from chipwright.models.base import Arguments, Tiny
from chipwright.models.openmmlab import OpenMMLabArguments, OpenMMLabType, require_same
from chipwright.models.pixel_arguments import PixelArguments, PixelClassifier, pixel_classes
from chipwright.openmmlab.segmenters import CONFIGS, onnx_obstacle
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights


class MMSegmentationArguments(PixelArguments, OpenMMLabArguments):
    """Arguments of MMSEGMENTATION."""

    model: str = Field(
        "deeplabv3", description=f"The network: {listed(CONFIGS, 40)}; or the path of a config of MMSegmentation 1.x."
    )

    package: ClassVar[str] = "mmseg"
    configs: ClassVar[Mapping[str, str]] = CONFIGS


class MMSegmentationModel(OpenMMLabType, PixelClassifier):
    """An encoder-decoder of MMSegmentation."""

    keyword = "MMSEGMENTATION"
    title = "MMSegmentation (pixel classification)"
    paper = "MMSegmentation Contributors: OpenMMLab Semantic Segmentation Toolbox and Benchmark. 2020; each network has its own"
    arguments = MMSegmentationArguments
    smallest_batch = 2  # many pool to one value a channel and image, of which one image has no statistics
    tiny = Tiny(backbone=None, arguments={"model": "fastscnn"}, epochs=10)
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "_model_extension_inferencing",
        "ModelType": "ImageClassification",
        "ModelName": "MMSegmentation",
        "SupportsVariableTileSize": True,
    }

    def fit(self, chips: ChipSet, arguments: Arguments, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return `network`, the description that it is built from, beside what pixel classifiers fit."""
        from chipwright.openmmlab.configs import read_model
        from chipwright.openmmlab.descriptions import adapted, own_losses

        assert isinstance(arguments, MMSegmentationArguments)
        classes = pixel_classes(chips, arguments)
        model = read_model(arguments.source.config)
        network = adapted(model, len(classes), pretrained=bool(arguments.model_weight))
        if earlier:
            was, now = (f"on {description['backbone']['type']}" for description in (earlier["network"], network))
            same = adapted(earlier["network"], len(classes)) == adapted(model, len(classes))
            require_same(was, now, arguments, same)
        fitted = super().fit(chips, arguments, earlier)
        if own := own_losses(model):
            said = "are not used: the loss is what class_balancing, focal_loss and dice_loss_fraction say."
            fitted["notes"] = [*fitted.get("notes", []), f"The config's own {listed(own)} {said}"]
        return fitted | {"network": network}

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network with a class index for the background and one for every other class."""
        from chipwright.openmmlab.configs import require_packages
        from chipwright.tasks.pixel_classes import PixelClasses

        require_packages(self.keyword)
        from chipwright.openmmlab.segmentation import Segmenter

        first = PixelClasses.of(spec.classes).first
        return Segmenter(spec.fitted["network"], len(spec.bands), first, pretrained=bool(spec.arguments["model_weight"]))

    def onnx_obstacle(self, spec: ModelSpec) -> str | None:
        """Return why the network does not export to ONNX, None where it does."""
        return onnx_obstacle(spec.arguments["model"], spec.chip_size)


MMSEGMENTATION = MMSegmentationModel()
