"""`chipwright demo`: the whole job in small, to see that everything works and what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from chipwright.cli.output import AsJson, columns, emit, figure_columns


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
    emit(facts, _text(facts), as_json)


def _text(facts: dict[str, Any]) -> str:
    """Return what a user reads after the demo: what to open, and how good the model is."""
    from chipwright.report.wording import duration

    places = [
        ("Map:", facts["map"], "the scene beside what the model sees: open it first"),
        ("Report:", facts["report"], "how good the model is, for any browser"),
        ("Classes:", facts["classes"], "the map as a raster, for QGIS or ArcGIS"),
        ("Scene:", facts["scene"], "the image"),
        ("Labels:", facts["labels"], "what is true of it"),
        ("Chips:", facts["chips"], "what was trained on"),
        ("Model:", facts["model"], "for chipwright predict, QGIS or ArcGIS"),
    ]
    return "\n".join([f"Done in {duration(facts['seconds'])}.", figure_columns(facts["metrics"]), "", columns(places)])
