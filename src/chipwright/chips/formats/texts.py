"""Reading the small text files of an export, whatever wrote them."""

from __future__ import annotations

import codecs
import json
import re
import stat
from pathlib import Path
from typing import Any

from chipwright.errors import DataError

LARGEST = 64 * 2**20
"""Bytes of a metadata file that are read at most; real ones are some kilobytes, a map.txt of a million chips 60 MB."""

# a string that is never closed reaches to the end: else each quote in it would be tried anew, in quadratic time
_STRING = r'("(?:[^"\\]|\\[\s\S])*+(?:"|\\?\Z))'

_NOT_JSON = re.compile(_STRING + r"|-?\b(?:1\.#\w+|nan(?:\(\w*\))?|inf(?:inity)?)", re.IGNORECASE)
"""Strings (kept), and the spellings of "not a number" that Windows libraries write into JSON."""

_TRAILING_COMMA = re.compile(_STRING + r"|,(?=\s*[\]}])")

_HALF = re.compile(r"(\\[^u]|\\u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w)|\\u[dD][89a-fA-F]\w\w")
"""Escapes (kept), and halves of surrogate pairs, which JSON can spell and no file or screen takes."""


def read_text(path: Path, largest: int | None = None) -> tuple[str, str]:
    """Return (text, encoding): UTF-8 with or without a mark, UTF-16 where marked, else Latin-1, which reads anything.

    Raises:
        DataError: if the file cannot be read, or has more than `largest` bytes (`LARGEST` unless told).
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):  # to open a pipe would be to wait for ever
            raise DataError(f"{path} is no file; expected one there. Remove it, or copy the export again.")
        if facts.st_size > (largest or LARGEST):
            raise DataError(
                f"{path} has {facts.st_size / 2**20:.0f} MB; a file of its kind has far less. Is it the right file?"
            )
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace"), "utf-16"
    try:
        return content.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        return content.decode("latin-1"), "latin-1"


def read_object(path: Path, largest: int | None = None) -> tuple[dict[str, Any], str]:
    """Return (object, encoding) of a JSON file, forgiving what exporters write beyond JSON: odd NaN spellings, trailing commas.

    Raises:
        DataError: if it holds no JSON object even so.
    """
    text, encoding = read_text(path, largest)
    if "\\ud" in text or "\\uD" in text:
        text = _HALF.sub(lambda match: match[1] or "\\ufffd", text)
    try:
        found = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        mended = _NOT_JSON.sub(lambda match: match[1] or "null", text)
        mended = _TRAILING_COMMA.sub(lambda match: match[1] or "", mended)
        try:
            found = json.loads(mended, strict=False)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path} is not valid JSON ({error}); export the folder again or mend the file.") from error
    if not isinstance(found, dict):
        raise DataError(f"{path} holds no JSON object with the export's metadata; export the folder again.")
    return found, encoding
