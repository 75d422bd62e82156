"""Random message-passing networks in PyTorch, exported to ONNX."""

from __future__ import annotations

import io

import numpy as np
import onnx
import torch
from torch import nn

ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.SiLU, nn.ELU, nn.LeakyReLU, nn.GELU, nn.Softplus, nn.Sigmoid)


class EventNorm(nn.Module):
    """What BatchNorm1d(track_running_stats=False) computes, spelled out: the exporter refuses that one."""

    def __init__(self, width):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(width) + 0.5), nn.Parameter(torch.randn(width))

    def forward(self, x):
        centred = x - x.mean(0, keepdim=True)
        return centred / torch.sqrt(centred.pow(2).mean(0, keepdim=True) + 1e-5) * self.weight + self.bias


def mlp(rng, n_in, hidden, n_out, layers, norm, activations=ACTIVATIONS):
    """Linear layers with a norm ("layer", "batch", "event" or none) and an activation between."""
    activation = activations[rng.integers(len(activations))]
    parts = []
    for k in range(layers):
        last = k + 1 == layers
        width = n_out if last else hidden
        parts.append(nn.Linear(n_in, width))
        n_in = width
        if last:
            break
        if norm == "layer":
            parts.append(nn.LayerNorm(width))
        elif norm == "batch":
            parts.append(nn.BatchNorm1d(width))
        elif norm == "event":
            parts.append(EventNorm(width))
        parts.append(activation())
    return nn.Sequential(*parts)


class Network(nn.Module):
    """An interaction network; what it is made of is drawn at random."""

    def __init__(self, seed, n_node_features=3, n_edge_features=None, activations=ACTIVATIONS, hidden=None):
        super().__init__()
        rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        self.hidden = h = int(rng.choice([8, 12, 16, 31, 64, 67, 128] + ([256] if seed % 10 == 0 else [])))
        self.iterations = int(rng.integers(1, 4))
        if hidden is not None:  # small ones, in which nodes count: what the last iteration does to them is not read
            self.hidden, self.iterations = hidden, max(self.iterations, 2)
            h = hidden
        self.norm = ("layer", "batch", "event", "none")[seed % 4]
        self.aggregation = ("add", "mean", "max")[seed % 3]
        self.recurrent = bool(rng.integers(2))
        self.both_ends = bool(rng.integers(2))
        self.gated = bool(rng.integers(2))
        self.concat = bool(rng.integers(2))
        layers = int(rng.integers(1, 4))
        self.n_edge_features = n_edge_features
        state = 2 * h if self.concat else h
        make = lambda n_in, n_out, n=layers: mlp(rng, n_in, h, n_out, n, self.norm, activations)  # noqa: E731
        self.encode_nodes = make(n_node_features, h, 2)
        self.encode_edges = make(n_edge_features or 2 * h, h, 2)
        count = 1 if self.recurrent else self.iterations
        self.edge_blocks = nn.ModuleList(make(3 * state, h) for _ in range(count))
        self.node_blocks = nn.ModuleList(make(state + h * (2 if self.both_ends else 1), h) for _ in range(count))
        self.gate = nn.Linear(h, 1)
        self.decode = make(h, 1, 2)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d):
                nn.init.uniform_(module.running_mean, -0.5, 0.5)
                nn.init.uniform_(module.running_var, 0.5, 2)

    def aggregate(self, messages, index, n):
        zeros = torch.zeros(n, messages.shape[1], dtype=messages.dtype)
        column = index.unsqueeze(1).expand_as(messages)
        if self.aggregation == "max":
            return zeros.scatter_reduce(0, column, messages, "amax", include_self=True)
        total = zeros.scatter_add(0, column, messages)
        if self.aggregation == "add":
            return total
        count = torch.zeros(n, 1, dtype=messages.dtype)
        count = count.scatter_add(0, index.unsqueeze(1), torch.ones(index.shape[0], 1, dtype=messages.dtype))
        return total / count.clamp(min=1)

    def forward(self, x, edge_index, edge_attr=None):
        source, target = edge_index[0], edge_index[1]
        h = h0 = self.encode_nodes(x)
        start = edge_attr if self.n_edge_features else torch.cat([h[source], h[target]], dim=1)
        e = e0 = self.encode_edges(start)
        for i in range(self.iterations):
            block = 0 if self.recurrent else i
            nodes, edges = (torch.cat([h, h0], 1), torch.cat([e, e0], 1)) if self.concat else (h, e)
            e = self.edge_blocks[block](torch.cat([nodes[source], nodes[target], edges], dim=1)) + e
            message = e * torch.sigmoid(self.gate(e)) if self.gated else e
            parts = [nodes, self.aggregate(message, target, x.shape[0])]
            if self.both_ends:
                parts.append(self.aggregate(message, source, x.shape[0]))
            h = self.node_blocks[block](torch.cat(parts, dim=1)) + h
        return self.decode(e).squeeze(-1)


def export(network, graph, opset, outputs=("out",), dynamo=False):
    """The ONNX model of a network, by the exporter that PyTorch had for years, or by its present default (`dynamo`)."""
    names = ["x", "edge_index"] + (["edge_attr"] if len(graph) > 2 else [])
    sizes = {"x": {0: "n"}, "edge_index": {1: "e"}, "edge_attr": {0: "e"}}
    shared = {"input_names": names, "output_names": list(outputs), "opset_version": opset, "dynamo": dynamo}
    if dynamo:
        named = {name: torch.export.Dim(name) for name in ("n", "e")}
        shapes = tuple({axis: named[name] for axis, name in sizes[i].items()} for i in names)
        return torch.onnx.export(network, graph, **shared, dynamic_shapes=shapes, verbose=False).model_proto
    axes = {**{i: sizes[i] for i in names}, **{o: {0: "e"} for o in outputs}}
    file = io.BytesIO()
    torch.onnx.export(network, graph, file, **shared, dynamic_axes=axes)
    return onnx.load_from_string(file.getvalue())
