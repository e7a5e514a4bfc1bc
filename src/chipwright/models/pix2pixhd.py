"""PIX2PIXHD: images out of images, or out of maps of classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from chipwright.chips.chipset import BACKGROUND, ChipSet
from chipwright.errors import DataError, OptionError, listed
from chipwright.models.base import Arguments, Tiny
from chipwright.models.translation import TranslationType
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights
    from chipwright.tasks.base import Task

_COLORS = 3
"""Bands of the images that the VGG loss compares."""

_PIXEL_WEIGHT = 100.0
"""Of the difference between pixels, where the VGG loss does not apply."""

_GLOBAL_WIDTH = 64
"""Channels of the published global generator."""


class Pix2PixHDArguments(Arguments):
    """Arguments of PIX2PIXHD."""

    n_gen_filters: int | None = Field(
        None,
        ge=1,
        le=512,
        description="Channels of the generator at full resolution; default as published: 64 for the global one, 32 with one "
        "local enhancer (half of that for each more), so that the global one within has 64.",
    )
    gen_network: Literal["local", "global"] = Field(
        "local",
        description="The generator: the global one alone, which takes less memory, or within local enhancers.",
    )
    n_downsample_global: int = Field(4, ge=1, le=8, description="How often the global generator halves its input.")
    n_blocks_global: int = Field(9, ge=0, le=64, description="Residual blocks of the global generator.")
    n_local_enhancers: int = Field(
        1, ge=1, le=4, description="Local enhancers around it, each at twice the resolution of what is within."
    )
    n_blocks_local: int = Field(3, ge=0, le=64, description="Residual blocks of each local enhancer.")
    norm: Literal["instance", "batch"] = Field("instance", description="Normalisation over each image, or over the batch.")
    lsgan: bool = Field(True, description="Adversarial loss by least squares; False: by cross-entropy.")
    n_dscr_filters: int = Field(64, ge=1, le=512, description="Channels of the discriminators' first layer.")
    n_layers_dscr: int = Field(3, ge=1, le=8, description="Halvings of each discriminator.")
    n_dscr: int = Field(2, ge=1, le=5, description="Discriminators, each at half the resolution of the one before.")
    feat_loss: bool = Field(True, description="Match the discriminators' features of made and true images.")
    vgg_loss: bool = Field(
        True, description="Match what a VGG19 trained on ImageNet sees of both; of images with three bands alone."
    )
    lambda_feat: float = Field(10, ge=0, description="Weight of the feature matching, and of the VGG loss.")
    lambda_l1: float | None = Field(
        None, ge=0, description="Weight of the difference between pixels; default 100, and 0 for images with three bands."
    )
    perceptual_weights: str = Field("imagenet", description="Weights of that VGG19: imagenet, or a file.")
    label_nc: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Thematic labels: number of class values, from 0 on; default: 0 and the values of the data's classes.",
    )

    aliases: ClassVar[dict[str, str]] = {
        "n_gf": "n_gen_filters",
        "ngf": "n_gen_filters",
        "netG": "gen_network",
        "ndf": "n_dscr_filters",
        "n_layers_D": "n_layers_dscr",
        "num_D": "n_dscr",
    }


class Pix2PixHD(TranslationType):
    """pix2pixHD (Wang et al. 2018)."""

    keyword = "PIX2PIXHD"
    title = "Pix2PixHD (paired image translation, high resolution)"
    paper = (
        "Wang et al.: High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs. CVPR 2018, "
        "arXiv:1711.11585"
    )
    formats = ("Export_Tiles",)
    data_hint = "It needs pairs: export Export Tiles with an additional input raster, or with a thematic raster as labels."
    arguments: ClassVar[type[Arguments]] = Pix2PixHDArguments
    monitors = ("valid_loss", "psnr", "ssim")
    tiny = Tiny(
        backbone=None,
        arguments={
            "n_gen_filters": 8, "n_downsample_global": 2, "n_blocks_global": 2, "n_blocks_local": 1, "n_dscr_filters": 8,
            "n_layers_dscr": 2, "vgg_loss": False, "lambda_l1": 100,
        },
    )  # fmt: skip
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "_pix2pix_hd",
        "ModelType": "Pix2PixHD",
        "ModelName": "Pix2PixHD",
        "SupportsVariableTileSize": True,
    }

    def check(self, chips: ChipSet, arguments: Arguments) -> None:
        """Raise `DataError` where there is nothing to make images of, `OptionError` for small chips or a low `label_nc`."""
        assert isinstance(arguments, Pix2PixHDArguments)
        if chips.second is None and all(chip.label is None for chip in chips.chips):
            raise DataError(
                f"{listed(chips.folders)}: the chips are single images, but {self.keyword} learns to make one image of "
                "another, or of a map of classes. Export Tiles with an additional input raster (images2), or with a thematic "
                "raster (labels)."
            )
        super().check(chips, arguments)
        if chips.second is not None:
            return
        highest = max((info.value for info in chips.classes), default=0)
        if arguments.label_nc is not None and highest >= arguments.label_nc:
            raise OptionError(
                f"label_nc {arguments.label_nc} means the class values 0 to {arguments.label_nc - 1}, but the labels hold "
                f"{highest}. Give {highest + 1} or more, or leave it out."
            )

    def smallest_side(self, arguments: Arguments) -> int:
        """Return the least side in pixels of chips, of which the last discriminator must see two pixels."""
        assert isinstance(arguments, Pix2PixHDArguments)
        return int(2 ** (arguments.n_dscr - 1)) + 1

    def fit(self, chips: ChipSet, arguments: Arguments, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the weights of the losses, and the class values that one-hot input has a plane for, if it is a map of classes.

        A fine-tuned model keeps the planes of the one it comes from, unless classes were added.
        """
        assert isinstance(arguments, Pix2PixHDArguments)
        made = len((chips.second or chips).bands)
        pixels = arguments.lambda_l1
        if pixels is None:
            pixels = 0.0 if made == _COLORS else _PIXEL_WEIGHT
        fitted: dict[str, Any] = {"vgg_loss": arguments.vgg_loss and made == _COLORS, "lambda_l1": pixels, "notes": []}
        if arguments.vgg_loss and made != _COLORS:
            fitted["notes"].append(
                f"The VGG loss compares images of three bands; these have {made}, so pixels are compared (weight {pixels:g})."
            )
        if chips.second is None:
            values, known = self._labels(chips, arguments), (earlier or {}).get("labels") or []
            fitted["labels"] = known if set(values) <= set(known) else values
        return fitted

    @staticmethod
    def _labels(chips: ChipSet, arguments: Pix2PixHDArguments) -> list[int]:
        if arguments.label_nc is not None:
            return list(range(arguments.label_nc))
        return sorted({BACKGROUND, *(info.value for info in chips.classes)})

    def requirements(self, spec: ModelSpec) -> list[str]:
        """See that the VGG loss has its weights."""
        if not spec.fitted["vgg_loss"]:
            return []
        from chipwright.networks.perceptual import PIX2PIXHD_NETWORK, find_perceptual_weights
        from chipwright.tasks.pix2pixhd import WITHOUT

        weights = find_perceptual_weights(PIX2PIXHD_NETWORK, spec.arguments["perceptual_weights"], WITHOUT)
        return [f"VGG loss: {weights.source}."]

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return generator and discriminators."""
        from chipwright.networks.adversarial import initialize
        from chipwright.networks.pix2pixhd import MultiscaleDiscriminator, Pix2PixHDGenerator
        from chipwright.tasks.translation import AdversarialNetwork

        given, labels = spec.arguments, spec.fitted.get("labels")
        bands, made = len(labels or spec.bands), len((spec.second or spec).bands)
        enhancers = given["n_local_enhancers"] if given["gen_network"] == "local" else 0
        generator = Pix2PixHDGenerator(
            bands,
            made,
            width=given["n_gen_filters"] or max(1, _GLOBAL_WIDTH // 2**enhancers),
            halvings=given["n_downsample_global"],
            blocks=given["n_blocks_global"],
            enhancers=enhancers,
            local_blocks=given["n_blocks_local"],
            norm=given["norm"],
            labels=labels,
        )
        discriminator = MultiscaleDiscriminator(
            bands + made, given["n_dscr_filters"], given["n_layers_dscr"], given["n_dscr"], given["norm"]
        )
        network = AdversarialNetwork(generator, discriminator)
        initialize(network)
        return network

    def task(self, spec: ModelSpec) -> Task:
        """Return translation from images, or from maps of classes."""
        from chipwright.tasks.pix2pixhd import LabelsToImagesTask, Pix2PixHDTask

        return LabelsToImagesTask(spec) if spec.fitted.get("labels") else Pix2PixHDTask(spec)

    def emd_keys(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the family's keys."""
        labels, made = spec.fitted.get("labels"), (spec.second or spec).bands
        keys = super().emd_keys(spec) | {"Kwargs": dict(spec.arguments), "norm_stats": [[0.5] * len(made), [0.5] * len(made)]}
        if labels:
            planes = {str(value): plane for plane, value in enumerate(labels)}
            keys |= {"n_intput_channel": len(labels), "ExtractBands": [0], "IsMultispectral": False}
            keys |= {"label_nc": len(labels), "mask_map": planes}
        return keys


PIX2PIXHD = Pix2PixHD()
