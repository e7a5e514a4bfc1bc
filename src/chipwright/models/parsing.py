"""Model arguments as users give them (text, pairs, a dictionary) turned into a model type's validated `Arguments`.

`raw_arguments` needs no model type: it only takes a user's writing apart. `parse_arguments` then reads each value as what the
model type says it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from chipwright.errors import OptionError, listed, suggestion
from chipwright.models.base import Arguments
from chipwright.sentences import choices, expectation, option_error, shown, takes_lists, takes_truths
from chipwright.text_values import is_empty, readings, split_outside, unquoted

Model = TypeVar("Model", bound=Arguments)

PAGE_ALIASES: tuple[frozenset[str], ...] = (
    frozenset({"use_net", "use_unet"}),
    frozenset({"focus_loss", "focal_loss"}),
    frozenset({"decode_params", "decoder_params"}),
    frozenset({"zoom", "zooms"}),
    frozenset({"grid", "grids"}),
)
"""Spellings that the reference's page and its users mix; whichever of a group the model type has is meant."""

_NAMED = re.compile(
    r"""\s*(?:'(?P<single>[^']+)'|"(?P<double>[^"]+)"|(?P<bare>[^\s='"]+))(?P<gap>\s*=\s*|\s+|$)(?P<value>.*)""", re.S
)


def raw_arguments(raw: Any) -> dict[str, Any]:
    """Return argument name -> value, text values still as text, from any way of writing them.

    Args:
        raw: `"name value;name value"`, a sequence of pairs or of `"name=value"` (or `"name value"`) texts, a mapping, an
            ArcGIS value table, or None.

    Raises:
        OptionError: if it cannot be taken apart, or names an argument twice with different values.
    """
    if raw is None:
        return {}
    if hasattr(raw, "exportToString"):  # arcpy.ValueTable
        raw = raw.exportToString()
    found: dict[str, Any] = {}
    for name, value in _pairs(raw):
        if name in found and found[name] != value:
            raise OptionError(f"Argument {name} is given twice: {shown(found[name])} and {shown(value)}. Keep one.")
        found[name] = value
    return found


