"""Write a quantized network as one C++17 header without dependencies: the bits of `Network` in other programs."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rheinfall.quantized import emit_elementwise, emit_linear, emit_tables, emit_text
from rheinfall.quantized.emit_elementwise import Writer
from rheinfall.quantized.emit_values import Layer, TooWideError, Value, each_layer, refuse, result_shape
from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.fixed_point import FixedType, parse

FORM = 2  # of generated code: part of the namespace, so that headers of two releases can be linked together

WRITERS: dict[str, Callable[[Writer], None]] = {
    "constant": emit_elementwise.write_constant,
    "quantize": emit_elementwise.write_quantize,
    "reshape": emit_elementwise.write_quantize,
    "transpose": emit_elementwise.write_transpose,
    "concatenate": emit_elementwise.write_concatenate,
    "gather": emit_elementwise.write_gather,
    "dense": emit_linear.write_dense,
    "conv1d": emit_linear.write_conv,
    "conv2d": emit_linear.write_conv,
    "pool": emit_linear.write_pool,
    "affine": emit_elementwise.write_affine,
    "relu": emit_elementwise.write_relu,
    "leaky_relu": emit_elementwise.write_leaky_relu,
    "thresholded_relu": emit_elementwise.write_thresholded_relu,
    "hard_sigmoid": emit_elementwise.write_hard_sigmoid,
    "hard_tanh": emit_elementwise.write_hard_sigmoid,
    "threshold": emit_elementwise.write_threshold,
    "table": emit_tables.write_table,
    "softmax": emit_tables.write_softmax,
    "argmax": emit_elementwise.write_argmax,
    "dot": emit_linear.write_dot,
    "sum_of_squares": emit_linear.write_dot,
    "sum": emit_linear.write_sum,
    "shift": emit_elementwise.write_shift,
    "rescale": emit_elementwise.write_rescale,
    **dict.fromkeys(("add", "subtract", "multiply", "maximum", "minimum", "average"), emit_elementwise.write_binary),
}


def emit_cpp(
    document: Mapping[str, Any], folder: str | os.PathLike[str], name: str | None = None, *, n_test_events: int = 0
) -> Path:
    """Write `NAME.hpp`: a network as a dependency-free C++17 header with the same bits as `Network`.

    The header defines `NAME::run(in, out)` on stored integers and `NAME::run_real(in, out)` on doubles, both for one
    event, noexcept and without state; `NAME::n_inputs`, `n_outputs`. Everything is of internal linkage inside
    `namespace NAME { inline namespace h<hash of the document> }`: networks with equal layer names, versions of one
    network, and parts of a program that are compiled for other machines cannot mix. Functions are `__host__ __device__`
    under nvcc (`RHEINFALL_EMIT_HD`), with their weights as static constants inside them.

    Args:
        document: a network's document (docs/quantized_format.md), valid: `Network.document`.
        folder: where to write; made if it is not there.
        name: of header and namespace; by default the document's, with what C++ names lack replaced by `_`.
        n_test_events: if not 0, write also `NAME_test.cpp`, a program that compares as many random events with the
            reference in Python and returns 1 if any bit differs.

    Returns:
        The header's path.

    Raises:
        ModelError: a layer's exact values may need more than 127 bits; the message names it.
        ValueError: `name` is no C++ name.
    """
    name = _cpp_name(document, name)
    header = Path(folder) / f"{name}.hpp"
    header.parent.mkdir(parents=True, exist_ok=True)
    header.write_text(header_text(document, name), encoding="ascii")
    if n_test_events:
        from rheinfall.quantized.emit_test import program_text

        header.with_name(f"{name}_test.cpp").write_text(program_text(document, name, n_test_events), encoding="ascii")
    return header


@dataclass(frozen=True)
class Function:
    """One layer's function, and the call of it."""

    text: list[str]
    call: str
    value: Value


def header_text(document: Mapping[str, Any], name: str) -> str:
    """The header."""
    values: dict[str, Value] = {}
    for position, declared in enumerate(document["inputs"]):
        stored = parse(declared["type"])
        values[declared["name"]] = Value(f"in{position}", tuple(declared["shape"]), stored, *stored.range)
    functions = []
    for position, (layer, result) in enumerate(each_layer(document)):
        try:
            function = _write_layer(position, layer, [values[n] for n in layer.get("inputs", [])], result)
        except TooWideError as error:
            raise refuse(layer, error) from None
        values[layer["name"]] = function.value
        functions.append(function)
    outputs = [values[output if isinstance(output, str) else output["name"]] for output in document["outputs"]]
    inputs = [values[declared["name"]] for declared in document["inputs"]]
    parts = emit_text.Parts(document, name, identity(document), inputs, outputs)
    return emit_text.header(parts, [f.text for f in functions], [(f.call, f.value) for f in functions])


def identity(document: Mapping[str, Any]) -> str:
    """The inner namespace: the same for the same document and form of generated code alone."""
    canonical = json.dumps([FORM, document], sort_keys=True, separators=(",", ":")).encode()
    return "h" + hashlib.sha256(canonical).hexdigest()[:16]


def _write_layer(position: int, layer: Layer, inputs: list[Value], result: FixedType) -> Function:
    shape = result_shape(layer, inputs)
    distinct = list(dict.fromkeys(value.code for value in inputs))
    local = {code: f"x{k}" if len(distinct) > 1 else "x" for k, code in enumerate(distinct)}
    writer = Writer(layer, [replace(value, code=local[value.code]) for value in inputs], shape, result)
    WRITERS[layer["op"]](writer)
    value = Value(f"v{position}", shape, result, writer.lo, writer.hi)
    function = f"layer{position}_{_identifier(layer['name'])}"
    ctypes = {v.code: v.ctype for v in inputs}
    parameters = [f"const {ctypes[code]}* __restrict__ {local[code]}" for code in distinct]
    parameters.append(f"{value.ctype}* __restrict__ y")
    uses_type = any("<Y>" in line for line in writer.body.lines)
    text = [
        f"// {emit_text.comment(layer['name'])}: {layer['op']} -> {layer['result']} {list(shape)}, "
        f"stored integers in [{writer.lo}, {writer.hi}]",
        f"RHEINFALL_EMIT_HD static inline void {function}({', '.join(parameters)}) noexcept {{",
        *([f"    using Y = {value.ctype};"] if uses_type else []),
        *writer.body.finished([local[code] for code in distinct]),
        "}",
        "",
    ]
    return Function(text, f"{function}({', '.join([*distinct, value.code])});", value)


def _cpp_name(document: Mapping[str, Any], name: str | None) -> str:
    if name is None:
        return _identifier(str(document.get("name") or "network"))
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name, re.ASCII) or "__" in name or name in emit_text.KEYWORDS:
        raise ValueError(f"name {name!r}: expected a C++ name that no compiler reserves")
    return name


def _identifier(text: str) -> str:
    plain = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9]", "_", text)).strip("_")[:60]
    if not plain:
        return "network"
    return f"n{plain}" if plain[0].isdigit() or plain in emit_text.KEYWORDS else plain


__all__ = ["ModelError", "emit_cpp", "header_text", "identity"]
