"""SUPERRESOLUTION: images at finer cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from chipwright.chips.chipset import ChipSet
from chipwright.errors import DataError, listed
from chipwright.models.base import Arguments, BackboneArguments, BackboneRule, ModelType, Tiny
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights
    from chipwright.tasks.base import Task


class SuperresolutionArguments(BackboneArguments):
    """Arguments of SUPERRESOLUTION."""

    downsample_factor: int = Field(
        4, ge=2, le=16, description="How many times coarser the cells are that the network learns to make finer."
    )
    perceptual_loss: bool = Field(
        True,
        description="Compare what a VGG16 trained on ImageNet sees, beside the pixels: sharper to the eye, lower in PSNR. Of "
        "more than three bands red, green and blue are compared so, or the first three.",
    )
    perceptual_weights: str = Field(
        "imagenet", description="Weights of that VGG16 (with batch normalisation): imagenet, or a file."
    )


class Superresolution(ModelType):
    """A U-Net with pixel shuffle and self-attention, and a perceptual loss (Johnson et al. 2016)."""

    keyword = "SUPERRESOLUTION"
    title = "Super-resolution (image translation)"
    paper = (
        "Johnson, Alahi, Fei-Fei: Perceptual Losses for Real-Time Style Transfer and Super-Resolution. ECCV 2016, "
        "arXiv:1603.08155"
    )
    formats = ("Export_Tiles",)
    data_hint = "It needs images alone, at the fine cell size: export them as Export Tiles."
    arguments: ClassVar[type[Arguments]] = SuperresolutionArguments
    monitors = ("valid_loss", "psnr", "ssim")
    backbones = BackboneRule("RESNET34", ("resnet",))
    tiny = Tiny(arguments={"perceptual_loss": False}, epochs=12)
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "_superres",
        "ModelType": "SuperResolution",
        "ModelName": "SuperResolution",
        "SupportsVariableTileSize": False,
    }

    def check(self, chips: ChipSet, arguments: Arguments) -> None:
        """Raise `DataError` where the chips hold pairs of images."""
        if chips.second is not None:
            raise DataError(
                f"{listed(chips.folders)}: the chips are pairs of images, but SUPERRESOLUTION learns from single ones and "
                "blurs them itself. Export Tiles from one raster, or take PIX2PIX for pairs."
            )

    def fit(self, chips: ChipSet, arguments: Arguments, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return nothing but a note; the weights of the perceptual loss must be at hand before the training starts."""
        assert isinstance(arguments, SuperresolutionArguments)
        if not arguments.perceptual_loss:
            return {}
        from chipwright.networks.perceptual import SUPERRESOLUTION_NETWORK, find_perceptual_weights
        from chipwright.tasks.superresolution import WITHOUT

        weights = find_perceptual_weights(SUPERRESOLUTION_NETWORK, arguments.perceptual_weights, WITHOUT)
        return {"notes": [f"Perceptual loss: {weights.source}."]}

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network."""
        from chipwright.networks.superresolution import SuperresolutionUnet

        return SuperresolutionUnet(self.backbone(spec, weights))

    def task(self, spec: ModelSpec) -> Task:
        """Return super-resolution."""
        from chipwright.tasks.superresolution import SuperresolutionTask

        return SuperresolutionTask(spec)

    def emd_keys(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the family's keys."""
        return super().emd_keys(spec) | {
            "downsample_factor": spec.arguments["downsample_factor"],
            "n_channel": len(spec.bands),
        }


SUPERRESOLUTION = Superresolution()
