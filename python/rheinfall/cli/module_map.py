"""`rheinfall module-map`: build, inspect, merge, prune and convert module maps."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from rheinfall.cli.errors import CommandError, guard, reading, writing
from rheinfall.cli.events import expand_events
from rheinfall.cli.exit_codes import EPILOG, ExitCode
from rheinfall.cli.module_map_build import build_in_workers
from rheinfall.cli.module_map_inspect import plot_coverage, report, report_coverage
from rheinfall.cli.module_map_limits import (
    Absolute,
    Core,
    KeepCycles,
    MaxPhiSlope,
    MinOccurrence,
    Relative,
    Sigmas,
    SigmasDifferences,
    gather_limits,
)
from rheinfall.cli.options import Events, Json, Quiet
from rheinfall.cli.output import Output

app = typer.Typer(help="Build, inspect, merge, prune and convert module maps.", epilog=EPILOG, no_args_is_help=True)


class Bend(str, Enum):
    """How the change of direction is measured."""

    angle = "angle"
    slope_difference = "slope_difference"


MapFile = Annotated[Path, typer.Argument(metavar="MAP", help="Module map (.rfmap).")]
OutFile = Annotated[Path, typer.Option("--out", help="File to write (.rfmap).")]


@app.command("build", epilog=EPILOG)
@guard
def build(
    events: Events,
    out: OutFile,
    min_pt: Annotated[float, typer.Option(min=0, help="Particles with at least this pT train the map [GeV].")] = 0.5,
    max_eta: Annotated[float, typer.Option(min=0, help="... and at most this |eta|.")] = 4.0,
    max_radius: Annotated[float, typer.Option(min=0, help="... produced at most so far from the beam [mm].")] = 260.0,
    min_hits: Annotated[int, typer.Option(min=3, help="... with at least so many hits.")] = 3,
    primary_only: Annotated[bool, typer.Option("--primary-only", help="... not from decays or material.")] = False,
    bend: Annotated[Bend, typer.Option(help="How the change of direction across the beam is measured.")] = Bend.angle,
    detectors: Annotated[
        Path | None, typer.Option(help="TrackML's detectors file: use each event under the detector's symmetries too.")
    ] = None,
    statistics: Annotated[
        bool, typer.Option(help="Keep what merging and other limits need: ten times the size.")
    ] = True,
    min_occurrence: MinOccurrence = None,
    sigmas: Sigmas = None,
    sigmas_differences: SigmasDifferences = None,
    core: Core = None,
    relative: Relative = None,
    absolute: Absolute = None,
    max_phi_slope: MaxPhiSlope = None,
    keep_cycles: KeepCycles = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes, each of which builds a part of the map.")] = 1,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Build a map from events with truth. The map does not depend on the number of workers."""
    output = Output(quiet, as_json)
    limits = gather_limits(
        min_occurrence, sigmas, sigmas_differences, core, relative, absolute, max_phi_slope, keep_cycles
    )
    selection = {
        "min_pt": min_pt,
        "max_eta": max_eta,
        "max_radius": max_radius,
        "min_hits": min_hits,
        "primary_only": primary_only,
        "bend": bend.value,
        "symmetries": load_symmetries(detectors),
    }
    module_map = build_in_workers(expand_events(events), workers, output, **selection)
    if limits:
        module_map = module_map.with_limits(**limits)
    _save(module_map, out, statistics)
    report(output, load_map(out), out)


