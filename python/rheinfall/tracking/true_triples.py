"""What a module map learns from: the successive hits of true particles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rheinfall.event import LAYER_SHIFT, Event, Particles


@dataclass(frozen=True)
class TripleSelection:
    """Which particles are learnt from; limits are inclusive.

    Attributes:
        min_pt: [GeV].
        max_eta: absolute pseudorapidity.
        max_radius: production radius [mm].
        min_hits: hits, before any is dropped.
        primary_only: leave out particles from decays and material.
    """

    min_pt: float = 0.5
    max_eta: float = 4.0
    max_radius: float = 260.0
    min_hits: int = 3
    primary_only: bool = False

    def mask(self, particles: Particles) -> NDArray[np.bool_]:
        """Bool (n_particles,): which are selected, their number of hits apart."""
        chosen = (
            (particles.pt >= self.min_pt)
            & (np.abs(particles.eta) <= self.max_eta)
            & (particles.radius <= self.max_radius)
        )
        return chosen & particles.primary if self.primary_only else chosen


def find_true_triples(event: Event, selection: TripleSelection) -> NDArray[np.uint32]:
    """Hit indices, uint32 (n, 3), of each three successive hits of each selected particle.

    Hits are ordered by 3-D distance from the particle's production vertex; of successive hits on one layer (volume and
    layer number) the first stays.

    Raises:
        ValueError: the event has no truth or no table of particles.
    """
    truth = event.truth
    if truth is None or truth.particles is None:
        raise ValueError(f"event {event.name or '(unnamed)'}: a module map needs truth with a table of particles")
    particles = truth.particles
    order = np.argsort(particles.particle_id)
    ids = particles.particle_id[order]
    if len(ids) == 0:
        return np.empty((0, 3), np.uint32)
    row = np.minimum(np.searchsorted(ids, truth.particle_id), len(ids) - 1)
    listed = (ids[row] == truth.particle_id) & truth.known
    row = order[row]
    n_hits = np.bincount(row[listed], minlength=len(ids))
    wanted = listed & (selection.mask(particles) & (n_hits >= selection.min_hits))[row]

    hit = np.flatnonzero(wanted)
    of = row[hit]
    x, y, z = (getattr(event.hits, a)[hit].astype(np.float64) for a in "xyz")
    distance = (x - particles.vx[of]) ** 2 + (y - particles.vy[of]) ** 2 + (z - particles.vz[of]) ** 2
    outward = np.lexsort((hit, distance, of))
    hit, of = hit[outward], of[outward]

    layer = event.hits.module_id[hit] >> np.uint64(LAYER_SHIFT)
    same_layer = np.zeros(len(hit), bool)
    same_layer[1:] = (of[1:] == of[:-1]) & (layer[1:] == layer[:-1])
    hit, of = hit[~same_layer], of[~same_layer]
    same_particle = of[2:] == of[:-2]
    triples = np.stack([hit[:-2], hit[1:-1], hit[2:]], axis=1)[same_particle]
    return np.ascontiguousarray(triples, dtype=np.uint32)
