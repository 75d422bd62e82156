"""Sums and means that lost their reduction: told apart where the file tells, asked for where it does not."""

import numpy as np
import pytest

from rheinfall import EdgeClassifier
from test_edge_classifier import WEIGHTS, toy_graph, toy_logits, write_model

onnx = pytest.importorskip("onnx", reason="needs the extra [onnx]")

from onnx import helper  # noqa: E402

from rheinfall.gnn.inspection import inspect_network  # noqa: E402

CALLS = {
    "mean": "aten.scatter_reduce.two](args = (%zeros, 0, %expand, %linear, mean), kwargs = {}",
    "add": "aten.scatter_add.default](args = (%zeros, 0, %expand, %linear), kwargs = {}",
    "mean by keyword": "aten.scatter_reduce.two](args = (%zeros, 0, %sum, %x), kwargs = {reduce: mean}",
    "accumulated": "aten.index_put.default](args = (%zeros, [%select_2], %linear, True), kwargs = {}",
    "overwrite": "aten.scatter.src](args = (%zeros, 0, %expand, %linear), kwargs = {}",
}
ENGINES = pytest.mark.parametrize("engine", ["fused", "onnxruntime"])


def write(path, note=None, cleared=False):
    """The toy network as PyTorch's present exporter writes a mean, with its note or without."""
    model = onnx.load(write_model(path, reduction="none", opset=18))
    nodes = model.graph.node
    position, scatter = next((i, n) for i, n in enumerate(nodes) if n.name == "the_scatter")
    if note is not None:
        text = f"%s : [num_users=2] = call_function[target=torch.ops.{CALLS[note]})"
        scatter.metadata_props.add(key="pkg.torch.onnx.fx_node", value=text)
    if cleared:
        scatter.input[0] = "cleared"
        nodes.insert(position, helper.make_node("Shape", ["message"], ["like"]))
        nodes.insert(position + 1, helper.make_node("ConstantOfShape", ["like"], ["no_message"]))
        clear = helper.make_node("ScatterElements", ["initial", "rows", "no_message"], ["cleared"], reduction="none")
        nodes.insert(position + 2, clear)
    onnx.save(model, path)
    return path


def mean_logits(nodes, edge_index, cleared):
    """The toy network with the mean of torch.Tensor.scatter_reduce, edge by edge in float64."""
    message = (nodes.astype(np.float64) @ WEIGHTS.astype(np.float64))[edge_index[0]]
    total, number = np.zeros((len(nodes), message.shape[1])), np.zeros(len(nodes))
    for row, target in zip(message, edge_index[1], strict=True):
        total[target] += row
        number[target] += 1
    mean = total / (np.maximum(number, 1) if cleared else number + 1)[:, None]
    return (mean[edge_index[1]] * message).sum(axis=1)


@ENGINES
@pytest.mark.parametrize("cleared", [False, True])
@pytest.mark.parametrize("note, repair", [(None, "mean"), ("mean", True), ("mean", "mean"), ("mean by keyword", True)])
def test_a_mean_is_restored(tmp_path, note, repair, cleared, engine):
    path = write(tmp_path / "m.onnx", note, cleared)
    nodes, edges, _ = toy_graph(200, 400)  # some nodes without edges
    model = EdgeClassifier.load(path, engine, repair_scatter=repair)
    assert model.info["repaired_scatters"] == 1
    expected = mean_logits(nodes, edges, cleared)
    assert np.abs(expected - toy_logits(nodes, edges)).max() > 1  # a sum is something else
    np.testing.assert_allclose(model.logits(nodes, edges), expected, rtol=1e-5, atol=1e-5)
    model.save(tmp_path / "saved.onnx")
    again = EdgeClassifier.load(tmp_path / "saved.onnx", engine)
    np.testing.assert_allclose(again.logits(nodes, edges), expected, rtol=1e-5, atol=1e-5)


@ENGINES
@pytest.mark.parametrize("cleared", [False, True])
@pytest.mark.parametrize("note, repair", [(None, "add"), ("add", True), ("accumulated", True)])
def test_a_sum_is_restored(tmp_path, note, repair, cleared, engine):
    nodes, edges, _ = toy_graph(200, 400)
    model = EdgeClassifier.load(write(tmp_path / "m.onnx", note, cleared), engine, repair_scatter=repair)
    np.testing.assert_allclose(model.logits(nodes, edges), toy_logits(nodes, edges), rtol=1e-5, atol=1e-4)


def test_what_the_file_does_not_tell_must_be_named(tmp_path):
    path = write(tmp_path / "m.onnx")
    with pytest.raises(ValueError, match=r"opset 18.*a mean or a sum.*cannot be told.*='mean' or repair_scatter='add'"):
        EdgeClassifier.load(path)
    with pytest.raises(ValueError, match=r"'the_scatter'.*cannot be told from the file.*'mean' or"):
        EdgeClassifier.load(path, repair_scatter=True)
    with pytest.raises(ValueError, match="repair_scatter: expected False, True, 'add' or 'mean', got 'sum'"):
        EdgeClassifier.load(path, repair_scatter="sum")
    found = inspect_network(path)
    assert "a mean or a sum was meant, which the file does not tell" in found.traps[0]
    assert "cannot be told" in found.facts["fused_engine"]


@pytest.mark.parametrize("note, repair", [("overwrite", True), ("overwrite", "add"), ("mean", "add"), ("add", "mean")])
def test_a_note_of_the_exporter_is_not_overruled(tmp_path, note, repair):
    with pytest.raises(ValueError, match=rf"'the_scatter'.*{CALLS[note].split('.')[1]} \({note}\) before"):
        EdgeClassifier.load(write(tmp_path / "m.onnx", note), repair_scatter=repair)


CAUSES = [
    (
        13,
        None,
        "exporters to opset < 16 lose.*Export it again with opset >= 16",
        "a sum was meant; repair_scatter=True",
    ),
    (18, None, r"older exporter \(dynamo=False\) writes index_add.*opset.*dynamo=True", "a sum was meant"),
    (18, "mean", r"scatter_reduce\(..., 'mean'\) so.*its note.*repair_scatter=True", "a mean was meant"),
    (18, "overwrite", "aten.scatter means.*order of the edges", "says scatter, which overwrites; it is not"),
]


@pytest.mark.parametrize("opset, note, cause, trap", CAUSES)
def test_cause_and_advice_are_those_of_the_file(tmp_path, opset, note, cause, trap):
    path = tmp_path / "m.onnx"
    write(path, note) if note else write_model(path, reduction=None, opset=opset)
    with pytest.raises(ValueError, match=cause) as error:
        EdgeClassifier.load(path)
    assert ("opset >= 16" in str(error.value)) == (opset < 16)
    found = inspect_network(path)
    assert trap in found.traps[0]
    assert found.facts["fused_engine"].startswith("runs it") == (note != "overwrite")


def test_clearing_the_places_of_a_mean_is_no_trap(tmp_path):
    assert len(inspect_network(write(tmp_path / "m.onnx", cleared=True)).traps) == 1


def test_a_scatter_into_other_than_zeros_is_not_said_to_be_repaired(tmp_path):
    found = inspect_network(write_model(tmp_path / "m.onnx", reduction=None, start=1.0))
    assert "does not start from zeros and is not repaired" in found.traps[0]
    assert "does not start from zeros" in found.facts["fused_engine"]
