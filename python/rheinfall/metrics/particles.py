"""Which particles of an event count: their hits, layers and kinematics, and the selection of the efficiency."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rheinfall.event import LAYER_SHIFT, Bool, Float64, Hits, Int64, Truth, UInt64
from rheinfall.tracking.arguments import require_integer, require_number

VARIABLES = ("pt", "eta", "phi", "radius")
"""Kinematic variables of a ParticleTable, which efficiencies can be binned in."""


@dataclass
class ParticleTable:
    """Particles of one event that are in its particle table or made a judged hit, sorted by particle_id.

    Attributes:
        particle_id: uint64 (n,).
        n_hits: int64 (n,), judged hits.
        n_layers: int64 (n,), distinct layers among them; zeros where the hits' modules were not given.
        pt [GeV], eta, phi [rad], radius [mm]: float64 (n,), NaN for particles missing from the event's table.
        primary: bool (n,), False for those.
        vertex: float64 (n, 3) production vertex [mm], the origin for those.
    """

    particle_id: UInt64
    n_hits: Int64
    n_layers: Int64
    pt: Float64
    eta: Float64
    phi: Float64
    radius: Float64
    primary: Bool
    vertex: Float64

    def __len__(self) -> int:
        return len(self.particle_id)


@dataclass(frozen=True)
class Selection:
    """Particles that an efficiency is of: pT > min_pt, |eta| < eta_max, n_hits >= min_hits, and so on.

    None is no cut; min_pt = 0 is one, which particles of unknown momentum do not pass.
    """

    min_pt: float | None = 1.0
    min_hits: int = 3
    eta_max: float | None = 4.0
    primary_only: bool = True
    min_layers: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no cut."""
        if self.min_pt is not None and not 0 <= require_number("min_pt", self.min_pt) < math.inf:
            raise ValueError(f"min_pt: expected a finite number of at least 0, or None, got {self.min_pt}")
        if self.eta_max is not None and not require_number("eta_max", self.eta_max) > 0:
            raise ValueError(f"eta_max: expected a number above 0, or None, got {self.eta_max}")
        for name in ("min_hits", "min_layers"):
            require_integer(name, getattr(self, name), 0)
        if not isinstance(self.primary_only, bool | np.bool_):
            raise TypeError(f"primary_only: expected True or False, got {self.primary_only!r}")

    @property
    def needs_kinematics(self) -> bool:
        """True if a particle's momentum or vertex matters."""
        return self.min_pt is not None or self.eta_max is not None or self.primary_only

    def apply(self, table: ParticleTable) -> Bool:
        """Tell which particles are selected; one without kinematics is not where these matter."""
        selected: Bool = (table.n_hits >= self.min_hits) & (table.n_layers >= self.min_layers)
        if self.min_pt is not None:
            selected &= table.pt > self.min_pt
        if self.eta_max is not None:
            selected &= np.abs(table.eta) < self.eta_max
        if self.primary_only:
            selected &= table.primary
        return selected

    def __str__(self) -> str:
        parts = ["primary"] if self.primary_only else []
        parts += [f"pT > {self.min_pt:g} GeV"] if self.min_pt is not None else []
        parts += [f"|eta| < {self.eta_max:g}"] if self.eta_max is not None else []
        parts += [f">= {self.min_hits} hits"] if self.min_hits else []
        parts += [f">= {self.min_layers} layers"] if self.min_layers else []
        return ", ".join(parts) or "all"


def select_particles(
    truth: Truth,
    *,
    min_pt: float | None = 1.0,
    min_hits: int = 3,
    eta_max: float | None = 4.0,
    primary_only: bool = True,
    min_layers: int = 0,
    hits: Hits | None = None,
    hit_mask: Bool | None = None,
) -> UInt64:
    """The particle_id of the particles that an efficiency is of, sorted; arguments as for `match_tracks`."""
    selection = Selection(min_pt, min_hits, eta_max, primary_only, min_layers)
    table, _ = summarize_particles(truth, judged_hits(truth, hit_mask), selection, hits)
    return table.particle_id[selection.apply(table)]


def check_variable(variable: str) -> None:
    """Refuse what names no kinematic variable of particles."""
    if not isinstance(variable, str) or variable not in VARIABLES:
        raise ValueError(f"variable: expected one of {', '.join(VARIABLES)}, got {variable!r}")


