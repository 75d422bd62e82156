"""The optimizer loop behind `train`: one graph a step, checkpoints, validation."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rheinfall import _core
from rheinfall._files import replacing
from rheinfall.training.config import TrainingConfig
from rheinfall.training.features import (
    Float32,
    measure_scaling,
    scaling_from_dict,
    scaling_to_dict,
)
from rheinfall.training.graph_files import TrainingGraph, load_graph
from rheinfall.training.memory import kept_memory
from rheinfall.training.network import edge_logits, make_parameters
from rheinfall.training.scores import describe, edge_figures
from rheinfall.training.segments import EdgeLists

_SCALING_GRAPHS = 16
_TIMED_STEPS = 8


class TrainingLoop:
    """Everything that a run carries from step to step.

    What happens at a step depends on the seed and the step's number alone, so a resumed run repeats an uninterrupted
    one.
    """

    def __init__(
        self, files: list[Path], validation: list[Path], config: TrainingConfig, out: Path, log: Callable[[str], None]
    ) -> None:
        self.files, self.validation, self.config, self.log = files, validation, config, log
        self.checkpoint = out / "checkpoint.pt"
        self.step = 0
        self.n_steps = config.steps
        self.seconds = 0.0
        self.figures: dict[str, Any] = {}
        sample = [load_graph(file) for file in files[:_SCALING_GRAPHS]]
        mirrored = [[c for m in config.mirrors for c in getattr(m, which)] for which in ("node", "edge")]
        self.node_scaling = measure_scaling(
            [g.node_features for g in sample], mirrored[0], config.ignored_node_features, config.clip
        )
        self.edge_scaling = measure_scaling([g.edge_features for g in sample], mirrored[1], (), config.clip)
        self.positive_weight = config.positive_weight or _balance(sample)
        self.parameters = make_parameters(
            len(self.node_scaling.centre),
            len(self.edge_scaling.centre),
            config.hidden,
            config.iterations,
            config.seed,
            config.recurrent,
        )
        matrices = [p for p in self.parameters.values() if p.ndim == 2]
        biases = [p for p in self.parameters.values() if p.ndim != 2]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": config.weight_decay}, {"params": biases, "weight_decay": 0.0}],
            lr=config.learning_rate,
            betas=(0.9, 0.98),
        )

    @property
    def n_parameters(self) -> int:
        """Weights and biases."""
        return sum(p.numel() for p in self.parameters.values())

    def run(self) -> None:
        """Take all steps that remain, then judge the validation graphs."""
        with kept_memory(), _deterministic(self.config.threads):
            self.log(f"{self.n_parameters} parameters, {len(self.files)} graphs, {len(self.validation)} kept back")
            while self.n_steps is None or self.step < self.n_steps:
                self._advance()
            self.figures = self._validate()
            self.save()

    def _advance(self) -> None:
        start = time.perf_counter()
        loss, n_edges = self._take_step()
        elapsed = time.perf_counter() - start
        self.seconds += elapsed
        self.step += 1
        if self.n_steps is None and self.step == _TIMED_STEPS:
            self.n_steps = max(_TIMED_STEPS + 1, int(self.config.minutes * 60 * _TIMED_STEPS / self.seconds))
            self.log(
                f"{self.n_steps} steps fit into {self.config.minutes:g} minutes (repeat with steps={self.n_steps})"
            )
        if self.step % self.config.checkpoint_every == 0 and self.step != self.n_steps:
            self.figures = self._validate()
            self.log(
                f"step {self.step}/{self.n_steps}  loss {loss:.4f}  {n_edges / elapsed:.3g} edges/s  "
                f"{self.seconds:.0f} s  {describe(self.figures)}"
            )
            self.save()

    def _take_step(self) -> tuple[float, int]:
        graph = load_graph(self._file_of_step())
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.optimizer.zero_grad()
        loss = self._loss(_mirrored(graph, self.config, self.step))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        self.optimizer.step()
        return float(loss.detach()), len(graph.label)

    def _file_of_step(self) -> Path:
        epoch, position = divmod(self.step, len(self.files))
        order = np.random.default_rng((self.config.seed, 1, epoch)).permutation(len(self.files))
        return self.files[int(order[position])]

    def _learning_rate(self) -> float:
        """Linear rise, then half a cosine; during the timed first steps the total is guessed, for it is unknown."""
        progress = self.step / (self.n_steps or 1000)
        if progress < self.config.warm_up:
            return self.config.learning_rate * max(progress / self.config.warm_up, 0.02)
        phase = (progress - self.config.warm_up) / (1 - self.config.warm_up)
        return self.config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, phase))))

    def _logits(self, graph: TrainingGraph) -> Any:
        nodes = torch.from_numpy(self.node_scaling.apply(graph.node_features))
        features = torch.from_numpy(self.edge_scaling.apply(graph.edge_features))
        edges = EdgeLists(graph.edge_index, len(nodes))
        return edge_logits(self.parameters, self.config.iterations, nodes, features, edges)

    def _loss(self, graph: TrainingGraph) -> Any:
        logits = self._logits(graph)
        weight = torch.from_numpy(graph.weight)
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            logits,
            torch.from_numpy(graph.label.astype(np.float32)),
            weight=weight,
            pos_weight=torch.tensor(self.positive_weight),
            reduction="sum",
        )
        return losses / weight.sum().clamp(min=1.0)

    def _validate(self) -> dict[str, Any]:
        scores, labels = [], []
        with torch.no_grad():
            for file in self.validation:
                graph = load_graph(file)
                judged = graph.weight > 0
                scores.append(torch.sigmoid(self._logits(graph)).numpy()[judged])
                labels.append(graph.label[judged])
        return edge_figures(np.concatenate(scores), np.concatenate(labels))

    def save(self) -> None:
        """Write the checkpoint; it appears whole or not at all."""
        state = {
            "step": self.step,
            "n_steps": self.n_steps,
            "seconds": self.seconds,
            "config": json.dumps(self.config.to_dict(), sort_keys=True),
            "parameters": {name: p.detach() for name, p in self.parameters.items()},
            "optimizer": self.optimizer.state_dict(),
            "node_scaling": scaling_to_dict(self.node_scaling),
            "edge_scaling": scaling_to_dict(self.edge_scaling),
            "positive_weight": self.positive_weight,
        }
        with replacing(self.checkpoint) as partial:
            torch.save(state, partial)

    def restore(self) -> None:
        """Continue from the checkpoint.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it belongs to other settings.
        """
        if not self.checkpoint.is_file():
            raise FileNotFoundError(f"{self.checkpoint}: no checkpoint to resume from")
        state = torch.load(self.checkpoint, weights_only=True)
        if json.loads(state["config"]) != json.loads(json.dumps(self.config.to_dict())):
            raise ValueError(f"{self.checkpoint}: belongs to other settings: {state['config']}")
        self.step, self.n_steps, self.seconds = state["step"], state["n_steps"], state["seconds"]
        self.positive_weight = state["positive_weight"]
        self.node_scaling = scaling_from_dict(state["node_scaling"])
        self.edge_scaling = scaling_from_dict(state["edge_scaling"])
        with torch.no_grad():
            for name, value in state["parameters"].items():
                self.parameters[name].copy_(value)
        self.optimizer.load_state_dict(state["optimizer"])

    def weights(self) -> dict[str, Any]:
        """Parameters as NumPy arrays."""
        return {name: p.detach().numpy().copy() for name, p in self.parameters.items()}

    def provenance(self) -> dict[str, Any]:
        """How to repeat the run."""
        return {
            "config": {**self.config.to_dict(), "steps": self.n_steps},
            "positive_weight": self.positive_weight,
            "n_parameters": self.n_parameters,
            "training_graphs": [f.name for f in self.files],
            "validation_graphs": [f.name for f in self.validation],
            "versions": {
                "rheinfall": _core.build_info()["version"],
                "torch": str(torch.__version__),
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }


@contextmanager
def _deterministic(threads: int) -> Iterator[None]:
    """Torch with this number of threads and deterministic kernels only; as before afterwards."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


