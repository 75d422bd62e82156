"""Track building as other codes do it, against every path enumerated as those codes enumerate them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import rheinfall as rf


def like(code, edges, scores, n, **options):
    edge_index = np.ascontiguousarray(np.array(edges, np.int64).reshape(-1, 2).T)
    tracks = rf.build_tracks_like(code, edge_index, np.array(scores, np.float32), n, **options)
    return [track.tolist() for track in tracks]


def ours(edges, scores, n, **options):
    edge_index = np.ascontiguousarray(np.array(edges, np.int64).reshape(-1, 2).T)
    tracks = rf.build_tracks(edge_index, np.array(scores, np.float32), "cc_and_walk", n_nodes=n, **options)
    return [track.tolist() for track in tracks]


def test_a_walk_of_two_hits_retires_both_in_acorn():
    # 0-1 is walked first, as 3 comes after; in ours 0 alone retires, and 1 is free for 3-1-2
    edges, scores = [(0, 1), (0, 4), (4, 5), (3, 6), (6, 1), (1, 2)], [0.9, 0.05, 0.9, 0.9, 0.9, 0.05]
    assert like("acorn", edges, scores, 7, min_length=2) == [[0, 1], [3, 6], [4, 5]]
    assert ours(edges, scores, 7) == [[3, 6, 1]]


def test_of_equally_long_walks_acorn_takes_the_worst_neighbours():
    edges, scores = [(0, 1), (0, 2), (1, 3), (2, 4)], [0.9, 0.7, 0.9, 0.9]
    assert like("acorn", edges, scores, 5) == [[0, 2, 4]]
    assert like("graph_segment", edges, scores, 5) == [[0, 1, 2, 3, 4]]  # at most two edges at each hit: a chain
    edges, scores = [*edges, (0, 5)], [*scores, 0.2]
    assert like("acorn", edges, scores, 6) == [[0, 2, 4]]
    assert like("graph_segment", edges, scores, 6) == [[0, 1, 3]]
    assert ours(edges, scores, 6) == [[0, 1, 3]]


def test_a_walk_of_graph_segment_ends_where_the_best_neighbour_is_taken():
    # 7-8-9-10 takes 8 first; 1 then wants 8 best of all, and does not turn to 2
    edges = [(7, 8), (8, 9), (9, 10), (1, 8), (1, 2), (0, 1), (2, 3)]
    scores = [0.9, 0.9, 0.9, 0.5, 0.4, 0.9, 0.9]
    assert like("graph_segment", edges, scores, 11) == [[7, 8, 9, 10]]
    scores[3] = 0.3
    assert like("graph_segment", edges, scores, 11) == [[7, 8, 9, 10], [0, 1, 2, 3]]


def test_cuts_are_strict_and_a_cut_below_keeps_what_is_at_it():
    edges, scores = [(0, 1), (1, 2)], [0.5, 0.5]
    for code in ("acorn", "graph_segment"):
        assert like(code, edges, scores, 3, score_cut=0.5) == []
        assert like(code, edges, scores, 3, score_cut=float(np.nextafter(np.float32(0.5), np.float32(-1)))) == [
            [0, 1, 2]
        ]
    assert like("acts", edges, scores, 4) == [[0], [1], [2], [3]]
    assert like("acts", edges, [0.6, 0.6], 4) == [[0, 1, 2], [3]]
    assert like("acts", edges, [0.6, 0.6], 4, min_length=3) == [[0, 1, 2]]


def test_nothing_and_cycles():
    for code in ("acorn", "graph_segment", "acts"):
        assert like(code, [], [], 0) == []
    assert like("acorn", [], [], 5) == like("graph_segment", [], [], 5) == []
    for code in ("acorn", "graph_segment"):
        with pytest.raises(ValueError, match="without cycles"):
            like(code, [(0, 1), (1, 2), (2, 0), (2, 3)], [0.9] * 4, 4)
    with pytest.raises(ValueError, match="n_nodes: expected at least 0, got -4"):
        rf.build_tracks_like("acorn", np.zeros((2, 0), np.int64), np.zeros(0, np.float32), -4)
    with pytest.raises(ValueError, match="expected one of acorn"):
        like("root", [], [], 0)


CODES = ["acorn", "graph_segment", "acts"]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"score_cut": float("nan")}, ValueError, "^score_cut: expected a number, got NaN$"),
        ({"score_cut": "a"}, TypeError, "^score_cut: expected a number, got 'a'$"),
        ({"score_cut": True}, TypeError, "^score_cut: expected a number, got True$"),
        ({"score_cut": 1e300}, ValueError, r"^score_cut: expected a number from .* or infinity, got 1e\+300$"),
        ({"walk_min": float("nan")}, ValueError, "^walk_min: expected a number, got NaN$"),
        ({"walk_add": []}, TypeError, r"^walk_add: expected a number, got \[\]$"),
        ({"min_length": 0}, ValueError, "^min_length of .*: expected at least [13], got 0$"),
        ({"min_length": 2.5}, TypeError, "^min_length of .*: expected an integer, got 2.5$"),
        ({"min_length": True}, TypeError, "^min_length of .*: expected an integer, got True$"),
    ],
)
def test_wrong_calls_are_refused_alike(code, options, error, message):
    with pytest.raises(error, match=message):
        like(code, [(0, 1), (1, 2)], [0.9, 0.9], 3, **options)


@pytest.mark.parametrize("code", CODES)
def test_none_stands_for_the_thresholds_of_the_code(code):
    edges, scores = [(0, 1), (1, 2), (1, 3), (4, 5)], [0.9, 0.65, 0.55, 0.05]
    nothing = dict.fromkeys(("score_cut", "walk_min", "walk_add", "min_length"))
    cuts = {"score_cut": 0.5} if code == "acts" else {"score_cut": 0.01, "walk_min": 0.1, "walk_add": 0.6}
    cuts["min_length"] = 1 if code == "acts" else 3
    assert like(code, edges, scores, 6, **nothing) == like(code, edges, scores, 6, **cuts) != []


def test_the_shortest_tracks_of_each_code():
    # 0 has two ways on, so that its component is walked: 0-1, then 2 alone; 3-4 is a component of two
    edges, scores = [(0, 1), (0, 2), (3, 4)], [0.9, 0.3, 0.9]
    assert like("acorn", edges, scores, 5) == []
    assert like("acorn", edges, scores, 5, min_length=2) == [[0, 1]]
    assert like("acorn", edges, scores, 5, min_length=1) == [[0, 1], [2]]
    for min_length in (1, 2):
        with pytest.raises(ValueError, match=f"^min_length of graph_segment: expected at least 3, got {min_length}$"):
            like("graph_segment", edges, scores, 5, min_length=min_length)


@pytest.mark.parametrize("code", CODES)
def test_scores_that_are_not_finite_and_the_status(code):
    def run(edges, scores, n):
        edge_index = np.array(edges, np.int64).reshape(-1, 2).T.copy()
        return rf.build_tracks_like(code, edge_index, np.array(scores, np.float32), n, min_length=3)

    for value in (np.nan, np.inf, -np.inf):
        tracks = run([(0, 1), (1, 2), (2, 3)], [0.9, 0.9, value], 4)
        assert ([track.tolist() for track in tracks], tracks.status) == ([[0, 1, 2]], "not_finite")
    assert run([(0, 1), (1, 2)], [0.9, 0.9], 3).status == "ok"
    assert [run([], [], n).status for n in (0, 1)] == ["empty", "empty"]
    one = rf.build_tracks_like(code, np.zeros((2, 0), np.int64), np.zeros(0, np.float32), 1)
    assert (len(one), one.status) == (code == "acts", "empty")


def test_deep_chains_do_not_recurse():
    n = 5000
    edges = [*itertools.pairwise(range(n)), *((i, i + 2) for i in range(n - 2))]
    scores = np.full(len(edges), 0.9)
    for code in ("acorn", "graph_segment"):
        assert like(code, edges, scores, n) == [list(range(n))]


def enumerate_roads(start, next_hits):
    """Breadth first, as both codes do it: every road, in their order."""
    roads, grown = [[start]], True
    while grown:
        grown, longer = False, []
        for road in roads:
            following = [] if road[-1] is None else next_hits(road)
            grown |= bool(following)
            longer += [[*road, hit] for hit in following] or [road]
        roads = longer
    return roads


def acorn_by_enumeration(edges, scores, n, walk_min, walk_add):
    networkx = pytest.importorskip("networkx")
    graph = networkx.DiGraph()
    graph.add_nodes_from(range(n))
    graph.add_weighted_edges_from((a, b, s) for (a, b), s in zip(edges, scores, strict=True) if s > 0.25)
    graph.remove_nodes_from(list(networkx.isolates(graph)))
    tracks = []
    for group in list(networkx.weakly_connected_components(graph)):
        if all(graph.out_degree(v) <= 1 and graph.in_degree(v) <= 1 for v in group):
            tracks += [sorted(group)] if len(group) > 2 else []
            graph.remove_nodes_from(group)
    used = set()

    def next_hits(road):
        free = [v for v in graph.successors(road[-1]) if v not in used]
        free.sort(key=lambda v: (graph[road[-1]][v]["weight"], v), reverse=True)
        weights = [graph[road[-1]][v]["weight"] for v in free]
        if not free or weights[0] <= walk_min:
            return []
        return free[:1] + [v for v, w in zip(free[1:], weights[1:], strict=True) if w > walk_add]

    for v in list(networkx.topological_sort(graph)):
        if v not in used:
            best = []
            for road in enumerate_roads(v, next_hits):
                best = road if len(road) >= len(best) else best
            used.update(best)
            tracks.append(best)
    return tracks


def graph_segment_by_enumeration(edges, scores, n, walk_min, walk_add):
    kept = [(a, b, s) for (a, b), s in zip(edges, scores, strict=True) if s > 0.25]
    joined = {v: {v} for v in range(n)}
    for a, b, _ in kept:
        union = joined[a] | joined[b]
        for v in union:
            joined[v] = union
    degree = [sum((a == v) + (b == v) for a, b, _ in kept) for v in range(n)]
    used, tracks = set(), []
    for v in range(n):
        if v == min(joined[v]) and len(joined[v]) >= 3 and all(degree[u] <= 2 for u in joined[v]):
            tracks.append(sorted(joined[v]))
            used |= joined[v]
    left = []

    def visit(v):
        if v not in left and v not in seen:
            seen.add(v)
            for a, b, _ in kept:
                if a == v:
                    visit(b)
            left.append(v)

    seen = set()
    for v in range(n):
        visit(v)

    def next_hits(road):
        near = [(b, s) for a, b, s in kept if a == road[-1] and s > walk_min]
        sure = [b for b, s in near if s > walk_add]
        if not sure and near:
            top = max(s for _, s in near)
            sure = [next(b for b, s in near if s == top)]
        return [b for b in sure if b not in used]

    for v in reversed(left):
        if v not in used:
            roads = enumerate_roads(v, next_hits)
            best = next(road for road in roads if len(road) == max(map(len, roads)))
            used.add(v)
            if len(best) >= 3:
                used.update(best)
                tracks.append(best)
    return tracks


def acts_by_enumeration(edges, scores, n, walk_min, walk_add):
    """BoostTrackBuilding: one candidate for each label of the components of what has a score above the cut."""
    label = list(range(n))
    changed = True
    while changed:
        changed = False
        for (a, b), score in zip(edges, scores, strict=True):
            if score > 0.25 and label[a] != label[b]:
                label[a] = label[b] = min(label[a], label[b])
                changed = True
    return [[v for v in range(n) if label[v] == track] for track in sorted(set(label))]


@pytest.mark.parametrize("code", ["acorn", "graph_segment", "acts"])
@pytest.mark.parametrize("block", range(5))
def test_agrees_with_enumeration(code, block):
    enumeration = {
        "acorn": acorn_by_enumeration,
        "graph_segment": graph_segment_by_enumeration,
        "acts": acts_by_enumeration,
    }[code]
    for seed in range(60 * block, 60 * block + 60):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 13))
        name = rng.permutation(n)  # edges need not lead to larger indices
        pairs = [(a, b) for a in range(n) for b in range(a + 1, n) if rng.random() < 0.3]
        edges = [(int(name[a]), int(name[b])) for a, b in pairs]
        edges = [edges[i] for i in rng.permutation(len(edges))]
        grid = rng.choice([0.25, 0.375, 0.5, 0.625, 0.75, 0.875], len(edges)) if seed % 2 else rng.random(len(edges))
        scores = grid.astype(np.float32).tolist()
        expected = enumeration(edges, scores, n, 0.375, 0.625)
        options = {"score_cut": 0.25, "walk_min": 0.375, "walk_add": 0.625}
        found = like(code, edges, scores, n, min_length=3 if code == "graph_segment" else 1, **options)
        assert sorted(map(sorted, found)) == sorted(map(sorted, expected)), seed
