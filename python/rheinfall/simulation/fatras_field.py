"""Magnetic fields for Fatras: a constant one, and a finite solenoid that falls off as a real one does."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64 = NDArray[np.float64]

CENTRE_FIELD = 2.0  # [T]
# A coil of about ATLAS's size. These two give B_z = 1.85 T on the axis at |z| = 1.5 m (2.0 T at the centre).
COIL_RADIUS = 1300.0  # [mm]
COIL_LENGTH = 5800.0  # [mm]

# The tracking volume of the GenericDetector ends at r = 1028.6 mm and |z| = 3001 mm. A look-up outside the map is an
# error in ACTS that kills the particle, so the map is larger; and it stays clear of the coil, where B jumps.
MAP_RADIUS = 1100.0  # [mm]
MAP_HALF_LENGTH = 3100.0  # [mm]
MAP_STEP = 25.0  # [mm]; linear interpolation is then right to 2e-4 T

_NODES = 256


def _complete_integral(kc2: Float64, p: Float64, c: float, s: Float64) -> Float64:
    """Bulirsch's cel(kc, p, c, s), the integral over [0, pi/2] of
    (c cos² + s sin²) / ((cos² + p sin²) sqrt(cos² + kc² sin²)).

    The integrand is smooth and periodic, so the midpoint rule converges exponentially.
    """
    total = np.zeros(np.broadcast(kc2, p).shape)
    for angle in (np.arange(_NODES) + 0.5) * (np.pi / 2 / _NODES):
        cos2, sin2 = np.cos(angle) ** 2, np.sin(angle) ** 2
        total += (c * cos2 + s * sin2) / ((cos2 + p * sin2) * np.sqrt(cos2 + kc2 * sin2))
    return np.asarray(total * (np.pi / 2 / _NODES), dtype=np.float64)


def solenoid_field(r: ArrayLike, z: ArrayLike) -> tuple[Float64, Float64]:
    """(B_r, B_z) [T] of an ideal solenoid, a cylindrical current sheet, centred on the origin.

    Exact, hence free of divergence and curl: Derby and Olbert, Am. J. Phys. 78 (2010) 229, equations 4 to 7.

    Args:
        r, z: position [mm], r >= 0 and inside the coil (`COIL_RADIUS`); broadcast against each other.
    """
    rho, height = np.broadcast_arrays(np.asarray(r, dtype=np.float64), np.asarray(z, dtype=np.float64))
    radial, axial = _unscaled_field(rho, height)
    at_centre = float(_unscaled_field(np.zeros(1), np.zeros(1))[1][0])
    return radial * (CENTRE_FIELD / at_centre), axial * (CENTRE_FIELD / at_centre)


def _unscaled_field(rho: Float64, z: Float64) -> tuple[Float64, Float64]:
    a, half_length = COIL_RADIUS, COIL_LENGTH / 2
    gamma = (a - rho) / (a + rho)
    radial, axial = np.zeros(rho.shape), np.zeros(rho.shape)
    for end in (1.0, -1.0):
        distance = z + end * half_length
        span2 = distance**2 + (a + rho) ** 2
        kc2 = (distance**2 + (a - rho) ** 2) / span2
        radial += end * a / np.sqrt(span2) * _complete_integral(kc2, np.ones_like(rho), 1.0, -np.ones_like(rho))
        axial += end * distance / np.sqrt(span2) * _complete_integral(kc2, gamma**2, 1.0, gamma)
    return radial, axial * a / (a + rho)


def make_field(acts: Any, kind: str) -> Any:
    """The ACTS field provider of a kind: "constant" (2 T along z) or "solenoid" (`solenoid_field`)."""
    if kind == "constant":
        return acts.ConstantBField(acts.Vector3(0.0, 0.0, CENTRE_FIELD * acts.UnitConstants.T))
    if kind == "solenoid":
        return _make_solenoid_map(acts)
    raise ValueError(f'field: expected "constant" or "solenoid", got {kind!r}')


def _make_solenoid_map(acts: Any) -> Any:
    """An interpolated (r, z) map of `solenoid_field`.

    Not `acts.SolenoidBField`, whose radial field is wrong near the axis (seen at r = 50 mm, pyacts 48.1). Two traps of
    `acts.MagneticFieldMapRz`: it counts bins with r running fastest, whatever the file says, and with
    `firstQuadrant=True` it mirrors B_r without changing its sign, so both halves in z are written.
    """
    r = np.arange(0.0, MAP_RADIUS + MAP_STEP / 2, MAP_STEP)
    z = np.arange(-MAP_HALF_LENGTH, MAP_HALF_LENGTH + MAP_STEP / 2, MAP_STEP)
    zz, rr = np.meshgrid(z, r, indexing="ij")
    radial, axial = solenoid_field(rr, zz)
    table = np.column_stack([rr.ravel(), zz.ravel(), radial.ravel(), axial.ravel()])
    with tempfile.TemporaryDirectory(prefix="rheinfall-") as folder:
        path = Path(folder) / "solenoid.txt"
        np.savetxt(path, table, fmt="%.10g")
        return acts.MagneticFieldMapRz(str(path), acts.UnitConstants.mm, acts.UnitConstants.T, False)
