"""Conversions by the vendor's own headers, which hls4ml ships: programs that convert every value of given types.

`cases` lists pairs of types, `convert_by_vendor` compiles and runs them, `convert_numpy` is our definition on int64
(checked against the one on Python integers in test_vendor_rounding.py). The headers are used where they are found,
never copied.
"""

from __future__ import annotations

import importlib.util
import itertools
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rheinfall.quantized.fixed_point import OVERFLOWS, ROUNDINGS, FixedType

Int64 = npt.NDArray[np.int64]

# NDEBUG: the headers assert that a bit index lies within the width, and read the sign there if they do not.
FLAGS = ("-std=c++17", "-w", "-DNDEBUG", "-O1")

PROLOGUE = """
#include <cstdint>
#include <cstdio>
#include <vector>
#include "ap_fixed.h"
static std::vector<std::int32_t> out;
static void write() { std::fwrite(out.data(), 4, out.size(), stdout); }
template <class D, int W, int I, bool S> void all() {
    const std::int64_t low = S ? -(std::int64_t{1} << (W - 1)) : 0;
    out.resize(std::size_t{1} << W);
    ap_fixed_base<W, I, S, AP_TRN, AP_WRAP, 0> s;
    D d;
    for (std::size_t i = 0; i < out.size(); ++i) {
        s.V = low + static_cast<std::int64_t>(i);
        d = s;
        out[i] = static_cast<std::int32_t>(d.V.get_VAL());
    }
    write();
}
"""


@dataclass(frozen=True)
class Source:
    """The type of the values: `shift` is how many fraction bits the target lacks."""

    width: int
    shift: int
    is_signed: bool

    def type_for(self, target: FixedType) -> FixedType:
        return FixedType(self.width, self.width - target.fraction - self.shift, self.is_signed)


def headers() -> Path | None:
    """The folder of ap_fixed.h in the installed hls4ml, found without importing it; None where there is none."""
    spec = importlib.util.find_spec("hls4ml")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "templates" / "vivado" / "ap_types"
    return folder if (folder / "ap_fixed.h").is_file() else None


def compiler() -> str | None:
    return shutil.which("g++") or shutil.which("clang++")


def targets(width: int) -> list[FixedType]:
    """All modes, signed and unsigned, of one width with half of its bits before the point."""
    modes = itertools.product(OVERFLOWS, ROUNDINGS, (True, False))
    return [FixedType(width, width // 2, is_signed, rounding, overflow) for overflow, rounding, is_signed in modes]


def shifts_of(width: int) -> list[int]:
    """Shifts that tell the paths of a conversion apart: to the left, none, within the source, at its end, beyond."""
    return sorted({-19, -2, 0, 1, 2, width - 1, width, width + 1, width + 3})


def all_sources(width: int) -> list[Source]:
    """For targets of `width` bits: sources of 18 bits, and of one more width, so that each occurs; many shifts."""
    other = (7 * width) % 17 + 1
    pairs = [*((18, s) for s in (-1, 3, 9)), *((other, s) for s in shifts_of(other))]
    return [Source(w, s, is_signed) for w, s in pairs for is_signed in (True, False)]


def some_sources(width: int) -> list[Source]:
    """Three of these and their like, with other shifts for each width of the target."""
    other, third = (7 * width) % 17 + 1, (5 * width) % 18 + 1
    shifts = {18: [-1, 3, 9, 18, 0, 1, 21], **{w: shifts_of(w) for w in (other, third) if w != 18}}
    pairs = {(w, shifts[w][width % len(shifts[w])]) for w in (18, other, third)}
    return [Source(w, s, is_signed) for w, s in sorted(pairs) for is_signed in (True, False)]


def stored_values(source: FixedType) -> Int64:
    """Every stored integer of a type, in order."""
    return np.arange(source.minimum, source.maximum + 1, dtype=np.int64)


def program(pairs: Iterable[tuple[Sequence[Source], Sequence[FixedType]]]) -> str:
    """C++ that writes the int32 results of each pair (target outside, source inside) to its standard output."""
    lines, calls = [PROLOGUE], []
    for i, (sources, chosen) in enumerate(pairs):
        lines.append(f"template <class D> void group{i}() {{")
        for source in sources:
            typed = source.type_for(chosen[0])
            lines.append(f"    all<D, {typed.width}, {typed.integer}, {str(typed.is_signed).lower()}>();")
        lines.append("}")
        calls += [f"    group{i}<{vendor_name(target)}>();" for target in chosen]
    return "\n".join([*lines, "int main() {", *calls, "}", ""])


def vendor_name(target: FixedType) -> str:
    sign = str(target.is_signed).lower()
    return f"ap_fixed_base<{target.width}, {target.integer}, {sign}, AP_{target.rounding}, AP_{target.overflow}, 0>"


def convert_by_vendor(
    sources: Sequence[Source], chosen: Sequence[FixedType], folder: Path, include: Path
) -> Iterator[tuple[FixedType, FixedType, Int64]]:
    """(source, target, results for `stored_values(source)`) of each pair, compiled and run in `folder`.

    The targets differ in sign and modes only.
    """
    compile_with = compiler()
    assert compile_with is not None
    text, binary = folder / "convert.cpp", folder / "convert"
    text.write_text(program([(sources, chosen)]))
    subprocess.run([compile_with, *FLAGS, f"-I{include}", str(text), "-o", str(binary)], check=True)
    with subprocess.Popen([binary], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for target, source in itertools.product(chosen, sources):
            typed = source.type_for(target)
            raw = process.stdout.read(4 << typed.width)
            yield typed, target, np.frombuffer(raw, dtype=np.int32).astype(np.int64)
        if process.wait() != 0:
            raise RuntimeError(f"the program of the vendor's headers ended with {process.returncode}")


def convert_numpy(v: Int64, fraction: int, target: FixedType) -> Int64:
    """`fixed_point.convert` on int64: for values below 2**31 and targets below 32 bits."""
    s = fraction - target.fraction
    # What is shifted left by more than 32 bits lies above the target all the same; beyond 40 bits to the right the
    # remainder compares in the same way.
    rounded = v << min(-s, 32) if s <= 0 else _round(v, min(s, 40), target.rounding)
    return _overflow(rounded, target)


def _round(v: Int64, s: int, rounding: str) -> Int64:
    floor = v >> s
    remainder, half = v - (floor << s), 1 << (s - 1)
    above, tie = remainder > half, remainder == half
    up = {
        "TRN": np.zeros(v.shape, dtype=bool),
        "TRN_ZERO": (v < 0) & (remainder != 0),
        "RND": above | tie,
        "RND_ZERO": above | (tie & (v < 0)),
        "RND_MIN_INF": above,
        "RND_INF": above | (tie & (v >= 0)),
        "RND_CONV": above | (tie & (floor % 2 == 1)),
    }[rounding]
    return floor + up


def _overflow(v: Int64, target: FixedType) -> Int64:
    low, high = target.range
    if target.overflow == "WRAP":
        return np.asarray((v - low) % (high - low + 1) + low)
    if target.overflow == "SAT_ZERO":
        return np.where((v < low) | (v > high), 0, v)
    if target.overflow == "SAT_SYM" and target.is_signed and target.width > 1:
        low = -high
    return np.clip(v, low, high)
