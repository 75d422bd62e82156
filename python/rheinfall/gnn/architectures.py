"""Networks of ACORN and of Exa.TrkX from their tensors, as operations of the intermediate form.

Structures: `InteractionGNN` and `InteractionGNN2` of ACORN (gitlab.cern.ch/gnn4itkteam/acorn, Apache-2.0), `ResAGNN` of
Exa.TrkX (github.com/exatrkx/exatrxk-cpp-ctd2022, Apache-2.0).
"""

from __future__ import annotations

import numpy as np

from rheinfall.gnn.ir import Builder, Network
from rheinfall.gnn.mlp_layout import Mlp, Tensors
from rheinfall.gnn.state_dict_description import LAST, Description

_ENDS = ("target", "source")


class _Assembly:
    """One network under construction."""

    def __init__(self, description: Description, tensors: Tensors) -> None:
        self.d = description
        self.tensors = tensors
        self.b = Builder()
        self.x = self.b.input("node", description.node_features)

    def mlp(self, name: str, n_in: int, width: int, i: int = 0) -> Mlp:
        """An MLP of this input, hidden width and output; that with the logits has one output."""
        layout, logits = self.d.mlps[name], LAST[self.d.architecture] == name
        widths = [n_in, *([width] * layout.layers)]
        if logits:
            widths[-1] = 1
        return Mlp(self.tensors, self.d.keys[name].replace("{i}", str(i)), layout, widths, logits)

    def mlps(self, name: str, n_in: int) -> list[Mlp]:
        """The same of each iteration, or one for all."""
        n, h = self.d.n_graph_iters, self.d.hidden
        if self.d.options[f"{name.split('_')[0]}_net_recurrent"]:
            return [self.mlp(name, n_in, h)] * n
        return [self.mlp(name, n_in, h, i) for i in range(n)]

    def ends(self, x: int) -> tuple[int, int]:
        """The values of nodes at the source and at the target of each edge."""
        return self.b.add("gather", x, end="source"), self.b.add("gather", x, end="target")

    def reduce(self, e: int, end: str, how: str) -> int:
        """Values of edges combined at the nodes at this end; 0 where a node has none, as PyTorch's scatters give."""
        if how in ("sum", "mean"):
            return self.b.add("reduce", e, how="add" if how == "sum" else how, end=end)
        largest = float(np.finfo(np.float32).max)
        result = self.b.add("reduce", e, how=how, end=end, initial=-largest if how == "max" else largest)
        has_edges = self.b.add("clip", self.b.add("degree", end=end), low=0.0, high=1.0)
        return self.b.add("mul", result, has_edges)


def build_network(description: Description, tensors: Tensors) -> Network:
    """The network, whose output are logits.

    Raises:
        ValueError: a tensor is missing, of another shape, or left over; names file and key.
    """
    assembly = _Assembly(description, tensors)
    build = {"InteractionGNN": _interaction_gnn, "InteractionGNN2": _interaction_gnn2, "ResAGNN": _res_agnn}
    output = build[description.architecture](assembly)
    tensors.finish(description.ignore)
    return assembly.b.finish(output)


def _messages(a: _Assembly, values: dict[str, int], hows: list[str]) -> list[int]:
    """What arrives at the nodes: from both ends side by side, their sum, or at the target alone."""
    ends = ("target",) if a.d.options["messages"] == "target" else _ENDS
    parts = {end: [a.reduce(values[end], end, how) for how in hows] for end in ends}
    if a.d.options["messages"] != "sum":
        return [p for end in ends for p in parts[end]]
    return [a.b.add("add", *pair) for pair in zip(parts["target"], parts["source"], strict=True)]


def _interaction_gnn(a: _Assembly) -> int:
    d, h, o, b = a.d, a.d.hidden, a.d.options, a.b
    arriving = len(o["aggregation"]) * (2 if o["messages"] == "separate" else 1)
    encode_nodes = a.mlp("node_encoder", d.node_features, h)
    encode_edges = a.mlp("edge_encoder", 2 * h, h)
    node_networks, edge_networks = a.mlps("node_network", (1 + arriving) * h), a.mlps("edge_network", 3 * h)
    classify = a.mlp("output_edge_classifier", 3 * h, h)
    x = encode_nodes(b, a.x)
    e = encode_edges(b, *a.ends(x))
    for node_network, edge_network in zip(node_networks, edge_networks, strict=True):
        before = x, e
        x = node_network(b, x, *_messages(a, {"target": e, "source": e}, o["aggregation"]))
        if o["residual"]:
            x = b.add("add", x, before[0])
        e = edge_network(b, *a.ends(x), e)
        if o["residual"]:
            e = b.add("add", e, before[1])
    return classify(b, *a.ends(x), e)


def _interaction_gnn2(a: _Assembly) -> int:
    d, h, o, b = a.d, a.d.hidden, a.d.options, a.b
    state = 2 * h if o["concat"] else h
    encode_nodes = a.mlp("node_encoder", d.node_features, h)
    encode_edges = a.mlp("edge_encoder", o["edge_features"] or 2 * h, h)
    edge_networks = a.mlps("edge_network", 3 * state)
    node_networks = a.mlps("node_network", state + h * (2 if o["in_out_diff_agg"] else 1))
    decode, transform = a.mlp("edge_decoder", h, h), a.mlp("edge_output_transform", h, h)
    x = x0 = encode_nodes(b, a.x)
    given = (b.input("edge", o["edge_features"]),) if o["edge_features"] else a.ends(x)
    e = e0 = encode_edges(b, *given)
    for node_network, edge_network in zip(node_networks, edge_networks, strict=True):
        if o["concat"]:
            x, e = b.add("concat", x, x0), b.add("concat", e, e0)
        e = edge_network(b, e, *a.ends(x))
        arrived = [a.reduce(e, end, "sum") for end in _ENDS]
        if not o["in_out_diff_agg"]:
            arrived = [b.add("add", *arrived)]
        x = node_network(b, *arrived, x)
    return transform(b, decode(b, e))


def _res_agnn(a: _Assembly) -> int:
    d, h, b = a.d, a.d.hidden, a.b
    width = h + d.node_features
    arriving = 2 if d.options["messages"] == "separate" else 1
    encode = a.mlp("input_network", d.node_features, h)
    edge_network = a.mlp("edge_network", 2 * width, d.options["edge_hidden"] or width)
    node_network = a.mlp("node_network", (1 + arriving) * width, h)
    x = b.add("concat", encode(b, a.x), a.x)
    for _ in range(d.n_graph_iters):
        ends = a.ends(x)
        score = b.add("sigmoid", edge_network(b, *ends))
        values = {"target": b.add("mul", score, ends[0]), "source": b.add("mul", score, ends[1])}
        after = b.add("concat", node_network(b, *_messages(a, values, ["sum"]), x), a.x)
        x = b.add("add", x, after) if d.options["residual"] else after
    return edge_network(b, *a.ends(x))
