"""Carry particles through the layers of a detector: crossings, material, and the modules hit.

Every particle is followed outward once: through the barrel by radius, then through the discs by |z| (the barrel ends
before the first disc, and z grows steadily along a helix, so this is the order of the path). It is given up when it
has turned by half a circle. Particles born beyond a layer, or on their way inward, skip it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rheinfall.event import Bool, Float64, Int64
from rheinfall.simulation.detector import BarrelLayer, Detector, DiscLayer
from rheinfall.simulation.helix import (
    PION_MASS,
    Helices,
    arc_length_to_cylinder,
    arc_length_to_upright_plane,
)

LOSS_PER_X0 = 0.0364  # GeV that a minimum-ionising particle loses in one X0 of silicon (3.88 MeV/cm, 93.7 mm)
MIN_MOMENTUM = 0.03  # GeV; slower particles stop


@dataclass
class Crossings:
    """Where particles cross modules: one entry per particle and module, before any measurement.

    Attributes:
        particle: int64 (n,), index of the particle.
        module: int64 (n,), row in the detector's module table.
        u, v: float64 (n,), local coordinates [mm], inside the module's outline.
    """

    particle: Int64
    module: Int64
    u: Float64
    v: Float64

    @classmethod
    def join(cls, parts: list[Crossings]) -> Crossings:
        """All crossings of `parts`, in that order."""
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in cls.__dataclass_fields__))


def _inside(detector: Detector, particle: Int64, module: Int64, points: Float64) -> Crossings:
    """Of the crossings of module planes at `points`, those inside the modules' outlines."""
    modules = detector.modules
    u, v, _ = modules.to_local(module, points)
    inside = (np.abs(v) <= modules.half_v[module]) & (np.abs(u) <= modules.half_width(module, v))
    return Crossings(particle[inside], module[inside], u[inside], v[inside])


def _neighbours(position: Float64) -> tuple[Int64, Int64]:
    """The cell [k, k + 1) of each position in units of cells, and the nearest cell beside it."""
    cell = np.floor(position).astype(np.int64)
    return cell, np.where(position - cell < 0.5, cell - 1, cell + 1)


def cross_barrel(
    detector: Detector, layer: BarrelLayer, helices: Helices, index: Int64
) -> tuple[Int64, Helices, Float64, list[Crossings]]:
    """Cross one cylinder: the particles that do, their state there, 1 / cos(incidence), and the modules hit."""
    field = detector.field
    s = arc_length_to_cylinder(helices, layer.radius, field)
    with np.errstate(invalid="ignore"):
        z = helices.z + helices.cot * s
        turned = helices.turned + np.abs(helices.omega(field) * s)
        reached = (np.abs(z) <= layer.half_length + layer.row_overlap) & (turned <= np.pi)
    index, before, s = index[reached], helices.take(reached), s[reached]
    there = before.moved(s, field)
    azimuth = np.arctan2(there.y, there.x)
    columns = _neighbours(azimuth * (layer.n_phi / (2.0 * np.pi)) + 0.5)
    rows = _neighbours(layer.row_of(there.z))
    modules, crossings = detector.modules, []
    for column in columns:
        for row in rows:
            exists = (row >= 0) & (row < layer.n_rows)
            start, k, j = before.take(exists), column[exists] % layer.n_phi, row[exists]
            module = layer.first_module + j * layer.n_phi + k
            phi_m = 2.0 * np.pi * k / layer.n_phi
            distance = np.hypot(modules.centre[module, 0], modules.centre[module, 1])
            s_m = arc_length_to_upright_plane(start, phi_m, distance, field)
            hit = np.isfinite(s_m)
            points = start.take(hit).positions(s_m[hit], field)
            crossings.append(_inside(detector, index[exists][hit], module[hit], points))
    incidence = np.abs(np.cos(there.phi - azimuth)) / np.hypot(1.0, there.cot)
    return index, there, 1.0 / np.maximum(incidence, 0.1), crossings


