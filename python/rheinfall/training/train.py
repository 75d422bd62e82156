"""Train an edge classifier on a folder of graphs and write it as ONNX."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rheinfall._extras import require
from rheinfall.training.config import TrainingConfig
from rheinfall.training.graph_files import list_graphs


@dataclass(frozen=True)
class TrainingResult:
    """What a training run produced.

    Attributes:
        path: the ONNX file.
        figures: of the validation graphs: "auc", "cuts" with efficiency and purity, "loss".
        steps: optimizer steps done.
        seconds: wall time of the steps, over all resumed parts.
        n_parameters: weights and biases of the network.
        provenance: settings, versions and graph files, as stored beside the ONNX file and inside it.
    """

    path: Path
    figures: dict[str, Any]
    steps: int
    seconds: float
    n_parameters: int
    provenance: dict[str, Any]


def train(
    graphs: str | Path,
    out: str | Path,
    config: TrainingConfig | None = None,
    *,
    resume: bool = False,
    log: Callable[[str], None] = print,
) -> TrainingResult:
    """Train an interaction network on the .npz graphs of a folder; deterministic for given steps, seed and threads.

    Args:
        graphs: folder written by `save_graph`; the last `config.n_validation` by name are kept back.
        out: folder for `edge_classifier.onnx`, `training.json` and `checkpoint.pt`.
        config: settings; see `TrainingConfig`.
        resume: continue from `checkpoint.pt` in `out`; the result is that of an uninterrupted run.
        log: takes each line of the report.

    Raises:
        ImportError: the extra [train] is missing.
        FileNotFoundError: no graphs, or nothing to resume.
        ValueError: a damaged graph, or a checkpoint of other settings.
    """
    require("torch", "train")
    require("onnx", "train")
    from rheinfall.training.loop import TrainingLoop

    config = config or TrainingConfig()
    files = list_graphs(graphs)
    if len(files) <= config.n_validation:
        raise ValueError(
            f"{graphs}: expected more than n_validation = {config.n_validation} graphs, found {len(files)}"
        )
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    loop = TrainingLoop(files[: -config.n_validation], files[-config.n_validation :], config, out, log)
    if resume:
        loop.restore()
    loop.run()
    return _write(loop, out)


def _write(loop: Any, out: Path) -> TrainingResult:
    from rheinfall.training.export import build_onnx, save_onnx

    provenance = loop.provenance()
    model = build_onnx(
        loop.weights(),
        loop.config.iterations,
        loop.node_scaling,
        loop.edge_scaling,
        {"provenance": json.dumps(provenance, sort_keys=True)},
    )
    path = out / "edge_classifier.onnx"
    save_onnx(model, path)
    report = {**provenance, "seconds": round(loop.seconds, 1), "figures": loop.figures}
    (out / "training.json").write_text(json.dumps(report, indent=1) + "\n")
    return TrainingResult(path, loop.figures, loop.step, loop.seconds, loop.n_parameters, provenance)
