"""conifer's JSON, read as data: the same arithmetic as the C++ that conifer compiles from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.forest_trees import Grid, RawTree, Where, document, index, lower_tree, number

BACKENDS = ("cpp", "xilinxhls", "python")
TREE_FIELDS = ("feature", "threshold", "value", "children_left", "children_right")


def read_conifer(
    data: Mapping[str, Any], file: str, precision: str | Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The document of a conifer model.

    Args:
        data: what the JSON holds.
        file: its name, for errors.
        precision: the types of conifer's `cpp` backend, instead of the file's own backend and types: one for all, or
            a mapping with `input`, `threshold`, `score` and `weight` ("float", "double", "ap_fixed<18,8>", ...).
    """
    where = Where(file)
    comparison = data.get("splitting_convention", "<=")
    if comparison not in ("<", "<="):
        raise where.error("splitting_convention", f"expected '<' or '<=', got {comparison!r:.40}")
    n_features = _count(data, "n_features", where)
    n_classes = _count(data, "n_classes", where)
    n_sums = 1 if n_classes == 2 else n_classes
    backend, types = _types(data, where, precision)
    grids = {key: _grid(name, where, key) for key, name in types.items()}
    if _convert(grids["weight"], 1.0, where, "weight_precision") != _one(grids["weight"]):
        raise where.error("weight_precision", f"{types['weight']} cannot hold 1, so conifer scales every feature")

    def threshold(value: Any) -> Any:
        return grids["threshold"].compare_in(grids["threshold"].convert(value), grids["input"], comparison)

    trees = []
    for i, row in enumerate(_list(data, "trees", where)):
        if not isinstance(row, list) or len(row) < n_sums:
            raise Where(file, i).error("trees", f"expected a list of {n_sums} trees, one per class")
        for c, tree in enumerate(row[:n_sums]):
            at = Where(file, i if n_sums == 1 else f"{i} class {c}")
            trees.append(lower_tree(_raw(tree, at, n_features), at, n_features, threshold, grids["score"].convert, c))
    if len(trees) != _count(data, "n_trees", where) * n_sums:
        raise where.error("n_trees", f"{data['n_trees']}, but there are {len(trees) // n_sums} in trees")
    initial = _list(data, "init_predict", where)
    if len(initial) < n_sums:
        raise where.error("init_predict", f"expected {n_sums} numbers, got {len(initial)}")
    score = grids["score"]
    norm = _convert(score, number(data.get("norm", 1), where, "norm"), where, "norm")
    rolled = backend == "xilinxhls" and not _option(data, "unroll", "Unroll", True)
    return document(
        f"conifer, {backend}",
        str(_option(data, "project_name", "ProjectName", "")),
        n_features,
        grids["input"].name,
        score.name,
        comparison,
        [_convert(score, number(v, where, "init_predict"), where, "init_predict") for v in initial[:n_sums]],
        trees,
        initial_added="last" if backend == "python" else "first",
        sum="tree" if backend == "xilinxhls" and not rolled else "sequential",
        normalisation=None if norm == _one(score) else {"multiply": norm},
        traps=_traps(grids, trees) or None,
    )


def _types(
    data: Mapping[str, Any], where: Where, precision: str | Mapping[str, str] | None
) -> tuple[str, dict[str, str]]:
    """The backend, and the names of the types of input, threshold, weight and score."""
    if precision is not None:
        given = (
            dict.fromkeys(("input", "threshold", "weight", "score"), precision) if isinstance(precision, str) else {}
        )
        if not isinstance(precision, str):
            unknown = set(precision) - {"input", "threshold", "weight", "score"}
            if unknown or "input" not in precision or "score" not in precision:
                raise where.error(
                    "precision", f"expected input, score and maybe threshold, weight; got {list(precision)}"
                )
            given = {"input": precision["input"], "score": precision["score"]}
            given["threshold"] = precision.get("threshold", given["input"])
            given["weight"] = precision.get("weight", given["threshold"])
        return "cpp", given
    backend = _option(data, "backend", "Backend", "python")
    if backend not in BACKENDS:
        raise where.error(
            "backend", f"{backend!r:.40}: expected one of {', '.join(BACKENDS)}; precision= reads it as the cpp backend"
        )
    if backend == "python":
        return backend, dict.fromkeys(("input", "threshold", "weight", "score"), "float64")
    default = _option(data, "precision", "Precision", None)
    types = {"input": _option(data, "input_precision", "InputPrecision", default)}
    types["threshold"] = _option(data, "threshold_precision", "ThresholdPrecision", types["input"])
    types["weight"] = _option(data, "weight_precision", "WeightPrecision", types["threshold"])
    types["score"] = _option(data, "score_precision", "ScorePrecision", default)
    for key, name in types.items():
        if not isinstance(name, str):
            raise where.error(f"config.{key}_precision", f"expected the name of a type, got {name!r:.40}")
    if backend == "cpp" and Grid(types["input"]).name != Grid(types["threshold"]).name:
        raise where.error("config.threshold_precision", "the cpp backend has one type for input and threshold")
    return backend, types


