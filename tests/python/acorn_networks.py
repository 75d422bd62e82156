"""ACORN's and Exa.TrkX's networks in PyTorch, written from their published structure, and descriptions of them."""

from __future__ import annotations

import torch
from torch import nn


def make_mlp(n_in, sizes, act="ReLU", output=None, norms=(), output_norms=(), affine=False, stats=False, drop=False):
    """Linear, norms, activation, and Dropout where asked for; the last layer has norms only with an activation."""
    parts = [nn.Dropout(0.1)] if drop and len(sizes) > 1 else []
    for i, width in enumerate(sizes):
        last = i + 1 == len(sizes)
        parts.append(nn.Linear(n_in, width))
        n_in = width
        activation = output if last else act
        if activation is None:
            continue
        for norm in output_norms if last else norms:
            if norm == "layer":
                parts.append(nn.LayerNorm(width, elementwise_affine=affine))
            else:
                parts.append(nn.BatchNorm1d(width, eps=6e-05, track_running_stats=stats))
        parts.append(getattr(nn, activation)())
        if drop and not last:
            parts.append(nn.Dropout(0.1))
    return nn.Sequential(*parts)


def made(make, seed):
    """A module of random weights, norms and their statistics included."""
    torch.manual_seed(seed)
    module = make()
    for m in module.modules():
        if isinstance(m, nn.LayerNorm | nn.BatchNorm1d) and m.weight is not None:
            nn.init.uniform_(m.weight, 0.5, 1.5)
            nn.init.normal_(m.bias)
        if isinstance(m, nn.BatchNorm1d) and m.track_running_stats:
            nn.init.uniform_(m.running_mean, -0.5, 0.5)
            nn.init.uniform_(m.running_var, 0.5, 2)
    return module.eval()


def scatter(e, index, n, how="sum"):
    """Rows combined by index, 0 where there are none; a loop, since it stands for what others compute."""
    out = torch.zeros(n, e.shape[1], dtype=e.dtype)
    for i in range(n):
        rows = e[index == i]
        if len(rows):
            out[i] = {"sum": rows.sum(0), "mean": rows.mean(0), "max": rows.amax(0), "min": rows.amin(0)}[how]
    return out


class InteractionGNN(nn.Module):
    def __init__(self, n_features, hidden, iterations, layers=2, aggregation=("sum",), recurrent=(True, True),
                 residual=False, messages="separate", **mlp):  # fmt: skip
        super().__init__()
        self.iterations, self.aggregation, self.recurrent = iterations, aggregation, recurrent
        self.residual, self.messages = residual, messages
        n_in = (1 + (2 if messages == "separate" else 1) * len(aggregation)) * hidden
        sizes = [hidden] * layers
        self.node_encoder = make_mlp(n_features, sizes, **mlp)
        self.edge_encoder = make_mlp(2 * hidden, sizes, **mlp)
        if recurrent[0]:
            self.node_network = make_mlp(n_in, sizes, **mlp)
        else:
            self.node_networks = nn.ModuleList(make_mlp(n_in, sizes, **mlp) for _ in range(iterations))
        if recurrent[1]:
            self.edge_network = make_mlp(3 * hidden, sizes, **mlp)
        else:
            self.edge_networks = nn.ModuleList(make_mlp(3 * hidden, sizes, **mlp) for _ in range(iterations))
        self.output_edge_classifier = make_mlp(3 * hidden, [*sizes, 1], **{**mlp, "output": None})

    def forward(self, x, edge_index):
        start, end = edge_index
        x = self.node_encoder(x)
        e = self.edge_encoder(torch.cat([x[start], x[end]], 1))
        for i in range(self.iterations):
            x_in, e_in, n = x, e, len(x)
            at_end = torch.cat([scatter(e, end, n, how) for how in self.aggregation], 1)
            at_start = torch.cat([scatter(e, start, n, how) for how in self.aggregation], 1)
            parts = {"separate": [at_end, at_start], "sum": [at_end + at_start], "target": [at_end]}[self.messages]
            x = (self.node_network if self.recurrent[0] else self.node_networks[i])(torch.cat([x, *parts], 1))
            x = x + x_in if self.residual else x
            edge_network = self.edge_network if self.recurrent[1] else self.edge_networks[i]
            e = edge_network(torch.cat([x[start], x[end], e], 1))
            e = e + e_in if self.residual else e
        return self.output_edge_classifier(torch.cat([x[start], x[end], e], 1)).squeeze(-1)


