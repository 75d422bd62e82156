"""Exact crossings of helices with cylinders and planes.

A charged particle in a constant field along z moves on a helix. Its position after the transverse arc length s is

    (x, y) = (x0, y0) + L * (cos, sin)(phi0 + h),   L = 2 sin(h) / omega,   h = omega * s / 2,   z = z0 + cot * s

with omega = dphi/ds the signed curvature. With t = tan(h) each crossing below is a quadratic equation in tau = 2 t /
omega; its smallest positive root, in the form that does not cancel, is exact from straight lines to half a turn.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from rheinfall.event import Bool, Float64, Int64

FIELD_TO_CURVATURE = 2.99792458e-4  # GeV / (T mm): speed of light
PION_MASS = 0.13957039  # GeV


@dataclass
class Helices:
    """Particles on their way, one array per field, all float64 (n,) unless said otherwise.

    Attributes:
        x, y, z: position [mm].
        phi: azimuth of the momentum [rad].
        cot: pz / pT.
        pt: transverse momentum [GeV].
        charge: in units of e.
        turned: angle turned since production [rad], >= 0.
    """

    x: Float64
    y: Float64
    z: Float64
    phi: Float64
    cot: Float64
    pt: Float64
    charge: Float64
    turned: Float64

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Int64 | Bool) -> Helices:
        """The helices at `index`."""
        return Helices(*(getattr(self, f.name)[index] for f in fields(self)))

    def put(self, index: Int64 | Bool, other: Helices) -> None:
        """Replace the helices at `index`."""
        for f in fields(self):
            getattr(self, f.name)[index] = getattr(other, f.name)

    def omega(self, field: float) -> Float64:
        """Signed curvature dphi/ds [1/mm] in a field [T] along z; positive charges turn clockwise."""
        return np.asarray(-FIELD_TO_CURVATURE * field * self.charge / self.pt)

    def positions(self, s: Float64, field: float) -> Float64:
        """Points (n, 3) [mm] after the transverse arc lengths s [mm]."""
        half = 0.5 * self.omega(field) * s
        chord = s * np.sinc(half / np.pi)
        middle = self.phi + half
        x, y = self.x + chord * np.cos(middle), self.y + chord * np.sin(middle)
        return np.stack([x, y, self.z + self.cot * s], axis=1)

    def moved(self, s: Float64, field: float) -> Helices:
        """The helices after the transverse arc lengths s [mm]."""
        points = self.positions(s, field)
        turn = self.omega(field) * s
        x, y, z = points.T
        return Helices(x, y, z, self.phi + turn, self.cot, self.pt, self.charge, self.turned + np.abs(turn))


def _arc_length(a: Float64, b: Float64, c: Float64, omega: Float64) -> Float64:
    """Arc length s of the smallest positive root of a tau^2 + 2 b tau + c = 0, for c < 0; NaN where there is none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        tau = -c / (b + np.sqrt(b * b - a * c))
        t = 0.5 * omega * tau
        s = np.where(np.abs(t) < 1e-6, tau * (1.0 - t * t / 3.0), np.arctan(t) * 2.0 / omega)
        return np.where((c < 0.0) & (s > 0.0), s, np.nan)


def arc_length_to_cylinder(helices: Helices, radius: float, field: float) -> Float64:
    """Transverse arc length [mm] to the cylinder around z, from inside; NaN where it is not reached in half a turn."""
    omega = helices.omega(field)
    cos, sin = np.cos(helices.phi), np.sin(helices.phi)
    along = helices.x * cos + helices.y * sin
    across = helices.y * cos - helices.x * sin
    c = helices.x**2 + helices.y**2 - radius**2
    return _arc_length(1.0 + across * omega + 0.25 * omega**2 * c, along, c, omega)


def arc_length_to_upright_plane(helices: Helices, azimuth: Float64, distance: Float64, field: float) -> Float64:
    """Transverse arc length [mm] to planes along z with a normal at `azimuth`, `distance` [mm] from the z axis.

    NaN where the helix starts beyond the plane or does not reach it in half a turn.
    """
    omega = helices.omega(field)
    angle = helices.phi - azimuth
    c = helices.x * np.cos(azimuth) + helices.y * np.sin(azimuth) - distance
    return _arc_length(0.25 * c * omega**2 - 0.5 * omega * np.sin(angle), 0.5 * np.cos(angle), c, omega)
