"""Events that no detector sends: nothing in them may raise, crash or break the promises of the tracks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

import rheinfall as rf
from rheinfall.tracking import track_finder
from rheinfall.tracking.track_finder import TrackFinder

pytest.importorskip("onnxruntime")

MAX = np.finfo(np.float32).max
STATUSES = {"ok", "empty", "unknown_modules", "not_finite"}


@pytest.fixture(scope="module")
def finder() -> TrackFinder:
    return TrackFinder.load("demo")


@pytest.fixture(scope="module")
def event() -> rf.Hits:
    return next(iter(rf.simulation.simulate(1, pile_up=2, seed=77))).hits


def make_hits(xyz: np.ndarray, module_id: np.ndarray) -> rf.Hits:
    x, y, z = (np.ascontiguousarray(v, dtype=np.float32) for v in xyz.T)
    n = len(x)
    return rf.Hits(x, y, z, np.ascontiguousarray(module_id, np.uint64), np.arange(n, dtype=np.uint64))


def coordinates(hits: rf.Hits) -> np.ndarray:
    return np.stack([hits.x, hits.y, hits.z], axis=1)


def check(finder: TrackFinder, hits: rf.Hits) -> rf.Tracks:
    """The tracks, after checking all that holds for any event."""
    tracks = finder(hits)
    assert tracks.status in STATUSES
    assert tracks.offsets[0] == 0
    assert tracks.offsets[-1] == len(tracks.hits)
    assert (np.diff(tracks.offsets) >= finder.thresholds.min_length).all()
    assert len(np.unique(tracks.hits)) == len(tracks.hits)
    assert ((tracks.hits >= 0) & (tracks.hits < len(hits))).all()
    labels = np.full(len(hits), -1)
    labels[tracks.hits] = np.repeat(np.arange(len(tracks)), np.diff(tracks.offsets))
    np.testing.assert_array_equal(tracks.labels, labels)
    finite = np.isfinite(coordinates(hits)).all(axis=1)
    assert finite[tracks.hits].all()
    assert (tracks.status == "not_finite") == (not finite.all())
    known = np.isin(hits.module_id, finder.module_map.modules)
    assert known[tracks.hits].all()
    return tracks


def sets(tracks: rf.Tracks, names: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(names[tracks[i]].tolist()) for i in range(len(tracks))}


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_a_handful_of_hits(finder: TrackFinder, event: rf.Hits, n: int) -> None:
    tracks = check(finder, event.take(np.arange(n)))
    assert len(tracks) == 0 or n >= finder.thresholds.min_length
    if n == 0:
        assert tracks.status == "empty"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_hit_that_is_not_finite_is_as_if_it_were_not_there(
    finder: TrackFinder, event: rf.Hits, value: float, axis: int
) -> None:
    xyz = coordinates(event)
    bad = np.arange(len(event)) % 10 == 3
    xyz[bad, axis] = value
    tracks = check(finder, make_hits(xyz, event.module_id))
    kept = np.flatnonzero(~bad)
    without = check(finder, event.take(kept))
    assert len(without) > 5
    assert sets(tracks, np.arange(len(event))) == sets(without, kept)


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-45, 1e-38, 1e19, 1e30, MAX, -MAX])
def test_extreme_coordinates(finder: TrackFinder, event: rf.Hits, value: float) -> None:
    for columns in ([0], [2], [0, 1], [0, 1, 2]):
        xyz = coordinates(event)
        xyz[np.ix_(np.arange(0, len(event), 7), columns)] = value
        check(finder, make_hits(xyz, event.module_id))
        xyz[:, columns] = value
        check(finder, make_hits(xyz, event.module_id))


def test_unknown_modules_change_nothing_for_the_others(finder: TrackFinder, event: rf.Hits) -> None:
    strangers = np.array([0, 1, np.iinfo(np.uint64).max], np.uint64)
    xyz = np.concatenate([coordinates(event.take(np.arange(3))), coordinates(event)])
    tracks = check(finder, make_hits(xyz, np.concatenate([strangers, event.module_id])))
    assert tracks.status == "unknown_modules"
    assert sets(tracks, np.arange(-3, len(event))) == sets(check(finder, event), np.arange(len(event)))
    alone = check(finder, make_hits(coordinates(event), np.full(len(event), 5, np.uint64)))
    assert len(alone) == 0
    assert alone.status == "unknown_modules"


@pytest.mark.parametrize("copies", [2, 10])
def test_every_hit_several_times(finder: TrackFinder, event: rf.Hits, copies: int) -> None:
    check(finder, event.take(np.tile(np.arange(len(event)), copies)))
    check(finder, event.take(np.repeat(np.arange(len(event)), copies)))


@pytest.mark.parametrize("n", [65, 2000])
def test_identical_hits(finder: TrackFinder, event: rf.Hits, n: int) -> None:
    check(finder, event.take(np.zeros(n, np.int64)))


def test_all_hits_on_few_modules(finder: TrackFinder, event: rf.Hits) -> None:
    """Modules of far more than 64 hits, which are sorted otherwise; with 1 and 2 threads, and shuffled."""
    rng = np.random.default_rng(5)
    track = check(finder, event)[0]
    on = np.repeat(track, 70)
    xyz = coordinates(event)[on] + rng.normal(0, 2.0, (len(on), 3))
    hits = make_hits(xyz, event.module_id[on])
    shuffle = rng.permutation(len(on))
    before = rf.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 5):
            rf.set_num_threads(threads)
            found.append(sets(check(finder, hits), np.arange(len(on))))
            found.append(sets(check(finder, hits.take(shuffle)), shuffle))
    finally:
        rf.set_num_threads(before)
    assert all(f == found[0] for f in found)


@pytest.mark.parametrize("n", [-1, 0, 1025])
def test_a_number_of_threads_without_meaning(n: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 1024 threads, got {n}"):
        rf.set_num_threads(n)


def test_a_system_that_starts_no_more_threads() -> None:
    """In a process of its own, with address space for a few stacks only."""
    code = """
