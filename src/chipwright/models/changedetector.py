"""CHANGEDETECTOR: what changed between two dates, by STANet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from chipwright.chips.chipset import ChipSet
from chipwright.errors import DataError, listed
from chipwright.models.base import Arguments, BackboneArguments, BackboneRule, ModelType, Tiny
from chipwright.models.binary import require_one_class
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights
    from chipwright.tasks.base import Task


class ChangeArguments(BackboneArguments):
    """Arguments of CHANGEDETECTOR."""

    attention_type: Literal["PAM", "BAM"] = Field(
        "PAM", description="Attention within regions of four sizes (PAM), or over the whole chip alone (BAM), which is cheaper."
    )

    @field_validator("attention_type", mode="before")
    @classmethod
    def _capital(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value


class ChangeDetector(ModelType):
    """STANet (Chen & Shi 2020)."""

    keyword = "CHANGEDETECTOR"
    title = "Change detector (two dates)"
    paper = (
        "Chen, Shi: A Spatial-Temporal Attention-Based Method and a New Dataset for Remote Sensing Image Change Detection. "
        "Remote Sensing 2020, 12(10), 1662"
    )
    formats = ("ChangeDetection",)
    data_hint = (
        "It needs pairs of images: export Classified Tiles with an additional input raster, the later date, and copy the "
        "folder images2 with the rest."
    )
    arguments: ClassVar[type[Arguments]] = ChangeArguments
    monitors = ("valid_loss", "precision", "recall", "f1", "iou", "accuracy")
    backbones = BackboneRule("RESNET18", ("resnet", "mobilenet"))
    tiny = Tiny(epochs=10)
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "change_detection",
        "ModelType": "ImageClassification",
        "ModelName": "ChangeDetector",
        "SupportsVariableTileSize": True,
    }

    def check(self, chips: ChipSet, arguments: Arguments) -> None:
        """Raise `DataError` where the two dates cannot be compared, or the labels are not of one class."""
        second = chips.second
        assert second is not None, "pairs have second images"
        first = (len(chips.bands), chips.dtype)
        if first != (len(second.bands), second.dtype):
            raise DataError(
                f"{listed(chips.folders)}: the earlier images have {first[0]} bands of {first[1]}, the later "
                f"{len(second.bands)} of {second.dtype}, but one network reads both dates. Export both from rasters of "
                "the same bands and pixel type."
            )
        require_one_class(chips, self.keyword, "changed ground")

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network."""
        from chipwright.networks.stanet import ChangeNetwork

        return ChangeNetwork(self.backbone(spec, weights), spec.arguments["attention_type"])

    def task(self, spec: ModelSpec) -> Task:
        """Return change detection."""
        from chipwright.tasks.change import ChangeTask

        return ChangeTask(spec)

    def emd_keys(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the family's keys: both dates' bands, one after the other, go in."""
        return super().emd_keys(spec) | {"ExtractBands": list(range(2 * len(spec.bands)))}


CHANGEDETECTOR = ChangeDetector()
