"""`chipwright inspect`: what a training-data folder or a trained model holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from chipwright.cli.output import AsJson, columns, emit, plain_data
from chipwright.errors import listed

_SIZES = ("tile_size", "sizes", "chip_size")
"""Facts that are (width, height) pairs in pixels, one or several."""


def inspect(
    in_folder: Annotated[
        list[Path], typer.Argument(metavar="IN_FOLDER...", help="Training-data folder(s), or a trained model.")
    ],
    preview: Annotated[
        Path | None, typer.Option("--preview", metavar="FILE.png", help="Draw some labelled samples into a picture.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a folder of chips holds.

    Format, chips, bands, classes and their balance, what is wrong with it, and the model types that fit.

    Example: chipwright inspect chips --preview samples.png
    """
    from chipwright import api

    facts = api.inspect([folder.expanduser() for folder in in_folder], preview=preview.expanduser() if preview else None)
    emit(facts, as_text(plain_data(facts)), as_json)


def as_text(facts: Mapping[str, Any]) -> str:
    """Return facts as lines: plain ones side by side, lists of records and bands as tables, sentences one a line."""
    short: list[list[str]] = []
    blocks: list[str] = []
    for name, value in facts.items():
        title = _title(name)
        if value is None or value == [] or value == {}:
            continue
        if name == "warnings":
            blocks.append("\n".join([f"{title}:", *(columns([["-", str(line)]], indent=2) for line in value)]))
        elif name == "dropped":
            rows = [[f"{len(chips)}", f"{reason}: {listed(chips)}"] for reason, chips in value.items()]
            blocks.append(f"{title}:\n" + columns(rows, indent=2))
        elif name == "statistics":
            blocks.append(f"{title}:\n" + _statistics(value, facts.get("bands") or []))
        elif name == "fits_not":
            blocks.append("Model types that do not fit:\n" + columns([[key, str(why)] for key, why in value.items()], indent=2))
        elif isinstance(value, list) and isinstance(value[0], Mapping):
            blocks.append(f"{title}:\n" + _records(value))
        elif isinstance(value, Mapping):
            blocks.append(f"{title}:\n" + columns([[_title(key), _plain(item)] for key, item in value.items()], indent=2))
        elif name in _SIZES:
            sizes = value if isinstance(value[0], list) else [value]
            short.append([f"{title}:", listed(f"{width} x {height}" for width, height in sizes)])
        else:
            short.append([f"{title}:", _plain(value)])
    return "\n\n".join([*([columns(short)] if short else []), *blocks])


def _records(records: Sequence[Mapping[str, Any]]) -> str:
    header = list(records[0])
    rows = [[_plain(record.get(key)) for key in header] for record in records]
    return columns(rows, [_title(key) for key in header], indent=2)


def _statistics(statistics: Mapping[str, Any], bands: Sequence[str]) -> str:
    """Return band statistics (name -> one value a band) as a table with a row for each band."""
    lists = {name: values for name, values in statistics.items() if isinstance(values, list)}
    count = max((len(values) for values in lists.values()), default=0)
    names = [str(band) for band in bands] if len(bands) == count else [f"Band {number}" for number in range(1, count + 1)]
    rows = [
        [names[band], *(_plain(values[band]) if band < len(values) else "" for values in lists.values())]
        for band in range(count)
    ]
    others = [[f"{_title(name)}:", _plain(value)] for name, value in statistics.items() if name not in lists]
    return "\n".join(
        part for part in (columns(rows, ["Band", *map(_title, lists)], indent=2), columns(others, indent=2)) if part
    )


def _title(name: object) -> str:
    text = str(name).replace("_", " ")
    return text[:1].upper() + text[1:]


def _plain(value: Any) -> str:
    from chipwright.report.wording import number, plain

    return number(value, trim=True) if isinstance(value, float) else plain(value)
