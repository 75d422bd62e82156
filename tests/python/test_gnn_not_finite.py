"""Infinity and what is not a number go through every operation of the fused engine as through NumPy."""

import numpy as np
import pytest

from rheinfall import _core
from rheinfall.gnn.ir import Builder
from rheinfall.gnn.ir_file import to_bytes
from rheinfall.reference.gnn import evaluate
from test_gnn_fused import ISAS, network_of, random_graph

TINY = np.finfo(np.float32).tiny
QUIET = np.array([0x7FC00000, 0x7FC00001, 0xFFC00123], np.uint32).view(np.float32)
SPECIAL = np.array([np.nan, *QUIET, np.inf, -np.inf, 0.0, -0.0, -1.0, -TINY, TINY, 1.0, 3.0], np.float32)
# erf of the reference is Python's, by element; every other one is NumPy's.
UNARY = {
    **{op: {} for op in ("relu", "sigmoid", "tanh", "softplus", "exp", "log", "sqrt", "abs", "square", "reciprocal")},
    "erf": {},
    "leaky_relu": {"alpha": 0.2},
    "elu": {"alpha": 0.7},
    "clip": {"low": -0.25, "high": 0.5},
}


def run(network, graph, isa):
    """Logits and status."""
    compiled = _core.EdgeClassifier.parse(to_bytes(network), "test", isa, "fp32")
    return compiled.run(*graph, False, 1)


def check(network, graph, tolerance=3e-6):
    """Same values as the definition, the same bits and a status that tells on every instruction set."""
    with np.errstate(all="ignore"):
        expected = evaluate(network, *graph)
    first = None
    for isa in ISAS:
        values, status = run(network, graph, isa)
        np.testing.assert_allclose(values, expected, rtol=tolerance, atol=tolerance, equal_nan=True, err_msg=isa)
        assert status == ("ok" if np.isfinite(values).all() else "not_finite"), isa
        first = values if first is None else first
        assert np.array_equal(values.view(np.int32), first.view(np.int32)), isa
    return expected


def each_node(values):
    """A graph whose edge i goes from and to node i, which has this row of features."""
    n = len(values)
    edges = np.stack([np.arange(n), np.arange(n)])
    return np.ascontiguousarray(values, np.float32).reshape(n, -1), edges, np.empty((n, 0), np.float32)


@pytest.mark.parametrize("op", UNARY)
def test_a_function_of_a_special_number_is_numpys(op):
    b = Builder()
    x = b.input("node", 1)
    network = b.finish(b.add("gather", b.add(op, x, **UNARY[op]), end="source"))
    # Alone, so that the status is of this number, and together.
    for value in SPECIAL:
        check(network, each_node(np.array([value])))
    check(network, each_node(SPECIAL))


@pytest.mark.parametrize("op", ["exp", "log"])
def test_a_function_holds_to_the_ends_of_its_range(op):
    b = Builder()
    x = b.input("node", 1)
    network = b.finish(b.add("gather", b.add(op, x), end="source"))
    ends = {
        "exp": [88.3, 88.4, 88.7, 88.722, 88.7229, 89, 1e4, -87.33, -87.34, -100, -1e30],
        "log": [1e-45, 1e-40, TINY, 3e38, np.finfo(np.float32).max],
    }[op]
    values = np.array(ends, np.float32)
    logits, _ = run(network, each_node(values), "best")
    with np.errstate(over="ignore"):
        expected = {"exp": np.exp, "log": np.log}[op](values.astype(np.float64)).astype(np.float32)
    if op == "exp":
        expected[np.abs(expected) < TINY] = 0  # what is below the least normal number
    np.testing.assert_allclose(logits, expected, rtol=3e-7)


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div", "min", "max"])
def test_arithmetic_with_special_numbers_is_numpys(op):
    b = Builder()
    x = b.input("node", 2)
    one, two = (b.add("slice", x, start=i, stop=i + 1) for i in range(2))
    for value in (b.add(op, one, two), b.add("relu", b.add(op, one, two))):
        network = b.finish(b.add("gather", value, end="source"))
        check(network, each_node([(p, q) for p in SPECIAL for q in SPECIAL]))


@pytest.mark.parametrize("width", [1, 2, 17])
def test_reductions_over_columns_pass_on_special_numbers(width):
    rng = np.random.default_rng(width)
    rows = rng.normal(size=(60, width)).astype(np.float32)
    rows[np.arange(len(SPECIAL)) * 4, rng.integers(0, width, len(SPECIAL))] = SPECIAL
    for op in ("row_max", "row_sum", "row_mean"):
        b = Builder()
        network = b.finish(b.add("gather", b.add(op, b.input("node", width)), end="source"))
        check(network, each_node(rows))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("how", ["add", "mean", "max", "min"])
def test_reductions_over_edges_pass_on_special_numbers(how, weighted):
    nodes, edges, features = random_graph(4, 100, 300)
    features[np.arange(len(SPECIAL)) * 20, 1] = SPECIAL
    initial = {"initial": 0.25} if how in ("max", "min") else {}
    network = network_of(
        lambda b, x, e: b.add(
            "reduce",
            b.add("mul", e, b.add("sigmoid", b.add("slice", e, start=0, stop=1))) if weighted else e,
            how=how,
            end="target",
            **initial,
        )
    )
    expected = check(network, (nodes, edges, features))
    assert np.isnan(expected).any()
    assert np.isfinite(expected).any()


