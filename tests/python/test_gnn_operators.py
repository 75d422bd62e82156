"""Single ONNX operators on the fused engine against onnx's own reference, at the numbers that are easily got wrong."""

import numpy as np
import pytest

import rheinfall as rf

onnx = pytest.importorskip("onnx", reason="needs the extra [onnx]")

from onnx import helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

T = np.float32(0.3)
NEXT = np.nextafter(T, np.float32(1), dtype=np.float32)
VALUES = np.array(
    [*(0.0, -0.0, 1e-45, -1e-45, 1e-30, -1e-30, 1, -1, 3.4e38, -3.4e38), T, NEXT, -T, -NEXT, 0.2, -5, 16.5, 40, -40]
    + [np.inf, -np.inf],
    np.float32,
)
EDGES = np.zeros((2, len(VALUES)), np.int64)
ZERO = np.zeros((1, 1), np.float32)


def model_of(nodes, constants, opset=21, columns=1):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "graph",
        [
            value("x", onnx.TensorProto.FLOAT, ["n", 1]),
            value("edge_index", onnx.TensorProto.INT64, [2, "e"]),
            value("edge_attr", onnx.TensorProto.FLOAT, ["e", columns]),
        ],
        [value("out", onnx.TensorProto.FLOAT, ["e", 1])],
        [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def both(tmp_path, model, edge_features):
    onnx.save(model, tmp_path / "network.onnx")
    ours = rf.EdgeClassifier.load(tmp_path / "network.onnx", engine="fused", output="logits")
    edges = np.zeros((2, len(edge_features)), np.int64)
    with np.errstate(all="ignore"):
        feed = {"x": ZERO, "edge_index": edges, "edge_attr": edge_features}
        theirs = ReferenceEvaluator(model).run(None, feed)[0][:, 0]
    return ours.logits(ZERO, edges, edge_features), theirs


CHOICES = {
    **{
        op: [helper.make_node(op, ["edge_attr", "t"], ["c"])]
        for op in ("Greater", "Less", "GreaterOrEqual", "LessOrEqual")
    },
    "swapped": [helper.make_node("Greater", ["t", "edge_attr"], ["c"])],
    "not": [helper.make_node("Less", ["edge_attr", "t"], ["d"]), helper.make_node("Not", ["d"], ["c"])],
    **{
        name: [
            helper.make_node("Greater", ["edge_attr", "t"], ["a"]),
            helper.make_node("Less", ["edge_attr", "minus"], ["b"]),
            helper.make_node(name, ["a", "b"], ["c"]),
        ]
        for name in ("Or", "And")
    },
    "or of opposites": [
        helper.make_node("GreaterOrEqual", ["edge_attr", "t"], ["a"]),
        helper.make_node("LessOrEqual", ["edge_attr", "minus"], ["b"]),
        helper.make_node("Or", ["a", "b"], ["c"]),
    ],
}
BRANCHES = {"values": ["edge_attr", "negative"], "constant": ["edge_attr", "five"], "constants": ["five", "minus"]}


@pytest.mark.parametrize("branches", BRANCHES)
@pytest.mark.parametrize("condition", CHOICES)
def test_a_choice_is_exact_to_the_last_bit_beside_its_limit_and_infinity(tmp_path, condition, branches):
    nodes = [
        helper.make_node("Neg", ["edge_attr"], ["negative"]),
        *CHOICES[condition],
        helper.make_node("Where", ["c", *BRANCHES[branches]], ["out"]),
    ]
    constants = {"t": T, "minus": -T, "five": np.float32(5)}
    ours, theirs = both(tmp_path, model_of(nodes, constants), VALUES[:, None])
    assert np.array_equal(ours, theirs)


EXACT = {
    "sign": helper.make_node("Sign", ["edge_attr"], ["out"]),
    "thresholded": helper.make_node("ThresholdedRelu", ["edge_attr"], ["out"], alpha=float(T)),
    "shrink": helper.make_node("Shrink", ["edge_attr"], ["out"], lambd=float(T), bias=0.25),
    "hard shrink": helper.make_node("Shrink", ["edge_attr"], ["out"], lambd=float(T)),
    "hard sigmoid": helper.make_node("HardSigmoid", ["edge_attr"], ["out"], alpha=0.25),
    "prelu": helper.make_node("PRelu", ["edge_attr", "slope"], ["out"]),
}


@pytest.mark.parametrize("name", EXACT)
def test_a_composed_operator_is_exact(tmp_path, name):
    values = VALUES if name != "shrink" else VALUES[np.abs(VALUES) < 1e30]  # it takes a bias from the largest number
    model = model_of([EXACT[name]], {"slope": np.float32([-0.5])})
    ours, theirs = both(tmp_path, model, values[:, None])
    # HardSigmoid is one fused multiply-add here: half a unit of 1 in the last place.
    assert np.array_equal(ours, theirs) or (name == "hard sigmoid" and np.abs(ours - theirs).max() <= 6e-8)


SMOOTH = ("Selu", "Celu", "HardSwish", "Mish", "Softsign", "Gelu", "Elu", "LeakyRelu")


@pytest.mark.parametrize("op", SMOOTH)
def test_a_composed_operator_keeps_its_digits(tmp_path, op):
    values = VALUES[np.abs(VALUES) < 1e30]
    model = model_of([helper.make_node(op, ["edge_attr"], ["out"], **({"alpha": 0.7} if op == "Celu" else {}))], {})
    ours, theirs = both(tmp_path, model, values[:, None])
    np.testing.assert_allclose(ours, theirs, rtol=3e-6, atol=3e-7)  # erf's polynomial is good to 1.5e-7


def test_the_logarithm_of_a_sigmoid_is_finite(tmp_path):
    nodes = [helper.make_node("Sigmoid", ["edge_attr"], ["s"]), helper.make_node("Log", ["s"], ["out"])]
    values = np.float32([[-200], [-90], [-1], [0], [1], [30]])
    ours, _ = both(tmp_path, model_of(nodes, {}), values)
    np.testing.assert_allclose(ours, -np.logaddexp(0, -values[:, 0].astype(np.float64)), rtol=3e-6, atol=1e-7)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("opset", [11, 13])
def test_a_softmax_over_columns(tmp_path, op, opset):
    values = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32) * 30
    nodes = [helper.make_node(op, ["edge_attr"], ["s"], axis=1), helper.make_node("MatMul", ["s", "w"], ["out"])]
    weights = np.float32([[1], [-2], [3], [0.5], [-1]])
    ours, _ = both(tmp_path, model_of(nodes, {"w": weights}, opset, columns=5), values)
    centred = values.astype(np.float64) - values.max(axis=1, keepdims=True)
    logarithm = centred - np.log(np.exp(centred).sum(axis=1, keepdims=True))
    expected = (logarithm if op == "LogSoftmax" else np.exp(logarithm)) @ weights[:, 0]
    np.testing.assert_allclose(ours, expected, rtol=2e-6, atol=2e-6 * np.abs(expected).max())


