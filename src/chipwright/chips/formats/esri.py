"""The skeleton that every export shares: where it lies, its two metadata files and its map.txt."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chipwright.chips.chipset import Account
from chipwright.chips.formats.texts import read_object, read_text
from chipwright.errors import DataError, listed

EMD = "esri_model_definition.emd"
TOTALS = "esri_accumulated_stats.json"
MAP = "map.txt"
TRANSFORMS = "transforms.json"
"""Where the reference looks for transforms of fastai in place of its random changes."""

KEPT_KEYS = (
    "MinCellSize",
    "MaxCellSize",
    "CropTileMode",
    "BlackenAroundFeature",
    "SingleLabelFieldFound",
    "IsMultidimensional",
    "DimensionValues",
    "InputRastersProps",
    "InputRastersProps2",
    "Panoptic_Segmentation_Instance_Classes",
)
"""Facts of the export that go into `ChipSet.metadata` under their own names."""

_LONGEST_ROW = 4096
_ENDING = re.compile(r"(?<=\S)\.(?:tiff?|jpe?g|png|mrf|bmp|jp2|xml|txt)(?=\s|$)", re.IGNORECASE)
"""Where a path in map.txt ends: paths may hold blanks."""


@dataclass(frozen=True)
class MapRow:
    """One line of map.txt: its paths as written, and as parts within the folder (None where it leads out of it)."""

    texts: tuple[str, ...]
    parts: tuple[tuple[str, ...] | None, ...]


@dataclass(frozen=True)
class Export:
    """A folder that looks like training data, with its metadata read and nothing else.

    Attributes:
        given: the folder the user named.
        root: the folder in which the export lies: `given`, or one beneath it.
        entries: names directly in `root`, by their lower-case names.
        emd, totals: the metadata files as objects; empty where there are none.
        rows: the lines of map.txt; None where there is none.
        account: begun with what was odd so far.
    """

    given: Path
    root: Path
    entries: Mapping[str, str]
    emd: Mapping[str, Any] = field(default_factory=dict)
    totals: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[MapRow, ...] | None = None
    account: Account = field(default_factory=Account)

    @property
    def esri(self) -> bool:
        """Whether the exporter's metadata is there."""
        return bool(self.emd or self.totals)

    def directory(self, *names: str) -> Path | None:
        """Return the first of the sub-folders that is there, its name in any case."""
        return sub_folder(self.root, self.entries, *names)

    def fact(self, key: str) -> Any:
        """Return a fact from either metadata file, the .emd first; None where it is absent or a placeholder ("e.g. ...")."""
        for source in (self.emd, self.totals):
            value = source.get(key)
            if value is not None and not (isinstance(value, str) and value.strip().lower().startswith("e.g.")):
                return value
        return None

    def text(self, key: str) -> str:
        """Return a fact that is text, stripped; an empty text where there is none."""
        value = self.fact(key)
        return value.strip() if isinstance(value, str) else ""

    def flag(self, key: str) -> bool:
        """Return a fact that is true or false, however it is spelled."""
        value = self.fact(key)
        return value.strip().lower() in ("true", "1", "yes") if isinstance(value, str) else bool(value)

    def number(self, *keys: str) -> int | None:
        """Return the first of the facts that is a positive whole number."""
        for key in keys:
            for source in (self.totals, self.emd):
                try:
                    value = float(source.get(key, ""))
                except (TypeError, ValueError, OverflowError):
                    continue
                if value >= 1 and value.is_integer():
                    return int(value)
        return None

    def without_statistics(self) -> Export:
        """Return the same without its band statistics, for a folder that is a part of what is read."""
        emd, totals = (
            {key: value for key, value in source.items() if not key.startswith(("AllTilesStats", "BandStatsState"))}
            for source in (self.emd, self.totals)
        )
        return replace(self, emd=emd, totals=totals)

    def metadata(self) -> dict[str, Any]:
        """Return the facts that a model type or the package may need, under the reference's names."""
        return {key: value for key in KEPT_KEYS if (value := self.fact(key)) is not None}


