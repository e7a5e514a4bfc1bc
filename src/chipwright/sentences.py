"""What a pydantic model expects and what it refused, in plain sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from chipwright.errors import OptionError, listed, suggestion

_MOST_SHOWN = 60
"""Characters of a refused value that a sentence repeats."""

_SEQUENCES = (list, tuple, set, frozenset, Sequence)


def expectation(annotation: Any, constraints: Sequence[Any] = (), plural: bool = False) -> str:
    """Return what a type and its constraints accept: "a whole number of at least 16", "one of PAM, BAM"."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return expectation(parts[0], [*constraints, *parts[1:]], plural)
    if origin in (Union, UnionType):
        kinds = [part for part in parts if part is not NoneType]
        return " or ".join(dict.fromkeys(expectation(part, constraints, plural) for part in kinds))
    if origin is Literal or (isinstance(annotation, type) and issubclass(annotation, Enum)):
        values = choices(annotation)
        words = ", ".join(str(value) for value in values)
        return words if len(values) == 1 else f"{'values of' if plural else 'one of'} {words}"
    kind = origin or annotation
    if kind in _SEQUENCES:
        return _sequence(parts, constraints, plural)
    return _simple(kind, plural) + _bounds(constraints)


def _sequence(parts: tuple[Any, ...], constraints: Sequence[Any], plural: bool) -> str:
    items = [part for part in parts if part is not Ellipsis]
    if len(items) > 1:
        inner = ", ".join(expectation(item) for item in items)
        same = len(set(items)) == 1
        size = "pair" if len(items) == 2 else f"group of {len(items)}"
        what = expectation(items[0], plural=True) if same else inner
        return f"{size}s of {what}" if plural else f"a {size} of {what}"
    what = f" of {expectation(items[0], plural=True)}" if items else ""
    return f"{'lists' if plural else 'a list'}{what}{_lengths(constraints)}"


def _simple(kind: Any, plural: bool) -> str:
    names = {
        bool: ("True or False", "values True or False"),
        int: ("a whole number", "whole numbers"),
        float: ("a number", "numbers"),
        str: ("text", "texts"),
    }
    if kind in names:
        return names[kind][plural]
    if isinstance(kind, type) and issubclass(kind, PurePath):
        return "paths" if plural else "a path"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f"{'dictionaries' if plural else 'a dictionary'} with {listed(kind.model_fields, 20)}"
    if kind in (dict, Mapping):
        return "dictionaries" if plural else "a dictionary"
    return "values" if plural else "a value"


def _flattened(constraints: Sequence[Any]) -> list[Any]:
    flat: list[Any] = []
    for constraint in constraints:
        flat += constraint.metadata if isinstance(constraint, FieldInfo) else [constraint]
    return flat


def _limit(constraints: Sequence[Any], name: str) -> str | None:
    found = [getattr(constraint, name, None) for constraint in _flattened(constraints)]
    return next((f"{value:g}" for value in found if isinstance(value, (int, float))), None)


def _bounds(constraints: Sequence[Any]) -> str:
    at_least, above = _limit(constraints, "ge"), _limit(constraints, "gt")
    at_most, below = _limit(constraints, "le"), _limit(constraints, "lt")
    if at_least is not None and at_most is not None:
        words = f" from {at_least} to {at_most}"
    else:
        low = f" of at least {at_least}" if at_least is not None else f" above {above}" if above is not None else ""
        high = f" of at most {at_most}" if at_most is not None else f" below {below}" if below is not None else ""
        words = f"{low} and{high}" if low and high else low + high
    multiple = _limit(constraints, "multiple_of")
    return words + (f", a multiple of {multiple}" if multiple else "")


def _lengths(constraints: Sequence[Any]) -> str:
    least, most = _limit(constraints, "min_length"), _limit(constraints, "max_length")
    if least is not None and least == most:
        return f", {least} of them"
    return (f", at least {least}" if least not in (None, "0") else "") + (f", at most {most}" if most else "")


def choices(annotation: Any) -> tuple[Any, ...]:
    """Return every value that the `Literal`s and enumerations within a type name."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(member.value for member in annotation)
    return tuple(value for part in get_args(annotation) for value in choices(part))


def takes_truths(annotation: Any) -> bool:
    """Return whether True and False are values of the type (pydantic alone would take them for 1 and 0 anywhere)."""
    if annotation in (bool, Any, object):
        return True
    if get_origin(annotation) is Literal:
        return any(isinstance(value, bool) for value in get_args(annotation))
    if get_origin(annotation) in (dict, Mapping):
        return False
    parts = get_args(annotation)
    return any(takes_truths(part) for part in (parts[:1] if get_origin(annotation) is Annotated else parts))


def takes_lists(annotation: Any) -> bool:
    """Return whether lists are values of the type, alone or among others."""
    if get_origin(annotation) in (Union, UnionType):
        return any(takes_lists(part) for part in get_args(annotation))
    return (get_origin(annotation) or annotation) in _SEQUENCES


def shown(value: Any) -> str:
    """Return a refused value as a sentence repeats it: as Python writes it, shortened."""
    text = repr(str(value) if isinstance(value, PurePath) else value)
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 3] + "..."


def option_error(
    error: ValidationError,
    model: type[BaseModel],
    given: Mapping[str, Any],
    spell: Callable[[str], str] = str,
    only: str | None = None,
) -> OptionError:
    """Return pydantic's errors as one `OptionError`: per field a sentence with what was found and what was expected.

    Args:
        error: what validating `model` raised.
        model: the model.
        given: field name -> value as the user gave it.
        spell: how the user knows a field ("--max-epochs" for "max_epochs").
        only: tell about this field alone.
    """
    sentences: dict[str, str] = {}
    for problem in error.errors():
        field = str(problem["loc"][0]) if problem["loc"] else ""
        if only is None or field == only:
            sentences.setdefault(field, _sentence(problem, model, field, given, spell))
    return OptionError(" ".join(sentences.values()))


def _sentence(problem: Any, model: type[BaseModel], field: str, given: Mapping[str, Any], spell: Callable[[str], str]) -> str:
    own = str(problem.get("ctx", {}).get("error", problem["msg"])).rstrip(".")
    info = model.model_fields.get(field)
    if info is None:
        return _capital(own) + "."
    if problem["type"] == "missing" and len(problem["loc"]) == 1:
        needed = info.description or f"Give {expectation(info.annotation, info.metadata)}."
        return f"{spell(field)} is missing: {needed[0].lower()}{needed[1:]}"
    path, info, value = _innermost(info, [str(part) for part in problem["loc"]], given.get(field))
    name = spell(".".join([field, *path]))
    if problem["type"] == "extra_forbidden":
        known = _nested(model.model_fields[field].annotation)
        names = list(known.model_fields) if known else []
        unknown = str(problem["loc"][-1])
        return f"{spell(field)} has no entry {unknown!r}.{suggestion(unknown, names)} It takes {listed(names, 20)}."
    if problem["type"] in ("value_error", "assertion_error"):
        return f"{name} is {shown(value)}: {own}."
    return f"{name} is {shown(value)}; expected {expectation(info.annotation, info.metadata)}."


def _innermost(info: FieldInfo, location: list[str], value: Any) -> tuple[list[str], FieldInfo, Any]:
    """Follow a problem's location through nested models; return the path below the field, its field and its value."""
    path: list[str] = []
    for part in location[1:]:
        nested = _nested(info.annotation)
        if nested is None or part not in nested.model_fields:
            continue
        path.append(part)
        info = nested.model_fields[part]
        value = value.get(part) if isinstance(value, Mapping) else value
    return path, info, value


def _nested(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _nested(part))), None)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
