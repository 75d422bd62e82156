"""Events and arguments at the edges of what metrics are defined for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rheinfall import Tracks, build_tracks, io, metrics
from rheinfall.event import Hits, Particles, Truth, encode_module_id

EVERY: dict[str, Any] = {"min_pt": None, "min_hits": 0, "eta_max": None, "primary_only": False}
TWICE = r"tracks.hits: expected each hit once in a track, but track 1 lists hit 3 again"


def tracks_of(*tracks: list[int]) -> SimpleNamespace:
    offsets = np.cumsum([0, *map(len, tracks)]).astype(np.int64)
    return SimpleNamespace(offsets=offsets, hits=np.array([h for t in tracks for h in t], np.int64))


def truth_of(ids: list[int], listed: list[int]) -> Truth:
    zero = np.zeros(len(listed), np.float32)
    columns = dict.fromkeys(("vx", "vy", "vz", "px", "py", "pz", "charge"), zero)
    particles = Particles(np.array(listed, np.uint64), primary=np.ones(len(listed), np.bool_), **columns)
    return Truth(np.array(ids, np.uint64), np.ones(len(ids), np.bool_), particles)


def hits_on_layers(n: int) -> Hits:
    x = np.arange(1, n + 1, dtype=np.float32)
    module_id = encode_module_id(np.full(n, 8), 2 * np.arange(1, n + 1), np.arange(n))
    return Hits(x, np.zeros_like(x), np.zeros_like(x), module_id, np.arange(n, dtype=np.uint64))


def test_a_row_for_noise_in_the_particle_table_makes_no_particle() -> None:
    truth = truth_of([1, 1, 1, 0, 0], listed=[2, 0, 1, 5])
    match = metrics.match_tracks(tracks_of([0, 1, 2]), truth, **EVERY)
    assert match.particles.particle_id.tolist() == [1, 2, 5]
    assert match.counts["efficiency"] == (1, 3)
    assert metrics.select_particles(truth, **EVERY).tolist() == [1, 2, 5]


def test_a_track_that_lists_a_hit_twice_is_refused(tmp_path: Path) -> None:
    tracks, truth = tracks_of([0, 1], [3, 2, 3]), truth_of([1, 1, 2, 2], [1, 2])
    with pytest.raises(ValueError, match=TWICE):
        metrics.match_tracks(tracks, truth, **EVERY)
    with pytest.raises(ValueError, match=TWICE):
        metrics.compare_tracks(tracks_of([0, 1]), tracks, truth, hits=hits_on_layers(4), **EVERY)
    with pytest.raises(ValueError, match=TWICE):
        io.write_tracks(tmp_path / "tracks.csv", tracks, hits_on_layers(4))
    assert not (tmp_path / "tracks.csv").exists()
    shared = metrics.match_tracks(tracks_of([0, 1], [1, 0]), truth, **EVERY)  # in two tracks a hit may be
    assert shared.counts["duplicate_rate"] == (1, 2)


def test_an_edge_from_a_hit_to_itself_is_not_pure() -> None:
    edges = np.array([[0, 0, 1, 1], [1, 0, 2, 2]])
    match = metrics.match_edges(edges, truth_of([7, 7, 7], [7]), hits=hits_on_layers(3), **EVERY)
    assert match.counts["purity"] == (3, 4)
    assert match.counts["efficiency"] == (2, 2)


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_scores_that_track_building_drops_rank_lowest(score: float) -> None:
    positive = np.array([False, True, False])
    assert metrics.area_under_curve(np.array([score, 0.9, 0.1]), positive) == 1.0
    assert metrics.area_under_curve(np.array([0.2, score, 0.1]), positive) == 0.0
    assert metrics.area_under_curve(np.array([score, score, 0.1]), positive) == 0.25


def test_selected_tracks_keep_the_first_label_of_a_shared_hit() -> None:
    labels = np.array([0, 0, 1])
    tracks = Tracks(np.array([0, 2, 4]), np.array([0, 1, 1, 2]), labels)
    assert tracks.select([True, True]).labels.tolist() == [0, 0, 1]
    assert tracks.select([1, 0]).labels.tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("min_pt", "a", TypeError),
        ("min_pt", float("nan"), ValueError),
        ("eta_max", [1], TypeError),
        ("min_hits", 2.5, TypeError),
        ("min_layers", None, TypeError),
    ],
)
def test_a_cut_that_is_no_number_is_named(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{name}: expected"):
        metrics.match_tracks(tracks_of([0]), truth_of([1], [1]), **{**EVERY, name: value})


def test_lists_are_no_tracks() -> None:
    with pytest.raises(TypeError, match="tracks: expected an object with int64 offsets and hits, got list"):
        metrics.match_tracks([[0, 1]], truth_of([1, 1], [1]), **EVERY)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("score_cut", "x", TypeError),
        ("walk_add", [0.5], TypeError),
        ("min_length", 2.5, TypeError),
        ("min_length", 0, ValueError),
        ("shared_layers", None, TypeError),
        ("shared_layers", -1, ValueError),
    ],
)
def test_a_bad_threshold_is_named(name: str, value: Any, error: type[Exception]) -> None:
    edges, scores = np.array([[0, 1], [1, 2]]), np.ones(2, np.float32)
    with pytest.raises(error, match=f"^{name}: expected"):
        build_tracks(edges, scores, **{name: value})
