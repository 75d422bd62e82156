"""The fused engine against the definition of each operation, ONNX Runtime and the published network's own logits."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

import rheinfall as rf
from rheinfall.gnn.fused import FusedNetwork
from rheinfall.gnn.ir import Builder
from rheinfall.gnn.ir_file import to_bytes
from rheinfall.gnn.rewriting import optimise
from rheinfall.reference.gnn import evaluate

SHARED = Path(os.environ.get("RHEINFALL_SHARED", Path(__file__).parents[3] / "shared"))
EXATRKX = SHARED / "data" / "exatrkx"
BUNDLES = Path(rf.__file__).parent / "bundles"
ISAS = {"portable": [], "avx2": ["portable"], "avx512": ["portable", "avx2"]}[rf.build_info()["isa"]] + [
    rf.build_info()["isa"]
]
NODES, FEATURES = 100, 5


def random_graph(seed, n_nodes=NODES, n_edges=700, n_edge_features=3):
    rng = np.random.default_rng(seed)
    # Some nodes have no edges, some pairs several.
    edges = rng.integers(0, max(n_nodes - 7, 1), (2, n_edges))
    nodes = rng.normal(size=(n_nodes, FEATURES)).astype(np.float32)
    return nodes, edges, rng.normal(size=(n_edges, n_edge_features)).astype(np.float32)


def network_of(make):
    b = Builder()
    x, e = b.input("node", FEATURES), b.input("edge", 3)
    value = make(b, x, e)
    if b[value].kind == "node":
        value = b.add("gather", value, end="source")
    return b.finish(b.add("row_sum", value))


def weights(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32) / 2


def positive(b, x):
    return b.add("affine", b.add("square", x), weights={"shift": np.array([0.5])})


CASES = {
    "linear": lambda b, x, e: b.add("linear", x, weights={"weight": weights(1, FEATURES, 21), "bias": weights(2, 21)}),
    "linear of two": lambda b, x, e: b.add(
        "linear", b.add("gather", x, end="target"), e, weights={"weight": weights(1, FEATURES + 3, 9)}
    ),
    "affine": lambda b, x, e: b.add("affine", e, weights={"scale": weights(1, 3), "shift": weights(2, 3)}),
    "layer_norm": lambda b, x, e: b.add(
        "square", b.add("layer_norm", x, weights={"scale": weights(3, FEATURES)}, epsilon=1e-5)
    ),
    "batch_norm": lambda b, x, e: b.add(
        "batch_norm", e, weights={"scale": weights(3, 3), "shift": weights(4, 3)}, epsilon=1e-5
    ),
    "batch_norm of nodes": lambda b, x, e: b.add("square", b.add("batch_norm", x, epsilon=1e-3)),
    "concat, slice": lambda b, x, e: b.add(
        "mul",
        b.add("slice", b.add("concat", x, b.add("degree", end="target")), start=3, stop=6),
        b.add("slice", x, start=0, stop=1),
    ),
    "row": lambda b, x, e: b.add("add", b.add("row_max", x), b.add("mul", b.add("row_mean", x), b.add("row_sum", x))),
    "event": lambda b, x, e: b.add(
        "mul", e, b.add("tanh", b.add("add", b.add("event_mean", e), b.add("event_sum", e)))
    ),
    "weighted sum": lambda b, x, e: b.add(
        "reduce",
        b.add("mul", b.add("gather", x, end="source"), b.add("sigmoid", b.add("row_sum", e))),
        how="add",
        end="target",
    ),
    "weighted edges": lambda b, x, e: b.add(
        "add",
        e,
        b.add(
            "gather",
            b.add("reduce", b.add("mul", e, b.add("sigmoid", b.add("row_sum", e))), how="add", end="source"),
            end="source",
        ),
    ),
    "long rows": lambda b, x, e: b.add(
        "reduce", b.add("tanh", b.add("linear", e, weights={"weight": weights(5, 3, 150)})), how="mean", end="target"
    ),
    "output gathered": lambda b, x, e: b.add("row_sum", x),
    **{
        op: (lambda b, x, e, op=op: b.add(op, x))
        for op in ("relu", "sigmoid", "tanh", "softplus", "exp", "abs", "square", "erf")
    },
    **{op: (lambda b, x, e, op=op: b.add(op, positive(b, x))) for op in ("log", "sqrt", "reciprocal")},
    "leaky_relu": lambda b, x, e: b.add("leaky_relu", e, alpha=0.2),
    "elu": lambda b, x, e: b.add("elu", e, alpha=0.7),
    "clip": lambda b, x, e: b.add("clip", e, low=-0.25, high=0.5),
    **{op: (lambda b, x, e, op=op: b.add(op, e, positive(b, e))) for op in ("add", "sub", "mul", "div", "min", "max")},
    **{
        f"{how} by {end}": (
            lambda b, x, e, how=how, end=end: b.add(
                "reduce", e, how=how, end=end, **({"initial": 0.25} if how in ("max", "min") else {})
            )
        )
        for how in ("add", "mean", "max", "min")
        for end in ("source", "target")
    },
}


@pytest.mark.parametrize("name", CASES)
def test_an_operation_is_what_its_definition_says(name):
    network = network_of(CASES[name])
    graph = random_graph(3)
    expected = evaluate(network, *graph)
    first = None
    for form in (network, optimise(network)):
        for isa in ISAS:
            values = FusedNetwork(to_bytes(form), name, isa).run(*graph, scores=False)
            # float32 against float64; erf's polynomial is good to 1.5e-7, five of them are summed.
            np.testing.assert_allclose(values, expected, rtol=3e-6, atol=3e-6)
            first = values if isa == ISAS[0] else first
            assert np.array_equal(values.view(np.int32), first.view(np.int32)), isa


@pytest.mark.parametrize("n_nodes, n_edges", [(1, 1), (2, 47), (48, 48), (49, 49), (3000, 4000)])
def test_any_number_of_rows_threads_and_any_order_of_edges_give_the_same_bits(n_nodes, n_edges):
    network = network_of(lambda b, x, e: CASES["weighted edges"](b, x, CASES["batch_norm"](b, x, e)))
    fused = FusedNetwork(to_bytes(optimise(network)), "test")
    nodes, edges, features = random_graph(n_edges, n_nodes, n_edges)
    expected = fused.run(nodes, edges, features, scores=True, n_threads=1)
    np.testing.assert_allclose(expected, 1 / (1 + np.exp(-evaluate(network, nodes, edges, features))), atol=2e-6)
    order = np.random.default_rng(0).permutation(n_edges)
    for threads in (1, 2, 8):
        shuffled = fused.run(
            nodes, np.ascontiguousarray(edges[:, order]), features[order], scores=True, n_threads=threads
        )
        assert np.array_equal(shuffled, expected[order])


def test_nodes_without_edges_change_no_bit():
    """The engine leaves them out, unless the network sums over all nodes."""
    make = lambda b, x, e: b.add("tanh", b.add("add", CASES["weighted sum"](b, x, e), x))  # noqa: E731
    fused = FusedNetwork(to_bytes(optimise(network_of(make))), "test")
    nodes, edges, features = random_graph(8)
    used = np.unique(edges)
    rank = np.zeros(len(nodes), np.int64)
    rank[used] = np.arange(len(used))
    wide = np.full((3 * len(nodes), FEATURES), np.nan, np.float32)
    wide[1::3] = nodes
    expected = fused.run(nodes, edges, features, scores=False)
    assert np.array_equal(fused.run(nodes[used], rank[edges], features, scores=False), expected)
    assert np.array_equal(fused.run(wide, 3 * edges + 1, features, scores=False), expected)


@pytest.mark.skipif(not EXATRKX.is_dir(), reason=f"needs the published network in {EXATRKX}")
def test_the_published_network_meets_its_golden_logits():
    pytest.importorskip("onnx", reason="needs the extra [onnx]")
    model = rf.EdgeClassifier.load(EXATRKX / "gnn.onnx", engine="fused", repair_scatter=True)
    read = lambda name: np.loadtxt(EXATRKX / "golden" / f"{name}.csv", delimiter=",")  # noqa: E731
    edges = np.ascontiguousarray(read("applyfilter_output_EDGE_LIST_AFTER_FILTER").astype(np.int64))
    logits = model.logits(read("in_e").astype(np.float32), edges)
    # The golden logits themselves are float32 sums of another code: 1e-4 away from float64 (issue: within 5e-4).
    assert np.abs(logits - read("gnn_output_OUTPUT__0")).max() < 2e-4


@pytest.mark.parametrize("bundle", ["demo", "trackml"])
def test_a_shipped_network_agrees_with_onnx_runtime(bundle):
    pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
    path = BUNDLES / bundle / "edge_classifier.onnx"
    rng = np.random.default_rng(1)
    graph = (
        rng.normal(size=(300, 4)).astype(np.float32),
        rng.integers(0, 300, (2, 900)),
        rng.normal(size=(900, 10)).astype(np.float32),
    )
    ours = rf.EdgeClassifier.load(path, engine="fused")
    theirs = rf.EdgeClassifier.load(path, engine="onnxruntime")
    assert ours.engine == "fused"
    scale = np.abs(theirs.logits(*graph)).max()
    assert (
        np.abs(ours.logits(*graph) - theirs.logits(*graph)).max() < 1e-5 * scale
    )  # ONNX Runtime itself is 7e-6 off float64, ours 4e-6
    assert np.array_equal(pickle.loads(pickle.dumps(ours))(*graph), ours(*graph))
    assert ours.explain(300, 900).startswith("for 300 nodes and 900 edges:\nstage 0 over nodes")
    for wrong, error in ((-1, ValueError), (2**63, ValueError), (3.5, TypeError), ("3", TypeError), (True, TypeError)):
        with pytest.raises(error, match="explain: n_nodes: expected"):
            ours.explain(wrong, 3)
        with pytest.raises(error, match="explain: n_edges: expected"):
            ours.explain(3, wrong)


def test_a_node_that_does_not_lower_is_named(tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs the extra [onnx]")
    model = onnx.load(BUNDLES / "demo" / "edge_classifier.onnx")
    next(n for n in model.graph.node if n.name == "relu_8").op_type = "Round"
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ValueError, match=r"model.onnx: .*node 'relu_8' \(Round\)"):
        rf.EdgeClassifier.load(tmp_path / "model.onnx", engine="fused")