@pytest.mark.parametrize("value", [*QUIET, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 1])
def test_a_feature_that_is_not_finite_is_told_by_the_status(where, value):
    weight = np.random.default_rng(5).normal(size=(8, 16)).astype(np.float32)
    network = network_of(
        lambda b, x, e: b.add(
            "tanh",
            b.add(
                "layer_norm",
                b.add("relu", b.add("linear", b.add("gather", x, end="target"), e, weights={"weight": weight})),
                epsilon=1e-5,
            ),
        )
    )
    nodes, edges, features = random_graph(6)
    assert run(network, (nodes, edges, features), "best")[1] == "ok"
    array = (nodes, features)[where]
    array[edges[1, 3] if where == 0 else 3, 2] = value
    for isa in ISAS:
        values, status = run(network, (nodes, edges, features), isa)
        assert status == "not_finite", isa
        assert np.isnan(values[3])
        assert np.isfinite(values).any()


LIMITS = {
    "clip from below": ("Clip", [2.0, None]),
    "clip from above": ("Clip", [None, -0.5]),
    "clip to infinity": ("Clip", [-1.0, np.inf]),
    "clip from minus infinity": ("Clip", [-np.inf, 0.5]),
    "clip without limits": ("Clip", [-np.inf, np.inf]),
    "max": ("Max", [0.25]),
    "min": ("Min", [0.25]),
    "max with minus infinity": ("Max", [-np.inf]),
    "clip from nothing to below": ("Clip", [np.inf, None]),
    "clip to what is not a number": ("Clip", [None, np.nan]),
    "min with minus infinity": ("Min", [-np.inf]),
    "scatter from minus infinity": ("ScatterElements", [-np.inf]),
}


def limited_model(op, values):
    """Column sums of x[source] behind an operator with constants."""
    onnx = pytest.importorskip("onnx", reason="needs the extra [onnx]")
    helper, tensor = onnx.helper, onnx.numpy_helper.from_array
    constants = [tensor(np.array(v, np.float32), f"limit{i}") for i, v in enumerate(values) if v is not None]
    names = ["" if v is None else f"limit{i}" for i, v in enumerate(values)]
    info = lambda name, kind, shape: helper.make_tensor_value_info(name, getattr(onnx.TensorProto, kind), shape)  # noqa: E731
    nodes = [
        helper.make_node("Gather", ["edge_index", "zero"], ["source"], axis=0),
        helper.make_node("Gather", ["x", "source"], ["rows"], axis=0),
    ]
    if op == "ScatterElements":
        fill = helper.make_attribute("value", tensor(np.array(values, np.float32)))
        shape = helper.make_node("Shape", ["x"], ["shape"])
        start = helper.make_node("ConstantOfShape", ["shape"], ["start"])
        start.attribute.append(fill)
        places = [
            helper.make_node("Unsqueeze", ["source", "one"], ["places"]),
            helper.make_node(
                "ScatterElements", ["start", "places", "rows"], ["nodes"], axis=0, reduction="max", name="op"
            ),
            helper.make_node("Gather", ["nodes", "source"], ["y"], axis=0),
        ]
        nodes += [shape, start, *places]
    else:
        nodes.append(helper.make_node(op, ["rows", *names], ["y"], name="op"))
    nodes.append(helper.make_node("ReduceSum", ["y", "one"], ["out"], keepdims=0))
    ints = [tensor(np.array(0, np.int64), "zero"), tensor(np.array([1], np.int64), "one")]
    graph = helper.make_graph(
        nodes,
        "test",
        [info("x", "FLOAT", ["n", 1]), info("edge_index", "INT64", [2, "e"])],
        [info("out", "FLOAT", ["e"])],
        [*constants, *ints],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_that_is_infinite_is_none_or_refused(tmp_path, name):
    op, values = LIMITS[name]
    model = limited_model(op, values)
    import onnx

    from rheinfall import EdgeClassifier

    onnx.save(model, tmp_path / "model.onnx")
    numbers = [v for v in values if v is not None]
    refused = op == "ScatterElements" or np.isnan(numbers).any()
    refused = refused or (op == "Clip" and values[0] == np.inf) or (op == "Min" and values == [-np.inf])
    if refused:
        named = r"initializer 'limit\d' holds" if np.isnan(numbers).any() else rf".*node 'op' \({op}\): "
        with pytest.raises(ValueError, match=f"model.onnx: {named}"):
            EdgeClassifier.load(tmp_path / "model.onnx", engine="fused")
        return
    x, edges, _ = each_node(SPECIAL)
    got = EdgeClassifier.load(tmp_path / "model.onnx", engine="fused").logits(x, edges)
    low, high = ([None, *values], [*values, None])[op == "Max"] if op != "Clip" else values
    expected = np.clip(SPECIAL, -np.inf if low is None else low, np.inf if high is None else high)
    np.testing.assert_array_equal(got, expected)
