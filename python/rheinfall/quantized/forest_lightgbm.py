"""LightGBM's text models and JSON dumps, read as data: float64, `<=`, sums in the order of the trees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rheinfall.quantized.forest_trees import Grid, RawTree, Where, document, index, lower_tree, number

MISSING = ("None", "Zero", "NaN")
MAX_LEAVES = 2**24
NEAR_ZERO = 1e-35  # what LightGBM takes for a zero where zeros are missing values


def read_lightgbm_text(text: str, file: str) -> dict[str, Any]:
    """The document of a model that `save_model` wrote: raw scores."""
    where = Where(file)
    blocks = _blocks(text)
    head = next(blocks, {})
    if "version" not in head:
        raise where.error("version", "missing: this is no LightGBM model")
    trees: list[tuple[Where, RawTree]] = []
    for block in blocks:
        at = Where(file, block.get("Tree", len(trees)))
        trees.append((at, _raw_of_text(block, at)))
    return _document(
        trees, where, _text_int(head, "max_feature_idx", where), _text_int(head, "num_tree_per_iteration", where),
        "average_output" in head, str(head.get("version")),
    )  # fmt: skip


def read_lightgbm_dump(data: Mapping[str, Any], file: str) -> dict[str, Any]:
    """The document of what `dump_model` gives: raw scores."""
    where = Where(file)
    infos = data.get("tree_info")
    if not isinstance(infos, list):
        raise where.error("tree_info", "missing, or no list")
    trees = []
    for i, info in enumerate(infos):
        at = Where(file, i)
        if not isinstance(info, Mapping) or not isinstance(info.get("tree_structure"), Mapping):
            raise at.error("tree_structure", "missing, or no object")
        trees.append((at, _raw_of_dump(info["tree_structure"], at)))
    return _document(
        trees, where, index(data.get("max_feature_idx"), where, "max_feature_idx"),
        index(data.get("num_tree_per_iteration"), where, "num_tree_per_iteration"),
        bool(data.get("average_output")), str(data.get("version")),
    )  # fmt: skip


def _document(
    trees: list[tuple[Where, RawTree]], where: Where, last_feature: int, n_classes: int, average: bool, version: str
) -> dict[str, Any]:
    if average:
        raise where.error("average_output", "an average over iterations (random forest mode) is not supported")
    if not 0 <= last_feature < 2**24:
        raise where.error("max_feature_idx", f"{last_feature}: expected 0 to 2^24")
    if not 1 <= n_classes <= 2**16 or len(trees) % n_classes:
        raise where.error("num_tree_per_iteration", f"{n_classes}, but there are {len(trees)} trees")
    grid = Grid("float64")
    lowered = [
        lower_tree(raw, at, last_feature + 1, grid.convert, grid.convert, i % n_classes)
        for i, (at, raw) in enumerate(trees)
    ]
    return document(f"LightGBM {version}", "", last_feature + 1, "float64", "float64", "<=", [0.0] * n_classes, lowered)


def _goes_left(missing_type: int, default_left: bool, threshold: float, where: Where) -> bool:
    """Where a NaN goes. Without a missing type it counts as 0, and with zeros as missing by the default direction."""
    if missing_type == 2:
        return default_left
    if missing_type == 1:
        if (default_left and threshold < NEAR_ZERO) or (not default_left and threshold >= -NEAR_ZERO):
            raise where.error("missing_type", "a split that sends zeros against its comparison is not supported")
        return default_left
    return threshold >= 0.0


def _blocks(text: str) -> Iterator[dict[str, str]]:
    """The head and each tree as a dictionary of its `key=value` lines; ends at "end of trees"."""
    block: dict[str, str] = {}
    for line in text.splitlines():
        line = line.strip()
        if line == "end of trees":
            break
        if line.startswith("Tree="):
            yield block
            block = {}
        key, _, value = line.partition("=")
        if key:
            block[key] = value
    yield block


def _raw_of_text(block: Mapping[str, str], where: Where) -> RawTree:
    """Nodes are the splits, then the leaves: child -1 - k is leaf k."""
    n_leaves = _text_int(block, "num_leaves", where)
    if not 1 <= n_leaves <= MAX_LEAVES:
        raise where.error("num_leaves", f"{n_leaves}: expected 1 to 2^24")
    if _text_int(block, "num_cat", where) > 0:
        raise where.error("num_cat", "categorical splits are not supported")
    if block.get("is_linear", "0") != "0":
        raise where.error("is_linear", "linear trees are not supported")
    n = n_leaves - 1
    value = _numbers(block, "leaf_value", n_leaves, float, where)
    if n == 0:
        return RawTree([-1], [0.0], [-1], [-1], value, [True])
    feature = _numbers(block, "split_feature", n, int, where)
    threshold = _numbers(block, "threshold", n, float, where)
    decision = _numbers(block, "decision_type", n, int, where)
    children = [[c if c >= 0 else n - 1 - c for c in _numbers(block, k, n, int, where)]
                for k in ("left_child", "right_child")]  # fmt: skip
    missing = []
    for i in range(n):
        if decision[i] & 1:
            raise where.at(i).error("decision_type", "categorical splits are not supported")
        kind = decision[i] >> 2 & 3
        if kind > 2 or decision[i] < 0:
            raise where.at(i).error("decision_type", f"{decision[i]} is unknown")
        missing.append(_goes_left(kind, bool(decision[i] & 2), threshold[i], where.at(i)))
    pad = [0] * n_leaves
    return RawTree(
        feature + pad, threshold + pad, children[0] + pad, children[1] + pad, [0.0] * n + value,
        [False] * n + [True] * n_leaves, missing + [False] * n_leaves,
    )  # fmt: skip


def _numbers(block: Mapping[str, str], key: str, n: int, kind: type, where: Where) -> list[Any]:
    try:
        values = [kind(word) for word in block.get(key, "").split()]
    except ValueError as error:
        raise where.error(key, str(error)) from None
    if len(values) != n:
        raise where.error(key, f"{len(values)} numbers, expected {n}")
    return values


def _text_int(block: Mapping[str, str], key: str, where: Where) -> int:
    try:
        return int(block[key])
    except (KeyError, ValueError):
        raise where.error(key, f"missing, or no integer: {block.get(key)!r:.40}") from None


def _raw_of_dump(root: Mapping[str, Any], where: Where) -> RawTree:
    missing: list[bool] = []
    raw = RawTree([], [], [], [], [], [], missing)
    columns: tuple[list[Any], ...] = (raw.feature, raw.threshold, raw.left, raw.right, raw.value, raw.is_leaf, missing)  # type: ignore[assignment]
    todo: list[tuple[Any, int, int]] = [(root, -1, 2)]
    while todo:
        node, parent, side = todo.pop()
        new = len(missing)
        at = where.at(new)
        if parent >= 0:
            columns[side][parent] = new
        if not isinstance(node, Mapping):
            raise at.error("tree_structure", "expected an object")
        is_leaf = "left_child" not in node
        for column, value in zip(columns, _leaf(node, at) if is_leaf else _split(node, at), strict=True):
            column.append(value)
        if not is_leaf:
            todo += [(node.get("right_child"), new, 3), (node["left_child"], new, 2)]
    return raw


def _leaf(node: Mapping[str, Any], where: Where) -> tuple[Any, ...]:
    if "leaf_coeff" in node or "leaf_const" in node:
        raise where.error("leaf_coeff", "linear trees are not supported")
    return -1, 0.0, -1, -1, number(node.get("leaf_value"), where, "leaf_value"), True, False


def _split(node: Mapping[str, Any], where: Where) -> tuple[Any, ...]:
    if node.get("decision_type") != "<=":
        raise where.error("decision_type", f"{node.get('decision_type')!r:.40}: categorical splits are not supported")
    if node.get("missing_type") not in MISSING:
        raise where.error("missing_type", f"{node.get('missing_type')!r:.40}: expected one of {', '.join(MISSING)}")
    threshold = number(node.get("threshold"), where, "threshold")
    left = _goes_left(MISSING.index(node["missing_type"]), bool(node.get("default_left")), threshold, where)
    return index(node.get("split_feature"), where, "split_feature"), threshold, -1, -1, 0.0, False, left
