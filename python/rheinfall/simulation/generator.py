"""The embedded event generator: no package but NumPy, exact truth, the same events for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rheinfall.event import Event, Float64, Hits, Int64, Particles, Truth
from rheinfall.simulation.detector import Detector, demo_detector
from rheinfall.simulation.helix import Helices
from rheinfall.simulation.particles import (
    MAX_PT,
    Produced,
    draw_multiplicities,
    draw_vertices,
    produce_decays,
    produce_signal,
    produce_soft,
)
from rheinfall.simulation.propagation import Crossings, propagate


@dataclass(frozen=True)
class Settings:
    """What `simulate` was asked for; see there."""

    pile_up: int
    seed: int
    min_pt: float
    max_eta: float
    signal: int
    signal_pt: tuple[float, float]
    displaced_rate: float
    noise_fraction: float
    inefficiency: float
    scattering: bool
    energy_loss: bool
    beam_spot: tuple[float, float, float]
    vertex_sigma_xy: float
    vertex_sigma_z: float
    detector: Detector


def simulate(
    n_events: int,
    *,
    pile_up: int = 0,
    seed: int = 0,
    first_event: int = 0,
    min_pt: float = 0.15,
    max_eta: float = 3.0,
    signal: int = 10,
    signal_pt: tuple[float, float] = (1.0, 20.0),
    displaced_rate: float = 0.03,
    noise_fraction: float = 0.02,
    inefficiency: float = 0.02,
    scattering: bool = True,
    energy_loss: bool = True,
    beam_spot: tuple[float, float, float] = (0.0, 0.0, 0.0),
    vertex_sigma_xy: float = 0.01,
    vertex_sigma_z: float = 55.0,
    detector: Detector | None = None,
) -> Iterator[Event]:
    """Simulate collisions in the demo detector, one event at a time.

    Charged pions fly on helices through overlapping modules, scatter (Highland) and lose energy in every layer, and
    are measured with Gaussian errors of pitch / sqrt(12) in the module's local frame. Each is followed outward for at
    most half a turn. No clusters are formed: two particles on one pixel make two hits.

    Event i is a function of (seed, i) and the other settings alone, whatever n_events and first_event are; with one
    version of NumPy on one kind of machine it is the same bit for bit.

    Args:
        n_events: number of events to yield.
        pile_up: number of soft interactions besides the hard one; 200 makes about 100,000 hits.
        seed: seed of the whole sample, >= 0.
        first_event: number of the first event.
        min_pt: lower end of the pT spectrum [GeV]; it cuts the spectrum and leaves the rest as it is.
        max_eta: particles are flat in -max_eta < eta < max_eta.
        signal: number of additional particles from the hard interaction, flat in log pT.
        signal_pt: their range of pT [GeV].
        displaced_rate: K0S -> pi+ pi- decays per primary charged particle; the pions are not primary.
        noise_fraction: expected fraction of all hits that is noise (particle_id 0), uniform over the modules' area.
        inefficiency: probability that a crossing of a module makes no hit.
        scattering, energy_loss: switch the material's effects.
        beam_spot: centre of the interactions [mm].
        vertex_sigma_xy, vertex_sigma_z: their spread [mm].
        detector: what to simulate; default `demo_detector()`.

    Returns:
        An iterator over events named "event000000000", ...; hits are sorted by module_id, in random order within a
        module, and hit_id counts from 1. truth.particles lists every particle, those without hits included.

    Raises:
        ValueError: an argument is out of range; raised by the call, before the first event.
    """
    settings = Settings(
        pile_up=pile_up,
        seed=seed,
        min_pt=min_pt,
        max_eta=max_eta,
        signal=signal,
        signal_pt=signal_pt,
        displaced_rate=displaced_rate,
        noise_fraction=noise_fraction,
        inefficiency=inefficiency,
        scattering=scattering,
        energy_loss=energy_loss,
        beam_spot=beam_spot,
        vertex_sigma_xy=vertex_sigma_xy,
        vertex_sigma_z=vertex_sigma_z,
        detector=demo_detector() if detector is None else detector,
    )
    _check(settings, n_events, first_event)
    return (simulate_event(settings, first_event + i) for i in range(n_events))


def _check(settings: Settings, n_events: int, first_event: int) -> None:
    def require(holds: bool, name: str, value: object, expected: str) -> None:
        if not holds:
            raise ValueError(f"{name}: expected {expected}, got {value!r}")

    s, low_high = settings, settings.signal_pt
    require(n_events >= 0, "n_events", n_events, "a number >= 0")
    require(first_event >= 0, "first_event", first_event, "a number >= 0")
    require(s.seed >= 0, "seed", s.seed, "a number >= 0")
    require(s.pile_up >= 0, "pile_up", s.pile_up, "a number >= 0")
    require(s.signal >= 0, "signal", s.signal, "a number >= 0")
    require(0.05 <= s.min_pt < MAX_PT, "min_pt", s.min_pt, f"0.05 GeV <= min_pt < {MAX_PT:g} GeV")
    require(0.0 < s.max_eta <= 5.0, "max_eta", s.max_eta, "0 < max_eta <= 5")
    require(0.05 <= low_high[0] < low_high[1], "signal_pt", low_high, "0.05 GeV <= low < high")
    require(0.0 <= s.displaced_rate <= 1.0, "displaced_rate", s.displaced_rate, "a rate in [0, 1]")
    require(0.0 <= s.noise_fraction < 1.0, "noise_fraction", s.noise_fraction, "a fraction in [0, 1)")
    require(0.0 <= s.inefficiency <= 1.0, "inefficiency", s.inefficiency, "a probability in [0, 1]")
    require(s.vertex_sigma_xy >= 0.0, "vertex_sigma_xy", s.vertex_sigma_xy, "a width >= 0 mm")
    require(s.vertex_sigma_z >= 0.0, "vertex_sigma_z", s.vertex_sigma_z, "a width >= 0 mm")


def simulate_event(settings: Settings, number: int) -> Event:
    """Event `number` of the sample that `settings` describe."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([settings.seed, number])))
    produced = _produce(rng, settings)
    start = (produced.vx, produced.vy, produced.vz, produced.phi, produced.cot, produced.pt)
    x, y, z, phi, cot, pt = (a.copy() for a in start)
    helices = Helices(x, y, z, phi, cot, pt, produced.charge, np.zeros_like(pt))
    crossings = propagate(
        rng, settings.detector, helices, scattering=settings.scattering, energy_loss=settings.energy_loss
    )
    return _measure(rng, settings, produced, crossings, f"event{number:09d}")


