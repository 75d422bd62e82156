"""Sums over the edges of each node, and their gradients, as torch operations.

`index_add_` and its like cost four times an `embedding_bag` over edges sorted by node, which adds rows in a fixed
order; and autograd would turn each gather's gradient into an `index_add_`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import embedding_bag


class EdgeLists:
    """The ends of each edge, and for each node the edges that leave and enter it.

    Args:
        edge_index: int64 array (2, n_edges).
        n_nodes: number of nodes.
    """

    def __init__(self, edge_index: Any, n_nodes: int) -> None:
        self.n_nodes = n_nodes
        self.source = torch.as_tensor(edge_index[0]).contiguous()
        self.target = torch.as_tensor(edge_index[1]).contiguous()
        self.outgoing = _edges_of(self.source, n_nodes)
        self.incoming = _edges_of(self.target, n_nodes)


def _edges_of(node: Any, n_nodes: int) -> tuple[Any, Any]:
    """Edges sorted by node, and where those of each node begin; (n_edges,) and (n_nodes + 1,)."""
    offsets = torch.zeros(n_nodes + 1, dtype=torch.int32)
    torch.cumsum(torch.bincount(node, minlength=n_nodes), 0, out=offsets[1:])
    return torch.argsort(node, stable=True).to(torch.int32), offsets


def _sum_rows(rows: Any, lists: tuple[Any, Any]) -> Any:
    return embedding_bag(lists[0], rows, lists[1], mode="sum", include_last_offset=True)


class _AtEdges(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, at_source: Any, at_target: Any, edges: EdgeLists) -> Any:
        ctx.edges = edges
        return at_source.index_select(0, edges.source).add_(at_target.index_select(0, edges.target))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        grad = grad.contiguous()
        return _sum_rows(grad, ctx.edges.outgoing), _sum_rows(grad, ctx.edges.incoming), None


class _AtNodes(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, rows: Any, edges: EdgeLists) -> Any:
        ctx.edges = edges
        rows = rows.contiguous()
        return _sum_rows(rows, edges.incoming), _sum_rows(rows, edges.outgoing)

    @staticmethod
    def backward(ctx: Any, incoming: Any, outgoing: Any) -> Any:
        grad = incoming.index_select(0, ctx.edges.target)
        return grad.add_(outgoing.index_select(0, ctx.edges.source)), None


def gather_ends(at_source: Any, at_target: Any, edges: EdgeLists) -> Any:
    """For each edge `at_source[source] + at_target[target]`; (n_nodes, w) twice to (n_edges, w)."""
    return _AtEdges.apply(at_source, at_target, edges)


def sum_edges(rows: Any, edges: EdgeLists) -> tuple[Any, Any]:
    """For each node the sums of `rows` over edges that enter and that leave it; (n_edges, w) to (n_nodes, w) twice."""
    incoming, outgoing = _AtNodes.apply(rows, edges)
    return incoming, outgoing
