"""Scores of edges from a graph network in an ONNX file, in a PyTorch state dict, or as lowered before."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rheinfall import _core
from rheinfall._files import replacing
from rheinfall.gnn.edge_order import canonical_edge_order
from rheinfall.gnn.fused import FusedNetwork, compile_model, compile_network
from rheinfall.gnn.ir_file import MAGIC
from rheinfall.gnn.lost_reductions import Repair
from rheinfall.gnn.onnx_file import load_model, naming_damage, opset_of
from rheinfall.gnn.onnx_graph_checks import check_weights
from rheinfall.gnn.onnx_inputs import ModelInputs, find_inputs
from rheinfall.gnn.onnx_outputs import Output, find_logits
from rheinfall.gnn.onnx_repair import has_parallel_hazard, restore_sums, sum_rows_in_double
from rheinfall.gnn.ort_session import OrtSessions
from rheinfall.gnn.state_dicts import compile_state_dict

Engine = Literal["auto", "onnxruntime", "fused"]
Precision = Literal["fp32", "bf16"]
Float32 = NDArray[np.float32]


class EdgeClassifier:
    """A graph network that gives each edge a score in [0, 1]; make one with `EdgeClassifier.load`,
    `load_state_dict` or `load_lowered`.

    Scores do not depend on the order of the edges nor on the number of threads: edges are sorted by (target, source)
    before the engine works on them. They may depend on the numbering of the nodes in the last bits, through the order
    of sums. Objects pickle, survive a fork, and may be called from several Python threads.

    Attributes:
        engine: the engine that runs the network, "onnxruntime" or "fused".
        precision: "fp32", or "bf16" where the linear operations of edges are in bf16.
        inputs: names and widths of the network's inputs.
        info: what is known of the file: path, where the scores come from, the precision; opset, producer, what was
            repaired, or the architecture.
    """

    def __init__(
        self,
        runner: OrtSessions | FusedNetwork,
        model: bytes | None,
        inputs: ModelInputs,
        output: str,
        is_logits: bool,
        info: dict[str, Any],
    ) -> None:
        self.engine: str = "fused" if isinstance(runner, FusedNetwork) else "onnxruntime"
        self.precision: str = runner.precision if isinstance(runner, FusedNetwork) else "fp32"
        self.inputs = inputs
        self._model = model
        self.info = {**info, "precision": self.precision}
        self._runner = runner
        self._output = output
        self._is_logits = is_logits

    @classmethod
    def load(
        cls,
        path: str | Path,
        engine: Engine = "auto",
        repair_scatter: Repair = False,
        *,
        node_features: str | None = None,
        edge_index: str | None = None,
        edge_features: str | None = None,
        output: Output = "auto",
        output_name: str | None = None,
        precision: Precision = "fp32",
    ) -> EdgeClassifier:
        """Load a network from an ONNX file with node features, edge_index and optionally edge features as inputs.

        Args:
            path: the file.
            engine: "auto" and "fused": our own, which refuses what it cannot lower; "onnxruntime" runs that too.
            repair_scatter: restore the reductions that scatters lost, instead of refusing the file. True: those that
                the file tells, by an older exporter's habits sums; "add" or "mean" for the others
                (docs/edge_classification.md).
            node_features, edge_index, edge_features: names of the inputs where the file does not tell them apart.
            output: what the file gives: "logits", "scores" (probabilities), or "auto": where it ends in a Sigmoid,
                the logits before that; else scores where its values are within [0, 1] for any event, and logits.
                Values with other limits, such as those of a Tanh, are an error.
            output_name: the output with one value per edge, where there are several.
            precision: "fp32"; "bf16" rounds inputs and weights of the edges' linear operations to bf16, on the fused
                engine only (docs/edge_classification.md).

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: not a usable model; the message names the file and what was found.
            ImportError: the packages of the extra [onnx] are missing.
        """
        if engine not in ("auto", "onnxruntime", "fused"):
            raise ValueError(f"engine: expected 'auto', 'onnxruntime' or 'fused', got {engine!r}")
        _check_precision(precision, engine)
        if repair_scatter not in (False, True, "add", "mean"):
            raise ValueError(f"repair_scatter: expected False, True, 'add' or 'mean', got {repair_scatter!r}")
        path = _as_path("path", path)
        name = str(path)
        with naming_damage(name):
            model = load_model(path)
            inputs = find_inputs(model, name, node_features, edge_index, edge_features)
            check_weights(model, name)
            info: dict[str, Any] = {"path": name, "opset": opset_of(model), "producer": model.producer_name}
            info["repaired_scatters"] = restore_sums(model, inputs.edge_index, name, repair_scatter)
            fetch, is_logits = find_logits(model, name, output, output_name)
            saved = model.SerializeToString()
            if engine != "onnxruntime":
                runner: OrtSessions | FusedNetwork = compile_model(model, inputs, fetch, info["opset"], name, precision)
            else:
                runner = _open_sessions(model, name)
        info["output"] = fetch
        info["output_is"] = "logits" if is_logits else "scores"
        info["single_thread"] = isinstance(runner, OrtSessions) and runner.single_thread
        return cls(runner, saved, inputs, fetch, is_logits, info)

    @classmethod
    def load_state_dict(
        cls, path: str | Path, description: str | Path, precision: Precision = "fp32"
    ) -> EdgeClassifier:
        """Load the state dict of an InteractionGNN or InteractionGNN2 of ACORN, or a ResAGNN of Exa.TrkX.

        PyTorch is not needed, and nothing that the file holds is run.

        Args:
            path: a safetensors or npz file, or one of torch.save that holds tensors in dictionaries only.
            description: a JSON file with the architecture, its sizes and the names of its keys
                (docs/gnn_state_dicts.md).
            precision: as of `load`.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file is damaged, or they do not fit; names the file, the field or key, and what was expected.
        """
        _check_precision(precision, "fused")
        runner, told = compile_state_dict(_as_path("path", path), _as_path("description", description), precision)
        n_edge_features = told.options.get("edge_features") or None
        edge_features = "edge_features" if n_edge_features else None
        inputs = ModelInputs("node_features", "edge_index", edge_features, told.node_features, n_edge_features)
        info = {"path": str(path), "architecture": told.architecture, "output": "logits", "output_is": "logits"}
        return cls(runner, None, inputs, "logits", True, {**info, "single_thread": False})

    @classmethod
    def load_lowered(
        cls, path: str | Path, output: Literal["logits", "scores"] = "logits", precision: Precision = "fp32"
    ) -> EdgeClassifier:
        """Load what `save_lowered` wrote; needs neither ONNX nor PyTorch.

        Args:
            path: the file.
            output: what the network gives, which the file does not tell: "logits" or "scores" (probabilities).
            precision: as of `load`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged, or `output` or `precision` is unknown.
        """
        if output not in ("logits", "scores"):
            raise ValueError(f"output: expected 'logits' or 'scores', got {output!r}")
        _check_precision(precision, "fused")
        path = _as_path("path", path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such lowered network")
        content = path.read_bytes()
        if not content.startswith(MAGIC):
            raise ValueError(f"{path}: not a lowered network, as save_lowered writes it; load reads ONNX files")
        runner = compile_network(content, str(path), precision)
        edge_features = "edge_features" if runner.n_edge_features else None
        widths = runner.n_node_features, runner.n_edge_features or None
        inputs = ModelInputs("node_features", "edge_index", edge_features, *widths)
        info = {"path": str(path), "output": output, "output_is": output, "single_thread": False}
        return cls(runner, None, inputs, output, output == "logits", info)

    def __repr__(self) -> str:
        return f"EdgeClassifier({self.info['path']!r}, engine={self.engine!r})"

    def explain(self, n_nodes: int = 120_000, n_edges: int = 300_000) -> str:
        """The plan of the fused engine as text: stages, what each computes, operations and bytes for such a graph.

        Raises:
            TypeError, ValueError: the numbers are no integers of at least 0, or another engine runs the network.
        """
        for name, number in (("n_nodes", n_nodes), ("n_edges", n_edges)):
            if not isinstance(number, (int, np.integer)) or isinstance(number, bool):
                raise TypeError(f"explain: {name}: expected an integer, got {type(number).__name__}")
            if not 0 <= number < 2**63:
                raise ValueError(f"explain: {name}: expected at least 0 and below 2^63, got {number}")
        if not isinstance(self._runner, FusedNetwork):
            raise ValueError(f"explain: engine {self.engine!r} has no plan; load the network with engine='fused'")
        return self._runner.explain(n_nodes, n_edges)

    def with_precision(self, precision: Precision) -> EdgeClassifier:
        """The same network in another precision.

        Raises:
            ValueError: another engine runs the network, or it has no linear operation of edges to be in bf16.
        """
        _check_precision(precision, "fused")
        if not isinstance(self._runner, FusedNetwork):
            raise ValueError(f"with_precision: engine {self.engine!r} has one precision; load with engine='fused'")
        runner = compile_network(self._runner.network, self._runner.name, precision)
        return type(self)(runner, self._model, self.inputs, self._output, self._is_logits, dict(self.info))

    def save(self, path: str | Path) -> None:
        """Write the network as ONNX, repaired where that was asked for; `load_options` tell how to load it again.

        Raises:
            ValueError: it was not read from ONNX, see `has_onnx`.
        """
        if self._model is None:
            raise ValueError(f"save: {self.info['path']} is no ONNX file; save_lowered writes what C++ reads")
        _write(path, self._model)

    def save_lowered(self, path: str | Path) -> None:
        """Write the network as the fused engine has it, for C++ (`rheinfall::EdgeClassifier`): docs/gnn_format.md.

        What its output means and the precision are no part of it: name them where the file is loaded.

        Raises:
            ValueError: another engine runs the network.
        """
        _write(path, self.lowered()[0])

    def lowered(self) -> tuple[bytes, str, bool]:
        """What `save_lowered` writes, a name for messages, whether its outputs are logits; raises as that does."""
        if not isinstance(self._runner, FusedNetwork):
            raise ValueError(f"save_lowered: engine {self.engine!r} has no such form; load with engine='fused'")
        return self._runner.network, self._runner.name, self._is_logits

    @property
    def has_onnx(self) -> bool:
        """Whether there is an ONNX file for `save`; of state dicts and lowered networks there is none."""
        return self._model is not None

    @property
    def load_options(self) -> dict[str, str]:
        """Arguments of `load` that read the file written by `save` as this one was read; without an ONNX file those of
        `load_lowered` for what `save_lowered` wrote."""
        options: dict[str, str] = {}
        if self.has_onnx:
            options = {"node_features": self.inputs.node_features, "edge_index": self.inputs.edge_index}
            if self.inputs.edge_features is not None:
                options["edge_features"] = self.inputs.edge_features
        if self.precision != "fp32":
            options["precision"] = self.precision
        options["output"] = "logits" if self._is_logits else "scores"
        return {**options, "output_name": self._output} if self.has_onnx else options

    def __call__(self, graph: Any, edge_index: Any = None, edge_features: Any = None) -> Float32:
        """Score of each edge, float32 (n_edges,) in [0, 1], in the order of the edges.

        Args:
            graph: a `Graph`, or node features float32 (n_nodes, features).
            edge_index: int64 (2, n_edges), where the first argument is node features.
            edge_features: float32 (n_edges, features), where the network has such an input.

        Raises:
            TypeError, ValueError: an argument of the wrong type, dtype or shape, or an edge to a node out of range.
        """
        arguments = self._arguments(graph, edge_index, edge_features)
        if isinstance(self._runner, FusedNetwork):
            scores: Float32 = self._runner.run(*arguments, scores=self._is_logits)
            return scores
        value = self._evaluate(self._runner, *arguments)
        return _sigmoid(value) if self._is_logits else value

    def logits(self, graph: Any, edge_index: Any = None, edge_features: Any = None) -> Float32:
        """Logit of each edge, float32 (n_edges,); arguments as in a call.

        Where the file holds probabilities only (`info["output_is"]` is "scores"), they are log(p / (1-p)) of these.
        """
        arguments = self._arguments(graph, edge_index, edge_features)
        if isinstance(self._runner, FusedNetwork):
            value: Float32 = self._runner.run(*arguments, scores=False)
        else:
            value = self._evaluate(self._runner, *arguments)
        if self._is_logits:
            return value
        with np.errstate(divide="ignore"):
            p = value.astype(np.float64)
            return (np.log(p) - np.log1p(-p)).astype(np.float32)

    def _evaluate(self, sessions: OrtSessions, nodes: Any, edges: Any, features: Any) -> Float32:
        n_edges = edges.shape[1]
        if n_edges == 0:
            return np.zeros(0, np.float32)
        order = canonical_edge_order(edges, len(nodes), features)
        feed = {self.inputs.node_features: nodes, self.inputs.edge_index: edges}
        if order is not None:
            feed[self.inputs.edge_index] = np.ascontiguousarray(edges[:, order])
        if self.inputs.edge_features is not None and features is not None:
            feed[self.inputs.edge_features] = features if order is None else features[order]
        result = sessions.run(feed, self._output, _core.get_num_threads())
        if result.dtype != np.float32 or [d for d in result.shape if d != 1] != ([n_edges] if n_edges != 1 else []):
            raise ValueError(
                f"{self.info['path']}: output {self._output!r}: expected {n_edges} float32 values, one per edge, got "
                f"{result.dtype} {result.shape}"
            )
        values: Float32 = np.empty(n_edges, np.float32)
        values[slice(None) if order is None else order] = result.reshape(-1)
        return values

    def _arguments(self, graph: Any, edge_index: Any, edge_features: Any) -> tuple[Any, Any, Any]:
        """Checked (node_features, edge_index, edge_features or None)."""
        nodes, takes_edges = graph, self.inputs.edge_features is not None
        if hasattr(graph, "edge_index"):
            for needed in ("node_features", "edge_features")[: 1 + takes_edges]:
                if not hasattr(graph, needed):
                    raise TypeError(f"edge_classifier: expected a graph with {needed}, got {type(graph).__name__}")
            if edge_index is not None or edge_features is not None:
                raise TypeError("edge_classifier: a graph has its edges: give no edge_index or edge_features beside it")
            nodes, edge_index = graph.node_features, graph.edge_index
            edge_features = graph.edge_features if takes_edges else None
        if takes_edges and edge_features is None:
            raise ValueError(f"edge_features: {self.info['path']} needs them (input {self.inputs.edge_features!r})")
        if not takes_edges and edge_features is not None:
            raise ValueError(f"edge_features: {self.info['path']} has no such input")
        _check("node_features", nodes, np.float32, (None, self.inputs.n_node_features))
        _check("edge_index", edge_index, np.int64, (2, None))
        if takes_edges:
            _check("edge_features", edge_features, np.float32, (edge_index.shape[1], self.inputs.n_edge_features))
        if edge_index.size and not (edge_index.min() >= 0 and edge_index.max() < len(nodes)):
            raise ValueError(
                f"edge_index: expected indices of {len(nodes)} nodes, got {edge_index.min()} to {edge_index.max()}"
            )
        return np.ascontiguousarray(nodes), np.ascontiguousarray(edge_index), edge_features


def _as_path(name: str, value: Any) -> Path:
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name}: expected the path of a file, got {type(value).__name__}")
    return Path(value)


def _check_precision(precision: str, engine: str) -> None:
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision: expected 'fp32' or 'bf16', got {precision!r}")
    if precision != "fp32" and engine == "onnxruntime":
        raise ValueError(f"precision: {precision!r} needs the fused engine, got engine={engine!r}")


def _write(path: str | Path, content: bytes) -> None:
    with replacing(_as_path("path", path)) as partial:
        partial.write_bytes(content)


def _open_sessions(model: Any, name: str) -> OrtSessions:
    """ONNX Runtime on a model, whose sums over rows are rewritten in place."""
    sum_rows_in_double(model)
    sessions = OrtSessions(model.SerializeToString(), name, single_thread=has_parallel_hazard(model))
    sessions.session(1 if sessions.single_thread else _core.get_num_threads())
    return sessions


def _check(name: str, array: Any, dtype: Any, shape: tuple[int | None, ...]) -> None:
    expected = f"{np.dtype(dtype)} (" + ", ".join("n" if d is None else str(d) for d in shape) + ")"
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: expected a NumPy array {expected}, got {type(array).__name__}")
    if array.dtype != dtype:
        raise TypeError(f"{name}: expected {expected}, got {array.dtype} {array.shape}")
    if array.ndim != len(shape) or any(d is not None and d != got for d, got in zip(shape, array.shape, strict=True)):
        raise ValueError(f"{name}: expected {expected}, got {array.dtype} {array.shape}")


def _sigmoid(logits: Float32) -> Float32:
    """1 / (1 + exp(-x)) without overflow, float32."""
    small = np.exp(-np.abs(logits))
    scores: Float32 = np.where(logits >= 0, np.float32(1), small) / (np.float32(1) + small)
    return scores