import resource, sys
import rheinfall as rf
hits = next(rf.simulation.simulate(1, pile_up=2, seed=77)).hits
finder = rf.TrackFinder.load("demo")
rf.set_num_threads(1)
one = rf.build_graph(hits, finder.module_map).edge_index
rf.set_num_threads(64)
resource.setrlimit(resource.RLIMIT_AS, (int(open("/proc/self/statm").read().split()[0]) * 4096 + (96 << 20),) * 2)
sys.exit(0 if (rf.build_graph(hits, finder.module_map).edge_index == one).all() else 3)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_more_than_memory_should_hold(finder: TrackFinder, event: rf.Hits) -> None:
    whole = rf.build_graph(event, finder.module_map)
    for max_doublets, max_edges in ((whole.n_doublets - 1, whole.n_edges), (whole.n_doublets, whole.n_edges - 1)):
        graph = rf.build_graph(event, finder.module_map, max_doublets=max_doublets, max_edges=max_edges)
        assert graph.status == "capacity_exceeded"
        assert graph.edge_index.shape == (2, 0)
        assert graph.n_doublets == whole.n_doublets
    exact = rf.build_graph(event, finder.module_map, max_doublets=whole.n_doublets, max_edges=whole.n_edges)
    np.testing.assert_array_equal(exact.edge_index, whole.edge_index)
    with pytest.raises(ValueError, match="max_edges"):
        rf.build_graph(event, finder.module_map, max_edges=-1)


def test_tracks_tell_of_a_graph_that_was_too_large(
    finder: TrackFinder, event: rf.Hits, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = track_finder.build_graph
    monkeypatch.setattr(track_finder, "build_graph", lambda *args: real(*args, max_edges=10))
    tracks = finder(event)
    assert tracks.status == "capacity_exceeded"
    assert len(tracks) == 0
    assert (tracks.labels == -1).all()


def shift_module(rng: np.random.Generator, hits: rf.Hits) -> rf.Hits:
    return make_hits(coordinates(hits), rng.permutation(hits.module_id))


def flip_bits(rng: np.random.Generator, hits: rf.Hits) -> rf.Hits:
    xyz = coordinates(hits).copy()
    bits = xyz.view(np.uint32)
    at = rng.random(bits.shape) < 0.02
    bits[at] ^= np.uint32(1) << rng.integers(0, 32, int(at.sum()), dtype=np.uint32)
    return make_hits(xyz, hits.module_id)


def scatter(rng: np.random.Generator, hits: rf.Hits) -> rf.Hits:
    return make_hits(rng.normal(0, 500, (len(hits), 3)), hits.module_id)


def resample(rng: np.random.Generator, hits: rf.Hits) -> rf.Hits:
    return hits.take(rng.integers(0, len(hits), rng.integers(1, 3 * len(hits))))


@pytest.mark.parametrize("damage", [shift_module, flip_bits, scatter, resample], ids=lambda f: f.__name__)
def test_random_damage(
    finder: TrackFinder, event: rf.Hits, damage: Callable[[np.random.Generator, rf.Hits], rf.Hits]
) -> None:
    rng = np.random.default_rng(11)
    for _ in range(25):
        some = event.take(np.sort(rng.choice(len(event), rng.integers(1, len(event)), replace=False)))
        check(finder, damage(rng, some))
