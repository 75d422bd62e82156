"""How the bundle "trackml" is made: which events teach its module map and its network, with which settings.

`rheinfall reproduce trackml` makes it again. Every event is simulated; of the real detector only the table of modules
enters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from rheinfall import io
from rheinfall._core import ModuleMapBuilder
from rheinfall.event import Event
from rheinfall.gnn import EdgeClassifier
from rheinfall.tracking.bundle import Thresholds
from rheinfall.tracking.fit_model import FitModel
from rheinfall.tracking.graph import TripletModel
from rheinfall.tracking.module_map import ModuleMap
from rheinfall.tracking.module_symmetry import ModuleSymmetry, find_symmetries
from rheinfall.tracking.track_finder import TrackFinder
from rheinfall.training.config import TrainingConfig
from rheinfall.training.event_graphs import make_graph
from rheinfall.training.graph_files import save_graph
from rheinfall.training.sectors import split_sectors
from rheinfall.training.thresholds import scan_thresholds
from rheinfall.training.train import train

Log = Callable[[str], None]


@dataclass(frozen=True)
class Sample:
    """A kind of Fatras events, and how many of them.

    Attributes:
        name: for the provenance.
        seed: of `simulation.fatras`.
        n_events: events, numbered from 0.
        min_pt: least transverse momentum of the particles that the module map learns from [GeV].
        options: keyword arguments of `simulation.fatras`.
    """

    name: str
    seed: int
    n_events: int
    min_pt: float
    options: dict[str, Any] = field(default_factory=dict)

    def events(self, detectors: str | Path, first: int = 0, last: int | None = None) -> Iterator[Event]:
        """Events [first, last) of the sample, simulated one at a time (extra [acts])."""
        from rheinfall.simulation.fatras import fatras

        last = self.n_events if last is None else last
        yield from fatras(last - first, detectors=detectors, seed=self.seed, first_event=first, **self.options)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the provenance."""
        return asdict(self)


_PIONS = {"n_particles": 20_000, "pt_range": (0.5, 20.0), "eta_max": 3.0, "field": "constant"}
_REAL = {
    "n_particles": 20_000,
    "pt_range": (0.6, 10.0),
    "spectrum": "log_uniform",
    "eta_max": 4.0,
    "field": "solenoid",
    "species": "mixed",
}

# What the map learns from: few events, since each lets in more pairs of modules that hardly any particle connects (360
# events in place of these 160: 20 % more edges, 0.13 % more of the true ones). The pions are of the kind on which the
# classical chain is judged, some with a wide spread of vertices; the others approach real events: a field that falls
# off, several species, decays and secondaries.
MAP_SAMPLES = (
    Sample("pions", 1001, 60, 0.5, _PIONS),
    Sample("pions, wide vertices", 1002, 20, 0.5, {**_PIONS, "vertex_sigma_z": 100.0}),
    Sample("mixed species in a solenoid", 1003, 60, 0.7, {**_REAL, "displaced_fraction": 0.05}),
    Sample("decays and secondaries", 1004, 20, 0.7, {**_REAL, "displaced_fraction": 0.4, "secondary_fraction": 0.2}),
)

EVENTS_PER_PART = 20
LIMITS: dict[str, Any] = {"min_occurrence": 4, "core": 3.5, "sigmas": 1.0, "sigmas_differences": 2.0}

_DENSE_PIONS = {**_PIONS, "n_particles": 10_000}
_REALISTIC = {
    **_REAL,
    "n_particles": 11_000,
    "pt_range": (0.15, 10.0),
    "displaced_fraction": 0.1,
    "secondary_fraction": 0.05,
    "noise_fraction": 0.1,
}

# What the network learns from: events of the densities and mixtures in which it will be used.
GRAPH_SAMPLES = (
    Sample("pions", 2001, 16, 0.0, _DENSE_PIONS),
    Sample("pions with noise", 2002, 12, 0.0, {**_DENSE_PIONS, "noise_fraction": 0.2}),
    Sample("realistic", 2003, 32, 0.0, _REALISTIC),
    Sample("pions and decays", 2004, 16, 0.0, {**_DENSE_PIONS, "displaced_fraction": 0.25}),
)
# The network also learns from the edges that quadruplets keep, so that a finder may keep them; the bundle does not.
CHI2_MAX, QUADRUPLET_CHI2_MAX = 50.0, 12.0
N_SECTORS = 4
CONFIG = TrainingConfig(hidden=16, iterations=2, steps=3000, n_validation=4, seed=1, checkpoint_every=500)