def _option(data: Mapping[str, Any], key: str, alternative: str, default: Any) -> Any:
    config = data.get("config")
    if not isinstance(config, Mapping):
        return default
    value = config.get(key)
    return value if value is not None else config.get(alternative, default)


def _grid(name: str, where: Where, key: str) -> Grid:
    try:
        return Grid(name)
    except ValueError as error:
        raise where.error(f"config.{key}_precision", str(error)) from None


def _one(grid: Grid) -> Any:
    if grid.fixed is None:
        return 1.0
    return 2**grid.fixed.fraction if grid.fixed.fraction >= 0 else None


def _convert(grid: Grid, value: float, where: Where, field: str) -> Any:
    try:
        return grid.convert(value)
    except ValueError as error:
        raise where.error(field, str(error)) from None


def _raw(tree: Any, where: Where, n_features: int) -> RawTree:
    if not isinstance(tree, Mapping):
        raise where.error("trees", "expected an object")
    for field in TREE_FIELDS:
        if not isinstance(tree.get(field), list):
            raise where.error(field, "missing, or no list")
        if len(tree[field]) != len(tree["feature"]):
            raise where.error(field, f"{len(tree[field])} values for {len(tree['feature'])} nodes")
    features = [index(f, where.at(i), "feature") for i, f in enumerate(tree["feature"])]
    leaf = [f == -2 for f in features]
    weights = tree.get("weight")
    if weights is not None:
        _check_weights(weights, features, leaf, where)
    return RawTree(features, tree["threshold"], tree["children_left"], tree["children_right"], tree["value"], leaf)


def _check_weights(weights: Any, features: list[int], leaf: list[bool], where: Where) -> None:
    """An oblique split compares a weighted sum of features; here a node has one feature."""
    # A rolled xilinxhls model is saved with nodes below its leaves, for which there are no weights.
    if not isinstance(weights, list) or len(weights) > len(features) or not all(leaf[len(weights) :]):
        raise where.error("weight", f"expected {len(features)} lists, one per node")
    for i, (row, feature) in enumerate(zip(weights, features, strict=False)):
        if leaf[i]:
            continue
        if not isinstance(row, list) or not 0 <= feature < len(row):
            raise where.at(i).error("weight", f"expected a list with an entry for feature {feature}")
        if row[feature] != 1 or any(row[:feature]) or any(row[feature + 1 :]):
            raise where.at(i).error("weight", "an oblique split (weights other than a single 1) is not supported")


def _traps(grids: Mapping[str, Grid], trees: list[dict[str, Any]]) -> list[str]:
    traps = []
    for key in ("input", "score"):
        fixed = grids[key].fixed
        if fixed is not None and fixed.overflow == "WRAP":
            traps.append(f"{key} {fixed} wraps: a value outside its range comes back at the other end")
    return traps


def _count(data: Mapping[str, Any], key: str, where: Where) -> int:
    value = index(data.get(key), where, key)
    if not 1 <= value <= 2**24:
        raise where.error(key, f"{value}: expected 1 to 2^24")
    return value


def _list(data: Mapping[str, Any], key: str, where: Where) -> list[Any]:
    value = data.get(key)
    if not isinstance(value, list):
        raise where.error(key, "missing, or no list")
    return value


__all__ = ["ModelError", "read_conifer"]
