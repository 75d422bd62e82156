"""What makes a network cheaper without changing what it computes, save for the last bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from rheinfall.gnn.ir import Builder, Network, Operation, rewrite, sum_all


def optimise(network: Network) -> Network:
    """The network that the engine runs."""
    for rule in (spell_norms, name_norms, _fold_affine, _split_ends, _merge_linears):
        network = rewrite(network, rule)
    return _centre_norms(network)


def _same(a: Operation, op: str, **attributes: Any) -> bool:
    return a.op == op and all(a.attributes.get(k) == v for k, v in attributes.items())


def spell_norms(b: Builder, network: Network, position: int, inputs: list[int]) -> int | None:
    """(x - mean) / sqrt(var + epsilon), spelled out over columns or rows, becomes a norm."""
    o = network.operations[position]
    if o.op not in ("div", "mul"):
        return None
    for above, below in ((inputs[0], inputs[1]), (inputs[1], inputs[0]))[: 1 if o.op == "div" else 2]:
        root = b[below]
        if o.op == "mul":
            if root.op != "reciprocal":
                continue
            root = b[root.inputs[0]]
        norm = _norm_of(b, b[above], above, root)
        if norm is not None:
            return norm
    return None


def _norm_of(b: Builder, centred: Operation, above: int, root: Operation) -> int | None:
    if centred.op != "sub" or root.op != "sqrt" or b[root.inputs[0]].op != "affine":
        return None
    shifted = b[root.inputs[0]]
    epsilon = shifted.weights.get("shift")
    mean, variance = b[centred.inputs[1]], b[shifted.inputs[0]]
    if "scale" in shifted.weights or epsilon is None or epsilon.size != 1 or mean.inputs != (centred.inputs[0],):
        return None
    if mean.op not in ("row_mean", "event_mean") or variance.op != mean.op:
        return None
    square = b[variance.inputs[0]]
    if not (_same(square, "square") and square.inputs == (above,)) and square.inputs != (above, above):
        return None
    name = "layer_norm" if mean.op == "row_mean" else "batch_norm"
    return b.add(name, centred.inputs[0], epsilon=float(epsilon.ravel()[0]))


def name_norms(b: Builder, network: Network, position: int, inputs: list[int]) -> int | None:
    """A scale and a shift behind a norm are the norm's own."""
    o = network.operations[position]
    if o.op != "affine":
        return None
    norm = b[inputs[0]]
    if norm.op not in ("layer_norm", "batch_norm") or o.width != norm.width:
        return None
    return b.add(norm.op, *norm.inputs, weights=_composed(norm, o), **norm.attributes)


def _composed(first: Operation, then: Operation) -> dict[str, Any]:
    """Scale and shift of `then` applied to those of `first`, over the full width."""
    scale, shift = then.weights.get("scale", np.float32(1)), then.weights.get("shift", np.float32(0))
    full = np.ones(first.width, np.float32)
    return {
        "scale": full * first.weights.get("scale", np.float32(1)) * scale,
        "shift": full * first.weights.get("shift", np.float32(0)) * scale + shift,
    }


def _fold_affine(b: Builder, network: Network, position: int, inputs: list[int]) -> int | None:
    """Neighbouring scales and shifts become one, or part of the linear operation before them."""
    o = network.operations[position]
    if o.op != "affine":
        return None
    before = b[inputs[0]]
    if before.op == "affine" and before.width == o.width:
        return b.add("affine", *before.inputs, weights=_composed(before, o))
    if before.op == "linear" and before.width == o.width and len(network.users()[o.inputs[0]]) == 1:
        scale, shift = o.weights.get("scale", np.float32(1)), o.weights.get("shift", np.float32(0))
        full = np.ones(o.width)
        weight = before.weights["weight"].astype(np.float64) * scale
        bias = full * before.weights.get("bias", np.float32(0)) * scale + shift
        return b.add("linear", *before.inputs, weights={"weight": weight, "bias": bias})
    return None


