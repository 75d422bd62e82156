"""EdgeClassifier against plain NumPy, the golden Exa.TrkX network, and files that must be refused."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rheinfall as rf
from rheinfall.gnn import EdgeClassifier

onnx = pytest.importorskip("onnx", reason="needs the extra [onnx]")
pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

SHARED = Path(os.environ.get("RHEINFALL_SHARED", Path(__file__).parents[2].parent / "shared"))
EXATRKX = SHARED / "data" / "exatrkx"
needs_exatrkx = pytest.mark.skipif(not EXATRKX.is_dir(), reason=f"needs the Exa.TrkX data in {EXATRKX}")

WIDTH = 4
WEIGHTS = np.random.default_rng(7).normal(size=(3, WIDTH)).astype(np.float32)


def write_model(
    path: Path,
    *,
    reduction: str | None = "add",
    opset: int = 16,
    sigmoid: bool = False,
    start: float = 0.0,
    names: tuple[str, str, str | None] = ("x", "edge_index", None),
) -> Path:
    """Messages W·x_src summed at the target; logit = sum at the target · message (+ first edge feature)."""
    nodes_name, edges_name, features_name = names
    constants = {
        "weights": WEIGHTS,
        "zero": np.array(0, np.int64),
        "one": np.array(1, np.int64),
        "axis": np.array([1], np.int64),
        "width": np.array([WIDTH], np.int64),
        "start": np.full((1,), start, np.float32),
        "start_shape": np.array([1, WIDTH], np.int64),
        "first": np.array([0], np.int64),
    }
    n = helper.make_node
    attributes = {} if reduction is None else {"reduction": reduction}
    unsqueeze = (
        n("Unsqueeze", ["dst", "axis"], ["column"]) if opset >= 13 else n("Unsqueeze", ["dst"], ["column"], axes=[1])
    )
    total = (
        n("ReduceSum", ["product", "axis"], ["dot"], keepdims=0)
        if opset >= 13
        else n("ReduceSum", ["product"], ["dot"], axes=[1], keepdims=0)
    )
    graph_nodes = [
        n("Gather", [edges_name, "zero"], ["src"], axis=0),
        n("Gather", [edges_name, "one"], ["dst"], axis=0),
        n("MatMul", [nodes_name, "weights"], ["projected"]),
        n("Gather", ["projected", "src"], ["message"], axis=0),
        unsqueeze,
        n("Shape", ["message"], ["message_shape"]),
        n("Expand", ["column", "message_shape"], ["rows"]),
        n("Shape", ["projected"], ["sum_shape"]),
        n("Expand", ["start", "sum_shape"], ["initial"]),
        n("ScatterElements", ["initial", "rows", "message"], ["summed"], axis=0, name="the_scatter", **attributes),
        n("Gather", ["summed", "dst"], ["at_target"], axis=0),
        n("Mul", ["at_target", "message"], ["product"]),
        total,
    ]
    last = "dot"
    inputs = [
        helper.make_tensor_value_info(nodes_name, TensorProto.FLOAT, ["n", 3]),
        helper.make_tensor_value_info(edges_name, TensorProto.INT64, [2, "e"]),
    ]
    if features_name is not None:
        inputs.append(helper.make_tensor_value_info(features_name, TensorProto.FLOAT, ["e", 2]))
        graph_nodes += [n("Gather", [features_name, "zero"], ["bias"], axis=1), n("Add", ["dot", "bias"], ["biased"])]
        last = "biased"
    if sigmoid:
        graph_nodes.append(n("Sigmoid", [last], ["probability"]))
        last = "probability"
    graph = helper.make_graph(
        graph_nodes,
        "toy",
        inputs,
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["e"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def toy_logits(nodes: Any, edge_index: Any, edge_features: Any = None) -> Any:
    """The same network in float64, edge by edge."""
    message = (nodes.astype(np.float64) @ WEIGHTS.astype(np.float64))[edge_index[0]]
    summed = np.zeros((len(nodes), WIDTH))
    for row, target in zip(message, edge_index[1], strict=True):
        summed[target] += row
    logit = (summed[edge_index[1]] * message).sum(axis=1)
    return logit if edge_features is None else logit + edge_features[:, 0]


def toy_graph(n_nodes: int = 50, n_edges: int = 400, seed: int = 1) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    nodes = rng.normal(size=(n_nodes, 3)).astype(np.float32)
    edge_index = rng.integers(0, n_nodes, size=(2, n_edges))
    return nodes, edge_index, rng.normal(size=(n_edges, 2)).astype(np.float32)


@pytest.fixture
def two_threads():
    before = rf.get_num_threads()
    yield
    rf.set_num_threads(before)


def golden() -> tuple[Any, Any, Any]:
    folder = EXATRKX / "golden"
    nodes = np.loadtxt(folder / "in_e.csv", delimiter=",", dtype=np.float32)
    edges = np.loadtxt(folder / "applyfilter_output_EDGE_LIST_AFTER_FILTER.csv", delimiter=",").astype(np.int64)
    return nodes, edges, np.loadtxt(folder / "gnn_output_OUTPUT__0.csv")


@needs_exatrkx
def test_golden_network_is_refused_as_published_and_right_once_repaired():
    path = EXATRKX / "gnn.onnx"
    with pytest.raises(ValueError, match=r"gnn\.onnx.*no reduction.*last one written.*16 such.*repair_scatter=True"):
        EdgeClassifier.load(path)
    nodes, edges, expected = golden()
    model = EdgeClassifier.load(path, repair_scatter=True)
    assert model.info["repaired_scatters"] == 16
    logits = model.logits(nodes, edges)
    assert np.abs(logits - expected).max() < 2e-4
    np.testing.assert_allclose(model(nodes, edges), 1 / (1 + np.exp(-expected)), atol=1e-4)


@needs_exatrkx
def test_golden_network_unrepaired_misses_by_twelve():
    """The file as it stands, forced through ONNX Runtime: what the refusal protects from."""
    ort = pytest.importorskip("onnxruntime")
    nodes, edges, expected = golden()
    session = ort.InferenceSession(EXATRKX / "gnn.onnx", providers=["CPUExecutionProvider"])
    wrong = session.run(None, {"g_nodes": nodes, "g_edges": edges})[0].ravel()
    assert np.abs(wrong - expected).max() == pytest.approx(12.9, abs=0.1)


@needs_exatrkx
def test_golden_logits_hold_for_any_numbering_of_nodes():
    nodes, edges, expected = golden()
    model = EdgeClassifier.load(EXATRKX / "gnn.onnx", repair_scatter=True)
    order = np.random.default_rng(3).permutation(len(nodes))
    logits = model.logits(nodes[np.argsort(order)], order[edges])
    assert np.abs(logits - expected).max() < 2e-4


@pytest.mark.parametrize("engine", ["fused", "onnxruntime"])
@pytest.mark.parametrize("sigmoid", [False, True])
@pytest.mark.parametrize("features_name", [None, "edge_attr"])
def test_scores_and_logits_match_numpy(tmp_path, sigmoid, features_name, engine):
    nodes, edges, features = toy_graph()
    features = features if features_name else None
    model = EdgeClassifier.load(
        write_model(tmp_path / "m.onnx", sigmoid=sigmoid, names=("x", "edge_index", features_name)), engine
    )
    expected = toy_logits(nodes, edges, features)
    logits = model.logits(nodes, edges, features)
    assert logits.dtype == np.float32
    assert model.engine == engine
    assert model.info["output_is"] == "logits"  # taken before the Sigmoid, so saturated scores keep their logits
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-4)
    scores = model(nodes, edges, features)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-expected)), atol=1e-5)
    assert scores.dtype == np.float32
    assert scores.min() >= 0
    assert scores.max() <= 1


def test_output_override_keeps_probabilities(tmp_path):
    nodes, edges, _ = toy_graph()
    path = write_model(tmp_path / "m.onnx", sigmoid=True)
    auto, raw = EdgeClassifier.load(path), EdgeClassifier.load(path, output="logits")
    np.testing.assert_allclose(raw.logits(nodes, edges), auto(nodes, edges), atol=1e-6)
    plain = write_model(tmp_path / "p.onnx")
    as_scores = EdgeClassifier.load(plain, output="scores")
    np.testing.assert_array_equal(as_scores(nodes, edges), EdgeClassifier.load(plain).logits(nodes, edges))
    with pytest.raises(ValueError, match="output: expected"):
        EdgeClassifier.load(plain, output="probabilities")


def test_graph_object_is_read(tmp_path):
    class Graph:
        def __init__(self, nodes, edges, features):
            self.node_features, self.edge_index, self.edge_features = nodes, edges, features

    nodes, edges, features = toy_graph()
    plain = EdgeClassifier.load(write_model(tmp_path / "a.onnx"))
    with_features = EdgeClassifier.load(write_model(tmp_path / "b.onnx", names=("x", "edge_index", "edge_attr")))
    graph = Graph(nodes, edges, features)
    np.testing.assert_array_equal(plain(graph), plain(nodes, edges))
    np.testing.assert_array_equal(with_features(graph), with_features(nodes, edges, features))
    with pytest.raises(TypeError, match="beside it"):
        plain(graph, edges)


def test_scores_do_not_depend_on_edge_order_or_threads(tmp_path, two_threads):
    nodes, edges, features = toy_graph(n_nodes=2000, n_edges=60_000)  # some edges occur twice
    path = write_model(tmp_path / "m.onnx", names=("x", "edge_index", "edge_attr"))
    model = EdgeClassifier.load(path)
    rf.set_num_threads(1)
    logits = model.logits(nodes, edges, features)
    rf.set_num_threads(2)
    np.testing.assert_array_equal(model.logits(nodes, edges, features), logits)
    order = np.random.default_rng(0).permutation(edges.shape[1])
    shuffled = model.logits(nodes, np.ascontiguousarray(edges[:, order]), features[order])
    np.testing.assert_array_equal(shuffled, logits[order])


@pytest.mark.parametrize("opset", [11, 12, 13, 16])
def test_scatter_without_reduction_is_refused_and_repaired(tmp_path, opset):
    nodes, edges, _ = toy_graph()
    path = write_model(tmp_path / "m.onnx", reduction=None, opset=opset)
    with pytest.raises(ValueError, match=rf"m\.onnx: node 'the_scatter'.*opset {opset}.*(scatter-add|older exporter)"):
        EdgeClassifier.load(path)
    model = EdgeClassifier.load(path, repair_scatter=True)
    assert model.info["repaired_scatters"] == 1
    np.testing.assert_allclose(model.logits(nodes, edges), toy_logits(nodes, edges), rtol=1e-5, atol=1e-4)


def test_scatter_that_does_not_start_from_zero_is_not_repaired(tmp_path):
    path = write_model(tmp_path / "m.onnx", reduction=None, start=1.0)
    with pytest.raises(ValueError, match="does not start from zeros"):
        EdgeClassifier.load(path, repair_scatter=True)


@pytest.mark.parametrize("opset, extra", [(10, None), (12, "Softmax")])
def test_files_that_cannot_be_raised_to_a_newer_opset_are_not_repaired(tmp_path, opset, extra):
    path = write_model(tmp_path / "m.onnx", reduction=None, opset=max(opset, 11))
    model = onnx.load(path)
    model.opset_import[0].version = opset
    if extra is not None:
        model.graph.node.append(helper.make_node(extra, ["x"], ["unused"], name="the_extra"))
    onnx.save(model, path)
    with pytest.raises(ValueError, match=rf"m\.onnx: its opset {opset} has no scatter that adds.*(before|the_extra)"):
        EdgeClassifier.load(path, repair_scatter=True)


def test_assignment_to_a_constant_slice_is_not_a_lost_sum(tmp_path):
    path = write_model(tmp_path / "m.onnx")
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 3), np.float32), "row"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([[0]], np.int64), "row_index"))
    model.graph.node.insert(0, helper.make_node("ScatterND", ["x", "row_index", "row"], ["x_with_zero"]))
    next(n for n in model.graph.node if n.op_type == "MatMul").input[0] = "x_with_zero"
    onnx.save(model, path)
    nodes, edges, _ = toy_graph()
    logits = EdgeClassifier.load(path, "onnxruntime").logits(nodes, edges)
    nodes[0] = 0
    np.testing.assert_allclose(logits, toy_logits(nodes, edges), rtol=1e-5, atol=1e-4)


def test_inputs_with_silent_names_must_be_named(tmp_path):
    nodes, edges, features = toy_graph()
    path = write_model(tmp_path / "m.onnx", names=("input_0", "input_1", "input_2"))
    with pytest.raises(ValueError, match=r"names do not tell which.*'input_0' float32 \(n, 3\).*'input_1' int64"):
        EdgeClassifier.load(path)
    model = EdgeClassifier.load(path, node_features="input_0")
    np.testing.assert_allclose(
        model.logits(nodes, edges, features), toy_logits(nodes, edges, features), rtol=1e-5, atol=1e-4
    )
    with pytest.raises(ValueError, match="edge_index='input_0' is not a 2-D int64 input"):
        EdgeClassifier.load(path, edge_index="input_0")


def test_arguments_of_the_wrong_kind_are_named(tmp_path):
    nodes, edges, features = toy_graph()
    model = EdgeClassifier.load(write_model(tmp_path / "m.onnx"))
    with pytest.raises(TypeError, match=r"node_features: expected float32 \(n, 3\), got float64"):
        model(nodes.astype(np.float64), edges)
    with pytest.raises(ValueError, match=r"node_features: expected float32 \(n, 3\), got float32 \(50, 2\)"):
        model(nodes[:, :2], edges)
    with pytest.raises(TypeError, match=r"edge_index: expected int64 \(2, n\), got int32"):
        model(nodes, edges.astype(np.int32))
    with pytest.raises(ValueError, match=r"edge_index: expected int64 \(2, n\), got int64 \(400, 2\)"):
        model(nodes, np.ascontiguousarray(edges.T))
    with pytest.raises(TypeError, match="edge_index: expected a NumPy array"):
        model(nodes)
    with pytest.raises(ValueError, match="indices of 50 nodes, got 0 to 50"):
        model(nodes, np.array([[0], [50]]))
    with pytest.raises(ValueError, match="has no such input"):
        model(nodes, edges, features)
    with_features = EdgeClassifier.load(write_model(tmp_path / "f.onnx", names=("x", "edge_index", "edge_attr")))
    with pytest.raises(ValueError, match="needs them"):
        with_features(nodes, edges)
    with pytest.raises(ValueError, match=r"edge_features: expected float32 \(400, 2\), got float32 \(399, 2\)"):
        with_features(nodes, edges, features[1:])


def test_no_edges_and_one_edge(tmp_path):
    nodes, _, _ = toy_graph()
    model = EdgeClassifier.load(write_model(tmp_path / "m.onnx"))
    assert model(nodes, np.zeros((2, 0), np.int64)).shape == (0,)
    assert model(np.zeros((0, 3), np.float32), np.zeros((2, 0), np.int64)).shape == (0,)
    edge = np.array([[3], [4]])
    np.testing.assert_allclose(model.logits(nodes, edge), toy_logits(nodes, edge), rtol=1e-5)


def test_files_that_are_not_models(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.onnx: no such ONNX file"):
        EdgeClassifier.load(tmp_path / "none.onnx")
    broken = tmp_path / "broken.onnx"
    whole = write_model(tmp_path / "m.onnx").read_bytes()
    for n in range(0, len(whole), 29):
        broken.write_bytes(whole[:n])
        with pytest.raises(ValueError, match=r"broken\.onnx: "):
            EdgeClassifier.load(broken)
    with pytest.raises(ValueError, match="engine: expected"):
        EdgeClassifier.load(tmp_path / "m.onnx", engine="tensorrt")


def test_damaged_files_give_errors_that_name_them(tmp_path, capfd):
    """Bit flips, cuts and insertions: a ValueError with the file's name, or a network that runs; nothing printed."""
    nodes, edges, _ = toy_graph()
    whole = write_model(tmp_path / "m.onnx").read_bytes()
    path = tmp_path / "damaged.onnx"
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(0, len(content)))
            kind = rng.integers(0, 3)
            if kind == 0:
                content[at] ^= 1 << int(rng.integers(0, 8))
            elif kind == 1:
                del content[at : at + int(rng.integers(1, 9))]
            else:
                content[at:at] = rng.bytes(int(rng.integers(1, 9)))
        path.write_bytes(content)
        try:
            EdgeClassifier.load(path, repair_scatter=True)(nodes, edges)
            outcomes.add("ran")
        except ValueError as error:
            outcomes.add("names it" if "damaged.onnx" in str(error) or "node_features" in str(error) else str(error))
    assert outcomes == {"ran", "names it"}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("location", ["../secret.bin", "sub/../../secret.bin", "link.bin", "{absolute}", ""])
