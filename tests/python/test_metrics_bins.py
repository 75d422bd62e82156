"""Intervals of rates, rates in bins, and the TrackML score."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metric_cases import IDS, make_particles, make_tracks, make_truth
from rheinfall import metrics

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
    with pytest.raises(TypeError, match=r"truth: expected rheinfall\.Truth, got list"):
        metrics.trackml_score(tracks, IDS)
    with pytest.raises(ValueError, match="truth: expected the truth of the event, got None"):
        metrics.trackml_score(tracks, None)
    with pytest.raises(ValueError, match=r"weights: expected one per hit, 18 in all, got shape \(3,\)"):
        metrics.trackml_score(tracks, truth, weights=np.ones(3))
    with pytest.raises(ValueError, match="weights: this event's truth has none"):
        metrics.trackml_score(tracks, make_truth(IDS))
