"""Forests of other packages: the bits of conifer's compiled emulation and of the peers' own predictions."""

from __future__ import annotations

import copy
import gzip
import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from forest_models import Emulation, conifer_ensemble, conifer_events, save_conifer, why_no_emulation
from rheinfall.quantized import ModelError, load_forest

SHARED = Path(os.environ.get("RHEINFALL_SHARED", Path(__file__).parents[3] / "shared"))
SHARED_FOREST = SHARED / "data/bdt/hls_latency_model.json.gz"
CPP = {"Backend": "cpp", "Precision": "ap_fixed<18,8>"}


def events(n=500, n_features=16, nan=0.03, seed=1):
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, n_features)).astype(np.float32)
    x[random.random(x.shape) < nan] = np.nan
    return x


def training(n_classes=2, seed=0):
    x = events(1200, seed=seed)
    target = np.nansum(x[:, :4], 1) + np.random.default_rng(seed).normal(size=len(x))
    return x, np.digitize(target, np.quantile(target, np.arange(1, n_classes) / n_classes))


def assert_same_bits(got, want):
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got.reshape(want.shape).view(f"u{got.itemsize}"), want.view(f"u{got.itemsize}"))


# conifer


@pytest.mark.skipif(why_no_emulation() is not None, reason=f"conifer's emulation: {why_no_emulation()}")
@pytest.mark.parametrize(
    "config",
    [
        {"Backend": "cpp", "Precision": "ap_fixed<12,6>"},
        {"Backend": "cpp", "Precision": "float"},
    ],
    ids=lambda config: config["Precision"],
)
def test_conifer_emulation(config, tmp_path):
    emulation = None
    for seed in range(4):
        ensemble = conifer_ensemble(seed, n_classes=3 if seed == 2 else 2, norm=0.375 if seed == 3 else 1.0)
        path = save_conifer(ensemble, config, tmp_path / f"{seed}.json")
        emulation = emulation or Emulation(tmp_path / "build", config, ensemble)
        x = conifer_events(ensemble, 300, seed)
        want = emulation.scores(x, path)
        got = load_forest(path)(x)
        np.testing.assert_array_equal(got.reshape(want.shape), want)
        assert len(np.unique(want)) > 50


def test_the_shared_forest_sums_as_conifer_in_python():
    if not SHARED_FOREST.exists():
        pytest.skip(f"{SHARED_FOREST} is not there")
    forest = load_forest(SHARED_FOREST)
    assert (forest.n_trees, forest.n_features, forest.document["comparison"]) == (199, 19, "<")
    data = json.loads(gzip.decompress(SHARED_FOREST.read_bytes()))
    random = np.random.default_rng(0)
    cuts: list[set[float]] = [{0.0} for _ in range(19)]
    for (tree,) in data["trees"]:
        for threshold, feature in zip(tree["threshold"], tree["feature"], strict=True):
            if feature >= 0:
                cuts[feature].add(threshold)
    x = np.stack([random.choice(sorted(c), 200) for c in cuts], 1) + random.integers(-1, 2, (200, 19)) * 0.25
    want = []
    for event in x:
        total = 0.0
        for (tree,) in data["trees"]:
            node = 0
            while tree["feature"][node] != -2:
                left = event[tree["feature"][node]] < tree["threshold"][node]
                node = tree["children_left" if left else "children_right"][node]
            total += tree["value"][node]
        want.append(total + data["init_predict"][0])
    assert_same_bits(forest(x), np.array(want))
    fixed = load_forest(SHARED_FOREST, precision="ap_fixed<18,8>")
    assert fixed.document["input"] == "ap_fixed<18,8>"
    assert any("wraps" in trap for trap in fixed.document["traps"])
    assert np.abs(load_forest(SHARED_FOREST, precision="ap_fixed<48,24>")(x) - want).max() < 199 * 2.0**-24


