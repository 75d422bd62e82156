"""The stages that are timed, their peers, and the check that comes first."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import peers

import rheinfall as rf
from rheinfall.tracking.bundle import shipped_bundles

MOST_HITS_OF_NUMPY = 30_000


class SkippedError(Exception):
    """A stage cannot run here; the message says why."""


@dataclass
class Contender:
    """One way to compute a stage; `checked` says what its result was compared with."""

    name: str
    run: Callable[[], Any]
    needs: str | None = None
    skipped: str | None = None
    checked: str = ""


@dataclass
class Stage:
    """Contenders, ours first, and how their results are compared with ours: agree(result, ours) -> what held."""

    contenders: list[Contender]
    agree: Callable[[Any, Any], str]
    items: int
    n_bytes: int
    _ours: Any = field(default=None, init=False)

    def check(self, contender: Contender) -> str | None:
        """Run once and compare; the reason if a package is missing. Raises AssertionError for a wrong result."""
        if contender.needs is not None:
            try:
                importlib.import_module(contender.needs)
            except ImportError:
                return f"no {contender.needs} (pip install rheinfall[bench])"
        result = contender.run()
        if contender is self.contenders[0]:
            self._ours = result
        contender.checked = self.agree(result, self._ours)
        return None


@dataclass
class Inputs:
    """One event, its graph, and scores that know the truth (Beta-distributed, seeded)."""

    event: Any
    module_map: Any
    finder: Any
    graph: Any
    scores: Any
    points: Any

    @classmethod
    def make(cls, path: str | None, pile_up: int, seed: int) -> Inputs:
        """Read or simulate the event; the map is the shipped bundle's, else built from other simulated events."""
        wanted = "trackml" if path else "demo"
        finder = rf.TrackFinder.load(wanted) if wanted in shipped_bundles() else None
        if path:
            if finder is None:
                raise SystemExit("--event: the bundle trackml is not shipped with this release")
            event = rf.io.read_event(path)
        else:
            event = next(iter(rf.simulation.simulate(1, pile_up=pile_up, seed=seed)))
        if finder is not None:
            module_map = finder.module_map
        else:
            module_map = rf.ModuleMap.build(rf.simulation.simulate(40, pile_up=20, seed=seed + 1000))
        graph = rf.build_graph(event.hits, module_map)
        return cls(event, module_map, finder, graph, *_draw(event, graph, seed))

    def sizes(self) -> dict[str, Any]:
        """How large the event is."""
        return {
            "hits": len(self.event.hits),
            "edges": self.graph.n_edges,
            "doublets": self.graph.n_doublets,
            "map": {"doublets": self.module_map.n_doublets, "triplets": self.module_map.n_triplets},
            "finder": self.finder.name if self.finder is not None else None,
        }

    def describe(self) -> str:
        """One line."""
        s = self.sizes()
        m = s["map"]
        return f"{s['hits']} hits, {s['edges']} edges, map of {m['doublets']} doublets and {m['triplets']} triplets"


