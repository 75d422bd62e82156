"""Checks of array arguments: no hidden copies, so a wrong dtype or layout is an error that says what was expected."""

from __future__ import annotations

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


def require_number(name: str, value: Any) -> float:
    """`value` if it is a number, NaN and infinity included."""
    if not isinstance(value, Real):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    return float(value)


def require_integer(name: str, value: Any, least: int) -> int:
    """`value` if it is an integer of at least `least`."""
    if not isinstance(value, Integral):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name}: expected at least {least}, got {value}")
    return int(value)
