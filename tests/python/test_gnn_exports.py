"""Networks exported by both exporters of PyTorch of opset 11 to 21, against its float64: make_gnn_exports.py."""

from pathlib import Path

import numpy as np
import pytest

from gnn_graphs import small_graph
from rheinfall import EdgeClassifier
from rheinfall.gnn.inspection import inspect_network

onnx = pytest.importorskip("onnx", reason="needs the extra [onnx]")

EXPORTS = dict(np.load(Path(__file__).with_name("gnn_exports.npz")))
NAMES = sorted(key.removesuffix("/onnx") for key in EXPORTS if key.endswith("/onnx"))
# PyTorch means what its exporters write no reduction for: a scatter that overwrites, and a mean.
NO_SUM = ("overwriting_scatter", "overwriting_index_put", "scatter_reduce_mean")


def write(tmp_path, name):
    path = tmp_path / "network.onnx"
    path.write_bytes(EXPORTS[f"{name}/onnx"].tobytes())
    return path


def lost_its_sums(name):
    """True where the older exporter writes a sum as a scatter without a reduction."""
    kind, exporter, opset, what = name.split("/")
    if exporter == "dynamo" or kind in ("activation", "norm", "shape", "undirected"):
        return False
    return int(opset) < 16 or (kind == "sum" and not what.startswith(("scatter", "transposed")))


@pytest.mark.parametrize("name", [n for n in NAMES if not n.endswith(NO_SUM)])
def test_an_exported_network_scores_as_in_pytorch(tmp_path, name):
    path = write(tmp_path, name)
    kind, _, _, what = name.split("/")
    graph = small_graph(int(what), int(what) % 2) if kind == "random" else small_graph(0, False)
    has_scatter = any(n.op_type.startswith("Scatter") for n in onnx.load(path).graph.node)
    if lost_its_sums(name) and has_scatter:
        with pytest.raises(ValueError, match="has no reduction"):
            EdgeClassifier.load(path, engine="fused")
        assert any("has no reduction" in trap for trap in inspect_network(path).traps)
    logits = EdgeClassifier.load(path, engine="fused", repair_scatter=lost_its_sums(name), output="logits").logits(
        *graph
    )
    exact, off = EXPORTS[f"{name}/exact"], EXPORTS[f"{name}/off"]
    # As near to float64 as PyTorch's own float32, give or take the order of sums (as in test_gnn_random.py).
    assert np.abs(logits - exact).max() <= 4 * off + 4e-6 * max(np.abs(exact).max(), 1)


@pytest.mark.parametrize("name", [n for n in NAMES if n.endswith("scatter_reduce_mean")])
def test_a_lost_mean_is_that_of_pytorch_once_named(tmp_path, name):
    path = write(tmp_path, name)
    with pytest.raises(ValueError, match="cannot be told from the file"):
        EdgeClassifier.load(path, engine="fused", repair_scatter=True)
    logits = EdgeClassifier.load(path, engine="fused", repair_scatter="mean").logits(*small_graph(0, False))
    exact, off = EXPORTS[f"{name}/exact"], EXPORTS[f"{name}/off"]
    assert np.abs(logits - exact).max() <= 4 * off + 4e-6 * max(np.abs(exact).max(), 1)


@pytest.mark.parametrize("name", [n for n in NAMES if n.endswith(NO_SUM)])
def test_a_scatter_without_a_reduction_is_refused(tmp_path, name):
    path = write(tmp_path, name)
    with pytest.raises(ValueError, match="has no reduction"):
        EdgeClassifier.load(path, engine="fused")
    traps = inspect_network(path).traps
    assert any("has no reduction" in trap for trap in traps), traps


def test_two_values_for_each_edge_are_refused(tmp_path):
    """An undirected network that does not make one of both."""
    name = "undirected/dynamo/18/flip"
    model = onnx.load_from_string(EXPORTS[f"{name}/onnx"].tobytes())
    squeeze = [n for n in model.graph.node if n.op_type == "Squeeze"][-1]
    model.graph.output[0].name = squeeze.output[0]
    onnx.save(model, tmp_path / "network.onnx")
    with pytest.raises(ValueError, match="has a value for each edge and direction, in two halves: give one value"):
        EdgeClassifier.load(tmp_path / "network.onnx", engine="fused", output="logits")


def test_there_are_enough():
    kinds = [tuple(n.split("/")[:3]) for n in NAMES]
    assert sum(kind == "random" for kind, _, _ in kinds) >= 40
    assert {(e, int(o)) for kind, e, o in kinds if kind == "random"} == {
        *(("torchscript", o) for o in (11, 13, 16, 18, 20)),
        *(("dynamo", o) for o in (18, 20, 21)),
    }


@pytest.mark.parametrize("opset", [18, 21])
def test_a_norm_over_the_event_is_a_trap_in_either_spelling(tmp_path, opset):
    """The present exporter writes its mean and variance beside a batch norm that is not in training mode."""
    found = inspect_network(write(tmp_path, f"norm/dynamo/{opset}/batch_of_event"))
    assert [trap for trap in found.traps if "uses the event's own mean and variance" in trap] == found.traps != []
    assert found.facts["fused_engine"].startswith("runs it")
    assert inspect_network(write(tmp_path, f"norm/dynamo/{opset}/batch")).traps == []
