"""Small PyTorch networks of one activation, or of one way to write a sum over edges, each."""

from __future__ import annotations

import torch
from torch import nn

from gnn_networks import ACTIVATIONS

MORE_ACTIVATIONS = (
    *ACTIVATIONS,
    *(nn.SELU, lambda: nn.CELU(0.7), lambda: nn.PReLU(init=0.3), nn.Hardswish, nn.Hardsigmoid, nn.Mish, nn.Softsign),
    *(lambda: nn.Softmax(-1), lambda: nn.GELU("tanh"), nn.LogSigmoid, lambda: nn.Softshrink(0.3), nn.ReLU6),
)


def varied_prelu():
    layer = nn.PReLU(4)
    layer.weight.data = torch.tensor([0.25, -0.5, 1.5, 0.0])
    return layer


ONE_ACTIVATION = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "elu": lambda: nn.ELU(0.7),
    "leaky_relu": lambda: nn.LeakyReLU(0.1),
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU("tanh"),
    "softplus": nn.Softplus,
    "softplus_early": lambda: nn.Softplus(2.0, 1.5),  # its own kink is larger than any rounding
    "sigmoid": nn.Sigmoid,
    "selu": nn.SELU,
    "celu": lambda: nn.CELU(0.7),
    "prelu": lambda: nn.PReLU(init=0.3),
    "prelu_by_column": varied_prelu,
    "hard_sigmoid": nn.Hardsigmoid,
    "hard_swish": nn.Hardswish,
    "mish": nn.Mish,
    "softsign": nn.Softsign,
    "relu6": nn.ReLU6,
    "hard_tanh": lambda: nn.Hardtanh(-0.5, 0.7),
    "log_sigmoid": nn.LogSigmoid,
    "tanh_shrink": nn.Tanhshrink,
    "soft_shrink": lambda: nn.Softshrink(0.3),
    "hard_shrink": lambda: nn.Hardshrink(0.3),
    "threshold": lambda: nn.Threshold(0.2, 0.05),
    "softmax": lambda: nn.Softmax(-1),
    "log_softmax": lambda: nn.LogSoftmax(1),
    "softmin": lambda: nn.Softmin(1),
    "glu": lambda: nn.GLU(-1),
}


class OneActivation(nn.Module):
    """A linear layer, an activation, the sum of both ends, and a linear layer."""

    def __init__(self, name):
        super().__init__()
        self.first, self.activation = nn.Linear(3, 4), ONE_ACTIVATION[name]()
        nn.init.uniform_(self.first.weight, -3, 3)
        self.last = nn.Linear(2 if name == "glu" else 4, 1)

    def forward(self, x, edge_index):
        h = self.activation(self.first(x))
        return self.last(h[edge_index[0]] + h[edge_index[1]]).squeeze(-1)


def zeros(x, m):
    return torch.zeros(x.shape[0], m.shape[1], dtype=m.dtype)


def columns(index, m):
    return index.unsqueeze(1).expand_as(m)


def reduced(how, include_self):
    return lambda x, e, m: zeros(x, m).scatter_reduce(0, columns(e[1], m), m, how, include_self=include_self)


def mean(x, e, m):
    ones = torch.ones(e.shape[1], dtype=m.dtype)
    degree = torch.zeros(x.shape[0], dtype=m.dtype).index_add(0, e[1], ones)
    return zeros(x, m).index_add(0, e[1], m) / degree.clamp(min=1).unsqueeze(1)


def attention(x, e, m):
    """A softmax over the edges that enter a node."""
    start = torch.full((x.shape[0],), -1e30, dtype=m.dtype)
    largest = start.scatter_reduce(0, e[1], m[:, 0], "amax")
    weight = (m[:, 0] - largest[e[1]]).exp()
    total = torch.zeros(x.shape[0], dtype=m.dtype).index_add(0, e[1], weight)
    return zeros(x, m).index_add(0, e[1], m * (weight / total[e[1]]).unsqueeze(1))


