"""The classes an export declares, and the ones its labels name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chipwright.chips.chipset import ClassInfo
from chipwright.chips.formats.colors import Color, free_color
from chipwright.chips.formats.esri import Export
from chipwright.errors import DataError

MOST = 2**16
"""Classes of one model."""

_BEYOND = 2**63
"""The first number too large for a class value."""


@dataclass(frozen=True)
class DraftClass:
    """A class whose colour may still be unknown."""

    value: int
    name: str
    color: Color | None = None


def declared(export: Export) -> tuple[DraftClass, ...]:
    """Return the classes of both metadata files by ascending value; the .emd's name and colour win.

    The two spell their keys differently: `Value`, `Name`, `Color` in the .emd; `ClassValue`, `ClassName` in the JSON.
    """
    found: dict[int, DraftClass] = {}
    for source in (export.emd, export.totals):
        rows = source.get("Classes")
        for row in rows if isinstance(rows, list) else ():
            draft = _draft(row)
            if draft is None:
                warning = f"A class without a whole number for its value was left out: {row!r:.80}."
                if warning not in export.account.warnings:
                    export.account.warnings.append(warning)
            elif draft.value not in found:
                found[draft.value] = draft
    return tuple(found[value] for value in sorted(found))


def _draft(row: Any) -> DraftClass | None:
    if not isinstance(row, dict):
        return None
    value = whole(str(row.get("Value", row.get("ClassValue", ""))))
    if value is None:
        return None
    name = row.get("Name", row.get("ClassName"))
    return DraftClass(value, str(name).strip() if name not in (None, "") else str(value), _color(row.get("Color")))


def _color(given: Any) -> Color | None:
    if not isinstance(given, list) or len(given) < 3:
        return None
    parts = [part for part in given[:3] if isinstance(part, int | float) and 0 <= part <= 255]
    return (int(parts[0]), int(parts[1]), int(parts[2])) if len(parts) == 3 else None


def whole(text: str) -> int | None:
    """Return the whole number a text spells ("3", " 3.0"), or None; one that takes more than 64 bits is no value either."""
    number: float
    try:
        number = int(text)
    except ValueError:
        try:
            number = float(text)
        except ValueError:
            return None
        if not number.is_integer():
            return None
    return int(number) if -_BEYOND <= number < _BEYOND else None


class Lookup:
    """Finds the class that a label's text means: its value, as the exporter writes it, or its name."""

    def __init__(self, classes: Sequence[DraftClass]) -> None:
        self.values = {draft.value for draft in classes}
        self.names = {draft.name.casefold(): draft.value for draft in reversed(classes)}

    def __call__(self, text: str) -> int | None:
        """Return the value, or None where no class is meant."""
        number = whole(text)
        if number is not None and number in self.values:
            return number
        return self.names.get(text.strip().casefold())


def named(texts: Iterable[str]) -> tuple[DraftClass, ...]:
    """Return classes for the names that labels use where no metadata lists any.

    Whole numbers throughout are taken for values; else values count from 1 in sorted order.
    """
    names = sorted({text.strip() for text in texts if text.strip()})
    numbers = [whole(name) for name in names]
    if all(number is not None for number in numbers):
        return tuple(DraftClass(number, str(number)) for number in sorted({number for number in numbers if number is not None}))
    return tuple(DraftClass(position, name) for position, name in enumerate(names, 1))


def finished(drafts: Mapping[int, DraftClass]) -> tuple[ClassInfo, ...]:
    """Return the classes by ascending value; those without a colour get one by position that no other class has.

    Raises:
        DataError: if they are more than `MOST`.
    """
    if len(drafts) > MOST:
        raise DataError(f"The training data have {len(drafts)} classes, and a model at most {MOST}. Are these class names?")
    taken = {draft.color for draft in drafts.values() if draft.color is not None}
    classes = []
    for position, value in enumerate(sorted(drafts)):
        draft = drafts[value]
        color = draft.color or free_color(position, taken)
        taken.add(color)
        classes.append(ClassInfo(value=value, name=draft.name, color=color))
    return tuple(classes)
