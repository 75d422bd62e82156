"""Node and edge features, chi² of triplets and quadruplets: float32 operation by operation, bit-equal to the core's."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from rheinfall.event import Bool, Float32, Hits, Int64, UInt64
from rheinfall.reference.float_math import PI, float32, log_positive
from rheinfall.reference.graph_construction import space_points, wrap_phi

f = np.float32
NO_CONTINUATION = f(1e4)


def node_features(hits: Hits) -> Float32:
    """float32 (n, 4): r / 1000, phi / π, z / 1000, eta; zeros for a hit that is not finite."""
    p = space_points(hits.x, hits.y, hits.z)
    features = np.stack([p.r / f(1000), p.phi / PI, p.z / f(1000), p.eta], axis=1)
    finite = np.isfinite(hits.x) & np.isfinite(hits.y) & np.isfinite(hits.z)
    return np.where(finite[:, None], features, f(0))


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
    """Edges as the chi² sees them, float32 (n_edges,) [mm]; `_inner`, `_outer`: what the error of either hit does."""

    curvature: Float32
    cot_theta: Float32
    curvature_inner: Float32
    curvature_outer: Float32
    cot_theta_inner: Float32
    cot_theta_outer: Float32
    outer_radius: Float32

    def __getitem__(self, edge: Any) -> Segments:
        return Segments(*(getattr(self, part.name)[edge] for part in fields(self)))


def segments(hits: Hits, edge_index: Int64, resolution: Float32) -> Segments:
    """Curvature of the circle through the beam line and both hits, cot θ along it, and their errors.

    Args:
        hits: the hits.
        edge_index: int64 (2, n_edges).
        resolution: float32 (256, 3), standard deviations by volume along the azimuth, z and the radius [mm].
    """
    s, t = edge_index
    x1, y1, z1, x2, y2, z2 = hits.x[s], hits.y[s], hits.z[s], hits.x[t], hits.y[t], hits.z[t]
    least = f(1e-3)
    r1 = np.fmax(np.sqrt(x1 * x1 + y1 * y1), least)
    r2 = np.fmax(np.sqrt(x2 * x2 + y2 * y2), least)
    chord = np.fmax(np.sqrt(square(x2 - x1) + square(y2 - y1)), least)
    curvature = f(2) * (x1 * y2 - y1 * x2) / (r1 * r2 * chord)
    u2 = square(f(0.5) * curvature * chord)
    arc = chord * (f(1) + u2 * (f(0.166666667) + f(0.075) * u2))
    cot = (z2 - z1) / arc
    errors = []
    for hit, radius in ((s, r1), (t, r2)):
        rphi, sz, sr = resolution[_volume(hits.module_id[hit])].T
        errors.append(
            (
                np.sqrt(square(f(2) * rphi / radius) + square(curvature * sr)) / chord,
                np.sqrt(square(sz) + square(cot * sr)) / chord,
            )
        )
    (curvature_inner, cot_inner), (curvature_outer, cot_outer) = errors
    return Segments(curvature, cot, curvature_inner, curvature_outer, cot_inner, cot_outer, r2)


def square(v: Any) -> Any:
    """v · v."""
    return v * v


def chi2(inner: Segments, outer: Segments, model: Any) -> Float32:
    """chi² (2 degrees of freedom) of two segments that share a hit; scattering as of Lynch and Dahl without the log."""
    mean = f(0.5) * (inner.curvature + outer.curvature)
    inverse_pt = np.fmax(np.abs(mean) / (f(0.3e-3) * f(model.field)), f(1) / f(model.min_chi2_pt))
    cot2 = square(f(0.5) * (inner.cot_theta + outer.cot_theta))
    oblique = np.sqrt(f(1) + cot2)
    angle_var = square(f(0.0136) * inverse_pt) * f(model.layer_x0) * oblique
    # The shared hit moves both segments, in opposite directions: its two errors add before they are squared.
    curvature_var = (
        square(inner.curvature_inner)
        + square(inner.curvature_outer + outer.curvature_inner)
        + square(outer.curvature_outer)
        + f(4) * angle_var / square(outer.outer_radius)
        + square(f(model.field_spread) * mean)
    )
    cot_var = (
        square(inner.cot_theta_inner)
        + square(inner.cot_theta_outer + outer.cot_theta_inner)
        + square(outer.cot_theta_outer)
        + angle_var * (f(1) + cot2)
    )
    bend, kink = inner.curvature - outer.curvature, inner.cot_theta - outer.cot_theta
    return float32(square(bend) / curvature_var + square(kink) / cot_var)


def triplet_chi2(hits: Hits, edge_index: Int64, model: Any) -> Float32:
    """float32 (4, n_edges): best and second-best chi² over the edges that leave the target, then over those inward.

    Args:
        hits: the hits.
        edge_index: int64 (2, n_edges), in any order.
        model: a `rheinfall.tracking.graph.TripletModel`.
    """
    s = segments(hits, edge_index, model.table())
    source, target = edge_index
    values = np.full((4, edge_index.shape[1]), NO_CONTINUATION, np.float32)
    for e in range(edge_index.shape[1]):
        out = chi2(s[e], s[source == target[e]], model)
        into = chi2(s[target == source[e]], s[e], model)
        for row, found in ((0, out), (2, into)):
            below = found[found < NO_CONTINUATION]  # what is not a number is not
            values[row : row + 2, e] = sorted([*below, NO_CONTINUATION, NO_CONTINUATION])[:2]
    return values


@dataclass(frozen=True)
class Triplets:
    """Three hits of two edges that share one, float32 (n_triplets,); lengths in mm.

    Attributes:
        inner, outer: the edges, int64.
        curvature: of the circle through the three hits, signed.
        cot_theta_chi2: that cot θ of both edges agrees.
        first_var, last_var: variance of the curvature by the errors of the first and of the last hit.
        inner_weight, outer_weight: change of the curvature by a shift of the first and of the last hit.
        middle_var: of the middle hit, across the chord of the others.
        scattering_var: of the curvature, by multiple scattering at 1 GeV.
    """

    inner: Int64
    outer: Int64
    curvature: Float32
    cot_theta_chi2: Float32
    first_var: Float32
    last_var: Float32
    inner_weight: Float32
    outer_weight: Float32
    middle_var: Float32
    scattering_var: Float32

    def __getitem__(self, triplet: Any) -> Triplets:
        return Triplets(*(getattr(self, part.name)[triplet] for part in fields(self)))


def triplets(hits: Hits, edge_index: Int64, model: Any) -> Triplets:
    """All pairs of edges of which the second leaves the hit that the first enters."""
    inner, outer = np.nonzero(edge_index[1][:, None] == edge_index[0][None, :])
    a, b, c = (_Hit(hits, i, model.table()) for i in (edge_index[0][inner], edge_index[1][inner], edge_index[1][outer]))
    first, second, whole = _Chord(a, b), _Chord(b, c), _Chord(a, c)
    curvature = f(2) * (first.x * second.y - first.y * second.x) / (first.length * second.length * whole.length)
    inner_cot = (b.z - a.z) / _arc(curvature, first.length)
    outer_cot = (c.z - b.z) / _arc(curvature, second.length)
    cot = f(0.5) * (inner_cot + outer_cot)
    cot2 = square(cot)
    (a_across, a_z), (b_across, b_z), (c_across, c_z) = (
        hit.variances(chord, cot) for hit, chord in ((a, first), (b, whole), (c, second))
    )
    inner_slope, outer_slope = f(1) / first.length, f(1) / second.length
    angle_var = square(f(0.0136)) * f(model.layer_x0) * np.sqrt(f(1) + cot2)
    cot_var = (
        a_z * square(inner_slope)
        + b_z * square(inner_slope + outer_slope)
        + c_z * square(outer_slope)
        + square(_inverse_pt(curvature, model)) * angle_var * (f(1) + cot2)
    )
    scale = f(2) / whole.length
    inner_weight, outer_weight = scale * inner_slope, scale * outer_slope
    return Triplets(
        inner,
        outer,
        float32(curvature),
        float32(square(inner_cot - outer_cot) / cot_var),
        float32(a_across * square(inner_weight)),
        float32(c_across * square(outer_weight)),
        float32(inner_weight),
        float32(outer_weight),
        float32(b_across),
        float32(square(scale) * angle_var),
    )


def quadruplet_chi2(inner: Triplets, outer: Triplets, model: Any) -> Float32:
    """chi² (3 degrees of freedom) of two triplets that share an edge: the curvatures agree, and cot θ along both."""
    mean = f(0.5) * (inner.curvature + outer.curvature)
    curvature_var = (
        inner.first_var
        + inner.middle_var * square(inner.inner_weight + inner.outer_weight + outer.inner_weight)
        + outer.middle_var * square(inner.outer_weight + outer.inner_weight + outer.outer_weight)
        + outer.last_var
        + square(_inverse_pt(mean, model)) * (inner.scattering_var + outer.scattering_var)
        + square(f(model.field_spread) * mean)
    )
    difference = square(inner.curvature - outer.curvature) / curvature_var
    return float32(difference + (inner.cot_theta_chi2 + outer.cot_theta_chi2))


def in_quadruplets(hits: Hits, edge_index: Int64, model: Any, chi2_max: float) -> Bool:
    """bool (n_edges,): whether an edge is one of three in a row with a quadruplet chi² below `chi2_max`."""
    found = triplets(hits, edge_index, model)
    found = found[found.cot_theta_chi2 < f(chi2_max)]
    p, q = np.nonzero(found.outer[:, None] == found.inner[None, :])
    good = quadruplet_chi2(found[p], found[q], model) < f(chi2_max)
    marks = np.zeros(edge_index.shape[1], bool)
    for edges in (found.inner[p], found.outer[p], found.outer[q]):
        marks[edges[good]] = True
    return marks


class _Hit:
    """Hits of one place in a triplet, with their errors."""

    def __init__(self, hits: Hits, index: Int64, resolution: Float32) -> None:
        self.x, self.y, self.z = hits.x[index], hits.y[index], hits.z[index]
        self.r = np.fmax(np.sqrt(self.x * self.x + self.y * self.y), f(1e-3))
        self.rphi, self.sigma_z, self.sigma_r = resolution[_volume(hits.module_id[index])].T

    def variances(self, chord: _Chord, cot: Any) -> tuple[Any, Any]:
        """Across a chord in the transverse plane; of z, with what the error along the chord does to it."""
        scale = chord.length * self.r
        radial = (chord.x * self.x + chord.y * self.y) / scale
        azimuthal = (chord.y * self.x - chord.x * self.y) / scale
        across = square(self.rphi) * square(radial) + square(self.sigma_r * azimuthal)
        return across, square(self.sigma_z) + square(cot * (self.sigma_r * radial))


class _Chord:
    """A direction in the transverse plane."""

    def __init__(self, a: _Hit, b: _Hit) -> None:
        self.x, self.y = b.x - a.x, b.y - a.y
        self.length = np.fmax(np.sqrt(square(self.x) + square(self.y)), f(1e-3))


def _arc(curvature: Any, chord: Any) -> Any:
    u2 = square(f(0.5) * curvature * chord)
    return chord * (f(1) + u2 * (f(0.166666667) + f(0.075) * u2))


def _inverse_pt(curvature: Any, model: Any) -> Any:
    return np.fmax(np.abs(curvature) / (f(0.3e-3) * f(model.field)), f(1) / f(model.min_chi2_pt))


def _volume(module_id: UInt64) -> Int64:
    return np.asarray(module_id >> np.uint64(56), np.int64)
