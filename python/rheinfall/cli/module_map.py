"""`rheinfall module-map`: build, inspect, merge and convert module maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rheinfall.cli.errors import CommandError, guard, reading, writing
from rheinfall.cli.events import expand_events
from rheinfall.cli.exit_codes import EPILOG, ExitCode
from rheinfall.cli.module_map_build import build_in_workers
from rheinfall.cli.options import Events, Json, Quiet
from rheinfall.cli.output import Output, make_table

app = typer.Typer(help="Build, inspect, merge and convert module maps.", epilog=EPILOG, no_args_is_help=True)

MapFile = Annotated[Path, typer.Argument(metavar="MAP", help="Module map (.rfmap).")]
OutFile = Annotated[Path, typer.Option("--out", help="File to write (.rfmap).")]


@app.command("build", epilog=EPILOG)
@guard
def build(
    events: Events,
    out: OutFile,
    min_pt: Annotated[float, typer.Option(min=0, help="Particles with at least this pT train the map [GeV].")] = 0.5,
    sigmas: Annotated[
        float | None, typer.Option(min=0, help="Widen limits by so many shrunk rms / sqrt(occurrence).")
    ] = None,
    min_occurrence: Annotated[int | None, typer.Option(min=1, help="Leave out triplets seen less often.")] = None,
    detectors: Annotated[
        Path | None, typer.Option(help="TrackML's detectors file: use each event under the detector's symmetries too.")
    ] = None,
    statistics: Annotated[
        bool, typer.Option(help="Keep what merging and other limits need: ten times the size.")
    ] = True,
    workers: Annotated[int, typer.Option(min=1, help="Processes, each of which builds a part of the map.")] = 1,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Build a map from events with truth. The map does not depend on the number of workers."""
    output = Output(quiet, as_json)
    limits = {"sigmas": sigmas, "min_occurrence": min_occurrence}
    given = {name: value for name, value in limits.items() if value is not None}
    symmetries = load_symmetries(detectors)
    module_map = build_in_workers(expand_events(events), workers, output, min_pt=min_pt, symmetries=symmetries)
    if given:
        module_map = module_map.with_limits(**given)
    _save(module_map, out, statistics)
    module_map = load_map(out)
    _report(output, module_map, out)


@app.command("inspect", epilog=EPILOG)
@guard
def inspect(path: MapFile, quiet: Quiet = False, as_json: Json = False) -> None:
    """Tell what a map holds."""
    _report(Output(quiet, as_json), load_map(path), path)


@app.command("merge", epilog=EPILOG)
@guard
def merge(
    paths: Annotated[list[Path], typer.Argument(metavar="MAP...", help="Module maps (.rfmap).")],
    out: OutFile,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Merge maps: the result is the map of all their events. The order does not matter."""
    merged = load_map(paths[0])
    for path in paths[1:]:
        with reading(path):
            merged = merged.merge(load_map(path))
    _save(merged, out)
    _report(Output(quiet, as_json), merged, out)


@app.command("convert", epilog=EPILOG)
@guard
def convert(
    source: Annotated[Path, typer.Argument(help="Map to read: .rfmap, .txt, or .root.")],
    target: Annotated[Path, typer.Argument(help="Map to write: .rfmap or .txt.")],
    convention: Annotated[
        str | None, typer.Option(help="Signs of a text or ROOT map, whose file does not tell; see ModuleMap.from_text.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Convert a map between .rfmap, text (24 columns) and, for reading, ROOT (extra [io])."""
    module_map = read_foreign(source, convention)
    if target.suffix == ".txt":
        with writing(target):
            module_map.to_text(target)
    elif target.suffix == ".rfmap":
        _save(module_map, target)
    else:
        raise CommandError(f"{target}: expected a name that ends in .rfmap or .txt", ExitCode.USAGE)
    _report(Output(quiet, as_json), module_map, target)


def load_map(path: Path) -> Any:
    """A saved map; a bad file is a bad input."""
    from rheinfall import ModuleMap

    with reading(path):
        return ModuleMap.load(path)


def read_foreign(path: Path, convention: str | None) -> Any:
    """A map of any format, told by the name's end."""
    from rheinfall import ModuleMap

    readers = {".txt": ModuleMap.from_text, ".root": ModuleMap.from_root}
    if path.suffix == ".rfmap":
        return load_map(path)
    if path.suffix not in readers:
        raise CommandError(f"{path}: expected a name that ends in .rfmap, .txt or .root", ExitCode.USAGE)
    if convention is None:
        raise CommandError(f"{path}: its signs must be told with --convention; ours is rheinfall", ExitCode.USAGE)
    with reading(path):
        return readers[path.suffix](path, convention=convention)


def load_symmetries(detectors: Path | None) -> Sequence[Any]:
    """Symmetries of the detector in TrackML's detectors file; none without one."""
    import numpy as np

    from rheinfall import io
    from rheinfall.tracking.module_symmetry import find_symmetries

    if detectors is None:
        return ()
    with reading(detectors):
        modules = io.read_detectors(detectors)
    return find_symmetries(modules.module_id, np.asarray(modules.center, np.float64))


def _save(module_map: Any, path: Path, statistics: bool | None = None) -> None:
    with writing(path):
        module_map.save(path, statistics)


def describe_map(module_map: Any, path: Path) -> dict[str, Any]:
    """What the map says of itself, and the size of its file."""
    facts = {key: getattr(module_map, key) for key in ("n_modules", "n_doublets", "n_triplets", "convention")}
    facts["format_version"] = module_map.core.format_version
    facts["statistics"] = module_map.statistics is not None
    return {"file": str(path), **facts, "bytes": path.stat().st_size}


def _report(output: Output, module_map: Any, path: Path) -> None:
    facts = describe_map(module_map, path)
    rows = [(key.replace("n_", "").replace("_", " "), _show(value)) for key, value in facts.items() if key != "file"]
    output.say(make_table(str(path), ("", ""), rows))
    output.document(facts)


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