class InteractionGNN2(nn.Module):
    def __init__(self, n_features, hidden, iterations, edge_features=0, layers=3, concat=True, in_out_diff_agg=True,
                 recurrent=(False, False), final=None, final_norms=(), **mlp):  # fmt: skip
        super().__init__()
        self.iterations, self.concat, self.in_out_diff_agg = iterations, concat, in_out_diff_agg
        self.recurrent = recurrent
        sizes, state = [hidden] * layers, 2 * hidden if concat else hidden
        node_in = state + (2 if in_out_diff_agg else 1) * hidden

        def several(n, once):
            networks = [make_mlp(n, sizes, **mlp) for _ in range(1 if once else iterations)]
            return networks[0] if once else nn.ModuleList(networks)

        self.node_encoder = make_mlp(n_features, sizes, **mlp)
        self.edge_encoder = make_mlp(edge_features or 2 * hidden, sizes, **mlp)
        self.edge_network = several(3 * state, recurrent[1])
        self.node_network = several(node_in, recurrent[0])
        self.edge_decoder = make_mlp(hidden, sizes, **mlp)
        last = {**mlp, "output": final, "output_norms": final_norms}
        self.edge_output_transform = make_mlp(hidden, [hidden, 1], **last)

    def forward(self, x, edge_index, edge_attr=None):
        src, dst = edge_index
        x = self.node_encoder(x)
        e = self.edge_encoder(torch.cat([x[src], x[dst]], -1) if edge_attr is None else edge_attr)
        x0, e0 = x, e
        for i in range(self.iterations):
            if self.concat:
                x, e = torch.cat([x, x0], -1), torch.cat([e, e0], -1)
            e = (self.edge_network if self.recurrent[1] else self.edge_network[i])(torch.cat([e, x[src], x[dst]], -1))
            from_src, from_dst = scatter(e, dst, len(x)), scatter(e, src, len(x))
            arrived = [from_src, from_dst] if self.in_out_diff_agg else [from_src + from_dst]
            x = (self.node_network if self.recurrent[0] else self.node_network[i])(torch.cat([*arrived, x], -1))
        return self.edge_output_transform(self.edge_decoder(e)).squeeze(-1)


class Inner(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network


class ResAGNN(nn.Module):
    def __init__(self, n_features, hidden, iterations, layers=3, messages="sum", residual=True, **mlp):
        super().__init__()
        self.iterations, self.messages, self.residual = iterations, messages, residual
        width, plain = n_features + hidden, {**mlp, "output": None}
        n_in = (3 if messages == "separate" else 2) * width
        self.input_network = make_mlp(n_features, [hidden] * layers, **mlp)
        self.edge_network = Inner(make_mlp(2 * width, [width] * layers + [1], **plain))
        self.node_network = Inner(make_mlp(n_in, [hidden] * layers, **plain))

    def forward(self, inputs, edge_index):
        start, end = edge_index
        x = torch.cat([self.input_network(inputs), inputs], -1)
        for _ in range(self.iterations):
            e = torch.sigmoid(self.edge_network.network(torch.cat([x[start], x[end]], 1)))
            mi, mo = scatter(e * x[start], end, len(x)), scatter(e * x[end], start, len(x))
            parts = {"sum": [mi + mo], "separate": [mi, mo], "target": [mi]}[self.messages]
            after = torch.cat([self.node_network.network(torch.cat([*parts, x], 1)), inputs], -1)
            x = x + after if self.residual else after
        return self.edge_network.network(torch.cat([x[start], x[end]], 1)).squeeze(-1)
