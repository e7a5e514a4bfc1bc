"""A model type of no use, with an argument of every kind, for tests of parsing and of both faces."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from chipwright import catalog
from chipwright.models.base import Arguments, BackboneRule, ModelType


class DecoderSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    embed_size: int = Field(100, ge=1)
    dropout: float = Field(0.1, ge=0, le=1)
    pretrained_emb: bool = False


class ToyArguments(Arguments):
    grids: list[Annotated[int, Field(ge=1)]] | None = Field(None, description="Cells.")
    zooms: list[float] = Field([1.0])
    ratios: list[tuple[float, float]] = Field([(1.0, 1.0)])
    gaussian_thresh: float = Field(0.76, ge=0, le=1, description="Width of the road.")
    focal_loss: bool = False
    mtl_model: Literal["hourglass", "linknet"] = "hourglass"
    decode_params: DecoderSettings = DecoderSettings()
    model_weight: bool | str = False
    name: str = "a"
    ignore_classes: list[int | str] = Field([])
    even: int = 2

    aliases: ClassVar[dict[str, str]] = {"thresh": "gaussian_thresh"}

    @field_validator("even")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("an even number is needed")
        return value


class ToyType(ModelType):
    keyword = "TOY"
    title = "Toy (nothing at all)"
    paper = "Nobody: Nothing. 2000"
    formats = ("Toy_Tiles",)
    arguments = ToyArguments
    monitors = ("valid_loss", "accuracy")
    backbones = BackboneRule("RESNET34", ("resnet",), timm=False)

    def build(self, spec: Any, weights: Any) -> Any:
        raise NotImplementedError

    def task(self, spec: Any) -> Any:
        raise NotImplementedError


TOY = ToyType()


def add_toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put TOY into the catalog, and LATER, which this version has not."""
    own = catalog.rows()
    extra = {"TOY": catalog.Row("TOY", TOY.title, "toy_types:TOY"), "LATER": catalog.Row("LATER", "Later")}
    monkeypatch.setattr(catalog, "rows", lambda: {**own, **extra})


class FakeApi(SimpleNamespace):
    """Stands in for `chipwright.api`: remembers what it was called with, and returns or raises what it was told to."""

    def __init__(self, answer: Any = None) -> None:
        super().__init__(answer=answer, called="", args=(), kwargs={})

    def _call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.called, self.args, self.kwargs = name, args, kwargs
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer() if callable(self.answer) else self.answer

    def install(self, monkeypatch: pytest.MonkeyPatch) -> FakeApi:
        """Take the place of every call of `chipwright.api`."""
        from chipwright import api

        for name in ("train", "evaluate", "inspect", "repackage", "demo"):
            monkeypatch.setattr(api, name, lambda *args, _name=name, **kwargs: self._call(_name, args, kwargs))
        return self
