"""The particles that Fatras is given: prompt ones from a gun, daughters of K0s and Lambda decays, secondaries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

PION, KAON, PROTON, MUON, ELECTRON = 211, 321, 2212, 13, 11
MASS = {PION: 0.13957039, KAON: 0.493677, PROTON: 0.93827209}  # [GeV], Particle Data Group

# What a gun shoots, as (PDG number of the positive particle, share).
SPECIES: dict[str, tuple[tuple[int, float], ...]] = {
    "pions": ((PION, 1.0),),
    "muons": ((-MUON, 1.0),),
    # Roughly the charged particles of a minimum-bias collision.
    "mixed": ((PION, 0.80), (KAON, 0.11), (PROTON, 0.07), (-ELECTRON, 0.01), (-MUON, 0.01)),
}

# Decays as (share, mass [GeV], c tau [mm], positive and negative daughter); the Lambda also with charges exchanged.
K0S = (2.0 / 3.0, 0.497611, 26.844, PION, -PION)
LAMBDA = (1.0 / 3.0, 1.115683, 78.88, PROTON, -PION)
DECAY_PATH_Z = 1500.0  # [mm] along z: a decay farther out leaves no track of three hits

# Secondaries, a stand-in for nuclear interactions, which Fatras lacks: pions that take a share of a parent's momentum
# and some momentum of their own [GeV per axis]. It gives the wider angles that two-body decays do not.
SECONDARY_SHARE = (0.1, 0.9)
SECONDARY_KICK = 0.3
SECONDARY_RADIUS_MIN = 20.0  # [mm], inside the beam pipe


@dataclass
class GunParticles:
    """Particles to simulate: pdg int64 (n,); vertex [mm] and momentum [GeV] float64 (n, 3); primary bool (n,)."""

    pdg: NDArray[np.int64]
    vertex: Float64
    momentum: Float64
    primary: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.pdg)

    @property
    def charge(self) -> NDArray[np.float32]:
        """Charge [e]: that of the number's sign, save for leptons, whose positive numbers are negative."""
        lepton = np.abs(self.pdg) < 20
        return np.where(lepton, -np.sign(self.pdg), np.sign(self.pdg)).astype(np.float32)


