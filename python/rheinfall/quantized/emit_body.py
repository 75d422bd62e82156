"""C++ expressions with proven intervals, and the body of one generated function.

Every operation here takes and gives an `Integer`: C++ text and an interval that holds its exact value. The type of an
operation is the narrowest of 32, 64 and 128 bits that holds operands and result, so generated code cannot overflow.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from rheinfall.quantized.emit_values import ctype, lane_bits
from rheinfall.quantized.fixed_point import FixedType, round_shift

WIDTH = 120
_LET = re.compile(r" *const (?:i\d+|int) ([tk]\d+|row|column) = ")
_VARIABLE = re.compile(r"( *)(?:alignas\(64\) )?[iu]\d+ (\w+)(?:\[\d+\])?(?: = .*)?;")


@dataclass(frozen=True)
class Integer:
    """A C++ expression of type i32, i64 or i128 (by `bits`), in [lo, hi]."""

    code: str
    lo: int
    hi: int
    bits: int

    def at(self, bits: int) -> str:
        """The expression as a signed integer of `bits` bits, which must hold the interval."""
        if self.lo == self.hi:
            return literal_code(self.lo, bits)
        return self.code if bits == self.bits else f"static_cast<{ctype(bits)}>({self.code})"

    def lane(self, bits: int) -> str:
        """The low `bits` bits as an unsigned integer."""
        return f"static_cast<u{bits}>({self.code})"


def literal(value: int, bits: int | None = None) -> Integer:
    """A constant."""
    bits = bits or lane_bits(value, value)
    return Integer(literal_code(value, bits), value, value, bits)


def literal_code(value: int, bits: int) -> str:
    """A constant as C++: no suffix can be wrong, and the smallest negative number is no negated positive."""
    if bits == 128 and lane_bits(value, value) == 128:
        unsigned = value % (1 << 128)
        return f"wide({unsigned >> 64:#x}u, {unsigned & (2**64 - 1):#x}u)"
    if value == -(1 << 31) and bits == 32:
        return "(-2147483647 - 1)"
    if value == -(1 << 63):
        return "(i64{-9223372036854775807} - 1)" if bits == 64 else "i128{i64{-9223372036854775807} - 1}"
    return str(value) if bits == 32 else f"{ctype(bits)}{{{value}}}"


class Body:
    """The lines of one function: constants first, then statements in nested loops."""

    def __init__(self) -> None:
        self.constants: dict[str, list[str]] = {}  # by name
        self.lines: list[str] = []
        self.depth = 1
        self._n_names = 0

    def line(self, text: str) -> None:
        """A statement."""
        self.lines.append("    " * self.depth + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Statements between `head {` and `}`."""
        self.line(f"{head} {{")
        self.depth += 1
        yield
        self.depth -= 1
        self.line("}")

    def loop(self, index: str, n: int | str) -> AbstractContextManager[None]:
        """for (int index = 0; index < n; ++index)."""
        return self.block(f"for (int {index} = 0; {index} < {n}; ++{index})")

    def name(self, stem: str = "t") -> str:
        """A name that this function has not used."""
        self._n_names += 1
        return f"{stem}{self._n_names}"

    def let(self, value: Integer) -> Integer:
        """The value in a variable, so that it is computed once."""
        if value.code.isidentifier():
            return value
        name = self.name()
        self.line(f"const {ctype(value.bits)} {name} = {value.code};")
        return Integer(name, value.lo, value.hi, value.bits)

    def array(self, stem: str, values: Sequence[int]) -> Array:
        """A constant array in the narrowest element type."""
        array = Array(stem, element_type(min(values), max(values)), min(values), max(values))
        head = f"    alignas(64) static constexpr {array.element} {array.name}[{len(values)}] = {{"
        self.constants[stem] = [head, *wrapped((_array_literal(v, array.element) for v in values), 8), "    };"]
        return array

    def finished(self, parameters: Sequence[str]) -> list[str]:
        """All lines, without variables and constants that proofs have made useless, which compilers would warn of."""
        lines = self.lines
        while True:
            words = Counter(word for line in lines for word in re.findall(r"\w+", line))
            kept = [line for line in lines if (named := _LET.match(line)) is None or words[named.group(1)] > 1]
            if len(kept) == len(lines):
                break
            lines = kept
        unused = [f"    static_cast<void>({name});" for name in parameters if not words[name]]
        lines = [silenced for line in lines for silenced in _silence(line, lines)]
        constants = [line for name, block in self.constants.items() if words[name] for line in block]
        return [*constants, *unused, *lines]

    # --- arithmetic -------------------------------------------------------------------------------------------------

    def add(self, x: Integer, y: Integer) -> Integer:
        """x + y."""
        return _operation("+", x, y, x.lo + y.lo, x.hi + y.hi)

    def subtract(self, x: Integer, y: Integer) -> Integer:
        """x - y."""
        return _operation("-", x, y, x.lo - y.hi, x.hi - y.lo)

    def multiply(self, x: Integer, y: Integer) -> Integer:
        """x · y."""
        corners = [a * b for a in (x.lo, x.hi) for b in (y.lo, y.hi)]
        return _operation("*", x, y, min(corners), max(corners))

    def scale_up(self, x: Integer, k: int) -> Integer:
        """x · 2**k, k >= 0."""
        if k == 0:
            return x
        if x.lo == x.hi == 0:
            return literal(0)
        return self.multiply(x, literal(1 << k))

    def floor_shift(self, x: Integer, k: int) -> Integer:
        """floor(x / 2**k), k >= 0."""
        if k == 0:
            return x
        k_code = min(k, x.bits - 1)  # what is left is the sign, whatever more is shifted
        return Integer(f"({x.code} >> {k_code})", x.lo >> k, x.hi >> k, x.bits)

    def select(self, condition: str, x: Integer, y: Integer) -> Integer:
        """condition ? x : y."""
        if condition in ("true", "false"):
            return x if condition == "true" else y
        lo, hi = min(x.lo, y.lo), max(x.hi, y.hi)
        bits = lane_bits(lo, hi)
        return Integer(f"({condition} ? {x.at(bits)} : {y.at(bits)})", lo, hi, bits)

    def compare(self, x: Integer, relation: str, y: Integer) -> str:
        """The condition `x relation y`, < or > or >= or ==; compilers warn of those that the types decide."""
        always = {"<": x.hi < y.lo, ">": x.lo > y.hi, ">=": x.lo >= y.hi}
        never = {"<": x.lo >= y.hi, ">": x.hi <= y.lo, ">=": x.hi < y.lo}
        if always.get(relation) or never.get(relation):
            return "true" if always[relation] else "false"
        bits = max(lane_bits(x.lo, x.hi), lane_bits(y.lo, y.hi))
        return f"{x.at(bits)} {relation} {y.at(bits)}"

    def minimum(self, x: Integer, limit: int) -> Integer:
        """min(x, limit)."""
        if x.hi <= limit:
            return x
        if x.lo >= limit:
            return literal(limit)
        x, y = self.let(x), literal(limit)
        return _narrow(self.select(self.compare(x, "<", y), x, y), x.lo, limit)

    def maximum(self, x: Integer, limit: int) -> Integer:
        """max(x, limit)."""
        if x.lo >= limit:
            return x
        if x.hi <= limit:
            return literal(limit)
        x, y = self.let(x), literal(limit)
        return _narrow(self.select(self.compare(x, ">", y), x, y), limit, x.hi)

    def truncated_quotient(self, x: Integer, y: Integer) -> Integer:
        """x / y cut off towards zero, which is what C++ does; y > 0."""
        bits = max(lane_bits(x.lo, x.hi), lane_bits(y.lo, y.hi))
        lo, hi = (-(-x.lo // y.lo) if x.lo < 0 else 0), (x.hi // y.lo if x.hi > 0 else 0)
        return Integer(f"({x.at(bits)} / {y.at(bits)})", lo, hi, bits)

    # --- conversion -------------------------------------------------------------------------------------------------

    def convert(self, x: Integer, fraction: int, target: FixedType) -> Integer:
        """x / 2**fraction in the type `target`: `fixed_point.convert`."""
        return self.overflow(self.round_shift(x, fraction - target.fraction, target.rounding, target), target)

    def round_shift(self, x: Integer, s: int, rounding: str, target: FixedType | None = None) -> Integer:
        """x / 2**s as an integer; where `target` is given, only what its overflow makes of it counts."""
        if s <= 0:
            return self._raise(x, -s, target)
        half, ones = 1 << (s - 1), (1 << s) - 1
        if -half < x.lo and x.hi < half:  # nothing but the sign is left, however large s is
            minus = rounding == "TRN" and x.lo < 0
            return self.select(f"{x.code} < 0", literal(-1), literal(0)) if minus else literal(0)
        lo, hi = round_shift(x.lo, s, rounding), round_shift(x.hi, s, rounding)
        if rounding == "TRN":
            return self.floor_shift(x, s)
        x = self.let(x)
        below, above = literal(half - 1), literal(half)
        if rounding == "TRN_ZERO":
            more = self.select(f"{x.code} < 0", literal(ones), literal(0)) if x.lo < 0 else literal(0)
        elif rounding == "RND":
            more = above
        elif rounding == "RND_MIN_INF":
            more = below
        elif rounding == "RND_ZERO":
            more = self.select(f"{x.code} < 0", above, below) if x.lo < 0 else below
        elif rounding == "RND_INF":
            more = self.select(f"{x.code} < 0", below, above) if x.lo < 0 else above
        else:  # RND_CONV: a half goes up where the floor is odd
            odd = f"(({x.code} >> {min(s, x.bits - 1)}) & 1)"
            more = self.add(Integer(odd, 0, 1, x.bits), below)
        return _narrow(self.floor_shift(self.add(x, more), s), lo, hi)

    def _raise(self, x: Integer, k: int, target: FixedType | None) -> Integer:
        wraps = target is not None and target.overflow == "WRAP"
        if wraps and k >= 64:
            return literal(0)
        if wraps and max(abs(x.lo), abs(x.hi)) << k >= 1 << 63:  # only the low bits will be kept
            raised = f"static_cast<i64>({x.lane(64)} << {k})" if k else f"static_cast<i64>({x.code})"
            return Integer(raised, -(1 << 63), (1 << 63) - 1, 64)
        if target is not None and not wraps and k > 64:
            k = 65  # as far outside the range, or as zero
        return self.scale_up(x, k)

    def overflow(self, x: Integer, target: FixedType) -> Integer:
        """x brought into the range of `target`."""
        low, high = least_kept(target), target.maximum
        if low <= x.lo and x.hi <= high:
            return x
        if target.overflow == "WRAP":
            return self._wrap(x, target)
        if target.overflow == "SAT_ZERO":
            x = self.let(x)
            tests = [self.compare(x, "<", literal(low))] if x.lo < low else []
            tests += [self.compare(x, ">", literal(high))] if x.hi > high else []
            bits = lane_bits(low, high)
            inside = x.at(bits)
            return Integer(f"({' || '.join(tests)} ? {literal_code(0, bits)} : {inside})", low, high, bits)
        return self.minimum(self.maximum(x, low), high)

    def _wrap(self, x: Integer, target: FixedType) -> Integer:
        low, high = target.range
        bits = 32 if target.width <= 32 else 64
        unused = bits - target.width
        lane = x.lane(bits)
        if target.is_signed:
            code = (
                f"(static_cast<i{bits}>({lane} << {unused}) >> {unused})" if unused else f"static_cast<i{bits}>({lane})"
            )
            return Integer(code, low, high, bits)
        masked = f"({lane} & {(1 << target.width) - 1:#x}u)" if unused else lane
        result = lane_bits(low, high)
        return Integer(f"static_cast<i{result}>({masked})", low, high, result)


@dataclass(frozen=True)
class Array:
    """A constant array in generated code."""

    name: str
    element: str
    lo: int
    hi: int

    def __getitem__(self, index: str) -> Integer:
        bits = lane_bits(self.lo, self.hi)
        code = f"{self.name}[{index}]"
        return Integer(code if self.element == f"i{bits}" else f"static_cast<i{bits}>({code})", self.lo, self.hi, bits)


def _silence(declaration: str, lines: list[str]) -> list[str]:
    """A declaration, with a mark that compilers accept where the variable is only ever written."""
    found = _VARIABLE.fullmatch(declaration)
    if found is None:
        return [declaration]
    indent, name = found.groups()
    others = (re.sub(rf"\b{name}(\[\w+\])? \+?= ", "", line) for line in lines if line is not declaration)
    is_read = any(re.search(rf"\b{name}\b", line) for line in others)
    return [declaration] if is_read else [declaration, f"{indent}static_cast<void>({name});"]


def element_type(lo: int, hi: int) -> str:
    """The narrowest element type of an array that holds [lo, hi]."""
    for bits in (8, 16, 32, 64):
        if -(1 << (bits - 1)) <= lo and hi < 1 << (bits - 1):
            return f"i{bits}"
    return "u64" if lo >= 0 and hi < 1 << 64 else "i128"


def wrapped(items: Iterator[str], indent: int) -> list[str]:
    """Items with commas, in lines."""
    lines, current = [], " " * indent
    for item in items:
        if len(current) + len(item) + 2 > WIDTH:
            lines.append(current.rstrip())
            current = " " * indent
        current += item + ", "
    return [*lines, current.rstrip()]


def _array_literal(value: int, element: str) -> str:
    if element == "u64":
        return f"{value}u"
    return literal_code(value, {"i64": 64, "i128": 128}.get(element, 32)) if abs(value) >= 1 << 31 else str(value)


def _operation(operator: str, x: Integer, y: Integer, lo: int, hi: int) -> Integer:
    bits = lane_bits(min(lo, x.lo, y.lo), max(hi, x.hi, y.hi))
    return Integer(f"({x.at(bits)} {operator} {y.at(bits)})", lo, hi, bits)


def _narrow(x: Integer, lo: int, hi: int) -> Integer:
    """The same expression with a tighter interval, known from elsewhere."""
    lo, hi = max(lo, x.lo), min(hi, x.hi)
    bits = lane_bits(lo, hi)
    return Integer(x.at(bits), lo, hi, bits)


def converted_interval(lo: int, hi: int, fraction: int, target: FixedType) -> tuple[int, int] | None:
    """The interval of converted values, or None where the type's overflow changes some of them."""
    low, high = (round_shift(v, fraction - target.fraction, target.rounding) for v in (lo, hi))
    return (low, high) if least_kept(target) <= low and high <= target.maximum else None


def least_kept(target: FixedType) -> int:
    """The smallest integer that the type's overflow leaves as it is."""
    symmetric = target.overflow == "SAT_SYM" and target.is_signed and target.width > 1
    return target.minimum + symmetric
