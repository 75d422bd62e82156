"""The float32 arithmetic of graph construction, operation by operation in NumPy; bit-equal to the core's.

The polynomials are those of the Cephes library (S. Moshier, atanf, logf, asinhf). Every intermediate is a float32 and
nothing is fused, so that any machine with IEEE arithmetic gives the same bits; see docs/architecture.md, "Arithmetic".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rheinfall.event import Float32

f = np.float32
PI = f(3.14159274)
TWO_PI = f(6.28318548)
HALF_PI = f(1.57079637)


def float32(values: Any) -> Float32:
    """`values` as a float32 array; constants stay float32 with any NumPy, whose promotion of scalars has changed."""
    return np.asarray(values, np.float32)


def wrap_phi(dphi: Float32) -> Float32:
    """A difference of two angles in (-π, π], wrapped to (-π, π]."""
    return float32(np.where(dphi > PI, dphi - TWO_PI, np.where(dphi <= -PI, dphi + TWO_PI, dphi)))


def arctan_unit(t: Float32) -> Float32:
    """arctan of values in [0, 1]."""
    reduce = t > f(0.414213568)
    u = float32(np.where(reduce, (t - f(1)) / (t + f(1)), t))
    w = u * u
    p = ((f(8.05374449538e-2) * w - f(1.38776856032e-1)) * w + f(1.99777106478e-1)) * w - f(3.33329491539e-1)
    angle = p * w * u + u
    return float32(np.where(reduce, f(0.785398185) + angle, angle))


def arctan2(y: Float32, x: Float32) -> Float32:
    """Angle of the vectors (x, y) in [-π, π]; 0 for the null vector, whatever the signs of its zeros."""
    ax, ay = np.abs(x), np.abs(y)
    larger, smaller = np.maximum(ax, ay), np.minimum(ax, ay)
    angle = arctan_unit(float32(smaller / np.where(larger > 0, larger, f(1))))
    angle = np.where(ay > ax, HALF_PI - angle, angle)
    angle = np.where(x < 0, PI - angle, angle)
    return float32(np.where(larger > 0, np.where(y < 0, -angle, angle), f(0)))


def log_positive(v: Float32) -> Float32:
    """Natural logarithm of normal positive values."""
    bits = v.view(np.uint32)
    exponent = (bits >> np.uint32(23)).astype(np.int32) - np.int32(126)
    m = ((bits & np.uint32(0x007FFFFF)) | np.uint32(0x3F000000)).view(np.float32)
    small = m < f(0.707106781)
    exponent = exponent - small.astype(np.int32)
    m = np.where(small, m + m, m) - f(1)
    w = m * m
    p = np.full_like(m, 7.0376836292e-2)
    for c in (
        -1.1514610310e-1,
        1.1676998740e-1,
        -1.2420140846e-1,
        1.4249322787e-1,
        -1.6668057665e-1,
        2.0000714765e-1,
        -2.4999993993e-1,
        3.3333331174e-1,
    ):
        p = p * m + f(c)
    y = p * m * w
    e = exponent.astype(np.float32)
    y = y + e * f(-2.12194440e-4)
    y = y - f(0.5) * w
    return float32(m + y + e * f(0.693359375))


def arcsinh(t: Float32) -> Float32:
    """Inverse hyperbolic sine of |t| < 1e18."""
    a = np.abs(t)
    near_zero = np.minimum(a, f(0.5))
    w = near_zero * near_zero
    p = ((f(2.0122003309e-2) * w - f(4.2699340972e-2)) * w + f(7.4847586088e-2)) * w - f(1.6666288134e-1)
    near = p * w * near_zero + near_zero
    far = log_positive(np.maximum(a, f(1))) + f(0.693147182)
    between = log_positive(a + np.sqrt(np.where(a > f(1500), f(1), a) ** 2 + f(1)))
    y = np.where(a < f(0.5), near, np.where(a > f(1500), far, between))
    return float32(np.where(t < 0, -y, y))
