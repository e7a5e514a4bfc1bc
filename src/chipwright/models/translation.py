"""What model types of adversarial translation have in common: images within -1..1, and small batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chipwright.chips.chipset import ChipSet
from chipwright.errors import OptionError
from chipwright.models.base import Arguments, ModelType
from chipwright.normalization import signed_unit
from chipwright.package.emd import normalization_stats
from chipwright.spec import ModelSpec, Normalization


class TranslationType(ModelType):
    """A type whose networks make images that end in tanh."""

    def check(self, chips: ChipSet, arguments: Arguments) -> None:
        """Raise `OptionError` for chips that are larger than the tiles, or too small for the discriminators."""
        require_whole(chips, arguments)
        least, side = self.smallest_side(arguments), min(self.chip_size(chips, arguments))
        if side < least:
            raise OptionError(
                f"Chips of {side} pixels are too small for {self.keyword}: its discriminators halve them until nothing is left "
                f"to judge. Give chip_size {least} or more, or export larger tiles."
            )

    def smallest_side(self, arguments: Arguments) -> int:
        """Return the least side in pixels of chips: 24, which three halvings leave three pixels of."""
        return 24

    def normalization(
        self, chips: ChipSet, arguments: Arguments, weights: tuple[Sequence[float], Sequence[float]] | None
    ) -> Normalization:
        """Return the scaling of the first images to -1..1."""
        return signed_unit(chips)

    def second_normalization(
        self, chips: ChipSet, arguments: Arguments, weights: tuple[Sequence[float], Sequence[float]] | None
    ) -> Normalization | None:
        """Return the scaling of the second images to -1..1."""
        return signed_unit(chips.second) if chips.second else None

    def emd_keys(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the family's keys: bands of what is made and of what it is made of, and the scaling of what is made."""
        made = spec.second or spec
        keys = super().emd_keys(spec) | {"n_channel": len(made.bands), "n_intput_channel": len(spec.bands)}
        stats = normalization_stats(spec.second_normalization or spec.normalization, made.dtype)
        return keys | ({"NormalizationStats_b": stats} if stats else {})

    def default_batch_size(self, chip_size: int) -> int:
        """Return 1, as published: adversarial training takes many small steps."""
        return 1


def require_whole(chips: ChipSet, arguments: Arguments) -> None:
    """Check that chips are filled by the images: padding would be learnt and counted as if it were imagery.

    Raises:
        OptionError: if chip_size is larger than a tile.
    """
    width, height = min([chips.tile_size, *([chips.second.tile_size] if chips.second else [])], key=min)
    most = min(width, height)
    if arguments.chip_size and arguments.chip_size > most:
        raise OptionError(
            f"chip_size is {arguments.chip_size}, but the tiles are {width} x {height} pixels: what lies beyond them would be "
            f"learnt and counted as imagery. Give {most} or less, or export larger tiles."
        )
