"""Edges against truth: hand-made cases, and brute force on random events."""

from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

import rheinfall as rf
from metric_cases import EVERY, make_hits, make_particles, make_truth
from rheinfall import metrics


def test_true_edges_go_outward_from_the_vertex_and_skip_the_second_hit_of_a_layer() -> None:
    #         0   1   2   3   4 (noise), particle 1 outward: 2, 0, 3 (same layer as 0), 1
    hits = make_hits([50, 90, 30, 52, 70], [4, 6, 2, 4, 8])
    truth = make_truth([1, 1, 1, 1, 0])
    assert metrics.find_true_edges(truth, hits).tolist() == [[2, 0], [0, 1]]
    # Produced at x = 100, the order turns round; of the overlap the other hit is now first.
    displaced = make_truth([1, 1, 1, 1, 0], make_particles([1], vx=[100]))
    assert metrics.find_true_edges(displaced, hits).tolist() == [[1, 3], [3, 2]]
    # A hit of unknown truth does not bridge: its neighbours follow each other.
    unknown = make_truth([1, 1, 1, 1, 0], unknown=(0,))
    assert metrics.find_true_edges(unknown, hits).tolist() == [[2, 3], [3, 1]]
    assert metrics.find_true_edges(truth, hits, np.array([1, 0, 1, 1, 1], np.bool_)).tolist() == [[2], [0]]


def test_curling_track_has_no_edge_back_to_a_layer() -> None:
    hits = make_hits([10, 20, 30, 40], [2, 4, 2, 6])
    assert metrics.find_true_edges(make_truth([1, 1, 1, 1]), hits).tolist() == [[0, 1], [1, 3]]


def test_edge_efficiency_and_purity() -> None:
    particles = make_particles([1, 2], px=[2, 0.5])
    #      particle 1: 0-2, particle 2 (soft): 3-5, noise 6, unknown 7
    truth = make_truth([1, 1, 1, 2, 2, 2, 0, 1], particles, unknown=(7,))
    hits = make_hits([10, 20, 30, 10, 20, 30, 15, 40])
    edges = np.array([[1, 0, 3, 0, 6, 2, 6], [0, 2, 4, 4, 1, 7, 6]])
    match = metrics.match_edges(edges, truth, hits=hits, scores=[0.9, 0.8, 0.8, 0.1, 0.8, 0.0, 0.2])
    assert match.n_edges == 7
    assert match.counts["efficiency"] == (1, 2)  # 1-0 in either direction; 0-2 is no true edge
    assert match.counts["purity"] == (3, 6)  # 0-2 is pure; 2-7 is not judged; noise is no particle
    assert match.counts["selected_purity"] == (2, 5)  # without the soft one
    assert match.true_edges.tolist() == [[0, 1], [1, 2]]
    assert match.is_found.tolist() == [True, False]
    assert match.auc == pytest.approx((3 + 2.5 + 2.5) / 9)
    assert match.binned("pt", [1, 3]).n_passed.tolist() == [1]
    assert "AUC" in str(match)
    softer = metrics.match_edges(SimpleNamespace(edge_index=edges), truth, hits=hits, min_pt=0.2)
    assert softer.counts["efficiency"] == (2, 4)
    assert math.isnan(softer.auc)
    assert "AUC" not in str(softer)


def test_no_edges() -> None:
    hits, truth = make_hits([10, 20]), make_truth([1, 1])
    match = metrics.match_edges(np.zeros((2, 0), np.int64), truth, hits=hits, scores=[], **EVERY)
    assert match.efficiency == 0
    assert math.isnan(match.purity)
    assert math.isnan(match.auc)
    empty = metrics.match_edges(np.zeros((2, 0), np.int64), make_truth([]), hits=make_hits([]), **EVERY)
    assert math.isnan(empty.efficiency)


