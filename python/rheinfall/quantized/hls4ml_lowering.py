"""From the calls of an hls4ml top function to a document of docs/quantized_format.md: what all layers share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.fixed_point import FixedType, format_type
from rheinfall.quantized.hls4ml_cpp import LayerCall, Name, Variable
from rheinfall.quantized.hls4ml_resolve import Config, CppType, Project, Weights, to_stored

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Value:
    """A value of the document: an input or what a layer makes."""

    name: str
    type: CppType
    shape: Shape

    @property
    def size(self) -> int:
        """Elements of one event."""
        return math.prod(self.shape)


def fixed(width: int, integer: int | None = None, is_signed: bool = True) -> CppType:
    """An ap_int (ap_uint), or with `integer` an ap_fixed (ap_ufixed)."""
    return CppType(FixedType(width, width if integer is None else integer, is_signed), integer is None)


def plain(type_: CppType) -> CppType:
    """The type with default modes: a value that is only moved is not converted."""
    return CppType(replace(type_.fixed, rounding="TRN", overflow="WRAP"), type_.is_integer)


def tensor(type_: FixedType, shape: Sequence[int], data: Sequence[int]) -> dict[str, Any]:
    """A constant of a document."""
    return {
        "type": format_type(replace(type_, rounding="TRN", overflow="WRAP")),
        "shape": list(shape),
        "data": list(data),
    }


class Lowering:
    """Builds a document: layers in order, with names of their own, and the traps found."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.layers: list[dict[str, Any]] = []
        self.inputs: dict[str, Value] = {}
        self.values: dict[str, Value] = {}
        self.variables: dict[str, Variable] = {}
        self.traps: list[str] = []
        self.written: list[str] = []
        self._names: set[str] = {parameter.name for parameter in project.function.parameters}
        self.wrapping: list[str] = []
        self.defaulted: list[str] = []

    def unique(self, name: str) -> str:
        """The name, or the name with a number where it is taken."""
        found, number = name, 2
        while found in self._names:
            found, number = f"{name}_{number}", number + 1
        self._names.add(found)
        return found

    def emit(
        self, name: str, op: str, inputs: Sequence[Value], type_: CppType, shape: Sequence[int], **fields: Any
    ) -> Value:
        """Append a layer; fields that are None are left out, and a reshape or gather tells its shape."""
        name = self.unique(name)
        layer = {
            "name": name,
            "op": op,
            "inputs": [value.name for value in inputs],
            "result": format_type(type_.fixed),
            **{key: value for key, value in fields.items() if value is not None},
        }
        if op in ("reshape", "gather"):
            layer["shape"] = list(shape)
        if op == "constant":
            del layer["inputs"]
        self.layers.append(layer)
        return Value(name, replace(type_, pack=None), tuple(shape))

    def reshape(self, value: Value, shape: Sequence[int], name: str = "") -> Value:
        """The value in another shape; itself where it has that."""
        if value.shape == tuple(shape):
            return value
        if value.size != math.prod(shape):
            raise ModelError(f"expected {math.prod(shape)} inputs, got {value.size} (shape {list(value.shape)})")
        moved = self.emit(name or f"{value.name}_reshaped", "reshape", [value], plain(value.type), shape)
        return replace(moved, type=value.type)  # with its modes, which the C++ uses where it assigns to data_T

    def declared(self, name: str) -> tuple[CppType, Shape | None]:
        """The type and the shape of a variable of the top function; a stream has no shape."""
        variable = self.variables.get(name)
        if variable is None:
            raise ModelError(f"variable {name!r} is not declared")
        if variable.target is not None:
            return self.declared(variable.target)
        return self.project.type_of(variable.type), self.project.shape_of(variable.dimensions)

    def read(self, name: str, shape: Sequence[int] | None = None) -> Value:
        """The value of a variable; a parameter that nothing has written is an input of the network.

        `shape` is what the reader takes; it gives an input from a stream its shape.
        """
        variable = self.variables.get(name)
        if variable is not None and variable.target is not None and name not in self.values:
            self.values[name] = self.read(variable.target, shape)
        if name not in self.values:
            if variable is None or all(variable is not parameter for parameter in self.project.function.parameters):
                raise ModelError(f"variable {name!r} is read before a layer writes it")
            type_, declared = self.declared(name)
            shape = declared or shape
            if shape is None:
                raise ModelError(f"input {name!r}: its shape is not known")
            self.values[name] = self.inputs[name] = Value(name, replace(type_, pack=None), tuple(shape))
        value = self.values[name]
        return value if shape is None else self.reshape(value, shape)

    def write(self, name: str, value: Value) -> None:
        """Give a variable its value, in its declared shape."""
        if name in self.values:
            raise ModelError(f"variable {name!r} is written twice")
        type_, shape = self.declared(name)
        if not type_.same_as(value.type):
            raise ModelError(
                f"variable {name!r} is {format_type(type_.fixed)}, its layer gives {format_type(value.type.fixed)}"
            )
        if shape is not None and shape != value.shape:
            if math.prod(shape) != value.size:
                raise ModelError(f"variable {name!r} has {math.prod(shape)} elements, its layer gives {value.size}")
            value = self.reshape(value, shape)
        self.values[name] = value
        self.written.append(name)


