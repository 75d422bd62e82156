"""ONNX-ML tree ensembles, read from an ONNX file: raw scores, summed as ONNX Runtime sums them on one thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rheinfall._extras import require
from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.forest_trees import Grid, RawTree, Where, document, lower_tree

ENSEMBLES = ("TreeEnsembleRegressor", "TreeEnsembleClassifier", "TreeEnsemble")
PASSIVE = ("Cast", "Identity", "ZipMap", "Normalizer", "Reshape")  # what converters put around an ensemble
# Mode: (comparison that the forest makes, whether "true" is the left child)
MODES = {
    "BRANCH_LEQ": ("<=", True),
    "BRANCH_LT": ("<", True),
    "BRANCH_GT": ("<=", False),
    "BRANCH_GTE": ("<", False),
}
NUMBERED_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
POST_TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


def read_onnxml(data: bytes, file: str) -> dict[str, Any]:
    """The document of the one tree ensemble in an ONNX file (opset ai.onnx.ml 1 to 5).

    A classifier with one score of two classes gives that one. What follows the ensemble (ZipMap, Cast, its own post
    transform) is not applied; a trap says so.
    """
    onnx = require("onnx", "onnx")
    where = Where(file)
    try:
        model = onnx.ModelProto.FromString(data)
    except Exception as error:  # protobuf has errors of its own, by implementation
        raise ModelError(f"{file}: no ONNX model: {error}") from None
    nodes = [n for n in model.graph.node if n.op_type in ENSEMBLES and n.domain in ("ai.onnx.ml", "")]
    if len(nodes) != 1:
        raise where.error("graph", f"{len(nodes)} tree ensembles, expected one of {', '.join(ENSEMBLES)}")
    node = nodes[0]
    others = [n for n in model.graph.node if n is not node]
    _check_input(model, node, others, where)
    where = Where(f"{file}, node {node.name!r} ({node.op_type})")
    ensemble = (_Ensemble5 if node.op_type == "TreeEnsemble" else _Ensemble1)(onnx, node, where)
    traps = [] if ensemble.post_transform == "NONE" else [f"{ensemble.post_transform} is not applied: raw scores"]
    after = sorted({n.op_type for n in others if n.op_type != "Cast"})
    if after:
        traps.append(f"nodes around the ensemble are left out: {', '.join(after)}")
    n_features = _n_features(model, ensemble, where)
    return _document(ensemble, n_features, _source(model), traps, where)


class _Ensemble1:
    """Attributes of TreeEnsembleRegressor and TreeEnsembleClassifier (opset 1 to 3)."""

    def __init__(self, onnx: Any, node: Any, where: Where) -> None:
        a = {_text(x.name): onnx.helper.get_attribute_value(x) for x in node.attribute}
        self.where = where
        kind = "class" if node.op_type == "TreeEnsembleClassifier" else "target"
        self.double = any(name.endswith("_as_tensor") and name != "base_values_as_tensor" for name in a)
        tree_ids = list(a.get("nodes_treeids", ()))
        node_ids = list(a.get("nodes_nodeids", ()))
        n = len(tree_ids)
        self.modes = [_text(m) for m in a.get("nodes_modes", ())]
        self.features = [int(f) for f in a.get("nodes_featureids", ())]
        self.values = _reals(onnx, a, "nodes_values")
        track = list(a.get("nodes_missing_value_tracks_true", ())) or [0] * n
        yes, no = list(a.get("nodes_truenodeids", ())), list(a.get("nodes_falsenodeids", ()))
        for name, column in (("nodes_nodeids", node_ids), ("nodes_modes", self.modes), ("nodes_values", self.values),
                             ("nodes_featureids", self.features), ("nodes_truenodeids", yes),
                             ("nodes_falsenodeids", no), ("nodes_missing_value_tracks_true", track)):  # fmt: skip
            if len(column) != n:
                raise where.error(name, f"{len(column)} entries for {n} nodes")
        at = {key: i for i, key in enumerate(zip(tree_ids, node_ids, strict=True))}
        if len(at) != n:
            raise where.error("nodes_nodeids", "a node is listed twice")
        self.is_leaf = [m == "LEAF" for m in self.modes]
        self.yes, self.no = (
            [-1 if leaf else self._child(at, t, c) for leaf, t, c in zip(self.is_leaf, tree_ids, column, strict=True)]
            for column in (yes, no)
        )
        self.track = [bool(t) for t in track]
        self.roots: list[int] = []
        seen = set()
        for i, t in enumerate(tree_ids):  # trees in order of first appearance; a root is its first node
            if t not in seen:
                seen.add(t)
                self.roots.append(i)
        self.leaves = self._weights(onnx, a, kind, at)
        self.post_transform = _text(a.get("post_transform", b"NONE"))
        self.aggregate = _text(a.get("aggregate_function", b"SUM"))
        base = _reals(onnx, a, "base_values")
        classes = max((c for leaf in self.leaves.values() for c in leaf), default=0) + 1
        if kind == "target":
            self.n_targets = int(a.get("n_targets", 1))
        else:
            labels = a.get("classlabels_strings") or a.get("classlabels_int64s") or ()
            used = sorted({c for leaf in self.leaves.values() for c in leaf})
            if len(labels) == 2 and len(used) == 1:
                self.leaves = {i: {0: v[used[0]]} for i, v in self.leaves.items()}
                base = base[used[0] :][:1] if len(base) == 2 else base
                classes = self.n_targets = 1
            self.n_targets = max(1, len(labels)) if classes > 1 or len(labels) > 2 else 1
        if classes > self.n_targets:
            raise where.error(f"{kind}_ids", f"{classes - 1} of {self.n_targets}")
        if base and len(base) != self.n_targets:
            raise where.error("base_values", f"{len(base)} numbers for {self.n_targets} scores")
        self.base = base or [0.0] * self.n_targets

    def _child(self, at: Mapping[tuple[int, int], int], tree: int, child: int) -> int:
        if (tree, child) not in at:
            raise Where(self.where.file, tree).error("nodes_truenodeids, nodes_falsenodeids", f"no node {child}")
        return at[tree, child]

    def _weights(
        self, onnx: Any, a: Mapping[str, Any], kind: str, at: Mapping[Any, int]
    ) -> dict[int, dict[int, float]]:
        columns = [list(a.get(f"{kind}_{name}", ())) for name in ("treeids", "nodeids", "ids")]
        weights = _reals(onnx, a, f"{kind}_weights")
        if any(len(column) != len(weights) for column in columns):
            raise self.where.error(f"{kind}_weights", f"lists of {[len(c) for c in columns]} and {len(weights)}")
        leaves: dict[int, dict[int, float]] = {}
        for tree, node, target, weight in zip(*columns, weights, strict=True):
            here = Where(self.where.file, tree, node)
            if (tree, node) not in at or not self.is_leaf[at[tree, node]]:
                raise here.error(f"{kind}_nodeids", "this is no leaf")
            leaf = leaves.setdefault(at[tree, node], {})
            if target in leaf or target < 0:
                raise here.error(f"{kind}_ids", f"{target} is listed twice, or negative")
            leaf[int(target)] = weight
        return leaves


class _Ensemble5:
    """Attributes of TreeEnsemble (opset 5): children index nodes, or leaves."""

    def __init__(self, onnx: Any, node: Any, where: Where) -> None:
        a = {x.name: onnx.helper.get_attribute_value(x) for x in node.attribute}
        numpy = onnx.numpy_helper.to_array
        try:
            splits = numpy(a["nodes_splits"])
            modes = [int(m) for m in numpy(a["nodes_modes"])]
            weights = [float(w) for w in numpy(a["leaf_weights"])]
            self.features = [int(f) for f in a["nodes_featureids"]]
            children = [(list(a[f"nodes_{s}nodeids"]), list(a[f"nodes_{s}leafs"])) for s in ("true", "false")]
            roots, targets = list(a["tree_roots"]), [int(t) for t in a["leaf_targetids"]]
        except KeyError as error:
            raise where.error(str(error.args[0]), "missing") from None
        if splits.dtype not in (np.float32, np.float64):
            raise where.error("nodes_splits", f"expected float or double, got {splits.dtype}")
        self.where, self.double, n, n_leaves = where, splits.dtype == np.float64, len(splits), len(weights)
        if any(not 0 <= m < len(NUMBERED_MODES) for m in modes):
            raise where.error("nodes_modes", "an unknown mode")
        self.modes = [NUMBERED_MODES[m] for m in modes] + ["LEAF"] * n_leaves
        self.values = [float(s) for s in splits] + [0.0] * n_leaves
        track = list(a.get("nodes_missing_value_tracks_true", ())) or [0] * n
        lengths = [len(self.features), len(modes), len(track), *(len(c) for pair in children for c in pair)]
        if any(length != n for length in lengths) or len(targets) != n_leaves:
            raise where.error("nodes", f"lists of different lengths: {lengths} for {n} nodes")
        self.features += [-1] * n_leaves
        self.is_leaf = [False] * n + [True] * n_leaves
        self.track = [bool(t) for t in track] + [False] * n_leaves
        self.yes, self.no = ([c + n if leaf else c for c, leaf in zip(*pair, strict=True)] + [-1] * n_leaves
                             for pair in children)  # fmt: skip
        # A tree that is one leaf has a root whose children are that leaf twice: the leaf itself is the root then.
        self.roots = [self._root(r, n) for r in roots]
        self.n_targets = int(a.get("n_targets", 1))
        if any(not 0 <= t < self.n_targets for t in targets):
            raise where.error("leaf_targetids", f"not all of {self.n_targets} targets")
        self.leaves = {n + i: {t: w} for i, (t, w) in enumerate(zip(targets, weights, strict=True))}
        transform = int(a.get("post_transform", 0))
        self.post_transform = POST_TRANSFORMS[transform] if 0 <= transform < 5 else str(transform)
        aggregate = int(a.get("aggregate_function", 1))
        self.aggregate = ("AVERAGE", "SUM", "MIN", "MAX")[aggregate] if 0 <= aggregate < 4 else str(aggregate)
        self.base = [0.0] * self.n_targets

    def _root(self, root: int, n: int) -> int:
        if not 0 <= root < n:
            raise self.where.error("tree_roots", f"{root} of {n} nodes")
        return self.yes[root] if self.yes[root] == self.no[root] and self.yes[root] >= n else root


def _document(e: Any, n_features: int, source: str, traps: list[str], where: Where) -> dict[str, Any]:
    kind = "float64" if e.double else "float32"
    grid = Grid(kind)
    used = {m for m, leaf in zip(e.modes, e.is_leaf, strict=True) if not leaf}
    unknown = used - set(MODES)
    if unknown:
        raise where.error("nodes_modes", f"{', '.join(sorted(unknown))}: expected {', '.join(MODES)}")
    comparison = "<" if used and all(MODES[m][0] == "<" for m in used) else "<="
    if e.aggregate not in ("SUM", "AVERAGE"):
        raise where.error("aggregate_function", f"{e.aggregate}: expected SUM or AVERAGE")
    left, right, values, missing = [], [], [], []
    for i, mode in enumerate(e.modes):
        own, true_is_left = MODES.get(mode, (comparison, True))
        left.append(e.yes[i] if true_is_left else e.no[i])
        right.append(e.no[i] if true_is_left else e.yes[i])
        # A NaN compares false, and so takes the false branch, unless it is to follow the true one.
        missing.append(e.track[i] == true_is_left)
        values.append(e.values[i] if own == comparison else _just_below(e.values[i], kind, where))
    trees = []
    for t, root in enumerate(e.roots):
        for target in range(e.n_targets):
            leaf_values = [e.leaves.get(i, {}).get(target, 0.0) if leaf else 0.0 for i, leaf in enumerate(e.is_leaf)]
            raw = RawTree(e.features, values, left, right, leaf_values, e.is_leaf, missing, root)
            trees.append(lower_tree(raw, Where(where.file, t), n_features, grid.convert, grid.convert, target))
    divide = {"divide": float(len(e.roots))} if e.aggregate == "AVERAGE" and e.roots else None
    if divide and any(e.base):
        raise where.error("base_values", "with an average they are added after the division, which is not supported")
    initial = [_convert(grid, v, where) for v in e.base]
    return document(source, "", n_features, kind, kind, comparison, initial, trees, initial_added="last",
                    normalisation=divide, traps=traps or None)  # fmt: skip


def _just_below(value: float, kind: str, where: Where) -> float:
    """x < value is x <= the float just below it: so forests that mix both have one comparison."""
    dtype: Any = np.float32 if kind == "float32" else np.float64
    below = float(np.nextafter(dtype(value), dtype(-np.inf), dtype=dtype))
    if not np.isfinite(below):
        raise where.error("nodes_values", f"{value}: no finite number lies below it")
    return below


def _convert(grid: Grid, value: float, where: Where) -> Any:
    try:
        return grid.convert(value)
    except ValueError as error:
        raise where.error("base_values", str(error)) from None


def _reals(onnx: Any, a: Mapping[str, Any], name: str) -> list[float]:
    if f"{name}_as_tensor" in a:
        return [float(v) for v in onnx.numpy_helper.to_array(a[f"{name}_as_tensor"]).reshape(-1)]
    return [float(v) for v in a.get(name, ())]


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _check_input(model: Any, node: Any, others: Sequence[Any], where: Where) -> None:
    """The ensemble reads the graph's input, so that its features are the input's."""
    inputs = {i.name for i in model.graph.input}
    while node.input and node.input[0] not in inputs:
        before = [n for n in others if node.input[0] in n.output]
        if len(before) != 1 or before[0].op_type not in ("Identity", "Cast"):
            what = f"{before[0].op_type} {before[0].name!r}" if before else "nothing"
            raise where.error("graph", f"{what} stands before the ensemble; expected the graph's input")
        if before[0].op_type == "Cast" and any(a.name == "to" and a.i not in (1, 11) for a in before[0].attribute):
            raise where.error("graph", f"Cast {before[0].name!r} changes the inputs")
        node = before[0]
    strange = [n for n in others if n.op_type not in PASSIVE + ("ArrayFeatureExtractor", "ArgMax")]
    if any(n.op_type == "Scaler" for n in strange):
        raise where.error("graph", "a Scaler changes the inputs")


def _n_features(model: Any, ensemble: Any, where: Where) -> int:
    shape = model.graph.input[0].type.tensor_type.shape.dim
    declared = int(shape[-1].dim_value) if len(shape) else 0
    n = (
        declared
        or max((f for f, leaf in zip(ensemble.features, ensemble.is_leaf, strict=True) if not leaf), default=0) + 1
    )
    if not 1 <= n <= 2**24:
        raise where.error("graph.input", f"{n} features")
    return n


def _source(model: Any) -> str:
    return f"ONNX-ML, {model.producer_name or 'unknown producer'} {model.producer_version}".rstrip()
