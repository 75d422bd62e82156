"""Tracks and edges against truth: hand-made cases for each rule, and brute force on random events."""

from __future__ import annotations

import math
import os
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import rheinfall as rf
from rheinfall import io, metrics
from rheinfall.event import Hits, Particles, Truth, encode_module_id

SHARED = Path(os.environ.get("RHEINFALL_SHARED", Path(__file__).resolve().parents[3] / "shared"))
TRACKML = SHARED / "data" / "trackml"
needs_trackml = pytest.mark.skipif(not TRACKML.is_dir(), reason=f"needs the TrackML events in {TRACKML}")

EVERY: dict[str, Any] = {"min_pt": None, "min_hits": 1, "eta_max": None, "primary_only": False}


def make_tracks(*tracks: list[int]) -> SimpleNamespace:
    offsets = np.cumsum([0, *map(len, tracks)]).astype(np.int64)
    return SimpleNamespace(offsets=offsets, hits=np.array([h for t in tracks for h in t], np.int64))


def make_particles(ids: list[int], **columns: Any) -> Particles:
    n = len(ids)
    numbers = {name: np.zeros(n, np.float32) for name in ("vx", "vy", "vz", "py", "pz", "charge")}
    numbers["px"] = np.full(n, 2, np.float32)
    primary = np.array(columns.pop("primary", [True] * n), np.bool_)
    numbers.update({name: np.array(values, np.float32) for name, values in columns.items()})
    return Particles(particle_id=np.array(ids, np.uint64), primary=primary, **numbers)


def make_truth(ids: list[int], particles: Particles | None = None, unknown: tuple[int, ...] = ()) -> Truth:
    known = np.ones(len(ids), np.bool_)
    known[list(unknown)] = False
    return Truth(np.where(known, np.array(ids, np.uint64), np.uint64(0)), known, particles)


def make_hits(x: list[float], layers: list[int] | None = None) -> Hits:
    n = len(x)
    layers = [2 * (i + 1) for i in range(n)] if layers is None else layers
    position = np.array(x, np.float32)
    module_id = encode_module_id(np.full(n, 8), layers, np.arange(n))
    return Hits(position, np.zeros_like(position), np.zeros_like(position), module_id, np.arange(n, dtype=np.uint64))


# Rules --------------------------------------------------------------------------------------------------------------

# Particle 1 has hits 0-7, particle 2 hits 8-11, particle 3 hits 12 and 13, noise 14-17.
IDS = [1] * 8 + [2] * 4 + [3] * 2 + [0] * 4
CASES = {  # track: the rules under which it is matched to particle 1
    "all": ([0, 1, 2, 3, 4, 5, 6, 7], {"double_majority", "lhc", "perfect", "one_way", "two_way", "acts"}),
    "all and noise": ([*range(8), 14], {"double_majority", "lhc", "one_way", "two_way", "acts"}),
    "five": ([0, 1, 2, 3, 4], {"double_majority", "lhc", "one_way", "two_way", "acts"}),
    "half of the particle": ([0, 1, 2, 3], {"lhc", "one_way", "acts"}),
    "less than half": ([0, 1, 2], {"lhc", "one_way"}),
    "three quarters pure": ([*range(6), 8, 14], {"double_majority", "one_way", "two_way", "acts"}),
    "half pure": ([0, 1, 2, 3, 8, 9, 14, 15], {"acts"}),
    "below half pure": ([0, 1, 2, 3, 8, 9, 14, 15, 16], set[str]()),
    "noise is no particle but dilutes": ([0, 14, 15, 16], set[str]()),
}


@pytest.mark.parametrize("rule", metrics.RULES)
@pytest.mark.parametrize("case", CASES)
def test_rule(rule: str, case: str) -> None:
    track, rules = CASES[case]
    match = metrics.match_tracks(make_tracks(track), make_truth(IDS), rule, **EVERY)
    assert match.rule == rule
    assert match.matched_particle.tolist() == [1 if rule in rules else 0]
    assert match.majority_particle.tolist() == [1]
    assert match.unmatched_rate == (0 if rule in rules else 1)
    n_found = 1 if rule in rules else 0
    if rule == "one_way":  # found by its share of hits, whatever the purity
        n_found = int(2 * len([h for h in track if h < 8]) > 8)
    assert match.counts["efficiency"] == (n_found, 3)


