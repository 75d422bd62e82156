"""The shipped bundles on events that they never learnt from: what the README promises."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import rheinfall as rf

pytest.importorskip("onnxruntime")
SHARED = Path(os.environ.get("RHEINFALL_SHARED", Path(__file__).resolve().parents[3] / "shared"))
TRACKML = SHARED / "data" / "trackml"
needs_trackml = pytest.mark.skipif(not TRACKML.is_dir(), reason=f"needs the TrackML events in {TRACKML}")


@pytest.fixture(scope="module")
def trackml():
    return rf.TrackFinder.load("trackml")


@pytest.fixture(scope="module")
def event21000():
    return rf.io.read_event(TRACKML / "event21000" / "event000021000")


@pytest.fixture(autouse=True)
def restore_threads():
    n = rf.get_num_threads()
    yield
    rf.set_num_threads(n)


def as_set(tracks, name_of_hit):
    return {tuple(name_of_hit[track].tolist()) for track in tracks}


@needs_trackml
def test_graph_of_a_real_event_holds_the_true_edges(trackml, event21000):
    graph = rf.build_graph(event21000.hits, trackml.module_map)
    assert graph.n_edges <= 300_000
    edges = rf.metrics.match_edges(graph.edge_index, event21000.truth, hits=event21000.hits, min_pt=1.0)
    assert edges.efficiency >= 0.97


@needs_trackml
def test_tracks_of_a_real_event(trackml, event21000):
    tracks = trackml(event21000.hits)
    assert tracks.status == "ok"
    match = rf.metrics.match_tracks(tracks, event21000.truth, hits=event21000.hits, min_layers=3)
    assert match.n_selected == 1224
    assert match.efficiency >= 0.90
    assert match.fake_rate <= 0.02
    assert len(np.unique(tracks.hits)) == len(tracks.hits), "each hit in at most one track"


@needs_trackml
def test_tracks_of_the_thinned_event(trackml):
    event = rf.io.read_event(TRACKML / "small" / "event000000001")
    match = rf.metrics.match_tracks(trackml(event.hits), event.truth, hits=event.hits, min_layers=3)
    assert match.efficiency >= 0.90
    assert match.fake_rate <= 0.02


@needs_trackml
def test_real_tracks_depend_neither_on_threads_nor_on_the_order_of_hits(trackml, event21000):
    hits = event21000.hits
    # Hits identical in all fields may be exchanged: name hits by what they are.
    fields = np.stack([hits.x, hits.y, hits.z, hits.module_id.astype(np.float64)], axis=1)
    names = np.unique(fields, axis=0, return_inverse=True)[1].ravel()
    rf.set_num_threads(1)
    first = trackml(hits)
    for n_threads in (2, 8):
        rf.set_num_threads(n_threads)
        tracks = trackml(hits)
        assert np.array_equal(tracks.offsets, first.offsets)
        assert np.array_equal(tracks.hits, first.hits)
    shuffle = np.random.default_rng(1).permutation(len(hits))
    assert as_set(trackml(hits.take(shuffle)), names[shuffle]) == as_set(first, names)


@pytest.fixture(scope="module")
def demo():
    return rf.TrackFinder.load("demo")


@pytest.fixture(scope="module")
def demo_events():
    return list(rf.simulation.simulate(4, pile_up=20, seed=77))


def test_tracks_of_the_demo_detector(demo, demo_events):
    matches = [rf.metrics.match_tracks(demo(e.hits), e.truth, hits=e.hits) for e in demo_events]
    total = rf.metrics.combine(matches)
    assert total.n_selected > 100
    assert total.efficiency >= 0.95
    assert total.fake_rate <= 0.02


def test_one_finder_serves_several_threads_and_processes(demo, demo_events):
    expected = [demo(e.hits).hits.tolist() for e in demo_events]
    with ThreadPoolExecutor(4) as pool:
        assert [t.hits.tolist() for t in pool.map(demo, [e.hits for e in demo_events])] == expected
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert [t.hits.tolist() for t in pool.map(demo, [e.hits for e in demo_events])] == expected
    copy = pickle.loads(pickle.dumps(demo))
    assert copy(demo_events[0].hits).hits.tolist() == expected[0]


def test_nothing_in_an_event_raises(demo, demo_events):
    hits = demo_events[0].hits
    nothing = demo(hits.take(slice(0, 0)))
    assert (len(nothing), nothing.status) == (0, "empty")
    assert len(demo(hits.take(slice(0, 1)))) == 0
    x = hits.x.copy()
    x[::7] = np.nan
    damaged = demo(rf.Hits(x, hits.y, hits.z, hits.module_id, hits.hit_id))
    assert damaged.status == "not_finite"
    assert not np.isin(np.arange(0, len(hits), 7), damaged.hits).any()
    foreign = demo(rf.Hits(hits.x, hits.y, hits.z, hits.module_id + np.uint64(1), hits.hit_id))
    assert (len(foreign), foreign.status) == (0, "unknown_modules")


def test_provenance_lists_every_input(trackml):
    from rheinfall.training import trackml as recipe

    provenance = trackml.info["provenance"]
    for key, samples in (
        ("map_samples", recipe.MAP_SAMPLES),
        ("graph_samples", recipe.GRAPH_SAMPLES),
        ("threshold_samples", recipe.THRESHOLD_SAMPLES),
    ):
        assert provenance[key] == json.loads(json.dumps([sample.to_dict() for sample in samples]))
    assert provenance["map_limits"] == recipe.LIMITS
    assert provenance["inputs"] == ["TrackML detectors.csv: centres, orientations, sizes and pitches of the modules"]
    for key in ("map_samples", "graph_samples", "threshold_samples"):
        assert all(sample["seed"] for sample in provenance[key])
    folder = Path(rf.__file__).parent / "bundles" / "trackml"
    assert sum(f.stat().st_size for f in folder.iterdir()) <= 24e6
