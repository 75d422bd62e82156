"""Pruning by the triplet chi² and edge features in numba and in NumPy, as someone in a hurry would write them.

Each gives the edges that stay, node features and edge features of one graph; edges sorted by source. Libm's arctangent
and logarithm, so the last bits differ from rheinfall's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

f = np.float32
NONE = f(1e4)


def prepare(graph: Any) -> tuple[Any, ...]:
    """Arguments of both: columns of hits, their resolutions (n, 3), edges, the model's four numbers."""
    hits, model = graph.hits, graph.triplet_model
    sigmas = model.table()[(hits.module_id >> np.uint64(56)).astype(np.int64)]
    numbers = (f(model.field), f(model.layer_x0), f(model.field_spread), f(model.min_chi2_pt))
    return hits.x, hits.y, hits.z, np.ascontiguousarray(sigmas), graph.edge_index, numbers


@njit
def _segments(x: Any, y: Any, z: Any, sigmas: Any, edges: Any) -> Any:
    """(n_edges, 7): curvature, cot θ, the errors of both by either hit, the outer radius."""
    out = np.empty((edges.shape[1], 7), np.float32)
    for e in range(edges.shape[1]):
        a, b = edges[0, e], edges[1, e]
        r1 = max(np.sqrt(x[a] * x[a] + y[a] * y[a]), f(1e-3))
        r2 = max(np.sqrt(x[b] * x[b] + y[b] * y[b]), f(1e-3))
        dx, dy = x[b] - x[a], y[b] - y[a]
        chord = max(np.sqrt(dx * dx + dy * dy), f(1e-3))
        curvature = f(2) * (x[a] * y[b] - y[a] * x[b]) / (r1 * r2 * chord)
        u2 = (f(0.5) * curvature * chord) * (f(0.5) * curvature * chord)
        cot = (z[b] - z[a]) / (chord * (f(1) + u2 * (f(1 / 6) + f(0.075) * u2)))
        out[e, 0], out[e, 1], out[e, 6] = curvature, cot, r2
        for i in range(2):
            h, r = (a, r1) if i == 0 else (b, r2)
            across, along = f(2) * sigmas[h, 0] / r, curvature * sigmas[h, 2]
            out[e, 2 + i] = np.sqrt(across * across + along * along) / chord
            along = cot * sigmas[h, 2]
            out[e, 4 + i] = np.sqrt(sigmas[h, 1] * sigmas[h, 1] + along * along) / chord
    return out


@njit
def _chi2(p: Any, q: Any, numbers: Any) -> Any:
    field, layer_x0, field_spread, min_pt = numbers
    mean = f(0.5) * (p[0] + q[0])
    inverse_pt = max(abs(mean) / (f(0.3e-3) * field), f(1) / min_pt)
    cot = f(0.5) * (p[1] + q[1])
    oblique2 = f(1) + cot * cot
    angle = f(0.0136) * inverse_pt
    angle_var = angle * angle * layer_x0 * np.sqrt(oblique2)
    shared, shared_cot, spread = p[3] + q[2], p[5] + q[4], field_spread * mean
    bend_var = p[2] * p[2] + shared * shared + q[3] * q[3] + f(4) * angle_var / (q[6] * q[6]) + spread * spread
    cot_var = p[4] * p[4] + shared_cot * shared_cot + q[5] * q[5] + angle_var * oblique2
    bend, kink = p[0] - q[0], p[1] - q[1]
    return bend * bend / bend_var + kink * kink / cot_var


@njit
def _continuations(segments: Any, edges: Any, n_hits: int, numbers: Any) -> Any:
    """(4, n_edges): best and second-best outward, then inward."""
    n = edges.shape[1]
    offsets = np.zeros(n_hits + 1, np.int64)
    for e in range(n):
        offsets[edges[0, e] + 1] += 1
    for h in range(n_hits):
        offsets[h + 1] += offsets[h]
    best = np.full((4, n), NONE, np.float32)
    for e in range(n):
        hit = edges[1, e]
        for k in range(offsets[hit], offsets[hit + 1]):
            value = _chi2(segments[e], segments[k], numbers)
            for row, edge in ((0, e), (2, k)):
                if value < best[row, edge]:
                    best[row + 1, edge] = best[row, edge]
                    best[row, edge] = value
                elif value < best[row + 1, edge]:
                    best[row + 1, edge] = value
    return best


@njit
def _features(x: Any, y: Any, z: Any, edges: Any, chi2: Any) -> Any:
    nodes = np.empty((len(x), 4), np.float32)
    for h in range(len(x)):
        r = np.sqrt(x[h] * x[h] + y[h] * y[h])
        nodes[h, 0], nodes[h, 1], nodes[h, 2] = r / f(1000), f(math.atan2(y[h], x[h])) / f(np.pi), z[h] / f(1000)
        nodes[h, 3] = f(math.asinh(z[h] / r)) if r > 0 else f(0)
    rows = np.empty((edges.shape[1], 10), np.float32)
    for e in range(edges.shape[1]):
        a, b = edges[0, e], edges[1, e]
        dr, dphi = nodes[b, 0] - nodes[a, 0], nodes[b, 1] - nodes[a, 1]
        if dphi > 1:
            dphi -= f(2)
        elif dphi < -1:
            dphi += f(2)
        slope = min(max(dphi / (dr if dr != 0 else f(1e-9)), f(-100)), f(100))
        rows[e, 0], rows[e, 1], rows[e, 2], rows[e, 3] = dr, dphi, nodes[b, 2] - nodes[a, 2], nodes[b, 3] - nodes[a, 3]
        rows[e, 4], rows[e, 5] = slope, f(0.5) * (nodes[a, 0] + nodes[b, 0]) * slope
        for i in range(4):
            rows[e, 6 + i] = f(0.25) * np.log(f(1) + chi2[i, e])
    return nodes, rows


