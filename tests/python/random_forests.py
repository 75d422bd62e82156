"""Random forests as documents of docs/forest_format.md, and events that lie on their thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np

from rheinfall.quantized.fixed_point import parse


def random_document(
    seed: int,
    *,
    n_trees: int = 12,
    depth: int = 4,
    n_features: int = 6,
    n_classes: int = 1,
    input_type: str = "ap_fixed<18,8>",
    score_type: str = "ap_fixed<18,8>",
    full: float = 0.85,
    **fields: Any,
) -> dict[str, Any]:
    """A forest whose nodes split with probability `full`; thresholds are few, so that events can lie on them."""
    random = np.random.default_rng(seed)
    number = {name: _numbers(random, name) for name in (input_type, score_type)}
    cuts = [[number[input_type]() for _ in range(7)] for _ in range(n_features)]
    trees = []
    for t in range(n_trees * n_classes):
        tree: dict[str, Any] = {
            "class": t % n_classes, "feature": [], "threshold": [], "left": [], "right": [], "value": [],
        }  # fmt: skip
        missing: list[int] = []
        _grow(tree, missing, random, depth, full, cuts, number[score_type])
        if fields.get("missing"):
            tree["missing_left"] = missing
        trees.append(tree)
    return {
        "format": "rheinfall.forest",
        "version": 1,
        "name": f"random {seed}",
        "n_features": n_features,
        "n_classes": n_classes,
        "input": input_type,
        "score": score_type,
        "comparison": fields.get("comparison", "<="),
        "initial": [number[score_type]() for _ in range(n_classes)],
        "initial_added": fields.get("initial_added", "first"),
        "sum": fields.get("sum", "sequential"),
        **({"normalisation": fields["normalisation"]} if "normalisation" in fields else {}),
        "trees": trees,
    }


def random_events(document: dict[str, Any], n: int, seed: int) -> np.ndarray:
    """Events (n, n_features) in the input type, a third of the values on a threshold or one step beside it."""
    random = np.random.default_rng(seed)
    name, n_features = document["input"], document["n_features"]
    draw = _numbers(random, name)
    cuts: list[list[Any]] = [[draw()] for _ in range(n_features)]
    for tree in document["trees"]:
        for feature, threshold in zip(tree["feature"], tree["threshold"], strict=True):
            if feature >= 0:
                cuts[feature].append(threshold)
    floats = {"float32": np.float32, "float64": np.float64}
    dtype = floats.get(name, np.int64)
    x = np.array([[draw() for _ in range(n_features)] for _ in range(n)], dtype)
    on = random.random(x.shape) < 0.35
    for i, f in zip(*np.nonzero(on), strict=True):
        cut = dtype(cuts[f][random.integers(len(cuts[f]))])
        side = random.integers(3)
        if name in floats:
            x[i, f] = cut if side == 0 else np.nextafter(cut, dtype(np.inf if side == 1 else -np.inf), dtype=dtype)
        else:
            fixed = parse(name)
            x[i, f] = min(max(int(cut) + int(side) - 1, fixed.minimum), min(fixed.maximum, 2**63 - 1))
    return x


def _grow(tree: Any, missing: list[int], random: Any, depth: int, full: float, cuts: Any, value: Any) -> int:
    node = len(missing)
    split = depth > 0 and random.random() < full
    feature = int(random.integers(len(cuts))) if split else -1
    tree["feature"].append(feature)
    tree["threshold"].append(cuts[feature][random.integers(len(cuts[feature]))] if split else 0)
    tree["value"].append(0 if split else value())
    tree["left"].append(-1)
    tree["right"].append(-1)
    missing.append(int(random.integers(2)) if split else 0)
    if split:
        tree["left"][node] = _grow(tree, missing, random, depth - 1, full, cuts, value)
        tree["right"][node] = _grow(tree, missing, random, depth - 1, full, cuts, value)
    return node


def _numbers(random: Any, name: str) -> Any:
    """A source of numbers of a type: for fixed ones some near its limits, so that sums overflow."""
    if name == "float32":
        return lambda: float(np.float32(random.normal()))
    if name == "float64":
        return lambda: float(random.normal())
    fixed = parse(name)
    high = min(fixed.maximum, 2**63 - 1)

    def draw() -> int:
        spread = 1.0 if random.random() < 0.2 else 0.05
        return int(min(max(int(random.uniform(fixed.minimum, high) * spread), fixed.minimum), high))

    return draw