def test_external_data_outside_the_folder_is_refused(tmp_path, location):
    folder = tmp_path / "model"
    folder.mkdir()
    secret = tmp_path / "secret.bin"
    secret.write_bytes(WEIGHTS.tobytes())
    (folder / "link.bin").symlink_to(secret)
    with pytest.raises(ValueError, match="outside the model's folder"):
        EdgeClassifier.load(with_external_weights(folder, location.format(absolute=secret)))


def test_external_data_inside_the_folder_is_read(tmp_path):
    nodes, edges, _ = toy_graph()
    (tmp_path / "weights.bin").write_bytes(b"\0" * 16 + WEIGHTS.tobytes())
    path = with_external_weights(tmp_path, "weights.bin", offset=16, length=WEIGHTS.nbytes)
    np.testing.assert_allclose(
        EdgeClassifier.load(path).logits(nodes, edges), toy_logits(nodes, edges), rtol=1e-5, atol=1e-4
    )
    with pytest.raises(ValueError, match=r"weights\.bin.* has 64 bytes"):
        EdgeClassifier.load(with_external_weights(tmp_path, "weights.bin", offset=32, length=WEIGHTS.nbytes))
    with pytest.raises(ValueError, match=r"gone\.bin' is not a file"):
        EdgeClassifier.load(with_external_weights(tmp_path, "gone.bin"))


