"""Fractions with their intervals, plain and in bins of a variable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rheinfall.event import Bool, Float64, Int64
from rheinfall.metrics.intervals import ONE_SIGMA, clopper_pearson


@dataclass
class BinnedEfficiency:
    """An efficiency in bins of a variable.

    Attributes:
        variable: what is binned.
        edges: float64 (n_bins + 1,); bins are half open, [low, high), the last includes its upper edge.
        n_passed, n_total: int64 (n_bins,).
        low, high: float64 (n_bins,), Clopper-Pearson interval.
        n_outside: entries of the denominator in no bin.
        level: probability content of the intervals.
    """

    variable: str
    edges: Float64
    n_passed: Int64
    n_total: Int64
    low: Float64
    high: Float64
    n_outside: int
    level: float = ONE_SIGMA

    @property
    def efficiency(self) -> Float64:
        """n_passed / n_total, float64 (n_bins,); NaN where a bin is empty."""
        out: Float64 = np.full(len(self.n_total), np.nan)
        np.divide(self.n_passed, self.n_total, out=out, where=self.n_total > 0)
        return out

    @property
    def centers(self) -> Float64:
        """Middle of each bin, float64 (n_bins,)."""
        return np.asarray(0.5 * (self.edges[1:] + self.edges[:-1]), np.float64)


def bin_efficiency(
    variable: str, values: Float64, passed: Bool, edges: Any, level: float = ONE_SIGMA
) -> BinnedEfficiency:
    """Bin the fraction of `passed` among all `values`.

    Raises:
        TypeError: edges that are no real numbers.
        ValueError: edges that do not increase, or fewer than two.
    """
    borders = real_numbers("edges", edges)
    if borders.ndim != 1 or len(borders) < 2 or not np.all(np.diff(borders) > 0):
        raise ValueError(f"edges: expected at least two increasing numbers, got {edges!r}")
    n_total = np.histogram(values, borders)[0].astype(np.int64)
    n_passed = np.histogram(values[passed], borders)[0].astype(np.int64)
    low, high = clopper_pearson(n_passed, n_total, level)
    n_outside = len(values) - int(n_total.sum())
    return BinnedEfficiency(variable, borders, n_passed, n_total, low, high, n_outside, level)


def real_numbers(name: str, values: Any) -> Float64:
    """`values` in float64; refuses text, complex numbers and objects, which a cast would accept or break on."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise TypeError(f"{name}: expected real numbers, got lists of different lengths") from None
    if array.dtype.kind not in "fiu":
        raise TypeError(
            f"{name}: expected real numbers, got {values!r}"
            if array.ndim == 0
            else f"{name}: expected real numbers, got {array.dtype} {array.shape}"
        )
    return array.astype(np.float64)


def fraction(passed: int, total: int) -> float:
    """Quotient of two counts; NaN for total 0."""
    return passed / total if total else float("nan")


def table(rows: list[tuple[str, int, int, float, float]]) -> str:
    """Lines "name  value  [low, high]  passed / total" for people."""
    width = max(len(name) for name, *_ in rows)
    return "\n".join(
        f"{name:<{width}}  {fraction(passed, total):8.4f}  [{low:.4f}, {high:.4f}]  {passed} / {total}"
        for name, passed, total, low, high in rows
    )
