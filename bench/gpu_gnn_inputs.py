"""Networks that gpu_gnn.cpp times, for programs without this package: NAME.rfgnn, and NAME.plain.rfgnn for PyTorch.

`interaction2` is the InteractionGNN2 of interaction_gnn2.json with drawn weights, `exatrkx` the published network where
../shared has it, `trackml` the shipped bundle's. The plain ones hold the operations of the modules; the others those
that the engine runs. Called by gpu_inputs.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import rheinfall as rf
from rheinfall.gnn.architectures import build_network
from rheinfall.gnn.ir import Network, rewrite
from rheinfall.gnn.ir_file import to_bytes
from rheinfall.gnn.lower_onnx import lower
from rheinfall.gnn.mlp_layout import Tensors
from rheinfall.gnn.onnx_file import load_model, opset_of
from rheinfall.gnn.onnx_inputs import find_inputs
from rheinfall.gnn.rewriting import name_norms, optimise, spell_norms
from rheinfall.gnn.state_dict_description import read_description

SEED = 20240607


class DrawnTensors(Tensors):
    """Tensors of any key and shape, of 15 values so that they pack well, drawn in the order in which they are taken."""

    def __init__(self) -> None:
        super().__init__({}, "drawn")
        self._rng = np.random.default_rng(SEED)

    def take(self, key: str, *shape: int) -> Any:
        """Uniform with the deviation of PyTorch's default for a matrix; about 1 for scales, about 0 for shifts."""
        values = self._rng.integers(-7, 8, shape).astype(np.float32) / np.float32(8)
        if len(shape) == 2:
            return values * np.float32(2.0 ** np.round(np.log2(shape[1] ** -0.5)))
        return values / np.float32(16) + np.float32(key.endswith("weight"))

    def finish(self, ignore: Any) -> None:
        """Nothing is left over."""


def write_networks(folder: Path, shared: Path) -> None:
    """Write those that there are to `folder`."""
    told = read_description(Path(__file__).with_name("interaction_gnn2.json"))
    _write(folder, "interaction2", build_network(told, DrawnTensors()))
    bundle = Path(rf.__file__).parent / "bundles" / "trackml" / "edge_classifier.onnx"
    (folder / "trackml.plain.rfgnn").write_bytes(to_bytes(_lowered(bundle), "trackml"))
    published = shared / "data" / "exatrkx" / "gnn.onnx"
    if not published.exists():
        print(f"exatrkx: skipped, no {published}")
        return
    repaired = folder / "exatrkx.onnx"
    rf.EdgeClassifier.load(published, repair_scatter=True).save(repaired)
    _write(folder, "exatrkx", _lowered(repaired))
    repaired.unlink()


def _lowered(path: Path) -> Network:
    model = load_model(path)
    network = lower(model, find_inputs(model, path.name, None, None, None), model.graph.output[0].name, opset_of(model))
    return rewrite(rewrite(network, spell_norms), name_norms)


def _write(folder: Path, name: str, network: Network) -> None:
    (folder / f"{name}.plain.rfgnn").write_bytes(to_bytes(network, name))
    (folder / f"{name}.rfgnn").write_bytes(to_bytes(optimise(network), name))
