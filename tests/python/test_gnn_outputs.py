"""What an ONNX file's output means: logits, scores, or not to be told; and files that break ONNX's own rules."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import rheinfall as rf

onnx = pytest.importorskip("onnx", reason="needs the extra [onnx]")
pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from rheinfall.gnn.inspection import inspect_network  # noqa: E402

N = helper.make_node
RNG = np.random.default_rng(2)
WEIGHTS = RNG.normal(size=(4, 1)).astype(np.float32)
NODES = RNG.normal(size=(10, 2)).astype(np.float32)
EDGES = RNG.integers(0, 10, (2, 20))
LOGITS = np.concatenate([NODES[EDGES[0]], NODES[EDGES[1]]], 1).astype(np.float64) @ WEIGHTS[:, 0].astype(np.float64)
SCORES = 1 / (1 + np.exp(-LOGITS))
ENGINES = ("fused", "onnxruntime")
CONSTANTS = {
    **{"zero": np.int64(0), "one": np.int64(1), "columns": np.array([1], np.int64), "start": np.array([0], np.int64)},
    **{"f0": np.float32(0), "f1": np.float32(1), "f2": np.float32(2), "low": np.float32(1e-6), "ten": np.float32(10)},
    **{"high": np.float32(1 - 1e-6), "half": np.float32(0.5), "true": np.array(True), "false": np.array(False)},
    **{"minus": np.float32(-10), "seven": np.int64(7)},
}


def write(folder, tail, *, opset=18, weights=WEIGHTS, row="zero", edges=(2, "e"), output="y", name="m.onnx"):
    """l = W · (x_source, x_target), of shape (edges, 1), then `tail`."""
    nodes = [
        N("Gather", ["edge_index", row], ["src"], axis=0, name="the_row"),
        N("Gather", ["edge_index", "one"], ["dst"], axis=0),
        N("Gather", ["x", "src"], ["xs"], axis=0),
        N("Gather", ["x", "dst"], ["xd"], axis=0),
        N("Concat", ["xs", "xd"], ["c"], axis=1),
        N("MatMul", ["c", "W"], ["l"], name="linear"),
        *tail,
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2]),
        helper.make_tensor_value_info("edge_index", TensorProto.INT64, edges),
    ]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    stored = [numpy_helper.from_array(np.asarray(v), k) for k, v in {**CONSTANTS, "W": weights}.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs, stored),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )
    onnx.save(model, folder / name)
    return folder / name


def branches():
    """As the older exporter writes squeeze(-1) where it does not know the shape."""
    value = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
    squeezed = helper.make_graph([N("Squeeze", ["p", "columns"], ["b"])], "then", [], [value])
    value = helper.make_tensor_value_info("k", TensorProto.FLOAT, None)
    kept = helper.make_graph([N("Identity", ["p"], ["k"])], "else", [], [value])
    return N("If", ["true"], ["y"], then_branch=squeezed, else_branch=kept)


P = N("Sigmoid", ["l"], ["p"], name="probability")
PLAIN = [N("Identity", ["l"], ["y"])]
OPPOSITE = [N("Neg", ["l"], ["a"]), N("Exp", ["a"], ["b"]), N("Add", ["b", "f1"], ["d"])]
# What stands behind the logits, and whether these are still to be had.
ENDINGS = {
    "nothing": (PLAIN, "logits"),
    "cut logits": ([N("Clip", ["l", "minus", "ten"], ["y"])], "logits"),
    "sigmoid": ([N("Sigmoid", ["l"], ["y"])], "logits"),
    "sigmoid, dropout": ([P, N("Dropout", ["p", "half", "false"], ["y"])], "logits"),
    "sigmoid, squeeze": ([P, N("Squeeze", ["p", "columns"], ["y"])], "logits"),
    "sigmoid, first column": ([P, N("Gather", ["p", "zero"], ["y"], axis=1)], "scores"),
    "sigmoid, slice": (
        [P, N("Slice", ["p", "start", "columns", "columns"], ["y"])],
        "scores",
    ),
    "sigmoid, clip": (
        [P, N("Clip", ["p", "low", "high"], ["q"]), N("Squeeze", ["q", "columns"], ["y"])],
        "scores",
    ),
    "sigmoid, times 1": ([P, N("Mul", ["p", "f1"], ["y"])], "scores"),
    "sigmoid, power 1": ([P, N("Pow", ["p", "f1"], ["y"])], "scores"),
    "sigmoid, by 1": ([P, N("Div", ["p", "f1"], ["y"])], "scores"),
    "1 - sigmoid of the opposite": (
        [N("Neg", ["l"], ["a"]), N("Sigmoid", ["a"], ["b"]), N("Sub", ["f1", "b"], ["y"])],
        "scores",
    ),
    "mean of two": ([P, N("Add", ["p", "p"], ["q"]), N("Div", ["q", "f2"], ["y"])], "scores"),
    "sigmoid, branch": ([P, branches()], "scores"),
    "spelled out": ([*OPPOSITE, N("Div", ["f1", "d"], ["y"])], "scores"),
    "spelled out, reciprocal": ([*OPPOSITE, N("Reciprocal", ["d"], ["y"])], "scores"),
    "spelled out, share": (
        [N("Exp", ["l"], ["b"]), N("Add", ["b", "f1"], ["d"]), N("Div", ["b", "d"], ["y"])],
        "scores",
    ),
    "softmax": (
        [
            N("Sub", ["l", "l"], ["a"]),
            N("Concat", ["a", "l"], ["b"], axis=1),
            N("Softmax", ["b"], ["s"], axis=1),
            N("Gather", ["s", "one"], ["y"], axis=1),
        ],
        "scores",
    ),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("ending", ENDINGS)
def test_scores_are_probabilities_however_the_file_ends(tmp_path, ending, engine):
    tail, expected = ENDINGS[ending]
    model = rf.EdgeClassifier.load(write(tmp_path, tail), engine)
    assert model.info["output_is"] == expected
    np.testing.assert_allclose(model(NODES, EDGES), SCORES, atol=2e-6)
    np.testing.assert_allclose(model.logits(NODES, EDGES), LOGITS, atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_hard_sigmoid_gives_scores(tmp_path, engine):
    model = rf.EdgeClassifier.load(write(tmp_path, [N("HardSigmoid", ["l"], ["y"])]), engine)
    np.testing.assert_allclose(model(NODES, EDGES), np.clip(0.2 * LOGITS + 0.5, 0, 1), atol=1e-6)


UNCLEAR = {
    "tanh": ([N("Tanh", ["l"], ["y"], name="limit")], "'limit' (Tanh)"),
    "ten times": ([P, N("Mul", ["p", "ten"], ["y"])], "'probability' (Sigmoid)"),
    "shifted": ([P, N("Sub", ["p", "half"], ["y"])], "'probability' (Sigmoid)"),
    "logarithm": ([P, N("Log", ["p"], ["y"])], "'probability' (Sigmoid)"),
    "log softmax": ([N("LogSoftmax", ["l"], ["y"], name="limit")], "'limit' (LogSoftmax)"),
    "relu6": ([N("Relu", ["l"], ["a"]), N("Clip", ["a", "f0", "ten"], ["y"], name="limit")], "'limit' (Clip)"),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("ending", UNCLEAR)
def test_other_limits_are_refused_unless_it_is_said_what_they_are(tmp_path, ending, engine):
    tail, node = UNCLEAR[ending]
    path = write(tmp_path, tail)
    with pytest.raises(ValueError, match=r"m.onnx: output 'y' is limited.*pass output='scores' or") as refused:
        rf.EdgeClassifier.load(path, engine)
    assert f"by node {node}" in str(refused.value)
    assert any(f"by node {node}" in trap for trap in inspect_network(path).traps)
    assert np.isfinite(rf.EdgeClassifier.load(path, engine, output="logits").logits(NODES, EDGES)).all()


BROKEN = {
    "own input": ([N("Identity", ["l"], ["l"], name="loop"), *PLAIN], r"node 'loop' \(Identity\): its output 'l' is"),
    "circle": (
        [N("Add", ["l", "z"], ["y"], name="first"), N("Identity", ["y"], ["z"])],
        r"node 'first' \(Add\): its input 'z' is made by no node before it",
    ),
    "initializer": ([N("Identity", ["l"], ["W"], name="over"), *PLAIN], r"node 'over' \(Identity\): its output 'W' is"),
    "no input": ([N("Cast", [], ["y"], to=1, name="bare")], r"node 'bare' \(Cast\): expected at least 1 inputs, got 0"),
    "no output": ([N("Relu", ["l"], ["z"])], "output 'y' is made by no node"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_nodes_out_of_order_are_refused_when_the_file_is_read(tmp_path, case):
    tail, message = BROKEN[case]
    path = write(tmp_path, tail)
    for read in (rf.EdgeClassifier.load, inspect_network):
        with pytest.raises(ValueError, match="m.onnx: " + message):
            read(path)


@pytest.mark.parametrize("opset", [8, 9, 10, 22, 30])
def test_the_fused_engine_refuses_opsets_it_was_not_made_for(tmp_path, opset):
    with pytest.raises(ValueError, match=rf"m.onnx: opset {opset}: the fused engine reads 11 to 21"):
        rf.EdgeClassifier.load(write(tmp_path, PLAIN, opset=opset))


def test_indices_beyond_the_rows_or_columns_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"node 'the_row' \(Gather\): a row of edge_index: expected -2 to 1, got 7"):
        rf.EdgeClassifier.load(write(tmp_path, PLAIN, row="seven"))
    tail = [N("Gather", ["l", "seven"], ["y"], axis=1, name="columns")]
    with pytest.raises(ValueError, match=r"node 'columns' \(Gather\): a column: expected -1 to 0, got 7"):
        rf.EdgeClassifier.load(write(tmp_path, tail))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("given", [{}, {"edge_index": "edge_index"}])
def test_edge_index_the_other_way_around_is_refused(tmp_path, given, engine):
    path = write(tmp_path, PLAIN, edges=("e", 2))
    with pytest.raises(ValueError, match=r"edge_index.*'edge_index' int64 \(e, 2\).*Expected .* int64 \(2, n_edges\)"):
        rf.EdgeClassifier.load(path, engine, **given)


def test_dropout_in_training_mode_is_refused_and_listed(tmp_path):
    path = write(tmp_path, [N("Dropout", ["l", "half", "true"], ["y"], name="drop")])
    with pytest.raises(ValueError, match=r"node 'drop' \(Dropout\): training_mode"):
        rf.EdgeClassifier.load(path)
    assert any(trap.startswith("drop (Dropout)") for trap in inspect_network(path).traps)
    off = write(tmp_path, [N("Dropout", ["l", "half", "false"], ["y"], name="drop")])
    assert inspect_network(off).traps == []


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(tmp_path, bad):
    weights = WEIGHTS.copy()
    weights[1] = bad
    path = write(tmp_path, PLAIN, weights=weights)
    expected = "initializer 'W' holds 1 of 4 numbers that are not finite"
    for engine in ENGINES:
        with pytest.raises(ValueError, match="m.onnx: " + expected):
            rf.EdgeClassifier.load(path, engine)
    found = inspect_network(path)
    assert expected in found.traps
    assert expected in found.facts["fused_engine"]


def test_a_constant_output_is_not_printed(tmp_path):
    weights = np.ones((4, 5000), np.float32)
    with pytest.raises(ValueError, match=r"one value per edge, got a constant of shape \(4, 5000\)"):
        rf.EdgeClassifier.load(write(tmp_path, PLAIN, weights=weights, output="W"))


def test_onnx_runtime_must_give_one_value_per_edge(tmp_path):
    path = write(tmp_path, [*PLAIN, N("Identity", ["x"], ["z"])], output="z")
    with pytest.raises(ValueError, match=r"output 'z': expected 20 float32 values.*\(10, 2\)"):
        rf.EdgeClassifier.load(path, "onnxruntime")(NODES, EDGES)


def test_a_graph_without_features_is_named(tmp_path):
    model = rf.EdgeClassifier.load(write(tmp_path, PLAIN))
    with pytest.raises(TypeError, match="expected a graph with node_features, got SimpleNamespace"):
        model(SimpleNamespace(edge_index=EDGES))
