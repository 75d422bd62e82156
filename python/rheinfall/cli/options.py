"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads to use; default: the cores that this process may use.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")]
MinPt = Annotated[float, typer.Option("--min-pt", min=0, help="Transverse momentum above which particles count [GeV].")]
Events = Annotated[
    list[Path],
    typer.Argument(metavar="EVENT...", help="Folder of events, prefix (data/event000001000) or hits file, TrackML."),
]


def use_threads(threads: int | None) -> None:
    """Apply --threads."""
    if threads is not None:
        from rheinfall import set_num_threads

        set_num_threads(threads)
