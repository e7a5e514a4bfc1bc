"""SUPERRESOLUTION: images at finer cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from chipwright.chips.chipset import ChipSet
from chipwright.errors import DataError, listed
from chipwright.models.base import Arguments, BackboneArguments, BackboneRule, ModelType, Tiny
from chipwright.models.translation import require_whole
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights
    from chipwright.tasks.base import Task

SR3 = "SR3"
"""The backbone keyword of the diffusion model."""


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
    inner_channel: int = Field(64, ge=8, le=512, description="SR3: channels at the finest resolution, an even number.")
    norm_groups: int = Field(32, ge=1, description="SR3: groups of the normalisations; a divisor of inner_channel.")
    channel_mults: list[Annotated[int, Field(ge=1, le=64)]] = Field(
        [1, 2, 4, 4, 8, 8], min_length=1, max_length=8, description="SR3: multiples of inner_channel, one a resolution."
    )
    attn_res: int | list[int] = Field(16, description="SR3: resolutions, in pixels of a chip, with attention.")
    res_blocks: int = Field(3, ge=1, le=16, description="SR3: residual blocks a resolution.")
    dropout: float = Field(0.0, ge=0, lt=1, description="SR3: share of activations dropped in each block.")
    schedule: Literal["linear", "warmup10", "warmup50", "const", "jsd", "cosine"] = Field(
        "linear", description="SR3: how the noise grows from step to step."
    )
    n_timestep: int = Field(1000, ge=2, le=10000, description="SR3: steps from the image to noise.")
    linear_start: float = Field(1e-6, gt=0, lt=1, description="SR3: noise of the first step.")
    linear_end: float = Field(1e-2, gt=0, lt=1, description="SR3: noise of the last step.")
    sampling_steps: int = Field(
        100,
        ge=1,
        le=10000,
        description="SR3: steps from noise to the image, each a pass through the network; n_timestep at most.",
    )
    sampling_seed: int = Field(0, ge=0, description="SR3: seed of the noise that images are drawn from.")

    @model_validator(mode="after")
    def _divided(self) -> SuperresolutionArguments:
        if self.inner_channel % self.norm_groups:
            raise ValueError(f"norm_groups {self.norm_groups} does not divide inner_channel {self.inner_channel}")
        if self.inner_channel % 2:
            raise ValueError(f"an even inner_channel is needed, not {self.inner_channel}: noise is told by sines and cosines")
        return self


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
    backbones = BackboneRule("RESNET34", ("resnet", "sr3"))
    whole_networks = frozenset({SR3})
    tiny = Tiny(arguments={"perceptual_loss": False}, epochs=12)
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "_superres",
        "ModelType": "SuperResolution",
        "ModelName": "SuperResolution",
        "SupportsVariableTileSize": False,
    }

    def check(self, chips: ChipSet, arguments: Arguments) -> None:
        """Raise `DataError` where the chips hold pairs of images, `OptionError` where they are larger than the tiles."""
        if chips.second is not None:
            raise DataError(
                f"{listed(chips.folders)}: the chips are pairs of images, but SUPERRESOLUTION learns from single ones and "
                "blurs them itself. Export Tiles from one raster, or take PIX2PIX for pairs."
            )
        require_whole(chips, arguments)

    def requirements(self, spec: ModelSpec) -> list[str]:
        """See that the perceptual loss has its weights."""
        if spec.backbone == SR3 or not spec.arguments["perceptual_loss"]:
            return []
        from chipwright.networks.perceptual import SUPERRESOLUTION_NETWORK, find_perceptual_weights
        from chipwright.tasks.superresolution import WITHOUT

        weights = find_perceptual_weights(SUPERRESOLUTION_NETWORK, spec.arguments["perceptual_weights"], WITHOUT)
        return [f"Perceptual loss: {weights.source}."]

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network."""
        if spec.backbone == SR3:
            return _sr3(spec)
        from chipwright.networks.superresolution import SuperresolutionUnet

        return SuperresolutionUnet(self.backbone(spec, weights))

    def task(self, spec: ModelSpec) -> Task:
        """Return super-resolution."""
        from chipwright.tasks.superresolution import DiffusionTask, SuperresolutionTask

        if spec.backbone == SR3:
            return DiffusionTask(spec)
        return SuperresolutionTask(spec)

    def onnx_obstacle(self, spec: ModelSpec) -> str | None:
        """Return why SR3 does not export."""
        return "SR3 draws an image in many passes through its network, not in one." if spec.backbone == SR3 else None

    def emd_keys(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the family's keys."""
        return super().emd_keys(spec) | {
            "downsample_factor": spec.arguments["downsample_factor"],
            "n_channel": len(spec.bands),
            "ModelArch": SR3 if spec.backbone == SR3 else "UNet",
        }


def _sr3(spec: ModelSpec) -> nn.Module:
    """Return the network of SR3."""
    from chipwright.networks.sr3 import Sr3Unet

    given = spec.arguments
    attention = given["attn_res"]
    return Sr3Unet(
        len(spec.bands),
        min(spec.chip_size),
        width=given["inner_channel"],
        groups=given["norm_groups"],
        multipliers=given["channel_mults"],
        attention_at=[attention] if isinstance(attention, int) else attention,
        blocks=given["res_blocks"],
        dropout=given["dropout"],
    )


SUPERRESOLUTION = Superresolution()