def test_one_way_finds_a_particle_in_a_track_of_another() -> None:
    # Both hits of particle 3 stand in a track that particle 1 owns.
    match = metrics.match_tracks(make_tracks([0, 1, 2, 3, 4, 12, 13]), make_truth(IDS), "one_way", **EVERY)
    assert match.matched_particle.tolist() == [1]
    assert match.particles.particle_id[match.reconstructed].tolist() == [1, 3]


def test_tie_goes_to_the_smaller_particle_id() -> None:
    match = metrics.match_tracks(make_tracks([12, 13, 9, 8]), make_truth(IDS), "acts", **EVERY)
    assert match.majority_particle.tolist() == [2]
    assert match.matched_particle.tolist() == [2]
    assert match.is_fake.tolist() == [True]  # no particle has more than half


def test_fakes_duplicates_and_unmatched_are_three_figures() -> None:
    tracks = make_tracks([0, 1, 2], [3, 4, 5, 6, 7], [8, 9, 10, 11], [14, 15, 16], [0, 8, 12], [17])
    match = metrics.match_tracks(tracks, make_truth(IDS), **EVERY)
    assert match.matched_particle.tolist() == [0, 1, 2, 0, 0, 0]
    assert match.is_duplicate.tolist() == [True, False, False, False, False, False]  # the shorter fragment
    assert match.is_fake.tolist() == [False, False, False, True, True, True]
    assert match.counts == {
        "efficiency": (2, 3),
        "fake_rate": (3, 6),
        "duplicate_rate": (1, 3),
        "unmatched_rate": (4, 6),
    }
    assert match.efficiency == 2 / 3
    assert match.fake_rate == 0.5
    assert match.duplicate_rate == 1 / 3
    assert match.unmatched_rate == 4 / 6


def test_equal_duplicates_keep_the_earlier_and_shared_hits_count_for_both() -> None:
    match = metrics.match_tracks(make_tracks([3, 4, 5, 6, 7], [0, 1, 2, 3, 4]), make_truth(IDS), **EVERY)
    assert match.is_duplicate.tolist() == [False, True]
    assert match.matched_particle.tolist() == [1, 1]
    assert match.counts["efficiency"] == (1, 3)


def test_without_tracks_or_particles_rates_are_nan() -> None:
    match = metrics.match_tracks(make_tracks(), make_truth(IDS), **EVERY)
    assert match.efficiency == 0
    assert math.isnan(match.fake_rate)
    assert math.isnan(match.duplicate_rate)
    noise = metrics.match_tracks(make_tracks([0, 1], []), make_truth([0, 0, 0]), **EVERY)
    assert math.isnan(noise.efficiency)
    assert noise.fake_rate == 1
    assert noise.n_not_judged == 1  # the track without hits
    nothing = metrics.match_tracks(make_tracks(), make_truth([]), **EVERY)
    assert nothing.counts["efficiency"] == (0, 0)
    assert "efficiency" in str(nothing)


# Selection ----------------------------------------------------------------------------------------------------------


