"""One order of the edges, whatever order they come in, so that sums do not depend on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def canonical_edge_order(edge_index: NDArray[np.int64], n_nodes: int, edge_features: NDArray[np.float32] | None) -> Any:
    """Indices int64 (n_edges,) that sort edges by (target, source), or None where they are sorted already.

    Edges that occur more than once are ordered by their features.
    """
    key = edge_index[1] * np.int64(n_nodes) + edge_index[0]
    if np.all(key[1:] > key[:-1]):
        return None
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    same = ordered[1:] == ordered[:-1]
    if edge_features is not None and same.any():
        places = np.flatnonzero(np.concatenate([[False], same]) | np.concatenate([same, [False]]))
        tied = order[places]
        columns = [edge_features[tied, i] for i in reversed(range(edge_features.shape[1]))]
        order[places] = tied[np.lexsort((*columns, ordered[places]))]
    return order