# What the thresholds of track building are chosen on: as few hits as leave at most MAX_UNMATCHED of the tracks of the
# first sample unmatched, then the best mean over the samples of efficiency less a quarter of the unmatched rate. Cuts
# above 0.3 are not tried: simulated events would bear them, but real ones are expected to score lower. With mutual best
# in place of layer merge 0.05 % of the particles fewer are found, in both samples.
# Weak edges are not tried: they tell tracks of 3 hits from fakes, and make no difference to those of 7
# (bench/layer_merge_rules.py).
THRESHOLD_SAMPLES = (
    Sample("pions", 3001, 2, 0.0, _DENSE_PIONS),
    Sample("realistic", 3002, 2, 0.0, _REALISTIC),
)
THRESHOLD_GRID: dict[str, Any] = {
    "methods": ("layer_merge",),
    "score_cuts": (0.1, 0.2, 0.3),
    "sures": (0.99, 0.995, 0.999),
    "min_lengths": (5, 6, 7, 8),
}
MAX_UNMATCHED = 0.001

_UNIFORM = float(1 / np.sqrt(12))  # standard deviation of a uniform distribution, per unit width

# Pitch over sqrt(12) along and across the strips, from the modules' table; the long side of a strip lies along z in the
# barrel and along the radius in the end caps.
TRIPLET_MODEL = TripletModel(
    resolution={
        **dict.fromkeys((7, 8, 9), (0.05 * _UNIFORM, 0.05625 * _UNIFORM, 0.05625 * _UNIFORM)),
        13: (0.08 * _UNIFORM, 1.2 * _UNIFORM, 0.01),
        **dict.fromkeys((12, 14), (0.08 * _UNIFORM, 0.01, 1.2 * _UNIFORM)),
        17: (0.12 * _UNIFORM, 10.8 * _UNIFORM, 0.01),
        **dict.fromkeys((16, 18), (0.12 * _UNIFORM, 0.01, 10.8 * _UNIFORM)),
    },
)

# For `fit_tracks`. On a surface one coordinate is exact: the radius in the barrel, z in the end caps. There a strip is
# parallel to its module's axis, not to its own radius, for which it counts as coarser than its pitch. That and the
# thicknesses make the pulls of Fatras pions 1 (bench/track_fit.py).
FIT_MODEL = FitModel(
    resolution={
        8: (0.05 * _UNIFORM, 0.05625 * _UNIFORM, 0.001),
        **dict.fromkeys((7, 9), (0.05 * _UNIFORM, 0.001, 0.05625 * _UNIFORM)),
        13: (0.08 * _UNIFORM, 1.2 * _UNIFORM, 0.001),
        **dict.fromkeys((12, 14), (0.03, 0.001, 1.2 * _UNIFORM)),
        17: (0.12 * _UNIFORM, 10.8 * _UNIFORM, 0.001),
        **dict.fromkeys((16, 18), (0.1, 0.001, 10.8 * _UNIFORM)),
    },
    layer_x0={8: 0.010, 7: 0.012, 9: 0.012, 13: 0.016, 17: 0.016, 12: 0.014, 14: 0.014, 16: 0.014, 18: 0.014},
    discs=(7, 9, 12, 14, 16, 18),
)


def detector_symmetries(detectors: str | Path) -> list[ModuleSymmetry]:
    """The symmetries of the TrackML detector, from its table of modules."""
    table = io.read_detectors(detectors)
    return find_symmetries(table.module_id, table.center.astype(np.float64))


def build_map(sample: Sample, detectors: str | Path, first: int = 0, last: int | None = None) -> ModuleMap:
    """The map of events [first, last) of a sample, with statistics; parts merge exactly: workers may share a sample."""
    return ModuleMap.build(
        sample.events(detectors, first, last), min_pt=sample.min_pt, symmetries=detector_symmetries(detectors)
    )