def test_selection_cuts_each_of_its_own() -> None:
    particles = make_particles(
        [1, 2, 3, 4, 5, 6, 7],
        px=[2, 1, 2, 2, 2, 2, 2],
        pz=[0, 0, 2 * math.sinh(4), 0, 0, 0, 0],
        primary=[True, True, True, False, True, True, True],
    )
    ids = [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 6, 6, 6, 8, 8, 8]  # 5: two hits, 7: none, 8: in no table
    hits = make_hits([float(i) for i in range(len(ids))], [*[2, 4, 6] * 4, 2, 4, 2, 2, 4, 2, 4, 6])  # 6: two layers
    truth = make_truth(ids, particles)

    def selected(**options: Any) -> list[int]:
        return [int(i) for i in metrics.select_particles(truth, hits=hits, **options)]

    assert selected() == [1, 6]
    assert selected(min_pt=0.9) == [1, 2, 6]
    assert selected(eta_max=5) == [1, 3, 6]
    assert selected(primary_only=False) == [1, 4, 6]
    assert selected(min_hits=2) == [1, 5, 6]
    assert selected(min_hits=0) == [1, 5, 6, 7]
    assert selected(min_layers=3) == [1]
    assert selected(**EVERY) == [1, 2, 3, 4, 5, 6, 8]
    match = metrics.match_tracks(make_tracks([0, 1, 2], [3, 4, 5]), truth, hits=hits)
    assert match.counts["efficiency"] == (1, 2)  # particle 2 is matched, not selected
    assert match.unmatched_rate == 0


def test_selection_asks_for_what_it_needs() -> None:
    tracks, truth = make_tracks([0, 1, 2]), make_truth([1, 1, 1])
    with pytest.raises(ValueError, match=r"truth\.particles: the selection needs momenta"):
        metrics.match_tracks(tracks, truth)
    with pytest.raises(ValueError, match=r"needs the modules, pass hits=event\.hits"):
        metrics.match_tracks(tracks, truth, **EVERY, min_layers=3)
    with pytest.raises(ValueError, match=r"rule: expected one of double_majority, lhc, .* got 'cms'"):
        metrics.match_tracks(tracks, truth, "cms", **EVERY)
    with pytest.raises(ValueError, match=r"tracks\.hits: expected indices from 0 to 2, got 0 to 3"):
        metrics.match_tracks(make_tracks([0, 3]), truth, **EVERY)
    with pytest.raises(ValueError, match=r"hit_mask: expected bool \(3,\), got bool \(2,\)"):
        metrics.match_tracks(tracks, truth, **EVERY, hit_mask=np.ones(2, np.bool_))
    with pytest.raises(TypeError, match="expected int64 offsets and hits, got int64 and int32"):
        metrics.match_tracks(SimpleNamespace(offsets=tracks.offsets, hits=tracks.hits.astype(np.int32)), truth, **EVERY)
    with pytest.raises(ValueError, match="rise from 0"):
        metrics.match_tracks(SimpleNamespace(offsets=tracks.offsets + 1, hits=tracks.hits), truth, **EVERY)
    with pytest.raises(ValueError, match="this event has no truth"):
        metrics.match_tracks(tracks, None, **EVERY)  # type: ignore[arg-type]


# Unknown truth ------------------------------------------------------------------------------------------------------


def test_hits_of_unknown_truth_are_ignored_not_noise() -> None:
    ids = [1, 1, 1, 9, 9, 9, 9, 9, 2, 2]
    truth = make_truth(ids, unknown=(3, 4, 5, 6, 7))
    tracks = make_tracks([0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 3], [3, 4, 5])
    match = metrics.match_tracks(tracks, truth, **EVERY)
    assert match.n_judged_hits.tolist() == [3, 2, 0]
    assert match.judged.tolist() == [True, False, False]  # at least 3 where some truth is unknown
    assert match.matched_particle.tolist() == [1, 0, 0]
    assert match.n_not_judged == 2
    assert match.counts["fake_rate"] == (0, 1)
    assert match.counts["efficiency"] == (1, 2)
    assert "2 of them not judged" in str(match)
    lower = metrics.match_tracks(tracks, truth, **EVERY, min_judged_hits=2)
    assert lower.matched_particle.tolist() == [1, 2, 0]


def test_hit_mask_is_as_unknown_truth() -> None:
    rng = np.random.default_rng(3)
    truth, tracks = random_case(rng)
    mask = rng.random(len(truth.known)) < 0.7
    masked = metrics.match_tracks(tracks, truth, hit_mask=mask, **EVERY)
    unknown = Truth(np.where(mask, truth.particle_id, np.uint64(0)), truth.known & mask)
    assert masked.counts == metrics.match_tracks(tracks, unknown, **EVERY).counts