@app.command("inspect", epilog=EPILOG)
@guard
def inspect(
    path: MapFile,
    detectors: Annotated[
        Path | None, typer.Option(help="TrackML's detectors file: tell which of its modules the map lacks.")
    ] = None,
    thin: Annotated[
        float, typer.Option(min=0, max=1, help="Name layers with more than this share of rare triples.")
    ] = 0.005,
    plot: Annotated[Path | None, typer.Option(help="Picture of the coverage to write (extra [plots]).")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Tell what a map holds, how well training covered each layer of the detector, and what is thin.

    The rare share of a layer: of the triples that training saw there, those on the module triplets seen least. If the
    least is once, this is about the chance that the next true triple lies on modules that the map does not connect.
    """
    module_map = load_map(path)
    modules = None if detectors is None else _read_modules(detectors).module_id
    coverage = report_coverage(Output(quiet, as_json), module_map, path, modules, thin)
    if plot is not None:
        with writing(plot):
            plot_coverage(coverage, plot)


@app.command("merge", epilog=EPILOG)
@guard
def merge(
    paths: Annotated[list[Path], typer.Argument(metavar="MAP...", help="Module maps (.rfmap).")],
    out: OutFile,
    min_occurrence: MinOccurrence = None,
    sigmas: Sigmas = None,
    sigmas_differences: SigmasDifferences = None,
    core: Core = None,
    relative: Relative = None,
    absolute: Absolute = None,
    max_phi_slope: MaxPhiSlope = None,
    keep_cycles: KeepCycles = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Merge maps: the result is the map of all their events, with limits by these options. The order does not matter.

    Maps need their statistics; the options with which they were built are not remembered.
    """
    limits = gather_limits(
        min_occurrence, sigmas, sigmas_differences, core, relative, absolute, max_phi_slope, keep_cycles
    )
    merged = merge_statistics(paths)
    module_map = type(merged).from_statistics(merged.statistics, **limits)
    _save(module_map, out)
    report(Output(quiet, as_json), module_map, out)


@app.command("prune", epilog=EPILOG)
@guard
def prune(
    path: MapFile,
    out: OutFile,
    statistics: Annotated[bool, typer.Option("--statistics", help="Keep them: ten times the size.")] = False,
    min_occurrence: MinOccurrence = None,
    sigmas: Sigmas = None,
    sigmas_differences: SigmasDifferences = None,
    core: Core = None,
    relative: Relative = None,
    absolute: Absolute = None,
    max_phi_slope: MaxPhiSlope = None,
    keep_cycles: KeepCycles = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make a map smaller: without statistics, without rare triplets, with tighter limits.

    --min-occurrence alone leaves the limits of the other triplets as they are. Any other limit needs statistics: all
    limits then follow anew from the options given, the others at their defaults.
    """
    limits = gather_limits(
        min_occurrence, sigmas, sigmas_differences, core, relative, absolute, max_phi_slope, keep_cycles
    )
    module_map = load_map(path)
    with reading(path):
        if set(limits) - {"min_occurrence"}:
            pruned = module_map.with_limits(**limits)
        elif limits:
            pruned = module_map.prune(limits["min_occurrence"], statistics=statistics)
        else:
            pruned = module_map
        _save(pruned, out, statistics)
    report(Output(quiet, as_json), load_map(out), out)


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
    """Convert a map between .rfmap, text (24 columns) and, for reading, ROOT (extra [io]).

    From .rfmap to .rfmap writes the present format of files, and changes nothing else.
    """
    module_map = read_foreign(source, convention)
    if target.suffix == ".txt":
        with writing(target):
            module_map.to_text(target)
    elif target.suffix == ".rfmap":
        _save(module_map.rewrite(), target)
    else:
        raise CommandError(f"{target}: expected a name that ends in .rfmap or .txt", ExitCode.USAGE)
    report(Output(quiet, as_json), module_map, target)


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

    from rheinfall.tracking.module_symmetry import find_symmetries

    if detectors is None:
        return ()
    modules = _read_modules(detectors)
    return find_symmetries(modules.module_id, np.asarray(modules.center, np.float64))


def _read_modules(detectors: Path) -> Any:
    from rheinfall import io

    with reading(detectors):
        return io.read_detectors(detectors)


def merge_statistics(paths: Sequence[Path]) -> Any:
    """The map of all the maps' events, with default limits; an error names the first map that does not go with them."""
    merged = load_map(paths[0])
    with reading(paths[0]):
        merged.need_statistics("merge")
    for path in paths[1:]:
        other = load_map(path)
        with reading(path):
            merged = merged.merge(other)
    return merged


def _save(module_map: Any, path: Path, statistics: bool | None = None) -> None:
    with writing(path):
        module_map.save(path, statistics)