def graph_attention(x, e, m):
    """The same with two heads, each of two columns and with weights of its own."""
    m = m.view(-1, 2, 2)
    score = nn.functional.leaky_relu(m, 0.2).sum(-1)
    start = torch.full((x.shape[0], 2), -1e30, dtype=m.dtype)
    largest = start.scatter_reduce(0, e[1].unsqueeze(1).expand_as(score), score, "amax")
    weight = (score - largest[e[1]]).exp()
    total = torch.zeros(x.shape[0], 2, dtype=m.dtype).index_add(0, e[1], weight)
    weight = weight / total[e[1]]
    return torch.zeros(x.shape[0], 2, 2, dtype=m.dtype).index_add(0, e[1], m * weight.unsqueeze(-1)).flatten(1)


def unpacked(x, e, m):
    source, target = e
    return x.new_zeros(x.size(0), m.size(1)).index_add(0, target, m * x[source, :][:, 1:2])


def transposed(x, e, m):
    source, target = e.t()[:, 0], e.t()[:, 1]
    return zeros(x, m).scatter_add(0, columns(target, m), m * x[source].norm(dim=1, keepdim=True))


# What a node gets of its edges' messages m, of which it is the end e[1]; and what becomes of it in a file.
ONE_SUM = {
    "index_add": lambda x, e, m: zeros(x, m).index_add(0, e[1], m),
    "index_add_in_place": lambda x, e, m: zeros(x, m).index_add_(0, e[1], m),
    "scatter_add": lambda x, e, m: zeros(x, m).scatter_add(0, columns(e[1], m), m),
    "scatter_add_repeated": lambda x, e, m: zeros(x, m).scatter_add(0, e[1].view(-1, 1).repeat(1, m.shape[1]), m),
    "scatter_reduce_sum": reduced("sum", True),
    "scatter_reduce_amax": reduced("amax", True),
    "scatter_reduce_amin": reduced("amin", True),
    "scatter_reduce_amax_alone": reduced("amax", False),
    "scatter_reduce_amin_alone": reduced("amin", False),
    "index_put": lambda x, e, m: zeros(x, m).index_put((e[1],), m, accumulate=True),
    "index_select": lambda x, e, m: zeros(x, m).index_add(0, e[1], m * torch.index_select(x, 0, e[0])[:, :1]),
    "gather": lambda x, e, m: zeros(x, m).index_add(
        0, e[1], m * torch.gather(x, 0, e[0].unsqueeze(1).expand(-1, 2))[:, 1:]
    ),
    "unpacked": unpacked,
    "transposed": transposed,
    "mean": mean,
    "attention": attention,
    "graph_attention": graph_attention,
    "scatter_reduce_mean": reduced("mean", False),
    "overwriting_scatter": lambda x, e, m: zeros(x, m).scatter(0, columns(e[1], m), m),
    "overwriting_index_put": lambda x, e, m: zeros(x, m).index_put((e[1],), m),
}


class OneSum(nn.Module):
    """Messages of a linear layer, their sum by one of the functions above, and a linear layer."""

    def __init__(self, name):
        super().__init__()
        self.first, self.last, self.make = nn.Linear(6, 4), nn.Linear(4, 1), ONE_SUM[name]

    def forward(self, x, edge_index):
        m = self.first(torch.cat([x[edge_index[0]], x[edge_index[1]]], 1))
        h = self.make(x, edge_index, m)
        return self.last(h[edge_index[0]] + h[edge_index[1]]).squeeze(-1)


class MeanOfEvent(nn.Module):
    """What an event has, beside each of its rows."""

    def forward(self, h):
        return h - h.mean(0) + h.sum(0).unsqueeze(0) * 0.01


