"""xgboost's JSON and UBJSON models, read as data: float32 thresholds, `<`, float32 sums in the order of the trees."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rheinfall.quantized.forest_trees import Grid, RawTree, Where, document, index, lower_tree

IDENTITY = (
    "reg:squarederror", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror", "reg:quantileerror",
    "reg:linear", "binary:hinge", "multi:softmax", "multi:softprob", "rank:pairwise", "rank:ndcg", "rank:map",
)  # fmt: skip
LOGIT = ("reg:logistic", "binary:logistic", "binary:logitraw")
LOGARITHM = ("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft")


def read_xgboost(data: Mapping[str, Any], file: str) -> dict[str, Any]:
    """The document of an xgboost model as `save_model` writes it (xgboost 1.x to 3.x): raw margins.

    The margin of `base_score` is rounded correctly; xgboost leaves the last bit of its logarithm to libm.
    """
    where = Where(file)
    learner = _get(data, "learner", Mapping, where)
    booster = _get(learner, "gradient_booster", Mapping, where)
    if booster.get("name") != "gbtree":
        raise where.error("gradient_booster.name", f"{booster.get('name')!r:.40}: only gbtree is supported")
    model = _get(booster, "model", Mapping, where)
    parameters = _get(learner, "learner_model_param", Mapping, where)
    n_features = _integer(parameters, "num_feature", where)
    n_classes = max(1, _integer(parameters, "num_class", where))
    if _integer(parameters, "num_target", where) > 1:
        raise where.error("num_target", "several targets are not supported")
    trees = _get(model, "trees", list, where)
    classes = _get(model, "tree_info", list, where)
    if len(classes) != len(trees):
        raise where.error("tree_info", f"{len(classes)} entries for {len(trees)} trees")
    grid = Grid("float32")
    lowered = []
    for i, (tree, tree_class) in enumerate(zip(trees, classes, strict=True)):
        at = Where(file, i)
        if not 0 <= index(tree_class, at, "tree_info") < n_classes:
            raise at.error("tree_info", f"class {tree_class} of {n_classes}")
        lowered.append(lower_tree(_raw(tree, at), at, n_features, grid.convert, grid.convert, tree_class))
    return document(
        f"xgboost {'.'.join(map(str, data.get('version', ['?'])))}",
        "",
        n_features,
        "float32",
        "float32",
        "<",
        _initial(learner, parameters, n_classes, where),
        lowered,
    )


def _initial(learner: Mapping[str, Any], parameters: Mapping[str, Any], n_classes: int, where: Where) -> list[float]:
    """The margin that the sums start from: base_score is kept as a probability, or whatever the objective predicts."""
    text = str(parameters.get("base_score", "0.5")).strip("[] ")
    try:
        scores = [float(np.float32(part)) for part in text.split(",")]
    except ValueError:
        raise where.error("base_score", f"expected numbers, got {text!r:.40}") from None
    if len(scores) not in (1, n_classes) or not all(map(math.isfinite, scores)):
        raise where.error("base_score", f"expected 1 or {n_classes} finite numbers, got {text!r:.40}")
    objective = str(_get(learner, "objective", Mapping, where).get("name"))
    if objective in LOGIT:
        if not all(0 < s < 1 for s in scores):
            raise where.error("base_score", f"{text}: expected probabilities between 0 and 1")
        one = np.float32(1)
        scores = [-math.log(one / np.float32(s) - one) for s in scores]
    elif objective in LOGARITHM:
        if not all(s > 0 for s in scores):
            raise where.error("base_score", f"{text}: expected positive numbers")
        scores = [math.log(s) for s in scores]
    elif objective not in IDENTITY:
        raise where.error("objective.name", f"{objective!r:.40}: how its base_score becomes a margin is not known here")
    return [float(np.float32(s)) for s in (scores * n_classes if len(scores) == 1 else scores)]


def _raw(tree: Any, where: Where) -> RawTree:
    if not isinstance(tree, Mapping):
        raise where.error("trees", "expected an object")
    parameters = _get(tree, "tree_param", Mapping, where)
    if _integer(parameters, "size_leaf_vector", where) > 1:
        raise where.error("size_leaf_vector", "leaves with several values are not supported")
    left, right = _get(tree, "left_children", list, where), _get(tree, "right_children", list, where)
    feature, value = _get(tree, "split_indices", list, where), _get(tree, "split_conditions", list, where)
    missing = _get(tree, "default_left", list, where)
    for name, column in (("right_children", right), ("split_indices", feature), ("split_conditions", value),
                         ("default_left", missing)):  # fmt: skip
        if len(column) != len(left):
            raise where.error(name, f"{len(column)} entries for {len(left)} nodes")
    kinds = tree.get("split_type") or []
    if not isinstance(kinds, list) or any(kinds) or tree.get("categories"):
        raise where.error("split_type", "categorical splits are not supported")
    leaf = [child == -1 for child in left]
    return RawTree(feature, value, left, right, value, leaf, [bool(m) for m in missing])


def _get(data: Mapping[str, Any], key: str, kind: type, where: Where) -> Any:
    value = data.get(key)
    if not isinstance(value, kind):
        raise where.error(key, f"missing, or no {'list' if kind is list else 'object'}")
    return value


def _integer(data: Mapping[str, Any], key: str, where: Where) -> int:
    try:
        value = int(str(data.get(key, "0")))
    except ValueError:
        value = -1
    if not 0 <= value <= 2**24:
        raise where.error(key, f"expected an integer from 0 to 2^24, got {data.get(key)!r:.40}")
    return value


SCALARS = {"i": "b", "U": "B", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}


class UbjReader:
    """Universal Binary JSON, as xgboost writes it; see ubjson.org."""

    def __init__(self, data: bytes, where: Where) -> None:
        self.data = data
        self.at = 0
        self.where = where

    def read(self, kind: str | None = None, depth: int = 0) -> Any:
        """The next value; `kind` is its marker where a container gave it."""
        if depth > 64:
            raise self._error("nested deeper than 64")
        kind = kind or self._marker()
        if kind in SCALARS:
            return self._scalars(kind, 1)[0]
        if kind in "ZTF":
            return {"Z": None, "T": True, "F": False}[kind]
        if kind == "S":
            return self._text(self._length())
        if kind == "C":
            return self._text(1)
        if kind == "[":
            return self._array(depth)
        if kind == "{":
            return self._object(depth)
        raise self._error(f"marker {kind!r}")

    def _array(self, depth: int) -> list[Any]:
        kind, count = self._header()
        if kind in SCALARS and count is not None:
            return self._scalars(kind, count)
        return list(self._items(kind, count, "]", lambda k: self.read(k, depth + 1)))

    def _object(self, depth: int) -> dict[str, Any]:
        kind, count = self._header()
        return dict(self._items(kind, count, "}", lambda k: (self._text(self._length()), self.read(k, depth + 1))))

    def _items(self, kind: str | None, count: int | None, end: str, item: Callable[[str | None], Any]) -> list[Any]:
        items: list[Any] = []
        while count is None or len(items) < count:
            if count is None and self._peek() == end:
                self.at += 1
                break
            items.append(item(kind))
        return items

    def _header(self) -> tuple[str | None, int | None]:
        kind = count = None
        if self._peek() == "$":
            self.at += 1
            kind = self._marker()
        if self._peek() == "#":
            self.at += 1
            count = self._length()
            if count > len(self.data):
                raise self._error(f"{count} entries are more than the file holds")
        elif kind is not None:
            raise self._error("a typed container without a count")
        return kind, count

    def _length(self) -> int:
        kind = self._marker()
        if kind not in "iUIlL":
            raise self._error(f"marker {kind!r} where a length is expected")
        length = int(self._scalars(kind, 1)[0])
        if length < 0:
            raise self._error(f"length {length}")
        return length

    def _scalars(self, kind: str, count: int) -> list[Any]:
        dtype = np.dtype(SCALARS[kind])
        values = np.frombuffer(self._take(count * dtype.itemsize), dtype)
        return [float(v) for v in values] if kind in "dD" else [int(v) for v in values]

    def _text(self, length: int) -> str:
        try:
            return self._take(length).decode()
        except UnicodeDecodeError:
            raise self._error("a text that is no UTF-8") from None

    def _take(self, n: int) -> bytes:
        if self.at + n > len(self.data):
            raise self._error("the file ends here")
        self.at += n
        return self.data[self.at - n : self.at]

    def _peek(self) -> str:
        return chr(self.data[self.at]) if self.at < len(self.data) else ""

    def _marker(self) -> str:
        return self._take(1).decode("latin-1")

    def _error(self, reason: str) -> Exception:
        return self.where.error(f"UBJSON, byte {self.at}", reason)


def read_ubj(data: bytes, file: str) -> Any:
    """What a UBJSON file holds."""
    return UbjReader(data, Where(file)).read()
