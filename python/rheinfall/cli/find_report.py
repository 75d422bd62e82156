"""What `rheinfall find` tells of each event: stages with times, sizes, and rates where there is truth."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.text import Text

from rheinfall.cli.output import Output, make_table

BAD_STATUSES = ("not_finite", "cycle", "capacity_exceeded")
"""Statuses that make the exit code 5; `empty` and `unknown_modules` do not."""

MIN_LAYERS_PARTIAL = 3
"""With truth for some layers only, particles count from so many of these layers on."""

STAGES = {
    "sort": "hit sorting",
    "graph": "graph construction",
    "prune": "edge pruning",
    "classify": "edge classification",
    "build": "track building",
    "fit": "track fit",
}
"""Full names of the stages of `TrackFinder.timings`."""

RESULTS = {"graph construction": "edges", "edge pruning": "pruned_edges", "track building": "tracks"}
"""What each stage makes, by its name in `TrackFinder.counts`."""

RATES = {
    "efficiency": "of the particles",
    "fake_rate": "no majority particle",
    "duplicate_rate": "extra of one particle",
    "unmatched_rate": "fail the rule",
}


@dataclass
class Found:
    """Tracks of one event with their times [ms] and, where there is truth, their match."""

    event: Any
    tracks: Any
    timings: dict[str, float]
    read_ms: float
    counts: dict[str, int] = field(default_factory=dict)
    match: Any = None
    score: float | None = None
    edges: Any = None
    components: dict[str, int] = field(default_factory=dict)
    other: Any = None
    fitted: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = str(self.event.name)
        self.n_hits = len(self.event.hits)
        self.n_tracks = len(self.tracks.offsets) - 1
        self.n_track_hits = len(np.unique(self.tracks.hits))
        self.status = str(self.tracks.status)
        known = None if self.event.truth is None else self.event.truth.known
        self.n_known = 0 if known is None else int(np.count_nonzero(known))
        self.notes = list(self.event.notes)

    @property
    def total_ms(self) -> float:
        """Time to find the tracks, without reading and writing."""
        return self.timings.get("total", sum(self.timings.values()))

    @property
    def n_edges(self) -> int | None:
        """Edges of the graph before any pruning, where the finder tells."""
        return self.counts.get("edges")

    def named_timings(self) -> dict[str, float]:
        """Times [ms] by the stages' full names, without the total."""
        return {
            STAGES.get(stage, stage.replace("_", " ")): ms for stage, ms in self.timings.items() if stage != "total"
        }

    @property
    def truth(self) -> str:
        """Which hits have truth: full, partial or none."""
        return "none" if self.n_known == 0 else "full" if self.n_known == self.n_hits else "partial"

    def judge(self, rule: str, min_pt: float) -> None:
        """Match the tracks to particles; with partial truth on the hits of known truth alone."""
        from rheinfall.metrics import match_tracks, trackml_score

        if self.truth == "none":
            return
        # Without the table of particles nothing is known of their momenta and vertices: select on hits alone.
        kinematics = self.event.truth.particles is not None
        self.match = match_tracks(
            self.tracks,
            self.event.truth,
            rule,
            hits=self.event.hits,
            min_pt=min_pt if kinematics else None,
            eta_max=4.0 if kinematics else None,
            primary_only=kinematics,
            min_layers=MIN_LAYERS_PARTIAL if self.truth == "partial" else 0,
        )
        weight = self.event.truth.weight
        if weight is not None and weight[self.event.truth.known].sum() > 0:
            self.score = trackml_score(self.tracks, self.event.truth)

    def fit(self, finder: Any) -> Any:
        """Helix parameters of the tracks; the time counts among the finder's."""
        start = time.perf_counter()
        parameters = finder.fit(self.event.hits, self.tracks)
        self.fitted = {"pt": parameters.pt, "eta": parameters.eta}
        self.timings["fit"] = 1e3 * (time.perf_counter() - start)
        if "total" in self.timings:
            self.timings["total"] += self.timings["fit"]
        return parameters

    def release(self) -> None:
        """Forget hits and tracks: of a thousand events only the numbers stay."""
        self.event = self.tracks = None

    def describe(self) -> dict[str, Any]:
        """The event's part of the JSON document."""
        sizes = {"n_hits": self.n_hits, "n_edges": self.n_edges, "n_tracks": self.n_tracks, "counts": self.counts}
        document: dict[str, Any] = {"event": self.name, "status": self.status, **sizes}
        document["n_track_hits"] = self.n_track_hits
        document["timings_ms"] = {**self.timings, "read": self.read_ms}
        document["truth"] = {"kind": self.truth, "n_known_hits": self.n_known}
        if self.match is not None:
            document["truth"].update(describe_match(self.match), trackml_score=self.score)
        if self.components:
            document["components"] = self.components
        if self.edges is not None:
            sizes = {"n_edges": self.edges.n_edges, "n_judged": self.edges.n_judged, "auc": self.edges.auc}
            document["truth"]["edges"] = {**sizes, **describe_rates(self.edges)}
        if self.other is not None:
            document["comparison"] = describe_comparison([self.other.comparison])
        document["files"] = {kind: str(path) for kind, path in self.files.items()}
        document["notes"] = self.notes
        return document