# Brute force --------------------------------------------------------------------------------------------------------


def random_case(rng: np.random.Generator) -> tuple[Truth, SimpleNamespace]:
    n = int(rng.integers(1, 60))
    ids = rng.integers(0, 8, n).astype(np.uint64) * np.uint64(2**60)
    known = rng.random(n) < rng.choice([0.6, 1.0])
    particle_id = np.where(known, ids, np.uint64(0))
    # Mostly pure tracks, so that every rule holds now and then.
    tracks = []
    for _ in range(int(rng.integers(0, 12))):
        own = np.flatnonzero(ids == rng.choice(ids))
        chosen = rng.permutation(own)[: int(rng.integers(0, len(own) + 1))]
        others = rng.permutation(n)[: int(rng.integers(0, 3))]
        tracks.append(np.unique(np.concatenate([chosen, others])).tolist())
    return Truth(particle_id, known), make_tracks(*tracks)


def match_slowly(tracks: Any, truth: Truth, rule: str, min_judged_hits: int) -> dict[str, tuple[int, int]]:
    sizes = Counter(int(i) for i, k in zip(truth.particle_id, truth.known, strict=True) if k and i)
    found: set[int] = set()
    owners: list[int] = []
    n_judged = n_matched = 0
    for begin, end in zip(tracks.offsets[:-1], tracks.offsets[1:], strict=True):
        ids = [int(truth.particle_id[h]) for h in tracks.hits[begin:end] if truth.known[h]]
        if len(ids) < min_judged_hits:
            continue
        n_judged += 1
        shared = Counter(i for i in ids if i)
        if not shared:
            continue
        best = min(shared, key=lambda i: (-shared[i], i))
        pure, complete = shared[best] / len(ids), shared[best] / sizes[best]
        matched = {
            "double_majority": pure > 0.5 and complete > 0.5,
            "two_way": pure > 0.5 and complete > 0.5,
            "lhc": pure > 0.75,
            "perfect": pure == 1 and complete == 1,
            "one_way": pure > 0.5,
            "acts": pure >= 0.5 and complete >= 0.5,
        }[rule]
        n_matched += matched
        if matched and rule != "one_way":
            found.add(best)
        if rule == "one_way":
            found |= {i for i in shared if shared[i] / sizes[i] > 0.5}
        if pure > 0.5:
            owners.append(best)
    return {
        "efficiency": (len(found), len(sizes)),
        "fake_rate": (n_judged - len(owners), n_judged),
        "duplicate_rate": (len(owners) - len(set(owners)), len(owners)),
        "unmatched_rate": (n_judged - n_matched, n_judged),
    }


@pytest.mark.parametrize("rule", metrics.RULES)
def test_agrees_with_brute_force(rule: str) -> None:
    rng = np.random.default_rng(11)
    seen = Counter[str]()
    for _ in range(150):
        truth, tracks = random_case(rng)
        floor = 1 if truth.known.all() else 3
        match = metrics.match_tracks(tracks, truth, rule, **EVERY)
        assert match.counts == match_slowly(tracks, truth, rule, floor)
        seen.update({name: pair[0] for name, pair in match.counts.items()})
    assert min(seen.values()) > 20  # the comparison had something to compare


def test_combined_matches_add_up() -> None:
    rng = np.random.default_rng(12)
    matches = [metrics.match_tracks(tracks, truth, **EVERY) for truth, tracks in (random_case(rng) for _ in range(5))]
    total = metrics.combine(matches)
    for name, pair in total.counts.items():
        assert pair == tuple(sum(m.counts[name][i] for m in matches) for i in (0, 1))
    with pytest.raises(ValueError, match="of the same rule and selection"):
        metrics.combine([])


# Intervals and bins -------------------------------------------------------------------------------------------------


