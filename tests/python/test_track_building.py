"""Track building against its slow definition, and each rule on a graph made by hand."""

from __future__ import annotations

import pickle
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rheinfall as rf
from rheinfall.reference import track_building as reference
from rheinfall.tracking.track_building import METHODS

DEFAULT_CUT = {"components": 0.5, "mutual_best": 0.5, "junction_removal": 0.5}
METHODS_OF_EDGES = tuple(m for m in METHODS if m != "layer_merge")  # which asks for hits as well
CHAIN = [(0, 1), (1, 2), (2, 3)]


def edge_index_of(edges):
    return np.ascontiguousarray(np.array(edges, dtype=np.int64).reshape(-1, 2).T)


def build(edges, scores, method="mutual_best", **options):
    return rf.build_tracks(edge_index_of(edges), np.array(scores, dtype=np.float32), method, **options)


def as_lists(tracks):
    return [track.tolist() for track in tracks]


def random_graph(rng, *, cyclic=False):
    """Up to 14 hits in random order of depth; scores on a coarse grid, so that ties abound and sums are exact."""
    n_nodes = int(rng.integers(1, 15))
    n_edges = int(rng.integers(0, 31))
    rank = rng.permutation(n_nodes)
    edges = []
    for a, b in rng.integers(0, n_nodes, (n_edges, 2)).tolist():
        if cyclic or a == b:
            edges += [(a, b)] if cyclic else []
        else:
            edges.append((a, b) if rank[a] < rank[b] else (b, a))
    scores = rng.choice([0.0, 0.0625, 0.25, 0.5, 0.625, 0.75, 0.875, 1.0], len(edges)).astype(np.float32)
    return edges, scores, n_nodes, rank


def random_hits(rng, n_nodes):
    xyz = rng.choice([-1.0, 0.0, 1.0, 2.0], (3, n_nodes)).astype(np.float32)  # many equal distances
    return SimpleNamespace(x=xyz[0].copy(), y=xyz[1].copy(), z=xyz[2].copy()), (xyz.astype(np.float64) ** 2).sum(axis=0)


@pytest.mark.parametrize("method", METHODS_OF_EDGES)
@pytest.mark.parametrize("block", range(10))
def test_equals_its_definition_on_a_thousand_graphs(method, block):
    for seed in range(100 * block, 100 * block + 100):
        check_against_definition(method, seed)


def check_against_definition(method, seed):
    rng = np.random.default_rng(seed)
    edges, scores, n_nodes, _ = random_graph(rng)
    hits, distance = random_hits(rng, n_nodes)
    with_hits = bool(seed % 2)
    options = {
        "score_cut": DEFAULT_CUT.get(method, 0.01) if seed % 3 else 0.25,
        "min_length": int(rng.integers(1, 4)),
    }
    expected = reference.build_tracks(
        edges, scores, n_nodes, method, distance=distance if with_hits else None, **options
    )
    tracks = build(edges, scores, method, n_nodes=n_nodes, hits=hits if with_hits else None, **options)
    assert as_lists(tracks) == expected
    shuffled = rng.permutation(len(edges))
    again = build(
        [edges[i] for i in shuffled],
        scores[shuffled],
        method,
        n_nodes=n_nodes,
        hits=hits if with_hits else None,
        **options,
    )
    assert as_lists(again) == expected
    labels = np.full(n_nodes, -1)
    for number, track in enumerate(expected):
        labels[track] = number
    np.testing.assert_array_equal(tracks.labels, labels)


@pytest.mark.parametrize("method", METHODS_OF_EDGES)
@pytest.mark.parametrize("block", range(10))
def test_equals_its_definition_on_a_thousand_graphs_with_cycles(method, block):
    for seed in range(100 * block, 100 * block + 100):
        check_against_definition_with_cycles(method, seed)


