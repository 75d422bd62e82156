"""The track fit as one least-squares problem, track by track: the full covariance matrix of the hits, libm and all.

What the core computes hit by hit (a Kalman filter) is here x = (HᵀV⁻¹H)⁻¹ HᵀV⁻¹ m with a dense V that holds resolution
and multiple scattering. It shares the starting circle's definition with the core, nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rheinfall.event import Bool, Float64

GEV_PER_MM_TESLA = 0.299792458e-3
RADIATION_ANGLE = 0.0136  # [GeV]


def fit_circle(x: Float64, y: Float64, weight: Float64) -> tuple[Float64, float, float]:
    """Karimäki's circle: its point next to the first hit, direction [rad] and left-handed curvature [1/mm] there."""
    q = np.stack([x - x[0], y - y[0]])
    r2 = (q**2).sum(axis=0)
    c = np.cov(np.stack([*q, r2]), aweights=weight, ddof=0)
    spread = c[:2, :2] - np.outer(c[:2, 2], c[:2, 2]) / c[2, 2]
    tangent = np.linalg.eigh(spread)[1][:, 1]
    tangent = tangent if tangent @ q[:, -1] >= 0 else -tangent
    normal = np.array([-tangent[1], tangent[0]])
    kappa = normal @ c[:2, 2] / c[2, 2]
    delta = np.average(normal @ q - kappa * r2, weights=weight)
    g = np.sqrt(1 - 4 * kappa * delta)
    point = np.array([x[0], y[0]]) + 2 * delta / (1 + g) * normal
    return point, float(np.arctan2(tangent[1], tangent[0])), float(2 * kappa / g)


def locate(point: Float64, phi: float, curvature: float, x: Any, y: Any) -> tuple[Any, Any]:
    """Distance to the left of a circle and turning angle of the foot; the curvature must not be 0."""
    centre = point + np.array([-np.sin(phi), np.cos(phi)]) / curvature
    dx, dy = x - centre[0], y - centre[1]
    side = (1 - np.hypot(dx, dy) * abs(curvature)) / curvature
    turned = np.arctan2(np.sign(curvature) * dy, np.sign(curvature) * dx) - (phi - np.pi / 2)
    return side, (turned + np.pi) % (2 * np.pi) - np.pi


def fit_track(
    x: Float64,
    y: Float64,
    z: Float64,
    sigma: Float64,
    field: float,
    layer_x0: float | Float64,
    is_disc: bool | Bool = False,
) -> dict[str, float]:
    """Parameters of one track of at least 3 hits from inside to outside.

    Args:
        x, y, z: float64 (n,) [mm].
        sigma: (n, 3), standard deviations along the azimuth, z and the radius [mm].
        field: [T].
        layer_x0: thickness of the layers in radiation lengths, one number or one per hit.
        is_disc: whether they lie across the z axis.

    Returns:
        Every field of `rheinfall.tracking.track_fit.FIELDS` by its name.
    """
    point, phi, k = fit_circle(x, y, sigma[:, 0] ** -2.0)
    side, alpha = locate(point, phi, k, x, y)
    s = alpha / k
    w = sigma[:, 1] ** -2.0
    slope = np.cov(s, z, aweights=w)[0, 1] / np.cov(s, z, aweights=w)[0, 0]

    kink = (RADIATION_ANGLE * k / (GEV_PER_MM_TESLA * field)) ** 2 * np.broadcast_to(layer_x0, len(x))
    kink = kink * np.where(is_disc, np.hypot(1, slope) / max(abs(slope), 0.1), np.hypot(1, slope))
    tangent_across = np.sin(phi + alpha - np.arctan2(y, x)) ** 2
    var = (1 - tangent_across) * sigma[:, 0] ** 2 + tangent_across * sigma[:, 2] ** 2
    behind = np.tril(np.ones((len(x), len(x))), -1)  # layer j scatters what reaches hit i
    lever = behind * np.sin(alpha[:, None] - alpha[None, :]) / k
    rows = np.stack([np.cos(alpha), np.sin(alpha) / k, (1 - np.cos(alpha)) / k**2], axis=1)
    # The state is that before the first layer: a kink at layer j moves hits outside of it.
    plane, plane_cov, chi2 = solve(rows, side, np.diag(var) + (lever * kink) @ lever.T)
    z_var = sigma[:, 1] ** 2 + (slope * sigma[:, 2]) ** 2
    lever = behind * (s[:, None] - s[None, :])
    rows = np.stack([np.ones(len(s)), s], axis=1)
    line, line_cov, chi2_z = solve(rows, z, np.diag(z_var) + (1 + slope**2) * (lever * kink) @ lever.T)

    point = point + plane[0] * np.array([-np.sin(phi), np.cos(phi)])
    phi, k = phi + np.arctan(plane[1]), k + plane[2]
    side_0, alpha_0 = locate(point, phi, k, 0.0, 0.0)
    s_0 = alpha_0 / k
    at_axis = np.array([np.cos(alpha_0), np.sin(alpha_0) / k, (1 - np.cos(alpha_0)) / k**2])
    turn = np.array([-k * np.sin(alpha_0), np.cos(alpha_0), np.sin(alpha_0) / k])
    to_q = -1 / (GEV_PER_MM_TESLA * field)
    return {
        "q_over_pt": k * to_q,
        "phi": (phi + alpha_0 + np.pi) % (2 * np.pi) - np.pi,
        "cot_theta": line[1],
        "d0": -side_0,
        "z0": line[0] + line[1] * s_0,
        "sigma_q_over_pt": abs(to_q) * np.sqrt(plane_cov[2, 2]),
        "sigma_phi": np.sqrt(turn @ plane_cov @ turn),
        "sigma_cot_theta": np.sqrt(line_cov[1, 1]),
        "sigma_d0": np.sqrt(at_axis @ plane_cov @ at_axis),
        "sigma_z0": np.sqrt(np.array([1, s_0]) @ line_cov @ np.array([1, s_0])),
        "pt": 1 / abs(k * to_q),
        "eta": np.arcsinh(line[1]),
        "chi2": chi2 + chi2_z,
    }


def solve(rows: Float64, values: Float64, covariance: Float64) -> tuple[Float64, Float64, float]:
    """Generalised least squares: the state, its covariance, chi²."""
    inverse = np.linalg.inv(covariance)
    state_cov = np.linalg.inv(rows.T @ inverse @ rows)
    state = state_cov @ rows.T @ inverse @ values
    rest = values - rows @ state
    return state, state_cov, float(rest @ inverse @ rest)
