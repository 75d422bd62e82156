"""What the importers of forests share: trees as arrays, checked node by node, lowered to docs/forest_format.md."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.fixed_point import FixedType, convert_real, parse

MAX_DEPTH = 1024
FLOATS = {"float": "float32", "float32": "float32", "double": "float64", "float64": "float64"}


@dataclass
class RawTree:
    """One tree as a source lists it; node `root` first. A leaf's feature and threshold are not looked at."""

    feature: Sequence[int]
    threshold: Sequence[Any]
    left: Sequence[int]
    right: Sequence[int]
    value: Sequence[Any]
    is_leaf: Sequence[bool]
    missing_left: Sequence[bool] | None = None
    root: int = 0


@dataclass
class Where:
    """A place in a file, for errors."""

    file: str
    tree: int | str | None = None
    node: int | None = None

    def error(self, field: str, reason: str) -> ModelError:
        """The error that this place has `field` wrong for `reason`."""
        place = [self.file]
        if self.tree is not None:
            place.append(f"tree {self.tree}")
        if self.node is not None:
            place.append(f"node {self.node}")
        return ModelError(f"{', '.join(place)}: {field}: {reason}")

    def at(self, node: int) -> Where:
        """A node of the same tree."""
        return Where(self.file, self.tree, node)


class Grid:
    """Conversion of a source's real numbers to a type of the document: stored integers, or the nearest float."""

    def __init__(self, name: str) -> None:
        self.name = FLOATS.get(name, name)
        self.fixed: FixedType | None = None if self.name in ("float32", "float64") else parse(name)
        if self.fixed is not None:
            self.name = str(self.fixed)

    def convert(self, x: float) -> Any:
        """x as this type holds it; ValueError if it is not finite, there or here."""
        if not math.isfinite(x):
            raise ValueError(f"{x} is not finite")
        if self.fixed is not None:
            return convert_real(x, self.fixed)
        if self.name == "float64":
            return float(x)
        with np.errstate(over="ignore"):
            y = float(np.float32(x))
        if not math.isfinite(y):
            raise ValueError(f"{x} is beyond float32")
        return y

    def compare_in(self, value: Any, grid: Grid, comparison: str) -> Any:
        """A threshold of this type in the grid of the inputs, such that each comparison stays what it is."""
        if self.fixed is None or grid.fixed is None or self.fixed.fraction == grid.fixed.fraction:
            return value
        exact = Fraction(value) * Fraction(2) ** (grid.fixed.fraction - self.fixed.fraction)
        return math.floor(exact) if comparison == "<=" else math.ceil(exact)


def number(value: Any, where: Where, field: str) -> float:
    """A JSON number as a float64."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise where.error(field, f"expected a number, got {value!r:.60}")
    try:
        return float(value)
    except OverflowError:
        raise where.error(field, f"{value!r:.40} is beyond float64") from None


def index(value: Any, where: Where, field: str) -> int:
    """A JSON integer."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise where.error(field, f"expected an integer, got {value!r:.60}")
    return value


def lower_tree(
    raw: RawTree,
    where: Where,
    n_features: int,
    threshold_of: Callable[[Any], Any],
    value_of: Callable[[Any], Any],
    tree_class: int = 0,
) -> dict[str, Any]:
    """The tree as the document writes it: parents before children, left before right, unreachable nodes left out.

    Raises:
        ModelError: a child out of range or reached twice (so any cycle), a feature out of range, a number that is not
            finite, a tree deeper than 1024.
    """
    n = len(raw.feature)
    if not 0 <= raw.root < n:
        raise where.error("root", f"{raw.root} of {n} nodes")
    tree: dict[str, Any] = {"class": tree_class, "feature": [], "threshold": [], "left": [], "right": [], "value": []}
    missing: list[int] = []
    seen = [False] * n
    todo = [(raw.root, 0, -1, "left")]
    while todo:
        node, depth, parent, side = todo.pop()
        here = where.at(node)
        if seen[node]:
            raise where.at(node).error("children", "reached twice; expected a tree without cycles and shared nodes")
        if depth > MAX_DEPTH:
            raise here.error("depth", f"more than {MAX_DEPTH}")
        seen[node] = True
        new = len(tree["feature"])
        if parent >= 0:
            tree[side][parent] = new
        leaf = bool(raw.is_leaf[node])
        tree["left"].append(-1)
        tree["right"].append(-1)
        tree["feature"].append(-1 if leaf else _feature(raw, here, n_features))
        tree["threshold"].append(0 if leaf else _converted(threshold_of, raw.threshold[node], here, "threshold"))
        tree["value"].append(_converted(value_of, raw.value[node], here, "value") if leaf else 0)
        missing.append(int(not leaf and raw.missing_left is not None and bool(raw.missing_left[node])))
        if not leaf:
            for side_name, children in (("right", raw.right), ("left", raw.left)):
                child = index(children[node], here, side_name)
                if not 0 <= child < n:
                    raise here.error(side_name, f"child {child} of {n} nodes")
                todo.append((child, depth + 1, new, side_name))
    if raw.missing_left is not None and any(missing):
        tree["missing_left"] = missing
    return tree


def _feature(raw: RawTree, here: Where, n_features: int) -> int:
    feature = index(raw.feature[here.node or 0], here, "feature")
    if not 0 <= feature < n_features:
        raise here.error("feature", f"{feature} of {n_features} features")
    return feature


def _converted(convert: Callable[[Any], Any], value: Any, here: Where, field: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise here.error(field, f"expected a number, got {value!r:.60}")
    try:
        return convert(value)
    except (ValueError, OverflowError) as error:
        raise here.error(field, str(error)) from None


def document(
    source: str,
    name: str,
    n_features: int,
    input_type: str,
    score_type: str,
    comparison: str,
    initial: Sequence[Any],
    trees: list[dict[str, Any]],
    **optional: Any,
) -> dict[str, Any]:
    """A document of docs/forest_format.md; `optional` are its optional fields."""
    return {
        "format": "rheinfall.forest",
        "version": 1,
        "name": name,
        "source": source,
        "n_features": n_features,
        "n_classes": len(initial),
        "input": input_type,
        "score": score_type,
        "comparison": comparison,
        "initial": list(initial),
        "initial_added": "first",
        "sum": "sequential",
        **{key: value for key, value in optional.items() if value is not None},
        "trees": trees,
    }
