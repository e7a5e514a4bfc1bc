"""The command line: one file per command, each thin: parse, call `chipwright.api`, print.

Importing this package costs neither torch nor pydantic, so that `--help` answers at once; commands import what they need when
they run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated

import typer

from chipwright.cli import demo, doctor, evaluate, export, inspect, models, package, predict, train, weights
from chipwright.cli.output import INTERRUPTED, any_console, quiet_libraries, report, results_only

app = typer.Typer(
    name="chipwright",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # boxes cut option names short, and cost a quarter of a second
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("export")(export.export)
app.command("inspect")(inspect.inspect)
app.command("models")(models.models)
app.command("package")(package.package)
app.add_typer(weights.app, name="weights")
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Train deep-learning models from the image chips that ArcGIS exports.

    Begin with "chipwright doctor" (is everything installed?) and "chipwright demo --out DIR" (the whole job in small).
    """
    if version:
        from importlib.metadata import version as installed

        print(f"chipwright {installed('chipwright')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status (see `chipwright.cli.output`)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in (words[: words.index("--")] if "--" in words else words)
    any_console()
    quiet_libraries()
    # threads that spin while they wait make training many times slower as soon as another program takes a core
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with results_only() if as_json else nullcontext():
        try:
            status = typer.main.get_command(app).main(words, prog_name="chipwright", standalone_mode=False)
            if status == INTERRUPTED:  # typer turns Ctrl-C into this status
                raise KeyboardInterrupt
        except (Exception, KeyboardInterrupt) as error:
            return report(error, as_json)
    return status if isinstance(status, int) else 0