ONE_NORM = {
    "layer": lambda: nn.LayerNorm(6),
    "layer_without_weights": lambda: nn.LayerNorm(6, elementwise_affine=False),
    "batch": lambda: nn.BatchNorm1d(6),
    "batch_of_event": lambda: nn.BatchNorm1d(6, track_running_stats=False),
    "batch_of_event_without_weights": lambda: nn.BatchNorm1d(6, track_running_stats=False, affine=False),
    "rms": lambda: nn.RMSNorm(6),
    "group": lambda: nn.GroupNorm(2, 6),
    "mean_of_event": MeanOfEvent,
}


class OneNorm(nn.Module):
    """A linear layer, a norm, the product of both ends, and a linear layer."""

    def __init__(self, name):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(3, 6), ONE_NORM[name](), nn.Linear(6, 1)

    def forward(self, x, edge_index):
        h = torch.relu(self.norm(self.first(x)))
        return self.last(h[edge_index[0]] * h[edge_index[1]]).squeeze(-1)


def heads(m):
    return m.reshape(-1, 2, 3)


def multi_head(e, a, b):
    """Weights of two heads each, as in graph attention with two vectors of weights."""
    score = (nn.functional.leaky_relu(heads(e[:, :6]), 0.2) * torch.tensor([[0.5, -1, 0.3], [1, 0.2, -0.7]]).to(e)).sum(
        -1
    )
    return (heads(a) * torch.sigmoid(score).unsqueeze(-1)).sum(1)


# What is made of an edge's 12 values e, of which a are the first six and b the others.
ONE_SHAPE = {
    "hstack": lambda e, a, b: torch.hstack([b, a, e[:, 2:3]]),
    "stack_mean": lambda e, a, b: torch.stack([a, b]).mean(0),
    "stack_sum_last": lambda e, a, b: torch.stack([a, b], -1).sum(-1),
    "stack_max": lambda e, a, b: torch.stack([a, b]).amax(0),
    "stack_flatten": lambda e, a, b: torch.stack([a, b], 1).flatten(1),
    "stack_flatten_last": lambda e, a, b: torch.stack([a, b], 2).flatten(1),
    "stack_softmax": lambda e, a, b: (torch.softmax(torch.stack([a, b], 1), 1) * torch.stack([b, a], 1)).sum(1),
    "heads_sum": lambda e, a, b: heads(a).sum(1),
    "heads_mean_last": lambda e, a, b: heads(a).mean(-1),
    "heads_max_last": lambda e, a, b: heads(a).amax(2),
    "heads_min": lambda e, a, b: heads(a).amin(1),
    "heads_norm": lambda e, a, b: heads(a).norm(dim=-1),
    "heads_transposed": lambda e, a, b: heads(a).transpose(1, 2).reshape(-1, 6),
    "heads_one": lambda e, a, b: heads(a)[:, 1] - heads(b)[:, 0, :],
    "heads_part": lambda e, a, b: heads(a)[:, :, 1:].reshape(-1, 4) + heads(b)[:, :, :2].flatten(1),
    "heads_joined": lambda e, a, b: torch.cat([heads(a), heads(b)], 2).reshape(-1, 12),
    "heads_linear": lambda e, a, b: (heads(a) @ torch.tensor([[1, 0.5], [-1, 2], [0.25, 0.1]]).to(e)).flatten(1),
    "heads_dot": lambda e, a, b: (heads(a) * heads(b)).sum(-1),
    "heads_layer_norm": lambda e, a, b: nn.functional.layer_norm(heads(a), (3,)).reshape(-1, 6),
    "multi_head": multi_head,
    "permuted": lambda e, a, b: e[:, [3, 1, 0, 3]],
    "flipped": lambda e, a, b: a.flip(1),
    "index_select": lambda e, a, b: torch.index_select(a, 1, torch.tensor([5, 0, 2])),
    "minimum": lambda e, a, b: a.amin(1, keepdim=True) + b.amin(-1).unsqueeze(1),
    "logsumexp": lambda e, a, b: torch.logsumexp(a, 1, keepdim=True) - torch.logsumexp(b, 1).unsqueeze(-1),
    "mean_of_all": lambda e, a, b: a - a.mean() + b.sum() * 0.001,
    "powers": lambda e, a, b: (
        a**4 - a**3 + 0.1 * b**5 + (b.abs() + 0.5) ** 1.5 + (a * a + 1) ** -2 + (b * b + 1) ** -0.5
    ),
    "unbind": lambda e, a, b: sum(heads(a).unbind(1)) + sum(x.square() for x in e.split([3, 3, 6], 1)[:2]),
    "outer": lambda e, a, b: (a[:, :2].unsqueeze(2) * b[:, :3].unsqueeze(1)).flatten(1),
}


