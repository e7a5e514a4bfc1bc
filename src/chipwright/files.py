"""Files appear whole or not at all; files that users write by hand are read."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chipwright.errors import OptionError

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes `path`'s place in one step, on failure it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with newline line ends, whole or not at all; bytes of file names that are no text are spelled out."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(path: Path, data: Any, indent: int = 2) -> None:
    """Write JSON, whole or not at all. NaN and infinities are refused: they are no JSON."""
    write_text(path, json.dumps(data, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


def read_mapping(path: Path, what: str, example: str) -> dict[Any, Any]:
    """Return what a YAML or JSON file of names and values holds; an empty file holds none.

    Args:
        path: the file, in UTF-8 or in the UTF-16 that Windows PowerShell writes when output is sent to a file.
        what: the file in a sentence ("configuration file").
        example: a line that it may hold.

    Raises:
        OptionError: if it cannot be read, is neither YAML nor JSON, or holds something else.
    """
    import yaml

    try:
        data = path.read_bytes()
        text = data.decode("utf-16" if data[:2] in _UTF16_MARKS else "utf-8-sig")
        # JSON that is indented with tabs is no YAML
        content = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except json.JSONDecodeError as error:
        raise OptionError(f"The {what} {path} is not JSON: {error}.") from None
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise OptionError(f"The {what} {path} is not YAML: {problem}") from None
    except RecursionError:
        raise OptionError(f"The {what} {path} is nested too deeply.") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OptionError(f"The {what} {path} cannot be read: {reason}.") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise OptionError(f'The {what} {path} holds no options; expected lines such as "{example}".')
    return content
