"""Node features, edge features and the triplet chi² against NumPy, bit for bit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import rheinfall as rf
from rheinfall import _core
from rheinfall.event import Hits, encode_module_id
from rheinfall.reference import edge_features as reference
from rheinfall.tracking.graph import EDGE_FEATURES, NODE_FEATURES, Graph, TripletModel


@pytest.fixture(scope="module")
def graph():
    module_map = rf.ModuleMap.build(rf.simulation.simulate(20, pile_up=2, seed=2))
    event = next(iter(rf.simulation.simulate(1, pile_up=2, seed=1, signal=20)))
    model = TripletModel(resolution={8: (0.01, 0.02, 0.03), 13: (0.03, 0.3, 0.03)}, field=1.9, layer_x0=0.02)
    return rf.build_graph(event.hits, module_map, model)


@pytest.fixture(autouse=True)
def _restore_threads():
    before = _core.get_num_threads()
    yield
    rf.set_num_threads(before)


def assert_same_bits(values, expected):
    assert values.dtype == expected.dtype == np.float32
    assert values.shape == expected.shape
    np.testing.assert_array_equal(np.ascontiguousarray(values).view(np.uint32), expected.view(np.uint32))


def random_graph(seed):
    """Hits anywhere, equal ones and some on the beam line included, and edges between any of them."""
    rng = np.random.default_rng(seed)
    n = 60
    x, y, z = rng.normal(0, 100, (3, n)).astype(np.float32)
    x[:3] = y[:3] = 0
    x[5], y[5], z[5] = x[6], y[6], z[6]
    hits = Hits(x, y, z, encode_module_id(rng.integers(0, 256, n), 2, 1), np.arange(n, dtype=np.uint64))
    edges = np.unique(rng.integers(0, n, (200, 2)), axis=0)
    edges = edges[edges[:, 0] != edges[:, 1]]
    return Graph(np.ascontiguousarray(edges.T, np.int64), hits)


def test_features_of_a_simulated_event(graph):
    assert graph.n_edges > 200
    assert_same_bits(graph.node_features, reference.node_features(graph.hits))
    chi2 = reference.triplet_chi2(graph.hits, graph.edge_index, graph.triplet_model)
    assert (chi2[0] < reference.NO_CONTINUATION).any()
    assert_same_bits(graph.triplet_chi2, chi2)
    assert_same_bits(graph.edge_features, reference.edge_features(graph.hits, graph.edge_index, chi2))


@pytest.mark.parametrize("seed", range(10))
def test_features_of_any_graph(seed):
    graph = random_graph(seed)
    chi2 = reference.triplet_chi2(graph.hits, graph.edge_index, graph.triplet_model)
    assert_same_bits(graph.triplet_chi2, chi2)
    assert_same_bits(graph.edge_features, reference.edge_features(graph.hits, graph.edge_index, chi2))


@pytest.mark.parametrize("chi2_max", [1.0, 25.0, 1e4, 2e4])
@pytest.mark.parametrize("seed", range(4))
def test_pruning_is_two_rounds_of_chi2(seed, chi2_max):
    graph = random_graph(seed)
    chi2 = reference.triplet_chi2(graph.hits, graph.edge_index, graph.triplet_model)
    left = np.ascontiguousarray(graph.edge_index[:, np.minimum(chi2[0], chi2[2]) < chi2_max])
    pruned = graph.prune(chi2_max)
    np.testing.assert_array_equal(pruned.edge_index, left)
    assert_same_bits(pruned.triplet_chi2, reference.triplet_chi2(graph.hits, left, graph.triplet_model))
    assert pruned.status == ("empty" if left.shape[1] == 0 else "ok")


@pytest.mark.parametrize("triplet_chi2_max", [0.5, 100.0, 2000.0])  # keep 1, 31 and 89 % of the random edges
@pytest.mark.parametrize("chi2_max", [0.1, 12.0, 1e3])
def test_pruning_with_quadruplets(graph, chi2_max, triplet_chi2_max):
    n_saved = 0
    for g in (graph, *map(random_graph, range(4))):
        chi2 = reference.triplet_chi2(g.hits, g.edge_index, g.triplet_model)
        stay = np.minimum(chi2[0], chi2[2]) < triplet_chi2_max
        saved = reference.in_quadruplets(g.hits, g.edge_index, g.triplet_model, chi2_max)
        pruned = g.prune(triplet_chi2_max, chi2_max)
        np.testing.assert_array_equal(pruned.edge_index, g.edge_index[:, stay | saved])
        n_saved += int((saved & ~stay).sum())
    assert n_saved > 0 or chi2_max < 1 or triplet_chi2_max > 1, "quadruplets matter"


def odd_graph(seed):
    """With coordinates that are not finite, or so large that squares are not."""
    graph = random_graph(seed)
    rng = np.random.default_rng(seed)
    x, y, z = (np.array(v) for v in (graph.hits.x, graph.hits.y, graph.hits.z))
    for column in (x, y, z):
        column[rng.choice(len(x), 4)] = np.array([np.nan, np.inf, -np.inf, 1e30], np.float32)
    return Graph(graph.edge_index, Hits(x, y, z, graph.hits.module_id, graph.hits.hit_id))


def crowded_graph():
    """1,500 edges leave hit 0, as many enter hit 1, and both have an edge on."""
    n = 1502
    angle = np.linspace(0, 0.2, n, dtype=np.float32)
    x, y, z = 100 * np.cos(angle), 100 * np.sin(angle), np.linspace(-40, 40, n, dtype=np.float32)
    x, y, z = (np.append(v, np.float32(w)).astype(np.float32) for v, w in ((x, 200), (y, 30), (z, 5)))
    x[:2], y[:2], z[:2] = [50, 150], [3, 20], [2, 4]
    hits = Hits(x, y, z, encode_module_id(8, np.arange(n + 1), 1), np.arange(n + 1, dtype=np.uint64))
    many = np.arange(2, n)
    source, target = np.concatenate([0 * many, many, [1]]), np.concatenate([many, 0 * many + 1, [n]])
    order = np.lexsort((target, source))
    return Graph(np.ascontiguousarray(np.stack([source, target])[:, order]), hits)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("make", [*(lambda seed=seed: odd_graph(seed) for seed in range(6)), crowded_graph])
@pytest.mark.parametrize("n_threads", [1, 2, 8])
def test_pruning_of_odd_graphs(make, n_threads):
    graph = make()
    rf.set_num_threads(n_threads)
    chi2 = reference.triplet_chi2(graph.hits, graph.edge_index, graph.triplet_model)
    assert_same_bits(graph.triplet_chi2, chi2)
    for chi2_max in (3.0, 1e5):
        stay = np.minimum(chi2[0], chi2[2]) < 0.5
        saved = reference.in_quadruplets(graph.hits, graph.edge_index, graph.triplet_model, chi2_max)
        pruned = graph.prune(0.5, chi2_max)
        np.testing.assert_array_equal(pruned.edge_index, graph.edge_index[:, stay | saved])
        assert chi2_max < 4 or (saved & ~stay).any()


def test_the_cut_on_quadruplets_is_below_and_not_at():
    graph = displaced_graph()
    found = reference.triplets(graph.hits, graph.edge_index, graph.triplet_model)
    p, q = (np.flatnonzero((found.inner == e) & (found.outer == k))[0] for e, k in ((0, 1), (1, 3)))
    chi2 = reference.quadruplet_chi2(found[[p]], found[[q]], graph.triplet_model)[0]
    assert 0 < chi2 < 1
    assert graph.prune(1e-9, float(chi2)).n_edges == 0
    assert graph.prune(1e-9, float(np.nextafter(chi2, np.float32(9)))).n_edges == 3


def displaced_graph():
    """Four hits on a circle that passes the beam line at 200 mm, joined in a row, and two short cuts to a fifth hit."""
    radius, turn = 3000.0, np.array([0.02, 0.04, 0.06, 0.08])
    x, y, z = 200 + radius * np.sin(turn), radius * (1 - np.cos(turn)) + 150, 900 * turn
    x, y, z = (np.append(v, w).astype(np.float32) for v, w in ((x, x[1] + 80), (y, y[1] - 60), (z, z[2] + 30)))
    hits = Hits(x, y, z, encode_module_id(8, np.arange(5), 1), np.arange(5, dtype=np.uint64))
    return Graph(np.array([[0, 1, 1, 2, 4], [1, 2, 4, 3, 3]], np.int64), hits)


def test_quadruplets_keep_a_track_that_misses_the_beam_line():
    graph = displaced_graph()
    assert graph.prune(25.0).n_edges < 3, "the circle through the beam line is not that of the track"
    kept = graph.prune(25.0, 9.0)
    assert {(0, 1), (1, 2), (2, 3)} <= set(map(tuple, kept.edge_index.T.tolist()))
    assert (1, 4) not in set(map(tuple, kept.edge_index.T.tolist()))


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf"), 1e-50, 1e39])
def test_a_cut_on_quadruplets_without_meaning_is_refused(graph, bad):
    with pytest.raises(ValueError, match="quadruplet_chi2_max"):
        graph.prune(25.0, bad)


@pytest.mark.parametrize("n_threads", [1, 2, 8])
def test_threads_do_not_matter(graph, n_threads):
    rf.set_num_threads(n_threads)
    again = dataclasses.replace(graph)
    assert_same_bits(again.edge_features, graph.edge_features)
    assert_same_bits(again.node_features, graph.node_features)


def test_the_columns_have_names(graph):
    assert graph.node_features.shape[1] == len(NODE_FEATURES)
    assert graph.edge_features.shape[1] == len(EDGE_FEATURES)
    assert np.isfinite(graph.edge_features).all()
    assert np.abs(graph.edge_features[:, EDGE_FEATURES.index("phi_slope")]).max() <= 100


def test_a_lone_edge_has_no_continuation():
    graph = random_graph(0)
    lone = Graph(np.array([[4], [9]], np.int64), graph.hits)
    np.testing.assert_array_equal(lone.triplet_chi2, np.full((4, 1), 1e4, np.float32))


def test_a_helix_fits_better_than_a_kink():
    """Four hits on one circle through the beam line, and a fifth off it."""
    radius, turn = 500.0, np.array([0.1, 0.2, 0.3, 0.4])
    x, y, z = radius * np.sin(turn), radius * (1 - np.cos(turn)), 300 * turn
    x, y, z = (np.append(v, w).astype(np.float32) for v, w in ((x, x[2] + 5), (y, y[2] - 8), (z, z[2])))
    hits = Hits(x, y, z, encode_module_id(8, np.arange(5), 1), np.arange(5, dtype=np.uint64))
    graph = Graph(np.array([[0, 1, 1, 2], [1, 2, 4, 3]], np.int64), hits)
    best, second = graph.triplet_chi2[:2]
    assert best[0] < 0.1 < 10 < second[0]
    assert best[1] < 0.1
    assert graph.prune(10.0).edge_index.T.tolist() == [[0, 1], [1, 2], [2, 3]]


def test_hits_that_are_not_finite_have_features_of_zero():
    graph = random_graph(1)
    hits = Hits(graph.hits.x.copy(), graph.hits.y, graph.hits.z, graph.hits.module_id, graph.hits.hit_id)
    hits.x[::7] = np.nan
    hits.x[3] = np.inf
    bad = Graph(graph.edge_index, hits)
    assert bad.edge_features.shape == (graph.n_edges, 10)
    assert (bad.node_features[::7] == 0).all(), "a network may take means over all nodes"
    assert (bad.node_features[3] == 0).all()
    assert np.isfinite(bad.node_features).all()
    assert np.array_equal(bad.node_features[1], graph.node_features[1])


@pytest.mark.parametrize("edges", [[[0], [60]], [[-1], [0]], [[1, 0], [2, 2]]])
def test_bad_edges_are_refused(edges):
    graph = random_graph(2)
    with pytest.raises(ValueError, match="edge_index: "):
        _ = Graph(np.array(edges, np.int64), graph.hits).triplet_chi2


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"field": 0.0}, "field"),
        ({"layer_x0": -1.0}, "layer_x0"),
        ({"min_chi2_pt": float("nan")}, "min_chi2_pt"),
        ({"field_spread": -0.1}, "field_spread"),
        ({"resolution": {256: (1, 1, 1)}}, "resolution"),
        ({"resolution": {-1: (1, 1, 1)}}, "resolution"),
        ({"resolution": {8: (0.1, 0.0, 0.1)}}, "resolution"),
        ({"default_resolution": (0.1, 0.1)}, "default_resolution"),
    ],
)
def test_a_model_without_meaning_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        TripletModel(**setting)
