"""What a tensor of an ONNX graph can be while a network is lowered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


class LoweringError(ValueError):
    """A network, or a node of it, that the fused engine does not take."""


@dataclass(frozen=True)
class Dim:
    """A size that hangs on the event: the number of nodes or of edges, or twice that of edges."""

    kind: str
    times: int = 1

    def __repr__(self) -> str:
        return f"{self.kind}s" if self.times == 1 else f"{self.times} {self.kind}s"

    def _scaled(self, times: Any) -> Dim:
        if times == 1 or (times == 2 and self.kind == "edge"):
            return Dim(self.kind, int(times))
        raise LoweringError(f"arithmetic with the number of {self.kind}s")

    def __mul__(self, other: Any) -> Dim:
        return self._scaled(0 if isinstance(other, Dim) else self.times * other)

    def __add__(self, other: Any) -> Dim:
        return self._scaled(self.times + other.times if isinstance(other, Dim) and other.kind == self.kind else 0)

    def __sub__(self, other: Any) -> Dim:
        return self._scaled(self.times - other.times if isinstance(other, Dim) and other.kind == self.kind else 0)

    def __floordiv__(self, other: Any) -> Dim:
        return self._scaled(0 if isinstance(other, Dim) else self.times / other)

    def _unknown(self, other: Any) -> Dim:
        return self._scaled(0)

    __rmul__ = __mul__
    __radd__ = __rsub__ = __truediv__ = _unknown


NODES, EDGES, TWICE = Dim("node"), Dim("edge"), Dim("edge", 2)
Shape = tuple[Any, ...]  # of int and Dim


@dataclass(frozen=True)
class Rows:
    """Values of an operation: (rows, width), or (rows,) where `flat`; the event's are (1, width) or (width,)."""

    position: int
    kind: str
    width: int
    flat: bool = False

    def __repr__(self) -> str:
        return f"values of {self.kind}s of shape {self.shape}"

    @property
    def shape(self) -> Shape:
        """The tensor's shape in the file."""
        if self.flat:
            return (self.width if self.kind == "event" else self.rows,)
        return self.rows, self.width

    @property
    def rows(self) -> Any:
        """How many there are."""
        return {"node": NODES, "edge": EDGES, "event": 1}[self.kind]


@dataclass(frozen=True)
class Block:
    """Values of an operation whose columns have these axes, the last one fastest; the rows stand before axis `axis`."""

    position: int
    kind: str
    dims: tuple[int, ...]
    axis: int

    def __repr__(self) -> str:
        return f"values of {self.kind}s of shape {self.shape}"

    @property
    def shape(self) -> Shape:
        """The tensor's shape in the file."""
        return (*self.dims[: self.axis], self.rows, *self.dims[self.axis :])

    @property
    def rows(self) -> Dim:
        """How many there are."""
        return NODES if self.kind == "node" else EDGES


@dataclass(frozen=True)
class Ends:
    """Node indices of edges: both ends (2, edges), one above the other or "reversed"; or one in any shape that repeats
    (edges,)."""

    end: str
    shape: Shape

    def __repr__(self) -> str:
        what = {"both": "edge_index", "reversed": "edge_index reversed"}.get(self.end, f"the {self.end}s of edge_index")
        return f"{what} of shape {self.shape}"

    @property
    def both(self) -> tuple[str, ...]:
        """The ends one above the other, or none where there is one."""
        return {"both": ("source", "target"), "reversed": ("target", "source")}.get(self.end, ())


@dataclass(frozen=True)
class Fill:
    """One number everywhere."""

    value: Any
    shape: Shape

    def __repr__(self) -> str:
        return f"{self.value} in shape {self.shape}"


@dataclass(frozen=True)
class Touched:
    """A number per node: `value` for nodes that are that end of some edge, `without` for the others."""

    end: str
    value: float
    without: float
    shape: Shape


@dataclass(frozen=True)
class Condition:
    """True where a value is above zero, or, if `negated`, where it is not; what is not a number is not above.

    Attributes:
        position: of the value.
        shape: of the tensor.
        negated: it is the opposite.
        compared: position and number, where it says that this value is above this number.
    """

    position: int
    shape: Shape
    negated: bool = False
    compared: tuple[int, float] = (-1, 0.0)

    def opposite(self) -> Condition:
        """True where this is not."""
        return replace(self, negated=not self.negated)


Tensor = Rows | Block | Ends | Fill | Touched | Condition | NDArray[Any]


def as_ints(tensor: Any, what: str) -> list[int]:
    """A constant tensor as integers."""
    if isinstance(tensor, np.ndarray) and tensor.dtype.kind in "iub":
        return [int(v) for v in tensor.ravel()]
    if isinstance(tensor, np.ndarray) and all(isinstance(v, int) for v in tensor.ravel()):
        return [int(v) for v in tensor.ravel()]
    raise LoweringError(f"{what} is not a constant")


def wrapped(index: int, size: int, what: str) -> int:
    """An index or axis as ONNX has it, those below 0 from the end."""
    if not -size <= index < size:
        raise LoweringError(f"{what}: expected {-size} to {size - 1}, got {index}")
    return index % size


def reduced_axes(x: list[Any], attributes: dict[str, Any], rank: int) -> list[int]:
    """The axes that a reduction with these inputs sums over, of a tensor of this rank; without any these are all."""
    axes = as_ints(x[1], "axes") if len(x) > 1 and x[1] is not None else list(attributes.get("axes", ()))
    if not axes and attributes.get("noop_with_empty_axes", 0):
        raise LoweringError("over no axes")
    return sorted(wrapped(a, rank, "an axis") for a in axes) if axes else list(range(rank))


def shape_of(tensor: Tensor) -> Shape:
    """The shape of any tensor."""
    return tuple(tensor.shape)


def broadcast(a: Shape, b: Shape) -> Shape:
    """The shape that two broadcast to."""
    rank = max(len(a), len(b))
    a, b = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    result = []
    for i, j in zip(a, b, strict=True):
        if i != j and i != 1 and j != 1:
            raise LoweringError(f"shapes {a} and {b} do not broadcast")
        result.append(j if i == 1 else i)
    return tuple(result)
