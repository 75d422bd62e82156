"""What else was tried in place of layer_merge's rules, and why it loses the particles that it loses.

python bench/layer_merge_rules.py [--shared ../shared] [--events 3] [--out FILE]

Rules are judged on the events on which track_thresholds.py chose the thresholds, by the same merit: mean efficiency
(double majority, pT > 1 GeV, tracks of at least 3 hits) less a quarter of the fake rate. Event 21000, whose truth is of
pixels alone, stands beside them and chooses nothing. The rules are those of `merge` below, in numba; "as it is" must
give the tracks of layer_merge. A particle that perfect scores would find is lost as a *weak string* where all edges
between its hits in pixels score at most 0.5, so that nothing but weak edges speaks for it. Needs the extra [acts].
"""

from __future__ import annotations

import argparse
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from environment import describe_environment
from numba import njit
from track_quality import REAL
from track_thresholds import ROOT, add, cells, events, judge, merit, pixels_alone, rates
from track_twins import find, unite
from walk_twins import count_bits

import rheinfall as rf


@dataclass(frozen=True)
class Rule:
    """Settings of `merge`; those of layer_merge, and beyond.

    Attributes:
        cut, weak, sure: as in layer_merge.
        stub: layers that one of the clusters must have for a weak edge.
        ends: a score of at most this joins end to end alone: no hit of the source's cluster lies more than `gap`
            farther out than a hit of the target's [mm].
        best: a score of at most this joins only as the best edge out of its source or into its target.
        overlap: common layers on which the clusters have hits so close [mm], on different modules, are not counted
            where the score is above `overlap_score`; 0: all are.
        passes: how often refused edges are asked again.
    """

    cut: float = 0.15
    weak: float = 0.5
    sure: float = 0.995
    stub: int = 3
    ends: float = -1.0
    gap: float = 20.0
    best: float = -1.0
    overlap: float = 0.0
    overlap_score: float = 0.5
    passes: int = 1


AS_IT_IS = "as it is"
RULES = {
    AS_IT_IS: Rule(),
    "cut 0.02": Rule(cut=0.02),
    "sure 0.98": Rule(sure=0.98),
    "refused edges asked again": Rule(passes=2),
    "cut 0.02, below 0.15 the best edge out or in": Rule(cut=0.02, best=0.15),
    "cut 0.02, below 0.15 end to end": Rule(cut=0.02, ends=0.15),
    "cut 0.02, below 0.5 end to end": Rule(cut=0.02, ends=0.5),
    "cut 0.05, below 0.5 end to end": Rule(cut=0.05, ends=0.5),
    "weak 0.9": Rule(weak=0.9),
    "weak 0.9, cut 0.05, below 0.5 end to end": Rule(weak=0.9, cut=0.05, ends=0.5),
    "overlaps of 10 mm above 0.5": Rule(overlap=10.0),
    "overlaps of 10 mm above 0.98": Rule(overlap=10.0, overlap_score=0.98),
    "weak edges start tracks": Rule(stub=1),
    "weak edges start tracks, cut 0.1": Rule(stub=1, cut=0.1),
    "weak edges start tracks, cut 0.05": Rule(stub=1, cut=0.05),
}


@njit
def _overlapping(a: int, b: int, common: int, following: Any, layer: Any, module: Any, xyz: Any, reach: float) -> int:
    """Those of the common layers on which the clusters have close hits on different modules."""
    found = 0
    while a >= 0:
        other = b if (common >> layer[a]) & 1 else -1
        while other >= 0:
            is_pair = layer[a] == layer[other] and module[a] != module[other]
            if is_pair and np.sum((xyz[a] - xyz[other]) ** 2) < reach * reach:
                found |= 1 << layer[a]
            other = following[other]
        a = following[a]
    return found


@njit
def merge(source: Any, target: Any, score: Any, is_best: Any, layer: Any, module: Any, xyz: Any, rule: Any) -> Any:
    """A hit of its cluster for each hit; edges by falling score. `rule`: the fields of `Rule` in their order."""
    cut, weak, sure, stub, ends, gap, best, overlap, overlap_score, passes = rule
    n = len(layer)
    distance = np.sqrt(np.sum(xyz**2, axis=1))
    parent, layers = np.arange(n), np.left_shift(1, layer)
    inner, outer = distance.copy(), distance.copy()
    following, last = np.full(n, -1), np.arange(n)
    kept = np.flatnonzero(score > cut)
    for i in range(passes * len(kept)):
        e = kept[i % len(kept)]
        s, t = source[e], target[e]
        a, b = find(parent, s), find(parent, t)
        if a == b:
            continue
        if score[e] <= sure:
            common = layers[a] & layers[b]
            if score[e] <= weak and max(count_bits(layers[a]), count_bits(layers[b])) < stub:
                continue
            if score[e] <= best and not is_best[e]:
                continue
            if score[e] <= ends and outer[a] > inner[b] + gap:
                continue
            if count_bits(common) > 1 and overlap > 0 and score[e] > overlap_score:
                common &= ~_overlapping(a, b, common, following, layer, module, xyz, overlap)
                if common:
                    continue
            elif count_bits(common) > 1:
                continue
        unite(parent, a, b)
        root, other = min(a, b), max(a, b)
        layers[root] |= layers[other]
        inner[root], outer[root] = min(inner[a], inner[b]), max(outer[a], outer[b])
        following[last[root]] = other
        last[root] = last[other]
    for v in range(n):
        parent[v] = find(parent, v)
    return parent


