"""A test program for a generated header: random events and what the reference in Python makes of them."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

import numpy as np

from rheinfall.quantized.emit_body import element_type, literal_code, wrapped
from rheinfall.quantized.fixed_point import parse
from rheinfall.reference import quantized as reference

PROGRAM = """\
// Compares {name}.hpp with {n} events that rheinfall's reference has computed: 0 if every bit agrees.
#include "{name}.hpp"

#include <cstdio>

namespace {{

{arrays}
}}  // namespace

int main() {{
    int n_wrong = 0;
    for (int event = 0; event < {n}; ++event) {{
        {out_type} out[{name}::n_outputs];
        {name}::run(inputs + event * {name}::n_inputs, out);
        for (int i = 0; i < {name}::n_outputs; ++i) {{
            n_wrong += out[i] != expected[event * {name}::n_outputs + i] ? 1 : 0;
        }}
    }}
    std::printf("{name}: %d of %d values differ\\n", n_wrong, {n} * {name}::n_outputs);
    return n_wrong == 0 ? 0 : 1;
}}
"""


def random_events(document: Mapping[str, Any], n_events: int, seed: int = 0) -> list[list[int]]:
    """Stored integers of the inputs: anything in their types, the limits and small numbers more often."""
    generator = random.Random(seed)
    ranges = [parse(x["type"]).range for x in document["inputs"] for _ in range(math.prod(x["shape"]))]

    def draw(low: int, high: int) -> int:
        kind = generator.random()
        if kind < 0.1:
            return generator.choice([low, high])
        if kind < 0.4:
            return min(max(generator.randint(-8, 8), low), high)
        return generator.randint(low, high)

    return [[draw(*limits) for limits in ranges] for _ in range(n_events)]


def program_text(document: Mapping[str, Any], name: str, n_events: int) -> str:
    """The program."""
    events = random_events(document, n_events)
    expected = [int(q) for q in reference.run(document, np.array(events, dtype=object)).reshape(-1)]
    is_wide = max(expected) >= 1 << 63
    arrays = _array("inputs", [q for event in events for q in event]) + _array("expected", expected)
    out_type = "std::uint64_t" if is_wide else "std::int64_t"
    return PROGRAM.format(name=name, n=n_events, arrays=arrays, out_type=out_type)


def _array(name: str, values: list[int]) -> str:
    kind = "std::uint64_t" if element_type(min(values), max(values)) == "u64" else "std::int64_t"
    items = (f"{v}u" if kind == "std::uint64_t" else literal_code(v, 64).replace("i64", "std::int64_t") for v in values)
    lines = [f"const {kind} {name}[{len(values)}] = {{", *wrapped(items, 4), "};", ""]
    return "\n".join(lines)