@njit
def run_numba(x: Any, y: Any, z: Any, sigmas: Any, edges: Any, numbers: Any, chi2_max: float) -> Any:
    """Edges that stay, node features, edge features."""
    chi2 = _continuations(_segments(x, y, z, sigmas, edges), edges, len(x), numbers)
    n_left = 0
    left = np.empty_like(edges)
    for e in range(edges.shape[1]):
        if min(chi2[0, e], chi2[2, e]) < chi2_max:
            left[:, n_left] = edges[:, e]
            n_left += 1
    left = left[:, :n_left].copy()
    chi2 = _continuations(_segments(x, y, z, sigmas, left), left, len(x), numbers)
    nodes, rows = _features(x, y, z, left, chi2)
    return left, nodes, rows


def _two_smallest(values: Any, row: Any, n: int) -> Any:
    """(2, n): of the values of each row."""
    order = np.lexsort((values, row))
    row, values = row[order], values[order]
    first = np.flatnonzero(np.r_[True, row[1:] != row[:-1]]) if len(row) else np.zeros(0, np.int64)
    out = np.full((2, n), NONE)
    out[0, row[first]] = np.minimum(values[first], NONE)
    second = first[np.r_[first[1:], len(row)] - first > 1] + 1
    out[1, row[second]] = np.minimum(values[second], NONE)
    return out


def _continuations_numpy(x: Any, y: Any, z: Any, sigmas: Any, edges: Any, numbers: Any) -> Any:
    a, b = edges
    field, layer_x0, field_spread, min_pt = numbers
    r = np.maximum(np.sqrt(x * x + y * y), f(1e-3))
    chord = np.maximum(np.sqrt((x[b] - x[a]) ** 2 + (y[b] - y[a]) ** 2), f(1e-3))
    curvature = f(2) * (x[a] * y[b] - y[a] * x[b]) / (r[a] * r[b] * chord)
    u2 = (f(0.5) * curvature * chord) ** 2
    cot = (z[b] - z[a]) / (chord * (f(1) + u2 * (f(1 / 6) + f(0.075) * u2)))
    bends = [np.sqrt((f(2) * sigmas[h, 0] / r[h]) ** 2 + (curvature * sigmas[h, 2]) ** 2) / chord for h in (a, b)]
    cots = [np.sqrt(sigmas[h, 1] ** 2 + (cot * sigmas[h, 2]) ** 2) / chord for h in (a, b)]
    offsets = np.searchsorted(a, np.arange(len(x) + 1))
    n_next = (offsets[1:] - offsets[:-1])[b]
    p = np.repeat(np.arange(len(a)), n_next)
    q = np.arange(len(p)) - np.repeat(np.cumsum(n_next) - n_next, n_next) + np.repeat(offsets[b], n_next)
    mean = f(0.5) * (curvature[p] + curvature[q])
    inverse_pt = np.maximum(np.abs(mean) / (f(0.3e-3) * field), f(1) / min_pt)
    oblique2 = f(1) + (f(0.5) * (cot[p] + cot[q])) ** 2
    angle_var = (f(0.0136) * inverse_pt) ** 2 * layer_x0 * np.sqrt(oblique2)
    bend_var = bends[0][p] ** 2 + (bends[1][p] + bends[0][q]) ** 2 + bends[1][q] ** 2 + (field_spread * mean) ** 2
    cot_var = cots[0][p] ** 2 + (cots[1][p] + cots[0][q]) ** 2 + cots[1][q] ** 2 + angle_var * oblique2
    bend_var += f(4) * angle_var / r[b][q] ** 2
    chi2 = (curvature[p] - curvature[q]) ** 2 / bend_var + (cot[p] - cot[q]) ** 2 / cot_var
    return np.concatenate([_two_smallest(chi2, p, len(a)), _two_smallest(chi2, q, len(a))])


def run_numpy(x: Any, y: Any, z: Any, sigmas: Any, edges: Any, numbers: Any, chi2_max: float) -> Any:
    """As `run_numba`."""
    chi2 = _continuations_numpy(x, y, z, sigmas, edges, numbers)
    left = edges[:, np.minimum(chi2[0], chi2[2]) < chi2_max]
    chi2 = _continuations_numpy(x, y, z, sigmas, left, numbers)
    r = np.sqrt(x * x + y * y)
    eta = np.arcsinh(np.divide(z, r, out=np.zeros_like(r), where=r > 0))
    nodes = np.stack([r / f(1000), np.arctan2(y, x) / f(np.pi), z / f(1000), eta], axis=1)
    inner, outer = nodes[left[0]], nodes[left[1]]
    difference = outer - inner
    dphi = difference[:, 1]
    dphi -= f(2) * np.rint(f(0.5) * dphi)
    dr = np.where(difference[:, 0] == 0, f(1e-9), difference[:, 0])
    slope = np.clip(dphi / dr, f(-100), f(100))
    bent = f(0.5) * (inner[:, 0] + outer[:, 0]) * slope
    logs = f(0.25) * np.log(f(1) + chi2)
    return left, nodes, np.concatenate([difference, slope[:, None], bent[:, None], logs.T], axis=1)
