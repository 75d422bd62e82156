"""Graph construction against its slow definition, edge for edge, and each rule on hits placed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rheinfall as rf
from rheinfall import _core
from rheinfall.event import Hits, encode_module_id
from rheinfall.reference import float_math
from rheinfall.reference import graph_construction as reference

BENDS = ("angle", "slope_difference")
A, B, C, D, FOREIGN = (int(encode_module_id(8, layer, 1)) for layer in (2, 4, 6, 8, 10))
WIDE = np.float32([-1e30, 1e30])
DOUBLET_WIDE = np.tile(WIDE, (4, 1))
TRIPLET_WIDE = np.tile(WIDE, (10, 1))


@pytest.fixture(autouse=True)
def _restore_threads():
    before = _core.get_num_threads()
    yield
    rf.set_num_threads(before)


def bits(values):
    return np.ascontiguousarray(values, np.float32).view(np.uint32)


def make_hits(points, modules):
    x, y, z = np.array(points, np.float32).reshape(-1, 3).T
    n = len(modules)
    return Hits(
        *(np.ascontiguousarray(v) for v in (x, y, z)), np.array(modules, np.uint64), np.arange(n, dtype=np.uint64)
    )


def triplet_map(triplets, bend="angle"):
    """A map of {(m1, m2, m3): limits (10, 2)}."""
    modules = np.array(list(triplets), np.uint64).reshape(-1, 3)
    limits = np.array(list(triplets.values()), np.float32).reshape(-1, 10, 2)
    return rf.ModuleMap(_core.ModuleMap.from_triplets(modules, np.ones(len(modules), np.uint64), limits, bend))


def doublet_map(doublets):
    modules = np.array(list(doublets), np.uint64).reshape(-1, 2)
    limits = np.array(list(doublets.values()), np.float32).reshape(-1, 4, 2)
    return rf.ModuleMap(_core.ModuleMap.from_doublets(modules, limits, "angle"))


def edges_of(graph):
    return set(zip(*graph.edge_index.tolist(), strict=True))


def random_case(rng, bend, n_modules=5, n_hits=40, n_triplets=12):
    """Hits on few modules, half around phi = ±π, often on a grid, so that dr = 0 and equal hits occur; any limits."""
    ids = encode_module_id(rng.integers(7, 10, n_modules), np.arange(n_modules) + 1, rng.integers(0, 9, n_modules))
    radius = rng.integers(2, 12, n_hits) * 16.0
    phi = np.where(rng.random(n_hits) < 0.5, np.pi, rng.uniform(-np.pi, np.pi, n_hits)) + rng.normal(0, 0.1, n_hits)
    points = np.stack([radius * np.cos(phi), radius * np.sin(phi), rng.integers(-20, 21, n_hits) * 8.0], axis=1)
    if rng.random() < 0.5:
        points = np.round(points / 4) * 4
    hits = make_hits(points, ids[rng.integers(0, n_modules, n_hits)])
    points = reference.space_points(hits.x, hits.y, hits.z)
    triplets = {}
    for _ in range(n_triplets):
        a, b, c = rng.integers(0, n_hits, 3)
        modules = tuple(int(m) for m in hits.module_id[[a, b, c]])
        # Around what a triple on these modules has: sometimes exactly that, sometimes far wider.
        centre = reference.triple_quantities(bend, points[a], points[b], points[c]).astype(np.float32)
        width = np.abs(centre) * rng.choice([0.0, 0.1, 3.0], 10) + rng.choice([0.0, 0.2, 100.0])
        triplets[modules] = np.stack([centre - width, centre + width], axis=1)
    return hits, triplet_map(triplets, bend)


@pytest.mark.parametrize("bend", BENDS)
@pytest.mark.parametrize("seed", range(40))
def test_small_events_have_the_edges_of_the_definition(seed, bend):
    hits, module_map = random_case(np.random.default_rng(seed), bend)
    graph = rf.build_graph(hits, module_map)
    expected = reference.build_graph(hits.x, hits.y, hits.z, hits.module_id, module_map)
    np.testing.assert_array_equal(graph.edge_index, expected)
    assert graph.edge_index.dtype == np.int64
    assert graph.edge_index.flags.c_contiguous


def test_random_cases_are_not_trivial():
    sizes = [rf.build_graph(*random_case(np.random.default_rng(seed), "angle")).n_edges for seed in range(40)]
    assert sum(n > 0 for n in sizes) > 30
    assert max(sizes) > 20


@pytest.fixture(scope="module", params=BENDS)
def simulated(request):
    """An event of the demo detector and a map learnt from others."""
    module_map = rf.ModuleMap.build(rf.simulation.simulate(10, pile_up=1, seed=2), bend=request.param)
    return next(iter(rf.simulation.simulate(1, pile_up=1, seed=1, signal=20))), module_map


def test_a_simulated_event_has_the_edges_of_the_definition(simulated):
    """Evaluated in double precision, at most one edge in a hundred differs."""
    event, module_map = simulated
    h = event.hits
    single = reference.build_graph(h.x, h.y, h.z, h.module_id, module_map)
    assert single.shape[1] > 100
    np.testing.assert_array_equal(rf.build_graph(h, module_map).edge_index, single)
    double = reference.build_graph(h.x, h.y, h.z, h.module_id, module_map, np.float64)
    differ = set(map(tuple, single.T.tolist())) ^ set(map(tuple, double.T.tolist()))
    assert len(differ) <= single.shape[1] / 100


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_threads_do_not_matter(simulated, n_threads):
    event, module_map = simulated
    rf.set_num_threads(1)
    expected = rf.build_graph(event.hits, module_map)
    rf.set_num_threads(n_threads)
    graph = rf.build_graph(event.hits, module_map)
    np.testing.assert_array_equal(graph.edge_index, expected.edge_index)
    assert (graph.status, graph.n_doublets) == (expected.status, expected.n_doublets)


def test_the_order_of_the_hits_does_not_matter(simulated):
    event, module_map = simulated
    expected = edges_of(rf.build_graph(event.hits, module_map))
    order = np.random.default_rng(0).permutation(len(event.hits))
    graph = rf.build_graph(event.hits.take(order), module_map)
    assert {(int(order[a]), int(order[b])) for a, b in edges_of(graph)} == expected
    keys = graph.edge_index[0] * len(order) + graph.edge_index[1]
    assert (np.diff(keys) > 0).all(), "sorted by (source, target), without duplicates"


@pytest.mark.parametrize("n_hits", [70, 400])
def test_a_crowded_module(n_hits):
    """More than 64 hits on a module are sorted by another algorithm, and equal phi abound."""
    rng = np.random.default_rng(n_hits)
    phi = rng.integers(-8, 9, n_hits) * (np.pi / 8)
    modules = rng.choice([A, B, C], n_hits)
    radius = np.select([modules == A, modules == B], [32.0, 72.0], 116.0)
    hits = make_hits(np.stack([radius * np.cos(phi), radius * np.sin(phi), rng.normal(0, 9, n_hits)], 1), modules)
    limits = TRIPLET_WIDE.copy()
    limits[[1, 5]] = [-0.01, 0.4]
    module_map = triplet_map({(A, B, C): limits})
    expected = reference.build_graph(hits.x, hits.y, hits.z, hits.module_id, module_map)
    assert expected.shape[1] > n_hits
    np.testing.assert_array_equal(rf.build_graph(hits, module_map).edge_index, expected)


LINE = make_hits([(30, 1, 3), (70, 2, 8), (115, 4, 12)], [A, B, C])
POINTS = reference.space_points(LINE.x, LINE.y, LINE.z)


@pytest.mark.parametrize("bend", BENDS)
def test_limits_are_inclusive(bend):
    """Limits of exactly what a triple has let it pass; moved past it by one float32 step they do not."""
    values = reference.triple_quantities(bend, POINTS[0], POINTS[1], POINTS[2])
    exact = np.stack([values, values], axis=1)
    # The two differences are stored as bfloat16, rounded outward: one step of that.
    assert edges_of(rf.build_graph(LINE, triplet_map({(A, B, C): exact}, bend))) == {(0, 1), (1, 2)}
    for q in range(8):
        for side, away in ((0, np.inf), (1, -np.inf)):
            missed = exact.copy()
            missed[q, side] = np.nextafter(missed[q, side], np.float32(away))
            missed[q, 1 - side] = np.float32(away)
            assert edges_of(rf.build_graph(LINE, triplet_map({(A, B, C): missed}, bend))) == set(), (q, side)
    for q in (8, 9):
        for side, away in ((0, 1), (1, -1)):
            missed = exact.copy()
            missed[q] += away * (np.abs(missed[q]) / 64 + np.float32(1e-6))
            assert edges_of(rf.build_graph(LINE, triplet_map({(A, B, C): missed}, bend))) == set(), (q, side)


def test_a_triplet_needs_both_its_pairs():
    module_map = triplet_map({(A, B, C): TRIPLET_WIDE})
    assert edges_of(rf.build_graph(LINE, module_map)) == {(0, 1), (1, 2)}
    graph = rf.build_graph(LINE.take([0, 1]), module_map)
    assert (graph.n_edges, graph.status, graph.n_doublets) == (0, "empty", 1)


def test_a_map_of_doublets_alone():
    module_map = doublet_map({(A, B): DOUBLET_WIDE, (B, C): DOUBLET_WIDE, (C, D): DOUBLET_WIDE})
    hits = make_hits([(30, 1, 3), (31, 1, 3), (70, 2, 8), (115, 4, 12)], [A, A, B, C])
    assert edges_of(rf.build_graph(hits, module_map)) == {(0, 2), (1, 2), (2, 3)}
    limits = DOUBLET_WIDE.copy()
    limits[0] = [-1, 1]  # z0
    graph = rf.build_graph(hits, doublet_map({(A, B): limits}))
    assert edges_of(graph) == edges_of_reference(hits, doublet_map({(A, B): limits}))
    assert graph.n_unknown_modules == 1


def edges_of_reference(hits, module_map):
    return set(zip(*reference.build_graph(hits.x, hits.y, hits.z, hits.module_id, module_map).tolist(), strict=True))


def test_phi_across_the_seam():
    """A track along -x crosses ±π; dphi is the short way round, and its limits may be narrow."""
    hits = make_hits([(-30, 0.5, 0), (-70, -0.5, 0), (-115, 0.25, 0), (-115, -30, 0)], [A, B, C, C])
    limits = TRIPLET_WIDE.copy()
    limits[[1, 5]] = [-0.05, 0.05]
    assert edges_of(rf.build_graph(hits, triplet_map({(A, B, C): limits}))) == {(0, 1), (1, 2)}
    flipped = Hits(-hits.x, hits.y, hits.z, hits.module_id, hits.hit_id)
    assert edges_of(rf.build_graph(flipped, triplet_map({(A, B, C): limits}))) == {(0, 1), (1, 2)}


def test_the_angle_of_pi_itself():
    """y = ±0 and ±denormal at x < 0: phi is π or -π, and dphi between them 0."""
    ys = [0.0, -0.0, 1e-40, -1e-40]
    hits = make_hits([(-30, y, 0) for y in ys] + [(-70, y, 0) for y in ys], [A] * 4 + [B] * 4)
    limits = DOUBLET_WIDE.copy()
    limits[1] = [0, 0]
    assert rf.build_graph(hits, doublet_map({(A, B): limits})).n_edges == 16


def test_unknown_modules_stay_isolated_and_shift_nothing():
    module_map = triplet_map({(A, B, C): TRIPLET_WIDE})
    points = [(1, 1, 1), (30, 1, 3), (2, 2, 2), (70, 2, 8), (3, 3, 3), (115, 4, 12), (4, 4, 4)]
    foreign = (0, FOREIGN, 2**64 - 1, D)  # below, between and above the ids that the map knows
    modules = [foreign[0], A, foreign[1], B, foreign[2], C, foreign[3]]
    graph = rf.build_graph(make_hits(points, modules), module_map)
    assert edges_of(graph) == {(1, 3), (3, 5)}
    assert (graph.status, graph.n_unknown_modules, graph.n_nodes) == ("unknown_modules", 4, 7)
    nothing = rf.build_graph(make_hits(points, [FOREIGN] * 7), module_map)
    assert (nothing.n_edges, nothing.status, nothing.n_unknown_modules) == (0, "unknown_modules", 7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("axis", range(3))
def test_hits_that_are_not_finite_take_part_in_nothing(bad, axis):
    points = [[30, 1, 3], [70, 2, 8], [115, 4, 12], [70, 2, 8]]
    points[3][axis] = bad
    graph = rf.build_graph(make_hits(points, [A, B, C, B]), triplet_map({(A, B, C): TRIPLET_WIDE}))
    assert edges_of(graph) == {(0, 1), (1, 2)}
    assert (graph.status, graph.n_not_finite, graph.n_unknown_modules) == ("not_finite", 1, 0)


def test_no_hits_and_one_hit():
    module_map = triplet_map({(A, B, C): TRIPLET_WIDE})
    for n in (0, 1):
        graph = rf.build_graph(LINE.take(slice(n)), module_map)
        assert (graph.edge_index.shape, graph.status, graph.n_nodes) == ((2, 0), "empty", n)
        assert graph.node_features.shape == (n, 4)
        assert graph.edge_features.shape == (0, 10)


def test_a_map_without_modules():
    graph = rf.build_graph(LINE, rf.ModuleMap(_core.ModuleMap.from_doublets(*doublet_arrays({}), "angle")))
    assert (graph.n_edges, graph.status) == (0, "unknown_modules")


def doublet_arrays(doublets):
    n = len(doublets)
    return np.array(list(doublets), np.uint64).reshape(n, 2), np.array(list(doublets.values()), np.float32).reshape(
        n, 4, 2
    )


def test_hits_that_are_equal_in_all_fields():
    twice = LINE.take([0, 1, 1, 2])
    assert edges_of(rf.build_graph(twice, triplet_map({(A, B, C): TRIPLET_WIDE}))) == {(0, 1), (0, 2), (1, 3), (2, 3)}


def test_a_doublet_within_one_module_joins_no_hit_with_itself():
    hits = make_hits([(30, 1, 3), (31, 1, 3)], [A, A])
    assert edges_of(rf.build_graph(hits, doublet_map({(A, A): DOUBLET_WIDE}))) == {(0, 1), (1, 0)}


def test_many_edges_exceed_the_first_guess_of_room():
    """300 hits on each of two modules: 90,000 edges, more than 4 per hit; on 8 threads all in one task's share."""
    rng = np.random.default_rng(5)
    points = np.concatenate([rng.normal(0, 30, (600, 3)), [[300.0, 0, 0]]])
    hits = make_hits(points, [A] * 300 + [B] * 300 + [C])
    for n_threads in (1, 2, 8):
        rf.set_num_threads(n_threads)
        graph = rf.build_graph(hits, doublet_map({(A, B): DOUBLET_WIDE, (B, C): DOUBLET_WIDE}))
        assert graph.n_edges == graph.n_doublets == 90300


