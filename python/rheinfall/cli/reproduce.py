"""`rheinfall reproduce`: make a shipped bundle again, from the first simulated event to the thresholds."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from rheinfall.cli.errors import CommandError, guard, writing
from rheinfall.cli.exit_codes import ExitCode
from rheinfall.cli.options import Json, Quiet
from rheinfall.cli.output import Output


class Recipe(str, Enum):
    """Bundles that the package can make again."""

    demo = "demo"
    trackml = "trackml"


@guard
def reproduce(
    recipe: Annotated[Recipe, typer.Argument(help="Which bundle.")],
    out: Annotated[Path, typer.Option(help="Folder of the bundle to write; the rest goes to OUT-training.")],
    detectors: Annotated[Path | None, typer.Option(help="TrackML's detectors file, for trackml.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that build the module map of trackml.")] = 2,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make a shipped bundle again: simulate, build the map, train, choose thresholds (extras [train], [onnx], [acts]).

    The same versions of the packages on one kind of machine give the same bundle, bit for bit. On two cores trackml
    takes about half an hour, demo four minutes on one. What is there of OUT-training/maps is not made again.
    """
    from rheinfall._extras import require

    for package, extra in (("torch", "train"), ("onnx", "train"), ("onnxruntime", "onnx")):
        require(package, extra)
    output = Output(quiet, as_json)
    work = out.with_name(out.name + "-training")
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    if recipe is Recipe.demo:
        from rheinfall.training.demo import make_demo

        finder = make_demo(out, work, output.say_plain)
    else:
        require("acts", "acts")
        if detectors is None:
            raise CommandError("--detectors: trackml needs TrackML's detectors.csv", ExitCode.USAGE)
        from rheinfall.training.trackml import make_trackml

        finder = make_trackml(detectors, out, work, workers, output.say_plain)
    output.say_plain(f"bundle {out}")
    output.document({"bundle": str(out), "provenance": finder.provenance})