def test_bad_edges_are_refused() -> None:
    hits, truth = make_hits([10, 20]), make_truth([1, 1])
    with pytest.raises(ValueError, match=r"edge_index: expected int64 \(2, n_edges\), got int64 \(3, 2\)"):
        metrics.match_edges(np.zeros((3, 2), np.int64), truth, hits=hits, **EVERY)
    with pytest.raises(ValueError, match="edge_index: expected indices from 0 to 1, got 0 to 2"):
        metrics.perfect_scores(np.array([[0], [2]]), truth)
    with pytest.raises(ValueError, match=r"scores: expected shape \(1,\), one score per edge, got \(2,\)"):
        metrics.match_edges(np.array([[0], [1]]), truth, hits=hits, scores=[1, 2], **EVERY)
    with pytest.raises(ValueError, match="hits: expected 2 hits as in truth, got 3"):
        metrics.match_edges(np.array([[0], [1]]), truth, hits=make_hits([1, 2, 3]), **EVERY)


def test_edges_agree_with_brute_force() -> None:
    rng = np.random.default_rng(21)
    for _ in range(60):
        n = int(rng.integers(2, 60))
        ids = rng.integers(0, 6, n).tolist()
        hits = make_hits(rng.permutation(n).astype(float).tolist(), rng.integers(0, 6, n).tolist())
        unknown = tuple(np.flatnonzero(rng.random(n) < 0.1).tolist())
        truth = make_truth(ids, unknown=unknown)
        edges = rng.integers(0, n, (2, 80))
        true: set[tuple[int, int]] = set()
        for particle in range(1, 6):
            kept: dict[int, int] = {}
            own = [h for h in range(n) if truth.known[h] and truth.particle_id[h] == particle]
            for hit in sorted(own, key=lambda h: hits.x[h]):
                kept.setdefault(int(hits.module_id[hit]) >> 36, hit)
            chain = list(kept.values())
            true |= set(pairwise(chain))
        got = metrics.find_true_edges(truth, hits)
        assert set(zip(*got.tolist(), strict=True)) == true
        assert len(got[0]) == len(true)
        match = metrics.match_edges(edges, truth, hits=hits, **EVERY)
        have = {tuple(sorted(e)) for e in edges.T.tolist()}
        assert match.counts["efficiency"] == (sum(tuple(sorted(e)) in have for e in true), len(true))
        judged = [(a, b) for a, b in edges.T if truth.known[a] and truth.known[b]]
        same = [e for e in judged if ids[e[0]] == ids[e[1]] != 0 and e[0] != e[1]]
        assert match.counts["purity"] == (len(same), len(judged))


def test_auc_counts_pairs() -> None:
    rng = np.random.default_rng(22)
    scores, positive = rng.integers(0, 10, 200).astype(np.float32), rng.random(200) < 0.3
    above = scores[positive][:, None] - scores[~positive][None, :]
    expected = np.mean(np.where(above > 0, 1, np.where(above == 0, 0.5, 0)))
    assert metrics.area_under_curve(scores, positive) == pytest.approx(expected, abs=1e-14)


def test_perfect_scores() -> None:
    truth = make_truth([1, 1, 2, 0, 0, 1], unknown=(5,))
    edges = np.array([[0, 1, 3, 0, 3, 5], [1, 2, 4, 5, 0, 3]])
    scores = metrics.perfect_scores(edges, truth)
    assert scores.dtype == np.float32
    assert scores.tolist() == [1, 0, 0, 0, 0, 0]
    assert metrics.perfect_scores(edges, truth, unknown=0.5).tolist() == [1, 0, 0, 0.5, 0, 0.5]


def test_a_graph_brings_its_hits_along_to_match_edges() -> None:
    event = next(iter(rf.simulation.simulate(1, pile_up=1, seed=5)))
    graph = rf.build_graph(event.hits, rf.ModuleMap.build([event]))
    with_hits = rf.metrics.match_edges(graph.edge_index, event.truth, hits=event.hits)
    assert with_hits.n_found > 0
    assert rf.metrics.match_edges(graph, event.truth).counts == with_hits.counts
    with pytest.raises(TypeError, match="hits"):
        rf.metrics.match_edges(graph.edge_index, event.truth)