REFUSED = {
    "Softmax": ([helper.make_node("Softmax", ["edge_attr"], ["out"], axis=0, name="it")], "over all nodes or edges"),
    "PRelu": ([helper.make_node("PRelu", ["edge_attr", "edge_attr"], ["out"], name="it")], "constant slopes"),
    "Equal": (
        [
            helper.make_node("Equal", ["edge_attr", "t"], ["c"], name="it"),
            helper.make_node("Where", ["c"] * 3, ["out"]),
        ],
        "for equality",
    ),
    "Or": (
        [
            helper.make_node("Greater", ["edge_attr", "t"], ["a"]),
            helper.make_node("LessOrEqual", ["edge_attr", "t"], ["b"]),
            helper.make_node("Or", ["a", "b"], ["c"], name="it"),
            helper.make_node("Where", ["c", "edge_attr", "t"], ["out"]),
        ],
        "both strict or both with equality",
    ),
    "Add": (
        [
            helper.make_node("Greater", ["edge_attr", "t"], ["a"]),
            helper.make_node("Add", ["a", "edge_attr"], ["out"], name="it"),
        ],
        "no number yet",
    ),
    "LessOrEqual": (
        [
            helper.make_node("LessOrEqual", ["edge_index", "zero"], ["c"], name="it"),
            helper.make_node("Where", ["c", "edge_attr", "t"], ["out"]),
        ],
        "something else than values",
    ),
    "Slice": (
        [
            helper.make_node("Slice", ["edge_index", "starts", "stops", "axes"], ["c"], name="it"),
            helper.make_node("Gather", ["x", "c"], ["out"]),
        ],
        r"slices edge_index of shape \(2, edges\) along axes",
    ),
    "Tile": (
        [
            helper.make_node("Tile", ["t1", "many"], ["c"], name="it"),
            helper.make_node("Add", ["edge_attr", "c"], ["out"]),
        ],
        "a constant of shape .* repeated",
    ),
    "GatherND": ([helper.make_node("GatherND", ["edge_attr", "edge_index"], ["out"], name="it")], "at both ends"),
    "ReduceMax": (
        [
            helper.make_node("ReduceMax", ["edge_attr", "zero"], ["c"], name="it"),
            helper.make_node("Sub", ["edge_attr", "c"], ["out"]),
        ],
        "the largest or smallest over all edges, of which there are sums and means only",
    ),
    "Sin": ([helper.make_node("Sin", ["edge_attr"], ["out"], name="it")], "no such operator"),
    "Pow": ([helper.make_node("Pow", ["edge_attr", "t"], ["out"], name="it")], r"to the power of 0.3: half and whole"),
    "Reshape": (
        [
            helper.make_node("Reshape", ["edge_attr", "one_row"], ["c"], name="it"),
            helper.make_node("Add", ["edge_attr", "c"], ["out"]),
        ],
        r"\(edges, 1\) as",
    ),
}


