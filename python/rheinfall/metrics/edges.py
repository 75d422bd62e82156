"""Edges of a graph against truth: efficiency, purity, area under the ROC curve, and the scores of a perfect network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheinfall.event import Bool, Float32, Float64, Hits, Int64, Truth, UInt64
from rheinfall.metrics.binning import BinnedEfficiency, bin_efficiency, fraction, table
from rheinfall.metrics.intervals import ONE_SIGMA, rate_intervals
from rheinfall.metrics.particles import (
    ParticleTable,
    Selection,
    check_truth,
    check_variable,
    judged_hits,
    layer_ids,
    summarize_particles,
)
from rheinfall.tracking.arguments import require_number


@dataclass
class EdgeMatches:
    """What `match_edges` found. Rates are NaN where nothing is there to count.

    Attributes:
        selection: which particles the efficiency is of.
        n_edges: all edges of the graph.
        n_judged: edges between two judged hits.
        n_same_particle: judged edges between two hits of one particle, selected or not.
        n_same_selected: those of selected particles.
        is_found: bool (n_true,), for each true edge of a selected particle whether the graph has it.
        true_edges: int64 (2, n_true), those edges, inner hit first.
        true_row: int64 (n_true,), the row of their particle in `particles`.
        particles: all particles of the event.
        auc: area under the ROC curve of the scores over the judged edges, ties counted half; NaN without scores.
    """

    selection: Selection
    n_edges: int
    n_judged: int
    n_same_particle: int
    n_same_selected: int
    is_found: Bool
    true_edges: Int64
    true_row: Int64
    particles: ParticleTable
    auc: float

    @property
    def n_true(self) -> int:
        """True edges of the selected particles: the denominator of the efficiency."""
        return len(self.is_found)

    @property
    def n_found(self) -> int:
        """Those that the graph has."""
        return int(np.count_nonzero(self.is_found))

    @property
    def efficiency(self) -> float:
        """True edges of selected particles that the graph has / true edges of selected particles."""
        return fraction(self.n_found, self.n_true)

    @property
    def purity(self) -> float:
        """Judged edges between hits of one particle, whichever / judged edges."""
        return fraction(self.n_same_particle, self.n_judged)

    @property
    def selected_purity(self) -> float:
        """The purity with edges of one particle that is not selected left out on both sides (ACORN: target purity)."""
        return fraction(*self.counts["selected_purity"])

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """Numerator and denominator of each rate, by its name."""
        others = self.n_same_particle - self.n_same_selected
        return {
            "efficiency": (self.n_found, self.n_true),
            "purity": (self.n_same_particle, self.n_judged),
            "selected_purity": (self.n_same_selected, self.n_judged - others),
        }

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Clopper-Pearson interval (68.3 %) of each rate, by its name."""
        return rate_intervals(self.counts)

    def binned(self, variable: str, edges: Any, level: float = ONE_SIGMA) -> BinnedEfficiency:
        """Efficiency in bins of the particle's pt [GeV], eta, phi [rad] or production radius [mm]."""
        check_variable(variable)
        values = getattr(self.particles, variable)[self.true_row]
        return bin_efficiency(variable, values, self.is_found, edges, level)

    def __str__(self) -> str:
        intervals = self.intervals
        rows = [(name.replace("_", " "), *pair, *intervals[name]) for name, pair in self.counts.items()]
        head = f"particles: {self.selection}; {self.n_edges} edges, {self.n_judged} between hits of known truth"
        text = head + "\n" + table(rows)
        return text if np.isnan(self.auc) else f"{text}\nAUC {self.auc:.6f}"