@dataclass(frozen=True)
class Gun:
    """What to draw. Transverse momenta in GeV, lengths in mm; see `rheinfall.simulation.fatras` for each."""

    n_particles: int
    pt_range: tuple[float, float]
    spectrum: str
    eta_max: float
    vertex_sigma_xy: float
    vertex_sigma_z: float
    species: str
    displaced_fraction: float
    displaced_radius_max: float
    secondary_fraction: float = 0.0

    def __post_init__(self) -> None:
        low, high = self.pt_range
        if not 0.0 < low < high < np.inf:
            raise ValueError(f"pt_range: expected 0 < low < high, got {self.pt_range}")
        if self.n_particles < 0:
            raise ValueError(f"n_particles: expected at least 0, got {self.n_particles}")
        if self.spectrum not in ("flat", "log_uniform"):
            raise ValueError(f'spectrum: expected "flat" or "log_uniform", got {self.spectrum!r}')
        if self.species not in SPECIES:
            raise ValueError(f"species: expected one of {sorted(SPECIES)}, got {self.species!r}")
        for name in ("displaced_fraction", "secondary_fraction"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}: expected 0 to 1, got {getattr(self, name)}")
        if self.displaced_fraction + self.secondary_fraction > 1.0:
            raise ValueError("displaced_fraction: expected at most 1 - secondary_fraction")
        if self.secondary_fraction > 0.0 and self.displaced_radius_max <= SECONDARY_RADIUS_MIN:
            raise ValueError(f"displaced_radius_max: expected more than {SECONDARY_RADIUS_MIN} for secondaries")
        for name in ("eta_max", "vertex_sigma_xy", "vertex_sigma_z", "displaced_radius_max"):
            value = getattr(self, name)
            if not 0.0 <= value < np.inf:
                raise ValueError(f"{name}: expected a finite value of at least 0, got {value}")

    def shoot(self, rng: np.random.Generator) -> GunParticles:
        """Draw one event's particles: the prompt ones first, then decay daughters in pairs, then secondaries."""
        n_pairs = round(self.n_particles * self.displaced_fraction / 2)
        n_secondary = min(round(self.n_particles * self.secondary_fraction), self.n_particles - 2 * n_pairs)
        prompt = self._shoot_prompt(rng, self.n_particles - 2 * n_pairs - n_secondary)
        parts = (prompt, self._decay(rng, n_pairs), self._make_secondaries(rng, n_secondary))
        return GunParticles(
            np.concatenate([part.pdg for part in parts]),
            np.concatenate([part.vertex for part in parts]),
            np.concatenate([part.momentum for part in parts]),
            np.concatenate([part.primary for part in parts]),
        )

    def _draw_vertices(self, rng: np.random.Generator, n: int) -> Float64:
        scale = (self.vertex_sigma_xy, self.vertex_sigma_xy, self.vertex_sigma_z)
        return np.asarray(rng.normal(size=(n, 3)) * np.array(scale), dtype=np.float64)

    def _draw_momenta(self, rng: np.random.Generator, n: int) -> Float64:
        low, high = self.pt_range
        share = rng.random(n)
        pt = low + share * (high - low) if self.spectrum == "flat" else low * (high / low) ** share
        eta = rng.uniform(-self.eta_max, self.eta_max, n)
        phi = rng.uniform(-np.pi, np.pi, n)
        return np.column_stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])

    def _shoot_prompt(self, rng: np.random.Generator, n: int) -> GunParticles:
        vertex, momentum = self._draw_vertices(rng, n), self._draw_momenta(rng, n)
        numbers, shares = zip(*SPECIES[self.species], strict=True)
        pdg = rng.choice(np.array(numbers, dtype=np.int64), size=n, p=np.array(shares))
        pdg = pdg * rng.choice(np.array([1, -1], dtype=np.int64), size=n)
        return GunParticles(pdg, vertex, momentum, np.ones(n, dtype=np.bool_))

    def _decay(self, rng: np.random.Generator, n: int) -> GunParticles:
        origin, parent = self._draw_vertices(rng, n), self._draw_momenta(rng, n)
        kind = (rng.random(n) >= K0S[0]).astype(np.int64)
        mass, ctau = np.array([K0S[1], LAMBDA[1]])[kind], np.array([K0S[2], LAMBDA[2]])[kind]
        pdg = np.array([K0S[3:], LAMBDA[3:]], dtype=np.int64)[kind]
        pdg *= rng.choice(np.array([1, -1], dtype=np.int64), size=(n, 1))  # K0s: which pion comes first; Lambda: anti
        vertex = origin + draw_flight(rng, parent, mass, ctau, self.displaced_radius_max)
        first = decay_in_two(rng, parent, mass, np.vectorize(MASS.__getitem__, otypes=[float])(np.abs(pdg)))
        momentum = np.stack([first, parent - first], axis=1).reshape(-1, 3)
        return GunParticles(pdg.reshape(-1), np.repeat(vertex, 2, axis=0), momentum, np.zeros(2 * n, dtype=np.bool_))

    def _make_secondaries(self, rng: np.random.Generator, n: int) -> GunParticles:
        origin, parent = self._draw_vertices(rng, n), self._draw_momenta(rng, n)
        radius = rng.uniform(SECONDARY_RADIUS_MIN, self.displaced_radius_max, n)
        path = np.minimum(
            radius / np.hypot(parent[:, 0], parent[:, 1]), DECAY_PATH_Z / np.maximum(np.abs(parent[:, 2]), 1e-12)
        )
        share = rng.uniform(*SECONDARY_SHARE, n)
        momentum = parent * share[:, None] + rng.normal(size=(n, 3)) * SECONDARY_KICK
        pdg = PION * rng.choice(np.array([1, -1], dtype=np.int64), size=n)
        return GunParticles(pdg, origin + parent * path[:, None], momentum, np.zeros(n, dtype=np.bool_))


def draw_flight(
    rng: np.random.Generator, momentum: Float64, mass: Float64, ctau: Float64, radius_max: float
) -> Float64:
    """Flight vectors (n, 3) [mm]: exponential in proper time, cut off at `radius_max` and at |z| = `DECAY_PATH_Z`.

    The cut-off keeps the decays where daughters still cross layers; without it most of a 10 GeV parent's would not.
    """
    p = np.linalg.norm(momentum, axis=1)
    direction = momentum / p[:, None]
    mean = p / mass * ctau
    sin = np.hypot(direction[:, 0], direction[:, 1])
    longest = np.minimum(radius_max / sin, DECAY_PATH_Z / np.maximum(np.abs(direction[:, 2]), 1e-12))
    length = -mean * np.log1p(rng.random(len(p)) * np.expm1(-longest / mean))
    return np.asarray(direction * length[:, None], dtype=np.float64)


def decay_in_two(rng: np.random.Generator, parent: Float64, mass: Float64, daughters: Float64) -> Float64:
    """Momentum (n, 3) [GeV] of the first daughter, isotropic in the rest frame and boosted.

    Args:
        parent: momenta (n, 3) [GeV].  mass: (n,) [GeV].  daughters: the two masses (n, 2) [GeV].
    """
    n = len(parent)
    m1, m2 = daughters.reshape(n, 2).T
    p_star = np.sqrt((mass**2 - (m1 + m2) ** 2) * (mass**2 - (m1 - m2) ** 2)) / (2 * mass)
    cos, phi = rng.uniform(-1.0, 1.0, n), rng.uniform(-np.pi, np.pi, n)
    sin = np.sqrt(1 - cos**2)
    at_rest = p_star[:, None] * np.column_stack([sin * np.cos(phi), sin * np.sin(phi), cos])
    energy_at_rest = np.sqrt(p_star**2 + m1**2)
    energy = np.sqrt(np.sum(parent**2, axis=1) + mass**2)
    along = np.sum(parent * at_rest, axis=1) / (mass * (energy + mass)) + energy_at_rest / mass
    return np.asarray(at_rest + parent * along[:, None], dtype=np.float64)
