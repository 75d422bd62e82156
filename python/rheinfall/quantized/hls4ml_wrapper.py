"""What surrounds an hls4ml network in firmware: offset and shift of the inputs before it, a score after it."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

from rheinfall.quantized import fixed_point
from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.fixed_point import FixedType, format_type
from rheinfall.quantized.hls4ml_declarations import read_declarations
from rheinfall.quantized.hls4ml_lowering import tensor
from rheinfall.quantized.hls4ml_resolve import CppType, Project, to_stored
from rheinfall.quantized.hls4ml_tokens import read_text

Wrapper = dict[str, Any]


def read_wrapper(wrapper: Wrapper | str | Path) -> tuple[Wrapper, str]:
    """The wrapper and what errors call it: a dict, or the path of a JSON file."""
    if isinstance(wrapper, dict):
        return wrapper, "the wrapper"
    path = Path(wrapper)
    try:
        read = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path}: expected JSON: {error}") from None
    if not isinstance(read, dict):
        raise ModelError(f"{path}: expected a JSON object")
    return read, str(path)


def apply_wrapper(document: Wrapper, named: tuple[Wrapper, str], folder: Path, project: Project) -> Wrapper:
    """The document with input scaling before its layers and a score behind them.

    Before: `tmp = x - offset` in the input's type, `y = tmp >> shift` in it too, then the network's input type. Behind:
    the sum of squares, squares and sum each converted to the score's type, or a conversion to that type.

    Raises:
        ModelError: the wrapper, the field, and what was expected.
    """
    wrapper, where = named
    try:
        _check_keys(wrapper, {"format", "input", "score"}, "wrapper")
        if wrapper.get("format") != 1:
            raise ModelError(f"format: expected 1, got {wrapper.get('format')!r}")
        document = dict(document, layers=list(document["layers"]), traps=list(document["traps"]))
        if "input" in wrapper:
            _scale_input(document, wrapper["input"], folder, project)
        if "score" in wrapper:
            _add_score(document, wrapper["score"])
    except ModelError as error:
        raise ModelError(f"{folder}, {where}: {error}") from None
    return document


def _check_keys(fields: Any, known: set[str], what: str) -> None:
    if not isinstance(fields, dict):
        raise ModelError(f"{what}: expected an object")
    unknown = sorted(str(key) for key in fields.keys() - known)
    if unknown:
        raise ModelError(f"{what}: unknown key {unknown[0]!r}; expected {', '.join(sorted(known))}")


def _type(fields: Any, what: str) -> FixedType:
    text = fields.get("type") if isinstance(fields, dict) else None
    if not isinstance(text, str):
        raise ModelError(f"{what}.type: expected a type such as ap_fixed<18,13>")
    try:
        return fixed_point.parse(text)
    except ValueError as error:
        raise ModelError(f"{what}.type: {error}") from None


def _scale_input(document: Wrapper, fields: Any, folder: Path, project: Project) -> None:
    _check_keys(fields, {"type", "offset", "shift"}, "input")
    if len(document["inputs"]) != 1:
        raise ModelError(f"input: the network has {len(document['inputs'])} inputs, a wrapper scales one")
    inner = document["inputs"][0]
    shape, size, type_ = inner["shape"], math.prod(inner["shape"]), _type(fields, "input")
    target = fixed_point.parse(inner["type"])
    outer = {"name": f"{inner['name']}_unscaled", "shape": shape, "type": format_type(type_)}
    layers: list[Wrapper] = []
    value, is_shifted = outer["name"], "shift" in fields
    if "offset" in fields:
        result = type_ if is_shifted else target
        layers.append(_offset_layer(document, fields["offset"], value, type_, shape, (folder, project)))
        value = layers[-1]["name"]
        if not is_shifted:
            layers.append({"name": inner["name"], "op": "quantize", "inputs": [value], "result": format_type(result)})
    if is_shifted:
        shifts = _shifts(fields["shift"], size, (folder, project))
        layers.append(
            {"name": inner["name"], "op": "shift", "inputs": [value], "result": inner["type"], "shift": shifts}
        )
        negative = [i for i, shift in enumerate(shifts) if shift < 0]
        if negative:
            document["traps"].append(f"input scaling shifts inputs {negative} to the left, in {type_}, which wraps")
    elif "offset" not in fields:
        layers.append({"name": inner["name"], "op": "quantize", "inputs": [value], "result": inner["type"]})
    if target.fraction < type_.fraction:
        lost = type_.fraction - target.fraction
        document["traps"].append(f"the network's input type {target} rounds {lost} bits of the scaled inputs once more")
    document["inputs"] = [outer]
    document["layers"] = layers + document["layers"]


def _offset_layer(
    document: Wrapper, fields: Any, value: str, type_: FixedType, shape: list[int], place: tuple[Path, Project]
) -> Wrapper:
    size = math.prod(shape)
    offset_type, offsets, written = _constants(fields, "input.offset", size, place)
    lost = [i for i, (q, x) in enumerate(zip(offsets, written, strict=True)) if Fraction(q) != _steps(x, offset_type)]
    if lost:
        document["traps"].append(
            f"the offsets' type {offset_type} does not hold the offsets of inputs {lost}: they change"
        )
    negated = FixedType(offset_type.width + 1, offset_type.integer + 1)  # one bit more: -(-2^(W-1)) is 2^(W-1)
    return {
        "name": f"{value}_offset",
        "op": "affine",
        "inputs": [value],
        "result": format_type(type_),
        "scale": tensor(FixedType(1, 1, False), shape, [1] * size),
        "bias": tensor(negated, shape, [-q for q in offsets]),
    }


def _steps(x: int | float, type_: FixedType) -> Fraction:
    return Fraction(x) * Fraction(2) ** type_.fraction


def _shifts(fields: Any, size: int, place: tuple[Path, Project]) -> list[int]:
    if isinstance(fields, list):
        if any(isinstance(shift, float) for shift in fields):
            raise ModelError("input.shift: expected integers")
        fields = {"type": "ap_int<32>", "data": fields}
    type_, stored, _ = _constants(fields, "input.shift", size, place)
    if type_.fraction > 0 and any(q % (1 << type_.fraction) for q in stored):
        raise ModelError("input.shift: expected integers")
    return [q >> type_.fraction if type_.fraction > 0 else q << -type_.fraction for q in stored]


def _constants(
    fields: Any, what: str, size: int, place: tuple[Path, Project]
) -> tuple[FixedType, list[int], list[int | float]]:
    """Type, stored integers and numbers as they are written, of a named array of a file or of a list with its type."""
    folder, project = place
    if isinstance(fields, dict) and "file" in fields:
        _check_keys(fields, {"file", "name"}, what)
        name = fields.get("name")
        read_declarations(_inside(folder, fields["file"], what), project.declared)
        array = project.declared.arrays.get(name) if isinstance(name, str) else None
        if array is None or array.values is None:
            raise ModelError(f"{what}.name: {fields['file']} has no constants {name!r}")
        cpp = project.type_of(array.type)
        numbers = [project.number(value) for value in array.values]
    else:
        _check_keys(fields, {"type", "data"}, what)
        cpp = CppType(_type(fields, what), False)
        numbers = fields.get("data")
    if not isinstance(numbers, list) or len(numbers) != size:
        raise ModelError(f"{what}: expected {size} numbers")
    good: list[int | float] = []
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
            raise ModelError(f"{what}: expected numbers, got {number!r}")
        good.append(number)
    return cpp.fixed, [to_stored(number, cpp) for number in good], good


def _inside(folder: Path, name: Any, what: str) -> Path:
    """The file of a name inside the folder; names that lead out of it are refused."""
    if not isinstance(name, str):
        raise ModelError(f"{what}.file: expected a file's name, got {name!r}")
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or PurePosixPath(name).is_absolute() or "\\" in name or "\0" in name:
        raise ModelError(f"{what}.file: expected a file inside the folder, got {name!r}")
    if folder.name == "NN" and not (folder / name).is_file():
        return folder.parent / name
    return folder / name


def _add_score(document: Wrapper, fields: Any) -> None:
    _check_keys(fields, {"op", "type"}, "score")
    op = fields.get("op")
    if op not in ("sum_of_squares", "identity"):
        raise ModelError(f"score.op: expected sum_of_squares or identity, got {op!r}")
    if len(document["outputs"]) != 1:
        raise ModelError(f"score: the network has {len(document['outputs'])} outputs, a score takes one")
    type_ = _type(fields, "score")
    taken = {layer["name"] for layer in document["layers"]} | {value["name"] for value in document["inputs"]}
    name = next(n for n in ("score", *(f"score_{i}" for i in range(2, len(taken) + 3))) if n not in taken)
    layer = {"name": name, "inputs": document["outputs"], "result": format_type(type_)}
    if op == "sum_of_squares":
        layer |= {"op": "sum_of_squares", "accum": format_type(type_)}
        if type_.overflow == "WRAP":
            document["traps"].append(f"the score wraps beyond {type_}: a large anomaly can score small")
    else:
        layer |= {"op": "quantize"}
    document["layers"].append(layer)
    document["outputs"] = [name]
