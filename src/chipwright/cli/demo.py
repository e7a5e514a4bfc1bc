"""`chipwright demo`: the whole job in small, to see that everything works and what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chipwright.cli.inspect import as_text
from chipwright.cli.output import AsJson, emit, plain_data


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for everything the demo makes.")],
    seed: Annotated[int, typer.Option("--seed", metavar="NUMBER", min=0, help="Seed of the scene and of training.")] = 42,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo in that folder.")] = False,
    as_json: AsJson = False,
) -> None:
    """Do the whole job on a small made-up scene.

    Draws the scene and its chips, trains a model, puts its result back onto the scene: a few minutes on two cores.

    Example: chipwright demo --out demo
    """
    from chipwright import api

    facts = api.demo(out.expanduser(), seed=seed, overwrite=overwrite)
    emit(facts, as_text(plain_data(facts)), as_json)
