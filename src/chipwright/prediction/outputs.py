"""Which files results can be written to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chipwright.errors import OptionError, listed

RASTERS = (".tif", ".tiff")
VECTORS = (".gpkg", ".geojson", ".json")


def wanted(out: Path, endings: Sequence[str], what: str) -> None:
    """Raise `OptionError` unless a file's name has one of the endings."""
    if out.suffix.lower() not in endings:
        found = out.suffix or "a name without ending"
        raise OptionError(f"{what} are written as {listed(endings)}, not {found} ({out}).")
