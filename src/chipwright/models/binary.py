"""What the pixel classifiers of one class beside the background ask of their data: change, edges, roads."""

from __future__ import annotations

from chipwright.chips.chipset import BACKGROUND, ChipSet
from chipwright.errors import DataError, listed


def require_one_class(chips: ChipSet, keyword: str, what: str) -> None:
    """Check that the labels tell one class from the background, and that some pixel belongs to it.

    Args:
        chips: training data with label rasters.
        keyword: of the model type.
        what: what its class is ("edges").

    Raises:
        DataError: if there are more classes or none, or no pixel of it.
    """
    from chipwright.chips.reading import ChipReader
    from chipwright.tasks.pixel_classes import PixelClasses, require_labels

    named = [info for info in chips.classes if info.value != BACKGROUND]
    if len(named) != 1:
        found = f"{len(named)}: {listed((f'{info.value} ({info.name})' for info in named), 10)}" if named else "none"
        raise DataError(
            f"{listed(chips.folders)}: {keyword} tells {what} from everything else, so it needs exactly one class beside the "
            f"background (value 0), but the export has {found}. Export the training data with a single class value."
        )
    require_labels(chips, PixelClasses.of(chips.classes), ChipReader.of(chips))
