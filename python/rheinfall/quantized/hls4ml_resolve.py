"""Names of an hls4ml project resolved: types, constants, configs, and weights as stored integers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from rheinfall.quantized import fixed_point
from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.fixed_point import FixedType
from rheinfall.quantized.hls4ml_cpp import Array, Declarations, Expression, Function, Name, Number, Operation, Struct
from rheinfall.quantized.hls4ml_declarations import UNREADABLE, read_declarations
from rheinfall.quantized.hls4ml_tokens import read_text

_FIXED = frozenset({"ap_fixed", "ap_ufixed", "ap_int", "ap_uint"})
_MAX_ELEMENTS = 1 << 22


@dataclass(frozen=True)
class CppType:
    """A fixed-point type as C++ has it: ap_uint<1> and ap_ufixed<1,1> hold the same but are not the same.

    `pack` is the number of elements of an nnet::array of a stream.
    """

    fixed: FixedType
    is_integer: bool
    pack: int | None = None

    @property
    def is_bit(self) -> bool:
        """Whether this is ap_uint<1>, for which nnet_utils has rules of its own."""
        return self.is_integer and self.fixed.width == 1 and not self.fixed.is_signed

    def same_as(self, other: CppType) -> bool:
        """Whether both are one C++ type, packing aside."""
        return self.fixed == other.fixed and self.is_integer == other.is_integer


@dataclass(frozen=True)
class Weights:
    """An array of constants: stored integers in their type."""

    name: str
    type: CppType
    data: list[int]


class Project:
    """The declarations of a project, and where its weights lie."""

    def __init__(self, folder: Path, function: Function, declarations: Declarations, weights: Path | None) -> None:
        self.folder = folder
        self.function = function
        self.declared = declarations
        self.weights_folder = weights
        self._weights: dict[str, Weights] = {}

    # -- types
    def type_of(self, expression: Expression, depth: int = 0) -> CppType:
        """The fixed-point type that an expression names.

        Raises:
            ModelError: it is none, or one that cannot be expressed (ap_float, a struct of weights, WRAP_SM).
        """
        if not isinstance(expression, Name) or depth > 32:
            raise ModelError("expected the name of a type")
        name, args = expression.last, expression.args
        if expression.text == "hls::stream" and args:
            return self.type_of(args[0], depth + 1)
        if expression.text == "nnet::array" and args is not None and len(args) == 2:
            inner = self.type_of(args[0], depth + 1)
            return CppType(inner.fixed, inner.is_integer, self.integer(args[1]))
        if args is not None and name in _FIXED:
            text = f"{name}<{','.join(self._type_argument(arg) for arg in args)}>"
            try:
                return CppType(fixed_point.parse(text), name in ("ap_int", "ap_uint"))
            except ValueError as error:
                raise ModelError(str(error)) from None
        target = self.declared.types.get(name)
        if target is UNREADABLE:
            raise ModelError(
                f"type {name!r} is a struct (compressed or exponent weights): only fixed-point weights are read"
            )
        if target is None or args is not None:
            raise ModelError(
                f"type {expression.text!r}: expected ap_fixed, ap_ufixed, ap_int, ap_uint or a typedef of one"
            )
        return self.type_of(target, depth + 1)

    def _type_argument(self, expression: Expression) -> str:
        if isinstance(expression, Name) and expression.last not in self.declared.constants:
            return expression.last
        return str(self.integer(expression))

    # -- constants
    def number(self, expression: Expression, struct: Struct | None = None, depth: int = 0) -> int | float | str:
        """The value of a constant expression; the last part of a name that is no constant (an enumerator)."""
        if depth > 64:
            raise ModelError("a constant refers to itself")
        if isinstance(expression, Number):
            return _literal(expression)
        if isinstance(expression, Name):
            if struct is not None and expression.text in struct.constants:
                return self.number(struct.constants[expression.text], struct, depth + 1)
            if expression.last in self.declared.constants:
                return self.number(self.declared.constants[expression.last], None, depth + 1)
            return expression.last
        values = [self.number(operand, struct, depth + 1) for operand in expression.operands]
        return _apply(expression, values)

    def integer(self, expression: Expression, struct: Struct | None = None) -> int:
        """The value of an expression of integers."""
        value = self.number(expression, struct)
        if not isinstance(value, int):
            raise ModelError(f"expected an integer, got {value}")
        return value

    def shape_of(self, dimensions: tuple[Expression | None, ...]) -> tuple[int, ...] | None:
        """The shape that `[8*8*2]` tells; None for a stream, which has none."""
        if not dimensions:
            return None
        factors: list[Expression] = []
        for dimension in dimensions:
            if dimension is None:
                raise ModelError("expected the size of an array")
            factors.extend(_factors(dimension))
        shape = tuple(self.integer(factor) for factor in factors)
        if any(size < 1 for size in shape) or math.prod(shape) > _MAX_ELEMENTS:
            raise ModelError(f"sizes {list(shape)}: expected positive ones, and at most {_MAX_ELEMENTS} elements")
        return shape

    # -- weights
    def has_weights(self, name: str) -> bool:
        """Whether there are constants of this name."""
        return name in self._weights or name in self.declared.arrays or self._file(name, ".h") is not None

    def _file(self, name: str, suffix: str) -> Path | None:
        if self.weights_folder is None or not name.replace("_", "a").isalnum():
            return None
        path = self.weights_folder / f"{name}{suffix}"
        return path if path.is_file() else None

    def weights(self, name: str) -> Weights:
        """The constants of a name, from headers or a text file, converted to their type as the C++ does.

        Raises:
            ModelError: there are none, their number is wrong, or header and text file differ.
        """
        if name not in self._weights:
            self._weights[name] = self._read_weights(name)
        return self._weights[name]

    def _read_weights(self, name: str) -> Weights:
        header = self._file(name, ".h")
        if name not in self.declared.arrays and header is not None:
            read_declarations(header, self.declared)
        array = self.declared.arrays.get(name)
        if array is None:
            raise ModelError(f"there are no constants {name!r}")
        where = f"{array.file}:{array.line}: constants {name!r}"
        try:
            type_ = self.type_of(array.type)
            shape = self.shape_of(array.dimensions) or ()
        except ModelError as error:
            raise ModelError(f"{where}: {error}") from None
        size = math.prod(shape)
        data = None if array.values is None else self._converted(array, type_, where)
        text_file = self._file(name, ".txt")
        if text_file is not None:
            from_text = _read_numbers(text_file, type_)
            if data is not None and from_text != data:
                raise ModelError(
                    f"{where}: {text_file.name} holds others: the emulation reads these, the firmware those"
                )
            data = from_text
        if data is None:
            raise ModelError(f"{where}: without values, and without a file {name}.txt")
        if len(data) != size:
            raise ModelError(f"{where}: expected {size} values, got {len(data)}")
        return Weights(name, type_, data)

    def _converted(self, array: Array, type_: CppType, where: str) -> list[int]:
        assert array.values is not None
        converted: dict[int | float, int] = {}
        data = []
        for expression in array.values:
            value = self.number(expression)
            if isinstance(value, str):
                raise ModelError(f"{where}: expected numbers, got {value!r}")
            if value not in converted:
                converted[value] = to_stored(value, type_)
            data.append(converted[value])
        return data


class Config:
    """One config struct of parameters.h."""

    def __init__(self, project: Project, struct: Struct) -> None:
        self.project = project
        self.struct = struct

    def has(self, name: str) -> bool:
        """Whether the struct has this constant or type."""
        return name in self.struct.constants or name in self.struct.types

    def value(self, name: str) -> int | float | str:
        """A constant, or the last part of an enumerator's name."""
        expression = self.struct.constants.get(name)
        if expression is None:
            raise self.missing(name)
        return self.project.number(expression, self.struct)

    def integer(self, name: str, default: int | None = None) -> int:
        """A constant that is an integer."""
        if default is not None and name not in self.struct.constants:
            return default
        value = self.value(name)
        if isinstance(value, str) and value in ("true", "false"):
            return int(value == "true")
        if not isinstance(value, int):
            raise ModelError(f"{self.struct.name}::{name}: expected an integer, got {value}")
        return value

    def size(self, name: str, least: int = 1) -> int:
        """A constant that counts something."""
        value = self.integer(name)
        if not least <= value <= _MAX_ELEMENTS:
            raise ModelError(f"{self.struct.name}::{name}: expected {least} to {_MAX_ELEMENTS}, got {value}")
        return value

    def choice(self, name: str, default: str = "") -> str:
        """An enumerator, without its namespaces."""
        if default and name not in self.struct.constants:
            return default
        return str(self.value(name))

    def type(self, name: str) -> CppType:
        """A type."""
        expression = self.struct.types.get(name)
        if expression is None:
            raise self.missing(name)
        return self.project.type_of(expression)

    def alias(self, name: str, default: str = "") -> str:
        """The last part of what an alias stands for: `mult` for `product = nnet::product::mult<x_T, y_T>`."""
        expression = self.struct.types.get(name)
        if expression is None and default:
            return default
        if not isinstance(expression, Name):
            raise self.missing(name)
        return expression.last

    def constant(self, name: str) -> tuple[CppType, int]:
        """A constant of a fixed-point type: the type, and the stored integer."""
        if name not in self.struct.constant_types:
            raise self.missing(name)
        type_ = self.project.type_of(self.struct.constant_types[name])
        value = self.value(name)
        if isinstance(value, str):
            raise ModelError(f"{self.struct.name}::{name}: expected a number, got {value!r}")
        return type_, to_stored(value, type_)

    def config(self, name: str) -> Config:
        """A config that this one names."""
        expression = self.struct.types.get(name)
        struct = self.project.declared.structs.get(expression.last) if isinstance(expression, Name) else None
        if struct is None:
            raise self.missing(name)
        return Config(self.project, struct)

    def missing(self, name: str) -> ModelError:
        """The error of a field that should be there."""
        return ModelError(f"config {self.struct.name!r} ({self.struct.file}:{self.struct.line}) has no {name!r}")


