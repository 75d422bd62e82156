"""The parts of a generated header around its layers: types, conversion at the boundary, `run` and `run_real`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rheinfall.quantized.emit_body import Body, Integer, literal
from rheinfall.quantized.emit_real import REAL_HELPERS, input_of_real, real_of_output
from rheinfall.quantized.emit_values import Value

_RESERVED = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl concept const consteval
    constexpr constinit continue co_await co_return co_yield decltype default delete do double else enum explicit
    export extern false float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr
    operator or or_eq private protected public register reinterpret_cast requires return short signed sizeof static
    static_assert struct switch template this thread_local throw true try typedef typeid typename union unsigned
    using virtual void volatile wchar_t while xor xor_eq std main linux unix
"""
KEYWORDS = frozenset(_RESERVED.split())

PREAMBLE = """\
#include <cstdint>
#include <cstring>
#include <type_traits>

// Before each function. Under nvcc they serve host and device; constants then lie in device memory too.
#ifndef RHEINFALL_EMIT_HD
#ifdef __CUDACC__
#define RHEINFALL_EMIT_HD __host__ __device__
#else
#define RHEINFALL_EMIT_HD
#endif
#endif

// Before a loop over the rows of a matrix: lanes are columns. Clang's -O3 makes them rows otherwise, and gathers.
#ifndef RHEINFALL_EMIT_ROW_BY_ROW
#if defined(__clang__) && !defined(__CUDACC__)
#define RHEINFALL_EMIT_ROW_BY_ROW _Pragma("clang loop vectorize(disable)")
#else
#define RHEINFALL_EMIT_ROW_BY_ROW
#endif
#endif
"""

TYPES = """\
using i8 = std::int8_t;
using i16 = std::int16_t;
using i32 = std::int32_t;
using i64 = std::int64_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
__extension__ typedef __int128 i128;
__extension__ typedef unsigned __int128 u128;

/// A constant of more than 64 bits.
RHEINFALL_EMIT_HD static constexpr i128 wide(u64 high, u64 low) noexcept {
    return static_cast<i128>((static_cast<u128>(high) << 64) | low);
}
"""


@dataclass(frozen=True)
class Parts:
    """What a header is about."""

    document: Mapping[str, Any]
    name: str
    identity: str
    inputs: list[Value]
    outputs: list[Value]

    @property
    def n_inputs(self) -> int:
        """Integers per event."""
        return sum(value.size for value in self.inputs)

    @property
    def n_outputs(self) -> int:
        """Integers per event."""
        return sum(value.size for value in self.outputs)


def comment(text: object) -> str:
    """Text that stays inside one `//` comment, whatever a model file calls its layers."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in str(text))
    return plain.replace("\\", "/").replace("??", "? ")[:200]


def header(parts: Parts, functions: Sequence[list[str]], calls: Sequence[tuple[str, Value]]) -> str:
    """The whole header."""
    guard = f"RHEINFALL_EMIT_{parts.name.upper()}_{parts.identity.upper()}_HPP"
    lines = [
        *_title(parts),
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        *PREAMBLE.splitlines(),
        "",
        f"namespace {parts.name} {{",
        f"inline namespace {parts.identity} {{",
        "",
        f"constexpr int n_inputs = {parts.n_inputs};",
        f"constexpr int n_outputs = {parts.n_outputs};",
        "",
        "namespace detail {",
        "",
        *TYPES.splitlines(),
        "",
        *(line for function in functions for line in function),
        *_evaluate(parts, calls),
        *_accept(parts),
        *REAL_HELPERS.splitlines(),
        "",
        "}  // namespace detail",
        "",
        *_run(parts),
        *_run_real(parts),
        f"}}  // namespace {parts.identity}",
        f"}}  // namespace {parts.name}",
        "",
        f"#endif  // {guard}",
        "",
    ]
    return "\n".join(lines)


def _title(parts: Parts) -> list[str]:
    document = parts.document
    lines = [
        f"// Quantized network '{comment(document.get('name', ''))}', written by rheinfall's emit_cpp; do not edit."
    ]
    if document.get("source"):
        lines.append(f"// From {comment(document['source'])}.")
    for declared in document["inputs"]:
        lines.append(f"// Input  {comment(declared['name'])}: {declared['type']} {list(declared['shape'])}")
    for declared, value in zip(document["outputs"], parts.outputs, strict=True):
        output = declared if isinstance(declared, str) else declared["name"]
        lines.append(f"// Output {comment(output)}: {value.type} {list(value.shape)}")
    lines += [f"// Trap: {comment(trap)}" for trap in document.get("traps", [])]
    return [*lines, ""]


def _evaluate(parts: Parts, calls: Sequence[tuple[str, Value]]) -> list[str]:
    """One function that calls the layers in order: stored integers in, stored integers out."""
    parameters = [f"const {value.ctype}* __restrict__ {value.code}" for value in parts.inputs]
    parameters += [f"{value.ctype}* __restrict__ out{k}" for k, value in enumerate(parts.outputs)]
    lines = [f"RHEINFALL_EMIT_HD static inline void evaluate({', '.join(parameters)}) noexcept {{"]
    for call, value in calls:
        lines += [f"    alignas(64) {value.ctype} {value.code}[{value.size}];", f"    {call}"]
    for k, value in enumerate(parts.outputs):
        lines.append(f"    for (int i = 0; i < {value.size}; ++i) out{k}[i] = {value.code}[i];")
    read = " ".join(call for call, _ in calls) + " ".join(f"({value.code}," for value in parts.outputs)
    lines += [
        f"    static_cast<void>({value.code});"
        for value in parts.inputs
        if f"({value.code}," not in read and f" {value.code}," not in read
    ]
    return [*lines, "}", ""]


def _accept(parts: Parts) -> list[str]:
    """Functions that bring an integer from outside into an input's type, as its overflow says."""
    lines = []
    for k, value in enumerate(parts.inputs):
        for bits in (32, 64, 128):
            body = Body()
            given = Integer("q", -(1 << (bits - 1)), (1 << (bits - 1)) - 1, bits)
            low, high = value.type.range
            tests = [body.compare(given, "<", literal(low))] if given.lo < low else []
            tests += [body.compare(given, ">", literal(high))] if given.hi > high else []
            if tests:
                body.line(f"outside |= {' || '.join(tests)} ? 1u : 0u;")
            body.line(f"return {body.overflow(given, value.type).at(int(value.ctype[1:]))};")
            lines += [
                f"RHEINFALL_EMIT_HD static inline {value.ctype} accept{k}(i{bits} q, u32& outside) noexcept {{",
                *body.finished(["outside"]),
                "}",
            ]
    return [*lines, ""]


