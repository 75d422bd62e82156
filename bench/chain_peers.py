"""The whole chain beside the classical one of ACTS, on the same simulated particles, one thread, in one process.

    python bench/chain_peers.py --events 10 --out bench/results/chain_peers.json
    python bench/chain_peers.py --events 2 --thorough-events 1 --key quiet --out bench/results/chain_peers.json

For each event the finder runs on the hits of `simulation.fatras`, the combinatorial Kalman filter on ACTS' own
digitization of the same Fatras hits (Gaussian instead of uniform, the same rms). CPU time of this process: of the
classical chain from space points to cleaned tracks, of the finder from hits to tracks. The classical chain's time
includes its fit; `fit` is what helices of the finder's tracks take on top of its total. Both are judged by
`match_tracks`: double majority, primary, pT > 1 GeV, |eta| < 3, at least 3 hits. The second command is for times: run
it with all other jobs stopped. Needs the extra [acts].
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from classical_chain import FAST, FINDING, THOROUGH, ClassicalChain
from environment import describe_environment

import rheinfall as rf
from rheinfall.event import Truth
from rheinfall.metrics import combine
from rheinfall.simulation.fatras_engine import FatrasEngine
from rheinfall.simulation.fatras_particles import Gun

SEED = 9001  # of the pions that tracking_quality.py judges
PIONS = {"n_particles": 10_000, "pt_range": (0.5, 20.0), "eta_max": 3.0}
GUN = Gun(
    **PIONS,
    spectrum="flat",
    vertex_sigma_xy=0.0125,
    vertex_sigma_z=55.0,
    species="pions",
    displaced_fraction=0.0,
    displaced_radius_max=300.0,
    secondary_fraction=0.0,
)
SELECTION: dict[str, Any] = {"rule": "double_majority", "min_pt": 1.0, "eta_max": 3.0, "min_hits": 3}


class Tally:
    """Matches and CPU ms of one contender."""

    def __init__(self) -> None:
        self.matches: list[Any] = []
        self.ms: dict[str, list[float]] = {}

    def add(self, tracks: rf.Tracks, truth: Truth, ms: dict[str, float]) -> None:
        """One event."""
        self.matches.append(rf.metrics.match_tracks(tracks, truth, **SELECTION))
        for stage, value in ms.items():
            self.ms.setdefault(stage, []).append(value)

    def summary(self) -> dict[str, Any]:
        """Rates over all events, medians of the times."""
        total = combine(self.matches)
        rates = {
            name: {"value": p / n if n else None, "passed": p, "total": n, "interval": list(total.intervals[name])}
            for name, (p, n) in total.counts.items()
        }
        return {"events": len(self.matches), "cpu_ms": {k: _spread(v) for k, v in self.ms.items()}, **rates}


def _spread(values: list[float]) -> dict[str, float]:
    low, median, high = np.percentile(values, [0, 50, 100])
    return {"median": round(float(median), 1), "min": round(float(low), 1), "max": round(float(high), 1)}


def shoot(number: int) -> tuple[Any, int]:
    """The particles of event `number` of `SEED`, and the seed of Fatras, as `simulation.fatras` has them."""
    sequence = np.random.SeedSequence([SEED, number])
    return GUN.shoot(np.random.default_rng(sequence)), int(sequence.generate_state(1)[0])


def find_classical(chain: ClassicalChain, number: int, event: rf.Event, tally: Tally) -> None:
    """The classical chain on the hits of an event."""
    particles, seed = shoot(number)
    tracks, particle, ms = chain.find(particles, seed)
    truth = event.truth
    assert truth is not None
    identifiers = (particle + 1).astype(np.uint64)
    if not np.array_equal(np.sort(identifiers), np.sort(truth.particle_id)):
        raise RuntimeError(f"{event.name}: the classical chain did not get the same hits")
    ms["total"] = sum(ms[stage] for stage in FINDING)
    tally.add(tracks, Truth(identifiers, np.ones(len(particle), np.bool_), truth.particles), ms)


def find_ours(finder: rf.TrackFinder, event: rf.Event, repetitions: int, long: int, tallies: list[Tally]) -> None:
    """The finder, best CPU time of a few runs, and of its fit; its tracks, and those of at least `long` hits."""
    assert event.truth is not None
    cpu, fit = [], []
    for _ in range(repetitions):
        start = time.process_time()
        tracks = finder(event.hits)
        found = time.process_time()
        finder.fit(event.hits, tracks)
        cpu.append(1e3 * (found - start))
        fit.append(1e3 * (time.process_time() - found))
    ms = {"total": min(cpu), "fit": min(fit)}
    tallies[0].add(tracks, event.truth, ms)
    tallies[1].add(tracks.select(tracks.lengths >= long), event.truth, ms)


def main() -> None:
    """Run all contenders on each event in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finder", default="trackml")
    parser.add_argument("--detectors", type=Path, default=Path("../shared/data/trackml/detectors.csv.gz"))
    parser.add_argument("--events", type=int, default=10)
    parser.add_argument("--thorough-events", type=int, default=3, help="events of the thorough classical settings")
    parser.add_argument("--min-length", type=int, default=9, help="a second, stricter minimum of hits to report")
    parser.add_argument("--repetitions", type=int, default=3, help="runs of the finder on each event")
    parser.add_argument("--key", default="all", help="part of the file that this run replaces")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rf.set_num_threads(1)
    finder = rf.TrackFinder.load(args.finder)
    engine = FatrasEngine("constant")
    chains = {"classical, fast": ClassicalChain(engine, FAST), "classical, thorough": ClassicalChain(engine, THOROUGH)}
    long = f"finder, >= {args.min_length} hits"
    tallies = {name: Tally() for name in ("finder", long, *chains)}
    events = rf.simulation.fatras(args.events, detectors=args.detectors, seed=SEED, **PIONS)
    for number, event in enumerate(events):
        find_ours(finder, event, args.repetitions, args.min_length, [tallies["finder"], tallies[long]])
        for name, chain in chains.items():
            if name == "classical, fast" or number < args.thorough_events:
                find_classical(chain, number, event, tallies[name])
    report = {
        "environment": describe_environment(),
        "build": rf.build_info(),
        "classical": {"fast": vars(FAST), "thorough": vars(THOROUGH)},
        "selection": {**SELECTION, "primary": True},
        "events": {"seed": SEED, **PIONS},
        "contenders": {name: tally.summary() for name, tally in tallies.items()},
    }
    for name, r in report["contenders"].items():
        rates = "  ".join(f"{k} {r[k]['value'] or 0:.4f}" for k in r if k not in ("events", "cpu_ms"))
        print(f"{name:22} {r['events']:3} events  {r['cpu_ms']['total']['median']:8.1f} ms  {rates}")
    if args.out:
        parts = json.loads(args.out.read_text()) if args.out.exists() else {}
        args.out.write_text(json.dumps({**parts, args.key: report}, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
