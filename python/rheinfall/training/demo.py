"""How the bundle "demo" is made: a finder for the embedded simulation, from nothing but this package.

`rheinfall reproduce demo` makes it again, the same bit for bit on one kind of machine and with the same versions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rheinfall import simulation
from rheinfall.event import Event
from rheinfall.gnn import EdgeClassifier
from rheinfall.tracking.bundle import Thresholds
from rheinfall.tracking.module_map import ModuleMap
from rheinfall.tracking.module_symmetry import find_symmetries
from rheinfall.tracking.track_finder import TrackFinder
from rheinfall.training.config import TrainingConfig
from rheinfall.training.event_graphs import make_graph
from rheinfall.training.graph_files import save_graph
from rheinfall.training.thresholds import best_trial, scan_thresholds
from rheinfall.training.train import train

# Events of `simulation.simulate`: seed, number, pile-up. Each stage has its own.
MAP_EVENTS: dict[str, Any] = {"seed": 1001, "n_events": 200, "pile_up": 50}
GRAPH_EVENTS: tuple[dict[str, Any], ...] = (
    {"seed": 1002, "n_events": 80, "pile_up": 40},
    {"seed": 1003, "n_events": 16, "pile_up": 80},
)
THRESHOLD_EVENTS: dict[str, Any] = {"seed": 1004, "n_events": 8, "pile_up": 50}
MAP_MIN_PT = 0.3
CHI2_MAX = 25.0
CONFIG = TrainingConfig(steps=1500, n_validation=4, seed=1)


def make_demo(folder: str | Path, work: str | Path, log: Callable[[str], None] = print) -> TrackFinder:
    """Build map and graphs, train, choose thresholds, and write the bundle to `folder`; `work` is for the rest."""
    work = Path(work)
    graphs = work / "graphs"
    graphs.mkdir(parents=True, exist_ok=True)
    module_map = build_demo_map()
    log(f"{module_map}")
    for number, event in enumerate(_graph_events()):
        save_graph(graphs / f"{number:04d}.npz", make_graph(event, module_map, CHI2_MAX))
    result = train(graphs, work, CONFIG, log=log)
    finder = TrackFinder(module_map, EdgeClassifier.load(result.path), Thresholds(chi2_max=CHI2_MAX), name="demo")
    trials = scan_thresholds(finder, simulation.simulate(**THRESHOLD_EVENTS), min_lengths=(4, 5, 6))
    best = best_trial(trials, max_unmatched=0.05)
    log(str(best))
    provenance = _describe(result, str(best))
    finder = TrackFinder(module_map, finder.edge_classifier, best.thresholds, provenance, "demo")
    finder.save(folder)
    return finder


def build_demo_map() -> ModuleMap:
    """The demo detector's module map, with its symmetries."""
    modules = simulation.demo_detector().modules
    symmetries = find_symmetries(modules.module_id, modules.centre)
    return ModuleMap.build(simulation.simulate(**MAP_EVENTS), min_pt=MAP_MIN_PT, symmetries=symmetries)


def _graph_events() -> Iterator[Event]:
    for options in GRAPH_EVENTS:
        yield from simulation.simulate(**options)


def _describe(result: Any, thresholds: str) -> dict[str, Any]:
    return {
        **result.provenance,
        "recipe": "rheinfall.training.demo",
        "map_events": {**MAP_EVENTS, "min_pt": MAP_MIN_PT},
        "graph_events": list(GRAPH_EVENTS),
        "threshold_events": THRESHOLD_EVENTS,
        "thresholds_on_their_events": thresholds,
        "figures": result.figures,
    }
