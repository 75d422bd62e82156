"""Tracks of displaced particles: what pruning with quadruplets and shorter tracks bring, and what they cost.

    python bench/displaced_tracks.py --shared ../shared/data --events 10 --out bench/results/displaced_tracks.json

The shipped finder, or another, with other cuts of pruning and other minima of hits on the same events; nothing is
trained again. `primary` and `secondary` are efficiencies of double majority, pT > 1 GeV. Perfect scores on the same
pruned graph, components of at least 3 hits, show what the cuts leave to be found. Needs the extras [onnx] and [acts].
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tracking_quality import REAL, SIMULATED

import rheinfall as rf
from rheinfall.metrics import combine
from rheinfall.tracking.hit_order import canonical_hit_order
from rheinfall.training import trackml

DECAYS, PROMPT, REAL_EVENT = "pions, 20 % from decays", "pions", "TrackML event 21000 (pixels judged)"
REALISTIC = "realistic"
# Seeds that no training and no choice of cuts has used.
KINDS: dict[str, dict[str, Any]] = {
    DECAYS: SIMULATED[DECAYS],
    PROMPT: SIMULATED[PROMPT],
    REALISTIC: {"seed": 9101, **trackml.GRAPH_SAMPLES[2].options},
}
CUTS: tuple[tuple[float | None, float | None], ...] = (
    (50.0, None),
    (200.0, None),
    (50.0, 12.0),
    (25.0, 12.0),
    (None, None),
)
MIN_LENGTHS = (7, 5, 4, 3)
RATES = ("efficiency", "unmatched_rate", "fake_rate", "duplicate_rate")


def name_of(cuts: tuple[float | None, float | None]) -> str:
    """What a pair of cuts is called in the results."""
    chi2, quadruplet = cuts
    return (
        "all edges"
        if chi2 is None
        else f"chi2 < {chi2:g}" + (f" or quadruplets < {quadruplet:g}" if quadruplet else "")
    )


class Tally:
    """Matches over the events of one kind by cuts, scores and least number of hits."""

    def __init__(self, finder: rf.TrackFinder) -> None:
        self.finder = finder
        self.matches: dict[tuple[str, str, int, bool], list[Any]] = {}
        self.n_edges: dict[str, list[int]] = {}

    def add(self, event: rf.Event) -> None:
        """Find and judge the tracks of one event under each of the cuts; its graph is made once."""
        if event.truth is None:
            raise ValueError(f"{event.name}: no truth")
        finder = self.finder
        order = canonical_hit_order(event.hits)
        hits, truth = event.hits.take(order), event.truth.take(order)
        graph = rf.build_graph(hits, finder.module_map, finder.triplet_model)
        for cuts in CUTS:
            chi2, quadruplet = cuts
            pruned = graph if chi2 is None else graph.prune(chi2, quadruplet)
            self.n_edges.setdefault(name_of(cuts), []).append(pruned.n_edges)
            t = finder.thresholds
            found = rf.build_tracks(
                pruned,
                finder.edge_classifier(pruned),
                t.method,
                hits=hits,
                score_cut=t.score_cut,
                sure=t.sure,
                weak=t.score_cut,
                min_length=3,
            )
            perfect = rf.metrics.perfect_scores(pruned, truth)
            ceiling = rf.build_tracks(pruned, perfect, "components", hits=hits, score_cut=0.5, min_length=3)
            self._match((name_of(cuts), "perfect scores", 3), ceiling, hits, truth)
            for length in MIN_LENGTHS:
                self._match((name_of(cuts), "network", length), found.select(found.lengths >= length), hits, truth)

    def _match(self, key: tuple[str, str, int], tracks: rf.Tracks, hits: rf.Hits, truth: rf.Truth) -> None:
        layers = {} if truth.known.all() else {"min_layers": 3}
        for primary_only in (True, False):
            found = rf.metrics.match_tracks(tracks, truth, hits=hits, primary_only=primary_only, **layers)
            self.matches.setdefault((*key, primary_only), []).append(found)

    def summary(self) -> dict[str, Any]:
        """Counts (passed, total) of each rate, of primary particles and of secondary ones, and mean edges."""
        rows: dict[str, Any] = {cut: {"edges": float(np.mean(n))} for cut, n in self.n_edges.items()}
        for (cut, scores, length, primary_only), found in self.matches.items():
            if not primary_only:
                continue
            primary = combine(found)
            every = combine(self.matches[(cut, scores, length, False)])
            row = {rate: list(primary.counts[rate]) for rate in RATES}
            passed, total = (
                a - b for a, b in zip(every.counts["efficiency"], primary.counts["efficiency"], strict=True)
            )
            row["secondary"] = [passed, total]
            rows[cut].setdefault(scores, {})[f"at least {length} hits"] = row
        return rows


def events_of(kind: str, args: argparse.Namespace) -> Iterator[rf.Event]:
    """The events of one kind."""
    if kind in REAL:
        yield rf.io.read_event(args.shared / REAL[kind])
    else:
        detectors = args.shared / "trackml" / "detectors.csv.gz"
        yield from rf.simulation.fatras(args.events, detectors=detectors, **KINDS[kind])


def print_table(kind: str, rows: dict[str, Any]) -> None:
    """Markdown: one line for each of the cuts and least numbers of hits."""
    columns = ("efficiency", "secondary", "unmatched_rate", "fake_rate")
    print(f"\n{kind}\n\n| cuts | edges | scores | " + " | ".join(columns) + " |\n" + "|" + "---|" * 7)
    for cut, row in rows.items():
        for scores in ("network", "perfect scores"):
            for length, rates in row[scores].items():
                cells = [f"{p / n:.4f}" if n else "–" for p, n in (rates[c] for c in columns)]
                print(f"| {cut} | {row['edges'] / 1e3:.0f} k | {scores}, {length} | " + " | ".join(cells) + " |")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finder", default="trackml")
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    parser.add_argument("--events", type=int, default=10, help="simulated events of each kind")
    parser.add_argument("--kinds", nargs="*", default=[DECAYS, PROMPT, REALISTIC, REAL_EVENT])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rf.set_num_threads(1)
    finder = rf.TrackFinder.load(args.finder)
    results = {}
    for kind in args.kinds:
        tally = Tally(finder)
        for event in events_of(kind, args):
            tally.add(event)
        results[kind] = tally.summary()
        print_table(kind, results[kind])
    if args.out:
        report = {"build": rf.build_info(), "events": args.events, "kinds": results}
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
