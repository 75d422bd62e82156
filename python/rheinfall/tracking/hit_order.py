"""One order of the hits of an event, whatever order they come in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheinfall.event import Hits, Int64


def canonical_hit_order(hits: Hits) -> Int64:
    """Indices int64 (n_hits,) that sort hits by (module_id, z, phi, x, y, index); NaN last, -0 as 0.

    The same as `np.lexsort((y, x, phi, z, module_id))`, in a quarter of the time: module and z go into one integer,
    and only hits that agree in both are compared further.
    """
    by_module = np.argsort(hits.module_id, kind="stable")
    ids = hits.module_id[by_module]
    rank = np.empty(len(ids), np.uint64)
    rank[by_module] = _ranks(ids)
    key = (rank << np.uint64(32)) | _sortable(hits.z)
    order: Int64 = np.argsort(key, kind="stable").astype(np.int64, copy=False)
    return _order_ties(order, key[order], hits)


def _ranks(values: NDArray[Any]) -> NDArray[np.uint64]:
    """0, 1, 2, ... of each distinct value of a sorted array."""
    ranks = np.zeros(len(values), np.uint64)
    np.cumsum(values[1:] != values[:-1], out=ranks[1:])
    return ranks


def _sortable(values: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Integers below 2^32 in the order of the floats."""
    canonical = np.where(np.isnan(values), np.float32(np.nan), values + np.float32(0))
    bits = canonical.view(np.uint32)
    negative = bits >> np.uint32(31) == 1
    ordered = np.where(negative, ~bits, bits | np.uint32(0x80000000))
    return np.asarray(ordered, dtype=np.uint64)


def _order_ties(order: Int64, key: NDArray[np.uint64], hits: Hits) -> Int64:
    """Order hits of equal key, which lie side by side in `order`, by (phi, x, y, index)."""
    same = key[1:] == key[:-1]
    if not same.any():
        return order
    places = np.flatnonzero(np.concatenate([[False], same]) | np.concatenate([same, [False]]))
    tied = order[places]
    x, y = hits.x[tied], hits.y[tied]
    with np.errstate(invalid="ignore"):
        phi = np.arctan2(y, x)
    order[places] = tied[np.lexsort((y, x, phi, key[places]))]
    return order