class Scored:
    """An event's graph with its edges by falling score."""

    def __init__(self, event: rf.Event, finder: rf.TrackFinder) -> None:
        scored = finder.score_edges(event.hits)
        assert event.truth is not None
        self.graph, self.scores = scored.graph, scored.scores
        self.hits, self.truth = event.hits.take(scored.order), event.truth.take(scored.order)
        source, target = self.graph.edge_index
        order = np.lexsort((target, source, -self.scores))
        self.edges = source[order], target[order], self.scores[order]
        is_best = np.zeros(len(order), np.bool_)
        for end in self.edges[:2]:
            is_best[np.unique(end, return_index=True)[1]] = True
        layer = np.unique(self.hits.module_id >> np.uint64(36), return_inverse=True)[1]
        module = np.unique(self.hits.module_id, return_inverse=True)[1]
        xyz = np.stack([self.hits.x, self.hits.y, self.hits.z], axis=1).astype(np.float64)
        self.arguments = (*self.edges, is_best, layer, module, xyz)

    def build(self, rule: Rule, min_length: int = 3) -> rf.Tracks:
        """Tracks by a rule."""
        values = (*(np.float32(v) for v in (rule.cut, rule.weak, rule.sure)), *list(vars(rule).values())[3:])
        root = merge(*self.arguments, values)
        edges = np.stack([root, np.arange(len(root))])
        ones = np.ones(len(root), np.float32)
        return rf.build_tracks(edges, ones, "components", hits=self.hits, min_length=min_length)

    def losses(self, tracks: rf.Tracks) -> dict[str, int]:
        """Particles that perfect scores find and `tracks` do not, by what went wrong; in pixels."""
        truth = self.truth if not self.truth.known.all() else pixels_alone(self.truth, self.hits)
        perfect = rf.metrics.perfect_scores(self.graph.edge_index, truth)
        best = rf.build_tracks(self.graph, perfect, "components")
        found, ceiling = (rf.metrics.match_tracks(t, truth, hits=self.hits, min_layers=3) for t in (tracks, best))
        lost = found.particles.particle_id[found.selected & ceiling.reconstructed & ~found.reconstructed]
        source, target, score = self.edges
        particle = np.where(truth.known, truth.particle_id, np.uint64(0))
        is_true = particle[source] == particle[target]
        weak = [p for p in lost if score[is_true & (particle[source] == p)].max(initial=0.0) <= Rule.weak]
        return {"particles": int(found.selected.sum()), "lost": len(lost), "weak strings": len(weak)}


LONG = {"of 7 hits, cut 0.3, weak edges start tracks": Rule(cut=0.3, stub=1), "of 7 hits, cut 0.3": Rule(cut=0.3)}


def measure(data: Scored) -> dict[str, Any]:
    """Counts for each rule, on all hits and on pixels, and what was lost."""
    rows: dict[str, Any] = {}
    for name, rule in (RULES | LONG).items():
        tracks = data.build(rule, 7 if name in LONG else 3)
        rows[name] = judge(tracks, data.truth, data.hits)
        if name == AS_IT_IS:
            ours = rf.build_tracks(data.graph, data.scores, "layer_merge")
            np.testing.assert_array_equal(tracks.hits, ours.hits)
            losses = {k: np.array(v) for k, v in data.losses(tracks).items()}
    return {"rules": rows, "losses": losses}


def main() -> None:
    """Measure, print Markdown, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--events", type=int, default=3, help="simulated events")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    finder = rf.TrackFinder.load("trackml")
    environment = describe_environment()
    measured: dict[str, list[Any]] = {}
    for kind, event in events(args.events, args.shared):
        measured.setdefault(kind, []).append(measure(Scored(event, finder)))
    real = rf.io.read_event(args.shared / "data/trackml/event21000/event000021000")
    measured[REAL] = [measure(Scored(real, finder))]
    totals = {kind: functools.reduce(add, rows) for kind, rows in measured.items()}
    shown = {kind: rates(total["rules"]) for kind, total in totals.items()}
    chosen_by = {kind: row for kind, row in shown.items() if kind != REAL}
    merits = {name: merit(name, chosen_by) for name in RULES | LONG}
    print(f"| rule | merit | {' | '.join(f'{k}: all; pixels' for k in shown)} |\n|{'---|' * (2 + len(shown))}")
    for name, value in merits.items():
        print(f"| {name} | {value:.5f} | {cells(name, shown)} |")
    losses = {kind: {what: int(n) for what, n in total["losses"].items()} for kind, total in totals.items()}
    for kind, counts in losses.items():
        print(f"{kind}, in pixels: {counts}")
    if args.out:
        report = {"environment": environment, "merits": merits, "kinds": shown, "losses": losses}
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