def _pairs(raw: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(raw, str):
        if not is_empty(raw):
            for piece in split_outside(raw):
                yield _named(piece, value_needed=False)
    elif isinstance(raw, Mapping):
        for name, value in raw.items():
            yield _name(str(name)), value
    elif isinstance(raw, Sequence):
        for item in raw:
            if isinstance(item, str):
                yield _named(item, value_needed=True)
            elif isinstance(item, Sequence) and len(item) == 2:
                yield _name(str(item[0])), item[1]
            else:
                raise OptionError(f'Argument {shown(item)} cannot be read; write "name value" or a pair (name, value).')
    else:
        raise OptionError(f'Arguments are {shown(raw)}; expected "name value;name value", a list of pairs, or a dictionary.')


def _named(text: str, value_needed: bool) -> tuple[str, str]:
    match = _NAMED.fullmatch(text)
    if match is None:
        raise OptionError(f"Argument {shown(text)} cannot be read; write name=value.")
    if value_needed and not match["gap"]:
        raise OptionError(f"Argument {shown(text)} has no value; write {match['bare'] or text.strip()}=VALUE.")
    return _name(match["single"] or match["double"] or match["bare"]), unquoted(match["value"])


def _name(text: str) -> str:
    return unquoted(text).strip().lower().replace("-", "_")


def parse_arguments(
    raw: str | Sequence[Any] | Mapping[str, Any] | None, model: type[Model], keyword: str, monitors: Sequence[str]
) -> Model:
    """Return the validated arguments of one model type; empty values and arguments not named keep their defaults.

    Args:
        raw: see `raw_arguments`.
        model: the type's pydantic model.
        keyword: the type, for sentences ("UNET").
        monitors: the metrics that `monitor` may name.

    Raises:
        OptionError: for an unknown argument, one given under two names, or a value that does not fit.
    """
    given = _known(raw_arguments(raw), model, keyword)
    arguments = _validated(given, model, keyword)
    monitor = arguments.monitor
    by_lower = {name.lower(): name for name in monitors}
    if monitor.lower() not in by_lower:
        raise OptionError(
            f"{keyword} cannot monitor {monitor!r}.{suggestion(monitor, monitors)} It can monitor {listed(monitors, 30)}."
        )
    if by_lower[monitor.lower()] != monitor:
        arguments = arguments.model_copy(update={"monitor": by_lower[monitor.lower()]})
    return arguments


def _known(given: Mapping[str, Any], model: type[Arguments], keyword: str) -> dict[str, Any]:
    """Return field name -> value with aliases resolved and empty values left out."""
    resolved: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    for name, value in given.items():
        field = _field(name, model)
        if field is None:
            known = list(model.model_fields)
            raise OptionError(
                f"{keyword} has no argument {name!r}.{suggestion(name, [*known, *model.aliases])} "
                f"Its arguments are {listed(known, 60)}."
            )
        if field in spelled:
            raise OptionError(f"{spelled[field]} and {name} are the same argument of {keyword}; give one of them.")
        spelled[field] = name
        if not is_empty(value):
            resolved[field] = value
    return resolved


def _field(name: str, model: type[Arguments]) -> str | None:
    by_lower = {field.lower(): field for field in model.model_fields}
    if name in by_lower:
        return by_lower[name]
    for alias, field in model.aliases.items():
        if name == alias.lower():
            return field
    group: frozenset[str] = next((group for group in PAGE_ALIASES if name in group), frozenset())
    return next((by_lower[other] for other in group if other in by_lower), None)


def _validated(given: Mapping[str, Any], model: type[Model], keyword: str) -> Model:
    """Validate, trying each value's readings in turn: "4" is a number to one argument, text or a list of one to another."""
    waiting = {field: _candidates(value, model, field) for field, value in given.items()}
    trial = {field: candidates.pop(0) for field, candidates in waiting.items()}
    first: ValidationError | None = None
    first_trial = dict(trial)
    while True:
        try:
            return model.model_validate(trial)
        except ValidationError as error:
            first = first or error
            faulty = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]} & set(trial)
            if not faulty:
                raise _told(error, model, keyword, given, trial) from None
            for field in faulty:
                if waiting[field]:
                    trial[field] = waiting[field].pop(0)
                elif first_trial[field] is None:
                    del trial[field]  # None where there is no None means the default
                else:
                    raise _told(first, model, keyword, given, first_trial, field) from None


def _told(
    error: ValidationError,
    model: type[Arguments],
    keyword: str,
    given: Mapping[str, Any],
    trial: Mapping[str, Any],
    field: str | None = None,
) -> OptionError:
    """Return the error in plain words; about `field` alone where the other values were only read another way first."""
    if field is not None and not any(problem["loc"] and problem["loc"][0] == field for problem in error.errors()):
        info = model.model_fields[field]  # its first reading fell only together with others
        expected = expectation(info.annotation, info.metadata)
        return OptionError(f"Argument {field} of {keyword} is {shown(given[field])}; expected {expected}.")
    values = {name: value if isinstance(value, Mapping) else given.get(name, value) for name, value in trial.items()}
    return option_error(error, model, values, lambda name: f"Argument {name} of {keyword}", only=field)


def _candidates(value: Any, model: type[Arguments], field: str) -> list[Any]:
    annotation = model.model_fields[field].annotation
    words = {choice.lower(): choice for choice in choices(annotation) if isinstance(choice, str)}
    found = []
    for reading in readings(value):
        if isinstance(reading, bool) and not takes_truths(annotation):
            continue
        found.append(words.get(reading.lower(), reading) if isinstance(reading, str) else reading)
    if takes_lists(annotation):  # "Bare soil, Water" is two names to an argument that takes a list, even of text
        found.sort(key=lambda reading: not isinstance(reading, list))
    return found or [str(value)]