def test_types_of_conifer_backends(tmp_path):
    ensemble = conifer_ensemble(3)

    def load(config):
        return load_forest(save_conifer(ensemble, config, tmp_path / "c.json")).document

    d = load(
        {"Backend": "xilinxhls", "InputPrecision": "ap_fixed<16,6>", "ThresholdPrecision": "ap_fixed<18,6>",
         "ScorePrecision": "ap_fixed<12,5,AP_RND,AP_SAT>", "Unroll": True}
    )  # fmt: skip
    assert (d["input"], d["score"], d["sum"]) == ("ap_fixed<16,6>", "ap_fixed<12,5,RND,SAT>", "tree")
    # x <= t on the grid of 2^-10, where t lies on that of 2^-12: x <= floor(t).
    t = [v for tree in ensemble["trees"][0] for v, f in zip(tree["threshold"], tree["feature"], strict=True) if f >= 0]
    assert d["trees"][0]["threshold"][0] == np.floor(np.floor(t[0] * 4096) / 4)
    assert load({"Backend": "xilinxhls", "Precision": "ap_fixed<18,8>", "Unroll": False})["sum"] == "sequential"
    assert load({"Backend": "python"})["initial_added"] == "last"
    for bad, match in (
        ({"Backend": "cpp", "Precision": "ap_fixed<12,1>"}, "cannot hold 1"),
        ({"Backend": "vhdl", "Precision": "ap_fixed<18,8>"}, "backend"),
        ({"Backend": "cpp", "Precision": "ap_fixed<80,8>"}, "ap_fixed<80,8>"),
        ({"Backend": "cpp", "InputPrecision": "float", "ThresholdPrecision": "double"}, "one type|score"),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=match):
            load(bad)


def test_conifer_models_that_are_refused(tmp_path):
    breaks = {
        "oblique": lambda d: d["trees"][3][0]["weight"].__setitem__(0, [0.5] * 8),
        "tree 3.*feature.*9 of 8": lambda d: d["trees"][3][0].update(NO_LISTS, feature=[9], weight=None),
        "tree 3.*node.*children": lambda d: d["trees"][3][0]["children_left"].__setitem__(0, 0),
        "tree 3.*node 0.*threshold": lambda d: d["trees"][3][0]["threshold"].__setitem__(0, None),
        "tree 3.*value": lambda d: d["trees"][3][0].pop("value"),
        "splitting_convention": lambda d: d.update(splitting_convention=">"),
        "n_trees": lambda d: d.update(n_trees=5),
        "init_predict": lambda d: d.update(init_predict=[]),
    }
    for match, change in breaks.items():
        ensemble = copy.deepcopy(conifer_ensemble(7))
        change(ensemble)
        with pytest.raises(ModelError, match=f"c.json.*{match}"):
            load_forest(save_conifer(ensemble, CPP, tmp_path / "c.json"))


NO_LISTS = {key: [0] for key in ("threshold", "value", "children_left", "children_right")}


# xgboost


@pytest.mark.parametrize("objective", ["binary:logistic", "multi:softprob", "reg:squarederror", "count:poisson"])
def test_xgboost_margins(objective, tmp_path):
    xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed")
    x, y = training(3 if objective == "multi:softprob" else 2)
    parameters = {"objective": objective, "max_depth": 5, "verbosity": 0, "nthread": 1, "base_score": 0.5}
    if objective == "multi:softprob":
        parameters["num_class"] = 3
    model = xgboost.train(parameters, xgboost.DMatrix(x, y), 30)
    test = events(800, seed=4)
    want = model.predict(xgboost.DMatrix(test), output_margin=True)
    for name in ("m.json", "m.ubj"):
        model.save_model(tmp_path / name)
        forest = load_forest(tmp_path / name)
        assert_same_bits(forest(test), want)
        assert_same_bits(forest(test.astype(np.float64)), want)


def test_xgboost_models_that_are_refused(tmp_path):
    xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed")
    x, y = training()
    model = xgboost.train({"objective": "binary:logistic", "verbosity": 0}, xgboost.DMatrix(x, y), 4)
    path = tmp_path / "m.json"
    model.save_model(path)
    whole = json.loads(path.read_text())
    trees = ["learner", "gradient_booster", "model", "trees", 2]
    for keys, value, match in (
        (["learner", "gradient_booster", "name"], "dart", "only gbtree"),
        ([*trees, "split_type", 0], 1, "tree 2.*categorical"),
        ([*trees, "left_children", 0], 7777, "tree 2, node 0.*child 7777"),
        ([*trees, "left_children", 0], 0, "tree 2.*reached twice"),
        ([*trees, "split_indices", 0], 99, "tree 2, node 0.*feature"),
        ([*trees, "tree_param", "size_leaf_vector"], "3", "several values"),
        (["learner", "objective", "name"], "mine", "objective"),
        (["learner", "learner_model_param", "base_score"], "[2E0]", "probabilities"),
    ):
        broken = copy.deepcopy(whole)
        at = broken
        for key in keys[:-1]:
            at = at[key]
        at[keys[-1]] = value
        path.write_text(json.dumps(broken))
        with pytest.raises(ModelError, match=f"m.json.*{match}"):
            load_forest(path)


