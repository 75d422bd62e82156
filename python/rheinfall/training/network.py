"""The interaction network: node and edge states, refined by messages along the edges.

An interaction network (Battaglia et al., arXiv:1612.00222) as used for tracking by Exa.TrkX (arXiv:2103.06995) and
ACORN, with two changes. The first matrix of each edge block is split, W·[x_src, x_dst, e] = W1·x_src + W2·x_dst + W3·e,
so that W1·x and W2·x are computed once per node and nothing of three times the hidden width exists per edge. States
are updated by adding (residual), without layer norms, which cost more than the matrices at this width.
"""

from __future__ import annotations

from typing import Any

import torch

from rheinfall.training.segments import EdgeLists, gather_ends, sum_edges

Parameters = dict[str, Any]


def make_parameters(
    n_node_features: int, n_edge_features: int, hidden: int, iterations: int, seed: int, recurrent: bool = False
) -> Parameters:
    """Initial weights by name; matrices are (inputs, outputs), so that a layer is `x @ w + b`.

    A recurrent network has one block, whatever its iterations.
    """
    generator = torch.Generator().manual_seed(seed)
    parameters: Parameters = {}

    def layer(name: str, n_in: dict[str, int], n_out: int, scale: float = 1.0) -> None:
        fan_in = sum(n_in.values())
        for part, n in n_in.items():
            weights = torch.randn(n, n_out, generator=generator) * (scale * (2.0 / fan_in) ** 0.5)
            parameters[f"{name}.{part}"] = weights.requires_grad_()
        parameters[f"{name}.bias"] = torch.zeros(n_out, requires_grad=True)

    layer("node_encoder.0", {"x": n_node_features}, hidden)
    layer("node_encoder.1", {"x": hidden}, hidden)
    layer("edge_encoder.0", {"x": n_edge_features}, hidden)
    layer("edge_encoder.1", {"x": hidden}, hidden)
    for i in range(1 if recurrent else iterations):
        layer(f"edge.{i}.0", {"source": hidden, "target": hidden, "edge": hidden}, hidden)
        layer(f"edge.{i}.1", {"x": hidden}, hidden, scale=0.5)
        if i + 1 < iterations:
            layer(f"gate.{i}", {"x": hidden}, 1, scale=0.5)
            layer(f"node.{i}.0", {"node": hidden, "incoming": hidden, "outgoing": hidden}, hidden)
            layer(f"node.{i}.1", {"x": hidden}, hidden, scale=0.5)
    layer("decoder.0", {"x": hidden}, hidden)
    layer("decoder.1", {"x": hidden}, 1)
    return parameters


def count_blocks(parameters: Parameters) -> int:
    """Blocks of weights: iterations take them in turn, so all share the one of a recurrent network."""
    return sum(1 for name in parameters if name.startswith("edge.") and name.endswith(".0.bias"))


def edge_logits(p: Parameters, iterations: int, node_features: Any, edge_features: Any, edges: EdgeLists) -> Any:
    """Logit of each edge, (n_edges,), from standardised features."""
    n_blocks = count_blocks(p)
    h = _two_layers(p, "node_encoder", node_features)
    e = _two_layers(p, "edge_encoder", edge_features)
    for i in range(iterations):
        block = i % n_blocks
        name = f"edge.{block}"
        ends = gather_ends(h @ p[f"{name}.0.source"], h @ p[f"{name}.0.target"], edges)
        z = torch.addmm(p[f"{name}.0.bias"], e, p[f"{name}.0.edge"]).add_(ends)
        e = e + torch.addmm(p[f"{name}.1.bias"], z.relu_(), p[f"{name}.1.x"])
        if i + 1 == iterations:
            break
        gate = torch.sigmoid(torch.addmm(p[f"gate.{block}.bias"], e, p[f"gate.{block}.x"]))
        incoming, outgoing = sum_edges(e * gate, edges)
        name = f"node.{block}"
        z = torch.addmm(p[f"{name}.0.bias"], h, p[f"{name}.0.node"])
        z = torch.addmm(torch.addmm(z, incoming, p[f"{name}.0.incoming"]), outgoing, p[f"{name}.0.outgoing"])
        h = h + torch.addmm(p[f"{name}.1.bias"], z.relu_(), p[f"{name}.1.x"])
    return _two_layers(p, "decoder", e).squeeze(1)


def _two_layers(p: Parameters, name: str, x: Any) -> Any:
    z = torch.addmm(p[f"{name}.0.bias"], x, p[f"{name}.0.x"]).relu_()
    return torch.addmm(p[f"{name}.1.bias"], z, p[f"{name}.1.x"])
