"""What the benchmarks share: where the real chips lie, and how figures are printed."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def data_folder() -> Path:
    """Return the folder of real training data (CHIPWRIGHT_TEST_DATA, else `shared/data` beside the project)."""
    folder = Path(os.environ.get("CHIPWRIGHT_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        raise SystemExit(f"No real training data at {folder}; set CHIPWRIGHT_TEST_DATA.")
    return folder


def arguments(description: str, **defaults: Any) -> argparse.Namespace:
    """Parse `--name value` options with the given defaults; a list default takes several values."""
    parser = argparse.ArgumentParser(description=description)
    for name, default in defaults.items():
        kind = type(default[0]) if isinstance(default, list) else type(default)
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=kind, default=default, nargs="+" if isinstance(default, list) else None
        )
    return parser.parse_args()


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder that goes with the benchmark."""
    return tempfile.TemporaryDirectory(prefix="chipwright-benchmark-")


def machine() -> str:
    """Return the machine and the versions in one line."""
    import torch  # here, so that contestants that do without it are not charged its memory

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    return f"{platform.system()} {platform.machine()}, {device}, Python {platform.python_version()}, torch {torch.__version__}"


def mean_and_spread(values: Sequence[float]) -> str:
    """Return "mean ± standard deviation" of several runs."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.3f} ± {spread:.3f}"


def show(title: str, rows: Sequence[dict[str, Any]], out: str = "") -> None:
    """Print rows as a Markdown table, and append them as JSON to `out` if it is given."""
    print(f"\n### {title}\n\n{machine()}\n")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(row.get(name, "")) for name in columns) + " |")
    if out:
        with Path(out).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"title": title, "machine": machine(), "rows": list(rows)}) + "\n")