def to_stored(value: int | float, type_: CppType) -> int:
    """The stored integer of a literal in a type: exact for integers and doubles."""
    if type_.is_integer and isinstance(value, float):
        value = math.trunc(value) if math.isfinite(value) else value
    try:
        return fixed_point.convert_real(Fraction(value) if isinstance(value, int) else value, type_.fixed)
    except ValueError as error:
        raise ModelError(str(error)) from None


def _read_numbers(path: Path, type_: CppType) -> list[int]:
    lines = read_text(path).splitlines()
    data: list[int] = []
    for word in lines[0].split(",") if lines else []:
        try:
            value = int(word) if type_.is_integer else float(word)
        except ValueError:
            raise ModelError(f"{path}: value {len(data) + 1}: expected a number, got {word.strip()[:40]!r}") from None
        data.append(to_stored(value, type_))
    return data


def _literal(number: Number) -> int | float:
    try:
        return _literal_value(number)
    except ValueError as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"literal {number.text[:40]}: expected a number") from None


def _literal_value(number: Number) -> int | float:
    text = number.text.lower()
    if text.startswith("-"):
        return -_literal_value(Number(text[1:], number.line))
    if text.startswith("0x"):
        return int(text.rstrip("ul"), 16)
    if any(sign in text for sign in ".ef"):
        value = float(text.rstrip("fl"))
        if text.endswith("f"):
            raise ModelError(f"literal {number.text}: expected a double, not a float")
        return value
    digits = text.rstrip("ul")
    if len(digits) > 20 or (len(digits) > 1 and digits[0] == "0"):
        raise ModelError(f"literal {number.text}: expected a decimal number of at most 20 digits")
    return int(digits)


