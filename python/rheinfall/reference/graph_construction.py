"""The graph of a module map by trying every pair and every triple of hits: the definition of `rheinfall.build_graph`.

The quantities are written once for two kinds of numbers: float32 with the core's own functions, which *is* the
definition, and float64 with libm's, beside which foreign codes can be held.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rheinfall.event import Bool, Float32, Int64, UInt64
from rheinfall.reference import float_math

DR_ZERO = 1e-6
"""What an exact zero counts as where it is divided by [mm]."""


@dataclass(frozen=True)
class SpacePoints:
    """Hits in the coordinates that the cuts use, arrays of one dtype, float32 or float64 [mm, rad]."""

    x: Any
    y: Any
    z: Any
    r: Any
    phi: Any
    eta: Any

    @property
    def is_float32(self) -> bool:
        """True for the definition, False for its evaluation in double precision."""
        return bool(self.x.dtype == np.float32)

    def __getitem__(self, index: Any) -> SpacePoints:
        return SpacePoints(*(getattr(self, name)[index] for name in ("x", "y", "z", "r", "phi", "eta")))


def space_points(x: Float32, y: Float32, z: Float32, dtype: Any = np.float32) -> SpacePoints:
    """r = sqrt(x² + y²), phi, eta = asinh(z / r) (0 where r = 0) of hits; all arithmetic in `dtype`."""
    x, y, z = (np.asarray(v).astype(dtype) for v in (x, y, z))
    r = np.sqrt(x * x + y * y)
    cot_theta = z / np.where(r > 0, r, np.ones_like(r))
    if dtype == np.float32:
        phi, eta = float_math.arctan2(y, x), float_math.arcsinh(float_math.float32(cot_theta))
    else:
        phi, eta = np.arctan2(y, x), np.arcsinh(cot_theta)
    return SpacePoints(x, y, z, r, phi, np.where(r > 0, eta, np.zeros_like(r)))


def divisor(difference: Any) -> Any:
    """A difference that is divided by: an exact zero becomes 1e-6 mm."""
    return np.where(difference == 0, difference.dtype.type(DR_ZERO), difference)


def wrap_phi(dphi: Any) -> Any:
    """A difference of two angles, wrapped to (-π, π]."""
    if dphi.dtype == np.float32:
        return float_math.wrap_phi(dphi)
    return np.where(dphi > np.pi, dphi - 2 * np.pi, np.where(dphi <= -np.pi, dphi + 2 * np.pi, dphi))


def doublet_quantities(a: SpacePoints, b: SpacePoints) -> Any:
    """z0 [mm], dphi [rad], phi_slope [rad/mm], deta of the pairs (a inner, b outer): (..., 4)."""
    dr = divisor(b.r - a.r)
    dphi = wrap_phi(b.phi - a.phi)
    return np.stack([a.z - a.r * ((b.z - a.z) / dr), dphi, dphi / dr, b.eta - a.eta], axis=-1)


def slope_dzdr(a: SpacePoints, b: SpacePoints) -> Any:
    """dz/dr of the pairs."""
    return (b.z - a.z) / divisor(b.r - a.r)


def bend(convention: str, a: SpacePoints, b: SpacePoints, c: SpacePoints) -> Any:
    """Change of direction in the transverse plane: "slope_difference" dy12/dx12 - dy23/dx23, or "angle" [rad]."""
    x12, y12, x23, y23 = b.x - a.x, b.y - a.y, c.x - b.x, c.y - b.y
    if convention == "slope_difference":
        return y12 / divisor(x12) - y23 / divisor(x23)
    cross, dot = x12 * y23 - y12 * x23, x12 * x23 + y12 * y23
    return float_math.arctan2(cross, dot) if a.is_float32 else np.arctan2(cross, dot)


def triple_quantities(convention: str, a: SpacePoints, b: SpacePoints, c: SpacePoints) -> Any:
    """The ten quantities of hit triples, (..., 10): four of pair 12, four of pair 23, diff_dzdr, bend."""
    differences = np.stack([slope_dzdr(a, b) - slope_dzdr(b, c), bend(convention, a, b, c)], axis=-1)
    return np.concatenate([doublet_quantities(a, b), doublet_quantities(b, c), differences], axis=-1)


def inside(limits: Float32, quantities: Any) -> Bool:
    """Whether all quantities (..., k) are within the limits (k, 2), both ends included."""
    return np.asarray(((quantities >= limits[:, 0]) & (quantities <= limits[:, 1])).all(axis=-1), np.bool_)


def build_graph(
    x: Float32, y: Float32, z: Float32, module_id: UInt64, module_map: Any, dtype: Any = np.float32
) -> Int64:
    """Edge index, int64 (2, n_edges), of one event: every pair and every triple of hits on the map's modules is tried.

    Args:
        x, y, z: float32 (n,) [mm]; hits that are not finite take part in nothing.
        module_id: uint64 (n,).
        module_map: a `rheinfall.ModuleMap`; only its decoded limits are used.
        dtype: float32 for the definition, float64 for its evaluation in double precision.
    """
    points = space_points(x, y, z, dtype)
    finite = np.isfinite(x) & np.isfinite(y) & np.isfinite(z)
    of_module = {int(m): np.flatnonzero(finite & (module_id == m)) for m in module_map.modules}
    modules, limits = module_map.doublets()
    pairs = {(int(m[0]), int(m[1])): _doublets(points, of_module, m, k) for m, k in zip(modules, limits, strict=True)}
    if module_map.n_triplets == 0:
        return _edge_index(set().union(*(map(tuple, p.tolist()) for p in pairs.values())))
    edges: set[Any] = set()
    triplets, _, limits = module_map.triplets()
    for m, cut in zip(triplets, limits, strict=True):
        inner, outer = pairs[int(m[0]), int(m[1])], pairs[int(m[1]), int(m[2])]
        i, j = np.nonzero(inner[:, 1][:, None] == outer[:, 0][None, :])
        a, b, c = inner[i, 0], inner[i, 1], outer[j, 1]
        passed = inside(cut, triple_quantities(module_map.bend, points[a], points[b], points[c]))
        edges |= set(zip(a[passed].tolist(), b[passed].tolist(), strict=True))
        edges |= set(zip(b[passed].tolist(), c[passed].tolist(), strict=True))
    return _edge_index(edges)


def _doublets(points: SpacePoints, of_module: dict[int, Int64], modules: UInt64, limits: Float32) -> Int64:
    """Pairs (n, 2) of different hits on two modules within the doublet's limits."""
    inner, outer = of_module[int(modules[0])], of_module[int(modules[1])]
    a, b = np.repeat(inner, len(outer)), np.tile(outer, len(inner))
    passed = inside(limits, doublet_quantities(points[a], points[b])) & (a != b)
    return np.stack([a[passed], b[passed]], axis=1)


def _edge_index(edges: set[Any]) -> Int64:
    return np.ascontiguousarray(np.array(sorted(edges), np.int64).reshape(-1, 2).T)
