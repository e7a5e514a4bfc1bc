"""`chipwright models`: the table of model types, and everything one of them accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from chipwright.cli.output import AsJson, columns, emit

if TYPE_CHECKING:
    from chipwright.models.base import ModelType

_NOT_YET = "not in this version yet"
_WIDEST = 32
"""Characters of a default that the table has room for."""
_HEADER = ("KEYWORD", "MODEL TYPE", "TRAINING DATA")


def models(
    keyword: Annotated[
        str | None, typer.Argument(metavar="[KEYWORD]", help="A model type, to see what it accepts.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the model types, or say what one accepts.

    With a keyword: its arguments with defaults and ranges, backbones, training-data formats and metrics.

    Example: chipwright models UNET
    """
    if keyword is None:
        rows = every_type()
        emit({"models": rows}, _list(rows), as_json)
    else:
        from chipwright.catalog import find

        described = describe(find(keyword))
        emit(described, _page(described), as_json)


def every_type() -> list[dict[str, Any]]:
    """Return keyword, title, formats and availability of every model type, without importing torch."""
    from chipwright.catalog import find, rows

    found = []
    for keyword, row in rows().items():
        formats: list[str] = []
        trouble = None if row.location else _NOT_YET
        if row.location:
            try:
                formats = list(find(keyword).formats)
            except Exception as error:  # one broken type, a third party's say, must not hide the others
                trouble = f"cannot be loaded: {error}"
        found.append(
            {
                "keyword": keyword,
                "title": row.title,
                "formats": formats,
                "available": trouble is None,
                "state": trouble or "available",
            }
        )
    return found


def describe(model_type: ModelType) -> dict[str, Any]:
    """Return everything a user may want to know of one model type, as plain data."""
    from chipwright.sentences import expectation

    arguments = [
        {
            "name": name,
            "default": field.get_default(call_default_factory=True),
            "accepts": f"one of {', '.join(model_type.monitors)}"
            if name == "monitor"
            else expectation(field.annotation, field.metadata),
            "help": field.description or "",
        }
        for name, field in model_type.arguments.model_fields.items()
    ]
    rule = model_type.backbones
    return {
        "keyword": model_type.keyword,
        "title": model_type.title,
        "paper": model_type.paper,
        "formats": list(model_type.formats),
        "arguments": arguments,
        "aliases": dict(model_type.arguments.aliases),
        "monitors": list(model_type.monitors),
        "backbones": None if rule is None else {"default": rule.default, "keywords": list(rule.keywords), "timm": rule.timm},
    }


def _list(rows: list[dict[str, Any]]) -> str:
    ready = [row for row in rows if row["available"]]
    later = [row for row in rows if not row["available"]]
    lines = [
        columns([[row["keyword"], row["title"], ", ".join(row["formats"])] for row in ready], _HEADER),
        "",
        'What one of them accepts: chipwright models KEYWORD, for instance "chipwright models UNET".',
    ]
    if later:
        cells = [[row["keyword"], row["title"] if row["state"] == _NOT_YET else row["state"]] for row in later]
        lines += ["", f"{_NOT_YET[0].upper()}{_NOT_YET[1:]}:", columns(cells, indent=2)]
    return "\n".join(lines)


def _page(described: dict[str, Any]) -> str:
    backbones = described["backbones"]
    facts = [["Paper:", described["paper"]], ["Formats:", ", ".join(described["formats"])]]
    if backbones is not None:
        also = [*backbones["keywords"], *(["timm:NAME"] if backbones["timm"] else [])]
        facts += [["Backbones:", f"{', '.join(also)} (default: {backbones['default']})"]]
    arguments = [_row(row) for row in described["arguments"]]
    lines = [f"{described['keyword']}: {described['title']}", "", columns(facts), "", "Arguments (-a NAME=VALUE):"]
    lines.append(columns(arguments, ["NAME", "DEFAULT", "MEANING"], indent=2))
    if described["aliases"]:
        pairs = ", ".join(f"{alias} for {name}" for alias, name in described["aliases"].items())
        lines += ["", f"Also accepted: {pairs}."]
    return "\n".join(lines)


def _row(argument: dict[str, Any]) -> list[str]:
    """Return name, default and meaning; a default that would leave the meaning no room stands in its text."""
    default, meaning = _value(argument["default"]), f"{argument['help']} Takes {argument['accepts']}."
    if len(default) > _WIDEST:
        default, meaning = "see right", f"{meaning} Default: {default}."
    return [argument["name"], default, meaning]


def _value(value: Any) -> str:
    if value is None:
        return "picked"
    if hasattr(value, "model_dump"):
        value = value.model_dump()
    if isinstance(value, tuple):
        value = list(value)
    return str(value)
