"""What a tensor of an ONNX graph is to the importers: stored integers, where they lie, and what they mean exactly.

A `Value` stands for one event's tensor. Its integers live in a layer of the document (`Stored`); `index` says where
each element of the ONNX tensor lies in it, so that Reshape, Transpose, Slice and the like cost nothing until a layer
needs its input in a certain order. `steps` says which real numbers the integers mean: exact rational arithmetic, kept
pending until the next quantizer turns it into one integer step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from rheinfall.quantized.fixed_point import FixedType

Array = npt.NDArray[Any]
MAX_ELEMENTS = 1 << 24  # of one tensor; a file that claims more is refused before memory is spent
INFINITY = float("inf")


class RefusalError(Exception):
    """Why a node cannot be expressed; the walk over the graph adds the file and the node to it."""


@dataclass
class Stored:
    """A value of the document: a layer's result, or an input. `low`, `high`: proven, per last axis or one for all."""

    name: str
    shape: tuple[int, ...]
    type: FixedType
    low: list[int]
    high: list[int]
    layer: dict[str, Any] | None = None
    is_raw: bool = False  # an input that no quantizer has seen yet: its type is still open
    in_reals: bool = False  # steps apply to the real numbers q / 2^F, not to q: an input without a quantizer at it

    @property
    def size(self) -> int:
        """Elements of one event."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest integer of all elements."""
        return min(self.low), max(self.high)


def fractions(values: npt.ArrayLike) -> Array:
    """An object array of exact Fractions of the same shape.

    Raises:
        RefusalError: a value is not finite.
    """
    array = np.asarray(values)
    result = np.empty(array.shape, dtype=object)
    if array.dtype == object:
        result[...] = array
        return result
    if array.dtype.kind not in "iufb":
        raise RefusalError(f"expected numbers, got {array.dtype}")
    if not np.isfinite(array.astype(np.float64)).all():
        raise RefusalError("a constant is NaN or infinite")
    flat = [Fraction(x) for x in array.ravel().tolist()]
    for i, value in enumerate(flat):
        result.flat[i] = value
    return result


@dataclass(frozen=True)
class Linear:
    """y = a·x + b, then clamped to [low, high]; arrays of Fractions that broadcast to the tensor's shape."""

    a: Array
    b: Array
    low: Array
    high: Array

    @staticmethod
    def of(a: Any, b: Any = 0, rank: int = 0) -> Linear:
        """y = a·x + b without clamps; scalars get `rank` axes."""

        def full(value: Any) -> Array:
            array = fractions(np.asarray(value, dtype=object) if isinstance(value, Fraction) else value)
            return array.reshape((1,) * (rank - array.ndim) + array.shape) if array.ndim < rank else array

        ends = np.full((1,) * rank, INFINITY, dtype=object)
        return Linear(full(a), full(b), -ends, ends)

    def times(self, factor: Array) -> Linear:
        """factor·y."""
        a, b = self.a * factor, self.b * factor
        low, high = _scaled(self.low, factor, -INFINITY), _scaled(self.high, factor, INFINITY)
        flipped = np.broadcast_to(factor < 0, np.broadcast_shapes(low.shape, high.shape))
        return Linear(a, b, np.where(flipped, high, low), np.where(flipped, low, high))

    def plus(self, term: Array) -> Linear:
        """y + term."""
        return Linear(self.a, self.b + term, self.low + term, self.high + term)

    def clamped(self, low: Any, high: Any) -> Linear:
        """y clamped once more."""
        return replace(self, low=_clamp(self.low, low, high), high=_clamp(self.high, low, high))

    @property
    def has_clamp(self) -> bool:
        """Whether a clamp can change anything."""
        return any(x != -INFINITY for x in self.low.flat) or any(x != INFINITY for x in self.high.flat)

    @property
    def arrays(self) -> tuple[Array, Array, Array, Array]:
        """The four parameters."""
        return self.a, self.b, self.low, self.high

    def map(self, function: Callable[[Array], Array]) -> Linear:
        """The same with each parameter's axes moved."""
        return Linear(*(function(p) for p in self.arrays))


def _scaled(ends: Array, factor: Array, open_end: float) -> Array:
    """ends·factor, where an open end stays open (flipping is the caller's)."""
    product = np.frompyfunc(
        lambda e, f: (e * (1 if f > 0 else -1) if f else open_end) if abs(e) == INFINITY else e * f, 2, 1
    )
    return np.asarray(product(ends, factor), dtype=object)