class OneShape(nn.Module):
    """A linear layer of both ends, one of the functions above, and a linear layer."""

    def __init__(self, name):
        super().__init__()
        self.first, self.make = nn.Linear(6, 12), ONE_SHAPE[name]
        e = torch.zeros(2, 12)
        self.last = nn.Linear(self.make(e, e[:, :6], e[:, 6:]).shape[1], 1)

    def forward(self, x, edge_index):
        e = self.first(torch.cat([x[edge_index[0]], x[edge_index[1]]], 1))
        return self.last(torch.tanh(self.make(e, e[:, :6], e[:, 6:]))).squeeze(-1)


def summed(h, target, m):
    return zeros(h, m).scatter_add(0, columns(target, m), m)


def largest(h, target, m):
    return zeros(h, m).scatter_reduce(0, columns(target, m), m, "amax")


def halves(n, logits):
    return (logits[:n] + logits[n:]) / 2


# How edges are written twice, what nodes get of their messages, and what becomes of two logits for each edge.
REVERSED = {
    "flip": lambda e: torch.cat([e, e.flip(0)], 1),
    "stack": lambda e: torch.cat([e, torch.stack([e[1], e[0]])], 1),
    "index": lambda e: torch.cat([e[[1, 0]], e], 1),
    "ends": lambda e: torch.stack([torch.cat([e[0], e[1]]), torch.cat([e[1], e[0]])]),
}
ONE_UNDIRECTED = {
    "flip": ("flip", summed, halves),
    "stack": ("stack", largest, lambda n, logits: logits[:n]),
    "index": ("index", summed, lambda n, logits: logits[n:] - 0.5 * logits[:n]),
    "ends": ("ends", summed, lambda n, logits: logits.view(2, -1).mean(0)),
    "mean": (
        "flip",
        lambda h, t, m: summed(h, t, m) / summed(h, t, torch.ones_like(m[:, :1])).clamp(min=1),
        lambda n, logits: torch.maximum(logits[:n], logits[n:]),
    ),
    "heads": ("flip", lambda h, t, m: summed(h, t, (heads(m).softmax(1) * heads(m)).flatten(1)), halves),
    "centred": ("flip", lambda h, t, m: summed(h, t, m - m.mean(0) + 0.01 * m.sum(0, keepdim=True)), halves),
}


class OneUndirected(nn.Module):
    """Messages both ways, with a value of the edge that changes its sign with the direction."""

    def __init__(self, name):
        super().__init__()
        self.reversed, self.gather, self.join = ONE_UNDIRECTED[name]
        self.reversed = REVERSED[self.reversed]
        self.nodes, self.messages, self.last = nn.Linear(3, 6), nn.Linear(13, 6), nn.Linear(12, 1)

    def forward(self, x, edge_index):
        source, target = self.reversed(edge_index)
        h, step = torch.tanh(self.nodes(x)), x[edge_index[1]][:, :1] - x[edge_index[0]][:, :1]
        step = torch.cat([step, -step])
        m = torch.tanh(self.messages(torch.cat([h[source], h[target], step], 1)))
        h = h + self.gather(h, target, m)
        logits = self.last(torch.cat([h[source] * h[target], m], 1)).squeeze(-1)
        return self.join(edge_index.shape[1], logits)


class All(nn.Module):
    """Several networks with an output each, since one export takes seconds."""

    def __init__(self, networks):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x, edge_index):
        return tuple(network(x, edge_index) for network in self.networks)
