"""Truth, particles and arguments that metrics refuse, each with the field and what was expected."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import rheinfall as rf
from metric_cases import EVERY, make_hits, make_particles, make_tracks, make_truth
from rheinfall import metrics
from rheinfall.display import write_display

IDS = [1, 1, 1, 2, 2, 2, 0]
TRACKS = make_tracks([0, 1, 2], [3, 4, 5])
ONES = np.ones(7, np.bool_)


def full_truth() -> rf.Truth:
    return make_truth(IDS, make_particles([1, 2]))


def refuses(error: type[Exception], message: str) -> Any:
    return pytest.raises(error, match="^" + re.escape(message))


BAD_TRUTH: list[tuple[str, Any, type[Exception], str]] = [
    ("particle_id", np.array(IDS, np.int64), TypeError, "expected a 1-D uint64 array, got int64 (7,)"),
    ("particle_id", np.array(IDS, np.float64), TypeError, "expected a 1-D uint64 array, got float64 (7,)"),
    ("particle_id", IDS, TypeError, "expected a 1-D uint64 array, got list"),
    ("known", ONES.astype(np.uint8), TypeError, "expected a 1-D bool array, got uint8 (7,)"),
    ("known", ONES.astype(np.int64), TypeError, "expected a 1-D bool array, got int64 (7,)"),
    ("known", ONES[:6], ValueError, "expected 7 values as in truth.particle_id, got 6"),
    ("known", ONES[None], TypeError, "expected a 1-D bool array, got bool (1, 7)"),
    ("weight", np.ones(7), TypeError, "expected a 1-D float32 array, got float64 (7,)"),
    ("weight", np.ones(3, np.float32), ValueError, "expected 7 values as in truth.particle_id, got 3"),
    ("weight", np.float32([1, 1, -1, 1, 1, 1, 1]), ValueError, "expected finite numbers of at least 0, got -1.0 at in"),
    ("weight", np.float32([1, np.inf, 1, 1, 1, 1, 1]), ValueError, "expected finite numbers of at least 0, got inf at"),
    ("particles", 5, TypeError, "expected rheinfall.Particles or None, got int"),
]
BAD_PARTICLES: list[tuple[str, Any, type[Exception], str]] = [
    ("particle_id", np.array([1, 2]), TypeError, "expected a 1-D uint64 array, got int64 (2,)"),
    ("particle_id", np.array([2, 2], np.uint64), ValueError, "expected each particle once, got 2 at index 1"),
    ("px", np.float32([np.nan, 1]), ValueError, "expected finite numbers, got nan at index 0"),
    ("vz", np.float32([1, np.inf]), ValueError, "expected finite numbers, got inf at index 1"),
    ("py", np.ones(1, np.float32), ValueError, "expected 2 values as in particles.particle_id, got 1"),
    ("pz", np.ones(3, np.float32), ValueError, "expected 2 values as in particles.particle_id, got 3"),
    ("charge", [1.0, 1.0], TypeError, "expected a 1-D float32 array, got list"),
    ("primary", np.ones(2, np.int64), TypeError, "expected a 1-D bool array, got int64 (2,)"),
]


@pytest.mark.parametrize(("name", "value", "error", "message"), BAD_TRUTH)
def test_truth_of_another_kind(name: str, value: Any, error: type[Exception], message: str) -> None:
    truth = full_truth()
    with refuses(error, f"truth.{name}: {message}"):
        replace(truth, **{name: value})
    setattr(truth, name, value)  # no dataclass sees this; the metric does
    with refuses(error, f"truth.{name}: {message}"):
        metrics.match_tracks(TRACKS, truth, **EVERY)


@pytest.mark.parametrize(("name", "value", "error", "message"), BAD_PARTICLES)
def test_particles_of_another_kind(name: str, value: Any, error: type[Exception], message: str) -> None:
    particles = make_particles([1, 2])
    with refuses(error, f"particles.{name}: {message}"):
        replace(particles, **{name: value})
    truth = make_truth(IDS, particles)
    setattr(particles, name, value)
    with refuses(error, f"particles.{name}: {message}"):
        metrics.match_tracks(TRACKS, truth, **EVERY)


def test_an_event_of_other_parts() -> None:
    hits, truth = make_hits([1, 2, 3]), full_truth()
    with refuses(TypeError, "event.hits: expected rheinfall.Hits, got NoneType"):
        rf.Event(None)  # type: ignore[arg-type]
    with refuses(TypeError, "event.truth: expected rheinfall.Truth or None, got Particles"):
        rf.Event(hits, truth.particles)  # type: ignore[arg-type]
    with refuses(ValueError, "event.truth: expected that of 3 hits, got 7"):
        rf.Event(hits, truth)


@pytest.mark.parametrize("name", [np.array(["pt", "lhc"]), ["pt"], None])
def test_names_of_other_types(name: Any) -> None:
    truth = full_truth()
    match = metrics.match_tracks(TRACKS, truth)
    with refuses(ValueError, "rule: expected one of double_majority, lhc"):
        metrics.match_tracks(TRACKS, truth, name)
    for ask in (lambda: match.binned(name, [0, 5]), lambda: metrics.bin_efficiencies({"a": match}, name)):
        with refuses(ValueError, "variable: expected one of pt, eta, phi, radius, got"):
            ask()


def test_neighbouring_large_ids_stay_apart() -> None:
    low = 2**60 + 1  # float64 holds neither it nor the next
    truth = make_truth([low] * 3 + [low + 1] * 3, make_particles([low, low + 1]))
    assert metrics.match_tracks(TRACKS, truth).counts["efficiency"] == (2, 2)


@pytest.mark.parametrize(
    ("scores", "positive", "error", "message"),
    [
        ([0.9, 0.1], [1, 0], TypeError, "positive: expected bool (n,), got int64 (2,)"),
        ([[0.9, 0.1]], [[True, False]], ValueError, "positive: expected bool (n,), got shape (1, 2)"),
        ([0.9], [True, False], ValueError, "scores: expected shape (2,), as positive, got (1,)"),
        (["a", "b"], [True, False], TypeError, "scores: expected real numbers, got <U1 (2,)"),
        ([1j, 2j], [True, False], TypeError, "scores: expected real numbers, got complex128 (2,)"),
    ],
)
def test_area_under_curve_of_other_input(scores: Any, positive: Any, error: type[Exception], message: str) -> None:
    with refuses(error, message):
        metrics.area_under_curve(scores, np.array(positive))


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("min_judged_hits", -3, ValueError, "expected at least 1, got -3"),
        ("min_judged_hits", 1.5, TypeError, "expected an integer, got 1.5"),
        ("min_judged_hits", "a", TypeError, "expected an integer, got 'a'"),
        ("primary_only", "no", TypeError, "expected True or False, got 'no'"),
        ("min_pt", -1, ValueError, "expected a finite number of at least 0, or None, got -1"),
        ("min_hits", -1, ValueError, "expected at least 0, got -1"),
        ("min_layers", -1, ValueError, "expected at least 0, got -1"),
        ("eta_max", -1, ValueError, "expected a number above 0, or None, got -1"),
        ("hits", 5, TypeError, "expected rheinfall.Hits or None, got int"),
        ("hits", np.zeros(7), TypeError, "expected rheinfall.Hits or None, got ndarray"),
    ],
)
def test_arguments_of_match_tracks(name: str, value: Any, error: type[Exception], message: str) -> None:
    with refuses(error, f"{name}: {message}"):
        metrics.match_tracks(TRACKS, full_truth(), **{name: value})


def test_no_momentum_passes_no_cut_on_it() -> None:
    truth = make_truth(IDS, make_particles([1]))  # particle 2 has hits, but no row in the table
    for min_pt, n_selected, text in ((None, 2, ">= 1 hits"), (0, 1, "pT > 0 GeV, >= 1 hits")):
        match = metrics.match_tracks(TRACKS, truth, **{**EVERY, "min_pt": min_pt})
        assert match.n_selected == n_selected
        assert str(match.selection) == text
    with pytest.raises(ValueError, match=r"truth\.particles: the selection needs momenta"):
        metrics.match_tracks(TRACKS, make_truth(IDS), **{**EVERY, "min_pt": 0})


@pytest.mark.parametrize("weights", [[1, 1, 1, 1, 1, 1, np.inf], [1, 1, 1, 1, 1, 1, -0.5]])
def test_weights_that_weigh_nothing_sensible(weights: list[float]) -> None:
    with refuses(ValueError, f"weights: expected finite numbers of at least 0, got {weights[6]} for hit 6"):
        metrics.trackml_score(TRACKS, full_truth(), weights)
    with refuses(TypeError, "weights: expected real numbers, got <U1 (7,)"):
        metrics.trackml_score(TRACKS, full_truth(), ["1"] * 7)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.nan, 2), TypeError, "passed: expected integers, got nan"),
        ((1.5, 2), TypeError, "passed: expected integers, got 1.5"),
        (("1", 2), TypeError, "passed: expected integers, got '1'"),
        ((1, np.inf), TypeError, "total: expected integers, got inf"),
        ((1, 2, "x"), TypeError, "level: expected a number, got 'x'"),
        (([1, 2], [3, 4, 5]), ValueError, "passed: expected the shape of total, (3,), got (2,)"),
    ],
)
def test_intervals_are_of_counts(arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with refuses(error, message):
        metrics.clopper_pearson(*arguments)


@pytest.mark.parametrize(
    ("offsets", "hits", "message"),
    [
        (np.array([[0, 3]]), np.arange(3), "tracks.offsets: expected a 1-D int64 NumPy array, got int64 (1, 2)"),
        (np.array(0), np.arange(0), "tracks.offsets: expected a 1-D int64 NumPy array, got int64 ()"),
        (np.array([0, 1]), np.arange(3)[None], "tracks.hits: expected a 1-D int64 NumPy array, got int64 (1, 3)"),
        ([0, 3], [0, 1, 2], "tracks.offsets: expected a 1-D int64 NumPy array, got list"),
    ],
)
def test_tracks_of_another_shape(offsets: Any, hits: Any, message: str) -> None:
    with refuses(TypeError, message):
        metrics.match_tracks(SimpleNamespace(offsets=offsets, hits=hits), full_truth())


def test_matches_that_do_not_combine() -> None:
    truth = full_truth()
    match = metrics.match_tracks(TRACKS, truth)
    assert metrics.combine(m for m in [match, match]).counts["efficiency"] == (4, 4)
    for bad, got in ((match, "TrackMatches"), (None, "NoneType"), ([1], "int in it")):
        with refuses(TypeError, f"matches: expected a sequence of TrackMatches, got {got}"):
            metrics.combine(bad)  # type: ignore[arg-type]
    for other in ({"min_judged_hits": 3}, {"hit_mask": ONES}):
        with refuses(ValueError, "matches: expected the same min_judged_hits, and a hit_mask in all"):
            metrics.combine([match, metrics.match_tracks(TRACKS, truth, **other)])
    masked = [metrics.match_tracks(TRACKS, truth, hit_mask=mask) for mask in (ONES, ~ONES)]
    assert metrics.combine(masked).n_judged == 2


def test_bins_of_other_than_numbers() -> None:
    match = metrics.match_tracks(TRACKS, full_truth())
    with refuses(TypeError, "edges: expected real numbers, got <U1 (2,)"):
        match.binned("pt", ["0", "5"])
    with refuses(TypeError, "values: expected real numbers, got <U1 (2,)"):
        match.binned_tracks("fake_rate", "pt", ["1", "2"], [0, 5])
    with refuses(TypeError, "variable: expected the name of what is binned, got None"):
        match.binned_tracks("fake_rate", None, [1, 2], [0, 5])  # type: ignore[arg-type]


def test_arguments_about_edges() -> None:
    edges, truth, hits = np.array([[0, 1], [1, 2]]), full_truth(), make_hits([1, 2, 3, 4, 5, 6, 7])
    for scores, got in ((["a", "b"], "<U1 (2,)"), ([1j, 1j], "complex128 (2,)")):
        with refuses(TypeError, f"scores: expected real numbers, got {got}"):
            metrics.match_edges(edges, truth, hits=hits, scores=scores)
    with refuses(TypeError, "hits: expected the event's Hits, got NoneType"):
        metrics.find_true_edges(truth, None)  # type: ignore[arg-type]
    for unknown in (5, np.nan):
        with refuses(ValueError, f"unknown: expected a score from 0 to 1, got {unknown}"):
            metrics.perfect_scores(edges, truth, unknown=unknown)
    lost = make_hits([1, np.nan, 3, 4, 5, 6, 7])
    for ask in (lambda h: metrics.match_edges(edges, truth, hits=h), lambda h: metrics.find_true_edges(truth, h)):
        with refuses(ValueError, "hits: expected finite positions to order a particle's hits by, got (nan, 0.0, 0.0)"):
            ask(lost)
    noise = make_hits([1, 2, 3, 4, 5, 6, np.nan])  # of no particle: no edge needs it
    assert metrics.find_true_edges(truth, noise).shape == (2, 4)


def test_arguments_of_comparisons() -> None:
    truth, edges, scores = full_truth(), np.array([[0, 1], [1, 2]]), np.ones(2, np.float32)
    with refuses(TypeError, "names: expected two texts, got 'ab'"):
        metrics.compare_tracks(TRACKS, TRACKS, truth, names="ab")  # type: ignore[arg-type]
    with refuses(ValueError, "names: expected two texts, got 3"):
        metrics.compare_tracks(TRACKS, TRACKS, truth, names=("a", "b", "c"))  # type: ignore[arg-type]
    with refuses(TypeError, "score_cut: expected a number, got None"):
        metrics.report_components(TRACKS, edges, scores, score_cut=None, n_nodes=7)  # type: ignore[arg-type]
    with refuses(TypeError, "n_nodes: expected an integer, got 'x'"):
        metrics.report_components(TRACKS, edges, scores, score_cut=0.5, n_nodes="x")  # type: ignore[arg-type]
    with refuses(ValueError, "tracks.hits: expected each hit once in a track, but track 0 lists hit 1 again"):
        metrics.report_components(make_tracks([1, 2, 1]), edges, scores, score_cut=0.5, n_nodes=7)


def test_of_overlapping_tracks_the_very_same_one_is_the_partner() -> None:
    longer_first = make_tracks([0, 1, 2, 6], [0, 1, 2])
    found = metrics.compare_tracks(make_tracks([0, 1, 2]), longer_first, full_truth())
    assert (found.partner_of_first.tolist(), found.n_identical) == ([1], 1)
    assert found.only_second.tolist() == [0]  # a further copy is what the first finder lacks
    found = metrics.compare_tracks(longer_first, make_tracks([0, 1, 2]), full_truth())
    assert (found.partner_of_first.tolist(), found.n_identical) == ([-1, 0], 1)


def test_choosing_tracks() -> None:
    edges = np.array([[0, 1, 3, 4], [1, 2, 4, 5]])
    tracks = rf.build_tracks(edges, np.ones(4, np.float32), n_nodes=6)
    for chosen, error, message in (
        ([0, 0], ValueError, "mask: expected each track once at most"),
        ([0, -2], ValueError, "mask: expected each track once at most"),
        ([True], ValueError, "mask: expected 2 values, one per track, got 1"),
        ([2], IndexError, "mask: index 2 is out of range for 2 tracks"),
        (None, TypeError, "mask: expected bool or indices, 1-D, got object ()"),
        ([0.5], TypeError, "mask: expected bool or indices, 1-D, got float64 (1,)"),
    ):
        with refuses(error, message):
            tracks.select(chosen)
    assert [hits.tolist() for hits in tracks.select([-1, 0])] == [[3, 4, 5], [0, 1, 2]]
    assert len(tracks.select([])) == len(tracks.select(slice(0, 0))) == 0
    for index in ("a", slice(0, 1), 0.0):
        with refuses(TypeError, f"tracks: expected the index of one track, got {index!r}; tracks.select takes several"):
            tracks[index]  # type: ignore[index]
    assert tracks[np.int64(-1)].tolist() == [3, 4, 5]


def test_arguments_of_the_display(tmp_path: Path) -> None:
    hits, truth = make_hits([1, 2, 3, 4, 5, 6, 7]), full_truth()
    event, match = rf.Event(hits, truth), metrics.match_tracks(TRACKS, truth)
    page = tmp_path / "event.html"
    for where, tracks, options, error, message in (
        (hits, TRACKS, {}, TypeError, "event: expected rheinfall.Event, got Hits"),
        (event, None, {}, TypeError, "tracks: expected an object with int64 offsets and hits, got NoneType"),
        (event, [[0, 1]], {}, TypeError, "tracks: expected an object with int64 offsets and hits, got list"),
        (event, TRACKS, {"title": 5}, TypeError, "title: expected a text or None, got 5"),
        (event, TRACKS, {"detector": 5}, TypeError, "detector: expected a text or None, got 5"),
        (event, TRACKS, {"timings": 5}, TypeError, "timings: expected a dictionary of ms per stage or None, got int"),
        (event, TRACKS, {"timings": {"fit": "a"}}, TypeError, "timings['fit']: expected a number, got 'a'"),
        (event, TRACKS, {"match": match, "min_pt": "a"}, TypeError, "min_pt: expected a number, got 'a'"),
        (event, TRACKS, {"parameters": 5}, TypeError, "parameters: expected TrackParameters or None, got int"),
        (event, TRACKS, {"match": 5}, TypeError, "match: expected TrackMatches or None, got int"),
        (event, make_tracks([0, 1, 2]), {"match": match}, ValueError, "match: expected that of 1 tracks, got 2"),
    ):
        with refuses(error, message):
            write_display(page, where, tracks, **options)  # type: ignore[arg-type]
    assert not page.exists()


def test_names_of_finders_are_texts() -> None:
    match = metrics.match_tracks(TRACKS, full_truth())
    expected = "finders: expected a dictionary from names to TrackMatches (combine makes one of several events)"
    with refuses(TypeError, f"{expected}, got the name 5"):
        metrics.bin_efficiencies({5: match}, "pt")  # type: ignore[dict-item]


def test_a_plot_is_saved_from_axes(tmp_path: Path) -> None:
    pytest.importorskip("mplhep")
    with refuses(TypeError, "axes: expected matplotlib Axes, as plot_efficiency returns, got NoneType"):
        metrics.save_plot(None, tmp_path / "plot.png")