def _produce(rng: np.random.Generator, s: Settings) -> Produced:
    vertices = draw_vertices(rng, 1 + s.pile_up, s.beam_spot, s.vertex_sigma_xy, s.vertex_sigma_z)
    multiplicities = draw_multiplicities(rng, s.pile_up, s.max_eta, s.min_pt)
    return Produced.join(
        [
            produce_signal(rng, vertices[0], s.signal, s.signal_pt, s.max_eta),
            produce_soft(rng, vertices, multiplicities, s.min_pt, s.max_eta),
            produce_decays(rng, vertices, multiplicities, s.displaced_rate, s.min_pt, s.max_eta),
        ]
    )


def _measure(rng: np.random.Generator, s: Settings, produced: Produced, crossings: Crossings, name: str) -> Event:
    """Turn crossings into hits: lose some, smear the rest, add noise, and sort by module."""
    modules = s.detector.modules
    seen = rng.random(len(crossings.module)) >= s.inefficiency
    particle, module = crossings.particle[seen], crossings.module[seen]
    u, v = _smear(rng, s.detector, module, crossings.u[seen], crossings.v[seen])
    n_noise = int(rng.poisson(len(module) * s.noise_fraction / (1.0 - s.noise_fraction)))
    noise_module, noise_u, noise_v = draw_noise(rng, s.detector, n_noise)
    module = np.concatenate([module, noise_module])
    points = modules.to_global(module, np.concatenate([u, noise_u]), np.concatenate([v, noise_v])).astype(np.float32)
    particle_id = np.concatenate([particle + 1, np.zeros(n_noise, dtype=np.int64)]).astype(np.uint64)
    # Shuffled first, so that the order within a module tells nothing of the truth.
    order = rng.permutation(len(module))
    order = order[np.argsort(modules.module_id[module[order]], kind="stable")]
    x, y, z = (np.ascontiguousarray(points[order, axis]) for axis in range(3))
    hits = Hits(x, y, z, modules.module_id[module[order]], np.arange(1, len(order) + 1, dtype=np.uint64))
    truth = Truth(particle_id[order], np.ones(len(order), dtype=bool), _table(produced))
    return Event(hits, truth, name)


def _smear(
    rng: np.random.Generator, detector: Detector, module: Int64, u: Float64, v: Float64
) -> tuple[Float64, Float64]:
    """Add the measurement's errors to local coordinates; the result stays on the module."""
    modules = detector.modules
    error_u, error_v = rng.standard_normal((2, len(module))) / np.sqrt(12.0)
    v = np.clip(v + error_v * modules.pitch_v[module], -modules.half_v[module], modules.half_v[module])
    half_u = modules.half_width(module, v)
    return np.clip(u + error_u * modules.pitch_u[module], -half_u, half_u), v


def draw_noise(rng: np.random.Generator, detector: Detector, n: int) -> tuple[Int64, Float64, Float64]:
    """`n` points uniform over the area of all modules: rows in the module table and local (u, v) [mm]."""
    modules = detector.modules
    module = rng.choice(len(modules), n, p=modules.area / modules.area.sum())
    low, high = modules.half_u_min[module], modules.half_u_max[module]
    # v in a trapezoid: invert the cumulative area, which is quadratic in v; written so that low == high is exact.
    w = rng.random(n)
    t = w * (low + high) / (low + np.sqrt(low**2 + w * (high**2 - low**2)))
    v = (2.0 * t - 1.0) * modules.half_v[module]
    u = rng.uniform(-1.0, 1.0, n) * modules.half_width(module, v)
    return module, u, v


def _table(p: Produced) -> Particles:
    columns = (p.vx, p.vy, p.vz, p.pt * np.cos(p.phi), p.pt * np.sin(p.phi), p.pt * p.cot, p.charge)
    vx, vy, vz, px, py, pz, charge = (np.ascontiguousarray(c, dtype=np.float32) for c in columns)
    return Particles(np.arange(1, len(vx) + 1, dtype=np.uint64), vx, vy, vz, px, py, pz, charge, p.primary)