@pytest.mark.parametrize("big", [1e18, 1e30, 3e38])
def test_coordinates_beyond_any_detector_do_not_crash(big):
    hits = make_hits([(big, 1, 3), (70, big, 8), (115, 4, -big)], [A, B, C])
    graph = rf.build_graph(hits, triplet_map({(A, B, C): TRIPLET_WIDE}))
    assert graph.n_not_finite == 0
    assert graph.node_features.shape == (3, 4)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-2000, 2000, width=32) for _ in range(3)]), min_size=1, max_size=40))
def test_r_phi_eta_are_the_references_bit_for_bit(points):
    hits = make_hits(points, [A] * len(points))
    features = _core.node_features(hits.x, hits.y, hits.z, hits.module_id)
    p = reference.space_points(hits.x, hits.y, hits.z)
    for column, expected in enumerate((p.r / np.float32(1000), p.phi / float_math.PI, p.z / np.float32(1000), p.eta)):
        np.testing.assert_array_equal(bits(features[:, column]), bits(expected))


@pytest.mark.parametrize("bend", BENDS)
def test_the_ten_quantities_are_the_references_bit_for_bit(bend):
    """The statistics of one triplet seen once hold its quantities as min and max, behind header and modules."""
    rng = np.random.default_rng(3)
    radius = np.sort(rng.uniform(20, 1000, (200, 3)), axis=1)
    phi = rng.uniform(-np.pi, np.pi, (200, 1)) + rng.normal(0, 0.2, (200, 3))
    points = np.stack([radius * np.cos(phi), radius * np.sin(phi), rng.normal(0, 500, (200, 3))], -1).astype(np.float32)
    points[:20, 1, :2] = points[:20, 0, :2]  # dr = 0 and dx = 0
    for triple in points:
        hits = make_hits(triple, [A, B, C])
        builder = _core.ModuleMapBuilder(bend)
        builder.add(hits.x, hits.y, hits.z, hits.module_id, np.array([[0, 1, 2]], np.uint32))
        p = reference.space_points(hits.x, hits.y, hits.z)
        expected = bits(reference.triple_quantities(bend, p[0], p[1], p[2]))
        low, high = np.frombuffer(builder.to_bytes()[64:144], np.uint32).reshape(2, 10)
        np.testing.assert_array_equal(low, expected)
        np.testing.assert_array_equal(high, expected)