def _parts(b: Builder, value: int) -> list[int]:
    """The values that a concatenation, also one behind a gather, is made of."""
    o = b[value]
    if o.op == "concat":
        return [part for i in o.inputs for part in _parts(b, i)]
    if o.op == "gather" and b[o.inputs[0]].op == "concat":
        return [b.add("gather", part, **o.attributes) for part in _parts(b, o.inputs[0])]
    return [value]


def _split_ends(b: Builder, network: Network, position: int, inputs: list[int]) -> int | None:
    """W·[x_source, x_target, e] = W1·x_source + W2·x_target + W3·e: products per node instead of per edge."""
    o = network.operations[position]
    if o.op != "linear":
        return None
    parts = [part for i in inputs for part in _parts(b, i)]
    rows = np.split(o.weights["weight"], np.cumsum([b[p].width for p in parts])[:-1])
    groups: dict[str, list[tuple[int, Any]]] = {}
    for part, weight in zip(parts, rows, strict=True):
        gathered = b[part].op == "gather"
        end = str(b[part].attributes["end"]) if gathered else ""
        groups.setdefault(end, []).append((b[part].inputs[0] if gathered else part, weight))
    bias = o.weights.get("bias")
    terms = []
    for end in [e for e in ("", "target", "source") if e in groups]:
        values = [value for value, _ in groups[end]]
        weights = {"weight": np.concatenate([w for _, w in groups[end]]), "bias": bias}
        bias = None
        product = b.add("linear", *values, weights=weights)
        terms.append(b.add("gather", product, end=end) if end else product)
    return sum_all(b, sorted(terms, key=lambda t: b[t].op != "gather"))


def _merge_linears(b: Builder, network: Network, position: int, inputs: list[int]) -> int | None:
    """W·x + V·y = [W; V]·[x, y]."""
    o = network.operations[position]
    if o.op != "add" or inputs[0] == inputs[1]:
        return None
    users = network.users()
    first, second = b[inputs[0]], b[inputs[1]]
    alone = all(len(users[i]) == 1 for i in o.inputs)
    if not alone or first.op != "linear" or second.op != "linear" or first.width != second.width:
        return None
    if first.kind != second.kind:
        return None
    weight = np.concatenate([first.weights["weight"], second.weights["weight"]])
    biases = [w for w in (first.weights.get("bias"), second.weights.get("bias")) if w is not None]
    bias = np.sum(biases, axis=0, dtype=np.float32) if biases else None
    return b.add("linear", *first.inputs, *second.inputs, weights={"weight": weight, "bias": bias})


def _centre_norms(network: Network) -> Network:
    """Take the mean over columns out of the weights before a layer norm, so that it need not be taken from each row.

    The mean of W·x + b over its columns is linear in x, so weights whose columns have mean zero give rows of mean zero.
    """
    users = network.users()
    centred: set[int] = set()
    norms: set[int] = set()

    def linears_below(position: int) -> set[int] | None:
        o = network.operations[position]
        if len(users[position]) != 1:
            return None
        if o.op == "linear":
            return {position}
        if o.op == "gather":
            return linears_below(o.inputs[0])
        if o.op == "add" and all(network.operations[i].width == o.width for i in o.inputs):
            below = [linears_below(i) for i in o.inputs]
            return None if None in below else set().union(*(s for s in below if s is not None))
        return None

    for position, o in enumerate(network.operations):
        if o.op == "layer_norm" and not o.attributes.get("centred"):
            below = linears_below(o.inputs[0])
            if below is not None:
                centred |= below
                norms.add(position)

    def rule(b: Builder, n: Network, position: int, inputs: list[int]) -> int | None:
        o = n.operations[position]
        if position in centred:
            weights = {k: v.astype(np.float64) for k, v in o.weights.items()}
            weights = {k: v - v.mean(axis=-1, keepdims=True) for k, v in weights.items()}
            return b.add("linear", *inputs, weights=weights)
        if position in norms:
            return b.add("layer_norm", *inputs, weights=dict(o.weights), **{**o.attributes, "centred": True})
        return None

    return rewrite(network, rule)