def _balance(graphs: list[TrainingGraph]) -> float:
    """False / true weight, so that both sides of the loss weigh the same."""
    n_true = sum(float(g.weight[g.label == 1].sum()) for g in graphs)
    n_false = sum(float(g.weight[g.label == 0].sum()) for g in graphs)
    if n_true <= 0 or n_false <= 0:
        raise ValueError(f"training graphs: expected true and false edges, got weights {n_true:g} and {n_false:g}")
    return n_false / n_true


def _mirrored(graph: TrainingGraph, config: TrainingConfig, step: int) -> TrainingGraph:
    """The graph after each of the reflections with a chance of one half."""
    turns = np.random.default_rng((config.seed, 2, step)).random(len(config.mirrors)) < 0.5
    nodes, edges = graph.node_features, graph.edge_features
    for mirror, turn in zip(config.mirrors, turns, strict=True):
        if turn:
            nodes, edges = _negated(nodes, mirror.node), _negated(edges, mirror.edge)
    return TrainingGraph(nodes, graph.edge_index, edges, graph.label, graph.weight)


def _negated(features: Float32, columns: tuple[int, ...]) -> Float32:
    sign = np.ones(features.shape[1], np.float32)
    sign[[c for c in columns if c < len(sign)]] = -1
    return features * sign
