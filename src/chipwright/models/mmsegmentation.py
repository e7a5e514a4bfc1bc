"""MMSEGMENTATION: pixel classification by the networks of OpenMMLab's MMSegmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from chipwright.chips.chipset import ChipSet
from chipwright.errors import OptionError, listed
from chipwright.models.base import Arguments, Tiny
from chipwright.models.openmmlab import OpenMMLabArguments
from chipwright.models.pixel_arguments import PixelArguments, PixelClassifier, pixel_classes
from chipwright.normalization import choose_normalization
from chipwright.openmmlab.segmenters import CONFIGS, onnx_obstacle
from chipwright.spec import ModelSpec, Normalization

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


class MMSegmentationModel(PixelClassifier):
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

    def check(self, chips: ChipSet, arguments: Arguments) -> None:
        """Raise `MissingExtra` without the packages; `OptionError` or `DataError` where the chips or the config do not suit."""
        from chipwright.openmmlab.configs import require_packages

        require_packages(self.keyword)
        assert isinstance(arguments, MMSegmentationArguments)
        _ = arguments.source
        super().check(chips, arguments)

    def normalization(
        self, chips: ChipSet, arguments: Arguments, weights: tuple[Sequence[float], Sequence[float]] | None
    ) -> Normalization:
        """Return the scaling that the network's weights ask for, if it starts from any."""
        assert isinstance(arguments, MMSegmentationArguments)
        return choose_normalization(chips, arguments.scaling)

    def fit(self, chips: ChipSet, arguments: Arguments, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return `network`, the description that it is built from, beside what pixel classifiers fit."""
        from chipwright.openmmlab.configs import read_model
        from chipwright.openmmlab.descriptions import adapted, own_losses

        assert isinstance(arguments, MMSegmentationArguments)
        classes = pixel_classes(chips, arguments)
        model = read_model(arguments.source.config)
        network = adapted(model, len(classes), pretrained=bool(arguments.model_weight))
        if earlier and adapted(earlier["network"], len(classes)) != adapted(model, len(classes)):
            was, is_ = (description["backbone"]["type"] for description in (earlier["network"], network))
            raise OptionError(
                f"The pretrained model is another network (on {was}) than model={arguments.model} names (on {is_}). Give its "
                "model, which its .emd names."
            )
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

    def initialize(self, network: nn.Module, spec: ModelSpec) -> list[str]:
        """Load the weights that `model_weight` names, if any."""
        arguments = MMSegmentationArguments.model_validate(spec.arguments)
        source = arguments.source
        if source.weights is None:
            return []
        from chipwright.openmmlab.checkpoints import load_checkpoint
        from chipwright.openmmlab.configs import read_model
        from chipwright.openmmlab.descriptions import takes_bgr
        from chipwright.openmmlab.segmentation import Segmenter
        from chipwright.openmmlab.sources import find_weights_file

        assert isinstance(network, Segmenter)
        return load_checkpoint(
            network.model,
            find_weights_file(source.weights),
            frozenset(name.removeprefix("model.") for name in network.class_tensors()),
            bgr=takes_bgr(read_model(source.config)),
            weight_init_scheme=arguments.weight_init_scheme,
        )

    def onnx_obstacle(self, spec: ModelSpec) -> str | None:
        """Return why the network does not export to ONNX, None where it does."""
        return onnx_obstacle(spec.arguments["model"], spec.chip_size)

    def emd_keys(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the family's keys, and which network it is."""
        return super().emd_keys(spec) | {"Kwargs": {"model": spec.arguments["model"]}}


MMSEGMENTATION = MMSegmentationModel()