class Call:
    """The call of one layer: what its handler asks for."""

    def __init__(self, lowering: Lowering, call: LayerCall) -> None:
        self.lowering = lowering
        self.call = call
        self.function = call.function.last
        self.line = call.line
        self.outputs: list[str] = []
        comment = call.comment.split()
        self.node = comment[0] if len(comment) == 1 else self._output_guess()

    def _output_guess(self) -> str:
        names = [argument.text for argument in self.call.arguments if isinstance(argument, Name)]
        return names[1] if len(names) > 1 else f"line_{self.call.line}"

    @property
    def project(self) -> Project:
        """The project of the call."""
        return self.lowering.project

    @property
    def config(self) -> Config:
        """The config: the last template argument."""
        args = self.call.function.args
        if not args or not isinstance(args[-1], Name) or args[-1].last not in self.project.declared.structs:
            raise ModelError("expected a config struct as the last template argument")
        return Config(self.project, self.project.declared.structs[args[-1].last])

    def type_argument(self, index: int) -> CppType:
        """A template argument that is a type."""
        args = self.call.function.args or ()
        if index >= len(args):
            raise ModelError(f"expected at least {index + 1} template arguments")
        return self.project.type_of(args[index])

    def argument(self, index: int) -> str:
        """The name of a variable that is passed."""
        if index >= len(self.call.arguments):
            raise ModelError(f"expected at least {index + 1} arguments")
        argument = self.call.arguments[index]
        if not isinstance(argument, Name):
            raise ModelError(f"argument {index + 1}: expected a variable")
        return argument.text

    def input(self, index: int = 0, shape: Sequence[int] | None = None) -> Value:
        """The value that is passed, in a shape."""
        value = self.lowering.read(self.argument(index), shape)
        if index == 0 and not self.type_argument(0).same_as(value.type):
            raise ModelError(
                f"its input is {value.type.fixed}, its first template argument {self.type_argument(0).fixed}"
            )
        return value

    def sized_input(self, n_in: int) -> Value:
        """The input in its own shape; one that comes as a stream has the stream's pack as last axis."""
        known = self.argument(0) in self.lowering.values or not self.is_stream
        pack = self.type_argument(0).pack or n_in
        shape = None if known else (n_in,) if pack >= n_in or n_in % pack else (n_in // pack, pack)
        value = self.input(0, shape)
        if value.size != n_in:
            raise ModelError(f"expected {n_in} inputs, got {value.size}")
        return value

    def result(self, index: int = 1) -> tuple[CppType, Shape | None]:
        """The declared type and shape of the variable that takes the output."""
        type_, shape = self.lowering.declared(self.argument(index))
        return replace(type_, pack=None), shape

    @property
    def is_stream(self) -> bool:
        """Whether the layer reads a stream (io_stream), whose code differs in places."""
        return self.lowering.declared(self.argument(0))[1] is None

    def result_type(self, index: int = 1) -> CppType:
        """The declared type of the variable that takes the output."""
        return self.result(index)[0]

    def weights(self, index: int, size: int) -> Weights:
        """Constants that are passed, of which there must be `size`."""
        weights = self.project.weights(self.argument(index))
        if len(weights.data) != size:
            raise ModelError(f"expected {size} constants {weights.name!r}, got {len(weights.data)}")
        return weights

    def literal(self, index: int, type_: CppType) -> int:
        """A number that is passed, as the stored integer of a type."""
        if index >= len(self.call.arguments):
            raise ModelError(f"expected at least {index + 1} arguments")
        value = self.project.number(self.call.arguments[index])
        if isinstance(value, str):
            raise ModelError(f"argument {index + 1}: expected a number, got {value!r}")
        return to_stored(value, type_)

    def emit(
        self, op: str, inputs: Sequence[Value], type_: CppType, shape: Sequence[int], suffix: str = "", **fields: Any
    ) -> Value:
        """Append a layer under the node's name, with a suffix for what prepares another."""
        return self.lowering.emit(self.node + suffix, op, inputs, type_, shape, **fields)

    def finish(self, value: Value, index: int = 1) -> None:
        """Give the output variable its value."""
        args = self.call.function.args or ()
        place = 1 if self.function == "relu_max" else len(args) - 2
        if place > 0 and not self.type_argument(place).same_as(value.type):
            raise ModelError(
                f"its output is {value.type.fixed}, its template argument {self.type_argument(place).fixed}"
            )
        self.lowering.write(self.argument(index), value)
        result = value.type.fixed
        if result.overflow == "WRAP":
            self.lowering.wrapping.append(value.name)
        if format_type(result) == "ap_fixed<16,6>":
            self.lowering.defaulted.append(value.name)

    def trap(self, text: str) -> None:
        """Note what may surprise."""
        self.lowering.traps.append(f"layer {self.node!r}: {text}")