def _draw(event: Any, graph: Any, seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    particle = event.truth.particle_id if event.truth is not None else np.zeros(len(event.hits), np.uint64)
    a, b = particle[graph.edge_index]
    true = (a == b) & (a != 0)
    scores = np.where(true, rng.beta(8, 1.2, len(true)), rng.beta(1.2, 6, len(true))).astype(np.float32)
    # A learned embedding: the hits of a particle within 0.1 of each other, in 8 dimensions.
    labels = np.unique(particle, return_inverse=True)[1].reshape(-1)
    labels = np.where(particle == 0, labels.max() + 1 + np.arange(len(labels)), labels)
    centres = rng.uniform(-1, 1, (int(labels.max()) + 1, 8))
    points = (centres[labels] + rng.normal(0, 0.02, (len(labels), 8))).astype(np.float32)
    return scores, points


def graph_construction(inputs: Inputs) -> Stage:
    """Module map applied; the peer does the same in vectorized NumPy with libm's arctan2."""
    hits, module_map, n_hits = inputs.event.hits, inputs.module_map, len(inputs.event.hits)
    prepared = peers.prepare_map(module_map)

    def agree(edges: Any, ours: Any) -> str:
        same = np.intersect1d(edges[0] * n_hits + edges[1], ours[0] * n_hits + ours[1]).size
        different = edges.shape[1] + ours.shape[1] - 2 * same
        # The last bits of libm's arctan2 differ from ours: hit pairs on a limit may fall on either side.
        assert different <= 1e-3 * ours.shape[1], f"{different} of {ours.shape[1]} edges differ"
        return f"{edges.shape[1]} edges, {different} differ"

    contenders = [
        Contender("rheinfall", lambda: rf.build_graph(hits, module_map).edge_index),
        Contender("numpy", lambda: peers.build_graph(hits, prepared)),
    ]
    if n_hits > MOST_HITS_OF_NUMPY:
        contenders[1].skipped = f"needs all hit pairs in memory at once, tens of GB beyond {MOST_HITS_OF_NUMPY} hits"
    return Stage(contenders, agree, inputs.graph.n_doublets, 20 * n_hits + 64 * inputs.graph.n_doublets)


def _same_partition(labels: Any, ours: Any) -> str:
    assert np.array_equal(peers.canonical_labels(labels), peers.canonical_labels(ours)), "another partition of the hits"
    return f"{len(np.unique(ours))} tracks, same hits"


def components(inputs: Inputs) -> Stage:
    """Connected components of the edges with score > 0.5."""
    edges, scores, n = inputs.graph.edge_index, inputs.scores, inputs.graph.n_nodes
    contenders = [
        Contender("rheinfall", lambda: _labels(edges, scores, n, "components", score_cut=0.5)),
        Contender("scipy", lambda: peers.components_scipy(edges, scores, n, 0.5), "scipy"),
        Contender("networkx", lambda: peers.components_networkx(edges, scores, n, 0.5), "networkx"),
    ]
    return Stage(contenders, _same_partition, edges.shape[1], 20 * edges.shape[1] + 16 * n)


def mutual_best(inputs: Inputs) -> Stage:
    """Mutual best edges, cut 0.5 and sure 0.75; the peer finds them by sorting and labels them with scipy."""
    edges, scores, n = inputs.graph.edge_index, inputs.scores, inputs.graph.n_nodes
    contenders = [
        Contender("rheinfall", lambda: _labels(edges, scores, n, "mutual_best", score_cut=0.5, sure=0.75)),
        Contender("numpy + scipy", lambda: peers.mutual_best(edges, scores, n, 0.5, 0.75), "scipy"),
    ]
    return Stage(contenders, _same_partition, edges.shape[1], 20 * edges.shape[1] + 16 * n)


def _labels(edges: Any, scores: Any, n: int, method: str, **thresholds: float) -> Any:
    return rf.build_tracks(edges, scores, method, n_nodes=n, min_length=1, **thresholds).labels


def radius_graph(inputs: Inputs) -> Stage:
    """All pairs within 0.1 in 8 dimensions."""
    points = inputs.points
    n = len(points)

    def agree(edges: Any, ours: Any) -> str:
        def key(e: Any) -> Any:
            return np.sort(np.minimum(e[0], e[1]) * n + np.maximum(e[0], e[1]))

        assert np.array_equal(key(edges), key(ours)), "other pairs"
        return f"{ours.shape[1]} pairs, the same"

    contenders = [
        Contender("rheinfall", lambda: rf.radius_graph(points, 0.1, directed=False)),
        Contender("scipy cKDTree", lambda: peers.radius_pairs(points, 0.1), "scipy"),
    ]
    n_pairs = contenders[0].run().shape[1]
    return Stage(contenders, agree, n_pairs, points.nbytes + 16 * n_pairs)


def edge_classifier(inputs: Inputs) -> Stage:
    """The bundle's network on its pruned graph; the peer is a bare ONNX Runtime session as it comes."""
    if inputs.finder is None:
        raise SkippedError("no bundle is shipped with this release")
    scored = inputs.finder.score_edges(inputs.event.hits)
    graph, classifier = scored.graph, inputs.finder.edge_classifier
    run, n_bytes = peers.onnx_runtime(classifier, graph)

    def agree(scores: Any, ours: Any) -> str:
        difference = float(np.abs(scores - ours).max())
        assert difference < 1e-3, f"scores differ by {difference:.1e}"
        return f"{len(ours)} scores, within {difference:.0e}"

    contenders = [Contender("rheinfall", lambda: classifier(graph)), Contender("onnxruntime", run, "onnxruntime")]
    return Stage(contenders, agree, graph.n_edges, n_bytes)


def find(inputs: Inputs) -> Stage:
    """Hits to tracks. There is no peer that takes the same bundle; two runs must agree."""
    if inputs.finder is None:
        raise SkippedError("no bundle is shipped with this release")
    hits, finder = inputs.event.hits, inputs.finder

    def agree(tracks: Any, ours: Any) -> str:
        again = finder(hits)
        assert np.array_equal(again.hits, tracks.hits), "two runs differ"
        return f"{len(ours)} tracks, repeatable"

    return Stage([Contender("rheinfall", lambda: finder(hits))], agree, len(hits), 20 * len(hits))


STAGES: dict[str, Callable[[Inputs], Stage]] = {
    "graph": graph_construction,
    "components": components,
    "mutual_best": mutual_best,
    "radius_graph": radius_graph,
    "edge_classifier": edge_classifier,
    "find": find,
}
