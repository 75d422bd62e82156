"""Properties of graphs by module map on random events: what must not matter, limits met exactly, a million hits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rheinfall as rf
from rheinfall import _core
from rheinfall.event import Hits, encode_module_id
from rheinfall.reference import graph_construction as reference

from .test_graph_construction import (
    BENDS,
    FOREIGN,
    TRIPLET_WIDE,
    A,
    B,
    C,
    edges_of,
    make_hits,
    random_case,
    triplet_map,
)

seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None)
@given(seeds, st.sampled_from(BENDS), st.integers(0, 12), st.integers(0, 12), st.integers(1, 3))
def test_order_strangers_and_threads_do_not_matter(seed, bend, n_bad, n_foreign, n_threads):
    """Hits in any order, among hits that are not finite and hits on unknown modules, have the definition's edges."""
    rng = np.random.default_rng(seed)
    hits, module_map = random_case(rng, bend)
    n = len(hits)
    expected = reference.build_graph(hits.x, hits.y, hits.z, hits.module_id, module_map)
    points = np.concatenate([np.stack([hits.x, hits.y, hits.z], 1), rng.normal(0, 50, (n_bad + n_foreign, 3))])
    points[n : n + n_bad, rng.integers(0, 3, n_bad)] = rng.choice([np.nan, np.inf, -np.inf], n_bad)
    strangers = [*rng.choice(hits.module_id, n_bad), *[FOREIGN] * n_foreign]
    order = rng.permutation(n + n_bad + n_foreign)
    mixed = make_hits(points[order], np.array([*hits.module_id, *strangers], np.uint64)[order])
    before = _core.get_num_threads()
    rf.set_num_threads(n_threads)
    try:
        graph = rf.build_graph(mixed, module_map)
    finally:
        rf.set_num_threads(before)
    assert {(int(order[a]), int(order[b])) for a, b in edges_of(graph)} == set(map(tuple, expected.T.tolist()))
    assert graph.n_not_finite == n_bad
    keys = graph.edge_index[0] * len(order) + graph.edge_index[1]
    assert (np.diff(keys) > 0).all(), "sorted by (source, target), without duplicates"


@settings(max_examples=60, deadline=None)
@given(seeds, st.sampled_from(BENDS))
def test_a_hit_given_twice_has_the_edges_of_both(seed, bend):
    rng = np.random.default_rng(seed)
    hits, module_map = random_case(rng, bend, n_hits=20)
    copies = rng.integers(0, len(hits), 8)
    origin = np.concatenate([np.arange(len(hits)), copies])
    edges = edges_of(rf.build_graph(hits, module_map))
    # A doublet within one module joins a hit with its copy too, which is no edge of the hit with itself.
    expected = {(a, b) for a in range(len(origin)) for b in range(len(origin)) if (origin[a], origin[b]) in edges}
    found = edges_of(rf.build_graph(hits.take(origin), module_map))
    assert expected <= found
    h = hits.take(origin)
    definition = reference.build_graph(h.x, h.y, h.z, h.module_id, module_map)
    assert found == set(map(tuple, definition.T.tolist()))


def multiples(low: float, high: float) -> st.SearchStrategy[float]:
    """Coordinates in 1/1024 mm: equal ones occur, and no quotient overflows."""
    return st.integers(round(low * 1024), round(high * 1024)).map(lambda v: v / 1024)


coordinates = multiples(-300, 300)
near_the_seam = st.tuples(multiples(-300, -20), multiples(-0.5, 0.5), coordinates)
points = st.one_of(st.tuples(coordinates, coordinates, coordinates), near_the_seam)


@settings(max_examples=200, deadline=None)
@given(st.tuples(points, points, points), st.sampled_from(BENDS))
def test_a_triple_is_within_limits_of_exactly_what_it_has(triple, bend):
    hits = make_hits(triple, [A, B, C])
    p = reference.space_points(hits.x, hits.y, hits.z)
    values = reference.triple_quantities(bend, p[0], p[1], p[2])
    exact = triplet_map({(A, B, C): np.stack([values, values], axis=1)}, bend)
    assert edges_of(rf.build_graph(hits, exact)) == {(0, 1), (1, 2)}


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_million_hits(n_threads):
    """200,000 straight tracks through 5 layers of 500 modules; of 5 neighbouring modules a layer, the definition's."""
    n_tracks, n_layers, n_modules = 200_000, 5, 500
    rng = np.random.default_rng(1)
    sector = rng.integers(0, n_modules, n_tracks)
    phi = (sector + rng.random(n_tracks)) * (2 * np.pi / n_modules) - np.pi
    slope = rng.normal(0, 1, n_tracks)
    r = 40.0 * np.arange(1, n_layers + 1)[:, None]
    x, y, z = (v.astype(np.float32).T.reshape(-1) for v in (r * np.cos(phi), r * np.sin(phi), r * slope))
    ids = encode_module_id(8, 2 * np.arange(1, n_layers + 1)[:, None], sector[None, :] + 1)
    hits = Hits(x, y, z, np.ascontiguousarray(ids.T.reshape(-1)), np.arange(x.size, dtype=np.uint64))
    limits = TRIPLET_WIDE.copy()
    limits[[1, 3, 5, 7]] = [[-2e-5, 2e-5], [-0.01, 0.01]] * 2
    limits[[8, 9]] = [-0.02, 0.02]
    module_map = triplet_map(
        {
            tuple(int(encode_module_id(8, 2 * (layer + k), s + 1)) for k in range(3)): limits
            for layer in range(1, n_layers - 1)
            for s in range(n_modules)
        }
    )
    before = _core.get_num_threads()
    rf.set_num_threads(n_threads)
    try:
        graph = rf.build_graph(hits, module_map)
    finally:
        rf.set_num_threads(before)
    assert graph.status == "ok"
    assert graph.n_nodes == 10**6
    inner = np.flatnonzero(np.arange(10**6) % n_layers < n_layers - 1)
    keys = graph.edge_index[0] * 10**6 + graph.edge_index[1]
    assert np.isin(inner * 10**6 + inner + 1, keys, assume_unique=True).all(), "every track is whole"
    few = np.flatnonzero(np.repeat(sector < 5, n_layers))
    part = reference.build_graph(x[few], y[few], z[few], hits.module_id[few], module_map)
    within = np.isin(graph.edge_index[0], few)
    np.testing.assert_array_equal(graph.edge_index[:, within], few[part])
