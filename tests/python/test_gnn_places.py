"""Where the fused engine keeps values: results that take the place of an operand, and files that ask for too much."""

import numpy as np
import pytest

import rheinfall as rf
from gnn_graphs import Maker
from rheinfall.gnn.fused import FusedNetwork
from rheinfall.gnn.ir import Builder, sum_all
from rheinfall.gnn.ir_file import to_bytes
from rheinfall.gnn.rewriting import optimise
from rheinfall.reference.gnn import evaluate

NODES, EDGES, WIDTH = 20, 60, 3


def graph_of(seed, low=-2.0, node_features=WIDTH, edge_features=WIDTH):
    rng = np.random.default_rng(seed)
    nodes = rng.uniform(low, 2, (NODES, node_features)).astype(np.float32)
    edges = rng.integers(0, NODES - 2, (2, EDGES))
    return nodes, edges, rng.uniform(low, 2, (EDGES, edge_features)).astype(np.float32)


def output_of(b, value):
    """One number per edge that tells all columns of a value of edges apart."""
    weight = np.arange(1, b[value].width + 1, dtype=np.float32)[:, None]
    return b.finish(b.add("linear", value, weights={"weight": weight}))


def check(network, graph, rtol, name):
    expected = evaluate(network, *graph)
    tolerance = rtol * max(1, np.abs(expected).max())
    for form in (network, optimise(network)):
        for isa in ("portable", "best"):
            values = FusedNetwork(to_bytes(form), name, isa).run(*graph, scores=False)
            assert np.abs(values - expected).max() <= tolerance, f"{name}, {isa}: {np.abs(values - expected).max()}"


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div", "min", "max"])
@pytest.mark.parametrize("column", range(WIDTH))
@pytest.mark.parametrize("first", ["all", "column"])
@pytest.mark.parametrize("source", ["input", "computed", "gathered", "rectified"])
def test_a_value_meets_one_of_its_own_columns(op, column, first, source):
    b = Builder()
    x, e = b.input("node", WIDTH), b.input("edge", WIDTH)
    value = e
    if source == "computed":
        value = b.add("exp", e)
    elif source == "gathered":
        value = b.add("gather", x, end="target")
    own = b.add("slice", value, start=column, stop=column + 1)
    result = b.add(op, *((value, own) if first == "all" else (own, value)))
    if source == "rectified":
        result = b.add("relu", result)
    check(output_of(b, result), graph_of(1, low=0.5), 1e-6, op)  # a few roundings of float32


@pytest.mark.parametrize("seed", range(2))
def test_a_column_meets_another_value(seed):
    b = Builder()
    x, e = b.input("node", WIDTH), b.input("edge", WIDTH)
    column = b.add("slice", b.add("tanh", e), start=seed, stop=seed + 1)
    check(output_of(b, b.add("mul", column, b.add("gather", x, end="source"))), graph_of(seed), 1e-6, "column")


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_random_graphs_of_operations_are_what_their_definitions_say(first):
    for seed in range(first, first + 50):
        rng = np.random.default_rng(seed)
        widths = [int(w) for w in rng.choice([1, 2, 3, 5, 16, 17], 2)]
        network = Maker(seed, *widths).network(int(rng.integers(3, 30)))
        # Chains of up to 30 operations in float32; a value in the wrong place is wrong in its first digits.
        check(network, graph_of(seed, -2.0, *widths), 1e-4, f"seed {seed}")


def test_an_onnx_file_that_subtracts_a_column_scores_as_in_onnx_runtime(tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs the extra [onnx]")
    pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
    helper, tensor = onnx.helper, onnx.numpy_helper.from_array
    ints = lambda name, values: tensor(np.array(values, np.int64), name)  # noqa: E731
    weight = np.random.default_rng(0).normal(size=(6, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Slice", ["edge_attr", "zero", "one", "one"], ["column"]),
        helper.make_node("Sub", ["edge_attr", "column"], ["difference"]),
        helper.make_node("Gather", ["edge_index", "row"], ["source"], axis=0),
        helper.make_node("Gather", ["x", "source"], ["ends"], axis=0),
        helper.make_node("Concat", ["difference", "ends"], ["both"], axis=1),
        helper.make_node("MatMul", ["both", "weight"], ["wide"]),
        helper.make_node("Squeeze", ["wide", "one"], ["out"]),
    ]
    values = lambda name, kind, *shape: helper.make_tensor_value_info(name, kind, shape)  # noqa: E731
    single, integer = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    inputs = [
        values("x", single, "n", WIDTH),
        values("edge_index", integer, 2, "e"),
        values("edge_attr", single, "e", WIDTH),
    ]
    initial = [ints("zero", [0]), ints("one", [1]), ints("row", 0), tensor(weight, "weight")]
    graph = helper.make_graph(nodes, "g", inputs, [values("out", single, "e")], initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "columns.onnx")
    ours = rf.EdgeClassifier.load(tmp_path / "columns.onnx")
    theirs = rf.EdgeClassifier.load(tmp_path / "columns.onnx", engine="onnxruntime")
    assert ours.engine == "fused"
    event = graph_of(2)
    np.testing.assert_allclose(ours.logits(*event), theirs.logits(*event), rtol=1e-5, atol=1e-5)


def sum_of_living(n, width):
    """A network of n values of edges that are all needed at once."""
    b = Builder()
    b.input("node", WIDTH)
    e = b.input("edge", width)
    values = [b.add("affine", e, weights={"shift": np.full(width, k, np.float32)}) for k in range(n)]
    products = [b.add("mul", e, v) for v in reversed(values)]
    return b.finish(b.add("row_sum", sum_all(b, products)))


def test_many_values_at_once_load_and_are_what_they_should_be():
    network = sum_of_living(60, 700)  # trying one column after the other for each value would take long
    graph = graph_of(0, edge_features=700)
    expected = evaluate(network, *graph)
    values = FusedNetwork(to_bytes(network), "test").run(*graph, scores=False)
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_values_that_no_scratch_holds_are_refused_by_name():
    data = to_bytes(sum_of_living(300, 1000))
    with pytest.raises(RuntimeError, match=r"^file: operations: values of edges .* columns, expected at most 262144$"):
        FusedNetwork(data, "file")


@pytest.mark.parametrize("chain", ["event", "node"])
def test_a_network_of_thousands_of_stages_is_what_its_definition_says(chain):
    b = Builder()
    b.input("node", WIDTH)
    value = b.input("edge", 1)
    for k in range(1000):
        if chain == "event":
            value = b.add("add", b.add("tanh", value), b.add("event_mean", value))
        else:
            end = ("source", "target")[k % 2]
            value = b.add("tanh", b.add("gather", b.add("reduce", value, how="add", end=end), end="source"))
    network = b.finish(value)
    graph = graph_of(0, edge_features=1)
    expected = evaluate(network, *graph)
    values = FusedNetwork(to_bytes(network), "test").run(*graph, scores=False)
    np.testing.assert_allclose(values, expected, rtol=1e-3)  # a thousand steps, each rounded to float32
