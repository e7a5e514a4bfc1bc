"""What MMSEGMENTATION and MMDETECTION share: which network is meant, and which weights it starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, field_validator

from chipwright.chips.chipset import ChipSet
from chipwright.errors import OptionError, listed, suggestion
from chipwright.models.base import Arguments, BackboneArguments, ModelType
from chipwright.normalization import choose_normalization
from chipwright.spec import ModelSpec, Normalization

if TYPE_CHECKING:
    from torch import nn

    from chipwright.openmmlab.sources import Source


class OpenMMLabArguments(BackboneArguments):
    """Arguments of both. Subclasses give `model` its default."""

    model: str = Field("", description="Name of the network, or the path of a config of OpenMMLab's.")
    model_weight: bool | str = Field(
        False,
        description="What it starts from: False for random weights; True for those published for it; the path of a weights "
        "file, or of a config that names one (load_from) and is used in place of model.",
    )

    package: ClassVar[str]
    """OpenMMLab's package whose configs are meant: "mmseg" or "mmdet"."""
    configs: ClassVar[Mapping[str, str]]
    """Name -> config that the package ships."""

    @field_validator("model")
    @classmethod
    def _known(cls, value: str) -> str:
        """Take a name in any case, or a path."""
        from chipwright.openmmlab.sources import is_config

        name = value.strip()
        if is_config(name):
            return name
        if name.lower() in cls.configs:
            return name.lower()
        raise ValueError(
            f"a name or the path of a config (.py, .json) is expected.{suggestion(name, cls.configs)} "
            f"Names: {listed(cls.configs, 40)}"
        )

    @field_validator("model_weight", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        """Take "no", "none" and "yes", which are no files."""
        word = value.strip().lower() if isinstance(value, str) else value
        return {"no": False, "none": False, "yes": True}.get(word, value) if isinstance(word, str) else value

    @property
    def source(self) -> Source:
        """The config and the weights that are meant.

        Raises:
            OptionError: if a file is not there, or no weights are known.
        """
        from chipwright.openmmlab.sources import find_source

        return find_source(self.package, self.configs, self.model, self.model_weight)

    @property
    def scaling(self) -> Any:
        """(mean, deviation) that the weights were trained with, None without weights."""
        from chipwright.openmmlab.configs import read_model
        from chipwright.openmmlab.descriptions import scaling

        return scaling(read_model(self.source.config)) if self.model_weight else None


class OpenMMLabType(ModelType):
    """What both do as rows of the catalog. Subclasses add `fit` and `build`, whose network has OpenMMLab's as `model`."""

    def check(self, chips: ChipSet, arguments: Arguments) -> None:
        """Raise `MissingExtra` without the packages; `OptionError` or `DataError` where the chips or the config do not suit."""
        from chipwright.openmmlab.configs import require_packages

        require_packages(self.keyword)
        assert isinstance(arguments, OpenMMLabArguments)
        _ = arguments.source
        super().check(chips, arguments)

    def normalization(
        self, chips: ChipSet, arguments: Arguments, weights: tuple[Sequence[float], Sequence[float]] | None
    ) -> Normalization:
        """Return the scaling that the network's weights ask for, if it starts from any."""
        assert isinstance(arguments, OpenMMLabArguments)
        return choose_normalization(chips, arguments.scaling)

    def initialize(self, network: nn.Module, spec: ModelSpec) -> list[str]:
        """Load the weights that `model_weight` names, if any."""
        arguments = self.arguments.model_validate(spec.arguments)
        assert isinstance(arguments, OpenMMLabArguments)
        source = arguments.source
        if source.weights is None:
            return []
        from chipwright.openmmlab.checkpoints import load_checkpoint
        from chipwright.openmmlab.configs import read_model
        from chipwright.openmmlab.descriptions import takes_bgr
        from chipwright.openmmlab.sources import find_weights_file

        built: Any = network
        return load_checkpoint(
            built.model,
            find_weights_file(source.weights),
            frozenset(name.removeprefix("model.") for name in built.class_tensors()),
            bgr=takes_bgr(read_model(source.config)),
            weight_init_scheme=arguments.weight_init_scheme,
        )

    def emd_keys(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the family's keys, and which network it is."""
        return super().emd_keys(spec) | {"Kwargs": {"model": spec.arguments["model"]}}


def require_same(was: str, now: str, arguments: OpenMMLabArguments, same: bool) -> None:
    """Check that the pretrained model is of the network that is to be trained.

    Args:
        was, now: what tells their networks apart, in words.
        arguments: of the new model.
        same: whether they are the same.

    Raises:
        OptionError: if it is not.
    """
    if not same:
        raise OptionError(
            f"The pretrained model is another network ({was}) than model={arguments.model} names ({now}). Give its model, "
            "which its .emd names."
        )
