"""What a folder holds, as plain data: for `inspect`, and for people who ask whether their folder loads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chipwright import catalog
from chipwright.chips.balance import class_balance
from chipwright.chips.folders import read_chips
from chipwright.errors import OptionError


def inspect(paths: Sequence[Path]) -> dict[str, Any]:
    """Return the facts of training-data folders, or of one model package."""
    if is_package(paths[0]):
        if len(paths) > 1:
            raise OptionError("A model package is inspected alone; give one path.")
        from chipwright.package import describe_package

        return {"kind": "model"} | describe_package(paths[0])
    chips = read_chips(paths)
    balance, unit = class_balance(chips, {"count": range(len(chips))})
    sizes = sorted({(chip.width, chip.height) for chip in chips.chips})
    return {
        "kind": "training data",
        "folders": [str(folder) for folder in chips.folders],
        "format": chips.format,
        "chips": len(chips),
        "bands": list(chips.bands),
        "dtype": chips.dtype,
        "tile_size": list(chips.tile_size),
        "sizes": [list(size) for size in sizes],
        "image_space": chips.image_space,
        "nodata": chips.nodata,
        "georeferenced": sum(chip.georeference is not None for chip in chips.chips),
        "classes": [info.model_dump() for info in chips.classes],
        "balance": balance,
        "balance_unit": unit,
        "statistics": chips.statistics.model_dump(),
        "dropped": chips.account.dropped,
        "warnings": chips.account.warnings,
        "fits": list(catalog.fitting(chips.format)),
    }


def is_package(path: Path) -> bool:
    """Return whether a path is a model package rather than training data: the latter's .emd is only a template."""
    if path.suffix.lower() in {".dlpk", ".emd"}:
        return True
    return path.is_dir() and any(path.glob("*.emd")) and not (path / "images").is_dir()
