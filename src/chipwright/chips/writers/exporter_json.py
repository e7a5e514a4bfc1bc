"""JSON as the reference's exporter writes it: a blank before each colon, all numbers to 17 digits, one list entry a line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chipwright.files import whole_file


def exporter_json(data: Any, level: int = 0) -> str:
    """Return the JSON text of plain objects, lists, texts, numbers and truths.

    Raises:
        ValueError: if a number is not finite: that is no JSON.
    """
    inner, outer = "  " * (level + 1), "  " * level
    if isinstance(data, Mapping):
        rows = [f"{inner}{_text(str(key))} : {exporter_json(value, level + 1)}" for key, value in data.items()]
        return "{\n" + ",\n".join(rows) + f"\n{outer}}}"
    if isinstance(data, list | tuple):
        rows = [f"{inner}{exporter_json(value, level + 1)}" for value in data]
        return "[\n" + ",\n".join(rows) + ("\n" if rows else "") + f"{outer}]"
    if isinstance(data, float):
        if not math.isfinite(data):
            raise ValueError(f"{data} cannot be written into JSON")
        return f"{data:.17g}"
    return _text(data)


def _text(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, allow_nan=False)


def write_exporter_json(path: Path, data: Any) -> None:
    """Write a metadata file, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(exporter_json(data), encoding="utf-8", newline="\n")