# LightGBM


@pytest.mark.parametrize(
    "parameters",
    [
        {"objective": "binary"},
        {"objective": "multiclass", "num_class": 3},
        {"objective": "regression", "use_missing": False},
        {"objective": "binary", "num_leaves": 63, "min_data_in_leaf": 2},
    ],
)
def test_lightgbm_raw_scores(parameters, tmp_path):
    lightgbm = pytest.importorskip("lightgbm", reason="lightgbm is not installed")
    x, y = training(parameters.get("num_class", 2))
    model = lightgbm.train({"verbose": -1, "num_threads": 1, **parameters}, lightgbm.Dataset(x.astype(float), y), 15)
    test = events(800, seed=4).astype(np.float64)
    want = model.predict(test, raw_score=True)
    model.save_model(tmp_path / "m.txt")
    (tmp_path / "m.json").write_text(json.dumps(model.dump_model()))
    for name in ("m.txt", "m.json"):
        assert_same_bits(load_forest(tmp_path / name)(test), want)


def test_lightgbm_models_that_are_refused(tmp_path):
    lightgbm = pytest.importorskip("lightgbm", reason="lightgbm is not installed")
    x, y = training()
    x = np.nan_to_num(x).astype(np.float64)
    labels = x.copy()
    labels[:, 0] = np.digitize(x[:, 0], [-1, 0, 1])
    quiet = {"verbose": -1, "objective": "binary"}
    for parameters, data, match in (
        (quiet, lightgbm.Dataset(labels, y, categorical_feature=[0]), "tree 0.*categorical"),
        ({**quiet, "linear_tree": True}, lightgbm.Dataset(x, y), "tree .*linear"),
        ({**quiet, "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, lightgbm.Dataset(x, y), "average"),
        ({**quiet, "zero_as_missing": True}, lightgbm.Dataset(np.where(np.abs(x) < 0.5, 0, x), y), "zeros"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = lightgbm.train(parameters, data, 5)
        model.save_model(tmp_path / "m.txt")
        (tmp_path / "m.json").write_text(json.dumps(model.dump_model()))
        for name in ("m.txt", "m.json"):
            with pytest.raises(ModelError, match=f"{name}.*{match}"):
                load_forest(tmp_path / name)


# ONNX-ML


def ensemble_node(op="TreeEnsembleRegressor", modes=("BRANCH_LEQ", "BRANCH_GT", "LEAF", "LEAF", "LEAF"), **fields):
    """Two trees of two splits over two features."""
    helper = pytest.importorskip("onnx", reason="onnx is not installed").helper
    n = len(modes)
    attributes = {
        "nodes_treeids": [0] * n + [1] * n,
        "nodes_nodeids": [*range(n)] * 2,
        "nodes_featureids": [0, 1, 0, 0, 0] * 2,
        "nodes_values": [0.5, -0.25, 0.0, 0.0, 0.0] * 2,
        "nodes_modes": [*modes] * 2,
        "nodes_truenodeids": [1, 2, 0, 0, 0] * 2,
        "nodes_falsenodeids": [4, 3, 0, 0, 0] * 2,
        "nodes_missing_value_tracks_true": [0, 0, 0, 0, 0, 1, 1, 0, 0, 0],
        "target_treeids": [0, 0, 0, 1, 1, 1],
        "target_nodeids": [2, 3, 4] * 2,
        "target_ids": [0] * 6,
        "target_weights": [0.1, 0.2, 0.7, 1.1, 1.3, 1.7],
        "n_targets": 1,
        "base_values": [0.3],
        **fields,
    }
    given = {key: value for key, value in attributes.items() if value is not None}
    return helper.make_node(op, ["x"], ["y"], "ensemble", domain="ai.onnx.ml", **given)


def save_onnx(node, path, n_features=2):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph([node], "g", [value("x", 1, [None, n_features])], [value("y", 1, [None, None])])
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9), path)


def onnx_runtime(path, x):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(str(path), options).run(None, {"x": x})[-1]


@pytest.mark.parametrize("first", ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"])
@pytest.mark.parametrize("second", ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"])
def test_onnx_branches_and_missing_values(first, second, tmp_path):
    path = tmp_path / "m.onnx"
    save_onnx(ensemble_node(modes=(first, second, "LEAF", "LEAF", "LEAF")), path)
    values = np.float32([-1, -0.25, np.nextafter(np.float32(-0.25), np.float32(1)), 0, 0.5, 0.75, np.nan, np.inf])
    x = np.stack(np.meshgrid(values, values), -1).reshape(-1, 2)
    assert_same_bits(load_forest(path)(x), onnx_runtime(path, x)[:, 0])


@pytest.mark.parametrize("kind", ["boosted", "forest"])
@pytest.mark.parametrize("n_classes", [0, 2, 3])
def test_onnx_models_of_scikit_learn(kind, n_classes, tmp_path):
    pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
    ensemble = pytest.importorskip("sklearn.ensemble", reason="scikit-learn is not installed")
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    from skl2onnx import to_onnx

    x, y = training(max(n_classes, 2))
    x = np.nan_to_num(x)
    name = ("GradientBoosting" if kind == "boosted" else "RandomForest") + ("Classifier" if n_classes else "Regressor")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = getattr(ensemble, name)(n_estimators=15, max_depth=4, random_state=0).fit(
            x, y * (1 if n_classes else 1.3)
        )
        converted = to_onnx(model, x[:1], options={"zipmap": False} if n_classes else None)
    for node in converted.graph.node:
        for attribute in node.attribute:
            if attribute.name == "post_transform":
                attribute.s = b"NONE"
    converted.graph.input[0].name = "x"
    for node in converted.graph.node:
        node.input[:] = ["x" if i == "X" else i for i in node.input]
    path = tmp_path / "m.onnx"
    onnx.save(converted, path)
    test = np.nan_to_num(events(600, seed=4))
    want = onnx_runtime(path, test)
    if n_classes == 2 or n_classes == 0:
        want = np.ascontiguousarray(want[:, -1])
    assert_same_bits(load_forest(path)(test), want)


def test_onnx_models_that_are_refused(tmp_path):
    path = tmp_path / "m.onnx"
    cases = (
        ({"modes": ("BRANCH_EQ", "BRANCH_LEQ", "LEAF", "LEAF", "LEAF")}, "BRANCH_EQ"),
        ({"aggregate_function": "MIN"}, "aggregate_function.*MIN"),
        ({"nodes_truenodeids": [9, 2, 0, 0, 0] * 2}, "tree 0.*no node 9"),
        ({"nodes_truenodeids": [0, 2, 0, 0, 0] * 2}, "tree 0.*reached twice"),
        ({"nodes_featureids": [5, 1, 0, 0, 0] * 2}, "tree 0.*feature"),
        ({"target_nodeids": [1, 3, 4] * 2}, "tree 0, node 1.*no leaf"),
        ({"nodes_values": [float("nan"), 0, 0, 0, 0] * 2}, "tree 0, node 0.*threshold"),
        ({"nodes_values": [0.5] * 3}, "nodes_values"),
        ({"base_values": [0.1, 0.2]}, "base_values"),
    )
    for fields, match in cases:
        save_onnx(ensemble_node(**fields), path)
        with pytest.raises(ModelError, match=f"m.onnx.*{match}"):
            load_forest(path)
    save_onnx(ensemble_node(post_transform="LOGISTIC"), path)
    assert "LOGISTIC is not applied" in load_forest(path).inspect()
    path.write_bytes(b"\x08\x07garbage")
    with pytest.raises(ModelError, match=r"m\.onnx: "):
        load_forest(path)


def test_precision_is_for_conifer_alone(tmp_path):
    path = tmp_path / "m.onnx"
    save_onnx(ensemble_node(), path)
    with pytest.raises(ModelError, match="precision is for conifer"):
        load_forest(path, precision="ap_fixed<18,8>")
