"""`chipwright weights`: pretrained backbone weights on this machine, and for one without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chipwright.cli.output import AsJson, columns, emit, plain_data, quoted

app = typer.Typer(
    help="List backbone weights, or fetch them.\n\nA machine without a network takes them from a folder.",
    rich_markup_mode=None,
)


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the weights and where they lie here.

    Example: chipwright weights list
    """
    from chipwright.networks.weights import list_weights

    rows = list_weights()
    cells = [
        [
            row.keyword,
            row.network,
            f"{row.megabytes} MB" if row.megabytes is not None else "-",
            row.licence or "-",
            str(row.path) if row.path is not None else "not here",
        ]
        for row in rows
    ]
    table = columns(cells, ["BACKBONE", "WEIGHTS", "SIZE", "LICENCE", "FILE"])
    emit({"weights": plain_data(rows)}, table, as_json)


@app.command("fetch")
def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Backbones, such as RESNET50 or timm:convnext_tiny.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder for the files.")],
    as_json: AsJson = False,
) -> None:
    """Download weights into a folder.

    Carry the folder to a machine without a network and set CHIPWRIGHT_WEIGHTS to it there.

    Example: chipwright weights fetch RESNET34 RESNET50 --to weights
    """
    from chipwright.networks.weights import fetch_weights

    folder = to.expanduser()
    files = fetch_weights(names, folder)
    lines = [f"Written: {file}" for file in files]
    lines.append(f"On the other machine set CHIPWRIGHT_WEIGHTS to the folder {quoted(folder.resolve())} as it is called there.")
    emit({"files": files, "folder": folder}, "\n".join(lines), as_json)
