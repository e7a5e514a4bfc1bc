"""What MMSEGMENTATION and MMDETECTION share: which network is meant, and which weights it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, field_validator

from chipwright.errors import listed, suggestion
from chipwright.models.base import BackboneArguments

if TYPE_CHECKING:
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
