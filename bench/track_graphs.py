"""Scored graphs that track building is timed on: a real event's, a large one, and the worst shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import rheinfall as rf

N_REAL_EDGES = 325_000
N_LARGE_HITS, N_LARGE_EDGES = 300_594, 588_470
WORST = ("chain", "giant", "bipartite", "wide", "ladder")


def draw_scores(true: Any, seed: int = 0) -> Any:
    """Beta(8, 1.2) for true edges, Beta(1.2, 6) for false ones."""
    rng = np.random.default_rng(seed)
    return np.where(true, rng.beta(8, 1.2, len(true)), rng.beta(1.2, 6, len(true))).astype(np.float32)


def real_graph(shared: Path) -> dict[str, Any]:
    """Event 21000: the shipped map's edges and nearest neighbours in direction, 325,000 in all, all outward."""
    event = rf.io.read_event(shared / "data/trackml/event21000/event000021000")
    hits = event.hits
    xyz = np.stack([hits.x, hits.y, hits.z]).astype(np.float64)
    distance = np.sqrt((xyz**2).sum(axis=0))
    points = np.ascontiguousarray(np.concatenate([xyz / distance, distance[None] / 1e5]).T, np.float32)
    near = rf.knn_graph(points, 6)
    near = near[:, distance[near[0]] < distance[near[1]]]
    mapped = rf.build_graph(hits, rf.TrackFinder.load("trackml").module_map).edge_index
    keys = [e[0] * len(hits) + e[1] for e in (mapped, near)]
    extra = np.setdiff1d(keys[1], keys[0])
    extra = np.random.default_rng(0).choice(extra, N_REAL_EDGES - mapped.shape[1], replace=False)
    edges = np.stack(np.divmod(np.sort(np.concatenate([keys[0], extra])), len(hits)))
    particle = event.truth.particle_id[edges]
    scores = draw_scores((particle[0] == particle[1]) & (particle[0] != 0))
    return {"edges": edges, "scores": scores, "xyz": np.stack([hits.x, hits.y, hits.z]), "module_id": hits.module_id}


def large_graph() -> dict[str, Any]:
    """Particles on ten layers, hits numbered layer by layer; one hit in six has a second true edge over a layer."""
    rng, n_layers = np.random.default_rng(1), 10
    n_particles = -(-N_LARGE_HITS // n_layers)
    place = np.stack([rng.permutation(n_particles) for _ in range(n_layers)])  # of each particle on each layer
    layer, owner = np.divmod(np.arange(n_layers * n_particles), n_particles)
    hit = layer * n_particles + place[layer, owner]
    true = [hit[:-n_particles], hit[n_particles:]]
    skips = rng.random(len(hit) - 2 * n_particles) < 1 / 6
    true = np.concatenate([true, [hit[: -2 * n_particles][skips], hit[2 * n_particles :][skips]]], axis=1)
    true = true[:, (true < N_LARGE_HITS).all(axis=0)]
    n_true = np.unique(true[0] * N_LARGE_HITS + true[1])
    # Twice as many false edges as will be needed, from which distinct ones are drawn.
    source = rng.integers(0, N_LARGE_HITS - n_particles - 40, N_LARGE_EDGES)
    false = source * N_LARGE_HITS + source + n_particles + rng.integers(-40, 40, len(source))
    false = rng.choice(np.setdiff1d(false, n_true), N_LARGE_EDGES - len(n_true), replace=False)
    keys = np.concatenate([n_true, false])
    order = np.argsort(keys)
    scores = draw_scores(order < len(n_true))
    edges = np.stack(np.divmod(keys[order], N_LARGE_HITS))
    distance = 30.0 + 100.0 * (np.arange(N_LARGE_HITS) // n_particles) + rng.random(N_LARGE_HITS)
    angle = rng.uniform(0, 2 * np.pi, N_LARGE_HITS)
    xyz = np.stack([distance * np.cos(angle), distance * np.sin(angle), np.zeros(N_LARGE_HITS)]).astype(np.float32)
    module_id = (np.arange(N_LARGE_HITS) // n_particles).astype(np.uint64) << np.uint64(36)
    return {"edges": edges, "scores": scores, "xyz": xyz, "module_id": module_id}


def worst_graph(kind: str, n_edges: int) -> dict[str, Any]:
    """A giant component of random edges, a long chain with shortcuts, many dense layers, ten wide ones, or a ladder."""
    rng = np.random.default_rng(2)
    if kind == "chain":  # every path from the first hit to the last is as good as the graph is long
        n_nodes = n_edges // 2 + 2
        i = np.arange(n_edges // 2)
        edges = np.concatenate([[i, i + 1], [i, i + 2]], axis=1)
    elif kind == "giant":
        n_nodes = n_edges // 3 + 2
        ends = np.sort(rng.integers(0, n_nodes, (2, n_edges)), axis=0)
        edges = ends[:, ends[0] < ends[1]]
    elif kind in ("bipartite", "wide"):  # each hit of a layer joined to all of the next
        width = 100 if kind == "bipartite" else round((n_edges / 9) ** 0.5)
        n_layers = n_edges // width**2 + 1 if kind == "bipartite" else 10
        n_nodes = width * n_layers
        a, b = np.divmod(np.arange(width**2), width)
        first = width * np.arange(n_layers - 1)[:, None]
        edges = np.stack([(first + a).reshape(-1), (first + width + b).reshape(-1)])
    elif kind == "ladder":
        n_nodes = 2 * (n_edges // 4 + 1)
        i = np.arange(0, n_nodes - 2, 2)
        edges = np.concatenate([[i, i + 2], [i, i + 3], [i + 1, i + 2], [i + 1, i + 3]], axis=1)
    else:
        raise ValueError(f"kind: expected one of {', '.join(WORST)}, got {kind}")
    edges = edges[:, np.lexsort((edges[1], edges[0]))]
    scores = rng.uniform(0.5, 1.0, edges.shape[1]).astype(np.float32)
    distance = np.arange(1, n_nodes + 1, dtype=np.float32)
    module_id = (np.arange(n_nodes) % 48).astype(np.uint64) << np.uint64(36)
    xyz = np.stack([distance, 0 * distance, 0 * distance])
    return {"edges": edges, "scores": scores, "xyz": xyz, "module_id": module_id}


def write_graph(graph: dict[str, Any], path: Path) -> Path:
    """For `track_building_event`, which says what the file holds."""
    with path.open("wb") as f:
        np.array([graph["xyz"].shape[1], len(graph["scores"])], np.int64).tofile(f)
        for name, dtype in (("edges", np.int64), ("scores", np.float32), ("xyz", np.float32)):
            np.ascontiguousarray(graph[name], dtype).tofile(f)
        np.ascontiguousarray(graph["module_id"], np.uint64).tofile(f)
    return path
