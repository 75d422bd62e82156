"""Quantized networks, defined on Python integers: what docs/quantized_format.md says, one function per operation.

`run` takes a valid document and the stored integers of its inputs. Values are NumPy arrays of Python integers (dtype
object) with the events as first axis, so nothing can overflow but where a conversion says so. It shares nothing with
the compiled code but the text of the format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from rheinfall.quantized.fixed_point import FixedType, convert_real, overflow, parse, round_shift

Integers = npt.NDArray[Any]  # of Python integers
Layer = Mapping[str, Any]


@dataclass(frozen=True)
class Value:
    """Integers of shape (n_events, *shape), each q meaning q / 2**fraction; width as stored."""

    q: Integers
    fraction: int
    type: FixedType | None = None  # None: an exact intermediate

    @property
    def n_events(self) -> int:
        """The length of the first axis."""
        return int(self.q.shape[0])

    @property
    def size(self) -> int:
        """Elements of one event."""
        return int(np.prod(self.q.shape[1:]))

    def flat(self) -> Integers:
        """The integers as (n_events, size)."""
        return self.q.reshape(self.n_events, self.size)

    def to(self, target: FixedType) -> Value:
        """The values converted to a type."""
        return Value(convert_array(self.q, self.fraction, target), target.fraction, target)

    def at(self, fraction: int) -> Integers:
        """The integers with more fraction bits."""
        return self.q << (fraction - self.fraction)


def run(document: Mapping[str, Any], x_integers: npt.ArrayLike) -> Integers:
    """The stored integers of the outputs, (n_events, n_outputs), for those of the inputs, (n_events, n_inputs).

    Both are flat: all inputs (outputs) of an event, row-major, one after the other. One event may come as one row.
    """
    x = python_integers(x_integers)
    rows = x.reshape(1, -1) if x.ndim == 1 else x.reshape(len(x), -1)
    values = split_inputs(document, rows)
    for layer in document["layers"]:
        inputs = [values[name] for name in layer.get("inputs", [])]
        values[layer["name"]] = OPERATIONS[layer["op"]](layer, inputs, len(rows))
    names = [output if isinstance(output, str) else output["name"] for output in document["outputs"]]
    result = np.concatenate([values[name].flat() for name in names], axis=1)
    return result[0] if x.ndim == 1 else result


def split_inputs(document: Mapping[str, Any], rows: Integers) -> dict[str, Value]:
    """The inputs by name; integers outside an input's type come in as its overflow says."""
    values, start = {}, 0
    for declared in document["inputs"]:
        stored, shape = parse(declared["type"]), declared["shape"]
        size = int(np.prod(shape))
        part = rows[:, start : start + size].reshape(len(rows), *shape)
        values[declared["name"]] = Value(part, stored.fraction).to(stored)
        start += size
    if start != rows.shape[1]:
        raise ValueError(f"inputs of {rows.shape[1]} elements an event: expected {start}")
    return values


def integers_of_reals(document: Mapping[str, Any], x: npt.ArrayLike) -> Integers:
    """The stored integers of real inputs, (n_events, n_inputs): by the binary point, or by scale and zero point."""
    rows = np.atleast_2d(np.asarray(x))
    result = np.empty(rows.shape, dtype=object)
    start = 0
    for declared in document["inputs"]:
        stored, size = parse(declared["type"]), int(np.prod(declared["shape"]))
        scales = np.resize(np.float32(declared.get("scale", 1)), size)
        for event, i in np.ndindex(len(rows), size):
            real = rows[event, start + i]
            if "scale" in declared:
                q = int(np.rint(np.float32(real) / scales[i])) + int(declared.get("zero_point", 0))
                result[event, start + i] = overflow(q, stored)
            else:
                result[event, start + i] = convert_real(real.item(), stored)
        start += size
    return result


