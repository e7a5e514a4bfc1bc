"""Names and colours of classes, from the fields beside the class values: of features, or of a raster's attribute table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chipwright.chips.chipset import ClassInfo
from chipwright.chips.formats.colors import Color, free_color

NAME_FIELDS = ("classname", "class_name")
COLOR_FIELDS = ("red", "green", "blue")
"""As ArcGIS's Training Samples Manager and its classified rasters call them; in any case."""


class ClassTable:
    """What is known of class values; of several sayings about one value the first holds."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.colors: dict[int, Color] = {}

    def add(self, values: Sequence[int], table: Mapping[str, Iterable[Any]]) -> None:
        """Take names and colours from columns, by field name in lower case, beside a column of class values."""
        for field in NAME_FIELDS:
            for value, name in zip(values, table.get(field, ()), strict=False):
                self.name(value, name)
        levels = [table.get(field) for field in COLOR_FIELDS]
        present = [band for band in levels if band is not None]
        if len(present) == len(COLOR_FIELDS):
            for value, *color in zip(values, *present, strict=True):
                self.color(value, color)

    def name(self, value: int, name: Any) -> None:
        """Take a name unless it is empty."""
        if name is not None and str(name).strip():
            self.names.setdefault(value, str(name).strip())

    def color(self, value: int, color: Sequence[Any]) -> None:
        """Take (red, green, blue) unless they are no levels from 0 to 255."""
        try:
            red, green, blue = (int(level) for level in color)
        except (TypeError, ValueError):  # an empty field
            return
        if all(0 <= level <= 255 for level in (red, green, blue)):
            self.colors.setdefault(value, (red, green, blue))

    def classes(self, values: Iterable[int]) -> tuple[ClassInfo, ...]:
        """Return the classes of these values, sorted; what is not known is made up: the value as name, a free colour."""
        found: list[ClassInfo] = []
        for at, value in enumerate(sorted(set(values))):
            color = self.colors.get(value) or free_color(at, [*self.colors.values(), *(info.color for info in found)])
            found.append(ClassInfo(value=value, name=self.names.get(value, str(value)), color=color))
        return tuple(found)
