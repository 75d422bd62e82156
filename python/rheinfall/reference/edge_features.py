"""Node and edge features and the triplet chi², in float32 operation by operation; bit-equal to the core's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rheinfall.event import Float32, Hits, Int64, UInt64
from rheinfall.reference.float_math import PI, float32, log_positive
from rheinfall.reference.graph_construction import space_points, wrap_phi

f = np.float32
NO_CONTINUATION = f(1e4)


def node_features(hits: Hits) -> Float32:
    """float32 (n, 4): r / 1000, phi / π, z / 1000, eta."""
    p = space_points(hits.x, hits.y, hits.z)
    return np.stack([p.r / f(1000), p.phi / PI, p.z / f(1000), p.eta], axis=1)


def edge_features(hits: Hits, edge_index: Int64, chi2: Float32) -> Float32:
    """float32 (n_edges, 10): six of ACORN's, of scaled node features, then log(1 + chi²) / 4 of the rows of `chi2`."""
    points = space_points(hits.x, hits.y, hits.z)
    a, b = points[edge_index[0]], points[edge_index[1]]
    dr = (b.r - a.r) / f(1000)
    dphi = wrap_phi(b.phi - a.phi) / PI
    slope = np.clip(dphi / np.where(dr == 0, f(1e-9), dr), f(-100), f(100))
    mean_r = f(0.5) * ((a.r + b.r) / f(1000))
    logs = [f(0.25) * log_positive(f(1) + row) for row in chi2]
    return np.stack([dr, dphi, (b.z - a.z) / f(1000), b.eta - a.eta, slope, mean_r * slope, *logs], axis=1)


@dataclass(frozen=True)
class Segments:
    """Edges as the chi² sees them; float32 (n_edges,). Lengths in mm."""

    curvature: Float32
    cot_theta: Float32
    curvature_var: Float32
    cot_theta_var: Float32
    outer_radius: Float32

    def __getitem__(self, edge: Any) -> Segments:
        names = ("curvature", "cot_theta", "curvature_var", "cot_theta_var", "outer_radius")
        return Segments(*(getattr(self, name)[edge] for name in names))


def segments(hits: Hits, edge_index: Int64, resolution: Float32) -> Segments:
    """Curvature of the circle through the beam line and both hits, cot θ along it, and their variances.

    Args:
        resolution: float32 (256, 3), standard deviations by volume along the azimuth, z and the radius [mm].
    """
    s, t = edge_index
    x1, y1, z1, x2, y2, z2 = hits.x[s], hits.y[s], hits.z[s], hits.x[t], hits.y[t], hits.z[t]
    rphi1, sz1, sr1 = resolution[_volume(hits.module_id[s])].T
    rphi2, sz2, sr2 = resolution[_volume(hits.module_id[t])].T
    least = f(1e-3)
    r1 = np.maximum(np.sqrt(x1 * x1 + y1 * y1), least)
    r2 = np.maximum(np.sqrt(x2 * x2 + y2 * y2), least)
    chord = np.maximum(np.sqrt((x2 - x1) * (x2 - x1) + (y2 - y1) * (y2 - y1)), least)
    curvature = f(2) * (x1 * y2 - y1 * x2) / (r1 * r2 * chord)
    u = f(0.5) * curvature * chord
    u2 = u * u
    arc = chord * (f(1) + u2 * (f(0.166666667) + f(0.075) * u2))
    cot = (z2 - z1) / arc
    radial = sr1 * sr1 + sr2 * sr2
    angle = (rphi1 / r1) * (rphi1 / r1) + (rphi2 / r2) * (rphi2 / r2)
    curvature_var = (f(4) * angle + curvature * curvature * radial) / (chord * chord)
    cot_var = (sz1 * sz1 + sz2 * sz2 + cot * cot * radial) / (chord * chord)
    return Segments(curvature, cot, curvature_var, cot_var, r2)


def chi2(inner: Segments, outer: Segments, field: float, layer_x0: float, min_chi2_pt: float) -> Float32:
    """chi² (2 degrees of freedom) of two segments that share a hit; scattering as of Lynch and Dahl without the log."""
    mean = f(0.5) * (inner.curvature + outer.curvature)
    inverse_pt = np.maximum(np.abs(mean) / (f(0.3e-3) * f(field)), f(1) / f(min_chi2_pt))
    half = f(0.5) * (inner.cot_theta + outer.cot_theta)
    cot2 = half * half
    oblique = np.sqrt(f(1) + cot2)
    scatter = f(0.0136) * inverse_pt
    angle_var = scatter * scatter * f(layer_x0) * oblique
    lever = outer.outer_radius * outer.outer_radius
    curvature_var = inner.curvature_var + outer.curvature_var + f(4) * angle_var / lever
    cot_var = inner.cot_theta_var + outer.cot_theta_var + angle_var * (f(1) + cot2)
    dk, dc = inner.curvature - outer.curvature, inner.cot_theta - outer.cot_theta
    return float32(dk * dk / curvature_var + dc * dc / cot_var)


def triplet_chi2(
    hits: Hits, edge_index: Int64, resolution: Float32, field: float, layer_x0: float, min_chi2_pt: float
) -> Float32:
    """float32 (4, n_edges): best and second-best chi² over the edges that leave the target, then over those inward."""
    s = segments(hits, edge_index, resolution)
    source, target = edge_index
    values = np.full((4, edge_index.shape[1]), NO_CONTINUATION, np.float32)
    for e in range(edge_index.shape[1]):
        onward = np.flatnonzero(source == target[e])
        back = np.flatnonzero(target == source[e])
        out = [chi2(s[e], s[k], field, layer_x0, min_chi2_pt) for k in onward]
        into = [chi2(s[k], s[e], field, layer_x0, min_chi2_pt) for k in back]
        for row, found in ((0, out), (2, into)):
            best = sorted([*found, NO_CONTINUATION, NO_CONTINUATION])[:2]
            values[row : row + 2, e] = best
    return values


def _volume(module_id: UInt64) -> Int64:
    return np.asarray(module_id >> np.uint64(56), np.int64)
