"""What model types have in common that are trained against a judge."""

from __future__ import annotations

from collections.abc import Sequence

from chipwright.chips.chipset import ChipSet
from chipwright.models.base import Arguments, ModelType
from chipwright.normalization import signed_unit
from chipwright.spec import Normalization


class TranslationModel(ModelType):
    """Takes and makes images within -1..1, the range of generators that end in tanh."""

    def normalization(
        self, chips: ChipSet, arguments: Arguments, weights: tuple[Sequence[float], Sequence[float]] | None
    ) -> Normalization:
        """Return what brings the first images to -1..1."""
        return signed_unit(chips)

    def second_normalization(
        self, chips: ChipSet, arguments: Arguments, weights: tuple[Sequence[float], Sequence[float]] | None
    ) -> Normalization | None:
        """Return what brings the second images there, where there are some."""
        return signed_unit(chips.second) if chips.second else None