def cross_disc(
    detector: Detector, layer: DiscLayer, helices: Helices, index: Int64
) -> tuple[Int64, Helices, Float64, list[Crossings]]:
    """Cross one disc and its mirror image: as `cross_barrel`."""
    field = detector.field
    side = np.sign(helices.cot)
    # A particle born beyond the nearest sensor of the disc skips it.
    nearest = layer.z - layer.phi_stagger - layer.row_stagger
    with np.errstate(divide="ignore", invalid="ignore"):
        s = (side * layer.z - helices.z) / helices.cot
        turned = helices.turned + np.abs(helices.omega(field) * s)
        reached = (side != 0.0) & (side * helices.z < nearest) & (turned <= np.pi)
    index, before, s, side = index[reached], helices.take(reached), s[reached], side[reached]
    there = before.moved(s, field)
    radius = np.hypot(there.x, there.y)
    margin = layer.row_overlap
    on_disc = (radius >= layer.edges[0] - margin) & (radius <= layer.edges[-1] + margin)
    index, side, radius = index[on_disc], side[on_disc], radius[on_disc]
    before, there = before.take(on_disc), there.take(on_disc)
    edges, n_phi = np.array(layer.edges), np.array(layer.n_phi)
    first = layer.first_module + np.concatenate([[0], np.cumsum(n_phi)])
    azimuth = np.arctan2(there.y, there.x) / (2.0 * np.pi)
    modules, crossings = detector.modules, []
    for row in _neighbours(np.interp(radius, edges, np.arange(len(edges)))):
        exists = (row >= 0) & (row < layer.n_rows)
        start, j = before.take(exists), row[exists]
        for column in _neighbours(azimuth[exists] * n_phi[j] + 0.5):
            module = first[j] + column % n_phi[j] + np.where(side[exists] < 0.0, detector.mirror_offset, 0)
            s_m = (modules.centre[module, 2] - start.z) / start.cot
            crossings.append(_inside(detector, index[exists], module, start.positions(s_m, field)))
    return index, there, np.hypot(1.0, 1.0 / there.cot), crossings


def scatter(rng: np.random.Generator, helices: Helices, thickness: Float64) -> None:
    """Turn the directions at random, in place, for material of `thickness` [radiation lengths].

    Gaussian with Highland's width (PDG review, "Passage of particles through matter", eq. 34.16), pion mass.
    """
    p = helices.pt * np.hypot(1.0, helices.cot)
    beta = p / np.hypot(p, PION_MASS)
    width = 0.0136 / (beta * p) * np.sqrt(thickness) * np.maximum(1.0 + 0.038 * np.log(thickness / beta**2), 0.0)
    theta = np.arctan2(1.0, helices.cot)
    kicks = rng.standard_normal((2, len(p))) * width
    helices.phi += kicks[0] / np.sin(theta)
    theta = np.clip(theta + kicks[1], 1e-3, np.pi - 1e-3)
    helices.cot, helices.pt = 1.0 / np.tan(theta), p * np.sin(theta)


def lose_energy(helices: Helices, thickness: Float64) -> Bool:
    """Slow the particles down, in place, by the mean loss ~ 1 / beta^2 in `thickness` [X0]; tell which go on."""
    p = helices.pt * np.hypot(1.0, helices.cot)
    energy = np.hypot(p, PION_MASS)
    after = energy - LOSS_PER_X0 * thickness * (energy / p) ** 2
    momentum = np.sqrt(np.maximum(after**2 - PION_MASS**2, 0.0)) * (after > PION_MASS)
    alive = momentum > MIN_MOMENTUM
    helices.pt *= np.where(alive, momentum / p, 1.0)
    return np.asarray(alive)


def propagate(
    rng: np.random.Generator, detector: Detector, helices: Helices, *, scattering: bool = True, energy_loss: bool = True
) -> Crossings:
    """Follow all particles outward and list the modules that they cross; `helices` end where they were last seen."""
    alive = np.ones(len(helices), dtype=bool)
    found: list[Crossings] = []
    layers: tuple[BarrelLayer | DiscLayer, ...] = (*detector.barrel, *detector.discs)
    for layer in layers:
        index = np.flatnonzero(alive)
        state = helices.take(index)
        if isinstance(layer, BarrelLayer):
            index, there, slant, crossings = cross_barrel(detector, layer, state, index)
        else:
            index, there, slant, crossings = cross_disc(detector, layer, state, index)
        thickness = layer.x0 * slant
        if energy_loss:
            alive[index] = lose_energy(there, thickness)
        if scattering:
            scatter(rng, there, thickness)
        helices.put(index, there)
        found.extend(crossings)
    return Crossings.join(found)
