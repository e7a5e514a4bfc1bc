"""PIX2PIX: images out of images, learnt from pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from chipwright.chips.chipset import ChipSet
from chipwright.errors import DataError, listed
from chipwright.models.base import Arguments, BackboneArguments, BackboneRule, Tiny
from chipwright.models.translation import TranslationType
from chipwright.normalization import choose_normalization
from chipwright.spec import ModelSpec, Normalization

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights
    from chipwright.tasks.base import Task

PLAIN = "UNET"
"""The backbone keyword of the paper's own generator."""


class Pix2PixArguments(BackboneArguments):
    """Arguments of PIX2PIX."""

    perceptual_loss: bool = Field(
        False,
        description="Compare what a VGG19 trained on ImageNet sees of made and true images, beside their pixels: sharper to "
        "the eye. Of more than three bands red, green and blue are compared so, or the first three.",
    )
    perceptual_weights: str = Field("imagenet", description="Weights of that VGG19: imagenet, or a file.")
    n_gen_filters: int = Field(
        64, ge=4, le=512, description="Channels of the generator's first level, without a backbone; fewer are faster."
    )
    n_dscr_filters: int = Field(64, ge=4, le=512, description="Channels of the discriminator's first layer.")


class Pix2Pix(TranslationType):
    """pix2pix (Isola et al. 2017)."""

    keyword = "PIX2PIX"
    title = "Pix2Pix (paired image translation)"
    paper = (
        "Isola, Zhu, Zhou, Efros: Image-to-Image Translation with Conditional Adversarial Networks. CVPR 2017, arXiv:1611.07004"
    )
    formats = ("Export_Tiles",)
    data_hint = "It needs pairs: export Export Tiles with an additional input raster (images2)."
    arguments: ClassVar[type[Arguments]] = Pix2PixArguments
    monitors = ("valid_loss", "psnr", "ssim")
    backbones = BackboneRule(PLAIN, ("plain", "resnet"))
    whole_networks = frozenset({PLAIN})
    tiny = Tiny(backbone=PLAIN, chip_size=32, arguments={"n_gen_filters": 8, "n_dscr_filters": 8})
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "_pix2pix",
        "ModelType": "Pix2Pix",
        "ModelName": "Pix2Pix",
        "SupportsVariableTileSize": False,
    }

    def check(self, chips: ChipSet, arguments: Arguments) -> None:
        """Raise `DataError` where the chips are no pairs, `OptionError` where they are too small."""
        if chips.second is None:
            raise DataError(
                f"{listed(chips.folders)}: the chips are single images, but {self.keyword} learns to make one image of "
                "another. Export Tiles with an additional input raster (images2); for maps of classes take PIX2PIXHD."
            )
        super().check(chips, arguments)

    def normalization(
        self, chips: ChipSet, arguments: Arguments, weights: tuple[Sequence[float], Sequence[float]] | None
    ) -> Normalization:
        """Return the scaling of the first images to -1..1, or the one that a backbone's weights ask for."""
        return choose_normalization(chips, weights) if weights else super().normalization(chips, arguments, weights)

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return generator and discriminator."""
        from chipwright.networks.adversarial import PatchDiscriminator, initialize
        from chipwright.networks.pix2pix import BackboneGenerator, Pix2PixGenerator, halvings_for
        from chipwright.tasks.translation import AdversarialNetwork

        assert spec.second is not None
        bands, made = len(spec.bands), len(spec.second.bands)
        discriminator = PatchDiscriminator(bands + made, spec.arguments["n_dscr_filters"])
        initialize(discriminator)
        if spec.backbone != PLAIN:
            return AdversarialNetwork(BackboneGenerator(self.backbone(spec, weights), made), discriminator)
        generator = Pix2PixGenerator(bands, made, spec.arguments["n_gen_filters"], halvings_for(min(spec.chip_size)))
        initialize(generator)
        return AdversarialNetwork(generator, discriminator)

    def default_batch_size(self, chip_size: int) -> int:
        """Return 4, not the paper's 1: running means of single images say little of what prediction will meet."""
        return 4

    def requirements(self, spec: ModelSpec) -> list[str]:
        """See that the perceptual loss has its weights."""
        if not spec.arguments["perceptual_loss"]:
            return []
        from chipwright.networks.perceptual import PIX2PIXHD_NETWORK, find_perceptual_weights
        from chipwright.tasks.pix2pix import WITHOUT

        weights = find_perceptual_weights(PIX2PIXHD_NETWORK, spec.arguments["perceptual_weights"], WITHOUT)
        return [f"Perceptual loss: {weights.source}."]

    def task(self, spec: ModelSpec) -> Task:
        """Return translation from pairs."""
        from chipwright.tasks.pix2pix import Pix2PixTask

        return Pix2PixTask(spec)


PIX2PIX = Pix2Pix()