def check_against_definition_with_cycles(method, seed):
    rng = np.random.default_rng(seed)
    edges, scores, n_nodes, _ = random_graph(rng, cyclic=True)
    hits, distance = random_hits(rng, n_nodes)
    options = {"score_cut": DEFAULT_CUT.get(method, 0.01), "min_length": 1}
    given_hits, given_distance = (hits, distance) if seed % 2 else (None, None)
    expected = reference.build_tracks(
        edges, scores, n_nodes, method, distance=given_distance, break_cycles=True, **options
    )
    tracks = build(edges, scores, method, n_nodes=n_nodes, hits=given_hits, on_cycle="break", **options)
    assert as_lists(tracks) == expected
    try:
        reference.build_tracks(edges, scores, n_nodes, method, **options)
    except reference.CycleError as error:
        assert tracks.status == "cycle"
        named = ", ".join(map(str, error.hits[:10]))
        with pytest.raises(ValueError, match=f"{len(error.hits)} hits lie on cycles: {named}"):
            build(edges, scores, method, n_nodes=n_nodes, **options)
        quiet = build(edges, scores, method, n_nodes=n_nodes, on_cycle="status", **options)
        assert (len(quiet), len(quiet.hits), quiet.status) == (0, 0, "cycle")
        assert (quiet.labels == -1).all()
    else:
        assert tracks.status != "cycle"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 64)), max_size=25),
    st.sampled_from(METHODS_OF_EDGES),
    st.integers(0, 64),
    st.integers(0, 64),
    st.integers(0, 64),
)
def test_equals_its_definition_at_any_thresholds(triples, method, cut, low, high):
    edges = [(min(a, b), max(a, b)) for a, b, _ in triples if a != b]
    scores = [s / 64 for a, b, s in triples if a != b]
    options = {"score_cut": cut / 64, "walk_min": low / 64, "walk_add": high / 64, "sure": high / 64, "min_length": 2}
    expected = reference.build_tracks(edges, scores, 10, method, **options)
    assert as_lists(build(edges, scores, method, n_nodes=10, **options)) == expected


def test_components_keep_what_is_above_the_cut_only():
    scores = [0.75, 0.5, 0.75]  # exactly on the cut is out
    assert as_lists(build(CHAIN, scores, "components", min_length=2)) == [[0, 1], [2, 3]]
    assert as_lists(build(CHAIN, scores, "components", min_length=2, score_cut=0.4999)) == [[0, 1, 2, 3]]


def test_thresholds_are_compared_as_float32():
    # float32(0.6) is above 0.6: a score that was written as the cut must not pass it
    assert len(build(CHAIN, [0.6] * 3, "components", score_cut=0.6)) == 0


def test_mutual_best_cuts_the_weaker_branch_unless_it_is_sure():
    edges = [(0, 1), (1, 2), (1, 3), (3, 4), (4, 5)]
    assert as_lists(build(edges, [0.9, 0.9, 0.7, 0.9, 0.9])) == [[0, 1, 2], [3, 4, 5]]
    assert as_lists(build(edges, [0.9, 0.9, 0.75, 0.9, 0.9])) == [[0, 1, 2], [3, 4, 5]]
    assert as_lists(build(edges, [0.9, 0.9, 0.76, 0.9, 0.9])) == [[0, 1, 2, 3, 4, 5]]
    assert as_lists(build(edges, [0.9, 0.9, 0.76, 0.9, 0.9], "junction_removal")) == [[0, 1, 2], [3, 4, 5]]


def test_mutual_best_needs_both_ends():
    # 2's best way in is from 1, but 1's best way out is to 3
    edges = [(0, 1), (1, 2), (1, 3), (4, 2), (2, 5)]
    assert as_lists(build(edges, [0.7, 0.7, 0.74, 0.6, 0.7], min_length=2)) == [[0, 1, 3], [2, 5]]


def test_ties_go_to_the_smaller_index():
    assert as_lists(build([(0, 2), (0, 1)], [0.6, 0.6], min_length=2)) == [[0, 1]]
    assert as_lists(build([(1, 2), (0, 2)], [0.6, 0.6], min_length=2)) == [[0, 2]]


def test_walk_prefers_hits_then_the_last_score_then_the_smaller_last_hit():
    edges = [(0, 1), (1, 2), (0, 3), (3, 4)]
    assert as_lists(build([*edges, (4, 5)], [0.7, 0.99, 0.7, 0.7, 0.7], "walk")) == [[0, 3, 4, 5]]
    assert as_lists(build(edges, [0.9, 0.8, 0.7, 0.85], "walk")) == [[0, 3, 4]]
    assert as_lists(build(edges, [0.7, 0.8, 0.9, 0.8], "walk")) == [[0, 1, 2]]


