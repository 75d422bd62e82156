"""The values of a network as generated C++ sees them: shape, type, and an interval that holds every stored integer.

One interval per value (not per element) is enough to choose between 32, 64 and 128 bits, which is all it serves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.fixed_point import FixedType, convert, parse

Layer = Mapping[str, Any]


@dataclass(frozen=True)
class Value:
    """What a layer reads: the C++ array `code`, row-major, each element in [lo, hi], q meaning q / 2**type.fraction."""

    code: str
    shape: tuple[int, ...]
    type: FixedType
    lo: int
    hi: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def fraction(self) -> int:
        """Bits after the binary point."""
        return self.type.fraction

    @property
    def ctype(self) -> str:
        """The C++ type of an element."""
        return ctype(lane_bits(self.lo, self.hi))


@dataclass(frozen=True)
class Tensor:
    """A constant of the document."""

    type: FixedType
    shape: tuple[int, ...]
    data: list[int]

    @property
    def fraction(self) -> int:
        """Bits after the binary point."""
        return self.type.fraction

    def to(self, target: FixedType) -> list[int]:
        """Its integers converted to a type: what a layer that only looks them up would do each time."""
        return [convert(q, self.fraction, target) for q in self.data]


def tensor(described: Mapping[str, Any]) -> Tensor:
    """A tensor as the document has it."""
    return Tensor(parse(described["type"]), tuple(described["shape"]), [int(q) for q in described["data"]])


class TooWideError(ValueError):
    """An operation whose exact result may need more than 127 bits."""


def lane_bits(lo: int, hi: int) -> int:
    """The narrowest of 32, 64 and 128 bits whose signed integers hold [lo, hi]."""
    for bits in (32, 64, 128):
        if -(1 << (bits - 1)) <= lo and hi < 1 << (bits - 1):
            return bits
    raise TooWideError(f"exact values between {lo} and {hi} need more than 128 bits")


def ctype(bits: int) -> str:
    """The generated header's name of a signed integer."""
    return f"i{bits}"


def result_shape(layer: Layer, inputs: Sequence[Value]) -> tuple[int, ...]:
    """The shape of a layer's result."""
    op = layer["op"]
    if op == "constant":
        return tuple(layer["value"]["shape"])
    if op in ("reshape", "gather"):
        return tuple(layer["shape"])
    if op in ("dot", "sum", "sum_of_squares"):
        return (1,)
    x = inputs[0].shape
    if op == "transpose":
        return tuple(x[axis] for axis in layer["perm"])
    if op == "concatenate":
        axis = layer["axis"] % len(x)
        return (*x[:axis], sum(value.shape[axis] for value in inputs), *x[axis + 1 :])
    if op == "dense":
        return (*x[:-1], layer["weight"]["shape"][-1])
    if op in ("conv1d", "conv2d", "pool"):
        window = Window.of(layer, x)
        channels = x[-1] if op == "pool" else layer["weight"]["shape"][-1]
        return (*window.output, channels) if len(x) == 3 else (window.output[1], channels)
    if len(inputs) == 2 and inputs[1].size > inputs[0].size:
        return inputs[1].shape
    return x


@dataclass(frozen=True)
class Window:
    """A kernel that moves over (height, width); one spatial axis is an image of height 1."""

    image: tuple[int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    before: tuple[int, int]
    output: tuple[int, int]

    @classmethod
    def of(cls, layer: Layer, shape: tuple[int, ...]) -> Window:
        """The window of a convolution or pool over values of `shape` (channels last)."""
        image = _two(shape[:-1])
        kernel = _two(layer["kernel"] if layer["op"] == "pool" else layer["weight"]["shape"][:-2])
        strides = _two(layer.get("strides") or (1, 1))
        dilations = _two(layer.get("dilations") or (1, 1))
        padding = layer.get("padding") or (0, 0, 0, 0)
        top, bottom, left, right = padding if len(padding) == 4 else (0, 0, *padding)
        padded = (image[0] + top + bottom, image[1] + left + right)
        steps = zip(padded, kernel, strides, dilations, strict=True)
        height, width = ((size - (k - 1) * dilation - 1) // stride + 1 for size, k, stride, dilation in steps)
        return cls(image, kernel, strides, dilations, (top, left), (height, width))

    @property
    def leaves_image(self) -> bool:
        """Whether the kernel ever lies on a padded pixel."""
        reach = (
            (out - 1) * stride - before + (k - 1) * dilation
            for out, stride, before, k, dilation in zip(
                self.output, self.strides, self.before, self.kernel, self.dilations, strict=True
            )
        )
        return any(self.before) or any(last >= size for last, size in zip(reach, self.image, strict=True))


def _two(sizes: Sequence[int]) -> tuple[int, int]:
    return (sizes[0], sizes[1]) if len(sizes) == 2 else (1, sizes[0])


def each_layer(document: Mapping[str, Any]) -> Iterator[tuple[Layer, FixedType]]:
    """The layers with their result's type."""
    for layer in document["layers"]:
        yield layer, parse(layer["result"])


def refuse(layer: Layer, reason: object) -> ModelError:
    """The error of a layer that cannot be written as C++."""
    return ModelError(f"layer {layer['name']!r} (op {layer['op']}): {reason}")