def reals_of_integers(document: Mapping[str, Any], y: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The real numbers of stored outputs, (n_events, n_outputs): (q - zero_point)·scale + offset, or q / 2**F."""
    rows, start = np.atleast_2d(python_integers(y)), 0
    result = np.empty(rows.shape, dtype=np.float64)
    stored = {item["name"]: item for item in (*document["inputs"], *document["layers"])}
    sizes = output_sizes(document)
    for output, size in zip(document["outputs"], sizes, strict=True):
        how = {"name": output} if isinstance(output, str) else output
        layer = stored[how["name"]]
        unit = 2.0 ** -parse(layer.get("result", layer.get("type"))).fraction
        scale, offset = np.resize(how.get("scale", unit), size), np.resize(how.get("offset", 0.0), size)
        part = rows[:, start : start + size] - int(how.get("zero_point", 0))
        result[:, start : start + size] = part.astype(np.float64) * scale + offset
        start += size
    return result


def output_sizes(document: Mapping[str, Any]) -> list[int]:
    """Elements of each output, found by running one event of zeros."""
    n_inputs = sum(int(np.prod(declared["shape"])) for declared in document["inputs"])
    sizes = []
    for output in document["outputs"]:
        sizes.append(len(run({**document, "outputs": [output]}, [0] * n_inputs)))
    return sizes


def python_integers(values: npt.ArrayLike) -> Integers:
    """An array of Python integers, of the same shape."""
    array = np.asarray(values)
    result = np.empty(array.shape, dtype=object)
    result[...] = array.tolist() if array.ndim else int(array)
    return result


def convert_array(v: Integers, fraction: int, target: FixedType) -> Integers:
    """`fixed_point.convert` for arrays of Python integers, with the cases that lose nothing told apart for speed."""
    s = fraction - target.fraction
    if v.size == 0:
        return v
    if s > 0:
        v = _each(lambda q: round_shift(q, s, target.rounding), v)
    elif s < 0:
        v = np.multiply(v, 1 << -s)
    high = target.maximum
    if -high * target.is_signed <= v.min() and v.max() <= high:  # without the lowest value, which SAT_SYM changes
        return v
    return _each(lambda q: overflow(q, target), v)


def _each(function: Callable[[int], int], v: Integers) -> Integers:
    """function(q) of each element."""
    result: Integers = np.asarray(np.frompyfunc(function, 1, 1)(v), dtype=object)
    return result


def zeros(*shape: int) -> Integers:
    """An array of the Python integer 0."""
    result = np.empty(shape, dtype=object)
    result[...] = 0
    return result


def constant(tensor: Mapping[str, Any]) -> Value:
    """A tensor of the document as a value, with an axis of one event."""
    stored = parse(tensor["type"])
    return Value(python_integers(tensor["data"]).reshape(1, *tensor["shape"]), stored.fraction, stored)


def result_type(layer: Layer) -> FixedType:
    """The type in which a layer's result is stored."""
    return parse(layer["result"])


# --- moving values -------------------------------------------------------------------------------------------------


def run_constant(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """The tensor `value`, for each event."""
    value = constant(layer["value"]).to(result_type(layer))
    return Value(np.repeat(value.q, n_events, axis=0), value.fraction, value.type)


def run_quantize(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """A conversion, nothing else."""
    return inputs[0].to(result_type(layer))


def run_reshape(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """The same elements in row-major order."""
    return Value(inputs[0].q.reshape(n_events, *layer["shape"]), inputs[0].fraction).to(result_type(layer))


def run_transpose(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """Axis k of the result is axis perm[k] of x, the batch not counted."""
    axes = [0, *(axis + 1 for axis in layer["perm"])]
    return Value(inputs[0].q.transpose(axes), inputs[0].fraction).to(result_type(layer))


def run_concatenate(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """Each input converted, then one after the other along `axis`, the batch not counted."""
    result = result_type(layer)
    parts = [value.to(result).q for value in inputs]
    axis = layer["axis"] + 1 if layer["axis"] >= 0 else layer["axis"]
    return Value(np.concatenate(parts, axis=axis), result.fraction, result)


def run_gather(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """x[index], flat; -1 gives 0."""
    x = np.concatenate([inputs[0].flat(), zeros(n_events, 1)], axis=1)  # so that index -1 finds a 0
    return Value(x[:, layer["index"]].reshape(n_events, *layer["shape"]), inputs[0].fraction).to(result_type(layer))


# --- sums of products ----------------------------------------------------------------------------------------------


def multiply_accumulate(
    start: Value, terms: Iterator[tuple[Integers, Integers]], fraction: int, accum: FixedType
) -> Value:
    """a = start; for (x, w): a = a + (x·w → accum) → accum, with x·w of `fraction` fraction bits."""
    a = start
    for x, w in terms:
        product = Value(x * w, fraction).to(accum)
        a = Value(a.q + product.q, accum.fraction).to(accum)
    return a


def initial(layer: Layer, shape: tuple[int, ...], accum: FixedType) -> Value:
    """The accumulator before the first product: the bias, converted, along the last axis; or 0."""
    start = Value(zeros(*shape), accum.fraction, accum)
    if layer.get("bias") is not None:
        bias = constant(layer["bias"]).to(accum)
        start = Value(start.q + bias.q.reshape(-1), accum.fraction, accum)
    return start


def run_dense(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """On the last axis, products added in `order`."""
    x, w, accum = inputs[0], constant(layer["weight"]), parse(layer["accum"])
    n_in, n_out = layer["weight"]["shape"]
    order = layer.get("order") or range(n_in)
    terms = ((x.q[..., i, None], w.q[0, i]) for i in order)
    start = initial(layer, (*x.q.shape[:-1], n_out), accum)
    return multiply_accumulate(start, terms, x.fraction + w.fraction, accum).to(result_type(layer))


def run_conv(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """Dense over the patch under the kernel, row-major in (kh, kw, c); padded pixels are 0."""
    w, accum = constant(layer["weight"]), parse(layer["accum"])
    x, window = with_height(inputs[0]), Window(layer, layer["weight"]["shape"][:-2])
    kernel = w.q.reshape(*window.kernel, *layer["weight"]["shape"][-2:])
    groups, (c_in, c_out) = layer.get("groups", 1), layer["weight"]["shape"][-2:]
    of_group = np.arange(c_out) // (c_out // groups)  # the group of each output channel
    padded = window.pad(x.q)

    def terms() -> Iterator[tuple[Integers, Integers]]:
        for row, column in np.ndindex(*window.kernel):
            pixels = window.under(padded, row, column)
            for c in range(c_in):
                yield pixels[..., of_group * c_in + c], kernel[row, column, c]

    start = initial(layer, (n_events, *window.output_size(padded), c_out), accum)
    a = multiply_accumulate(start, terms(), x.fraction + w.fraction, accum).to(result_type(layer))
    return without_height(a, layer)


class Window:
    """A kernel that moves over two spatial axes; one of one dimension has height 1."""

    def __init__(self, layer: Layer, kernel: Sequence[int]) -> None:
        self.kernel = two(kernel)
        self.strides = two(layer.get("strides") or [1] * len(kernel))
        self.dilations = two(layer.get("dilations") or [1] * len(kernel))
        padding = layer.get("padding") or [0, 0] * len(kernel)
        self.padding = tuple(padding) if len(padding) == 4 else (0, 0, *padding)

    def pad(self, x: Integers, fill: int | None = 0) -> Integers:
        """x (events, height, width, channels) with `fill` around it."""
        top, bottom, left, right = self.padding
        n, height, width, channels = x.shape
        padded = zeros(n, top + height + bottom, left + width + right, channels)
        padded[...] = fill
        padded[:, top : top + height, left : left + width] = x
        return padded

    def output_size(self, padded: Integers) -> tuple[int, int]:
        """Positions along both axes at which the whole kernel lies on the padded image."""
        reach = [(k - 1) * dilation + 1 for k, dilation in zip(self.kernel, self.dilations, strict=True)]
        height = (padded.shape[1] - reach[0]) // self.strides[0] + 1
        width = (padded.shape[2] - reach[1]) // self.strides[1] + 1
        return height, width

    def under(self, padded: Integers, row: int, column: int) -> Integers:
        """The pixels below kernel element (row, column), at each position of the kernel."""
        height, width = self.output_size(padded)
        rows = np.arange(height) * self.strides[0] + row * self.dilations[0]
        columns = np.arange(width) * self.strides[1] + column * self.dilations[1]
        pixels: Integers = padded[:, rows][:, :, columns]
        return pixels


def two(sizes: Sequence[int]) -> tuple[int, int]:
    """(height, width), the height 1 where only one number is given."""
    return (sizes[0], sizes[1]) if len(sizes) == 2 else (1, sizes[0])


def with_height(x: Value) -> Value:
    """(length, channels) as (1, length, channels); images as they are."""
    return x if x.q.ndim == 4 else Value(x.q[:, None], x.fraction, x.type)


def without_height(x: Value, layer: Layer) -> Value:
    """The result of a one-dimensional window without its height."""
    one_dimensional = layer["op"] == "conv1d" or len(layer.get("kernel", ())) == 1
    return Value(x.q[:, 0], x.fraction, x.type) if one_dimensional else x


def run_dot(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """Σ x_i·y_i, as a dense layer."""
    x, y, accum = inputs[0], inputs[1], parse(layer["accum"])
    terms = zip(x.flat().T, y.flat().T, strict=True)
    start = Value(zeros(n_events), accum.fraction, accum)
    return as_single(multiply_accumulate(start, terms, x.fraction + y.fraction, accum), layer)


def run_sum_of_squares(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """Σ x_i·x_i, as a dense layer."""
    return run_dot(layer, [inputs[0], inputs[0]], n_events)


def run_sum(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """a = (a + x_i) → accum: x_i itself is not converted first."""
    return as_single(running_sum(inputs[0].flat().T, inputs[0].fraction, parse(layer["accum"]), n_events), layer)


def as_single(a: Value, layer: Layer) -> Value:
    """One number per event as shape [1], converted to the result's type."""
    return Value(a.q.reshape(-1, 1), a.fraction, a.type).to(result_type(layer))


def running_sum(terms: Any, fraction: int, accum: FixedType, *shape: int) -> Value:
    """a = 0; a = (a + x) → accum for each of the terms, which have `fraction` fraction bits."""
    a = Value(zeros(*shape), accum.fraction, accum)
    for x in terms:
        a = add(a, Value(x, fraction)).to(accum)
    return a


def add(x: Value, y: Value) -> Value:
    """x + y, exactly."""
    fraction = max(x.fraction, y.fraction)
    return Value(x.at(fraction) + y.at(fraction), fraction)


# --- pooling -------------------------------------------------------------------------------------------------------


def run_pool(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """Largest or mean per channel of the pixels under the kernel; padded pixels (None) take no part."""
    x, accum, result = with_height(inputs[0]), parse(layer["accum"]), result_type(layer)
    window = Window({**layer, "dilations": None}, layer["kernel"])
    padded = window.pad(x.q, None)
    under = [window.under(padded, row, column) for row, column in np.ndindex(*window.kernel)]
    stacked = np.stack(under, axis=-1)
    pool = pool_maximum if layer["kind"] == "max" else pool_average
    pooled = np.empty(stacked.shape[:-1], dtype=object)
    for position in np.ndindex(*pooled.shape):
        pooled[position] = pool(list(stacked[position]), x.fraction, accum, bool(layer.get("count_padding", False)))
    return without_height(Value(pooled, accum.fraction, accum).to(result), layer)


def pool_maximum(pixels: list[int | None], fraction: int, accum: FixedType, count_padding: bool) -> int:
    """The first → accum, then each that is larger than what is kept → accum."""
    inside = [pixel for pixel in pixels if pixel is not None]
    common = max(fraction, accum.fraction)
    y = _convert(inside[0], fraction, accum)
    for pixel in inside[1:]:
        if pixel << (common - fraction) > y << (common - accum.fraction):
            y = _convert(pixel, fraction, accum)
    return y


def pool_average(pixels: list[int | None], fraction: int, accum: FixedType, count_padding: bool) -> int:
    """Sum in accum, then the quotient, cut off towards zero at accum's last bit."""
    inside = [pixel for pixel in pixels if pixel is not None]
    common = max(fraction, accum.fraction)
    y = 0
    for pixel in inside:
        y = _convert((y << (common - accum.fraction)) + (pixel << (common - fraction)), common, accum)
    return _convert(truncated_quotient(y, len(pixels) if count_padding else len(inside)), accum.fraction, accum)


def _convert(v: int, fraction: int, target: FixedType) -> int:
    return overflow(round_shift(v, fraction - target.fraction, target.rounding), target)


def truncated_quotient(numerator: int, denominator: int) -> int:
    """numerator / denominator (> 0), cut off towards zero."""
    quotient = abs(numerator) // denominator
    return quotient if numerator >= 0 else -quotient


# --- one element at a time -----------------------------------------------------------------------------------------


def linear(x: Value, scale: Value, shift: Value) -> Value:
    """x·scale + shift, exactly."""
    return add(Value(x.q * scale.q, x.fraction + scale.fraction), shift)


def select(condition: npt.NDArray[np.bool_], x: Value, y: Value) -> Value:
    """x where the condition holds, else y, with fraction bits enough for both."""
    fraction = max(x.fraction, y.fraction)
    return Value(np.where(condition, x.at(fraction), y.at(fraction)), fraction)


def greater(x: Value, y: Value) -> npt.NDArray[np.bool_]:
    """x > y, element by element, as real numbers."""
    fraction = max(x.fraction, y.fraction)
    return np.asarray(x.at(fraction) > y.at(fraction), dtype=bool)


def single(q: int, fraction: int = 0) -> Value:
    """One number for all events and elements."""
    return Value(python_integers([q]), fraction)


def scalar(tensor: Mapping[str, Any]) -> Value:
    """A tensor of one element, which meets arrays of any shape."""
    value = constant(tensor)
    return Value(value.q.reshape(1), value.fraction)


def per_channel(tensor: Mapping[str, Any], x: Value) -> Value:
    """A tensor of one value, one per element of the last axis, or of x's shape."""
    value = constant(tensor)
    flat = value.q.reshape(-1)
    return Value(flat if flat.size in (1, x.q.shape[-1]) else flat.reshape(x.q.shape[1:]), value.fraction)


def run_affine(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """x·scale + bias."""
    x = inputs[0]
    return linear(x, per_channel(layer["scale"], x), per_channel(layer["bias"], x)).to(result_type(layer))


def run_relu(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """x > 0 ? min(x, maximum) : 0."""
    x = inputs[0]
    q = np.where(x.q > 0, x.q, 0)
    if layer.get("maximum") is not None:
        limit = Fraction(layer["maximum"]) * Fraction(2) ** x.fraction
        if limit.denominator != 1:
            raise ValueError(f"layer {layer['name']!r}, maximum {layer['maximum']}: does not lie in the grid of x")
        q = np.minimum(q, int(limit))
    return Value(q, x.fraction).to(result_type(layer))


def run_leaky_relu(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """x > 0 ? x : alpha·x."""
    x = inputs[0]
    alpha = per_channel(layer["alpha"], x)
    below = Value(x.q * alpha.q, x.fraction + alpha.fraction)
    return select(greater(x, single(0)), x, below).to(result_type(layer))


def run_thresholded_relu(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """x > theta ? x : 0."""
    x = inputs[0]
    return select(greater(x, scalar(layer["theta"])), x, single(0)).to(result_type(layer))


def unit_clamp(layer: Layer, x: Value) -> Value:
    """slope·x + shift, clamped to [0, 1]."""
    y = linear(x, scalar(layer["slope"]), scalar(layer["shift"]))
    zero, one = single(0), single(1)
    return select(greater(y, one), one, select(greater(y, zero), y, zero))


def run_hard_sigmoid(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """slope·x + shift, clamped to [0, 1]."""
    return unit_clamp(layer, inputs[0]).to(result_type(layer))


def run_hard_tanh(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """2y - 1, y as for the hard sigmoid."""
    return linear(unit_clamp(layer, inputs[0]), single(2), single(-1)).to(result_type(layer))


def run_threshold(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """values[number of thresholds that x reaches], thresholds per element of the last axis; stored as it is."""
    x, thresholds, result = inputs[0], constant(layer["thresholds"]), result_type(layer)
    fraction = max(x.fraction, thresholds.fraction)
    reached = x.at(fraction)[..., None] >= thresholds.at(fraction)[0]  # (events, ..., c, k)
    count = np.asarray(reached, dtype=bool).sum(axis=-1)
    return Value(python_integers(layer["values"])[count], result.fraction, result)


def run_table(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """table[index(x)], or a multiple of x where `otherwise` says so."""
    x, table, how = inputs[0], constant(layer["table"]), layer["index"]
    n = table.size
    if "bits" in how:
        index = top_bits(x, how["bits"])
    else:
        multiply, shift, offset = how["multiply"], how["shift"], how["offset"]
        index = _each(lambda q: truncated_quotient(q * multiply, 1 << shift) + offset, x.q)
    y = Value(look_up(table, index, n), table.fraction)
    otherwise = layer.get("otherwise")
    if otherwise is not None:
        if otherwise.get("negative_multiply") is not None:
            factor = scalar(otherwise["negative_multiply"])
            y = Value(y.q * factor.q, y.fraction + factor.fraction)
        slope = scalar(otherwise["multiply"])
        direct = Value(x.q * slope.q, x.fraction + slope.fraction)
        y = select(x.q >= 0 if otherwise["when"] == "nonnegative" else x.q > 0, direct, y)
    return y.to(result_type(layer))


def top_bits(x: Value, bits: int) -> Integers:
    """The top bits of the stored bit pattern, as an unsigned number."""
    assert x.type is not None
    width = x.type.width
    return _each(lambda q: (q % (1 << width)) >> (width - bits), x.q)


def look_up(table: Value, index: Integers, n: int) -> Integers:
    """table[index], the index clamped to the table."""
    clamped = np.clip(index, 0, n - 1).astype(np.int64)
    entries: Integers = table.q.reshape(-1)[clamped]
    return entries


# --- softmax -------------------------------------------------------------------------------------------------------


def run_softmax(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """hls4ml's softmax over slices of `axis_size` values, by default the last axis."""
    x = inputs[0]
    size = layer.get("axis_size") or x.q.shape[-1]
    slices = Value(x.q.reshape(-1, size), x.fraction, x.type)
    kinds = {"latency": softmax_latency, "stable": softmax_stable, "legacy": softmax_legacy}
    result = kinds[layer["implementation"]](layer, slices)
    return Value(result.q.reshape(x.q.shape), result.fraction, result.type)


def softmax_latency(layer: Layer, x: Value) -> Value:
    """Exponentials of the top bits of x, times the inverse of their sum."""
    exp_table, inv_table, accum = constant(layer["exp_table"]), constant(layer["inv_table"]), parse(layer["accum"])
    e = Value(top_entries(exp_table, x), exp_table.fraction).to(accum)
    s = tree_sum([e.q[:, i] for i in range(e.q.shape[1])], accum)
    inverse = top_entries(inv_table, Value(s, accum.fraction).to(parse(layer["inv_input"])))
    return Value(e.q * inverse[:, None], accum.fraction + inv_table.fraction).to(result_type(layer))


def softmax_stable(layer: Layer, x: Value) -> Value:
    """The same, of the largest x minus x."""
    largest = x.q.max(axis=1, keepdims=True)
    return softmax_latency(layer, Value(largest - x.q, x.fraction).to(parse(layer["norm"])))


def top_entries(table: Value, x: Value) -> Integers:
    """table[top bits of x]."""
    return look_up(table, top_bits(x, table.size.bit_length() - 1), table.size)


def tree_sum(terms: list[Integers], accum: FixedType) -> Integers:
    """Sum in pairs, split at the largest power of two below the number of terms; each addition → accum."""
    if len(terms) == 1:
        return terms[0]
    split = 1 << ((len(terms) - 1).bit_length() - 1)
    total = tree_sum(terms[:split], accum) + tree_sum(terms[split:], accum)
    return Value(total, accum.fraction).to(accum).q


def softmax_legacy(layer: Layer, x: Value) -> Value:
    """For each i the inverse of Σ_j exp(x_j - x_i), both read from tables over [-8, 8) and [0, 64)."""
    exp_table, inv_table, accum = constant(layer["exp_table"]), constant(layer["inv_table"]), parse(layer["accum"])
    n_exp, n_inv = exp_table.size, inv_table.size
    result = zeros(*x.q.shape)
    for i in range(x.q.shape[1]):
        terms = []
        for j in range(x.q.shape[1]):
            index = table_index(Value(x.q[:, j] - x.q[:, i], x.fraction), n_exp, 16) + n_exp // 2
            entry = Value(look_up(exp_table, index, n_exp), exp_table.fraction)
            terms.append(single(1).to(accum).q if i == j else entry.to(accum).q)
        e = running_sum(terms, accum.fraction, accum, len(x.q))
        result[:, i] = look_up(inv_table, table_index(e, n_inv, 64), n_inv)
    return Value(result, inv_table.fraction).to(result_type(layer))


def table_index(x: Value, n: int, span: int) -> Integers:
    """x·n / span, cut off towards zero."""
    up, down = max(-x.fraction, 0), max(x.fraction, 0)
    return _each(lambda q: truncated_quotient((q << up) * n, span << down), x.q)


def run_argmax(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """1 at the first largest of the last axis, 0 elsewhere."""
    x = inputs[0].q
    first = np.argmax(x, axis=-1)
    hot = np.where(np.arange(x.shape[-1]) == first[..., None], 1, 0)
    return Value(python_integers(hot), 0).to(result_type(layer))


# --- two inputs ----------------------------------------------------------------------------------------------------


def exact_multiply(x: Value, y: Value) -> Value:
    """x·y."""
    return Value(x.q * y.q, x.fraction + y.fraction)


def exact_subtract(x: Value, y: Value) -> Value:
    """x - y."""
    return add(x, Value(-y.q, y.fraction))


def exact_average(x: Value, y: Value) -> Value:
    """(x + y) / 2: the same integer with one more fraction bit."""
    total = add(x, y)
    return Value(total.q, total.fraction + 1)


def exact_maximum(x: Value, y: Value) -> Value:
    """y unless x > y."""
    return select(greater(x, y), x, y)


def exact_minimum(x: Value, y: Value) -> Value:
    """y unless x < y."""
    return select(greater(y, x), x, y)


def binary(operation: Callable[[Value, Value], Value]) -> Callable[[Layer, list[Value], int], Value]:
    """A layer of two inputs: the shorter one begins again from its first element."""

    def run_binary(layer: Layer, inputs: list[Value], n_events: int) -> Value:
        x, y = inputs
        size, shape = (x.size, x.q.shape) if x.size >= y.size else (y.size, y.q.shape)
        cyclic = [Value(value.flat()[:, np.arange(size) % value.size], value.fraction) for value in (x, y)]
        result = operation(*cyclic).to(result_type(layer))
        return Value(result.q.reshape(shape), result.fraction, result.type)

    return run_binary


# --- integers as they are ------------------------------------------------------------------------------------------


def run_shift(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """q / 2**shift rounded down, or q·2**-shift wrapped, in x's own type; one shift, or one per element."""
    x = inputs[0]
    assert x.type is not None
    wrap = FixedType(x.type.width, x.type.integer, x.type.is_signed)
    columns = x.flat().copy()
    for i, shift in enumerate(np.resize(layer["shift"], x.size).tolist()):
        moved = columns[:, i] >> shift if shift > 0 else columns[:, i] << -shift
        columns[:, i] = convert_array(moved, wrap.fraction, wrap)
    return Value(columns.reshape(x.q.shape), x.fraction).to(result_type(layer))


def run_rescale(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """(q·multiplier + addend) / divisor as an integer, then the result's overflow or the clamp given."""
    x, result = inputs[0].q, result_type(layer)
    shape = x.shape[-1]
    m, a, d = (python_integers(np.resize(np.array(layer[key], dtype=object), shape)) for key in FACTORS)
    rounded = np.frompyfunc(lambda n, divisor: rational_rounding(n, divisor, layer["round"]), 2, 1)(x * m + a, d)
    low, high = layer.get("minimum"), layer.get("maximum")
    if low is None and high is None:
        return Value(_each(lambda q: overflow(q, result), rounded), result.fraction, result)
    low, high = (result.minimum if low is None else low), (result.maximum if high is None else high)
    return Value(_each(lambda q: min(max(q, low), high), rounded), result.fraction, result)


FACTORS = ("multiplier", "addend", "divisor")


def rational_rounding(numerator: int, divisor: int, rounding: str) -> int:
    """numerator / divisor (> 0) rounded to an integer."""
    if rounding in ("CEIL", "UP"):
        up = -(-numerator // divisor)
        return up if rounding == "CEIL" or numerator >= 0 else numerator // divisor
    floor, rest = divmod(numerator, divisor)
    # Half of the remainder and whether there is more: what a shift by two bits would see.
    quarters = 4 * floor + (rest != 0) + (2 * rest >= divisor) + (2 * rest > divisor and rest != 0)
    return round_shift(quarters, 2, rounding)


Operation = Callable[[Layer, list[Value], int], Value]

OPERATIONS: dict[str, Operation] = {
    "constant": run_constant,
    "quantize": run_quantize,
    "reshape": run_reshape,
    "transpose": run_transpose,
    "concatenate": run_concatenate,
    "gather": run_gather,
    "dense": run_dense,
    "conv1d": run_conv,
    "conv2d": run_conv,
    "pool": run_pool,
    "affine": run_affine,
    "relu": run_relu,
    "leaky_relu": run_leaky_relu,
    "thresholded_relu": run_thresholded_relu,
    "hard_sigmoid": run_hard_sigmoid,
    "hard_tanh": run_hard_tanh,
    "threshold": run_threshold,
    "table": run_table,
    "softmax": run_softmax,
    "argmax": run_argmax,
    "add": binary(add),
    "subtract": binary(exact_subtract),
    "multiply": binary(exact_multiply),
    "maximum": binary(exact_maximum),
    "minimum": binary(exact_minimum),
    "average": binary(exact_average),
    "dot": run_dot,
    "sum_of_squares": run_sum_of_squares,
    "sum": run_sum,
    "shift": run_shift,
    "rescale": run_rescale,
}