def test_clopper_pearson_agrees_with_scipy() -> None:
    beta = pytest.importorskip("scipy.stats", reason="needs scipy, from the extra [test]").beta
    rng = np.random.default_rng(13)
    total = np.concatenate([[1, 1, 2, 10, 10, 200_000, 200_000, 1], rng.integers(1, 10 ** rng.integers(1, 6, 200))])
    passed = np.concatenate([[0, 1, 1, 0, 10, 199_990, 3, 0], rng.integers(0, total[8:] + 1)])
    for level in (metrics.ONE_SIGMA, 0.95):
        low, high = metrics.clopper_pearson(passed, total, level)
        tail = (1 - level) / 2
        np.testing.assert_allclose(low, np.where(passed > 0, beta.ppf(tail, passed, total - passed + 1), 0), atol=1e-11)
        expected = np.where(passed < total, beta.ppf(1 - tail, passed + 1, total - passed), 1)
        np.testing.assert_allclose(high, expected, atol=1e-11)


def test_clopper_pearson_in_closed_form() -> None:
    # All of n passed: the lower bound is tail ** (1 / n).
    low, high = metrics.clopper_pearson([5, 0, 0], [5, 5, 0], 0.9)
    np.testing.assert_allclose(low, [0.05**0.2, 0, 0], atol=1e-12)
    np.testing.assert_allclose(high, [1, 1 - 0.05**0.2, 1], atol=1e-12)
    with pytest.raises(ValueError, match="0 <= passed <= total"):
        metrics.clopper_pearson(3, 2)
    with pytest.raises(ValueError, match="level"):
        metrics.clopper_pearson(1, 2, 1.0)


def test_bins_of_pt_and_radius() -> None:
    particles = make_particles([1, 2, 3, 4], px=[2, 4, 4, 9], vx=[0, 0, 30, 0], vy=[0, 0, 40, 0])
    truth = make_truth([1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4], particles)
    match = metrics.match_tracks(make_tracks([0, 1, 2], [6, 7, 8]), truth)
    bins = match.binned("pt", [2, 4, 8])
    assert bins.n_total.tolist() == [1, 2]  # half open: 4 GeV is in the second
    assert bins.n_passed.tolist() == [1, 1]
    assert bins.efficiency.tolist() == [1, 0.5]
    assert bins.n_outside == 1
    assert bins.centers.tolist() == [3, 6]
    np.testing.assert_array_equal((bins.low, bins.high), metrics.clopper_pearson([1, 1], [1, 2]))
    radius = match.binned("radius", [0, 1, 10, 50])
    assert radius.n_total.tolist() == [3, 0, 1]  # the last bin includes its upper edge
    assert radius.n_passed.tolist() == [1, 0, 1]
    assert math.isnan(radius.efficiency[1])
    assert match.binned("eta", [-4, 4]).n_total.tolist() == [4]
    assert match.binned("phi", [-4, 4]).n_passed.tolist() == [2]
    # The bounds of several fractions are found together, until the last has converged.
    assert match.intervals["efficiency"] == pytest.approx([float(b) for b in metrics.clopper_pearson(2, 4)], abs=1e-12)
    with pytest.raises(ValueError, match="variable: expected one of pt, eta, phi, radius, got 'charge'"):
        match.binned("charge", [0, 1])
    with pytest.raises(ValueError, match="edges: expected at least two increasing numbers"):
        match.binned("pt", [1, 1])


# Edges --------------------------------------------------------------------------------------------------------------


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


# TrackML score ------------------------------------------------------------------------------------------------------


