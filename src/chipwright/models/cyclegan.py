"""CYCLEGAN: images of one kind as images of another, learnt without pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from chipwright.chips.chipset import ChipSet, SecondImages
from chipwright.models.base import Arguments, Tiny
from chipwright.models.translation import TranslationType
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights
    from chipwright.tasks.base import Task


class CycleArguments(Arguments):
    """Arguments of CYCLEGAN."""

    monitor: str = Field(
        "translation_error",
        description="Metric that picks the best epoch and stops training early: how far images are from themselves once "
        "translated and brought back, and translated ones in their values from those of the other kind.",
    )
    gen_blocks: int = Field(9, ge=1, le=32, description="Residual blocks of each generator.")
    lsgan: bool = Field(True, description="Adversarial loss by least squares; False: by cross-entropy.")
    n_gen_filters: int = Field(64, ge=4, le=512, description="Channels of the generators at full resolution; fewer are faster.")
    n_dscr_filters: int = Field(64, ge=4, le=512, description="Channels of the discriminators' first layer.")


class CycleGan(TranslationType):
    """CycleGAN (Zhu et al. 2017)."""

    keyword = "CYCLEGAN"
    title = "CycleGAN (unpaired image translation)"
    paper = (
        "Zhu, Park, Isola, Efros: Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks. ICCV 2017, "
        "arXiv:1703.10593"
    )
    formats = ("CycleGAN",)
    data_hint = "It needs two folders, A and B, each an export of one kind of imagery."
    arguments: ClassVar[type[Arguments]] = CycleArguments
    monitors = ("translation_error", "cycle_error", "histogram_distance", "valid_loss")
    directions = ("AtoB", "BtoA")
    tiny = Tiny(
        backbone=None, chip_size=32, arguments={"gen_blocks": 1, "n_gen_filters": 16, "n_dscr_filters": 16}, epochs=8
    )  # fmt: skip
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "_cyclegan",
        "ModelType": "CycleGAN",
        "ModelName": "CycleGAN",
        "SupportsVariableTileSize": True,
    }

    def chip_size(self, chips: ChipSet, arguments: Arguments) -> tuple[int, int]:
        """Return (width, height) that both domains' images are cropped to: the argument's, or the smaller tiles'."""
        assert chips.second is not None, "unpaired data have two domains"
        (width, height), other = super().chip_size(chips, arguments), chips.second.tile_size
        return (width, height) if arguments.chip_size else (min(width, other[0]), min(height, other[1]))

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network."""
        from chipwright.networks.adversarial import initialize
        from chipwright.networks.cyclegan import CycleGenerators, CycleJudges
        from chipwright.tasks.translation import AdversarialNetwork

        assert spec.second is not None
        bands = len(spec.bands), len(spec.second.bands)
        if spec.fitted.get("direction") == "BtoA":
            bands = bands[::-1]
        generators = CycleGenerators(bands, spec.arguments["gen_blocks"], spec.arguments["n_gen_filters"])
        generators.reverse = spec.fitted.get("direction") == "BtoA"
        network = AdversarialNetwork(generators, CycleJudges(bands, spec.arguments["n_dscr_filters"]))
        initialize(network)
        return network

    def task(self, spec: ModelSpec) -> Task:
        """Return translation without pairs."""
        from chipwright.tasks.cycle import CycleTask

        return CycleTask(spec)

    def turned(self, spec: ModelSpec, direction: str) -> ModelSpec:
        """Return the model as one that makes images of B of those of A ("AtoB"), or the other way round."""
        if direction == spec.fitted.get("direction", "AtoB"):
            return spec
        second = spec.second
        assert second is not None
        first = SecondImages(
            bands=spec.bands, dtype=spec.dtype, tile_size=spec.chip_size, statistics=spec.statistics, nodata=spec.nodata
        )
        return spec.model_copy(
            update={
                "bands": second.bands, "dtype": second.dtype, "statistics": second.statistics, "nodata": second.nodata,
                "normalization": spec.second_normalization, "second": first, "second_normalization": spec.normalization,
                "fitted": spec.fitted | {"direction": direction},
            }
        )  # fmt: skip

    def emd_keys(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the family's keys, and the bands of what is made of images of B."""
        return super().emd_keys(spec) | {"n_channel_rev": len(spec.bands)}


CYCLEGAN = CycleGan()
