"""`rheinfall gnn`: look into graph networks, and write them for C++."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from rheinfall.cli.errors import guard, reading, writing
from rheinfall.cli.exit_codes import EPILOG
from rheinfall.cli.options import Json, Quiet
from rheinfall.cli.output import Output

app = typer.Typer(help="Look into graph networks.", epilog=EPILOG, no_args_is_help=True)


class Reduction(str, Enum):
    """What a scatter without a reduction was meant to do."""

    add = "add"
    mean = "mean"


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


@app.command("tensors", epilog=EPILOG)
@guard
def tensors(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A safetensors, npz or torch.save file.")],
    under: Annotated[
        list[str] | None, typer.Option("--under", metavar="KEY", help="Where in a checkpoint the tensors lie.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List the keys, types and shapes of a file of tensors, without PyTorch and without running what it holds."""
    from rheinfall.gnn.tensor_files import read_tensors

    output = Output(quiet, as_json)
    with reading(path):
        found = read_tensors(path, under or [])
    for key, value in found.items():
        output.say_plain(f"{key}  {value.dtype}  {value.shape}")
    output.document({key: {"dtype": str(value.dtype), "shape": value.shape} for key, value in found.items()})


@app.command("lower", epilog=EPILOG)
@guard
def lower(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="An ONNX graph network, or a PyTorch state dict.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The lowered network, for C++.")],
    repair_scatter: Annotated[
        bool, typer.Option("--repair-scatter", help="Restore the reductions that scatters lost, where FILE tells them.")
    ] = False,
    repair_scatter_as: Annotated[
        Reduction | None,
        typer.Option("--repair-scatter-as", help="Restore them as this, where FILE does not tell."),
    ] = None,
    description: Annotated[
        Path | None,
        typer.Option("--description", "-d", metavar="JSON", help="What network FILE, a state dict, belongs to."),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a network in the form that rheinfall::EdgeClassifier reads in C++ (docs/gnn_format.md).

    With --description, FILE is the state dict of a PyTorch module (docs/gnn_state_dicts.md).
    """
    from rheinfall.gnn import EdgeClassifier
    from rheinfall.gnn.lost_reductions import Repair

    repair: Repair = repair_scatter if repair_scatter_as is None else repair_scatter_as.value
    if description is not None and repair:
        raise typer.BadParameter("--repair-scatter: for ONNX files, not with --description")
    output = Output(quiet, as_json)
    with reading(path):
        if description is not None:
            classifier = EdgeClassifier.load_state_dict(path, description)
        else:
            classifier = EdgeClassifier.load(path, engine="fused", repair_scatter=repair)
    with writing(out):
        classifier.save_lowered(out)
    output.say(f"{out}: {out.stat().st_size} bytes")
    output.document({"out": str(out), "bytes": out.stat().st_size, "output_is": classifier.info["output_is"]})