def sub_folder(root: Path, entries: Mapping[str, str], *names: str) -> Path | None:
    """Return the first of the sub-folders that is there, its name in any case; `entries` are the root's."""
    for name in names:
        found = entries.get(name.lower())
        if found and (root / found).is_dir():
            return root / found
    return None


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, sorted.

    Raises:
        DataError: if it cannot be listed.
    """
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror or error}.") from error


def entries_of(folder: Path) -> dict[str, str]:
    """Return the names in a folder by their lower-case names, of several that differ in case the first.

    Raises:
        DataError: if it cannot be listed.
    """
    return {name.lower(): name for name in reversed(names_in(folder))}


def open_export(given: Path, root: Path, entries: Mapping[str, str]) -> Export:
    """Return the export in `root` with its metadata.

    Raises:
        DataError: if a metadata file cannot be used.
    """
    account = Account()
    if root != given:
        account.warnings.append(f"{given} holds no training data itself; the export in {root.relative_to(given)} is used.")
    objects: list[dict[str, Any]] = []
    home, names = _metadata_home(root, entries)
    for name in (EMD, TOTALS):
        found = names.get(name)
        content: dict[str, Any] = {}
        if found:
            content, encoding = read_object(home / found)
            if encoding == "latin-1":
                account.warnings.append(f"{found} is not UTF-8; it was read as Latin-1.")
        objects.append(content)
    if any(objects) and not all(objects):
        missing, there = (EMD, TOTALS) if objects[1] else (TOTALS, EMD)
        account.warnings.append(f"There is no {missing} in {root}; what {there} says was used.")
    rows = None
    if map_name := names.get(MAP):
        rows = _read_map(home / map_name, account)
    elif any(objects):
        account.warnings.append(f"There is no {MAP} in {root}; images and labels were paired by their names.")
    if TRANSFORMS in entries:
        account.warnings.append(
            f"{root / entries[TRANSFORMS]} is not used. To set the random changes yourself, give --augmentation FILE."
        )
    return Export(given, root, entries, objects[0], objects[1], rows, account)


def _metadata_home(root: Path, entries: Mapping[str, str]) -> tuple[Path, Mapping[str, str]]:
    """Return (folder, its entries) of the metadata: the root, or images_before, where older change pairs have them."""
    before = None if EMD in entries or TOTALS in entries else sub_folder(root, entries, "images_before")
    if before is not None:
        names = entries_of(before)
        if EMD in names or TOTALS in names:
            return before, names
    return root, entries


def _read_map(path: Path, account: Account) -> tuple[MapRow, ...]:
    text, _ = read_text(path)
    lines = text.splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    rows = []
    blank = unread = 0
    for line in lines:
        tokens = _paths_in(line) if len(line) <= _LONGEST_ROW else ()
        if tokens:
            rows.append(MapRow(tokens, tuple(inside(token) for token in tokens)))
        elif line.strip():
            unread += 1
        else:
            blank += 1
    outside = [row.texts[0 if row.parts[0] is None else row.parts.index(None)] for row in rows if None in row.parts]
    if outside:
        account.warnings.append(
            f"{MAP} has {counted(len(outside), 'row')} leading out of the folder ({listed(outside)}); these paths were ignored."
        )
    styles = {"/" in text for row in rows for text in row.texts}
    odd = [f"{counted(blank, 'blank line')}"] * bool(blank) + ["both kinds of slashes"] * (len(styles) > 1)
    odd += [f"{counted(unread, 'line')} without a path"] * bool(unread)
    if odd:
        account.warnings.append(f"{MAP} is irregular ({listed(odd)}); its other rows were read all the same.")
    return tuple(rows)


def _paths_in(line: str) -> tuple[str, ...]:
    paths = []
    start = 0
    for ending in _ENDING.finditer(line):
        paths.append(line[start : ending.end()].strip())
        start = ending.end()
    return tuple(paths)


def inside(text: str) -> tuple[str, ...] | None:
    """Return a path as written in a file, as parts within the folder; None if it is absolute or climbs out."""
    path = text.replace("\\", "/")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    return None if path.startswith("/") or ".." in parts or any(":" in part for part in parts) else parts


def file_within(root: Path, parts: Sequence[str]) -> Path | None:
    """Return the file at a path within a folder, or None: there is none, or no file can have such a name."""
    path = root.joinpath(*parts)
    try:
        return path if path.is_file() else None
    except (OSError, ValueError):
        return None


def counted(count: int, noun: str) -> str:
    """Return `"1 row"`, `"3 rows"` or `"2 boxes"`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' if noun.endswith('x') else 's'}"


def bands_of(export: Export, count: int, fallback: tuple[str, ...], second: bool = False) -> tuple[str, ...]:
    """Return the names of the bands: the export's where it names as many as there are, else `fallback`."""
    for source in (export.emd, export.totals):
        props = source.get("InputRastersProps2" if second else "InputRastersProps")
        names = props.get("BandNames") if isinstance(props, dict) else None
        if isinstance(names, list) and len(names) == count and all(isinstance(name, str) and name for name in names):
            return tuple(names)
    return fallback
