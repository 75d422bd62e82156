"""How the bundle "trackml" is made: which events teach its module map and its network, with which settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rheinfall import io
from rheinfall.event import Event
from rheinfall.tracking.graph import TripletModel
from rheinfall.tracking.module_map import ModuleMap
from rheinfall.tracking.module_symmetry import ModuleSymmetry, find_symmetries


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

# What the map learns from. The pions are of the kind on which the classical chain is judged, some with a wide spread of
# vertices; the others approach real events: a field that falls off, several species, decays and secondaries.
MAP_SAMPLES = (
    Sample("pions", 1001, 140, 0.5, _PIONS),
    Sample("pions, wide vertices", 1002, 40, 0.5, {**_PIONS, "vertex_sigma_z": 100.0}),
    Sample("mixed species in a solenoid", 1003, 180, 0.7, {**_REAL, "displaced_fraction": 0.05}),
    Sample("decays and secondaries", 1004, 60, 0.7, {**_REAL, "displaced_fraction": 0.4, "secondary_fraction": 0.2}),
)

# What the network learns from: events of the densities and mixtures in which it will be used.
GRAPH_SAMPLES = (
    Sample("pions", 2001, 14, 0.0, {**_PIONS, "n_particles": 10_000}),
    Sample("pions with noise", 2002, 8, 0.0, {**_PIONS, "n_particles": 10_000, "noise_fraction": 0.15}),
    Sample(
        "mixed species in a solenoid",
        2003,
        26,
        0.0,
        {
            **_REAL,
            "n_particles": 12_000,
            "pt_range": (0.15, 10.0),
            "displaced_fraction": 0.1,
            "secondary_fraction": 0.05,
            "noise_fraction": 0.1,
        },
    ),
)

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


def detector_symmetries(detectors: str | Path) -> list[ModuleSymmetry]:
    """The symmetries of the TrackML detector, from its table of modules."""
    table = io.read_detectors(detectors)
    return find_symmetries(table.module_id, table.center.astype(np.float64))


def build_map(sample: Sample, detectors: str | Path, first: int = 0, last: int | None = None) -> ModuleMap:
    """The map of events [first, last) of a sample, with statistics; parts merge exactly, so workers may share it."""
    return ModuleMap.build(
        sample.events(detectors, first, last), min_pt=sample.min_pt, symmetries=detector_symmetries(detectors)
    )
