"""Forests, defined in plain Python: what docs/forest_format.md says, one node and one addition at a time.

Fixed types are Python integers, floats NumPy scalars of their type, so that each addition rounds as IEEE 754 says.
It shares nothing with the compiled code but the text of the format.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rheinfall.quantized.fixed_point import FixedType, convert, convert_real, parse

FLOATS: dict[str, Any] = {"float32": np.float32, "float64": np.float64}


def run(document: Mapping[str, Any], x: npt.ArrayLike) -> list[list[Any]]:
    """Raw scores of events: stored integers for a fixed score, else NumPy floats of the score's type.

    Args:
        document: a valid document.
        x: (n, n_features) numbers: stored integers or real values for a fixed input type, any number for a float one.
    """
    return [scores_of_event(document, [convert_input(document["input"], v) for v in row]) for row in np.asarray(x)]


def convert_input(name: str, value: Any) -> Any:
    """One number in the input type; what a fixed type cannot hold (NaN, an infinity) counts as 0."""
    if name in FLOATS:
        with np.errstate(over="ignore"):
            return FLOATS[name](value)
    fixed = parse(name)
    if isinstance(value, (np.integer, int)):
        return convert(int(value), fixed.fraction, fixed)
    return convert_real(float(value), fixed) if math.isfinite(value) else 0


def scores_of_event(document: Mapping[str, Any], x: Sequence[Any]) -> list[Any]:
    """The scores of one event, one per class, from inputs in the input type."""
    name = document["score"]
    number = FLOATS.get(name, int)
    scores = []
    for c, initial in enumerate(document["initial"]):
        leaves = [number(leaf_value(t, document["comparison"], x)) for t in document["trees"] if t["class"] == c]
        with np.errstate(over="ignore", invalid="ignore"):
            scores.append(normalised(document, total(document, number(initial), leaves)))
    return scores


def leaf_value(tree: Mapping[str, Any], comparison: str, x: Sequence[Any]) -> Any:
    """The value of the leaf that an event reaches."""
    node = 0
    while tree["left"][node] != -1:
        value, threshold = x[tree["feature"][node]], tree["threshold"][node]
        if value != value:  # NaN
            left = bool(tree.get("missing_left", [0] * (node + 1))[node])
        else:
            left = value <= threshold if comparison == "<=" else value < threshold
        node = tree["left" if left else "right"][node]
    return tree["value"][node]


def total(document: Mapping[str, Any], initial: Any, leaves: list[Any]) -> Any:
    """The sum of one class in the document's order."""
    name = document["score"]
    if not leaves:
        return initial
    if document["sum"] == "tree":
        leaves = [tree_sum(leaves, name)]
    terms = [*leaves, initial] if document["initial_added"] == "last" else [initial, *leaves]
    a = terms[0]
    for term in terms[1:]:
        a = add(a, term, name)
    return a


def tree_sum(values: list[Any], name: str) -> Any:
    """Pairs of pairs: the left half has the largest power of two of values below all."""
    if len(values) == 1:
        return values[0]
    half = 1 << ((len(values) - 1).bit_length() - 1)
    return add(tree_sum(values[:half], name), tree_sum(values[half:], name), name)


def add(a: Any, b: Any, name: str) -> Any:
    """a + b in a score type."""
    if name in FLOATS:
        return a + b
    fixed: FixedType = parse(name)
    return convert(a + b, fixed.fraction, fixed)


def normalised(document: Mapping[str, Any], a: Any) -> Any:
    """A score after the normalisation."""
    rule = document.get("normalisation")
    name = document["score"]
    if rule is None:
        return a
    if name in FLOATS:
        factor = FLOATS[name](next(iter(rule.values())))
        return a * factor if "multiply" in rule else a / factor
    fixed = parse(name)
    return convert(a * rule["multiply"], 2 * fixed.fraction, fixed)
