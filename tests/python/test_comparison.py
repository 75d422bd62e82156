"""Two finders compared, and what builders make of components: hand-made cases and brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import rheinfall as rf
from rheinfall.metrics import compare_tracks, report_components

ALL = {"min_pt": None, "eta_max": None, "primary_only": False}


def tracks_of(lists):
    offsets = np.cumsum([0, *(len(hits) for hits in lists)]).astype(np.int64)
    return rf.Tracks(offsets, np.array([h for hits in lists for h in hits], np.int64), np.empty(0, np.int64))


def truth_of(particle, known=None):
    particle = np.array(particle, np.uint64)
    return rf.Truth(particle, np.ones(len(particle), np.bool_) if known is None else np.array(known), None)


def test_tracks_that_one_has_and_the_other_lacks():
    truth = truth_of([1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 0, 0])
    one = tracks_of([[0, 1, 2, 3], [4, 5, 6], [10, 11, 7]])
    two = tracks_of([[7, 8, 9], [0, 1, 2]])
    found = compare_tracks(one, two, truth, names=("A", "B"), **ALL)
    assert found.partner_of_first.tolist() == [1, -1, -1]
    assert found.partner_of_second.tolist() == [-1, 0]
    assert found.only_first.tolist() == [1, 2]
    assert found.only_second.tolist() == [0]
    assert found.n_identical == 0
    ids = {name: particles.tolist() for name, particles in found.particles.items()}
    assert ids == {"both": [1], "first": [2], "second": [3], "neither": []}
    text = str(found)
    assert "found by both 1, by A alone 1, by B alone 1, by neither 0" in text
    assert "of A alone 2 (1 fake), of B alone 1 (0 fake)" in text


def test_a_finder_compared_with_itself():
    truth = truth_of([1, 1, 1, 0, 2, 2])
    tracks = tracks_of([[0, 1, 2], [4, 5], []])
    found = compare_tracks(tracks, tracks, truth, **ALL)
    assert found.partner_of_first.tolist() == [0, 1, -1]  # a track without hits is like no other
    assert found.n_identical == 2


def test_of_equal_tracks_the_first_is_the_partner():
    truth = truth_of([1] * 4)
    once, twice = tracks_of([[0, 1, 2, 3]]), tracks_of([[0, 1, 2, 3]] * 2)
    assert compare_tracks(twice, once, truth, **ALL).partner_of_first.tolist() == [0, -1]
    assert compare_tracks(once, twice, truth, **ALL).partner_of_first.tolist() == [0]


def test_half_of_the_hits_is_not_enough():
    truth = truth_of([1] * 6)
    found = compare_tracks(tracks_of([[0, 1, 2, 3]]), tracks_of([[0, 1]]), truth, **ALL)
    assert found.partner_of_first.tolist() == [-1]
    found = compare_tracks(tracks_of([[0, 1, 2, 3]]), tracks_of([[0, 1, 2]]), truth, **ALL)
    assert found.partner_of_first.tolist() == [0]


def test_without_tracks_particles_or_known_hits():
    none = tracks_of([])
    for truth in (truth_of([]), truth_of([0, 0, 0]), truth_of([1, 1, 1], [False] * 3)):
        found = compare_tracks(none, none, truth, **ALL)
        assert len(found.partner_of_first) == 0
        assert not any(len(ids) for ids in found.particles.values())
        assert "tracks in common 0" in str(found)
    found = compare_tracks(tracks_of([[0, 1, 2]]), none, truth_of([0, 0, 0]), **ALL)
    assert found.only_first.tolist() == [0]


@pytest.mark.parametrize("seed", range(60))
def test_partners_agree_with_brute_force(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 25))

    def random_tracks():
        return [rng.choice(n, min(n, int(rng.integers(0, 7))), replace=False).tolist() for _ in range(4)]

    one, two = random_tracks(), random_tracks()
    if seed % 2:  # most hits in common, so that there are partners
        two = [hits[: max(1, len(hits) - 1)] for hits in one][::-1]
    truth = truth_of(rng.integers(0, 4, n), rng.random(n) < 0.9)
    found = compare_tracks(tracks_of(one), tracks_of(two), truth, **ALL)
    candidates = []
    for i, a in enumerate(map(set, one)):
        for j, b in enumerate(map(set, two)):
            if 2 * len(a & b) > len(a) and 2 * len(a & b) > len(b):
                candidates.append((len(a & b), i, j))
    pairs = {(i, int(j)) for i, j in enumerate(found.partner_of_first) if j >= 0}
    assert pairs <= {(i, j) for _, i, j in candidates}
    assert pairs == {(int(i), j) for j, i in enumerate(found.partner_of_second) if i >= 0}
    for _, i, j in candidates:  # no pair is left over of which both could be joined
        assert i in {a for a, _ in pairs} or j in {b for _, b in pairs}
    assert found.n_identical == sum(set(one[i]) == set(two[j]) for i, j in pairs)
    sets = found.particles
    a, b = (rf.metrics.match_tracks(tracks_of(t), truth, **ALL) for t in (one, two))
    assert len(sets["both"]) + len(sets["first"]) == a.n_matched
    assert len(sets["both"]) + len(sets["second"]) == b.n_matched
    assert sum(map(len, sets.values())) == a.n_selected


def test_report_of_components():
    # a chain, two chains joined by a weak edge, a fork, a pair, a lone hit, a chain whose score is the cut
    chains = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10], [12, 13, 14]]
    edges = [pair for chain in chains for pair in itertools.pairwise(chain)]
    scores = [0.9] * 7 + [0.5] * 2
    edges += [(5, 6), (2, 15), (2, 16)]
    scores += [0.6, 0.7, 0.8]
    edge_index = np.ascontiguousarray(np.array(edges, np.int64).T)
    scores = np.array(scores, np.float32)
    tracks = rf.build_tracks(edge_index, scores, "junction_removal", n_nodes=17)
    assert [t.tolist() for t in tracks] == [[0, 1, 2, 16], [3, 4, 5, 6, 7, 8]]
    report = report_components(tracks, edge_index, scores, score_cut=0.5, n_nodes=17)
    assert (report.n_components, report.n_whole, report.n_trimmed, report.n_split, report.n_lost) == (2, 1, 1, 0, 0)
    assert (report.n_unused_hits, report.n_merged) == (1, 0)
    assert np.flatnonzero(report.is_unused).tolist() == [15]
    assert "2 components: 1 kept whole, 1 trimmed" in str(report)
    assert tracks.report is None
    own = rf.build_tracks(edge_index, scores, "junction_removal", n_nodes=17, report=True).report
    assert str(own) == str(report)
    assert np.array_equal(own.component, report.component)
    assert np.array_equal(own.is_unused, report.is_unused)
    pieces = tracks_of([[3, 4, 5], [6, 7, 8], [0, 1, 2, 15, 16, 14]])
    report = report_components(pieces, edge_index, scores, score_cut=0.5, n_nodes=17)
    assert (report.n_whole, report.n_split, report.n_lost, report.n_merged) == (1, 1, 0, 0)
    report = report_components(pieces, edge_index, scores, score_cut=0.4, n_nodes=17)
    assert (report.n_components, report.n_merged, report.n_trimmed) == (3, 1, 1)
    none = report_components(tracks_of([]), edge_index, scores, score_cut=0.5, n_nodes=17)
    assert (none.n_lost, none.n_unused_hits) == (2, 11)
    empty = report_components(
        tracks_of([]), np.empty((2, 0), np.int64), np.empty(0, np.float32), score_cut=0, n_nodes=0
    )
    assert empty.n_components == 0
