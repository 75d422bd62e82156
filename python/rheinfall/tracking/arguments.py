"""Checks of array arguments: no hidden copies, so a wrong dtype or layout is an error that says what was expected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from rheinfall.event import Float32, Int64


def describe(value: Any) -> str:
    """Dtype and shape of an array, the type of anything else."""
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def require_array(name: str, value: Any, dtype: Any, ndim: int) -> Any:
    """`value` if it is a C-contiguous NumPy array of that dtype and number of dimensions."""
    expected = f"a C-contiguous {ndim}-D {np.dtype(dtype)} NumPy array"
    if not isinstance(value, np.ndarray) or value.dtype != np.dtype(dtype):
        raise TypeError(f"{name}: expected {expected}, got {describe(value)}")
    if value.ndim != ndim:
        raise ValueError(f"{name}: expected {expected}, got shape {value.shape}")
    if not value.flags.c_contiguous:
        raise ValueError(f"{name}: expected {expected}, got strides {value.strides} (np.ascontiguousarray makes one)")
    return value


def require_edge_index(value: Any) -> Int64:
    """`value` if it is an edge_index: int64, C-contiguous, shape (2, n_edges)."""
    edge_index: Int64 = require_array("edge_index", value, np.int64, 2)
    if edge_index.shape[0] != 2:
        raise ValueError(f"edge_index: expected shape (2, n_edges), got {edge_index.shape}")
    return edge_index


def require_scores(value: Any, n_edges: int) -> Float32:
    """`value` if it holds one float32 score per edge."""
    scores: Float32 = require_array("scores", value, np.float32, 1)
    if len(scores) != n_edges:
        raise ValueError(f"scores: expected {n_edges} values, one per edge, got {len(scores)}")
    return scores


def require_no_logits(scores: Float32) -> None:
    """Refuses numbers outside [0, 1]; NaN and infinities are left to the status."""
    outside = np.flatnonzero(np.isfinite(scores) & ((scores < 0) | (scores > 1)))
    if len(outside):
        edge = outside[0]
        raise ValueError(
            f"scores: that of edge {edge} is {scores[edge]!s}, expected 0 <= score <= 1, as a sigmoid makes of logits"
        )


MAX_HITS = 2**32 - 2
"""Indices of hits take 32 bits in the core, and one of them stands for none."""


def require_number(name: str, value: Any) -> float:
    """`value` if it is a number that float32 can hold, NaN and infinity included."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    largest = float(np.finfo(np.float32).max)
    try:
        number = float(value)
    except OverflowError:
        number = math.nan
    if largest < abs(number) < math.inf or (math.isnan(number) and value == value):
        raise ValueError(f"{name}: expected a number from {-largest:.9g} to {largest:.9g} or infinity, got {value}")
    return number


def require_integer(name: str, value: Any, least: int, most: int = 2**63 - 1) -> int:
    """`value` if it is an integer from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    number = int(value)
    if number < least:
        raise ValueError(f"{name}: expected at least {least}, got {number}")
    if number > most:
        raise ValueError(f"{name}: expected at most {most}, got {number}")
    return number


def require_bool(name: str, value: Any) -> bool:
    """`value` if it is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def require_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """`value` if it is one of `choices`."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected one of {', '.join(choices)}; got {value!r}")
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}; got {value!r}")
    return value
