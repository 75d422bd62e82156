"""Clopper-Pearson intervals of binomial fractions, with NumPy alone.

The bounds are quantiles of beta distributions (Clopper and Pearson, Biometrika 26 (1934) 404). The regularised
incomplete beta function is evaluated by its continued fraction with Lentz's method (Numerical Recipes, section 6.4)
and inverted by Newton's method inside a bracket, all elements at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rheinfall.event import Bool, Float64
from rheinfall.tracking.arguments import require_number

ONE_SIGMA = 0.6826894921370859
"""Probability content of one standard deviation on either side."""

_TINY = 1e-300
_lgamma = np.vectorize(math.lgamma, otypes=[np.float64])  # NumPy has none


def clopper_pearson(passed: Any, total: Any, level: float = ONE_SIGMA) -> tuple[Float64, Float64]:
    """Central Clopper-Pearson interval of passed / total.

    Args:
        passed, total: integers or arrays of them of one shape, 0 <= passed <= total.
        level: probability content, in (0, 1).

    Returns:
        Lower and upper bound, float64 in the shape of the input; [0, 1] where total is 0.

    Raises:
        TypeError: passed or total that are no integers, or a level that is no number.
        ValueError: passed outside [0, total], different shapes, or level outside (0, 1).
    """
    k, n = _counts("passed", passed), _counts("total", total)
    if k.shape != n.shape and k.ndim and n.ndim:
        raise ValueError(f"passed: expected the shape of total, {n.shape}, got {k.shape}")
    k, n = np.broadcast_arrays(k, n)
    if not 0.0 < require_number("level", level) < 1.0:
        raise ValueError(f"level: expected a probability between 0 and 1, got {level}")
    if np.any((k < 0) | (k > n)):
        raise ValueError("passed: expected 0 <= passed <= total")
    tail = 0.5 * (1.0 - level)
    low, high = np.zeros(k.shape), np.ones(k.shape)
    some, not_all = k > 0, k < n
    low[some] = beta_quantile(tail, k[some], n[some] - k[some] + 1.0)
    high[not_all] = beta_quantile(1.0 - tail, k[not_all] + 1.0, n[not_all] - k[not_all])
    return low, high


def _counts(name: str, values: Any) -> Float64:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        got = f"{array.dtype} {array.shape}" if array.ndim else repr(values)
        raise TypeError(f"{name}: expected integers, got {got}")
    return array.astype(np.float64)


def rate_intervals(counts: Mapping[str, tuple[int, int]]) -> dict[str, tuple[float, float]]:
    """Clopper-Pearson interval (68.3 %) of each rate, given as (passed, total) by its name."""
    pairs = np.array(list(counts.values()))
    low, high = clopper_pearson(pairs[:, 0], pairs[:, 1])
    return {name: (float(a), float(b)) for name, a, b in zip(counts, low, high, strict=True)}


def beta_quantile(probability: float, a: Float64, b: Float64) -> Float64:
    """The x with I_x(a, b) = probability, to 1e-12 absolutely; a and b positive, 1-D, of one length.

    Newton's method, with a bisection wherever a step would leave the bracket or the density vanishes.
    """
    low, high = np.zeros(np.shape(a)), np.ones(np.shape(a))
    x: Float64 = np.asarray(a / (a + b), np.float64)
    active = np.arange(x.size)
    for _ in range(100):
        at, p, q = x[active], a[active], b[active]
        value, density = incomplete_beta(at, p, q), _beta_density(at, p, q)
        low[active] = np.where(value < probability, at, low[active])
        high[active] = np.where(value < probability, high[active], at)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            step = at - (value - probability) / density
        inside = (step > low[active]) & (step < high[active])  # False for NaN
        x[active] = np.where(inside, step, 0.5 * (low[active] + high[active]))
        active = active[np.abs(x[active] - at) > 1e-13]
        if not len(active):
            break
    return x


def _beta_density(x: Float64, a: Float64, b: Float64) -> Float64:
    log_density = _lgamma(a + b) - _lgamma(a) - _lgamma(b) + (a - 1.0) * np.log(x) + (b - 1.0) * np.log1p(-x)
    return np.asarray(np.exp(log_density), np.float64)


def incomplete_beta(x: Float64, a: Float64, b: Float64) -> Float64:
    """Regularised incomplete beta function I_x(a, b) for 0 < x < 1, float64."""
    front = _beta_density(x, a, b) * x * (1.0 - x)
    # The continued fraction converges fast on this side of the mean only; the other follows by symmetry.
    direct = x < (a + 1.0) / (a + b + 2.0)
    p, q = np.where(direct, a, b), np.where(direct, b, a)
    y = np.where(direct, x, 1.0 - x)
    value = front * _continued_fraction(y, p, q) / p
    return np.asarray(np.where(direct, value, 1.0 - value), np.float64)


def _continued_fraction(x: Float64, a: Float64, b: Float64) -> Float64:
    c: Float64 = np.ones(np.shape(x))
    d = 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    h: Float64 = np.array(d)
    # O(sqrt(max(a, b))) terms are needed; the limit is never met by counts that fit in memory.
    limit = 200 + int(20 * math.sqrt(float(np.max(a + b, initial=1.0))))
    for m in range(1, limit):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        d = 1.0 / _away_from_zero(1.0 + even * d)
        c = _away_from_zero(1.0 + even / c)
        h *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        d = 1.0 / _away_from_zero(1.0 + odd * d)
        c = _away_from_zero(1.0 + odd / c)
        step = d * c
        h *= step
        if np.all(np.abs(step - 1.0) < 1e-15):
            break
    return h


def _away_from_zero(value: Float64) -> Float64:
    small: Bool = np.abs(value) < _TINY
    return np.asarray(np.where(small, _TINY, value), np.float64)