def with_external_weights(folder: Path, location: str, **entries: int) -> Path:
    path = write_model(folder / "m.onnx")
    model = onnx.load(path)
    tensor = next(t for t in model.graph.initializer if t.name == "weights")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
    path.write_bytes(model.SerializeToString())
    return path


def test_pickles_without_its_file(tmp_path):
    nodes, edges, _ = toy_graph()
    path = write_model(tmp_path / "m.onnx")
    model = EdgeClassifier.load(path)
    copy = pickle.loads(pickle.dumps(model))
    path.unlink()
    np.testing.assert_array_equal(copy(nodes, edges), model(nodes, edges))
    assert copy.info == model.info


def _score_in_child(model: Any, nodes: Any, edges: Any, queue: Any) -> None:
    queue.put(model(nodes, edges))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_works_in_a_child_process(tmp_path, method):
    nodes, edges, _ = toy_graph()
    model = EdgeClassifier.load(write_model(tmp_path / "m.onnx"))
    expected = model(nodes, edges)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_score_in_child, args=(model, nodes, edges, queue))
    child.start()
    scores = queue.get(timeout=60)
    child.join(timeout=60)
    np.testing.assert_array_equal(scores, expected)


def test_one_classifier_from_several_threads(tmp_path):
    model = EdgeClassifier.load(write_model(tmp_path / "m.onnx"))
    graphs = [toy_graph(n_edges=2000, seed=seed)[:2] for seed in range(4)]
    expected = [model(*graph) for graph in graphs]
    results: dict[int, Any] = {}

    def work(i: int) -> None:
        results[i] = [model(*graphs[i]) for _ in range(10)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, scores in results.items():
        for score in scores:
            np.testing.assert_array_equal(score, expected[i])
    assert len(results) == 4
