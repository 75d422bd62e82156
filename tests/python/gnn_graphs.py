"""Random small graphs; random small networks in the intermediate form, of every operation but with tame numbers."""

from __future__ import annotations

import numpy as np

from rheinfall.gnn.ir import Builder

SMOOTH = ("relu", "sigmoid", "tanh", "softplus", "abs", "erf", "leaky_relu", "elu", "clip")
ATTRIBUTES = {"leaky_relu": {"alpha": 0.2}, "elu": {"alpha": 0.7}, "clip": {"low": -0.5, "high": 0.75}}
LARGEST = 4.0  # values beyond are squashed, so that float32 stays near float64 through any chain


def small_graph(seed, edge_features):
    """40 nodes, 120 edges (and 4 features of them); some nodes have no edges, some pairs several."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40, 3)).astype(np.float32)
    edges = rng.integers(0, 35, (2, 120))
    return (x, edges, *([rng.normal(size=(120, 4)).astype(np.float32)] if edge_features else []))


class Maker:
    """Draws operations on what there is already; `bounds` holds the largest number each value may have."""

    def __init__(self, seed, node_features, edge_features):
        self.rng = np.random.default_rng(seed)
        self.b = Builder()
        self.values = [self.b.input("node", node_features), self.b.input("edge", edge_features)]
        self.bounds = dict.fromkeys(self.values, 4.0)

    def any_of(self, items):
        return items[self.rng.integers(len(items))]

    def keep(self, value, bound):
        self.bounds.setdefault(value, bound)
        if bound > LARGEST:
            value = self.b.add("tanh", value)
            self.bounds[value] = 1.0
        self.values.append(value)
        return value

    def pick(self, kinds=("node", "edge", "event"), width=None):
        """One of the latest values that fit, or None."""
        fits = [v for v in self.values if self.b[v].kind in kinds and width in (None, self.b[v].width)]
        return self.any_of(fits[-6:]) if fits else None

    def tensor(self, *shape):
        return self.rng.uniform(-1, 1, shape).astype(np.float32)

    def slice(self, x, width=None):
        n = self.b[x].width
        width = width or int(self.rng.integers(1, n + 1))
        start = int(self.rng.integers(0, n - width + 1))
        return self.keep(self.b.add("slice", x, start=start, stop=start + width), self.bounds[x])

    def partner(self, x):
        """What meets `x` in a binary operation: itself, one of its own columns, one of another value, or an equal."""
        o = self.b[x]
        kinds = {"event": ("event",)}.get(o.kind, (o.kind, "event"))
        choice = self.rng.integers(5)
        if choice == 0:
            return x
        if choice <= 2:
            return self.slice(x, 1)
        other = self.pick(kinds, o.width if choice == 3 else None)
        if other is None:
            return self.slice(x, 1)
        return other if 1 in (self.b[other].width, o.width) or choice == 3 else self.slice(other, 1)

    def binary(self, x):
        y = self.partner(x)
        op = self.any_of(("add", "sub", "mul", "div", "min", "max"))
        if self.rng.integers(2) and op != "div":
            x, y = y, x
        a, c = self.bounds[x], self.bounds[y]
        if op == "div":
            y = self.b.add("affine", self.b.add("abs", y), weights={"shift": np.full(self.b[y].width, 0.5)})
            return self.keep(self.b.add(op, x, y), 2 * a)
        return self.keep(self.b.add(op, x, y), {"mul": a * c, "min": max(a, c), "max": max(a, c)}.get(op, a + c))

    def own_column(self, x):
        """An operation between a positive value and one of its own columns, with no other reader of either."""
        n = self.b[x].width
        y = self.b.add("affine", self.b.add("abs", x), weights={"shift": np.full(n, 0.5), "scale": np.ones(n)})
        start = int(self.rng.integers(n))
        column = self.b.add("slice", y, start=start, stop=start + 1)
        pair = (y, column) if self.rng.integers(2) else (column, y)
        op = self.any_of(("add", "sub", "div", "min", "max"))
        return self.keep(self.b.add(op, *pair), 2 * self.bounds[x] + 1)

    def concat(self, x):
        parts = [x]
        for _ in range(int(self.rng.integers(1, 4))):
            other = self.pick((self.b[x].kind,))
            parts.append(other if self.rng.integers(2) else self.slice(other))
        if sum(self.b[p].width for p in parts) > 40:
            return x
        return self.keep(self.b.add("concat", *parts), max(self.bounds[p] for p in parts))

    def linear(self, x):
        other = self.pick((self.b[x].kind,))
        inputs = [x] if self.rng.integers(2) else [x, other]
        n_in = sum(self.b[v].width for v in inputs)
        n_out = int(self.any_of((1, 2, 3, 5, 8, 9, 17, self.b[x].width)))
        weights = {"weight": self.tensor(n_in, n_out) / n_in}
        if self.rng.integers(2):
            weights["bias"] = self.tensor(n_out)
        y = self.keep(self.b.add("linear", *inputs, weights=weights), LARGEST)
        if n_out == self.b[x].width and self.rng.integers(2):  # a residual
            y = self.keep(self.b.add("add", *((x, y) if self.rng.integers(2) else (y, x))), self.bounds[x] + LARGEST)
        return self.keep(self.b.add("relu", y), self.bounds[y]) if self.rng.integers(2) else y

    def norm(self, x):
        o = self.b[x]
        op = "layer_norm" if o.kind == "event" or self.rng.integers(2) else "batch_norm"
        weights = {"scale": self.tensor(o.width), "shift": self.tensor(o.width)} if self.rng.integers(2) else {}
        # The epsilon keeps rows of nearly equal numbers from magnifying their last bits.
        return self.keep(self.b.add(op, x, weights=weights, epsilon=0.1), LARGEST + 1)

    def across(self, x):
        """From nodes to edges, from edges to nodes, or to the event."""
        kind = self.b[x].kind
        end = self.any_of(("source", "target"))
        if kind == "event":
            return x
        if self.rng.integers(5) == 0:
            return self.keep(self.b.add("event_mean", x), self.bounds[x])
        if kind == "node":
            return self.keep(self.b.add("gather", x, end=end), self.bounds[x])
        if self.rng.integers(3) == 0:  # weighted
            factor = self.b.add("sigmoid", self.slice(x, 1))
            x_weighted = self.b.add("mul", *((x, factor) if self.rng.integers(2) else (factor, x)))
            self.bounds[x_weighted] = self.bounds[x]
            x = x_weighted
        how = self.any_of(("add", "mean", "max", "min"))
        initial = {"initial": 0.25} if how in ("max", "min") else {}
        y = self.b.add("reduce", x, how=how, end=end, **initial)
        return self.keep(y, 100.0 if how == "add" else self.bounds[x])

    def simple(self, x):
        choice = self.rng.integers(4)
        if choice == 0:
            weights = {"scale": self.tensor(self.b[x].width), "shift": self.tensor(self.b[x].width)}
            return self.keep(self.b.add("affine", x, weights=weights), self.bounds[x] + 1)
        if choice == 1:
            op = self.any_of(("row_mean", "row_sum", "row_max"))
            scale = self.b[x].width if op == "row_sum" else 1
            return self.keep(self.b.add(op, x), self.bounds[x] * scale)
        if choice == 2:
            return self.slice(x)
        op = self.any_of(SMOOTH)
        return self.keep(self.b.add(op, x, **ATTRIBUTES.get(op, {})), self.bounds[x] + 1)

    def network(self, n_steps):
        steps = (self.binary, self.binary, self.own_column, self.concat, self.linear, self.norm, self.across)
        for _ in range(n_steps):
            self.any_of((*steps, self.across, self.simple, self.simple))(self.pick())
        if self.rng.integers(2):
            self.keep(self.b.add("gather", self.pick(("node",)), end="target"), LARGEST)
        edges = [v for v in self.values if self.b[v].kind == "edge"]
        ends = list(dict.fromkeys(edges[-int(self.rng.integers(1, 6)) :]))
        n_in = sum(self.b[v].width for v in ends)
        return self.b.finish(self.b.add("linear", *ends, weights={"weight": self.tensor(n_in, 1)}))
