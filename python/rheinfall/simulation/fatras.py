"""Events of the TrackML detector, simulated with ACTS Fatras, with full truth and TrackML's module numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rheinfall.event import Event, Hits, Particles, Truth
from rheinfall.simulation.fatras_detector import Modules, read_modules
from rheinfall.simulation.fatras_engine import FatrasEngine
from rheinfall.simulation.fatras_particles import Gun, GunParticles

_SMEARING = ("pitch", "none")


def fatras(
    n_events: int,
    *,
    detectors: str | Path,
    seed: int = 0,
    n_particles: int = 10_000,
    pt_range: tuple[float, float] = (0.5, 20.0),
    spectrum: str = "flat",
    eta_max: float = 3.0,
    vertex_sigma_z: float = 55.0,
    vertex_sigma_xy: float = 0.0125,
    species: str = "pions",
    field: str = "constant",
    smearing: str = "pitch",
    displaced_fraction: float = 0.0,
    displaced_radius_max: float = 300.0,
    secondary_fraction: float = 0.0,
    noise_fraction: float = 0.0,
    first_event: int = 0,
) -> Iterator[Event]:
    """Simulate events one by one with ACTS Fatras (multiple scattering and energy loss; no nuclear interactions).

    The detector is ACTS' GenericDetector, which is TrackML's. An event depends on `seed`, its number and the options
    alone: not on `n_events`, not on which others were made.

    Args:
        n_events: how many; their numbers run from `first_event`.
        detectors: TrackML's detectors.csv or detectors.csv.gz.
        seed: 0 or more.
        n_particles: charged particles per event, decay daughters included.
        pt_range: transverse momentum [GeV].
        spectrum: of the transverse momentum, "flat" or "log_uniform".
        eta_max: |eta| is flat up to this.
        vertex_sigma_z, vertex_sigma_xy: spread of the vertices [mm]; each particle has its own.
        species: "pions", "muons", or "mixed" (pions, kaons, protons, electrons, muons); charges at random.
        field: "constant", 2 T, or "solenoid", 2 T at the centre and 1.85 T on the axis at |z| = 1.5 m.
        smearing: "pitch", uniform over one readout cell in the module's plane, or "none".
        displaced_fraction: share of the particles that are daughters of K0s -> pi pi and Lambda -> p pi; the spectra
            above are then the parent's.
        displaced_radius_max: decays and interactions lie within this distance from the parent's vertex, measured
            across the beam [mm].
        secondary_fraction: share of the particles that are pions from nuclear interactions, after a simple model: they
            start anywhere along a parent of the spectra above, take part of its momentum and 0.3 GeV per axis besides.
        noise_fraction: noise hits per particle's hit; each layer gets them in proportion to its hits, each module of
            a layer by its surface.
        first_event: number of the first event, to share a production among processes.

    Yields:
        Events whose hits are sorted by module, `hit_id` from 1. `truth.particles` lists every particle, also those
        without hits; `primary` is False for decay daughters and secondaries.

    Raises:
        ImportError: without pyacts; `pip install rheinfall[acts]`.
        ValueError: for a bad option, or a detectors file that is not this detector's.
    """
    gun = Gun(
        n_particles=n_particles,
        pt_range=pt_range,
        spectrum=spectrum,
        eta_max=eta_max,
        vertex_sigma_xy=vertex_sigma_xy,
        vertex_sigma_z=vertex_sigma_z,
        species=species,
        displaced_fraction=displaced_fraction,
        displaced_radius_max=displaced_radius_max,
        secondary_fraction=secondary_fraction,
    )
    if smearing not in _SMEARING:
        raise ValueError(f"smearing: expected one of {list(_SMEARING)}, got {smearing!r}")
    if not 0.0 <= noise_fraction < np.inf:
        raise ValueError(f"noise_fraction: expected a finite value of at least 0, got {noise_fraction}")
    for name, value in (("n_events", n_events), ("seed", seed), ("first_event", first_event)):
        if value < 0:
            raise ValueError(f"{name}: expected at least 0, got {value}")
    production = _Production(gun, read_modules(detectors), FatrasEngine(field), smearing, noise_fraction)
    # The checks above run at the call; a generator function would delay them to the first event.
    return (production.make_event(seed, number) for number in range(first_event, first_event + n_events))


class _Production:
    """What all events of one call share."""

    def __init__(self, gun: Gun, modules: Modules, engine: FatrasEngine, smearing: str, noise_fraction: float) -> None:
        self._gun, self._modules, self._engine = gun, modules, engine
        self._smearing, self._noise_fraction = smearing, noise_fraction
        self._surface, centre = engine.list_surfaces()
        self._row_of_surface = modules.find(modules.match_centres(self._surface, centre))

    def make_event(self, seed: int, number: int) -> Event:
        sequence = np.random.SeedSequence([seed, number])
        rng = np.random.default_rng(sequence)
        particles = self._gun.shoot(rng)
        position, surface, index = self._engine.simulate(particles, int(sequence.generate_state(1)[0]))
        row = self._row_of_surface[np.searchsorted(self._surface, surface)]
        if self._smearing == "pitch":
            position = self._modules.smear(rng, row, position)
        noise_row = self._draw_noise(rng, row)
        position = np.concatenate([position, self._modules.draw_points(rng, noise_row)])
        row = np.concatenate([row, noise_row])
        particle_id = np.concatenate([index + 1, np.zeros(len(noise_row), dtype=np.int64)]).astype(np.uint64)
        # Sorted by module as TrackML's files are, and shuffled within, so that no order tells of the truth.
        order = rng.permutation(len(row))
        order = order[np.argsort(self._modules.module_id[row[order]], kind="stable")]
        x, y, z = (np.ascontiguousarray(position[order, axis], dtype=np.float32) for axis in range(3))
        hit_id = np.arange(1, len(order) + 1, dtype=np.uint64)
        hits = Hits(x, y, z, self._modules.module_id[row[order]], hit_id)
        known = np.ones(len(order), dtype=np.bool_)
        truth = Truth(particle_id[order], known, _to_table(particles))
        return Event(hits, truth, name=f"fatras-seed{seed}-event{number:09d}")

    def _draw_noise(self, rng: np.random.Generator, row: NDArray[np.int64]) -> NDArray[np.int64]:
        """Modules of the noise hits: each layer in proportion to its hits, each module of it by its surface."""
        n_noise = round(self._noise_fraction * len(row))
        if n_noise == 0:
            return np.empty(0, dtype=np.int64)
        layer = self._modules.module_id >> np.uint64(36)
        _, layer_index = np.unique(layer, return_inverse=True)
        n_hits = np.bincount(layer_index[row], minlength=layer_index.max() + 1)
        surface = np.bincount(layer_index, weights=self._modules.area)
        weight = n_hits[layer_index] * self._modules.area / surface[layer_index]
        return np.sort(rng.choice(len(self._modules), size=n_noise, p=weight / weight.sum())).astype(np.int64)


def _to_table(particles: GunParticles) -> Particles:
    vx, vy, vz = (np.ascontiguousarray(column, dtype=np.float32) for column in particles.vertex.T)
    px, py, pz = (np.ascontiguousarray(column, dtype=np.float32) for column in particles.momentum.T)
    number = np.arange(1, len(particles) + 1, dtype=np.uint64)
    return Particles(number, vx, vy, vz, px, py, pz, particles.charge, particles.primary)
