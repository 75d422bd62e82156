"""`rheinfall gnn`: look into graph networks, and write them for C++."""

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


@app.command("lower", epilog=EPILOG)
@guard
def lower(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="An ONNX graph network.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The lowered network, for C++.")],
    repair_scatter: Annotated[
        bool, typer.Option("--repair-scatter", help="Make scatters that lost their reduction add.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a network in the form that rheinfall::EdgeClassifier reads in C++ (docs/gnn_format.md)."""
    from rheinfall.gnn import EdgeClassifier

    output = Output(quiet, as_json)
    with reading(path):
        classifier = EdgeClassifier.load(path, engine="fused", repair_scatter=repair_scatter)
    classifier.save_lowered(out)
    output.say(f"{out}: {out.stat().st_size} bytes")
    output.document({"out": str(out), "bytes": out.stat().st_size, "output_is": classifier.info["output_is"]})