def test_trackml_score() -> None:
    truth = make_truth(IDS)
    truth.weight = np.where(truth.particle_id > 0, np.arange(1, 19), 0).astype(np.float32)
    total = sum(range(1, 15))
    tracks = make_tracks([0, 1, 2, 3, 4, 8], [9, 10, 11, 14], [12], [5, 6, 7])
    # Track 0: hits 0-4 of particle 1; track 1: 9-11 of particle 2; track 2 has half of particle 3, track 3 too few.
    assert metrics.trackml_score(tracks, truth) == pytest.approx((1 + 2 + 3 + 4 + 5 + 10 + 11 + 12) / total)
    assert metrics.trackml_score(make_tracks(), truth) == 0
    perfect = make_tracks(list(range(8)), [8, 9, 10, 11], [12, 13])
    assert metrics.trackml_score(perfect, truth) == 1
    assert metrics.trackml_score(tracks, truth, weights=np.ones(18)) == pytest.approx(8 / 18)
    with pytest.raises(ValueError, match="hits in at most one track"):
        metrics.trackml_score(make_tracks([0, 1], [1, 2]), truth)
    with pytest.raises(ValueError, match="weights: expected one per hit, 18 in all, got none"):
        metrics.trackml_score(tracks, make_truth(IDS))


# Real events --------------------------------------------------------------------------------------------------------


def true_tracks(truth: Truth) -> SimpleNamespace:
    real = np.flatnonzero(truth.particle_id)
    order = real[np.argsort(truth.particle_id[real], kind="stable")]
    _, begin = np.unique(truth.particle_id[order], return_index=True)
    return SimpleNamespace(offsets=np.append(begin, len(order)).astype(np.int64), hits=order)


@needs_trackml
def test_truth_as_tracks_is_perfect_on_the_small_event() -> None:
    event = io.read_event(TRACKML / "small" / "event000000001")
    assert event.truth is not None
    tracks = true_tracks(event.truth)
    for rule in metrics.RULES:
        match = metrics.match_tracks(tracks, event.truth, rule)
        assert match.n_matched == match.n_selected == 46
        assert (match.n_fake, match.n_duplicate, match.n_unmatched, match.n_not_judged) == (0, 0, 0, 0)
    assert metrics.trackml_score(tracks, event.truth) == pytest.approx(1)
    edges = metrics.find_true_edges(event.truth, event.hits)
    match_of_edges = metrics.match_edges(edges, event.truth, hits=event.hits)
    assert match_of_edges.efficiency == match_of_edges.purity == match_of_edges.selected_purity == 1
    np.testing.assert_array_equal(metrics.perfect_scores(edges, event.truth), 1)


@needs_trackml
def test_pixel_truth_judges_tracks_by_their_pixel_hits() -> None:
    event = io.read_event(TRACKML / "event21000" / "event000021000")
    truth = event.truth
    assert truth is not None
    pixel = true_tracks(truth)
    n = len(pixel.offsets) - 1
    # Ten strip hits more on each track, from a random one on, shared by tracks: of unknown truth, so nothing changes.
    unknown = np.flatnonzero(~truth.known)
    strips = unknown[(np.random.default_rng(4).integers(len(unknown), size=(n, 1)) + np.arange(10)) % len(unknown)]
    hits = np.concatenate(
        [np.append(t, s) for t, s in zip(np.split(pixel.hits, pixel.offsets[1:-1]), strips, strict=True)]
    )
    longer = SimpleNamespace(offsets=pixel.offsets + 10 * np.arange(n + 1), hits=hits)
    for tracks in (pixel, longer):
        match = metrics.match_tracks(tracks, truth, "perfect", hits=event.hits, min_layers=3)
        assert match.n_tracks == n == 9_750
        assert match.n_matched == match.n_selected == 1_224
        assert match.n_not_judged == np.count_nonzero(np.diff(pixel.offsets) < 3)
        assert match.n_fake == match.n_unmatched == 0


def test_a_graph_brings_its_hits_along_to_match_edges() -> None:
    event = next(iter(rf.simulation.simulate(1, pile_up=1, seed=5)))
    graph = rf.build_graph(event.hits, rf.ModuleMap.build([event]))
    with_hits = rf.metrics.match_edges(graph.edge_index, event.truth, hits=event.hits)
    assert with_hits.n_found > 0
    assert rf.metrics.match_edges(graph, event.truth).counts == with_hits.counts
    with pytest.raises(TypeError, match="hits"):
        rf.metrics.match_edges(graph.edge_index, event.truth)
