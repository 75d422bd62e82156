"""Tracks against truth: hand-made cases for each rule, and brute force on random events."""

from __future__ import annotations

import math
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from metric_cases import EVERY, IDS, make_hits, make_particles, make_tracks, make_truth
from rheinfall import metrics
from rheinfall.event import Truth

# Rules --------------------------------------------------------------------------------------------------------------

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
    with pytest.raises(TypeError, match=r"tracks\.hits: expected a 1-D int64 NumPy array, got int32 \(3,\)"):
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
