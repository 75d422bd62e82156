"""`rheinfall gnn`: look into graph networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rheinfall.cli.errors import guard, reading
from rheinfall.cli.exit_codes import EPILOG
from rheinfall.cli.options import Json, Quiet
from rheinfall.cli.output import Output

app = typer.Typer(help="Look into graph networks.", epilog=EPILOG, no_args_is_help=True)


@app.callback()
def main() -> None:
    """Look into graph networks."""


@app.command("inspect", epilog=EPILOG)
@guard
def inspect(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="An ONNX graph network.")],
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Tell opset, inputs, operators, whether the fused engine runs it, and the traps in it."""
    from rheinfall.gnn.inspection import inspect_network

    output = Output(quiet, as_json)
    with reading(path):
        inspection = inspect_network(path)
    output.say_plain(str(inspection))
    output.document({**inspection.facts, "traps": inspection.traps})