def describe_match(match: Any) -> dict[str, Any]:
    """Rule, selection, and each rate with its counts and its 68.3 % interval."""
    head = {"rule": match.rule, "selection": str(match.selection), "n_not_judged": match.n_not_judged}
    return {**head, **describe_rates(match)}


def describe_rates(match: Any) -> dict[str, Any]:
    """Each rate of tracks or edges with its counts and its 68.3 % interval."""
    intervals = match.intervals
    return {
        name: {"value": getattr(match, name), "passed": passed, "total": total, "interval": list(intervals[name])}
        for name, (passed, total) in match.counts.items()
    }


def describe_events(found: Sequence[Found], name: str, finder: Any) -> dict[str, Any]:
    """The JSON document of `find`."""
    from rheinfall import __version__, get_num_threads

    document = {"version": __version__, "finder": name, "finder_info": getattr(finder, "info", {})}
    document.update(threads=get_num_threads(), peak_memory_mb=peak_memory_mb())
    document["events"] = [item.describe() for item in found]
    if judged := combine_matches(found):
        document["all_events"] = describe_match(judged)
        if compared := [item.other.comparison for item in found if item.other is not None]:
            document["comparison"] = describe_comparison(compared)
    return document


def describe_comparison(comparisons: Sequence[Any]) -> dict[str, Any]:
    """The JSON document's part: counts and rates of both, summed over events."""
    from rheinfall.metrics import combine

    particles = {
        name: sum(len(comparison.particles[name]) for comparison in comparisons)
        for name in ("both", "first", "second", "neither")
    }
    document: dict[str, Any] = {"names": list(comparisons[0].names)}
    document["n_identical"] = sum(comparison.n_identical for comparison in comparisons)
    for side in ("first", "second"):
        alone = [getattr(comparison, f"only_{side}") for comparison in comparisons]
        matches = [getattr(comparison, side) for comparison in comparisons]
        document[side] = {
            "n_tracks": sum(match.n_tracks for match in matches),
            "n_alone": sum(map(len, alone)),
            "n_alone_fake": sum(int(m.is_fake[a].sum()) for m, a in zip(matches, alone, strict=True)),
            "n_particles_alone": particles[side],
            **describe_match(combine(matches)),
        }
    return {**document, "n_particles_both": particles["both"], "n_particles_neither": particles["neither"]}


def combine_matches(found: Sequence[Found]) -> Any:
    """The matches of several events as one, or None; also where events with truth for some layers count other ones."""
    from rheinfall.metrics import combine

    matches = [item.match for item in found if item.match is not None]
    return combine(matches) if len({match.selection for match in matches}) == 1 else None


