"""Metrics of real events: truth taken as tracks."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from metric_cases import TRACKML, needs_trackml
from rheinfall import io, metrics
from rheinfall.event import Truth


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
