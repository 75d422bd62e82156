"""The commands of `rheinfall` and how they are put together."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from rheinfall.cli import find, gnn, info, module_map, quantized, reproduce, simulate, train
from rheinfall.cli.exit_codes import EPILOG, ExitCode

app = typer.Typer(
    name="rheinfall",
    help="Find tracks in collider events with a module map, an edge classifier and track building.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from rheinfall import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command("find", epilog=EPILOG)(find.find)
app.command("simulate", epilog=EPILOG)(simulate.simulate)
app.add_typer(module_map.app, name="module-map")
app.command("train", epilog=EPILOG)(train.train)
app.command("reproduce", epilog=EPILOG)(reproduce.reproduce)
app.add_typer(gnn.app, name="gnn")
app.add_typer(quantized.app, name="quantized")
app.command("info", epilog=EPILOG)(info.info)


def run_app(arguments: Sequence[str]) -> int:
    """Run a command line and return the exit code; usage errors are 2."""
    try:
        app(list(arguments), prog_name="rheinfall")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or ExitCode.OK
        print(end.code, file=sys.stderr)
        return ExitCode.INTERNAL
    return ExitCode.OK
