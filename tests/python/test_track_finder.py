"""The whole chain: independent of order and threads, safe to share, and never raising for what an event holds."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rheinfall as rf
from rheinfall.event import Event, Hits
from rheinfall.gnn import EdgeClassifier
from rheinfall.tracking import bundle
from rheinfall.tracking.bundle import Thresholds
from rheinfall.tracking.track_finder import TrackFinder
from rheinfall.training import best_trial, scan_thresholds

onnx = pytest.importorskip("onnx", reason="needs the extra [onnx]")
pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")

STAGES = ["sort", "graph", "prune", "classify", "build", "total"]


@pytest.fixture(scope="module")
def event() -> Event:
    return next(iter(rf.simulation.simulate(1, pile_up=0, seed=11)))


@pytest.fixture(scope="module")
def module_map() -> Any:
    return rf.ModuleMap.build(rf.simulation.simulate(5, pile_up=0, seed=5), min_pt=0.5)


@pytest.fixture(scope="module")
def finder(module_map: Any, event: Event, tmp_path_factory: pytest.TempPathFactory) -> TrackFinder:
    graph = rf.build_graph(event.hits, module_map)
    path = tmp_path_factory.mktemp("network") / "network.onnx"
    write_network(path, graph.node_features.shape[1], graph.edge_features.shape[1])
    thresholds = Thresholds(chi2_max=1e4, score_cut=0.05, sure=0.98, min_length=3)
    return TrackFinder(module_map, EdgeClassifier.load(path), thresholds, {"seed": 5}, name="test")


def write_network(path: Path, n_node_features: int, n_edge_features: int) -> None:
    """logit = 3 - |first four edge features|: short, straight edges score highest."""
    helper, types = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Slice", ["edge_features", "from", "to", "axis"], ["geometry"]),
        helper.make_node("Abs", ["geometry"], ["size"]),
        helper.make_node("ReduceSum", ["size", "axis"], ["total"], keepdims=0),
        helper.make_node("Sub", ["three", "total"], ["logit"]),
    ]
    constants = {
        "from": np.array([0], np.int64),
        "to": np.array([4], np.int64),
        "axis": np.array([1], np.int64),
        "three": np.array(3, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "straight",
        [
            helper.make_tensor_value_info("node_features", types.FLOAT, ["n", n_node_features]),
            helper.make_tensor_value_info("edge_index", types.INT64, [2, "e"]),
            helper.make_tensor_value_info("edge_features", types.FLOAT, ["e", n_edge_features]),
        ],
        [helper.make_tensor_value_info("logit", types.FLOAT, ["e"])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8), path)


def same(a: Any, b: Any) -> bool:
    return a.status == b.status and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ("offsets", "hits", "labels")
    )


def test_finds_tracks_and_tells_times(finder, event):
    tracks = finder(event.hits)
    assert len(tracks) > 10
    assert tracks.status in ("ok", "unknown_modules")  # five events do not touch every module
    assert len(tracks.labels) == len(event.hits)
    assert len(np.unique(tracks.hits)) == len(tracks.hits)
    assert min(tracks.lengths) >= 3
    for i, track in enumerate(tracks):
        assert set(tracks.labels[track]) == {i}
        distance = np.hypot(np.hypot(event.hits.x, event.hits.y), event.hits.z)[track]
        assert np.all(np.diff(distance) > -1e-3)
    assert list(finder.timings) == STAGES
    assert all(ms >= 0 for ms in finder.timings.values())
    assert finder.counts["hits"] == len(event.hits)
    assert finder.counts["edges"] >= finder.counts["pruned_edges"] > 0
    assert finder.counts["tracks"] == len(tracks)
    assert finder.info["provenance"] == {"seed": 5}


def test_tracks_do_not_depend_on_the_order_of_the_hits_or_on_threads(finder, event):
    before = rf.get_num_threads()
    try:
        rf.set_num_threads(1)
        expected = finder(event.hits)
        rf.set_num_threads(2)
        assert same(finder(event.hits), expected)
    finally:
        rf.set_num_threads(before)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(event.hits))
        tracks = finder(event.hits.take(order))
        np.testing.assert_array_equal(order[tracks.hits], expected.hits)
        np.testing.assert_array_equal(tracks.offsets, expected.offsets)
        np.testing.assert_array_equal(tracks.labels, expected.labels[order])


def test_saved_bundle_finds_the_same(finder, event, tmp_path):
    finder.save(tmp_path / "mine")
    loaded = TrackFinder.load(tmp_path / "mine")
    assert same(loaded(event.hits), finder(event.hits))
    assert loaded.thresholds == finder.thresholds
    assert loaded.info["provenance"] == {"seed": 5}
    assert loaded.name == "mine"
    finder.save(tmp_path / "mine")  # over itself
    assert same(TrackFinder.load(str(tmp_path / "mine"))(event.hits), finder(event.hits))


@pytest.mark.parametrize("name", [bundle.MODULE_MAP, bundle.EDGE_CLASSIFIER])
def test_damaged_bundle_is_refused(finder, tmp_path, name):
    finder.save(tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}: damaged: sha256"):
        TrackFinder.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=f"{name}: missing"):
        TrackFinder.load(tmp_path)


def test_bad_network_options_are_named(finder, tmp_path):
    finder.save(tmp_path)
    path = tmp_path / bundle.DESCRIPTION
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "edge_classifier": {"magic": 1}}))
    with pytest.raises(ValueError, match=r"bundle\.json: edge_classifier: .*magic"):
        TrackFinder.load(tmp_path)


def test_hostile_events_give_a_status(finder, event):
    hits = event.hits
    none = finder(hits.take(slice(0, 0)))
    assert (len(none), none.status) == (0, "empty")
    one = finder(hits.take(slice(0, 1)))
    assert len(one) == 0
    unknown = dataclasses.replace(hits, module_id=hits.module_id ^ np.uint64(1 << 63))
    assert len(finder(unknown)) == 0
    assert finder(unknown).status == "unknown_modules"
    for value in (np.nan, np.inf, -np.inf):
        x = hits.x.copy()
        x[::50] = value
        tracks = finder(dataclasses.replace(hits, x=x))
        assert tracks.status == "not_finite"
        assert not np.isin(tracks.hits, np.arange(0, len(x), 50)).any()
    doubled = hits.take(np.tile(np.arange(len(hits)), 2))
    assert len(finder(doubled)) > 0
    huge = dataclasses.replace(hits, x=hits.x * np.float32(1e30), z=hits.z * np.float32(1e30))
    assert len(finder(huge)) == 0


def test_not_hits_is_a_type_error(finder, event):
    with pytest.raises(TypeError, match="hits: expected Hits, got Event"):
        finder(event)


def test_pickles(finder, event):
    copy = pickle.loads(pickle.dumps(finder))
    assert copy.timings == {}
    assert same(copy(event.hits), finder(event.hits))


def test_shared_between_threads(finder, event):
    parts = [event.hits.take(slice(0, len(event.hits) * (i + 1) // 4)) for i in range(4)]
    expected = [finder(part) for part in parts]
    failures: list[int] = []

    def work(i: int) -> None:
        for _ in range(5):
            if not same(finder(parts[i]), expected[i]) or finder.counts["hits"] != len(parts[i]):
                failures.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def _find_in_child(finder: TrackFinder, hits: Hits, queue: Any) -> None:
    queue.put(finder(hits))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_works_in_a_child_process(finder, event, method):
    expected = finder(event.hits)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_find_in_child, args=(finder, event.hits, queue))
    child.start()
    tracks = queue.get(timeout=60)
    child.join(timeout=60)
    assert same(tracks, expected)


def test_scan_of_thresholds_agrees_with_finders_of_these_thresholds(finder, module_map):
    events = list(rf.simulation.simulate(2, pile_up=0, seed=21))
    options = {"score_cuts": (0.05, 0.5), "sures": (0.98,), "min_lengths": (3, 5), "weaks": (None, 0.9)}
    trials = scan_thresholds(finder, events, methods=("mutual_best", "layer_merge"), **options)
    assert len(trials) == 4 + 8
    counts = {trial.thresholds: trial.matches.counts for trial in trials}
    weak = [t for t in counts if t.weak]
    assert len(weak) == 4
    assert any(counts[t] != counts[dataclasses.replace(t, weak=None)] for t in weak)
    assert all(("weak 0.9" in str(trial)) == (trial.thresholds in weak) for trial in trials)
    efficiencies = [trial.matches.efficiency for trial in trials]
    assert efficiencies == sorted(efficiencies, reverse=True)
    for trial in trials:
        single = TrackFinder(module_map, finder.edge_classifier, trial.thresholds)
        matches = [rf.metrics.match_tracks(single(e.hits), e.truth, min_pt=1.0) for e in events]
        assert rf.metrics.combine(matches).counts == trial.matches.counts
    lowest = min(trial.matches.unmatched_rate for trial in trials)
    assert best_trial(trials, max_unmatched=1.0) is trials[0]
    assert best_trial(trials, max_unmatched=-1.0).matches.unmatched_rate == lowest
    with pytest.raises(ValueError, match="expected at least one"):
        scan_thresholds(finder, [])
    with pytest.raises(ValueError, match="no truth"):
        scan_thresholds(finder, [Event(events[0].hits)])


def test_shipped_bundles_load():
    for name in bundle.shipped_bundles():
        finder = TrackFinder.load(name)
        assert finder.name == name
        assert finder.info["provenance"]


def test_a_report_is_part_of_the_tracks_and_goes_by_the_hits_own_order(finder: TrackFinder, event: Event) -> None:
    scored = finder.score_edges(event.hits)
    tracks = finder.build(scored, report=True)
    assert finder.build(scored).report is None
    report = pickle.loads(pickle.dumps(tracks)).report
    cut = finder.thresholds.score_cut
    assert cut is not None
    ends = scored.order[scored.graph.edge_index[:, scored.scores > cut]]
    inside = report.component[ends[0]] >= 0
    assert inside.any()
    assert np.array_equal(report.component[ends[0]], report.component[ends[1]])
    assert np.array_equal(report.is_unused, (report.component >= 0) & (tracks.labels < 0))
    counts = report.n_whole + report.n_trimmed + report.n_split + report.n_lost
    assert counts == report.n_components == report.component.max() + 1
    assert tracks.select([0]).report is None
