"""What the collisions produce: vertices, multiplicities, momenta and decays in flight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rheinfall.event import Bool, Float64, Int64
from rheinfall.simulation.helix import PION_MASS

# Charged particles with pT > 0.1 GeV per unit of eta and interaction. About 6.5 are measured at 13 TeV; the rest stands
# in for the secondaries of interactions with material, which are not simulated.
CHARGED_PER_ETA = 9.0
MULTIPLICITY_K = 1.6  # width of the negative binomial multiplicity; mean^2 / k is added to Poisson's variance
HARD_SCALE = 2.0  # multiplicity of the hard interaction in units of the mean
SPECTRUM_SCALE, SPECTRUM_POWER = 1.2, 7.5  # GeV, power of the Hagedorn spectrum: mean pT 0.53 GeV
K0S_MASS, K0S_CTAU, K0S_MOMENTUM = 0.497611, 26.84, 0.20601  # GeV, mm, GeV of each pion in the rest frame
REFERENCE_PT, MAX_PT = 0.1, 100.0  # GeV


@dataclass
class Produced:
    """Charged particles at their production; float64 (n,) unless said otherwise."""

    vx: Float64
    vy: Float64
    vz: Float64
    pt: Float64
    phi: Float64
    cot: Float64
    charge: Float64
    primary: Bool

    @classmethod
    def join(cls, parts: list[Produced]) -> Produced:
        """All particles of `parts`, in that order."""
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in cls.__dataclass_fields__))


def survival(pt: Float64) -> Float64:
    """Fraction of particles above pt [GeV] for dN/dpT ~ pT (1 + pT / p0)^-n (R. Hagedorn, Riv. Nuovo Cim. 6 (1983))."""
    n, v = SPECTRUM_POWER, 1.0 + pt / SPECTRUM_SCALE
    return np.asarray((n - 1.0) * v ** (2.0 - n) - (n - 2.0) * v ** (1.0 - n))


def draw_pt(rng: np.random.Generator, size: int, min_pt: float) -> Float64:
    """Transverse momenta [GeV] of the soft spectrum between min_pt and MAX_PT, by inversion on a fine table."""
    grid = np.geomspace(min_pt, MAX_PT, 4096)
    above = survival(grid)
    wanted = rng.uniform(above[-1], above[0], size)
    # Linear in the logarithms: the tail is a power law.
    return np.exp(np.interp(np.log(wanted), np.log(above[::-1]), np.log(grid[::-1])))


def draw_vertices(
    rng: np.random.Generator, size: int, beam_spot: tuple[float, float, float], sigma_xy: float, sigma_z: float
) -> Float64:
    """Interaction points (size, 3) [mm]."""
    return np.asarray(rng.normal(beam_spot, (sigma_xy, sigma_xy, sigma_z), (size, 3)))


def draw_multiplicities(rng: np.random.Generator, pile_up: int, max_eta: float, min_pt: float) -> Int64:
    """Number of charged particles of the hard interaction and of `pile_up` others, int64 (1 + pile_up,)."""
    scale = float(survival(np.array(min_pt)) / survival(np.array(REFERENCE_PT)))
    mean = np.full(1 + pile_up, CHARGED_PER_ETA * 2.0 * max_eta * scale)
    mean[0] *= HARD_SCALE
    return np.asarray(rng.negative_binomial(MULTIPLICITY_K, MULTIPLICITY_K / (MULTIPLICITY_K + mean)))


def _emit(rng: np.random.Generator, vertices: Float64, pt: Float64, max_eta: float) -> Produced:
    n = len(pt)
    phi, eta = rng.uniform(-np.pi, np.pi, n), rng.uniform(-max_eta, max_eta, n)
    charge = rng.choice(np.array([-1.0, 1.0]), n)
    x, y, z = vertices.T
    return Produced(x, y, z, pt, phi, np.sinh(eta), charge, np.ones(n, dtype=bool))


def produce_soft(
    rng: np.random.Generator, vertices: Float64, multiplicities: Int64, min_pt: float, max_eta: float
) -> Produced:
    """Primary charged particles with the soft spectrum, flat in phi and eta, `multiplicities[i]` from vertex i."""
    origin = np.repeat(vertices, multiplicities, axis=0)
    return _emit(rng, origin, draw_pt(rng, len(origin), min_pt), max_eta)


def produce_signal(
    rng: np.random.Generator, vertex: Float64, n: int, pt_range: tuple[float, float], max_eta: float
) -> Produced:
    """`n` primary charged particles from one vertex, flat in log pT over `pt_range` [GeV], in phi and in eta."""
    pt = np.exp(rng.uniform(np.log(pt_range[0]), np.log(pt_range[1]), n))
    return _emit(rng, np.repeat(vertex[None, :], n, axis=0), pt, max_eta)


def produce_decays(
    rng: np.random.Generator, vertices: Float64, multiplicities: Int64, rate: float, min_pt: float, max_eta: float
) -> Produced:
    """Pions from K0S -> pi+ pi-, `rate` decays per primary charged particle, with the K0S flying from the vertices.

    The K0S have the soft spectrum; the decay is isotropic in their rest frame. Daughters below min_pt are dropped.
    """
    origin = np.repeat(vertices, rng.poisson(rate * multiplicities), axis=0)
    n = len(origin)
    kaon = _emit(rng, origin, draw_pt(rng, n, REFERENCE_PT), max_eta)
    momentum = np.stack([kaon.pt * np.cos(kaon.phi), kaon.pt * np.sin(kaon.phi), kaon.pt * kaon.cot], axis=1)
    point = origin + rng.exponential(K0S_CTAU / K0S_MASS, n)[:, None] * momentum
    cos_star, phi_star = rng.uniform(-1.0, 1.0, n), rng.uniform(-np.pi, np.pi, n)
    sin_star = np.sqrt(1.0 - cos_star**2)
    star = K0S_MOMENTUM * np.stack([sin_star * np.cos(phi_star), sin_star * np.sin(phi_star), cos_star], axis=1)
    energy = np.sqrt(np.sum(momentum**2, axis=1) + K0S_MASS**2)
    energy_star = np.hypot(K0S_MOMENTUM, PION_MASS)
    parts = []
    for charge in (1.0, -1.0):
        q = charge * star
        along = np.sum(momentum * q, axis=1)
        p = q + momentum * ((along / (energy + K0S_MASS) + energy_star) / K0S_MASS)[:, None]
        pt = np.hypot(p[:, 0], p[:, 1])
        kept = pt > min_pt
        phi, cot = np.arctan2(p[kept, 1], p[kept, 0]), p[kept, 2] / pt[kept]
        x, y, z = point[kept].T
        parts.append(Produced(x, y, z, pt[kept], phi, cot, np.full_like(x, charge), np.zeros(len(x), dtype=bool)))
    return Produced.join(parts)
