"""Training graphs as .npz files, so that any number of them can be streamed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheinfall._files import replacing
from rheinfall.event import Truth


@dataclass(frozen=True)
class TrainingGraph:
    """One graph with the answers.

    Attributes:
        node_features: float32 (n_nodes, node features).
        edge_index: int64 (2, n_edges).
        edge_features: float32 (n_edges, edge features).
        label: uint8 (n_edges,), 1 for a true edge.
        weight: float32 (n_edges,), weight in the loss; 0 where the truth is unknown or does not matter.
    """

    node_features: NDArray[np.float32]
    edge_index: NDArray[np.int64]
    edge_features: NDArray[np.float32]
    label: NDArray[np.uint8]
    weight: NDArray[np.float32]


_LAYOUT: tuple[tuple[str, Any, int], ...] = (
    ("node_features", np.float32, 2),
    ("edge_index", np.int64, 2),
    ("edge_features", np.float32, 2),
    ("label", np.uint8, 1),
    ("weight", np.float32, 1),
)


def label_edges(
    edge_index: NDArray[np.int64], truth: Truth, min_pt: float = 0.0, low_pt_weight: float = 0.0
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Label (uint8) and weight (float32) of each edge, (n_edges,).

    An edge is true if both hits belong to one particle. Its weight is 1; 0 if the truth of a hit is unknown;
    `low_pt_weight` for true edges of particles below `min_pt` [GeV], where the event has a table of particles.
    """
    source, target = edge_index
    particle = truth.particle_id
    same = (particle[source] == particle[target]) & (particle[source] != 0)
    known = truth.known[source] & truth.known[target]
    weight = known.astype(np.float32)
    if truth.particles is not None and len(truth.particles):
        order = np.argsort(truth.particles.particle_id)
        ids = truth.particles.particle_id[order]
        row = np.minimum(np.searchsorted(ids, particle[source]), len(ids) - 1)
        low = same & (ids[row] == particle[source]) & (truth.particles.pt[order][row] < min_pt)
        weight[low & known] = low_pt_weight
    return (same & known).astype(np.uint8), weight


def save_graph(path: str | Path, graph: TrainingGraph) -> None:
    """Write a graph; the file appears whole or not at all."""
    path = Path(path)
    _check(path, graph)
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **{name: getattr(graph, name) for name, _, _ in _LAYOUT})


def load_graph(path: str | Path) -> TrainingGraph:
    """Read and check one .npz graph.

    Raises:
        ValueError: the file is damaged, lacks an array, or holds one of the wrong type, shape or range.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            missing = [name for name, _, _ in _LAYOUT if name not in file]
            if missing:
                raise ValueError(f"lacks {', '.join(missing)}; it holds {', '.join(file.files)}")
            arrays = {name: file[name] for name, _, _ in _LAYOUT}
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path}: not a training graph: {error}") from error
    graph = TrainingGraph(**arrays)
    _check(path, graph)
    return graph


def list_graphs(folder: str | Path) -> list[Path]:
    """The .npz files of a folder, by name."""
    files = sorted(Path(folder).glob("*.npz"))
    if not files:
        raise FileNotFoundError(f"{folder}: no .npz training graphs in this folder")
    return files


def _check(path: Path, graph: TrainingGraph) -> None:
    for name, dtype, ndim in _LAYOUT:
        array = getattr(graph, name)
        if array.dtype != dtype or array.ndim != ndim:
            raise ValueError(f"{path}: {name}: expected {ndim}-D {np.dtype(dtype)}, got {array.dtype} {array.shape}")
    n_edges = graph.edge_index.shape[1]
    for name in ("edge_features", "label", "weight"):
        if len(getattr(graph, name)) != n_edges:
            raise ValueError(
                f"{path}: {name}: expected {n_edges} rows as in edge_index, got {len(getattr(graph, name))}"
            )
    if graph.edge_index.shape[0] != 2 or (
        n_edges and not (graph.edge_index.min() >= 0 and graph.edge_index.max() < len(graph.node_features))
    ):
        raise ValueError(f"{path}: edge_index: expected (2, n_edges) indices of {len(graph.node_features)} nodes")
    for name in ("node_features", "edge_features", "weight"):
        if not np.isfinite(getattr(graph, name)).all():
            raise ValueError(f"{path}: {name}: expected finite values")
