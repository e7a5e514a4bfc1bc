"""Values that users write as text: split, unquoted and read as Python data, without ever running them.

ArcGIS hands parameters over as text: `'C:\\a b';D:\\c` for folders, `grids '4 2';ratios [[1,1],[1,2]]` for a value table. What
a piece of text means depends on what it is for, so `readings` returns every sensible meaning, the likeliest first.
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import Any

from chipwright.errors import OptionError

_OPENING = {"[": "]", "{": "}", "(": ")"}
_QUOTES = "'\""
_WORDS: dict[str, Any] = {"true": True, "false": False, "none": None, "null": None}
_SPACE_BETWEEN_NUMBERS = re.compile(r"(?<=[\d.])\s+(?=[-+.\d])")
_SPACE_BETWEEN_LISTS = re.compile(r"(?<=[\])])\s+(?=[\[(])")


def is_empty(value: Any) -> bool:
    """Return whether a value says nothing: None, no text, or ArcGIS's `#`."""
    return value is None or (isinstance(value, str) and unquoted(value).strip() in ("", "#"))


def unquoted(text: str) -> str:
    """Return `text` without the spaces and the one pair of quotes around it; backslashes inside are left alone."""
    text = text.strip()
    if len(text) >= 2 and text[0] in _QUOTES and text[-1] == text[0] and text[0] not in text[1:-1]:
        return text[1:-1]
    return text


def split_outside(text: str, separator: str = ";") -> list[str]:
    """Split at `separator` where it stands outside quotes and brackets; pieces are stripped, empty ones left out.

    A quote counts only where a word begins, so that the apostrophe in `C:\\Bob's chips` is a plain character.

    Raises:
        OptionError: for a quote or bracket that is never closed.
    """
    pieces: list[str] = []
    start = 0
    closing: list[str] = []
    before = separator
    for position, character in enumerate(text):
        if closing and closing[-1] in _QUOTES:
            if character == closing[-1]:
                closing.pop()
        elif character in _QUOTES and (before.isspace() or before in f"{separator}=:,[{{("):
            closing.append(character)
        elif character in _OPENING:
            closing.append(_OPENING[character])
        elif closing and character == closing[-1]:
            closing.pop()
        elif character == separator and not closing:
            pieces.append(text[start:position])
            start = position + 1
        before = character
    if closing:
        raise OptionError(f"In {text!r} a closing {closing[-1]} is missing.")
    pieces.append(text[start:])
    return [piece.strip() for piece in pieces if piece.strip()]


def literal(text: str) -> Any:
    """Return the number, truth, None, list, dictionary or word that `text` spells, or `text` itself where it spells none.

    Python's and JSON's spellings are both read, in any case (`True`, `true`, `None`, `null`); `0.5, 1, 2` is a list, and bare
    words in lists and dictionaries are text (`[mean, std]`).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "invalid escape sequence": a Windows path is no mistake
            tree = ast.parse(text.strip().replace("\\", "\\\\"), mode="eval")
        return _value(tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return value
        case ast.Name(id=word):
            return _WORDS.get(word.lower(), word)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            number = _value(operand)
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                raise ValueError("only numbers have a sign")
            return -number if isinstance(sign, ast.USub) else number
        case ast.Tuple(elts=items) | ast.List(elts=items) | ast.Set(elts=items):
            return [_value(item) for item in items]
        case ast.Dict(keys=keys, values=values) if all(key is not None for key in keys):
            return {_value(key): _value(value) for key, value in zip(keys, values, strict=True) if key is not None}
    raise ValueError("not a plain value")


def readings(value: Any) -> list[Any]:
    """Return what a value may mean, the likeliest first: data or a list of numbers, text, a list of words, a list of one."""
    if not isinstance(value, str):
        plain = list(value) if isinstance(value, (tuple, set, frozenset)) else value
        return [plain] if plain is None or isinstance(plain, dict) else [plain, [plain]]
    text = unquoted(value)
    found: list[Any] = []

    def add(reading: Any) -> None:
        if not any(type(reading) is type(other) and reading == other for other in found):
            found.append(reading)

    data = literal(text)
    if data == text:
        data = literal(_SPACE_BETWEEN_NUMBERS.sub(", ", _SPACE_BETWEEN_LISTS.sub(", ", text)))
    add(data)
    add(text)
    words = [word.strip() for word in text.split(",") if word.strip()]
    if isinstance(data, str) and len(words) > 1:
        add([literal(word) for word in words])
    if data is not None and not isinstance(data, dict):
        add([data])
    return found