def _run(parts: Parts) -> list[str]:
    is_signed = any(value.type.is_signed for value in parts.outputs)
    needed = max(value.type.width + (is_signed and not value.type.is_signed) for value in parts.outputs)
    holds = f"std::is_signed<Out>::value && sizeof(Out) * 8 >= {needed}"
    if not is_signed:
        holds = f"sizeof(Out) * 8 >= {needed} + (std::is_signed<Out>::value ? 1 : 0)"
    lines = [
        "/// The network on stored integers of the input types: in[n_inputs], out[n_outputs]. An integer outside",
        "/// its type is converted as the type's overflow says; the result is then false. At most 64 bits an integer.",
        "template <class In, class Out>",
        "RHEINFALL_EMIT_HD static inline bool run(const In* in, Out* out) noexcept {",
        "    using namespace detail;",
        '    static_assert(std::is_integral<In>::value && std::is_integral<Out>::value, "run takes integers");',
        f'    static_assert({holds}, "Out does not hold the outputs\' types");',
        "    using Wide8 = std::conditional_t<std::is_signed<In>::value, i64, i128>;",
        "    using Wide4 = std::conditional_t<std::is_signed<In>::value || sizeof(In) < 4, i32, i64>;",
        "    using Wide = std::conditional_t<sizeof(In) == 8, Wide8, Wide4>;",
        "    u32 outside = 0;",
    ]
    start = 0
    for k, value in enumerate(parts.inputs):
        lines += [
            f"    alignas(64) {value.ctype} in{k}[{value.size}];",
            f"    for (int i = 0; i < {value.size}; ++i) {{",
            f"        in{k}[i] = accept{k}(static_cast<Wide>(in[{start} + i]), outside);",
            "    }",
        ]
        start += value.size
    lines += [*_call_evaluate(parts)]
    start = 0
    for k, value in enumerate(parts.outputs):
        lines.append(f"    for (int i = 0; i < {value.size}; ++i) out[{start} + i] = static_cast<Out>(out{k}[i]);")
        start += value.size
    return [*lines, "    return outside == 0;", "}", ""]


def _call_evaluate(parts: Parts) -> list[str]:
    lines = [f"    alignas(64) {value.ctype} out{k}[{value.size}];" for k, value in enumerate(parts.outputs)]
    arguments = [f"in{k}" for k in range(len(parts.inputs))] + [f"out{k}" for k in range(len(parts.outputs))]
    return [*lines, f"    evaluate({', '.join(arguments)});"]


def _run_real(parts: Parts) -> list[str]:
    lines = [
        "/// The network on real numbers: each is converted exactly as its input's type says. NaN and infinity count",
        "/// as 0, and the result is then false. Without -ffast-math the bits of `Network`.",
        "RHEINFALL_EMIT_HD static inline bool run_real(const double* in, double* out) noexcept {",
        "    using namespace detail;",
        "    bool finite = true;",
        "    u32 outside = 0;  // what lies outside a type is converted as the type says, which is no error here",
    ]
    start = 0
    for k, (declared, value) in enumerate(zip(parts.document["inputs"], parts.inputs, strict=True)):
        lines += [f"    alignas(64) {value.ctype} in{k}[{value.size}];", *input_of_real(k, declared, value, start)]
        start += value.size
    lines += _call_evaluate(parts)
    start = 0
    for k, (declared, value) in enumerate(zip(parts.document["outputs"], parts.outputs, strict=True)):
        lines += real_of_output(k, declared, value, start)
        start += value.size
    return [*lines, "    static_cast<void>(outside);", "    return finite;", "}", ""]
