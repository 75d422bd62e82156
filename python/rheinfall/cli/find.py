"""`rheinfall find`: tracks in events from files."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from rheinfall.cli.errors import CommandError, guard, reading, writing
from rheinfall.cli.events import event_name, expand_events, name_output
from rheinfall.cli.exit_codes import ExitCode
from rheinfall.cli.find_compare import Other, report_comparison
from rheinfall.cli.find_metrics import describe_binned, look_into_graph, report_metrics
from rheinfall.cli.find_plots import check_folder, judged_finder, judged_other, write_plots
from rheinfall.cli.find_report import BAD_STATUSES, Found, describe_events, report_files, report_rates
from rheinfall.cli.options import Events, Json, MinPt, Quiet, Threads, use_threads
from rheinfall.cli.output import Output


class Metrics(str, Enum):
    """How much of the truth is told."""

    SHORT = "short"
    FULL = "full"


@dataclass(frozen=True)
class Judging:
    """How tracks are judged where there is truth."""

    rule: str
    min_pt: float
    full: bool
    other: Other | None


@dataclass
class Targets:
    """Where results go; None for nowhere."""

    tracks: Path | None
    parameters: Path | None
    display: Path | None
    plots: Path | None
    n_events: int
    comparison: bool = False

    def check(self, prefixes: Sequence[Path], other: Other | None) -> None:
        """Refuse before the first event what would fail after it."""
        from rheinfall._extras import require
        from rheinfall.io import TRACK_SUFFIXES

        if self.display is not None:
            require("plotly", "cli")
        writers: dict[Path, str] = {}
        for prefix in prefixes:
            read = other.file_of(event_name(prefix)) if other is not None else None
            if read is not None:
                writers[read.resolve()] = "the tracks to compare with"
        for prefix in prefixes:
            names = self.names(event_name(prefix))
            for kind, target in names.items():
                what = f"the {kind} of {prefix}"
                earlier = writers.setdefault(target.resolve(), what)
                if earlier is not what:
                    raise CommandError(f"{target}: {what} would overwrite {earlier}", ExitCode.USAGE)
            tables, page = TRACK_SUFFIXES, (".html", ".htm")
            options = {
                "--out": ("tracks", tables),
                "--parameters": ("parameters", tables),
                "--display": ("display", page),
            }
            for option, (kind, suffixes) in options.items():
                path = names.get(kind)
                if path is not None and not path.name.endswith(suffixes):
                    expected = ", ".join(suffixes)
                    raise CommandError(f"{option} {path}: expected a name that ends in {expected}", ExitCode.USAGE)
                if path is not None and path.suffix == ".parquet":
                    require("pyarrow", "io")
        if self.plots is not None:
            check_folder(self.plots)  # last, since it makes the folder

    def names(self, event: str) -> dict[str, Path]:
        """The files to write for one event."""
        wanted = (
            ("tracks", self.tracks, "-tracks.csv", "--out"),
            ("parameters", self.parameters, "-parameters.csv", "--parameters"),
            ("display", self.display, ".html", "--display"),
        )
        names = {
            kind: name_output(path, event, end, self.n_events, option) for kind, path, end, option in wanted if path
        }
        if self.comparison and "tracks" in names:
            stem = re.sub(r"\.(csv|csv\.gz|parquet)$", "", names["tracks"].name)
            names["comparison"] = names["tracks"].with_name(f"{stem}-comparison.csv")
        return names


@guard
def find(
    events: Events,
    finder: Annotated[str, typer.Option(help="Name of a shipped bundle, or the path of one.")] = "trackml",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the tracks: .csv, .csv.gz or .parquet; for several events a folder, or {event} in the name."
        ),
    ] = None,
    parameters: Annotated[
        Path | None,
        typer.Option(help="Fit helices and write their parameters, one row per track; the file's name as for --out."),
    ] = None,
    display: Annotated[
        Path | None, typer.Option(help="Write an event display (.html); for several events as for --out.")
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write plots of efficiency, fakes, duplicates and unmatched over all events here (extra [plots]).",
        ),
    ] = None,
    rule: Annotated[str, typer.Option(help="Matching rule of efficiency and unmatched rate.")] = "double_majority",
    min_pt: MinPt = 1.0,
    metrics: Annotated[
        Metrics, typer.Option(help="Full: the graph's edges and the efficiency in bins of pT and eta as well.")
    ] = Metrics.SHORT,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="OTHER",
            help="Compare with another finder: a bundle, or its tracks (.csv, .csv.gz, .parquet; for several events a "
            "folder, or {event} in the name). --out writes beside the tracks which particles only one of both has.",
        ),
    ] = None,
    threads: Threads = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Find tracks in events, and judge them where there is truth."""
    use_threads(threads)
    output = Output(quiet, as_json)
    prefixes = expand_events(events)
    name = Path(finder).name or finder
    other = Other(compare, name, len(prefixes)) if compare is not None else None
    targets = Targets(out, parameters, display, plots, len(prefixes), compare is not None)
    targets.check(prefixes, other)
    track_finder = load_finder(finder)
    judging = Judging(rule, min_pt, metrics is Metrics.FULL, other)
    found = [
        find_in_event(prefix, track_finder, targets, judging) for prefix in output.track(prefixes, "Finding tracks")
    ]
    pictures = draw(output, plots, found, name, other) if plots is not None else []
    report_rates(output, found)
    if judging.full:
        report_metrics(output, found)
    if other is not None:
        report_comparison(output, found)
    report_files(output, found, pictures)
    document = {**describe_events(found, finder, track_finder), "plots": pictures}
    output.document({**document, "binned": describe_binned(found)} if judging.full else document)
    _check_statuses(found)