class TestFloatMath:
    """How far the float32 functions are from the truth: what their comments promise."""

    values = np.concatenate(
        [np.geomspace(1e-30, 1e15, 200_001), np.linspace(0, 10, 200_001)[1:], np.linspace(0.4, 0.6, 50_001)]
    ).astype(np.float32)

    def test_arctan2(self):
        rng = np.random.default_rng(1)
        x, y = (rng.normal(0, 1, (2, 10**6)) * 10 ** rng.uniform(-3, 3, (2, 10**6))).astype(np.float32)
        error = np.abs(float_math.arctan2(y, x) - np.arctan2(y.astype(np.float64), x.astype(np.float64)))
        assert error.max() < 3.5e-7  # 1.5 steps of a float32 at π
        small = np.abs(y) < np.abs(x)
        relative = error / np.abs(np.arctan2(y.astype(np.float64), x.astype(np.float64)))
        assert relative[small & (x > 0)].max() < 2.5e-7

    def test_arctan2_on_the_axes(self):
        one, zero = np.float32([1, -1, 0, 0, 0, 0]), np.float32([0, 0, 1, -1, 0, -0.0])
        expected = np.float32([0, np.pi, np.pi / 2, -np.pi / 2, 0, 0])
        np.testing.assert_array_equal(float_math.arctan2(zero, one), expected)

    def test_log(self):
        truth = np.log(self.values.astype(np.float64))
        error = np.abs(float_math.log_positive(self.values) - truth)
        assert (error <= np.maximum(1.2e-7 * np.abs(truth), 3e-8)).all()

    def test_arcsinh(self):
        for sign in (1, -1):
            values = np.float32(sign) * self.values
            truth = np.arcsinh(values.astype(np.float64))
            error = np.abs(float_math.arcsinh(values) - truth) / np.abs(truth)
            assert error.max() < 4e-7

    def test_arcsinh_is_odd_and_zero_at_zero(self):
        np.testing.assert_array_equal(float_math.arcsinh(-self.values), -float_math.arcsinh(self.values))
        assert float_math.arcsinh(np.float32([0]))[0] == 0

    def test_wrap_phi(self):
        pi = float_math.PI
        values = np.float32([0, pi, -pi, 2 * pi, -2 * pi, np.nextafter(pi, np.float32(4))])
        wrapped = float_math.wrap_phi(values)
        np.testing.assert_array_equal(wrapped[:5], np.float32([0, pi, pi, 0, 0]))
        assert -pi < wrapped[5] < -3.14159