def peak_memory_mb() -> float | None:
    """Largest resident memory of this process so far [MB]; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / (1e6 if sys.platform == "darwin" else 1e3)


def report_rates(out: Output, found: Sequence[Found]) -> None:
    """Print times, sizes and rates."""
    if len(found) == 1:
        out.say(stage_table(found[0]))
    else:
        out.say(event_table(found))
        out.say("")
        out.say(time_table(found))
    if match := combine_matches(found):
        out.say("")
        out.say(match_table(match, found))
    elif any(item.match is not None for item in found):
        out.warn("no rates over all events: some have truth for all hits, others for a part of them, or no momenta")


def report_files(out: Output, found: Sequence[Found], plots: Sequence[Path] = ()) -> None:
    """Print warnings and the names of the files."""
    out.say("")
    for item in found:
        _warn(out, item)
        for kind, path in item.files.items():
            hint = "  (open it in a browser)" if kind == "display" else ""
            out.say_plain(f"{kind:<10} {path}{hint}")
    for path in plots:
        out.say_plain(f"{'plot':<10} {path}")


def _warn(out: Output, item: Found) -> None:
    if item.status == "unknown_modules":
        out.warn(f"{item.name}: some hits are on modules that the finder's module map does not know; they got no track")


def stage_table(item: Found) -> Any:
    """Stages of one event with their times and what came out."""
    rows: list[tuple[str | Text, ...]] = [("read", f"{item.read_ms:.1f}", f"{item.n_hits:,} hits")]
    for stage, ms in item.named_timings().items():
        rows.append((stage, f"{ms:.1f}", _result_of(stage, item)))
    tracks = f"{item.n_tracks:,} tracks with {item.n_track_hits:,} hits"
    rows.append(tuple(Text(cell, style="bold") for cell in ("find, in all", f"{item.total_ms:.1f}", tracks)))
    return make_table(item.name, ("stage", "ms", "result"), rows)


def _result_of(stage: str, item: Found) -> str:
    made = RESULTS.get(stage, "")
    return f"{item.counts[made]:,} {made.replace('pruned_edges', 'edges left')}" if made in item.counts else ""


def event_table(found: Sequence[Found]) -> Any:
    """One line per event."""
    judged = any(item.match is not None for item in found)
    columns = ["event", "hits", "edges", "tracks", "ms", *(["efficiency", "fakes", "duplicates"] if judged else [])]
    rows = []
    for item in found:
        row = [item.name, f"{item.n_hits:,}", "" if item.n_edges is None else f"{item.n_edges:,}"]
        row += [f"{item.n_tracks:,}", f"{item.total_ms:.1f}"]
        if item.match is not None:
            row += [percent(getattr(item.match, name)) for name in ("efficiency", "fake_rate", "duplicate_rate")]
        rows.append(row)
    return make_table(f"{len(found)} events", columns, rows)


def time_table(found: Sequence[Found]) -> Any:
    """Times per stage over events."""
    stages = {"read": [item.read_ms for item in found]}
    for item in found:
        for name, ms in item.named_timings().items():
            stages.setdefault(name, []).append(ms)
    stages["find, in all"] = [item.total_ms for item in found]
    rows = [(name, *(f"{np.percentile(ms, q):.1f}" for q in (50, 95)), f"{max(ms):.1f}") for name, ms in stages.items()]
    return make_table("ms per event", ("stage", "median", "95 %", "slowest"), rows)


def match_table(match: Any, found: Sequence[Found]) -> Any:
    """Rates with their interval and what they count; the rule stands in the title."""
    where = ", judged on the hits of known truth" if any(item.truth == "partial" for item in found) else ""
    title = f"rule {match.rule}{where}; particles: {match.selection}"
    scores = [item.score for item in found if item.score is not None]
    mean = f"mean of {len(scores)} events" if len(scores) > 1 else "share of the hits' weight"
    extra = [("TrackML score", percent(float(np.mean(scores))), "", "", mean)] if scores else []
    return rate_table(title, match.counts, RATES, extra)


def rate_table(
    title: str, counts: Mapping[str, tuple[int, int]], notes: Mapping[str, str], extra: Sequence[Sequence[str]] = ()
) -> Any:
    """One line per rate, given as (passed, total): value, interval, counts, what it is; then `extra` lines."""
    from rheinfall.metrics.intervals import rate_intervals

    intervals = rate_intervals(counts)
    rows: list[Sequence[str]] = []
    for name, (passed, total) in counts.items():
        low, high = intervals[name]
        value, error = (percent(passed / total), f"{100 * low:.2f}–{100 * high:.2f} %") if total else ("–", "")
        rows.append((name.replace("_", " "), value, error, f"{passed:,} / {total:,}", notes[name]))
    return make_table(title, ("rate", "value", "68 %", "count", ""), [*rows, *extra])


def percent(value: float) -> str:
    """A share for people."""
    return "–" if np.isnan(value) else f"{100 * value:.2f} %"