def check_truth(truth: Truth | None) -> Truth:
    """`truth` if it is that of an event, which may have none."""
    if truth is None:
        raise ValueError("truth: expected the truth of the event, got None: this event has no truth")
    if not isinstance(truth, Truth):
        raise TypeError(f"truth: expected rheinfall.Truth, got {type(truth).__name__}")
    truth.check()  # again: its arrays may have been replaced since it was made
    if truth.particles is not None:
        truth.particles.check()
    return truth


def check_hits(hits: Hits | None, n_hits: int) -> None:
    """Refuse what are not the hits that the truth is of; None is fine."""
    if hits is None:
        return
    if not isinstance(hits, Hits):
        raise TypeError(f"hits: expected rheinfall.Hits or None, got {type(hits).__name__}")
    if len(hits) != n_hits:
        raise ValueError(f"hits: expected {n_hits} hits as in truth, got {len(hits)}")


def judged_hits(truth: Truth | None, hit_mask: Bool | None) -> Bool:
    """Hits that count: those of known truth, and of `hit_mask` where given. Bool (n_hits,)."""
    truth = check_truth(truth)
    if hit_mask is None:
        return truth.known
    mask = np.asarray(hit_mask)
    if mask.dtype != np.bool_ or mask.shape != truth.known.shape:
        raise ValueError(f"hit_mask: expected bool {truth.known.shape}, got {mask.dtype} {mask.shape}")
    return truth.known & mask


def layer_ids(hits: Hits) -> UInt64:
    """Number of (volume, layer) of each hit: the module_id without its module bits. uint64 (n_hits,)."""
    return np.asarray(hits.module_id >> np.uint64(LAYER_SHIFT), np.uint64)


def summarize_particles(
    truth: Truth, judged: Bool, selection: Selection, hits: Hits | None
) -> tuple[ParticleTable, Int64]:
    """Table of the event's particles, and for each hit its particle's row, -1 for noise and hits not judged.

    Raises:
        ValueError: the selection needs the particle table or the hits' modules and they are not there.
    """
    if selection.needs_kinematics and truth.particles is None:
        raise ValueError(
            "truth.particles: the selection needs momenta and vertices, but the event has no particle table; "
            "pass min_pt=None, eta_max=None, primary_only=False to select by hits alone"
        )
    check_hits(hits, len(truth.particle_id))
    if hits is None and selection.min_layers:
        raise ValueError("hits: counting layers (min_layers) needs the modules, pass hits=event.hits")
    real = np.flatnonzero(judged & (truth.particle_id != 0))
    seen, which = np.unique(truth.particle_id[real], return_inverse=True)
    listed = truth.particles.particle_id if truth.particles is not None else np.zeros(0, np.uint64)
    particle_id = np.union1d(seen, listed[listed != 0])  # a row of the table does not make noise a particle
    row: Int64 = np.full(len(judged), -1, np.int64)
    row[real] = np.searchsorted(particle_id, seen)[which]
    n_hits = np.bincount(row[real], minlength=len(particle_id))
    n_layers = np.zeros_like(n_hits) if hits is None else _count_layers(row[real], layer_ids(hits)[real], len(n_hits))
    return ParticleTable(particle_id, n_hits, n_layers, **_kinematics(truth, particle_id)), row


def _count_layers(row: Int64, layer: UInt64, n_particles: int) -> Int64:
    names, index = np.unique(layer, return_inverse=True)
    pairs = np.unique(row * len(names) + index)
    return np.bincount(pairs // max(len(names), 1), minlength=n_particles)


def _kinematics(truth: Truth, particle_id: UInt64) -> dict[str, Any]:
    n, particles = len(particle_id), truth.particles
    columns: dict[str, Any] = {name: np.full(n, np.nan) for name in VARIABLES}
    columns["primary"] = np.zeros(n, np.bool_)
    columns["vertex"] = np.zeros((n, 3))
    if particles is not None:
        real = particles.particle_id != 0
        place = np.searchsorted(particle_id, particles.particle_id[real])
        for name in (*VARIABLES, "primary"):
            columns[name][place] = getattr(particles, name)[real]
        columns["vertex"][place] = np.stack([particles.vx, particles.vy, particles.vz], axis=1)[real]
    return columns
