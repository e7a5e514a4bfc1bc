"""MULTITASK_ROADEXTRACTOR and CONNECTNET: road networks, learnt together with the direction of the roads.

One model type under two names, as in the reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from chipwright.chips.chipset import ChipSet
from chipwright.models.base import Arguments, BackboneArguments, BackboneRule, ModelType, Tiny
from chipwright.models.binary import require_one_class
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights
    from chipwright.tasks.base import Task


class RoadArguments(BackboneArguments):
    """Arguments of the road extractors."""

    gaussian_thresh: float = Field(
        0.76, ge=0, le=1, description="Width of the roads that are learnt: 0.76 as labelled, higher is narrower, lower wider."
    )
    orient_bin_size: int = Field(20, ge=1, le=359, description="Degrees of one class of direction.")
    orient_theta: int = Field(8, gt=0, description="Pixels to either side of the centre line that bear its direction.")
    mtl_model: Literal["hourglass", "linknet"] = Field(
        "hourglass", description="Network: a stacked hourglass from random weights, or LinkNet over a pretrained backbone."
    )
    road_loss: Literal["cross_entropy", "soft_iou"] = Field(
        "cross_entropy", description="Loss of the roads: the reference's cross-entropy or the paper's soft IoU."
    )
    refinement: int = Field(
        0, ge=0, le=10, description="Rounds of a second network that mends gaps; the paper takes 3. Beyond the reference."
    )
    hourglass_stacks: int = Field(2, ge=1, le=8, description="Hourglasses one after the other. Beyond the reference.")
    hourglass_blocks: int = Field(
        3, ge=1, le=8, description="Residual blocks at every station of an hourglass. Beyond the reference."
    )


class RoadExtractor(ModelType):
    """Roads and their direction (Batra et al. 2019)."""

    paper = (
        "Batra et al.: Improved Road Connectivity by Joint Learning of Orientation and Segmentation. CVPR 2019, "
        "doi:10.1109/CVPR.2019.01063"
    )
    formats = ("Classified_Tiles",)
    arguments: ClassVar[type[Arguments]] = RoadArguments
    monitors = ("valid_loss", "accuracy", "miou", "dice", "iou", "relaxed_iou", "apls")
    backbones = BackboneRule("RESNET34", ("resnet", "mobilenet"))
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "_road_infrencing",
        "ModelType": "ImageClassification",
        "SupportsVariableTileSize": True,
    }

    def check(self, chips: ChipSet, arguments: Arguments) -> None:
        """Raise `DataError` where the labels are not roads alone, `MissingExtra` where centre lines cannot be found."""
        from chipwright.roads.graph import require_scikit_image

        require_scikit_image(self.keyword)
        require_one_class(chips, self.keyword, "roads")

    def no_backbone(self, arguments: Arguments) -> str | None:
        """Return that the hourglass has none."""
        assert isinstance(arguments, RoadArguments)
        if arguments.mtl_model == "linknet":
            return None
        return "the hourglass starts from random weights. Give the argument mtl_model linknet to train over a backbone."

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network of both tasks, with the refiner where rounds of it are asked for."""
        from chipwright.networks.hourglass import HourglassMTL
        from chipwright.networks.linknet import LinkNetMTL
        from chipwright.networks.roads import RoadNetwork, refiner
        from chipwright.roads.orientation import orientation_classes

        arguments, bands = RoadArguments.model_validate(spec.arguments), len(spec.bands)
        orientations = orientation_classes(arguments.orient_bin_size)
        body: nn.Module
        if arguments.mtl_model == "linknet":
            body = LinkNetMTL(self.backbone(spec, weights), orientations)
        else:
            stacks, blocks = arguments.hourglass_stacks, arguments.hourglass_blocks
            body = HourglassMTL(bands, orientations, stacks=stacks, blocks=blocks)
        if not arguments.refinement:
            return RoadNetwork(body)
        return RoadNetwork(body, refiner(bands), arguments.refinement)

    def task(self, spec: ModelSpec) -> Task:
        """Return road extraction."""
        from chipwright.tasks.roads import RoadTask

        return RoadTask(spec)

    def emd_keys(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the family's keys; `RoadOrientation` holds what directions were learnt with."""
        names = ("orient_bin_size", "orient_theta", "gaussian_thresh")
        return super().emd_keys(spec) | {"RoadOrientation": {name: spec.arguments[name] for name in names}}


class MultiTaskRoadExtractor(RoadExtractor):
    """The extractor under its first name."""

    keyword = "MULTITASK_ROADEXTRACTOR"
    title = "Multi Task Road Extractor (road network)"
    tiny = Tiny(arguments={"mtl_model": "linknet"})
    emd: ClassVar[dict[str, Any]] = RoadExtractor.emd | {"ModelName": "MultiTaskRoadExtractor"}


class ConnectNet(RoadExtractor):
    """The extractor under its second name."""

    keyword = "CONNECTNET"
    title = "ConnectNet (road network)"
    tiny = Tiny(backbone=None, arguments={"hourglass_stacks": 1, "hourglass_blocks": 1})
    emd: ClassVar[dict[str, Any]] = RoadExtractor.emd | {"ModelName": "ConnectNet"}


MULTITASK_ROADEXTRACTOR = MultiTaskRoadExtractor()
CONNECTNET = ConnectNet()