def test_walk_looks_again_after_hits_have_retired():
    # 0 takes 2; then the best neighbour of 1 is 4, which `walk_add` alone would not admit
    edges = [(0, 2), (2, 3), (1, 2), (1, 4), (4, 5)]
    assert as_lists(build(edges, [0.9, 0.9, 0.9, 0.2, 0.9], "walk")) == [[0, 2, 3], [1, 4, 5]]


def test_walk_retires_the_first_hit_alone_where_the_path_is_short():
    # 0 -> 2 is too short and leaves 2 to nobody; 1 takes it
    edges = [(0, 3), (1, 2), (2, 3)]
    assert as_lists(build(edges, [0.9, 0.9, 0.9], "walk")) == [[1, 2, 3]]


def test_cc_and_walk_keeps_a_chain_that_the_walk_would_cut():
    scores = [0.9, 0.05, 0.9]  # 0.05 is above the cut, below walk_min
    assert as_lists(build(CHAIN, scores, "cc_and_walk")) == [[0, 1, 2, 3]]
    assert as_lists(build(CHAIN, scores, "walk", min_length=2)) == [[0, 1], [2, 3]]


def test_d_walk_takes_the_heaviest_path_where_the_walk_takes_the_first():
    edges = [(0, 2), (1, 2), (2, 3)]
    scores = [0.7, 0.9, 0.9]
    assert as_lists(build(edges, scores, "walk")) == [[0, 2, 3]]
    assert as_lists(build(edges, scores, "d_walk")) == [[1, 2, 3]]


def test_all_methods_differ_on_one_graph():
    junction = [(0, 1), (1, 2), (2, 3), (1, 4), (4, 5), (5, 6), (7, 4)], [0.7, 0.74, 0.9, 0.7, 0.95, 0.9, 0.9]
    two_sure_ways = [(8, 9), (9, 10), (9, 11), (11, 12)], [0.6, 0.8, 0.78, 0.7]
    weak_chain = [(13, 14), (14, 15)], [0.9, 0.05]
    two_starts = [(16, 18), (17, 18), (18, 19)], [0.7, 0.9, 0.9]
    edges = [edge for part in (junction, two_sure_ways, weak_chain, two_starts) for edge in part[0]]
    scores = [score for part in (junction, two_sure_ways, weak_chain, two_starts) for score in part[1]]
    results = {method: str(as_lists(build(edges, scores, method, min_length=2))) for method in METHODS_OF_EDGES}
    assert len(set(results.values())) == len(METHODS_OF_EDGES), results


def test_hits_of_a_track_are_ordered_by_distance_from_the_origin():
    hits = SimpleNamespace(
        x=np.array([40, 10, 30, 20], np.float32), y=np.zeros(4, np.float32), z=np.array([0, 0, 0, -50], np.float32)
    )
    assert as_lists(build(CHAIN, [0.9] * 3, hits=hits)) == [[1, 2, 0, 3]]
    assert as_lists(build([(3, 1), (1, 0), (0, 2)], [0.9] * 3)) == [[3, 1, 0, 2]]  # without hits: topologically


def test_orient_turns_edges_outward():
    hits = SimpleNamespace(x=np.arange(1, 5, dtype=np.float32), y=np.zeros(4, np.float32), z=np.zeros(4, np.float32))
    edges = [(1, 0), (1, 2), (3, 2)]
    assert as_lists(build(edges, [0.9] * 3, "walk", hits=hits)) == []
    assert as_lists(build(edges, [0.9] * 3, "walk", hits=hits, orient=True)) == [[0, 1, 2, 3]]
    with pytest.raises(ValueError, match="orient: the hits are needed"):
        build(edges, [0.9] * 3, "walk", orient=True)


def test_scores_that_are_not_finite_are_not_used():
    tracks = build([*CHAIN, (0, 2)], [0.9, 0.9, np.nan, np.inf], "components")
    assert as_lists(tracks) == [[0, 1, 2]]
    assert tracks.status == "not_finite"


