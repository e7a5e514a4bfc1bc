"""One raw option value (text, keyword, path, arcpy's habits) as the value that a pydantic field takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from chipwright.errors import OptionError, suggestion
from chipwright.sentences import choices, expectation, shown, takes_truths
from chipwright.text_values import is_empty, split_outside, unquoted

_TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def read_option(
    field: str,
    info: FieldInfo,
    value: Any,
    spell: Callable[[str], str] = str,
    keywords: Mapping[str, bool] | None = None,
    words: Iterable[str] = (),
) -> Any:
    """Return the value that an option means: keywords in any case, truths in any spelling, `~` as the home folder.

    Args:
        field: the option's name.
        info: what it takes.
        value: as given; not empty.
        spell: how the user knows the option.
        keywords: what the reference calls true and false, for truths.
        words: keywords of an option that takes other text beside them.

    Raises:
        OptionError: for what can be told to be wrong here; the rest is left to validation.
    """
    if takes_truths(info.annotation):
        return read_truth(field, value, spell, keywords)
    if isinstance(value, bool):
        raise OptionError(f"{spell(field)} is {value}; expected {expectation(info.annotation, info.metadata)}.")
    if not isinstance(value, (str, os.PathLike)):
        return value
    text = unquoted(os.fspath(value))
    known = {choice.lower(): choice for choice in (*choices(info.annotation), *words)}
    if text.lower() in known:
        return known[text.lower()]
    return Path(text).expanduser() if info.annotation is Path or Path in get_args(info.annotation) else text


def read_truth(field: str, value: Any, spell: Callable[[str], str] = str, keywords: Mapping[str, bool] | None = None) -> bool:
    """Return the truth that a value means.

    Raises:
        OptionError: if it means none.
    """
    if isinstance(value, bool):
        return value
    keywords = keywords or {}
    known = _TRUTHS | {keyword.lower(): meaning for keyword, meaning in keywords.items()}
    found = known.get(unquoted(str(value)).strip().lower())
    if found is None:
        expected = " or ".join(keywords) or "True or False"
        raise OptionError(f"{spell(field)} is {shown(value)}; expected {expected}.{suggestion(str(value), keywords)}")
    return found


def read_folders(value: Any, field: str = "in_folder") -> tuple[Path, ...]:
    """Return the folders that a path, a list of paths or ArcGIS's text names (`'C:\\a b';D:\\c`); `~` is the home folder."""
    if isinstance(value, str):
        value = [unquoted(piece) for piece in split_outside(value)]
    elif isinstance(value, os.PathLike):
        value = [value]
    elif not isinstance(value, Iterable):
        raise OptionError(f"{field} is {shown(value)}; expected a folder or several.")
    return tuple(Path(folder).expanduser() for folder in value if not is_empty(folder))
