"""Operations that move values."""

from __future__ import annotations

import numpy as np

from rheinfall.reference.quantized.values import (
    Layer,
    Value,
    constant,
    result_type,
    zeros,
)


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
