"""`rheinfall gnn inspect` names what is wrong with a file."""

import os
from pathlib import Path

import numpy as np
import pytest

import rheinfall as rf

onnx = pytest.importorskip("onnx", reason="needs the extra [onnx]")

from rheinfall.gnn.inspection import inspect_network  # noqa: E402

SHIPPED = Path(rf.__file__).parent / "bundles" / "demo" / "edge_classifier.onnx"
SHARED = Path(os.environ.get("RHEINFALL_SHARED", Path(__file__).parents[3] / "shared"))
PUBLISHED = SHARED / "data" / "exatrkx" / "gnn.onnx"


def test_a_shipped_network_has_no_traps():
    found = inspect_network(SHIPPED)
    assert found.traps == []
    assert found.facts["fused_engine"].startswith("runs it")
    assert "traps: none" in str(found)


def test_traps_are_named(tmp_path):
    model = onnx.load(SHIPPED)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 100
    scatter = next(n for n in model.graph.node if n.op_type == "ScatterElements")
    del scatter.attribute[:]
    relu = next(n for n in model.graph.node if n.op_type == "Relu")
    ones = ["one"] * 4
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(16, np.float32), "one"))
    norm = onnx.helper.make_node("BatchNormalization", [relu.input[0], *ones], ["n"], name="norm", training_mode=1)
    relu.input[0] = "n"
    cast = onnx.helper.make_node("Cast", ["edge_index"], ["narrow"], name="narrow", to=6)
    position = next(i for i, n in enumerate(model.graph.node) if n.name == relu.name)
    model.graph.node.insert(position, norm)
    model.graph.node.insert(0, cast)
    onnx.save(model, tmp_path / "m.onnx")
    traps = "\n".join(inspect_network(tmp_path / "m.onnx").traps)
    for expected in ("fixed to 100 nodes", f"{scatter.name} (ScatterElements) has no", "norm (Batch", "narrow (Cast)"):
        assert expected in traps


@pytest.mark.skipif(not PUBLISHED.is_file(), reason=f"needs {PUBLISHED}")
def test_the_published_network_lost_sixteen_sums():
    found = inspect_network(PUBLISHED)
    assert sum("has no reduction" in trap for trap in found.traps) == 16
    *_, told = str(found).splitlines()  # alike but for the node: one line, all names
    assert "makes it add; so 15 more: ScatterElements_135, " in told
    assert all(trap.split()[0] in told for trap in found.traps)
    assert found.facts["fused_engine"].endswith("once repaired")
