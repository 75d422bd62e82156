"""Choose the thresholds of layer_merge, `score_cut` and `weak`, on events that nothing else is shown on.

python bench/track_thresholds.py [--shared ../shared] [--events 3] [--out FILE]

Real events give lower scores than simulated ones, on which cuts from 0.05 to 0.3 are as good as each other. So the
choice is made on what comes closest to them: the thinned event of TrackML with complete truth, simulated events of
several species, low pT, decays, secondaries and 15 % noise, and the same events with each hit moved at random by 50 um
along each axis, as much as a pixel, so that they fit what the network has learnt less well. Each is judged on all its
hits and on those in pixels alone, as event 21000 is. The rule: the largest mean over these of the efficiency (double
majority, pT > 1 GeV, tracks of at least 3 hits) less a quarter of the fake rate. The default keeps `weak` at 0.5, so
that with any network an edge that is rather false than true starts no track, and takes the best cut for it; the best
pair is what suits the shipped network. Needs the extra [acts].
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from environment import describe_environment

import rheinfall as rf

ROOT = Path(__file__).parents[1]
REALISTIC: dict[str, Any] = {
    "seed": 7831,
    "n_particles": 11_000,
    "pt_range": (0.15, 10.0),
    "spectrum": "log_uniform",
    "eta_max": 4.0,
    "species": "mixed",
    "field": "solenoid",
    "displaced_fraction": 0.1,
    "secondary_fraction": 0.1,
    "noise_fraction": 0.15,
}
MOVED = 0.05  # mm
PIXEL_VOLUMES = (7, 8, 9)
CUTS = (0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
WEAK = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)  # 0: no edge is weak
DEFAULT_WEAK = ", 0.5"
PENALTY = 0.25  # of the fake rate


def events(n: int, shared: Path) -> Iterator[tuple[str, rf.Event]]:
    """Kind and event."""
    data = shared / "data/trackml"
    yield "TrackML, thinned", rf.io.read_event(data / "small/event000000001")
    rng = np.random.default_rng(REALISTIC["seed"])
    for event in rf.simulation.fatras(n, detectors=data / "detectors.csv.gz", **REALISTIC):
        yield "realistic", event
        moved = {axis: getattr(event.hits, axis) + rng.normal(0, MOVED, len(event.hits)) for axis in "xyz"}
        hits = dataclasses.replace(event.hits, **{axis: a.astype(np.float32) for axis, a in moved.items()})
        yield "realistic, moved", dataclasses.replace(event, hits=hits)


def pixels_alone(truth: rf.Truth, hits: rf.Hits) -> rf.Truth:
    """The truth as event 21000 has it."""
    known = truth.known & np.isin(hits.module_id >> np.uint64(56), PIXEL_VOLUMES)
    return dataclasses.replace(truth, known=known, particle_id=np.where(known, truth.particle_id, np.uint64(0)))


def judge(tracks: rf.Tracks, truth: rf.Truth, hits: rf.Hits) -> dict[str, Any]:
    """Counts of efficiency and fakes, on all hits and on pixels."""
    judges: dict[str, Any] = {"all": (truth, {}), "pixels": (pixels_alone(truth, hits), {"min_layers": 3})}
    rows = {}
    for name, (known, options) in judges.items():
        counts = rf.metrics.match_tracks(tracks, known, hits=hits, **options).counts
        rows[name] = {rate: np.array(counts[rate]) for rate in ("efficiency", "fake_rate")}
    return rows


def measure(event: rf.Event, finder: rf.TrackFinder) -> dict[str, Any]:
    """Counts of efficiency and fakes by thresholds, judged on all hits and on pixels."""
    scored = finder.score_edges(event.hits)
    hits, truth = event.hits.take(scored.order), event.truth.take(scored.order)
    perfect = rf.metrics.perfect_scores(scored.graph.edge_index, truth)
    runs = {"perfect scores": rf.build_tracks(scored.graph, perfect, "components")}
    for cut, weak in itertools.product(CUTS, WEAK):
        if weak == 0.0 or weak > cut:
            runs[f"{cut:g}, {weak:g}"] = rf.build_tracks(
                scored.graph, scored.scores, "layer_merge", score_cut=cut, weak=weak
            )
    return {name: judge(tracks, truth, hits) for name, tracks in runs.items()}


def add(a: Any, b: Any) -> Any:
    """Counts of two events as one."""
    return {name: add(a[name], b[name]) for name in a} if isinstance(a, dict) else a + b


def rates(counts: Any) -> Any:
    """Each (passed, total) as a rate."""
    if isinstance(counts, dict):
        return {name: rates(c) for name, c in counts.items()}
    return float(counts[0] / counts[1])


def merit(name: str, kinds: dict[str, Any]) -> float:
    """What is to be largest."""
    judged = [row for kind in kinds.values() for row in kind[name].values()]
    return float(np.mean([row["efficiency"] - PENALTY * row["fake_rate"] for row in judged]))


def cells(name: str, kinds: dict[str, Any]) -> str:
    """The end of a Markdown row: efficiency and fake rate of a name in each kind."""
    return " | ".join(
        "; ".join(f"{r['efficiency']:.4f}, {r['fake_rate']:.4f}" for r in kind[name].values())
        for kind in kinds.values()
    )


def main() -> None:
    """Measure, print Markdown, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--events", type=int, default=3, help="simulated events")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    finder = rf.TrackFinder.load("trackml")
    measured: dict[str, list[Any]] = {}
    for kind, event in events(args.events, args.shared):
        measured.setdefault(kind, []).append(measure(event, finder))
    kinds = {kind: rates(functools.reduce(add, rows)) for kind, rows in measured.items()}
    merits = {name: merit(name, kinds) for name in next(iter(kinds.values())) if name != "perfect scores"}
    best = max(merits, key=lambda name: merits[name])
    default = max((name for name in merits if name.endswith(DEFAULT_WEAK)), key=lambda name: merits[name])
    print(f"| cut, weak | merit | {' | '.join(f'{k}: all; pixels' for k in kinds)} |\n|{'---|' * (2 + len(kinds))}")
    for name in ["perfect scores", *sorted(merits, key=lambda name: -merits[name])]:
        print(f"| {name} | {merits.get(name, 1.0):.5f} | {cells(name, kinds)} |")
    print(f"\ndefault: {default}; best: {best}")
    if args.out:
        report = {
            "environment": describe_environment(),
            "default": default,
            "best": best,
            "merits": merits,
            "kinds": kinds,
        }
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
