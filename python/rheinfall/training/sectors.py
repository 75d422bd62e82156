"""A training graph cut into sectors in phi: more and smaller steps learn the same from fewer edges."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rheinfall.training.graph_files import TrainingGraph

_PHI = 1  # column of `Graph.node_features`, in units of π


def split_sectors(graph: TrainingGraph, n_sectors: int) -> Iterator[TrainingGraph]:
    """The part of a graph in each of `n_sectors` equal sectors in phi, from -π on.

    Edges from one sector to another are left out, and so are nodes without an edge, which no edge's score depends on.

    Args:
        graph: its second node feature is phi / π, as in `Graph.node_features`.
        n_sectors: 1 or more.
    """
    turn = graph.node_features[:, _PHI].astype(np.float64) / 2
    sector = np.clip(np.floor((turn + 0.5) * n_sectors), 0, n_sectors - 1)
    source, target = sector[graph.edge_index]
    for number in range(n_sectors):
        kept = (source == number) & (target == number)
        nodes, ends = np.unique(graph.edge_index[:, kept], return_inverse=True)
        yield TrainingGraph(
            graph.node_features[nodes],
            ends.reshape(2, -1).astype(np.int64),
            graph.edge_features[kept],
            graph.label[kept],
            graph.weight[kept],
        )
