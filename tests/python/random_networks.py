"""Random valid documents of docs/quantized_format.md, and inputs for them: the same for the same seed.

`random_document` draws any operations in any order, on types that are mostly awkward. `narrow_document` keeps to what
fast paths take. `trigger_document` draws the networks of triggers: stacks of dense layers with narrow types, and some
near the limits of what fast paths take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from random_layers import MAKERS
from random_types import Draw, Named, near_type, random_integer, random_shape, random_type, spelled, tensor
from rheinfall.quantized.fixed_point import ROUNDINGS, FixedType, parse

Document = dict[str, Any]

# The operations with the most cases come more often, those that need images as well, since not every shape is one.
FREQUENT = (*MAKERS, *("dense", "conv1d", "conv2d", "pool") * 2)


# What plans of fused steps know, or may come to know.
CHAINED = (
    *("dense", "dense", "relu", "quantize", "affine", "leaky_relu", "thresholded_relu", "hard_sigmoid", "hard_tanh"),
    *("shift", "reshape", "add", "subtract", "multiply", "maximum", "minimum", "average", "constant"),
    *("dot", "sum_of_squares", "sum", "rescale", "rescale", "threshold"),
)


# Layers with weights, and what may stand between them.
WEIGHTED = (*("conv1d", "conv2d") * 4, "dense", "relu", "quantize")


def random_document(seed: int) -> Document:
    """A network of 1 to 9 layers of any operations, on any types."""
    rng = Draw(f"any {seed}")
    return draw_document(rng, f"any {seed}", FREQUENT, rng.randint(1, 9))


def narrow_document(seed: int) -> Document:
    """A network of 1 to 5 layers on types of up to 18 or so bits, of the operations that fast paths fuse."""
    rng = Draw(f"narrow {seed}")
    rng.max_width = rng.choice((8, 12, 16, 18, 20))
    ops = CHAINED if rng.random() < 0.8 else FREQUENT
    return draw_document(rng, f"narrow {seed}", ops, rng.choice((1, 2, 3, 5)))


def sparse_document(seed: int) -> Document:
    """A network of 1 to 4 layers on narrow types most of whose weights are 0, many of them summed in order."""
    rng = Draw(f"sparse {seed}")
    rng.max_width = rng.choice((8, 12, 16, 18, 20))
    shape = rng.choice(((12, 3), (16, 2), (9, 4), (5, 5, 2), (6, 4, 3), (4, 4, 4)))
    document = draw_document(rng, f"sparse {seed}", WEIGHTED, rng.randint(1, 4), [Named("x0", shape, random_type(rng))])
    for layer in document["layers"]:
        if "weight" in layer and rng.random() < 0.7:
            saturate(rng, layer)
    return pruned(document, seed)


def saturate(rng: Draw, layer: dict[str, Any]) -> None:
    """Let the accumulator of a layer lose some of its bits and saturate, which makes the order matter."""
    accum = parse(layer["accum"])
    width = max(min(accum.width, 28) - rng.randint(2, 10), 2)
    modes = accum.rounding, rng.choice(("SAT", "SAT_SYM", "SAT_ZERO"))
    layer["accum"] = spelled(rng, FixedType(width, width - accum.fraction, accum.is_signed, *modes))


SHARES_OF_ZEROS = (0.5, 0.7, 0.8, 0.9, 0.97, 1.0)


def pruned(document: Document, seed: int, shares: Sequence[float] = SHARES_OF_ZEROS) -> Document:
    """The network with zeros among its weights, of each layer one of these shares."""
    rng = Draw(f"pruned {seed}")
    layers = []
    for layer in document["layers"]:
        if "weight" in layer:
            zeros = rng.choice(shares)
            data = [0 if rng.random() < zeros else w for w in layer["weight"]["data"]]
            layer = {**layer, "weight": {**layer["weight"], "data": data}}
        layers.append(layer)
    return {**document, "name": f"pruned {document['name']}", "layers": layers}


def draw_document(
    rng: Draw, name: str, ops: Sequence[str], n_layers: int, given: Sequence[Named] | None = None
) -> Document:
    """A network of layers drawn from `ops`, on any inputs or `given` ones; those that fit nothing are drawn again."""
    values = random_inputs(rng) if given is None else list(given)
    inputs = [{"name": v.name, "shape": list(v.shape), "type": spelled(rng, v.type)} for v in values]
    layers: list[dict[str, Any]] = []
    for i in range(n_layers):
        layer = None
        while layer is None:
            layer = random_layer(rng, rng.choice(ops), f"layer{i}", values)
        layers.append(layer)
    # No integer type holds signed outputs and unsigned ones of 64 bits.
    wide = {value.name: value.type.maximum >= 2**63 for value in values}
    names = [value.name for value in values if wide[value.name] == wide[values[-1].name]]
    if wide[values[-1].name]:
        names = names[-1:]
    return with_outputs(rng, name, inputs, layers, names)


def random_inputs(rng: Draw) -> list[Named]:
    """One to three inputs; unsigned 64 bits are left out where signed numbers come along in one array."""
    values = []
    n = rng.choice((1, 1, 1, 2, 3))
    for i in range(n):
        fixed = random_type(rng)
        while n > 1 and fixed.width == 64 and not fixed.is_signed:
            fixed = random_type(rng)
        values.append(Named(f"x{i}", random_shape(rng, rng.choice((1, 2, 4, 6, 8, 12, 16, 17, 24, 36, 48))), fixed))
    return values


def random_layer(rng: Draw, op: str, name: str, values: list[Named]) -> dict[str, Any] | None:
    """A layer on one of the values, mostly a recent one, which is appended to them; None if `op` fits none."""
    ordered = values[::-1]
    if rng.random() < 0.4:
        rng.shuffle(ordered)
    made = MAKERS[op](rng, ordered)
    if made is None:
        return None
    fields, shape, (fraction, width) = made
    result = near_type(rng, fraction, width) if rng.random() < 0.7 else random_type(rng)
    layer = {"name": name, "op": op, "result": spelled(rng, result), **fields}
    values.append(Named(name, shape, parse(layer["result"])))
    return layer


def with_outputs(
    rng: Draw, name: str, inputs: list[dict[str, Any]], layers: list[dict[str, Any]], names: list[str]
) -> Document:
    """The document: the last value is an output, others may be, in any order."""
    outputs: list[Any] = [names[-1], *rng.sample(names, rng.choice((0, 0, 1, min(3, len(names)))))]
    rng.shuffle(outputs)
    return {
        "format": "rheinfall.quantized",
        "version": 1,
        "name": name,
        "inputs": inputs,
        "layers": layers,
        "outputs": [{"name": n} if rng.random() < 0.2 else n for n in outputs],
    }


def trigger_document(seed: int, max_width: int = 64) -> Document:
    """A stack of dense layers and activations with the types of trigger networks, of up to `max_width` neurons."""
    rng = Draw(f"trigger {seed}")
    sizes = (4, 8, 15, 16, 28, 32, 57, 64) if rng.random() < 0.9 else (16, 33, 65, 100, 130, 252)
    widths = [rng.choice(sizes) for _ in range(rng.randint(2, 5))]
    widths = [min(width, max_width) for width in widths]
    x = FixedType(rng.choice((6, 7, 8, 9, 10, 14, 16, 18)), rng.randint(1, 7), rng.random() < 0.8)
    plain = rng.random() < 0.75  # accumulators that lose no fraction and wrap
    inputs = [{"name": "x", "shape": [widths[0]], "type": spelled(rng, x)}]
    layers: list[dict[str, Any]] = []
    names, last, n_in = ["x"], x, widths[0]
    for i, n_out in enumerate(widths[1:]):
        dense, a = trigger_dense(rng, f"dense{i}", names[-1], last, n_in, n_out, plain)
        layers.append(dense)
        names.append(dense["name"])
        last, n_in = a, n_out
        if rng.random() < 0.8:
            bits, integer = rng.choice((4, 6, 7, 8, 8, 10, 12)), rng.randint(1, 6)
            usual = (("TRN", "WRAP"), ("RND_CONV", "SAT"), ("RND", "SAT"), ("TRN", "SAT"))
            modes = rng.choice((*usual, (rng.choice(ROUNDINGS), "SAT")))
            last = FixedType(bits, min(integer, bits), rng.random() < 0.3, *modes)
            activation = {"name": f"relu{i}", "op": "relu", "inputs": [names[-1]], "result": spelled(rng, last)}
            layers.append(activation)
            names.append(activation["name"])
    if rng.random() < 0.3:
        final = {"name": "argmax", "op": "argmax", "inputs": [names[-1]], "result": "ap_uint<1>"}
        layers.append(final)
        names.append("argmax")
    document = with_outputs(rng, f"trigger {seed}", inputs, layers, names)
    return document if rng.random() < 0.2 else {**document, "outputs": [names[-1]]}


def trigger_dense(
    rng: Draw, name: str, x_name: str, x: FixedType, n_in: int, n_out: int, plain: bool
) -> tuple[dict[str, Any], FixedType]:
    """A dense layer with a weight of 1 to 8 bits (sometimes 16), with an accumulator near the exact width."""
    bits = rng.choice((1, 2, 3, 4, 5, 6, 8, 8, 12, 16))
    w = FixedType(bits, rng.randint(0, bits), True)
    fraction = x.fraction + w.fraction
    exact = x.width + w.width + n_in.bit_length()
    a = min(max(exact + rng.choice((-6, -4, -2, -1, 0, 0, 0, 0, 1, 8)), 2), 64)
    lost = 0 if plain else rng.choice((0, 0, 1, 3))
    modes = ("TRN", "WRAP") if plain or rng.random() < 0.5 else (rng.choice(ROUNDINGS), rng.choice(("SAT", "WRAP")))
    accum = FixedType(a, a - fraction + lost, True, *modes)
    result = accum if rng.random() < 0.5 else near_type(rng, fraction - rng.randint(0, 8), min(a, 24))
    layer = {
        "name": name,
        "op": "dense",
        "inputs": [x_name],
        "result": spelled(rng, result),
        "accum": spelled(rng, accum),
        "weight": tensor(rng, (n_in, n_out), w, rng.choice((0.0, 0.0, 0.3, 0.8))),
    }
    if rng.random() < 0.8:
        layer["bias"] = tensor(rng, (n_out,), FixedType(rng.randint(2, 18), rng.randint(0, 8), True))
    return layer, parse(layer["result"])


def random_integers(seed: int, document: Mapping[str, Any], n_events: int) -> npt.NDArray[Any]:
    """Stored integers of the inputs, (n_events, n_inputs), int64 or uint64: corners of the types first, then any."""
    rng = Draw(f"inputs {seed}")
    columns = [parse(x["type"]) for x in document["inputs"] for _ in range(int(np.prod(x["shape"])))]
    rows: list[list[int]] = [[t.minimum for t in columns], [t.maximum for t in columns], [0 for _ in columns]]
    rows.append([rng.choice(t.range) for t in columns])
    while len(rows) < n_events:
        draw = integer_of if rng.random() < 0.5 else small_integer
        rows.append([draw(rng, t) for t in columns])
    dtype = np.uint64 if any(t.maximum > 2**63 for t in columns) else np.int64
    return np.array(rows[:n_events], dtype=dtype)


def random_reals(seed: int, document: Mapping[str, Any], n_events: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Real inputs: within the types' range and beyond, on their grids, halfway between two numbers, and anywhere."""
    rng = Draw(f"reals {seed}")
    columns = [parse(x["type"]) for x in document["inputs"] for _ in range(int(np.prod(x["shape"])))]
    rows = [[real_of(rng, t) for t in columns] for _ in range(n_events)]
    return np.array(rows).astype(dtype)


def real_of(rng: Draw, fixed: FixedType) -> float:
    q = integer_of(rng, fixed) if rng.random() < 0.4 else small_integer(rng, fixed)
    kind = rng.random()
    beside = rng.choice((0.0, 0.5, 0.5, -0.5, 0.25, -0.75)) if kind < 0.7 else rng.random()
    far = rng.choice((1.0, 1.0, 1.0, 1.0, 2.0, -3.0, 2.0**40, 2.0**-30))
    return float((q + beside) * far * 2.0**-fixed.fraction)


def integer_of(rng: Draw, fixed: FixedType) -> int:
    return rng.randint(*fixed.range) if rng.random() < 0.7 else random_integer(rng, fixed)


def small_integer(rng: Draw, fixed: FixedType) -> int:
    low, high = fixed.range
    bits = rng.randint(0, fixed.width)
    return min(max(rng.randint(-(1 << bits), 1 << bits), low), high)
