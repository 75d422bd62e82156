"""What each ONNX operator does to the values of the importers: one table from operator to function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from rheinfall.quantized import onnx_elementwise as elementwise
from rheinfall.quantized import onnx_linear as linear
from rheinfall.quantized import onnx_shapes as shapes
from rheinfall.quantized import qdq, qonnx
from rheinfall.quantized.onnx_builder import Builder
from rheinfall.quantized.onnx_values import MAX_ELEMENTS, Array, Const, RefusalError, Value, fractions

Tensor = Value | Const
Input = Tensor | None


@dataclass(frozen=True)
class Call:
    """One node: its inputs (None where left out), attributes as Python values, and versions."""

    builder: Builder
    op: str
    inputs: list[Input]
    attributes: dict[str, Any]
    n_outputs: int
    opset: int
    batch: int

    def tensor(self, i: int) -> Tensor:
        """An input that must be there."""
        x = self.inputs[i] if i < len(self.inputs) else None
        if x is None:
            raise RefusalError(f"input {i} is missing")
        return x

    def value(self, i: int = 0) -> Value:
        """An input that depends on the event."""
        x = self.tensor(i)
        if not isinstance(x, Value):
            raise RefusalError(f"input {i} is a constant: not supported there")
        return x

    def constant(self, i: int, what: str) -> Array:
        """An input that must be constant."""
        x = self.tensor(i)
        if not isinstance(x, Const):
            raise RefusalError(f"its {what} depends on the event: expected a constant")
        return x.real

    def optional(self, i: int, what: str) -> Array | None:
        """A constant input that may be left out."""
        return None if i >= len(self.inputs) or self.inputs[i] is None else self.constant(i, what)

    def integers(self, name: str, i: int) -> list[int] | None:
        """A list that is an attribute in old versions of an operator, and an input in new ones."""
        if name in self.attributes:
            return [int(x) for x in self.attributes[name]]
        found = self.optional(i, name)
        return None if found is None else [int(x) for x in np.asarray(found).reshape(-1)]

    @property
    def parameters(self) -> list[Array]:
        """All inputs after the first, constant."""
        return [self.constant(i, "parameter") for i in range(1, len(self.inputs)) if self.inputs[i] is not None]


def arithmetic(c: Call) -> Tensor:
    """Add, Sub, Mul, Div of values and constants."""
    x, y = c.tensor(0), c.tensor(1)
    if isinstance(x, Const) and isinstance(y, Const):
        return Const(shapes.constant_arithmetic(c.op, [x.real, y.real]))
    if isinstance(x, Value) and isinstance(y, Value):
        if c.op == "Div":
            raise RefusalError("divides by what depends on the event")
        if c.op == "Mul":
            return elementwise.multiply_values(c.builder, x, y)
        return elementwise.add_values(c.builder, x, y, 1 if c.op == "Add" else -1)
    if isinstance(x, Value) and isinstance(y, Const):
        exact = y.exact
        if c.op in ("Mul", "Div"):
            return elementwise.multiply_constant(x, exact if c.op == "Mul" else elementwise.inverse(exact))
        return elementwise.add_constant(x, exact if c.op == "Add" else -exact)
    assert isinstance(x, Const)
    assert isinstance(y, Value)
    if c.op == "Div":
        raise RefusalError("divides by what depends on the event")
    if c.op == "Mul":
        return elementwise.multiply_constant(y, x.exact)
    negated = y if c.op == "Add" else elementwise.multiply_constant(y, np.array(-1))
    return elementwise.add_constant(negated, x.exact)


def unary(c: Call) -> Tensor:
    """Operators of constants, of which some have a meaning for values."""
    x = c.tensor(0)
    if isinstance(x, Const):
        return Const(shapes.constant_arithmetic(c.op, [t.real for t in c.inputs if isinstance(t, Const)]))
    if c.op == "Neg":
        return elementwise.multiply_constant(x, np.array(-1))
    if c.op == "Relu":
        return elementwise.clamp(x, Fraction(0), float("inf"))
    if c.op in ("Max", "Min") and len(c.inputs) == 2:
        limit = c.constant(1, "limit")
        if limit.size == 1:
            end = fractions(limit).flat[0]
            return elementwise.clamp(x, *((end, float("inf")) if c.op == "Max" else (-float("inf"), end)))
    raise RefusalError("is not supported on values that depend on the event: it has no exact integer form here")


def curve(c: Call) -> Tensor:
    """Increasing functions that stay pending until a quantizer."""
    x = c.value()
    if not x.quantized and not x.stored.is_raw:
        raise RefusalError("no quantizer before it")
    if c.op == "LeakyRelu":
        return _leaky(x, np.array(np.float32(c.attributes.get("alpha", 0.01))))
    if c.op == "PRelu":
        return _leaky(x, c.constant(1, "slope"))
    c.builder.traps.add(
        f"node {c.builder.node!r} ({c.op}): its exact real function before the quantizer; "
        "an executor's float32 one may differ near ties"
    )
    return elementwise.bend(x, c.op.lower(), np.array(np.float32(c.attributes.get("alpha", 1.0))))


def _leaky(x: Value, alpha: Array) -> Value:
    if alpha.dtype.kind != "f" or not (alpha > 0).all():
        raise RefusalError("a slope that is not positive: the function does not increase")
    return elementwise.bend(x, "leaky_relu", alpha)


def clip(c: Call) -> Tensor:
    """Clip: limits are attributes up to version 6."""
    low: Any = c.attributes["min"] if "min" in c.attributes else c.optional(1, "minimum")
    high: Any = c.attributes["max"] if "max" in c.attributes else c.optional(2, "maximum")
    return elementwise.clamp(c.value(), *elementwise.limits(low, high))


def hard_sigmoid(c: Call) -> Tensor:
    """max(0, min(1, alpha·x + beta))."""
    alpha, beta = (np.array(np.float32(c.attributes.get(k, d))) for k, d in (("alpha", 0.2), ("beta", 0.5)))
    y = elementwise.add_constant(elementwise.multiply_constant(c.value(), alpha), beta)
    return elementwise.clamp(y, Fraction(0), Fraction(1))


def matmul(c: Call) -> Tensor:
    """A value times constant weights."""
    x, y = c.tensor(0), c.tensor(1)
    if isinstance(x, Const) or isinstance(y, Value):
        raise RefusalError("expected a value times constant weights")
    return linear.dense(c.builder, x, y)


def gemm(c: Call) -> Tensor:
    """alpha·A·B + beta·C."""
    x, weights = c.value(0), c.tensor(1)
    if not isinstance(weights, Const) or c.attributes.get("transA", 0):
        raise RefusalError("expected a value, not transposed, times constant weights")
    if c.attributes.get("transB", 0):
        weights = weights.moved(lambda a: a.T)
    y = linear.dense(c.builder, x, weights)
    alpha, beta = (np.array(np.float32(c.attributes.get(k, 1.0))) for k in ("alpha", "beta"))
    y = elementwise.multiply_constant(y, alpha)
    if len(c.inputs) > 2 and c.inputs[2] is not None:
        bias = c.tensor(2)
        if isinstance(bias, Value):
            return elementwise.add_values(c.builder, y, elementwise.multiply_constant(bias, beta), 1)
        y = elementwise.add_constant(y, bias.exact * fractions(beta).flat[0])
    return y


def conv(c: Call) -> Tensor:
    """Conv with its bias."""
    x, weights = c.value(0), c.tensor(1)
    if not isinstance(weights, Const):
        raise RefusalError("its weights depend on the event")
    y = linear.convolve(c.builder, x, weights, c.attributes)
    bias = c.inputs[2] if len(c.inputs) > 2 else None
    if bias is None:
        return y
    if not isinstance(bias, Const):
        raise RefusalError("its bias depends on the event")
    return elementwise.add_constant(y, bias.exact.reshape([1, -1] + [1] * (y.index.ndim - 2)))


def pool(c: Call) -> Tensor:
    """MaxPool, AveragePool and their global forms."""
    x = c.value()
    spatial = x.shape[2:]
    if len(spatial) not in (1, 2) or c.n_outputs > 1 or c.attributes.get("storage_order", 0):
        raise RefusalError(f"input {x.shape}: expected 1 or 2 spatial axes, one output, storage_order 0")
    whole = c.op.startswith("Global")
    attributes = {} if whole else c.attributes
    kernel = list(spatial) if whole else [int(k) for k in attributes.get("kernel_shape", [])]
    w = linear.window(attributes, spatial, kernel)
    if c.op.endswith("MaxPool"):
        return linear.max_pool(c.builder, x, w)
    if not x.quantized:
        raise RefusalError("no quantizer before it: its input is a float")
    return linear.average_pool(c.builder, x, w, bool(attributes.get("count_include_pad", 0)))


def reduce_mean(c: Call) -> Tensor:
    """ReduceMean over the spatial axes."""
    x = c.value()
    axes = c.integers("axes", 1)
    rank = x.index.ndim
    if axes is None or rank not in (3, 4) or sorted(a % rank for a in axes) != list(range(2, rank)):
        raise RefusalError(f"means over axes {axes} of {rank}: only all spatial axes are supported")
    y: Tensor = linear.average_pool(c.builder, x, linear.window({}, x.shape[2:], list(x.shape[2:])), False)
    return y if c.attributes.get("keepdims", 1) else shapes.squeeze(y, axes)


def batch_normalization(c: Call) -> Tensor:
    """BatchNormalization in inference."""
    if c.attributes.get("training_mode", 0) or c.n_outputs > 1:
        raise RefusalError("in training mode")
    c.builder.traps.add("BatchNormalization: sqrt(variance + epsilon) is rounded to float32, all else is exact")
    epsilon = float(c.attributes.get("epsilon", 1e-5))
    return elementwise.batch_normalize(c.value(), [c.constant(i, "parameter") for i in range(1, 5)], epsilon)


def quantizer(c: Call) -> Tensor:
    """The quantizers of QONNX and QDQ."""
    b, x, p = c.builder, c.tensor(0), c.parameters
    if isinstance(x, Value) and x.stored.is_raw is False and not x.quantized and c.op != "DequantizeLinear":
        c.builder.traps.add(
            f"input {x.stored.name!r} is read by several quantizers: its grid is 2^-{x.stored.type.fraction}"
        )
    if c.op in ("Quant", "IntQuant"):
        return qonnx.quant(b, x, _expect(p, 3), c.attributes)
    if c.op == "BipolarQuant":
        return qonnx.bipolar(b, x, _expect(p, 1))
    if c.op == "Trunc":
        return qonnx.trunc(b, x, _expect(p, 4, 5), c.attributes)
    if c.op == "MultiThreshold":
        return qonnx.multi_threshold(b, c.value(), _expect(p, 1)[0], c.attributes)
    if c.op == "QuantizeLinear":
        return qdq.quantize_linear(b, x, _expect(p, 1, 2), c.attributes)
    return qdq.dequantize_linear(b, x, _expect(p, 1, 2), c.attributes)


def _expect(parameters: list[Array], *counts: int) -> list[Array]:
    if len(parameters) not in counts:
        raise RefusalError(f"{len(parameters) + 1} inputs: expected {' or '.join(str(n + 1) for n in counts)}")
    if any(p.size == 0 for p in parameters):
        raise RefusalError("an empty parameter")
    return parameters


def integer_operator(c: Call) -> Tensor:
    """The operators on integers."""
    if c.op == "QLinearMatMul":
        return qdq.qlinear_matmul(c.builder, c.inputs)
    if c.op == "QLinearConv":
        return qdq.qlinear_conv(c.builder, c.inputs, c.attributes)
    return qdq.integer_product(c.builder, c.inputs, c.attributes, c.op == "ConvInteger")


def cast(c: Call) -> Tensor:
    """Cast: of constants, or of values to float types, which changes nothing."""
    kinds = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 11: "float64"}
    x, to = c.tensor(0), int(c.attributes.get("to", 0))
    if isinstance(x, Const) and to in kinds:
        return Const(x.real.astype(kinds[to]))
    if isinstance(x, Value) and to in (1, 11):
        return x
    raise RefusalError(f"casts to type {to}")


def shape_of(c: Call) -> Tensor:
    """The shape, with 1 for the batch."""
    x = c.tensor(0)
    return Const(np.array(x.shape if isinstance(x, Value) else x.real.shape, dtype=np.int64))


def mover(c: Call) -> Tensor:
    """Operators that move elements."""
    x, a = c.tensor(0), c.attributes
    if c.op in ("Identity", "Dropout"):
        return x
    if c.op == "Transpose":
        return shapes.transpose(x, a.get("perm"))
    if c.op == "Flatten":
        return shapes.flatten(x, int(a.get("axis", 1)))
    if c.op == "Squeeze":
        return shapes.squeeze(x, c.integers("axes", 1))
    if c.op == "Gather":
        return shapes.gather(x, c.constant(1, "indices"), int(a.get("axis", 0)))
    required = {"Reshape": ("shape", 1), "Unsqueeze": ("axes", 1), "Slice": ("starts", 1), "Pad": ("pads", 1)}[c.op]
    numbers = c.integers(*required)
    if numbers is None:
        raise RefusalError(f"its {required[0]} are missing")
    if c.op == "Reshape":
        return shapes.reshape(x, numbers, bool(a.get("allowzero", 0)), c.batch)
    if c.op == "Unsqueeze":
        return shapes.unsqueeze(x, numbers)
    if c.op == "Slice":
        return shapes.slice_(x, numbers, c.integers("ends", 2) or [], c.integers("axes", 3), c.integers("steps", 4))
    mode = a.get("mode", b"constant")
    fill = a.get("value", 0.0) if "value" in a else (c.optional(2, "value") if len(c.inputs) > 2 else None)
    if mode not in (b"constant", "constant") or (fill is not None and np.any(np.asarray(fill) != 0)):
        raise RefusalError("pads with something else than zero")
    if not isinstance(x, Value) or not x.quantized:
        raise RefusalError("no quantizer before it: its input is a float")
    return shapes.pad(c.builder.with_zero_offset(x), numbers, c.integers("axes", 3))


def split(c: Call) -> list[Tensor]:
    """Split."""
    return shapes.split(c.tensor(0), c.integers("split", 1), int(c.attributes.get("axis", 0)), c.n_outputs)


def concat(c: Call) -> Tensor:
    """Concat of values, or of constants."""
    parts = [c.tensor(i) for i in range(len(c.inputs))]
    axis = int(c.attributes.get("axis", 0))
    constants = [x.real for x in parts if isinstance(x, Const)]
    if len(constants) == len(parts):
        return Const(np.concatenate(constants, axis=axis))
    return elementwise.concatenate(c.builder, list(parts), axis)


def constant(c: Call) -> Tensor:
    """Constant and ConstantOfShape."""
    a = c.attributes
    if c.op == "Constant":
        for name, dtype in (("value", None), ("value_float", np.float32), ("value_floats", np.float32),
                            ("value_int", np.int64), ("value_ints", np.int64)):  # fmt: skip
            if name in a:
                return Const(np.asarray(a[name], dtype=dtype))
        raise RefusalError("holds no numbers")
    shape = [int(s) for s in c.constant(0, "shape").reshape(-1)]
    if any(s < 0 for s in shape) or np.prod(shape, dtype=np.float64) > MAX_ELEMENTS:
        raise RefusalError(f"a constant of shape {shape}")
    return Const(np.full(shape, np.asarray(a.get("value", np.zeros(1, np.float32))).reshape(-1)[0]))


def _table(*rows: tuple[str, Callable[[Call], Any]]) -> dict[str, Callable[[Call], Any]]:
    return {name: function for names, function in rows for name in names.split()}


STANDARD = _table(
    ("Add Sub Mul Div Pow", arithmetic), ("Sqrt Neg Abs Reciprocal Exp Log Floor Ceil Round Sign Relu Max Min", unary),
    ("LeakyRelu PRelu Sigmoid Tanh Elu Softplus", curve), ("Clip", clip), ("HardSigmoid", hard_sigmoid),
    ("MatMul", matmul), ("Gemm", gemm), ("Conv", conv), ("BatchNormalization", batch_normalization),
    ("MaxPool AveragePool GlobalMaxPool GlobalAveragePool", pool), ("ReduceMean", reduce_mean),
    ("QuantizeLinear DequantizeLinear", quantizer),
    ("QLinearMatMul QLinearConv MatMulInteger ConvInteger", integer_operator),
    ("Identity Dropout Transpose Flatten Squeeze Gather Reshape Unsqueeze Slice Pad", mover), ("Split", split),
    ("Concat", concat), ("Shape", shape_of), ("Cast", cast), ("Constant ConstantOfShape", constant),
)  # fmt: skip
QONNX = _table(("Quant IntQuant BipolarQuant Trunc MultiThreshold", quantizer))
REASONS = {
    "FloatQuant": "quantizes to small floats (minifloat), which have no integer form",
    "DynamicQuantizeLinear": "its scale depends on the event",
    "Softmax": "is a float function of all its inputs; end the network before it, or take the largest output",
    "LogSoftmax": "is a float function of all its inputs; end the network before it",
    "If": "control flow", "Loop": "control flow", "Scan": "control flow",
    "Im2Col": "a convolution lowered for FINN: export the Conv itself",
    "XnorPopcountMatMul": "a lowering for FINN: export the MatMul itself",
}  # fmt: skip
