"""A whole document: its inputs, its layers one after the other, its outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rheinfall.quantized.fixed_point import convert_real, overflow, parse
from rheinfall.reference.quantized.elements import (
    binary,
    exact_average,
    exact_maximum,
    exact_minimum,
    exact_multiply,
    exact_subtract,
    run_affine,
    run_hard_sigmoid,
    run_hard_tanh,
    run_leaky_relu,
    run_relu,
    run_table,
    run_threshold,
    run_thresholded_relu,
)
from rheinfall.reference.quantized.integers import run_rescale, run_shift
from rheinfall.reference.quantized.moves import (
    run_concatenate,
    run_constant,
    run_gather,
    run_quantize,
    run_reshape,
    run_transpose,
)
from rheinfall.reference.quantized.pooling import run_pool
from rheinfall.reference.quantized.softmax import run_argmax, run_softmax
from rheinfall.reference.quantized.sums import run_conv, run_dense, run_dot, run_sum, run_sum_of_squares
from rheinfall.reference.quantized.values import (
    Integers,
    Layer,
    Value,
    add,
    python_integers,
)


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
