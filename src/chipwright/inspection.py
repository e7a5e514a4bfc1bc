"""What a folder holds, as plain data: for `inspect`, and for people who ask whether their folder loads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chipwright import catalog
from chipwright.chips.balance import class_balance
from chipwright.chips.census import ground_overlap, object_sizes, objects_per_chip
from chipwright.chips.chipset import ChipSet
from chipwright.chips.folders import read_chips
from chipwright.errors import DataError, OptionError, UsageError, listed
from chipwright.files import whole_file


def inspect(paths: Sequence[Path], preview: Path | None = None) -> dict[str, Any]:
    """Return the facts of training-data folders, or of one model package.

    Args:
        paths: the folders, or the package.
        preview: where to write a picture (PNG) of some labelled samples.

    Raises:
        UsageError: where they cannot be used, or the picture cannot be written there.
    """
    if is_package(paths[0]):
        if len(paths) > 1:
            raise OptionError("A model package is inspected alone; give one path.")
        if preview:
            raise OptionError("A model package holds no chips to draw; give --preview with training data.")
        from chipwright.package import describe_package

        return {"kind": "model"} | describe_package(paths[0])
    if preview:
        _check_preview(preview, paths)
    chips = read_chips(paths)
    facts = facts_of(chips)
    if preview:
        from chipwright.preview import preview as draw

        with whole_file(preview) as part:
            part.write_bytes(draw(chips))
        facts["preview"] = str(preview)
    return facts


def facts_of(chips: ChipSet) -> dict[str, Any]:
    """Return the facts of chips that were read."""
    balance, unit = class_balance(chips, {"count": range(len(chips))})
    total = sum(row["count"] for row in balance)
    for row in balance:
        row["share"] = round(row["count"] / total, 4) if total else 0.0
    fits, others = _types(chips)
    return {
        "kind": "training data",
        "folders": [str(folder) for folder in chips.folders],
        "format": chips.format,
        "evidence": chips.account.evidence,
        "chips": len(chips),
        "bands": list(chips.bands),
        "dtype": chips.dtype,
        "tile_size": list(chips.tile_size),
        "sizes": [list(size) for size in sorted({(chip.width, chip.height) for chip in chips.chips})],
        "image_space": chips.image_space,
        "nodata": chips.nodata,
        "georeferenced": sum(chip.georeference is not None for chip in chips.chips),
        "overlap": ground_overlap(chips),
        "classes": [info.model_dump() for info in chips.classes],
        "balance": balance,
        "balance_unit": unit,
        "objects_per_chip": objects_per_chip(chips),
        "object_sizes": object_sizes(chips),
        "statistics": chips.statistics.model_dump(),
        "dropped": chips.account.dropped,
        "warnings": chips.account.warnings,
        "fits": fits,
        "fits_not": others,
    }


def _types(chips: ChipSet) -> tuple[list[str], dict[str, str]]:
    """Return the model types that train on the chips, and why the others of this version do not."""
    fits, others = [], {}
    for keyword in catalog.available():
        model = catalog.find(keyword)
        try:
            if chips.format not in model.formats:
                raise DataError(f"trains on {listed(model.formats)}")
            if len(chips) < 2:
                raise DataError("needs at least 2 chips, one to train on and one to validate with")
            model.check(chips, model.arguments.model_validate({}))
        except UsageError as error:
            others[keyword] = str(error)
        else:
            fits.append(keyword)
    return fits, others


def _check_preview(preview: Path, folders: Sequence[Path]) -> None:
    if preview.suffix.lower() != ".png":
        raise OptionError(f"The preview is a PNG picture; give a name such as {preview.with_suffix('.png')}.")
    if any(folder.resolve() in preview.resolve().parents for folder in folders):
        raise OptionError(f"The preview cannot be stored inside the training data ({preview}): it is never written to.")


def is_package(path: Path) -> bool:
    """Return whether a path is a model package rather than training data: the latter's .emd is only a template."""
    if path.suffix.lower() in {".dlpk", ".emd"}:
        return True
    return path.is_dir() and any(path.glob("*.emd")) and not (path / "images").is_dir()
