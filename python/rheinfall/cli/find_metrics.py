"""What `rheinfall find --metrics full` adds: the graph's edges against truth, and the efficiency in bins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rheinfall.cli.find_report import Found, combine_matches, percent, rate_table
from rheinfall.cli.output import Output, make_table

BINNED = {"pt": "pT [GeV]", "eta": "eta"}
EDGE_RATES = {
    "efficiency": "of the true edges",
    "purity": "of all edges",
    "selected_purity": "without others",
}
COMPONENTS = {
    "n_components": "of the edges above the score cut, long enough for a track",
    "n_whole": "one track of all their hits",
    "n_trimmed": "one track, and hits left over",
    "n_split": "several tracks",
    "n_lost": "no track",
    "n_merged": "tracks over several components",
    "n_unused_hits": "hits of components in no track",
}
"""What a `ComponentReport` counts."""


def look_into_graph(found: Found, finder: Any) -> None:
    """What became of the components, and the edges left by pruning with their scores against truth where there is some.

    This runs the chain a second time. The selection is that of the tracks' efficiency.
    """
    from dataclasses import asdict

    from rheinfall.metrics import match_edges

    scored = finder.score_edges(found.event.hits)
    report = finder.build(scored, report=True).report
    found.components = {name: getattr(report, name) for name in COMPONENTS}
    if found.match is not None:
        hits, truth = found.event.hits.take(scored.order), found.event.truth.take(scored.order)
        selection = asdict(found.match.selection)
        found.edges = match_edges(scored.graph.edge_index, truth, hits=hits, scores=scored.scores, **selection)


def report_metrics(out: Output, found: Sequence[Found]) -> None:
    """Print the tables of components, of edges and of the efficiency in bins."""
    totals = [(name, sum(item.components[name] for item in found)) for name in COMPONENTS]
    rows = [(name.removeprefix("n_").replace("_", " "), f"{n:,}", COMPONENTS[name]) for name, n in totals]
    out.say("")
    out.say(make_table("components and their tracks", ("", "count", ""), rows))
    if (rates := edge_rates(found)) is not None:
        out.say("")
        out.say(rate_table("edges left by pruning", rates, EDGE_RATES))
        out.say(f"area under the ROC curve of the scores  {_areas(found)}")
    for variable, label in BINNED.items():
        if (curve := binned_efficiency(found, variable)) is not None:
            out.say("")
            out.say(binned_table(label, curve))


def edge_rates(found: Sequence[Found]) -> dict[str, tuple[int, int]] | None:
    """Numerator and denominator of each rate of edges, over all events; None without truth."""
    counts = [item.edges.counts for item in found if item.edges is not None]
    if not counts:
        return None
    return {name: (sum(c[name][0] for c in counts), sum(c[name][1] for c in counts)) for name in EDGE_RATES}


def binned_efficiency(found: Sequence[Found], variable: str) -> Any:
    """The efficiency of all events in bins of `variable`; None without momenta."""
    from rheinfall.metrics.plots import bins_of

    match = combine_matches(found)
    if match is None or not match.selection.needs_kinematics:
        return None
    borders = bins_of(variable, match.selection.min_pt)
    return match.binned(variable, borders[::2] if variable == "eta" else borders)


def binned_table(label: str, curve: Any) -> Any:
    """One line per bin with particles in it."""
    bins = zip(curve.edges[:-1], curve.edges[1:], curve.n_passed, curve.n_total, curve.low, curve.high, strict=True)
    rows = [
        (f"{low:g} to {high:g}", percent(passed / total), f"{100 * a:.2f}–{100 * b:.2f} %", f"{passed:,} / {total:,}")
        for low, high, passed, total, a, b in bins
        if total
    ]
    if curve.n_outside:
        rows.append(("outside", "", "", f"{curve.n_outside:,}"))
    return make_table("", (label, "efficiency", "68 %", "count"), rows)


def describe_binned(found: Sequence[Found]) -> dict[str, Any]:
    """The JSON document's part on the efficiency in bins."""
    curves = {variable: binned_efficiency(found, variable) for variable in BINNED}
    names = ("edges", "n_passed", "n_total", "low", "high", "n_outside")
    return {
        variable: {name: getattr(curve, name) for name in names}
        for variable, curve in curves.items()
        if curve is not None
    }


def _areas(found: Sequence[Found]) -> str:
    areas = np.array([item.edges.auc for item in found if item.edges is not None])
    areas = areas[np.isfinite(areas)]
    if not len(areas):
        return "–"
    return f"{areas.mean():.6f}" + (f" (mean of {len(areas)} events)" if len(areas) > 1 else "")
