"""The intermediate form of a graph network: operations on values of nodes, of edges, or of the event.

Its meaning is `rheinfall.reference.gnn`, its file docs/gnn_format.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

UNARY = frozenset(
    (
        *("relu", "leaky_relu", "elu", "sigmoid", "tanh", "softplus", "exp"),
        *("log", "sqrt", "abs", "square", "reciprocal", "erf", "clip"),
    )
)
BINARY = frozenset(["add", "sub", "mul", "div", "min", "max"])


@dataclass(frozen=True)
class Operation:
    """One operation, which gives one value: float32 (rows, width), with a row per node, edge, or one for the event.

    Attributes:
        op: what it does.
        inputs: positions of the operations whose values it reads.
        kind: "node", "edge" or "event".
        width: columns of its value.
        attributes: numbers and texts.
        weights: float32 arrays by name.
        name: of the node of the file that it comes from.
    """

    op: str
    inputs: tuple[int, ...]
    kind: str
    width: int
    attributes: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Float32] = field(default_factory=dict)
    name: str = ""


@dataclass
class Network:
    """Operations in order, each behind those it reads; `output` is the position of the one with a logit per edge."""

    operations: list[Operation]
    output: int

    def users(self) -> list[list[int]]:
        """For each operation the positions of those that read it, once for each time they do."""
        users: list[list[int]] = [[] for _ in self.operations]
        for position, operation in enumerate(self.operations):
            for i in operation.inputs:
                users[i].append(position)
        return users


class Builder:
    """Collects operations, infers kinds and widths, and gives equal operations the same position."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._known: dict[Any, int] = {}
        self.name = ""

    def __getitem__(self, position: int) -> Operation:
        return self.operations[position]

    def input(self, kind: str, width: int) -> int:
        """The features of nodes or of edges."""
        return self._append(Operation("input", (), kind, width, name=f"{kind}_features"))

    def add(self, op: str, *inputs: int, weights: Any = None, **attributes: Any) -> int:
        """Position of this operation on these values.

        Args:
            op: what it does.
            *inputs: positions of the values.
            weights: arrays by name; those that are None are left out.
            **attributes: numbers and texts.

        Raises:
            ValueError: the widths or kinds of its inputs do not fit it.
        """
        arrays = {k: np.ascontiguousarray(v, np.float32) for k, v in (weights or {}).items() if v is not None}
        kind, width = infer(op, [self.operations[i] for i in inputs], attributes, arrays)
        return self._append(Operation(op, tuple(inputs), kind, width, attributes, arrays, self.name))

    def _append(self, o: Operation) -> int:
        arrays = tuple((k, v.shape, v.tobytes()) for k, v in sorted(o.weights.items()))
        key = (o.op, o.inputs, o.kind, o.width, tuple(sorted(o.attributes.items())), arrays)
        if key not in self._known:
            self._known[key] = len(self.operations)
            self.operations.append(o)
        return self._known[key]

    def finish(self, output: int) -> Network:
        """The network of what `output` needs; inputs are kept."""
        needed = {output} | {i for i, o in enumerate(self.operations) if o.op == "input"}
        for i in range(len(self.operations) - 1, -1, -1):
            if i in needed:
                needed.update(self.operations[i].inputs)
        places = {old: new for new, old in enumerate(sorted(needed))}
        kept = [self.operations[i] for i in sorted(needed)]
        moved = [
            Operation(o.op, tuple(places[i] for i in o.inputs), o.kind, o.width, o.attributes, o.weights, o.name)
            for o in kept
        ]
        return Network(moved, places[output])


def infer(op: str, inputs: list[Operation], attributes: dict[str, Any], weights: dict[str, Float32]) -> tuple[str, int]:
    """Kind and width of an operation's value; ValueError where its inputs do not fit."""
    if op == "degree":
        return "node", 1
    kinds = {i.kind for i in inputs} - {"event"} or {"event"}
    if len(kinds) != 1:
        raise ValueError(f"{op}: values of nodes and of edges in one operation")
    kind, width = kinds.pop(), inputs[0].width
    widths = [i.width for i in inputs]
    if op == "gather":
        return _expect(op, kind, "node", "edge"), width
    if op == "reduce":
        return _expect(op, kind, "edge", "node"), width
    if op in ("event_mean", "event_sum"):
        return "event", width
    if op == "linear":
        if weights["weight"].shape[0] != sum(widths):
            raise ValueError(f"linear: weights {weights['weight'].shape} for inputs of widths {widths}")
        width = int(weights["weight"].shape[1])
        _expect_sizes(op, width, {k: w for k, w in weights.items() if k != "weight"})
        return kind, width
    if op in BINARY:
        if min(widths) != max(widths) and min(widths) != 1:
            raise ValueError(f"{op}: values of widths {widths}")
        return kind, max(widths)
    if op == "concat":
        return kind, sum(widths)
    if op == "slice":
        return kind, int(attributes["stop"]) - int(attributes["start"])
    if op in ("row_mean", "row_sum", "row_max"):
        return kind, 1
    if op in UNARY or op in ("affine", "layer_norm", "batch_norm"):
        _expect_sizes(op, width, weights)
        return kind, width
    raise ValueError(f"{op}: no such operation")


def _expect_sizes(op: str, width: int, weights: dict[str, Float32]) -> None:
    for name, values in weights.items():
        if values.size not in (1, width):
            raise ValueError(f"{op}: expected 1 or {width} numbers as {name}, got {values.size}")


def _expect(op: str, kind: str, expected: str, result: str) -> str:
    if kind != expected:
        raise ValueError(f"{op}: expected a value of {expected}s, got one of the {kind}s")
    return result


def rewrite(network: Network, rule: Callable[[Builder, Network, int, list[int]], int | None]) -> Network:
    """A network built anew, operation by operation.

    `rule(builder, network, position, inputs)` gives the new position of an operation, `inputs` being those of its
    inputs, or None to copy it.
    """
    builder = Builder()
    places: list[int] = []
    for position, o in enumerate(network.operations):
        builder.name = o.name
        inputs = [places[i] for i in o.inputs]
        new = None if o.op == "input" else rule(builder, network, position, inputs)
        if new is None:
            new = (
                builder.input(o.kind, o.width)
                if o.op == "input"
                else builder.add(o.op, *inputs, weights=dict(o.weights), **o.attributes)
            )
        places.append(new)
    return builder.finish(places[network.output])


def sum_all(builder: Builder, terms: Iterable[int]) -> int:
    """The sum of values, from left to right."""
    first, *rest = terms
    for term in rest:
        first = builder.add("add", first, term)
    return first
