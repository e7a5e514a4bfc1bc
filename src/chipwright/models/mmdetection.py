"""MMDETECTION: object detection by the networks of OpenMMLab's MMDetection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from chipwright.chips.chipset import ChipSet
from chipwright.errors import listed
from chipwright.models.base import Arguments, Tiny
from chipwright.models.detector import DetectorArguments, DetectorType, fitted_sizes
from chipwright.models.openmmlab import OpenMMLabArguments, OpenMMLabType, require_same
from chipwright.openmmlab.detectors import CONFIGS
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights


class MMDetectionArguments(DetectorArguments, OpenMMLabArguments):
    """Arguments of MMDETECTION."""

    model: str = Field(
        "cascade_rcnn", description=f"The network: {listed(CONFIGS, 40)}; or the path of a config of MMDetection 3.x."
    )
    box_detections_per_img: int = Field(100, ge=1, description="Most boxes returned for an image, all classes together.")

    package: ClassVar[str] = "mmdet"
    configs: ClassVar[Mapping[str, str]] = CONFIGS


class MMDetectionModel(OpenMMLabType, DetectorType):
    """A detector of MMDetection."""

    keyword = "MMDETECTION"
    title = "MMDetection (object detection)"
    paper = (
        "Chen et al.: MMDetection: Open MMLab Detection Toolbox and Benchmark. 2019, arXiv:1906.07155; each network has its own"
    )
    arguments: ClassVar[type[Arguments]] = MMDetectionArguments
    tiny = Tiny(backbone=None, arguments={"model": "fcos"}, learning_rate=1e-4, epochs=3)
    learning_rate = 1e-4
    gradient_clip = 35.0  # what MMDetection clips by where it does
    no_onnx = "its network chooses boxes by code that does not export."
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "_model_extension_inferencing",
        "ModelType": "ObjectDetection",
        "ModelName": "MMDetection",
        "SupportsVariableTileSize": False,
    }

    def fit(self, chips: ChipSet, arguments: Arguments, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return `network`, the description that it is built from, `anchor_sizes` where its anchors match badly, `notes`."""
        from chipwright.openmmlab.configs import read_model
        from chipwright.openmmlab.descriptions import adapted, anchor_layout, for_boxes, with_anchors

        assert isinstance(arguments, MMDetectionArguments)
        model = read_model(arguments.source.config)
        network = for_boxes(
            adapted(model, len(chips.classes), pretrained=bool(arguments.model_weight)), arguments.box_detections_per_img
        )
        if earlier:
            other = _differing(earlier["network"], network)
            was, now = _kind(earlier["network"]), _kind(network)
            require_same(f"{was} with another {listed(other)}" if was == now else was, now, arguments, not other)
        fitted: dict[str, Any] = {}
        notes: list[str] = []
        layout = anchor_layout(network)
        if layout and (earlier or not arguments.model_weight):  # published heads know the published anchors
            strides, settings = layout
            fitted, notes = fitted_sizes(chips, earlier, strides, **settings)
            network = with_anchors(network, fitted.get("anchor_sizes"))
        notes += self.crowded(chips, arguments.model_dump())
        return fitted | {"network": network} | ({"notes": notes} if notes else {})

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network with an output for each of the spec's classes."""
        from chipwright.openmmlab.configs import require_packages

        require_packages(self.keyword)
        from chipwright.openmmlab.detection import Detector

        pretrained = bool(spec.arguments["model_weight"])
        return Detector(spec.fitted["network"], len(spec.bands), len(spec.classes), pretrained=pretrained)


def _differing(some: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the parts in which two descriptions are of different networks, whatever their classes, anchors and settings."""
    from chipwright.openmmlab.descriptions import adapted, every

    plain: list[dict[str, Any]] = []
    for given in (some, other):
        network = adapted(dict(given), 1)
        for node in every(network):
            node.pop("base_sizes", None)
        plain.append({key: value for key, value in network.items() if key not in ("train_cfg", "test_cfg")})
    return sorted(key for key in plain[0].keys() | plain[1].keys() if plain[0].get(key) != plain[1].get(key))


def _kind(description: Mapping[str, Any]) -> str:
    """Return a detector and its backbone in words."""
    return f"{description.get('type')} on {description.get('backbone', {}).get('type')}"


MMDETECTION = MMDetectionModel()
