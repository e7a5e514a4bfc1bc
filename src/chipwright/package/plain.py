"""Plain data as JSON: arrays, tuples and numbers that JSON does not have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

_FLOAT = "$float"
"""Marks a number that JSON does not have: {"$float": "nan"}."""


def encode(value: Any) -> Any:
    """Return plain data with tuples and arrays as lists, and NaN and infinities as marked texts, so that it is JSON."""
    if hasattr(value, "tolist"):  # numpy's arrays and numbers
        value = value.tolist()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: str(float(value))}
    return value


def finite(value: Any) -> Any:
    """Return plain data with null for NaN and infinities, for keys that other programs read."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def decode(value: Any) -> Any:
    """Return what `encode` was given, tuples as lists."""
    if isinstance(value, dict):
        if value.keys() == {_FLOAT} and value[_FLOAT] in ("nan", "inf", "-inf"):
            return float(value[_FLOAT])
        return {key: decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode(item) for item in value]
    return value


def deeper_than(value: Any, most: int) -> bool:
    """Return whether dictionaries and lists are nested deeper than `most` levels; any depth is fine to ask about."""
    level = [value]
    for _ in range(most):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, dict | list)
        ]
        if not level:
            return False
    return True