def match_edges(
    edge_index: Any,
    truth: Truth,
    *,
    hits: Hits | None = None,
    scores: Any = None,
    min_pt: float | None = 1.0,
    min_hits: int = 3,
    eta_max: float | None = 4.0,
    primary_only: bool = True,
    min_layers: int = 0,
    hit_mask: Bool | None = None,
) -> EdgeMatches:
    """Compare the edges of a graph with the true ones (see `find_true_edges`); their direction does not matter.

    Edges with a hit of unknown truth, or outside `hit_mask`, are not judged. The selection, as in `match_tracks`,
    applies to the efficiency and to `selected_purity`. Efficiency asks for the very pairs of the definition; purity
    accepts any two hits of one particle, so that edges over a layer or to the second hit of an overlap are pure. An
    edge from a hit to itself is not; of edges that are there twice each counts.

    Args:
        edge_index: int64 (2, n_edges), or a graph with such an `edge_index`.
        truth: truth of the event's hits.
        hits: the event's hits, whose distances and layers decide which edges are true; a graph brings them along.
        scores: (n_edges,), one per edge, for the AUC.
        min_pt, min_hits, eta_max, primary_only, min_layers, hit_mask: as for `match_tracks`.

    Raises:
        TypeError: a bare edge_index without hits, or scores that are no real numbers.
        ValueError: wrong shapes, indices outside the event, a particle's hit without a finite position, or a selection
            that needs what is not there.
    """
    if hits is None:
        hits = getattr(edge_index, "hits", None)
    if not isinstance(hits, Hits):
        raise TypeError(f"hits: expected the event's Hits beside an edge_index, got {type(hits).__name__}")
    source, target = check_edges(edge_index, len(hits))
    selection = Selection(min_pt, min_hits, eta_max, primary_only, min_layers)
    judged = judged_hits(truth, hit_mask)
    particles, row = summarize_particles(truth, judged, selection, hits)
    selected = selection.apply(particles)
    true_edges = _order_edges(row, particles, hits)
    true_edges = true_edges[:, selected[row[true_edges[0]]]]

    edge_judged = judged[source] & judged[target]
    same = (row[source] == row[target]) & (row[source] >= 0) & (source != target)
    n_same_selected = int(np.count_nonzero(selected[row[source[same]]]))
    found = np.isin(
        _edge_keys(true_edges[0], true_edges[1], len(hits)), _edge_keys(source[same], target[same], len(hits))
    )
    auc = float("nan")
    if scores is not None:
        values = np.asarray(scores)
        _check_scores(values, source.shape, "one score per edge")
        auc = area_under_curve(values[edge_judged], same[edge_judged])
    return EdgeMatches(
        selection=selection,
        n_edges=len(source),
        n_judged=int(np.count_nonzero(edge_judged)),
        n_same_particle=int(np.count_nonzero(same)),
        n_same_selected=n_same_selected,
        is_found=found,
        true_edges=true_edges,
        true_row=row[true_edges[0]],
        particles=particles,
        auc=auc,
    )


def find_true_edges(truth: Truth, hits: Hits, hit_mask: Bool | None = None) -> Int64:
    """True edges of all particles: pairs of hits that follow each other on the way outward.

    A particle's judged hits are ordered by 3-D distance from its production vertex (from the origin where the event's
    table does not have it; ties by index). Of several hits on one (volume, layer) only the first is kept: overlapping
    modules and curling tracks give no edges within a layer. Each hit then has an edge to the next. This is the rule by
    which a module map is built from truth (ACORN; GNN4ITk ModuleMapGraph).

    Returns:
        int64 (2, n), inner and outer hit, by particle_id and then outward.

    Raises:
        TypeError: truth or hits of another type.
        ValueError: other hits than the truth is of, or a particle's hit without a finite position.
    """
    if not isinstance(hits, Hits):
        raise TypeError(f"hits: expected the event's Hits, got {type(hits).__name__}")
    nothing = Selection(None, 0, None, False, 0)
    particles, row = summarize_particles(truth, judged_hits(truth, hit_mask), nothing, hits)
    return _order_edges(row, particles, hits)


def perfect_scores(edge_index: Any, truth: Truth, *, unknown: float = 0.0) -> Float32:
    """Scores of a network that makes no mistake: 1 where both hits are of one particle, else 0.

    Noise (particle_id 0) is no particle: edges between noise hits score 0. With these in place of a network's scores,
    graph and track building show the ceiling that they set.

    Args:
        edge_index: int64 (2, n_edges), or a graph with such an `edge_index`.
        truth: truth of the hits.
        unknown: score of edges of which a hit has no known truth. With 0, tracks of partial truth hold known hits only.

    Returns:
        float32 (n_edges,).
    """
    if not 0 <= require_number("unknown", unknown) <= 1:
        raise ValueError(f"unknown: expected a score from 0 to 1, got {unknown}")
    source, target = check_edges(edge_index, len(check_truth(truth).particle_id))
    particle = truth.particle_id
    known = truth.known[source] & truth.known[target]
    same = known & (particle[source] == particle[target]) & (particle[source] != 0)
    scores: Float32 = np.full(len(source), unknown, np.float32)
    scores[known] = same[known]
    return scores