@pytest.mark.parametrize("value", ["-2.5", "1.0000001", "-1e-45"])
def test_scores_outside_0_and_1_are_refused(value):
    edges = np.stack([np.arange(100), np.arange(1, 101)])
    scores = np.full(100, 0.5, np.float32)
    scores[:4] = 0, -0.0, 1, np.inf
    assert rf.build_tracks(edges, scores).status == "not_finite"
    scores[[77, 90]] = np.float32(value), 9
    message = f"scores: that of edge 77 is {value}, expected 0 <= score <= 1, as a sigmoid makes of logits"
    for call in (
        lambda: rf.build_tracks(edges, scores),
        lambda: rf.build_tracks(SimpleNamespace(edge_index=edges, n_nodes=101), scores, "components"),
        lambda: rf.build_tracks_like("acorn", edges, scores, 101),
        lambda: rf.build_tracks_like("acts", edges, scores, 101),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            call()


def test_hits_that_are_not_finite_are_in_no_edge():
    hits = SimpleNamespace(
        x=np.array([1, 2, 3, np.nan], np.float32), y=np.zeros(4, np.float32), z=np.zeros(4, np.float32)
    )
    for method in METHODS_OF_EDGES:
        tracks = build(CHAIN, [0.9] * 3, method, hits=hits)
        assert as_lists(tracks) == [[0, 1, 2]]
        assert tracks.status == "not_finite"


@pytest.mark.parametrize("method", METHODS_OF_EDGES)
def test_empty(method):
    for n_nodes in (0, 5):
        tracks = build([], [], method, n_nodes=n_nodes)
        assert (len(tracks), tracks.status, tracks.labels.tolist()) == (0, "empty", [-1] * n_nodes)
        assert tracks.offsets.tolist() == [0]
    assert as_lists(build([], [], method, n_nodes=2, min_length=1)) == [[0], [1]]


@pytest.mark.parametrize("method", METHODS_OF_EDGES)
def test_threads_do_not_matter(method):
    rng = np.random.default_rng(3)
    n = 60_000
    source = np.arange(n - 3)
    edge_index = np.ascontiguousarray(np.stack([source, source + rng.integers(1, 4, len(source))]))
    scores = rng.random(len(source), dtype=np.float32)
    xyz = rng.normal(size=(3, n)).astype(np.float32)
    hits = SimpleNamespace(x=xyz[0].copy(), y=xyz[1].copy(), z=xyz[2].copy())
    before = rf.get_num_threads()
    results = []
    try:
        for n_threads in (1, 2, 8):
            rf.set_num_threads(n_threads)
            results.append(rf.build_tracks(edge_index, scores, method, hits=hits, score_cut=0.3))
    finally:
        rf.set_num_threads(before)
    for tracks in results[1:]:
        np.testing.assert_array_equal(tracks.hits, results[0].hits)
        np.testing.assert_array_equal(tracks.offsets, results[0].offsets)


@pytest.mark.parametrize("method", METHODS_OF_EDGES)
def test_a_chain_of_1e5_hits_is_one_track(method):
    n = 100_000
    order = np.random.default_rng(1).permutation(n)
    edge_index = np.ascontiguousarray(np.stack([order[:-1], order[1:]]))
    tracks = rf.build_tracks(edge_index, np.full(n - 1, 0.9, np.float32), method)
    assert len(tracks) == 1
    np.testing.assert_array_equal(tracks[0], order)


@pytest.mark.parametrize("method", METHODS_OF_EDGES)
def test_many_paths_do_not_blow_up(method):
    # 40 layers of 15 hits, all edges between neighbouring layers: 15^40 paths
    layers = np.arange(600).reshape(40, 15)
    source, target = (
        np.concatenate([np.repeat(a, 15) for a in layers[:-1]]),
        np.concatenate([np.tile(b, 15) for b in layers[1:]]),
    )
    scores = np.random.default_rng(2).uniform(0.61, 0.99, len(source)).astype(np.float32)
    tracks = rf.build_tracks(np.ascontiguousarray(np.stack([source, target])), scores, method)
    if method in ("walk", "cc_and_walk", "d_walk"):
        assert sum(len(track) == 40 for track in tracks) >= 1
    bipartite = np.stack([np.repeat(np.arange(300), 300), np.tile(np.arange(300, 600), 300)])
    dense = rf.build_tracks(bipartite, np.full(90_000, 0.9, np.float32), method, min_length=2)
    assert len(dense.hits) == 600 if method in ("components", "mutual_best") else len(dense.hits) > 0


def test_tracks_container():
    tracks = build([(0, 1), (1, 2), (3, 4), (4, 5), (5, 6)], [0.9] * 5)
    assert len(tracks) == 2
    assert tracks[-1].tolist() == [3, 4, 5, 6]
    assert [len(track) for track in tracks] == tracks.lengths.tolist() == [3, 4]
    assert tracks.labels.dtype == tracks.hits.dtype == tracks.offsets.dtype == np.int64
    with pytest.raises(IndexError, match="index 2 is out of range for 2 tracks"):
        tracks[2]
    copy = pickle.loads(pickle.dumps(tracks))
    assert as_lists(copy) == as_lists(tracks)
    assert copy.status == tracks.status
    long = tracks.select(tracks.lengths > 3)
    assert as_lists(long) == [[3, 4, 5, 6]]
    assert long.labels.tolist() == [-1, -1, -1, 0, 0, 0, 0]


def test_tracks_to_awkward():
    ak = pytest.importorskip("awkward")
    array = build(CHAIN, [0.9] * 3).to_awkward()
    assert ak.to_list(array) == [[0, 1, 2, 3]]
    assert str(ak.type(array)) == "1 * var * int64"


def test_a_graph_brings_its_size_hits_and_status():
    hits = SimpleNamespace(x=np.array([3, 2, 1], np.float32), y=np.zeros(3, np.float32), z=np.zeros(3, np.float32))
    graph = SimpleNamespace(edge_index=edge_index_of([(0, 1), (1, 2)]), n_nodes=3, hits=hits, status="unknown_modules")
    tracks = rf.build_tracks(graph, np.full(2, 0.9, np.float32))
    assert as_lists(tracks) == [[2, 1, 0]]
    assert tracks.status == "unknown_modules"
    with pytest.raises(ValueError, match="the graph has 3 nodes, got 4"):
        rf.build_tracks(graph, np.full(2, 0.9, np.float32), n_nodes=4)


EDGES = edge_index_of(CHAIN)
SCORES = np.full(3, 0.9, np.float32)


@pytest.mark.parametrize(
    ("edge_index", "scores", "options", "error", "message"),
    [
        (EDGES.astype(np.int32), SCORES, {}, TypeError, "edge_index: expected a C-contiguous 2-D int64.*got int32"),
        (EDGES.tolist(), SCORES, {}, TypeError, "edge_index: .*got list"),
        (EDGES[0].copy(), SCORES, {}, ValueError, "edge_index: .*got shape"),
        (np.asfortranarray(EDGES), SCORES, {}, ValueError, "edge_index: .*strides"),
        (np.ascontiguousarray(EDGES.T), SCORES, {}, ValueError, r"expected shape \(2, n_edges\), got \(3, 2\)"),
        (EDGES, SCORES.astype(np.float64), {}, TypeError, "scores: .*float32.*got float64"),
        (EDGES, SCORES[:2].copy(), {}, ValueError, "scores: expected 3 values, one per edge, got 2"),
        (EDGES, SCORES, {"n_nodes": 3}, ValueError, r"target of edge 2 is 3, expected 0 <= index < 3"),
        (EDGES - 1, SCORES, {}, ValueError, "source of edge 0 is -1"),
        (EDGES, SCORES, {"n_nodes": -1}, ValueError, "n_nodes: expected at least 0"),
        (EDGES, SCORES, {"method": "best"}, ValueError, "method: expected one of components, mutual_best.*got 'best'"),
        (EDGES, SCORES, {"min_length": 0}, ValueError, "min_length: expected at least 1, got 0"),
        (EDGES, SCORES, {"on_cycle": "cut"}, ValueError, "on_cycle: expected one of raise, status, break; got 'cut'"),
        (EDGES, SCORES, {"score_cut": float("nan")}, ValueError, "score_cut: expected a number"),
        (EDGES, SCORES, {"method": "d_walk", "walk_min": -1.0}, ValueError, "d_walk: expected walk_min"),
        (EDGES, SCORES, {"method": None}, TypeError, "^method: expected one of components.*; got None"),
        (EDGES, SCORES, {"method": ["walk"]}, TypeError, r"^method: expected one of components.*; got \['walk'\]"),
        (EDGES, SCORES, {"n_nodes": 4.0}, TypeError, r"^n_nodes: expected an integer, got 4\.0"),
        (EDGES, SCORES, {"n_nodes": "4"}, TypeError, "^n_nodes: expected an integer, got '4'"),
        (EDGES, SCORES, {"n_nodes": True}, TypeError, "^n_nodes: expected an integer, got True"),
        (EDGES, SCORES, {"n_nodes": 10**30}, ValueError, "^n_nodes: expected at most 4294967294, got 1000"),
        (EDGES + 2**32, SCORES, {}, ValueError, "^edge_index: expected indices below 4294967294, got 4294967299"),
        (EDGES, SCORES, {"min_length": 10**30}, ValueError, "^min_length: expected at most 92233"),
        (EDGES, SCORES, {"min_length": True}, TypeError, "^min_length: expected an integer, got True"),
        (EDGES, SCORES, {"shared_layers": True}, TypeError, "^shared_layers: expected an integer, got True"),
        (EDGES, SCORES, {"sure": True}, TypeError, "^sure: expected a number, got True"),
        (EDGES, SCORES, {"score_cut": 1e300}, ValueError, r"^score_cut: expected a number from -3\.4.*got 1e\+300"),
        (EDGES, SCORES, {"weak": -(10**400)}, ValueError, r"^weak: expected a number from -3\.4.*got -1000"),
        (EDGES, SCORES, {"orient": "yes"}, TypeError, "^orient: expected True or False, got 'yes'"),
        (EDGES, SCORES, {"orient": None}, TypeError, "^orient: expected True or False, got None"),
        (EDGES, SCORES, {"report": 1}, TypeError, "^report: expected True or False, got 1"),
        (EDGES, SCORES, {"on_cycle": None}, TypeError, "^on_cycle: expected one of raise, status, break; got None"),
        (EDGES, SCORES, {"hits": 5}, TypeError, "^hits: expected an object with float32 arrays x, y, z .*, got int"),
        (SimpleNamespace(edge_index=EDGES, n_nodes=4.7), SCORES, {}, TypeError, r"^graph\.n_nodes: .*got 4\.7"),
        (SimpleNamespace(edge_index=EDGES), SCORES, {}, TypeError, r"^graph\.n_nodes: expected an integer, got None"),
        (
            SimpleNamespace(edge_index=EDGES, n_nodes=4, status="fine"),
            SCORES,
            {},
            ValueError,
            r"^graph\.status: expected one of ok, empty.*; got 'fine'",
        ),
    ],
)
def test_wrong_calls(edge_index, scores, options, error, message):
    with pytest.raises(error, match=message):
        rf.build_tracks(edge_index, scores, **options)


def test_infinite_thresholds_are_legal():
    assert len(build(CHAIN, SCORES, score_cut=-np.inf)) == 1
    assert len(build(CHAIN, SCORES, score_cut=np.float32(np.inf))) == 0


def test_too_many_hits_for_the_memory_are_named(monkeypatch):
    def refuse(*arguments):
        raise MemoryError("std::bad_alloc")

    monkeypatch.setattr("rheinfall._core.build_tracks", refuse)
    message = f"^n_nodes: not enough memory for {2**31 + 4} hits, the largest index of edge_index is {2**31 + 3}$"
    with pytest.raises(MemoryError, match=message):
        rf.build_tracks(EDGES + 2**31, SCORES)


def test_hits_of_the_wrong_size_or_type():
    good = np.zeros(4, np.float32)
    with pytest.raises(ValueError, match=r"hits\.y: expected 4 values, got 3"):
        build(CHAIN, SCORES, hits=SimpleNamespace(x=good, y=good[:3].copy(), z=good))
    with pytest.raises(TypeError, match=r"hits\.z: .*float32.*got float64"):
        build(CHAIN, SCORES, hits=SimpleNamespace(x=good, y=good, z=good.astype(np.float64)))
