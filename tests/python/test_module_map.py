"""Module maps: building against its definition, merging, coding of limits, pruning, coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rheinfall as rf
from module_map_samples import BENDS, bits
from rheinfall import _core
from rheinfall.event import LAYER_SHIFT, encode_module_id
from rheinfall.reference import module_map as reference
from rheinfall.tracking.module_map_coverage import measure_coverage
from rheinfall.tracking.true_triples import TripleSelection, find_true_triples

RULES = (
    {},
    {"sigmas": 0.0, "sigmas_differences": 0.0},
    {"relative": 0.25, "sigmas": 1.0, "prior_weight": 0.0},
    {"min_occurrence": 2, "sigmas_differences": 10.0},
    {"remove_two_cycles": False, "core": 1.0},
    {"core": 0.0},
    {"max_phi_slope": 4e-4, "remove_two_cycles": False},
    {"absolute": (0.5, 1e-3, 1e-5, 0.01, 0.02, 3e-3), "core": 50.0},
)


@pytest.fixture(scope="module")
def records(events, bend):
    seen = {}
    for event in events:
        reference.add_event(seen, event.hits, find_true_triples(event, TripleSelection()), bend)
    return seen


# Building


@pytest.mark.parametrize("rule", RULES)
def test_limits_are_those_of_the_definition(module_map, records, bend, rule):
    doublets, triplets = reference.code_limits(reference.widened_limits(records, bend, **rule))
    built = module_map.with_limits(**rule)
    modules, occurrence, limits = built.triplets()
    keys = [tuple(row) for row in modules.tolist()]
    assert keys == sorted(triplets)
    assert len(keys) > 100
    np.testing.assert_array_equal(bits(limits), bits(np.array([triplets[k] for k in keys])))
    np.testing.assert_array_equal(occurrence, [records[k].occurrence.bit_length() - 1 for k in keys])
    modules, limits = built.doublets()
    np.testing.assert_array_equal(bits(limits), bits(np.array([doublets[tuple(k)] for k in modules.tolist()])))


def test_steep_triplets_are_cut_or_left_out(module_map):
    """A cut on phi_slope alone narrows the limits of phi_slope, and loses the triplets that lie beyond it."""
    free = module_map.with_limits(remove_two_cycles=False)
    most = np.float32(2.0**-12)
    modules, _, limits = free.triplets()
    steep = (limits[:, [2, 6], 0] > most).any(axis=1) | (limits[:, [2, 6], 1] < -most).any(axis=1)
    cut = module_map.with_limits(remove_two_cycles=False, max_phi_slope=2.0**-12)
    assert 10 < steep.sum() < len(steep) - 10
    kept = set(map(tuple, cut.triplets()[0].tolist()))
    assert kept <= set(map(tuple, modules.tolist()))
    assert not kept & set(map(tuple, modules[steep].tolist()))
    assert (np.abs(cut.doublets()[1][:, 2]) <= most).all()


def test_every_training_triple_is_in_the_graph(events):
    """Limits are inclusive and coding only widens: a map without cut tails keeps what it learnt from."""
    module_map = rf.ModuleMap.build(events, core=1e9, relative=1e-6, remove_two_cycles=False)
    known = set(map(tuple, module_map.triplets()[0].tolist()))
    n_learnt = 0
    for event in events:
        edges = set(map(tuple, rf.build_graph(event.hits, module_map).edge_index.T.tolist()))
        for a, b, c in find_true_triples(event, TripleSelection()).tolist():
            if tuple(event.hits.module_id[[a, b, c]].tolist()) in known:
                assert {(a, b), (b, c)} <= edges
                n_learnt += 1
    assert n_learnt > 100


def test_a_triplet_seen_once_keeps_what_it_learnt():
    """Alone on its layers it has s = 0, and its mean is rounded to fixed point: no cut may throw its only value out."""
    points = np.float32([[31.4, 0.3, 17.77], [71.9, 0.71, 40.123], [115.3, 1.2, 64.9]])
    x, y, z = (np.ascontiguousarray(v) for v in points.T)
    hits = rf.Hits(x, y, z, np.array([1, 2, 3], np.uint64), np.arange(3, dtype=np.uint64))
    builder = _core.ModuleMapBuilder("angle")
    builder.add(hits.x, hits.y, hits.z, hits.module_id, np.array([[0, 1, 2]], np.uint32))
    graph = rf.build_graph(hits, rf.ModuleMap(builder.finish(_core.LimitRule(sigmas=0.0, sigmas_differences=0.0))))
    assert graph.edge_index.tolist() == [[0, 1], [1, 2]]


def test_two_cycles_lose_the_rarer_direction():
    def triple(modules, x=0.0):
        points = np.float32([[30, x, 0], [70, x, 0], [110, x, 0]])
        columns = [np.ascontiguousarray(v) for v in points.T]
        return (*columns, np.array(modules, np.uint64), np.array([[0, 1, 2]], np.uint32))

    builder = _core.ModuleMapBuilder("angle")
    for modules in ((1, 2, 3), (1, 2, 3), (3, 2, 4), (5, 6, 7), (6, 5, 8)):
        builder.add(*triple(modules))
    kept = builder.finish(_core.LimitRule()).triplets()[0].tolist()
    assert kept == [[1, 2, 3], [5, 6, 7]], "the rarer direction goes; of equals the one that falls in id"
    everything = builder.finish(_core.LimitRule(remove_two_cycles=False)).triplets()[0].tolist()
    assert everything == [[1, 2, 3], [3, 2, 4], [5, 6, 7], [6, 5, 8]]


def test_eight_partial_maps_merge_to_the_serial_one(events, bend, module_map):
    parts = [rf.ModuleMap.build([event], bend=bend) for event in events]
    for order in (range(8), reversed(range(8)), np.random.default_rng(0).permutation(8)):
        merged = None
        for i in order:
            merged = parts[i] if merged is None else merged.merge(parts[i])
        assert merged.core.to_bytes() == module_map.core.to_bytes()
        assert merged.statistics.to_bytes() == module_map.statistics.to_bytes()
    halves = [parts[i].merge(parts[i + 1]) for i in range(0, 8, 2)]
    tree = halves[0].merge(halves[1]).merge(halves[2].merge(halves[3]))
    assert tree.core.to_bytes() == module_map.core.to_bytes()


def test_the_order_of_events_does_not_matter(events, bend, module_map):
    assert rf.ModuleMap.build(events[::-1], bend=bend).core.to_bytes() == module_map.core.to_bytes()


def test_events_are_streamed(events):
    assert rf.ModuleMap.build(iter(events[:2])).n_triplets > 0
    assert rf.ModuleMap.build([]).n_modules == 0


def test_merging_needs_statistics_and_one_convention(events, tmp_path):
    angle, slope = (rf.ModuleMap.build(events[:1], bend=bend) for bend in BENDS)
    with pytest.raises(ValueError, match="bend differently"):
        angle.merge(slope)
    angle.save(tmp_path / "limits.rfmap", statistics=False)
    limits_only = rf.ModuleMap.load(tmp_path / "limits.rfmap")
    with pytest.raises(ValueError, match="limits only"):
        limits_only.merge(angle)
    with pytest.raises(ValueError, match="limits only"):
        angle.merge(limits_only)
    with pytest.raises(ValueError, match="limits only"):
        limits_only.with_limits(sigmas=1.0)
    with pytest.raises(ValueError, match="limits only"):
        limits_only.save(tmp_path / "more.rfmap", statistics=True)


BAD_RULES = (
    {"relative": -0.1},
    {"sigmas": np.nan},
    {"prior_weight": np.inf},
    {"core": -1.0},
    {"max_phi_slope": np.nan},
    {"absolute": (0, 0, 0, 0, 0, -1.0)},
)


@pytest.mark.parametrize("rule", BAD_RULES)
def test_a_rule_without_meaning_is_refused(rule):
    with pytest.raises(ValueError, match=next(iter(rule))):
        rf.ModuleMap.build([], **rule)


def test_an_unknown_rule_or_bend_is_refused():
    with pytest.raises(TypeError):
        rf.ModuleMap.build([], sigma=1.0)
    with pytest.raises(ValueError, match="'angle' or 'slope_difference', got 'curvature'"):
        rf.ModuleMap.build([], bend="curvature")


def test_training_refuses_what_has_no_meaning():
    x = np.float32([30, 70, 110])
    modules = np.array([1, 2, 3], np.uint64)
    builder = _core.ModuleMapBuilder("angle")
    with pytest.raises(ValueError, match="hit 3 of 3"):
        builder.add(x, x, x, modules, np.array([[0, 1, 3]], np.uint32))
    with pytest.raises(ValueError, match="hit 1 are not finite"):
        builder.add(x, np.float32([0, np.nan, 0]), x, modules, np.array([[0, 1, 2]], np.uint32))
    with pytest.raises(ValueError, match="overflows"):
        builder.add(x * np.float32(1e30), x, x, modules, np.array([[0, 1, 2]], np.uint32))
    assert builder.n_triplets == 0


# Coding of limits


def code(limits):
    """The decoded limits of triplets between the same modules 1 -> 2 -> (3 + i), given float32 (n, 10, 2)."""
    n = len(limits)
    modules = np.stack([np.full(n, 1), np.full(n, 2), 3 + np.arange(n)], axis=1).astype(np.uint64)
    core = _core.ModuleMap.from_triplets(
        modules, np.ones(n, np.uint64), np.ascontiguousarray(limits, np.float32), "angle"
    )
    return core.triplets()[2], core.doublets()[1]


def assert_only_widens(limits):
    limits = np.sort(np.asarray(limits, np.float32), axis=-1)
    coded, doublets = code(limits)
    given = np.clip(limits, np.float32(-1e30), np.float32(1e30))
    assert (coded[..., 0] <= given[..., 0]).all()
    assert (coded[..., 1] >= given[..., 1]).all()
    inner = given[:, :4]
    np.testing.assert_array_equal(doublets[0], np.stack([inner[..., 0].min(0), inner[..., 1].max(0)], axis=-1))
    # Coding what was coded changes nothing more.
    np.testing.assert_array_equal(code(coded)[0], coded)
    return given, coded


@pytest.mark.parametrize("seed", range(20))
def test_coded_limits_only_widen(seed):
    rng = np.random.default_rng(seed)
    centre = rng.normal(0, 1, (30, 10, 1)) * 10.0 ** rng.integers(-6, 4, (1, 10, 1))
    given, coded = assert_only_widens(centre + rng.normal(0, 1, (30, 10, 2)) * 10.0 ** rng.integers(-8, 3, (1, 10, 1)))
    inner, inner_coded = given[:, :4], coded[:, :4]
    span = inner[..., 1].max(0) - inner[..., 0].min(0)
    step = span / 255 * 1.01 + np.abs(inner).max((0, 2)) * 1e-6
    assert ((inner[..., 0] - inner_coded[..., 0]) <= step).all(), "by no more than a 255th of the doublet's range"
    assert ((inner_coded[..., 1] - inner[..., 1]) <= step).all()
    assert (np.abs(coded[:, 8:] - given[:, 8:]) <= np.abs(given[:, 8:]) / 128).all(), "bfloat16 has 8 bits"


finite = st.floats(width=32, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(finite, finite), min_size=10, max_size=10), min_size=1, max_size=4))
def test_coded_limits_only_widen_whatever_they_are(limits):
    assert_only_widens(limits)


@pytest.mark.parametrize("bad", [(1, -1), (np.nan, 1), (0, np.nan)])
@pytest.mark.parametrize("quantity", range(10))
def test_limits_without_meaning_are_refused(bad, quantity):
    limits = np.tile(np.float32([-1, 1]), (1, 10, 1))
    limits[0, quantity] = bad
    name = ("z0", "dphi", "phi_slope", "deta", "z0", "dphi", "phi_slope", "deta", "diff_dzdr", "bend")[quantity]
    with pytest.raises(ValueError, match=rf"limits of {name}: expected low <= high"):
        code(limits)


def test_a_triplet_or_doublet_given_twice_is_refused():
    modules = np.array([[1, 2, 3]] * 2, np.uint64)
    limits = np.tile(np.float32([-1, 1]), (2, 10, 1))
    with pytest.raises(ValueError, match="triplet of modules 1, 2, 3 is given twice"):
        _core.ModuleMap.from_triplets(modules, np.ones(2, np.uint64), limits, "angle")
    with pytest.raises(ValueError, match="doublet of modules 1, 2 is given twice"):
        _core.ModuleMap.from_doublets(
            np.ascontiguousarray(modules[:, :2]), np.ascontiguousarray(limits[:, :4]), "angle"
        )


# Pruning and coverage


def test_pruned_maps_keep_frequent_triplets_and_their_limits(module_map):
    modules, _, limits = module_map.triplets()
    counts = module_map.occurrences()
    for least in (1, 2, 3, 10):
        pruned = module_map.prune(least)
        keep = counts >= least
        np.testing.assert_array_equal(pruned.triplets()[0], modules[keep])
        wider = pruned.triplets()[2]
        assert (wider[..., 0] <= limits[keep][..., 0]).all()
        assert (wider[..., 1] >= limits[keep][..., 1]).all()
        doublets = {tuple(m): box for m, box in zip(pruned.doublets()[0].tolist(), pruned.doublets()[1], strict=True)}
        for triplet, box, old in zip(pruned.triplets()[0].tolist(), wider, limits[keep], strict=True):
            for pair, at in ((triplet[:2], 0), (triplet[1:], 4)):
                step = (doublets[tuple(pair)][:, 1] - doublets[tuple(pair)][:, 0]) / 255 * 1.001
                assert (np.abs(box[at : at + 4] - old[at : at + 4]) <= step[:, None]).all()
        assert pruned.statistics is None
    assert module_map.prune(2, statistics=True).merge(module_map).n_triplets == module_map.n_triplets


def test_occurrences_are_exact_with_statistics(module_map, records):
    counts = module_map.occurrences()
    assert counts.tolist() == [records[tuple(m)].occurrence for m in module_map.triplets()[0].tolist()]
    bare = rf.ModuleMap(module_map.core)
    assert bare.occurrences().tolist() == [1 << (int(c).bit_length() - 1) for c in counts]
    with pytest.raises(ValueError, match="powers of two as occurrence, got 3"):
        bare.prune(3)
    with pytest.raises(ValueError, match="expected at least 1, got 0"):
        bare.prune(0)
    limits = np.tile(np.float32([-1, 1]), (1, 4, 1))
    doublets = rf.ModuleMap(_core.ModuleMap.from_doublets(np.array([[1, 2]], np.uint64), limits, "angle"))
    with pytest.raises(ValueError, match="doublets alone"):
        doublets.prune(2)
    assert doublets.rewrite().core.to_bytes() == doublets.core.to_bytes()


def test_coverage_is_that_of_brute_force(module_map, records):
    layer_of = {int(m): (int(m) >> 56, int(m) >> LAYER_SHIFT & 0xFFF) for m in module_map.modules}
    lost = encode_module_id(1, 2, np.array([4000, 4001]))
    coverage = measure_coverage(module_map, np.concatenate([module_map.modules, lost]))
    assert [(c.volume, c.layer) for c in coverage.layers] == sorted(set(layer_of.values()))
    kept = [tuple(m) for m in module_map.triplets()[0].tolist()]
    for c in coverage.layers:
        here = (c.volume, c.layer)
        counts = [records[t].occurrence for t in kept if any(layer_of[m] == here for m in t)]
        assert c.n_triplets == len(counts)
        assert c.median_occurrence == np.median(counts)
        assert c.rare_share == pytest.approx(counts.count(1) / sum(counts), rel=1e-12)
        assert c.n_modules == sum(layer == here for layer in layer_of.values())
        assert c.n_missing == (2 if here == (1, 2) else 0)
        pairs = module_map.doublets()[0].tolist()
        assert c.n_doublets == sum(any(layer_of[m] == here for m in pair) for pair in pairs)
    assert "layer 1/2: 2 of" in coverage.thin(1.0)[0]
    assert measure_coverage(rf.ModuleMap.build([])).layers == []
    assert coverage.rare_triplets == "triplets seen once"
    frequent = measure_coverage(module_map.prune(4))
    assert frequent.rare_triplets == "triplets seen 4 to 7 times"
    assert frequent.layers[0].n_missing is None
