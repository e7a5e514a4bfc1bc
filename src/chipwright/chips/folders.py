"""From folders to a `ChipSet`: the one door through which training data of any format comes in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from chipwright.chips.chipset import Account, ChipSet
from chipwright.chips.formats.classes import DraftClass, finished
from chipwright.chips.formats.locating import locate_export
from chipwright.chips.formats.part import Part
from chipwright.chips.formats.sniffing import format_of
from chipwright.chips.formats.table import FORMATS
from chipwright.chips.statistics import pooled
from chipwright.errors import DataError, listed


def read_chips(folders: Sequence[Path] | Path) -> ChipSet:
    """Return the chips of one or more folders; nothing is ever written into them.

    Every chip is looked at once (see `chipwright.chips.formats.survey`). What was dropped, and what was odd, stands in the
    set's account.

    Args:
        folders: one folder, or several of one format, band count, tile size and pixel type.

    Raises:
        DataError: if a folder cannot be used, or the folders do not go together.
    """
    given = [folders] if isinstance(folders, str | Path) else folders
    exports = [locate_export(Path(folder)) for folder in given]
    if not exports:
        raise DataError("No training-data folder was given; name at least one.")
    seen: dict[Path, Path] = {}
    for export in exports:
        place = export.root.resolve()
        if place in seen:
            same = f"{export.given}" if seen[place] == export.given else f"{seen[place]} and {export.given}"
            raise DataError(f"The same training data were given twice ({same}); name each folder once.")
        seen[place] = export.given
    formats = [format_of(export) for export in exports]
    if len(exports) > 1:
        _require_same("format", [export.root for export in exports], [found.keyword for found in formats])
        if not formats[0].several:
            many = listed((row.keyword for row in FORMATS.values() if row.several), 20)
            raise DataError(f"{formats[0].keyword} data are read from one folder at a time; several are taken of {many}.")
    parts = []
    for export, found in zip(exports, formats, strict=True):
        parts.append(found.read(export))
    return unite(parts)


def unite(parts: Sequence[Part]) -> ChipSet:
    """Return the parts as one set: chips in the order of their folders, classes by value, statistics of all pixels together.

    Raises:
        DataError: if the parts differ in bands, tile size or pixel type.
    """
    account = Account()
    for part in parts:
        account.merge(part.account if len(parts) == 1 else part.signed())
    if len(parts) > 1:
        _check_alike(parts)
    parts = _agree_on_values(parts)
    classes = _united_classes(parts, account)
    first = parts[0]
    _note_differences(parts, account)
    nodata = next((part.nodata for part in parts if part.nodata is not None), None)
    chips = [chip if index == 0 else replace(chip, folder=index) for index, part in enumerate(parts) for chip in part.chips]
    return ChipSet(
        folders=tuple(part.root for part in parts),
        format=first.format,
        chips=tuple(chips),
        classes=finished(classes),
        bands=first.bands,
        dtype=first.dtype,
        tile_size=first.tile_size,
        statistics=pooled(part.moments for part in parts).statistics(),
        nodata=nodata,
        second=first.second,
        image_space=first.image_space,
        metadata=first.metadata,
        account=account,
    )


def _check_alike(parts: Sequence[Part]) -> None:
    roots = [part.root for part in parts]
    _require_same("number of bands", roots, [f"{len(part.bands)} bands" for part in parts])
    if not any(part.mixed_sizes for part in parts):
        _require_same("tile size", roots, ["{} x {} pixels".format(*part.tile_size) for part in parts])
    _require_same("pixel type", roots, [part.dtype for part in parts])


def _require_same(what: str, roots: Sequence[Path], values: Sequence[str]) -> None:
    if len(set(values)) > 1:
        each = listed((f"{root} has {value}" for root, value in zip(roots, values, strict=True)), 6)
        raise DataError(
            f"The folders differ in {what}: {each}. Folders are trained on together only if format, bands, tile size and pixel "
            "type are the same; train on them apart, or export them alike."
        )


def _agree_on_values(parts: Sequence[Part]) -> Sequence[Part]:
    """Return the parts with one value for one class name, where folders came without values and got their own."""
    if len(parts) == 1 or not any(part.own_values for part in parts):
        return parts
    by_name: dict[str, DraftClass] = {}
    for part in parts:
        if not part.own_values:
            by_name |= {draft.name.casefold(): draft for draft in part.classes if draft.name.casefold() not in by_name}
    used = {draft.value for draft in by_name.values()}
    new = sorted({draft.name for part in parts if part.own_values for draft in part.classes}, key=str.casefold)
    for name in new:
        if name.casefold() not in by_name:
            value = max(used, default=0) + 1
            used.add(value)
            by_name[name.casefold()] = DraftClass(value, name)
    return [_renumbered(part, by_name) if part.own_values else part for part in parts]


def _renumbered(part: Part, by_name: dict[str, DraftClass]) -> Part:
    new_value = {draft.value: by_name[draft.name.casefold()].value for draft in part.classes}
    classes = {draft.value: draft for draft in (by_name[draft.name.casefold()] for draft in part.classes)}
    return replace(part, chips=tuple(chip.renumbered(new_value) for chip in part.chips), classes=tuple(classes.values()))


def _united_classes(parts: Sequence[Part], account: Account) -> dict[int, DraftClass]:
    """Return the classes by value; of several definitions the first counts, and its name is said where others differ."""
    classes: dict[int, DraftClass] = {}
    for part in parts:
        for draft in part.classes:
            first = classes.setdefault(draft.value, draft)
            if first.name != draft.name:
                account.warnings.append(
                    f"Class {draft.value} is {first.name!r} in one folder and {draft.name!r} in {part.root}; they "
                    f"are taken for one class, {first.name!r}."
                )
    return classes


def _note_differences(parts: Sequence[Part], account: Account) -> None:
    first = parts[0]
    for part in parts[1:]:
        if part.bands != first.bands:
            account.warnings.append(
                f"Band names differ: {first.root} has {', '.join(first.bands)}, {part.root} has {', '.join(part.bands)}; "
                "the first are used. Make sure that the bands stand in one order."
            )
        if part.nodata != first.nodata:
            account.warnings.append(
                f"{first.root} and {part.root} declare different nodata values; the first declared is used."
            )
        if part.image_space != first.image_space:
            account.warnings.append(
                f"{first.root} is in {first.image_space}, {part.root} in {part.image_space}; the first counts."
            )
