"""What a command prints and how it ends.

Results go to standard output, everything else to standard error. With `--json` the result is one JSON object, also where the
command fails. Exit status: 0 done, 1 failed under way, 2 unusable input or options, 130 interrupted.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import textwrap
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, is_dataclass
from pathlib import PurePath
from typing import Annotated, Any, TextIO

import typer

from chipwright.console import say
from chipwright.errors import ChipwrightError, printable

DEBUG = "CHIPWRIGHT_DEBUG"
"""Environment variable that, set to 1, lets tracebacks and the libraries' warnings through."""

FAILED, UNUSABLE, INTERRUPTED = 1, 2, 130

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output, everything else on standard error.")
]

_CLICK_ERROR: Any = typer.BadParameter.__mro__[2]
"""The base of typer's usage errors; newer releases carry it themselves, older ones take it from click."""

_results: TextIO | None = None


@contextmanager
def results_only() -> Iterator[None]:
    """Send whatever libraries print to standard error; `emit` alone reaches standard output."""
    global _results
    _results = sys.stdout
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _results = None


def emit(data: Any, text: str, as_json: bool) -> None:
    """Print a command's result: `data` as JSON, or `text` for people."""
    # escaped to ASCII: a Windows console's code page would garble names otherwise
    shown = json.dumps(plain_data(data), indent=2, allow_nan=False) if as_json else text
    print(shown, file=_results or sys.stdout, flush=True)


def plain_data(value: Any) -> Any:
    """Return `value` as JSON data: dataclasses and mappings as objects, paths as text, NaN and infinities as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain_data(asdict(value))
    if hasattr(value, "model_dump"):
        return plain_data(value.model_dump())
    if isinstance(value, Mapping):
        return {str(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain_data(item) for item in value]
    if hasattr(value, "tolist"):
        return plain_data(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, PurePath):
        return str(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def report(error: BaseException, as_json: bool) -> int:
    """Print an error as one sentence, and as JSON where that was asked for; return the exit status."""
    status, kind, message, hint = _explained(error)
    if debugging():
        traceback.print_exception(error)
    say(f"Error: {message}" if status != INTERRUPTED else message)
    if hint:
        say(hint)
    if as_json:
        emit({"error": {"message": message, "type": kind}}, "", True)
    return status


def _explained(error: BaseException) -> tuple[int, str, str, str]:
    """Return (exit status, type, message, hint) of an error."""
    kind = type(error).__name__
    if isinstance(error, ChipwrightError):
        return error.exit_status, kind, str(error), ""
    if isinstance(error, _CLICK_ERROR):
        context = getattr(error, "ctx", None)
        hint = f'See "{context.command_path} --help".' if context is not None else ""
        return UNUSABLE, "OptionError", " ".join(error.format_message().split()), hint
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "Interrupted", "Interrupted. What was finished so far is kept.", ""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return FAILED, kind, f"{error.strerror}: {error.filename}", ""
    if isinstance(error, MemoryError):
        return FAILED, kind, "Memory is used up; try a smaller --batch-size, a smaller chip_size or --workers 0.", ""
    if isinstance(error, ImportError) and not (error.name or "").startswith("chipwright"):
        return FAILED, kind, f'A library cannot be loaded ({error}). Run "chipwright doctor" to see what is wrong.', ""
    text = " ".join(str(error).split()) or "no more is known"
    hint = "" if debugging() else f"This should not happen; please report it, with what {DEBUG}=1 prints."
    return FAILED, kind, f"Something unexpected went wrong ({kind}: {text}).", hint


def debugging() -> bool:
    """Return whether the user wants tracebacks and every warning."""
    return os.environ.get(DEBUG, "") not in ("", "0")


def quiet_libraries() -> None:
    """Keep the libraries' own warnings off the screen; they speak to programmers, and what matters we say ourselves."""
    if debugging():
        return
    for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
        warnings.simplefilter("ignore", category)
    libraries = (
        "torch|torchvision|torchmetrics|timm|accelerate|rasterio|pyogrio|segmentation_models_pytorch|faster_coco_eval|"
        "transformers|huggingface_hub|matplotlib|numpy|PIL"
    )
    warnings.filterwarnings("ignore", module=rf"({libraries})(\.|$)")
    warnings.filterwarnings("ignore", message=".*Dataset has no geotransform.*")


def any_console() -> None:
    """Let every character through on consoles of any code page, replaced where it cannot be shown."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def columns(rows: Sequence[Sequence[str]], header: Sequence[str] = (), indent: int = 0) -> str:
    """Return rows as aligned columns; the last column is wrapped to the width of the terminal."""
    table = [[printable(str(cell)) for cell in row] for row in ([header, *rows] if header else rows)]
    if not table:
        return ""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]) - 1)]
    room = max(24, min(shutil.get_terminal_size((100, 24)).columns, 160) - indent - sum(widths) - 2 * len(widths))
    lines = []
    for row in table:
        wrapped = textwrap.wrap(row[-1], room, break_on_hyphens=False) or [""]
        for number, part in enumerate(wrapped):
            cells = row[:-1] if number == 0 else [""] * len(widths)
            padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
            lines.append((" " * indent + "  ".join([*padded, part])).rstrip())
    return "\n".join(lines)


def figure_columns(metrics: Mapping[str, float]) -> str:
    """Return figures by their names in words, aligned and indented; nothing where there are none."""
    from chipwright.report.wording import capital, figure, metric

    return columns([(capital(metric(name).label), figure(name, value)) for name, value in metrics.items()], indent=2)


def quoted(path: object) -> str:
    """Return a path as it can be pasted into a shell: in double quotes where it holds spaces."""
    text = str(path)
    return f'"{text}"' if any(character in text for character in " &();'") else text
