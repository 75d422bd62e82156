"""`rheinfall simulate`: events in TrackML files, with full truth."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from rheinfall.cli.errors import CommandError, guard, reading, writing
from rheinfall.cli.exit_codes import ExitCode
from rheinfall.cli.options import Json, Quiet, Seed
from rheinfall.cli.output import Output, make_table


@guard
def simulate(
    n_events: Annotated[int, typer.Argument(metavar="[N]", min=1, help="Number of events.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder to write into; made where missing.")] = Path("events"),
    pile_up: Annotated[
        int, typer.Option(min=0, help="Soft interactions besides the hard one; 200 make about 100,000 hits.")
    ] = 0,
    noise: Annotated[
        float,
        typer.Option(
            min=0, max=0.9, help="Noise hits as a fraction: of all hits; with --fatras of the particles' hits."
        ),
    ] = 0.02,
    first_event: Annotated[int, typer.Option(min=0, help="Number of the first event.")] = 0,
    fatras: Annotated[bool, typer.Option(help="Use Fatras of ACTS and the TrackML detector (extra [acts]).")] = False,
    detectors: Annotated[Path | None, typer.Option(help="TrackML's detectors file; --fatras needs it.")] = None,
    particles: Annotated[int, typer.Option(min=1, help="Charged particles per event, for --fatras.")] = 10_000,
    compress: Annotated[bool, typer.Option(help="Write .csv.gz rather than .csv.")] = True,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Simulate events and write them as TrackML files: hits, truth, particles."""
    from rheinfall import io

    output = Output(quiet, as_json)
    options: dict[str, Any] = {"seed": seed, "first_event": first_event, "noise_fraction": noise}
    if fatras:
        events = _with_fatras(n_events, detectors, pile_up, n_particles=particles, **options)
    else:
        events = _with_generator(n_events, detectors, pile_up=pile_up, **options)
    suffix = ".csv.gz" if compress else ".csv"
    rows = []
    for _ in output.track(range(n_events), "Simulating"):
        event = next(events)
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
            files = io.write_event(out / event.name, event, suffix=suffix)
        rows.append(_describe(event, files))
    output.say(_table(rows, out))
    output.document({"folder": os.fspath(out), "events": rows})


def _with_generator(n_events: int, detectors: Path | None, **options: Any) -> Any:
    from rheinfall import simulation

    if detectors is not None:
        raise CommandError("--detectors: only --fatras takes it", ExitCode.USAGE)
    return iter(simulation.simulate(n_events, **options))


def _with_fatras(n_events: int, detectors: Path | None, pile_up: int, **options: Any) -> Any:
    from rheinfall import simulation

    if detectors is None:
        raise CommandError("--fatras needs --detectors FILE, TrackML's detectors.csv", ExitCode.USAGE)
    if pile_up:
        raise CommandError("--pile-up: with --fatras say --particles N instead", ExitCode.USAGE)
    with reading(detectors):
        if not detectors.is_file():
            raise FileNotFoundError(2, "no such file")
    return iter(simulation.fatras(n_events, detectors=detectors, **options))


def _describe(event: Any, files: list[Path]) -> dict[str, Any]:
    noise = int((event.truth.particle_id == 0).sum())
    sizes = {"n_hits": len(event.hits), "n_noise_hits": noise, "n_particles": len(event.truth.particles)}
    return {"event": event.name, **sizes, "files": [str(path) for path in files]}


def _table(rows: list[dict[str, Any]], folder: Path) -> Any:
    lines = [(row["event"], *(f"{row[key]:,}" for key in ("n_hits", "n_noise_hits", "n_particles"))) for row in rows]
    return make_table(
        f"{len(rows)} event{'s' * (len(rows) > 1)} in {folder}", ("event", "hits", "of them noise", "particles"), lines
    )
