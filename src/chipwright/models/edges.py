"""HED_EDGEDETECTOR and BDCN_EDGEDETECTOR: edges between fields, roofs, land covers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from chipwright.chips.chipset import ChipSet
from chipwright.models.base import Arguments, BackboneArguments, BackboneRule, ModelType, Tiny
from chipwright.models.binary import require_one_class
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights
    from chipwright.tasks.base import Task


class EdgeArguments(BackboneArguments):
    """Arguments of the edge detectors."""


class EdgeDetector(ModelType):
    """What both edge detectors share."""

    formats = ("Classified_Tiles",)
    arguments: ClassVar[type[Arguments]] = EdgeArguments
    monitors = ("valid_loss", "accuracy", "f1_score", "ods", "ois", "edge_average_precision")
    backbones = BackboneRule("VGG19", ("vgg", "resnet", "mobilenet"))
    tiny = Tiny(epochs=8)
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "_model_extension_inferencing",
        "ModelType": "ImageClassification",
        "SupportsVariableTileSize": True,
        "IsEdgeDetection": True,
    }
    loss: ClassVar[dict[str, float]]
    """Weights of the sides, of the fused map and of the pixels without an edge."""

    def check(self, chips: ChipSet, arguments: Arguments) -> None:
        """Raise `DataError` where the labels are not edges alone, `MissingExtra` where lines cannot be thinned."""
        from chipwright.roads.graph import require_scikit_image

        require_scikit_image(self.keyword)
        require_one_class(chips, self.keyword, "edges")

    def fit(self, chips: ChipSet, arguments: Arguments, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the weights of the loss."""
        return dict(self.loss)

    def task(self, spec: ModelSpec) -> Task:
        """Return edge detection."""
        from chipwright.tasks.edges import EdgeTask

        return EdgeTask(spec)


class HedDetector(EdgeDetector):
    """HED (Xie & Tu 2015)."""

    keyword = "HED_EDGEDETECTOR"
    title = "Holistically-Nested Edge Detection"
    paper = "Xie, Tu: Holistically-Nested Edge Detection. ICCV 2015, arXiv:1504.06375"
    emd: ClassVar[dict[str, Any]] = EdgeDetector.emd | {"ModelName": "HEDEdgeDetector"}
    loss: ClassVar[dict[str, float]] = {"side_weight": 1.0, "fuse_weight": 1.0, "negative": 1.0}

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network."""
        from chipwright.networks.edges import Hed

        return Hed(self.backbone(spec, weights))


class BdcnDetector(EdgeDetector):
    """BDCN (He et al. 2019)."""

    keyword = "BDCN_EDGEDETECTOR"
    title = "Bi-Directional Cascade Network (edge detection)"
    paper = "He et al.: Bi-Directional Cascade Network for Perceptual Edge Detection. CVPR 2019, arXiv:1902.10903"
    emd: ClassVar[dict[str, Any]] = EdgeDetector.emd | {"ModelName": "BDCNEdgeDetector"}
    loss: ClassVar[dict[str, float]] = {"side_weight": 0.5, "fuse_weight": 1.1, "negative": 1.1}

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network."""
        from chipwright.networks.edges import CASCADE_STRIDE, Bdcn

        return Bdcn(self.backbone(spec, weights, CASCADE_STRIDE))


HED = HedDetector()
BDCN = BdcnDetector()