@pytest.mark.parametrize("op", REFUSED)
def test_what_does_not_lower_is_refused_with_its_node(tmp_path, op):
    nodes, reason = REFUSED[op]
    constants = {
        "t": T,
        "zero": np.int64(0),
        "t1": np.float32([T]),
        "many": np.int64([2**40]),
        "one_row": np.int64([7, -1]),
    }
    for key, value in {"starts": [0, 5], "stops": [1, 9], "axes": [0, 1]}.items():
        constants[key] = np.int64(value)
    onnx.save(model_of(nodes, constants), tmp_path / "network.onnx")
    with pytest.raises(ValueError, match=rf"node 'it' \({op}\): .*{reason}"):
        rf.EdgeClassifier.load(tmp_path / "network.onnx", engine="fused")


@pytest.mark.parametrize("columns, index_columns", [(4, 2), (2, 4), (4, 1)])
def test_a_scatter_of_part_of_the_columns_is_refused(tmp_path, columns, index_columns):
    """ScatterElements writes as many columns as its indices have."""
    nodes = [
        helper.make_node("Shape", ["x"], ["n"], end=1),
        helper.make_node("Concat", ["n", "columns"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("Gather", ["edge_index", "one"], ["target"], axis=0),
        helper.make_node("Unsqueeze", ["target", "axis"], ["column"]),
        helper.make_node("Shape", ["edge_attr"], ["like"]),
        helper.make_node("Expand", ["column", "like"], ["index"]),
        helper.make_node("ScatterElements", ["zeros", "index", "edge_attr"], ["h"], name="it", reduction="add"),
        helper.make_node("Gather", ["h", "target"], ["e"], axis=0),
        helper.make_node("ReduceSum", ["e", "axis"], ["out"], keepdims=1),
    ]
    constants = {"columns": np.int64([columns]), "one": np.int64(1), "axis": np.int64([1])}
    onnx.save(model_of(nodes, constants, 18, columns=index_columns), tmp_path / "network.onnx")
    with pytest.raises(ValueError, match=r"node 'it' \(ScatterElements\): expected indices from edge_index"):
        rf.EdgeClassifier.load(tmp_path / "network.onnx", engine="fused")