def _clamp(x: Array, low: Any, high: Any) -> Array:
    return np.asarray(np.frompyfunc(lambda v: min(max(v, low), high), 1, 1)(x), dtype=object)


@dataclass(frozen=True)
class Curve:
    """An increasing function that is not piecewise linear as `Linear` is: leaky_relu, sigmoid, tanh, ..."""

    kind: str
    alpha: Array

    def map(self, function: Callable[[Array], Array]) -> Curve:
        """The same with the parameter's axes moved."""
        return Curve(self.kind, function(self.alpha))


Step = Linear | Curve


@dataclass(frozen=True)
class Value:
    """One tensor of the graph. `index`: positions in the flat `stored`, of the ONNX shape with 1 for the batch."""

    stored: Stored
    index: npt.NDArray[np.int64]
    steps: tuple[Step, ...]
    single_use: bool = True  # nothing else reads `stored`, so that its layer may be changed
    quantized: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape, 1 for the batch."""
        return self.index.shape

    @property
    def linear(self) -> Linear:
        """The only step, if it is linear.

        Raises:
            RefusalError: a curve is pending.
        """
        if len(self.steps) == 1 and isinstance(self.steps[0], Linear):
            return self.steps[0]
        kinds = ", ".join(step.kind for step in self.steps if isinstance(step, Curve))
        raise RefusalError(f"its input comes from {kinds} without a quantizer between them")

    def with_linear(self, change: Callable[[Linear], Linear]) -> Value:
        """The same with its last linear step changed."""
        last = self.steps[-1]
        if isinstance(last, Linear):
            return replace(self, steps=(*self.steps[:-1], change(last)))
        return replace(self, steps=(*self.steps, change(Linear.of(1, 0, self.index.ndim))))

    def moved(self, function: Callable[[Array], Array]) -> Value:
        """The same with its elements moved by a function of arrays that keeps the axis of the batch."""
        index = function(self.index)
        if index.size > MAX_ELEMENTS:
            raise RefusalError(f"a tensor of {index.size} elements; at most {MAX_ELEMENTS}")
        if index.ndim == 0 or index.shape[0] != 1:
            raise RefusalError(f"mixes the axis of the batch with others: one event would have the shape {index.shape}")

        def move(parameter: Array) -> Array:
            if parameter.size == 1:
                return parameter.reshape((1,) * index.ndim)
            return function(np.broadcast_to(parameter, self.index.shape))

        return replace(self, index=index, steps=tuple(step.map(move) for step in self.steps))


@dataclass(frozen=True)
class Const:
    """A constant as ONNX holds it; where a quantizer made it, also real = q·scale with integers q."""

    real: Array
    q: npt.NDArray[np.int64] | None = None
    scale: Array | None = None  # float, of q's shape

    def moved(self, function: Callable[[Array], Array]) -> Const:
        """The same with its elements moved."""
        if self.q is None or self.scale is None:
            return Const(function(self.real))
        return Const(function(self.real), function(self.q), function(self.scale))

    @property
    def exact(self) -> Array:
        """The exact real numbers as Fractions."""
        if self.q is None or self.scale is None:
            return fractions(self.real)
        return fractions(self.q) * fractions(self.scale)


@dataclass
class Trapped:
    """Notes for `inspect`, each once."""

    notes: list[str] = field(default_factory=list)

    def add(self, note: str) -> None:
        """Keep a note that is not there yet."""
        if note not in self.notes:
            self.notes.append(note)


def is_power_of_two(x: Any) -> bool:
    """Whether a rational number is 2^k, k any integer."""
    x = Fraction(x)
    n, d = x.numerator, x.denominator
    return bool(n > 0 and n & (n - 1) == 0 and d & (d - 1) == 0)


def log2(x: Fraction) -> int:
    """k of 2^k."""
    return x.numerator.bit_length() - x.denominator.bit_length()


def integer_type(low: int, high: int, fraction: int = 0) -> FixedType:
    """The narrowest type that holds [low, high], with `fraction` fraction bits.

    Raises:
        RefusalError: more than 64 bits are needed.
    """
    is_signed = low < 0
    width = max((-low - 1).bit_length() + 1 if is_signed else 1, high.bit_length() + is_signed, 1)
    if width > 64 or (not is_signed and width > 63):
        raise RefusalError(f"its exact integers [{low}, {high}] need more than 64 bits: no quantizer before it?")
    if not -128 <= width - fraction <= 192:
        fraction = 0
    return FixedType(width, width - fraction, is_signed)


def all_equal(values: Sequence[Any]) -> bool:
    """Whether all are equal to the first."""
    return all(value == values[0] for value in values)