def area_under_curve(scores: Any, positive: Bool) -> float:
    """Probability that a positive scores above a negative, ties counted half (Mann-Whitney); NaN if a side is empty.

    Scores that are NaN or infinite count as the lowest of all: track building drops such edges.

    Args:
        scores: real numbers (n,).
        positive: bool (n,).

    Raises:
        TypeError: scores that are no real numbers, or positive that is not bool.
        ValueError: other dimensions than one, or different lengths.
    """
    scores, positive = np.asarray(scores), np.asarray(positive)
    if positive.dtype != np.bool_:
        raise TypeError(f"positive: expected bool (n,), got {positive.dtype} {positive.shape}")
    if positive.ndim != 1:
        raise ValueError(f"positive: expected bool (n,), got shape {positive.shape}")
    _check_scores(scores, positive.shape, "as positive")
    n_positive = int(np.count_nonzero(positive))
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    ranked = np.where(np.isfinite(scores), scores, -np.inf)
    _, group, size = np.unique(ranked, return_inverse=True, return_counts=True)
    rank: Float64 = np.cumsum(size) - 0.5 * (size - 1)
    above = float(rank[group[positive]].sum()) - 0.5 * n_positive * (n_positive + 1)
    return above / (n_positive * n_negative)


def _check_scores(scores: NDArray[Any], shape: tuple[int, ...], reason: str) -> None:
    if scores.dtype.kind not in "fiu":
        raise TypeError(f"scores: expected real numbers, got {scores.dtype} {scores.shape}")
    if scores.shape != shape:
        raise ValueError(f"scores: expected shape {shape}, {reason}, got {scores.shape}")


def check_edges(edge_index: Any, n_hits: int) -> tuple[Int64, Int64]:
    """Source and target of an edge_index, or of a graph's; refuses wrong shapes, types and indices."""
    edges = getattr(edge_index, "edge_index", edge_index)
    if not isinstance(edges, np.ndarray):
        raise TypeError(f"edge_index: expected a NumPy array int64 (2, n_edges), got {type(edges).__name__}")
    if edges.dtype != np.int64 or edges.ndim != 2 or edges.shape[0] != 2:
        raise ValueError(f"edge_index: expected int64 (2, n_edges), got {edges.dtype} {edges.shape}")
    if edges.size and (edges.min() < 0 or edges.max() >= n_hits):
        raise ValueError(f"edge_index: expected indices from 0 to {n_hits - 1}, got {edges.min()} to {edges.max()}")
    return edges[0], edges[1]


def _order_edges(row: Int64, particles: ParticleTable, hits: Hits) -> Int64:
    index = np.flatnonzero(row >= 0)
    owner = row[index]
    point = np.stack([hits.x[index], hits.y[index], hits.z[index]], axis=1).astype(np.float64)
    lost = np.flatnonzero(~np.isfinite(point).all(axis=1))
    if len(lost):
        hit = index[lost[0]]
        position = f"({hits.x[hit]}, {hits.y[hit]}, {hits.z[hit]})"
        raise ValueError(f"hits: expected finite positions to order a particle's hits by, got {position} for hit {hit}")
    distance = np.sum((point - particles.vertex[owner]) ** 2, axis=1)
    order = np.lexsort((index, distance, owner))
    index, owner = index[order], owner[order]
    first = _first_on_layer(owner, layer_ids(hits)[index])
    index, owner = index[first], owner[first]
    follows = owner[1:] == owner[:-1]
    return np.stack([index[:-1][follows], index[1:][follows]])


def _first_on_layer(owner: Int64, layer: UInt64) -> Int64:
    names, number = np.unique(layer, return_inverse=True)
    first = np.unique(owner * len(names) + number, return_index=True)[1]
    return np.sort(first)


def _edge_keys(a: Int64, b: Int64, n_hits: int) -> Int64:
    return np.asarray(np.minimum(a, b) * n_hits + np.maximum(a, b), np.int64)