def build_maps(detectors: str | Path, work: Path, workers: int, log: Log = print) -> ModuleMap:
    """The map of all `MAP_SAMPLES`, merged from parts in `work`; parts that are there already are not made again."""
    work.mkdir(parents=True, exist_ok=True)
    parts = [
        (work / f"{number}-{first:04d}.rfmap", sample, first)
        for number, sample in enumerate(MAP_SAMPLES)
        for first in range(0, sample.n_events, EVENTS_PER_PART)
    ]
    jobs = [(path, sample, str(detectors), first) for path, sample, first in parts if not path.exists()]
    with get_context("spawn").Pool(workers) as pool:
        for line in pool.imap_unordered(_build_part, jobs):
            log(line)
    merged = ModuleMapBuilder("angle")
    for path, _, _ in parts:
        merged.merge(ModuleMapBuilder.load(str(path)))
    return ModuleMap.from_statistics(merged, **LIMITS)


def _build_part(job: tuple[Path, Sample, str, int]) -> str:
    path, sample, detectors, first = job
    part = build_map(sample, detectors, first, min(first + EVENTS_PER_PART, sample.n_events))
    part.save(path)
    return f"{path.name}: {sample.name}: {part}"


def make_graphs(detectors: str | Path, module_map: ModuleMap, folder: Path, log: Log = print) -> None:
    """Write the training graphs in sectors; those kept back, the last by name, are the last sector of each kind."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, sample in enumerate(GRAPH_SAMPLES):
        for number, event in enumerate(sample.events(detectors)):
            graph = make_graph(event, module_map, CHI2_MAX, TRIPLET_MODEL, quadruplet_chi2_max=QUADRUPLET_CHI2_MAX)
            place = 1000 * (number + 1) // sample.n_events  # within the kind, so that the kinds alternate
            for sector, part in enumerate(split_sectors(graph, N_SECTORS)):
                save_graph(folder / f"{place:04d}-{sector}-{kind}.npz", part)
        log(f"{sample.name}: {sample.n_events} graphs")


def make_trackml(
    detectors: str | Path, folder: str | Path, work: Path, workers: int = 2, log: Log = print
) -> TrackFinder:
    """Build map and graphs, train, choose thresholds, and write the bundle to `folder`; `work` is for the rest."""
    module_map = build_maps(detectors, work / "maps", workers, log)
    log(f"{module_map}")
    make_graphs(detectors, module_map, work / "graphs", log)
    result = train(work / "graphs", work, CONFIG, log=log)
    classifier = EdgeClassifier.load(result.path)
    finder = TrackFinder(module_map, classifier, Thresholds(chi2_max=CHI2_MAX), {}, "trackml", TRIPLET_MODEL, FIT_MODEL)
    events = [list(sample.events(detectors)) for sample in THRESHOLD_SAMPLES]
    finder.thresholds, chosen = choose_thresholds(finder, events)
    finder.provenance = {**result.provenance, **describe_recipe(), **chosen, "figures": result.figures}
    finder.save(folder)
    return finder


def choose_thresholds(finder: TrackFinder, events: Sequence[Sequence[Event]]) -> tuple[Thresholds, dict[str, Any]]:
    """The thresholds by the rule above on the events of each sample, and what they give there, for the provenance."""
    trials = [{t.thresholds: t for t in scan_thresholds(finder, few, **THRESHOLD_GRID)} for few in events]

    def merit(thresholds: Thresholds) -> tuple[float, float]:
        matches = [trial[thresholds].matches for trial in trials]
        return -thresholds.min_length, sum(m.efficiency - m.unmatched_rate / 4 for m in matches)

    allowed = [t for t, trial in trials[0].items() if trial.matches.unmatched_rate <= MAX_UNMATCHED]
    best = max(allowed or trials[0], key=merit)
    figures = {s.name: str(trial[best]) for s, trial in zip(THRESHOLD_SAMPLES, trials, strict=True)}
    return best, {"thresholds_on_their_events": figures}


def describe_recipe() -> dict[str, Any]:
    """Every input of the bundle."""
    return {
        "recipe": "rheinfall.training.trackml",
        "inputs": ["TrackML detectors.csv: centres, orientations, sizes and pitches of the modules"],
        "map_samples": [sample.to_dict() for sample in MAP_SAMPLES],
        "map_limits": LIMITS,
        "graph_samples": [sample.to_dict() for sample in GRAPH_SAMPLES],
        "graph_sectors": N_SECTORS,
        "graph_cuts": {"chi2_max": CHI2_MAX, "quadruplet_chi2_max": QUADRUPLET_CHI2_MAX},
        "threshold_samples": [sample.to_dict() for sample in THRESHOLD_SAMPLES],
        "threshold_grid": THRESHOLD_GRID,
        "pyacts": version("pyacts"),
    }