def draw(output: Output, folder: Path, found: Sequence[Found], name: str, other: Other | None) -> list[Path]:
    """Write the plots, of both finders where there are two."""
    finders = {name: judged_finder(found)}
    if other is not None:
        finders[other.names[1]] = judged_other(found)
    return write_plots(output, folder, finders)


def load_finder(name: str) -> Any:
    """The finder of a shipped bundle or of a path; a bad one is a bad input."""
    from rheinfall import TrackFinder

    with reading(name):
        return TrackFinder.load(name)


def find_in_event(prefix: Path, finder: Any, targets: Targets, judging: Judging) -> Found:
    """Read one event, find its tracks, judge and write them."""
    from rheinfall import io

    start = time.perf_counter()
    with reading(prefix):
        event = io.read_event(prefix)
    read_ms = 1e3 * (time.perf_counter() - start)
    if judging.other is not None:
        judging.other.warm_up(finder, event.hits)
    tracks = finder(event.hits)
    found = Found(event, tracks, dict(finder.timings), read_ms, dict(getattr(finder, "counts", {})))
    found.judge(judging.rule, judging.min_pt)
    if judging.full:
        look_into_graph(found, finder)
    if judging.other is not None:
        found.other = judging.other.compare(found, finder, judging.rule)
    files = targets.names(event.name)
    if "tracks" in files:
        with writing(files["tracks"]):
            io.write_tracks(files["tracks"], tracks, event.hits)
    if "comparison" in files:
        with writing(files["comparison"]):
            io.write_comparison(files["comparison"], found.other.comparison)
    wanted = "parameters" in files or "display" in files or targets.plots is not None
    fitted: Any = found.fit(finder) if wanted else None
    if "parameters" in files:
        with writing(files["parameters"]):
            io.write_parameters(files["parameters"], fitted)
    if "display" in files:
        _write_display(files["display"], found, fitted, judging.min_pt)
    found.files = files
    found.release()
    return found


def _write_display(path: Path, found: Found, fitted: Any, min_pt: float) -> None:
    from rheinfall.display import write_display

    shown: dict[str, Any] = {"match": found.match, "timings": found.named_timings(), "parameters": fitted}
    with writing(path):
        write_display(path, found.event, found.tracks, min_pt=min_pt, **shown)


def _check_statuses(found: Sequence[Found]) -> None:
    bad = [f"{item.name}: {item.status}" for item in found if item.status in BAD_STATUSES]
    if bad:
        raise CommandError("bad status of " + ", ".join(bad), ExitCode.BAD_STATUS)
