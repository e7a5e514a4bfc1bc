"""`ModelType`: one row of the catalog, the single source of truth for everything a model type is called, eats and accepts.

The command line's help, the errors, the documentation pages, the `.emd` and the contract tests are read off it. Importing a
model type costs no torch: heavy libraries are imported inside `build` and `task`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from chipwright.chips.chipset import ChipSet
from chipwright.errors import OptionError, listed, suggestion
from chipwright.normalization import choose_normalization
from chipwright.spec import ModelSpec, Normalization

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.backbones import Backbone
    from chipwright.networks.weights import BackboneWeights
    from chipwright.tasks.base import Task


class Arguments(BaseModel):
    """Arguments every model type takes. Subclasses add theirs; field descriptions are the help text."""

    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)

    chip_size: int | None = Field(
        None,
        ge=16,
        description="Side in pixels of the crop that is trained on; default: the tile size of the training data.",
    )
    monitor: str = Field("valid_loss", description="Metric that picks the best epoch and stops training early.")

    aliases: ClassVar[dict[str, str]] = {}
    """Other spellings accepted: alias -> argument name."""


class BackboneArguments(Arguments):
    """Arguments of every model type with a convolutional backbone."""

    weight_init_scheme: Literal["random", "red_band", "all_random"] = Field(
        "random",
        description="How the first convolution starts for bands beyond red, green and blue: random, copies of the red band's "
        "weights, or all bands random.",
    )


FAMILIES: dict[str, tuple[str, ...]] = {
    "resnet": ("RESNET18", "RESNET34", "RESNET50", "RESNET101", "RESNET152"),
    "densenet": ("DENSENET121", "DENSENET161", "DENSENET169", "DENSENET201"),
    "vgg": ("VGG11", "VGG11_BN", "VGG13", "VGG13_BN", "VGG16", "VGG16_BN", "VGG19", "VGG19_BN"),
    "mobilenet": ("MOBILENET_V2",),
    "darknet": ("DARKNET53",),
    "reid": ("REID_V1", "REID_V2"),
    "sr3": ("SR3",),
    "plain": ("UNET",),
}
"""Backbone keywords of the reference by family."""

KEYWORDS = tuple(keyword for family in FAMILIES.values() for keyword in family)


@dataclass(frozen=True)
class BackboneRule:
    """The backbones one model type takes: its default, keyword families, and whether `timm:NAME` networks."""

    default: str
    families: tuple[str, ...] = ("resnet", "mobilenet")
    timm: bool = True

    @property
    def keywords(self) -> tuple[str, ...]:
        """Every keyword allowed."""
        return tuple(keyword for family in self.families for keyword in FAMILIES[family])

    def resolve(self, name: str | None, model_type: str) -> str:
        """Return the backbone's keyword as the catalog spells it ("RESNET34", "timm:convnext_tiny").

        Raises:
            OptionError: for an unknown backbone, or one that the model type does not take.
        """
        if not name:
            return self.default
        if name.lower().startswith("timm:"):
            if not self.timm:
                raise OptionError(f"{model_type} does not take timm backbones; it takes {listed(self.keywords, 30)}.")
            return "timm:" + name[5:]
        keyword = name.upper().replace("-", "_")
        if keyword in self.keywords:
            return keyword
        also = " or timm:NAME" if self.timm else ""
        if keyword in KEYWORDS:
            raise OptionError(f"{model_type} does not take the backbone {keyword}; it takes {listed(self.keywords, 30)}{also}.")
        hint = suggestion(keyword, self.keywords)
        raise OptionError(f"There is no backbone {name!r}.{hint} {model_type} takes {listed(self.keywords, 30)}{also}.")


@dataclass(frozen=True)
class Tiny:
    """Options that make a model type small enough for the contract suite: a few seconds on two cores."""

    backbone: str | None = "timm:test_resnet"
    chip_size: int = 64
    arguments: dict[str, Any] = field(default_factory=dict)
    learning_rate: float = 3e-3
    epochs: int = 8


class ModelType(ABC):
    """One model type. Instances carry no state."""

    keyword: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    formats: ClassVar[tuple[str, ...]]
    """Metadata formats accepted, the most usual first."""
    data_hint: ClassVar[str] = ""
    """How to get data of such a format, in a sentence, where its name does not say."""
    arguments: ClassVar[type[Arguments]]
    monitors: ClassVar[tuple[str, ...]] = ("valid_loss",)
    backbones: ClassVar[BackboneRule | None] = None
    whole_networks: ClassVar[frozenset[str]] = frozenset()
    """Backbone keywords that name the whole network, which has no published weights."""
    directions: ClassVar[tuple[str, ...]] = ()
    """Ways in which a trained model can be put to work, the usual one first; empty where there is but one."""
    smallest_batch: ClassVar[int] = 1
    tiny: ClassVar[Tiny] = Tiny()
    no_onnx: ClassVar[str | None] = None
    """Why the network does not export to ONNX, where it does not."""
    emd: ClassVar[dict[str, Any]] = {}
    """Constant `.emd` keys of the type: ModelConfiguration, ModelType, ModelName, SupportsVariableTileSize."""

    def check(self, chips: ChipSet, arguments: Arguments) -> None:
        """Raise `DataError` or `OptionError` where chips and arguments do not suit the type beyond format and ranges."""
        return

    def no_backbone(self, arguments: Arguments) -> str | None:
        """Return why the network has no backbone with these arguments, though the type takes some; None where it has one."""
        return None

    def normalization(
        self, chips: ChipSet, arguments: Arguments, weights: tuple[Sequence[float], Sequence[float]] | None
    ) -> Normalization:
        """Return the scaling of the chips' images; `weights` are the (mean, deviation) that pretrained weights ask for."""
        return choose_normalization(chips, weights)

    def second_normalization(
        self, chips: ChipSet, arguments: Arguments, weights: tuple[Sequence[float], Sequence[float]] | None
    ) -> Normalization | None:
        """Return the scaling of the chips' second images, None where there are none."""
        return choose_normalization(chips.second, weights) if chips.second else None

    def chip_size(self, chips: ChipSet, arguments: Arguments) -> tuple[int, int]:
        """Return (width, height) in pixels that the network is trained on: the argument's, or the tiles'."""
        return (arguments.chip_size, arguments.chip_size) if arguments.chip_size else chips.tile_size

    def fit(self, chips: ChipSet, arguments: Arguments, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return what is fitted on the training split (class weights, anchors, ...) as JSON data for `ModelSpec.fitted`.

        `earlier` is what the pretrained model had fitted, when one is fine-tuned: what its weights rest on stays.
        """
        return {}

    def requirements(self, spec: ModelSpec) -> list[str]:
        """See that what training needs beside the chips is at hand, and return what is to be said of it.

        Raises:
            OptionError: where it is not. Called before training alone, never for a finished model.
        """
        return []

    @abstractmethod
    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network; `weights` are the backbone's, or None for random ones (loading a package passes None)."""

    def initialize(self, network: nn.Module, spec: ModelSpec) -> list[str]:
        """Give a new network first values from files that arguments name, and return what to say of it.

        Not called for networks whose weights come from a package or a checkpoint: those files need not be there any more.
        """
        return []

    @abstractmethod
    def task(self, spec: ModelSpec) -> Task:
        """Return the task that trains and applies the network."""

    def backbone(self, spec: ModelSpec, weights: BackboneWeights | None, output_stride: int = 32) -> Backbone:
        """Return the backbone that a spec names, for its bands."""
        from chipwright.networks.backbones import create_backbone

        assert spec.backbone, f"{self.keyword} has a backbone"
        scheme = spec.arguments.get("weight_init_scheme", "random")
        return create_backbone(spec.backbone, len(spec.bands), weights, output_stride=output_stride, weight_init_scheme=scheme)

    def onnx_obstacle(self, spec: ModelSpec) -> str | None:
        """Return why a model of this type does not export to ONNX, None where it does."""
        return self.no_onnx

    def turned(self, spec: ModelSpec, direction: str) -> ModelSpec:
        """Return a model as one that works in one of the type's `directions`; its network has the same weights."""
        return spec

    def emd_keys(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the `.emd` keys of the type's family beside the common ones (see `chipwright.package.emd`)."""
        return dict(self.emd)

    def default_batch_size(self, chip_size: int) -> int:
        """Return the batch size for a CPU, from a fixed table so that runs are reproducible."""
        return max(self.smallest_batch, 16 if chip_size <= 128 else 8 if chip_size <= 256 else 4 if chip_size <= 512 else 2)