def _factors(expression: Expression) -> list[Expression]:
    if isinstance(expression, Operation) and expression.operator == "*":
        return [factor for operand in expression.operands for factor in _factors(operand)]
    return [expression]


def _apply(operation: Operation, values: list[int | float | str]) -> int | float | str:
    operator = operation.operator
    if operator == "?" and len(values) == 3:
        return values[1] if values[0] else values[2]
    if operator in ("==", "!="):
        same = _same(values[0]) == _same(values[1])
        return int(same == (operator == "=="))
    numbers = [value for value in values if not isinstance(value, str)]
    if len(numbers) != len(values):
        unknown = next(value for value in values if isinstance(value, str))
        raise ModelError(f"unknown constant {unknown!r} in an expression")
    if operator in ("negate", "plus") and len(numbers) == 1:
        return -numbers[0] if operator == "negate" else numbers[0]
    if len(numbers) == 2:
        a, b = numbers
        if operator in ("+", "-", "*"):
            return a + b if operator == "+" else a - b if operator == "-" else a * b
        if isinstance(a, int) and isinstance(b, int) and b > 0 and a >= 0:
            if operator in ("/", "%"):
                return a // b if operator == "/" else a % b
            if operator == "DIV_ROUNDUP":
                return -(-a // b)
            if operator in ("MIN", "MAX"):
                return min(a, b) if operator == "MIN" else max(a, b)
    raise ModelError(f"cannot evaluate {operator!r} of {numbers}")


def _same(value: int | float | str) -> int | float | str:
    return value % (1 << 32) if isinstance(value, int) else value  # unsigned n_filt == -1
