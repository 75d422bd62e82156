"""Bundles in C++: the lowered network beside the ONNX file, and the same tracks as in Python."""

import json
import shutil
from dataclasses import asdict

import numpy as np
import pytest

import rheinfall as rf
from rheinfall import _core
from rheinfall.tracking import bundle
from rheinfall.tracking.track_building import METHODS

pytest.importorskip("onnx", reason="needs the extra [onnx]")
SHIPPED = ("demo", "trackml")


@pytest.fixture(scope="module")
def hits():
    return next(iter(rf.simulation.simulate(1, pile_up=5, seed=3))).hits


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(bundle.SHIPPED / "demo", tmp_path / "demo")


def run(finder, hits, n_threads=1):
    n = len(hits)
    return finder.run(hits.x, hits.y, hits.z, hits.module_id, 200 * n + 1000, 40 * n + 1000, n_threads)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_bundle_holds_its_network_as_it_is_lowered_now(name, tmp_path):
    rf.TrackFinder.load(name).edge_classifier.save_lowered(tmp_path / "network")
    assert (tmp_path / "network").read_bytes() == (bundle.SHIPPED / name / bundle.LOWERED).read_bytes()
    description = bundle.read_description(bundle.SHIPPED / name)
    bundle.checked_file(bundle.SHIPPED / name, description, bundle.LOWERED)


@pytest.mark.parametrize("n_threads", [1, 2, 8])
def test_a_bundle_finds_the_tracks_of_python_in_cpp(hits, n_threads):
    expected = rf.TrackFinder.load("demo")(hits)
    assert len(expected) > 10
    finder = _core.TrackFinder.load_bundle(str(bundle.SHIPPED / "demo"))
    offsets, track_hits, status = run(finder, hits, n_threads)
    assert status == expected.status
    assert np.array_equal(offsets, expected.offsets)
    assert np.array_equal(track_hits, expected.hits)


@pytest.mark.parametrize("cuts", [{"chi2_max": None}, {"chi2_max": 1e-6, "quadruplet_chi2_max": 12}])
def test_thresholds_and_resolutions_are_those_of_the_description(hits, folder, cuts):
    content = json.loads((folder / "bundle.json").read_text())
    content["thresholds"] |= {**cuts, "method": "walk", "walk_min": 0.3, "min_length": 4, "score_cut": None}
    content["triplet_model"]["resolution"] = {"8": [0.5, 0.25, 0.125]}
    (folder / "bundle.json").write_text(json.dumps(content))
    expected = rf.TrackFinder.load(folder)(hits)
    offsets, track_hits, status = run(_core.TrackFinder.load_bundle(str(folder)), hits)
    assert (status, len(offsets) - 1) == (expected.status, len(expected))
    assert np.array_equal(track_hits, expected.hits)
    shipped = rf.TrackFinder.load("demo")(hits)
    assert not np.array_equal(track_hits, shipped.hits)


def test_a_bundle_in_bf16_is_so_in_both_languages(hits, folder):
    finder = rf.TrackFinder.load(folder)
    finder.edge_classifier = finder.edge_classifier.with_precision("bf16")
    scores = finder.score_edges(hits).scores
    finder.save(folder)
    again = rf.TrackFinder.load(folder)
    assert again.edge_classifier.precision == "bf16"
    assert np.array_equal(again.score_edges(hits).scores, scores)
    content = json.loads((folder / "bundle.json").read_text())
    content["thresholds"] |= {"score_cut": float(np.median(scores)), "min_length": 3}  # at which roundings decide
    (folder / "bundle.json").write_text(json.dumps(content))
    expected = rf.TrackFinder.load(folder)(hits)
    _, track_hits, _ = run(_core.TrackFinder.load_bundle(str(folder)), hits)
    assert np.array_equal(track_hits, expected.hits)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_tracks_of_python_in_cpp(hits, folder, method):
    content = json.loads((folder / "bundle.json").read_text())
    content["thresholds"] |= {"method": method, "score_cut": None, "sure": None, "min_length": 3}
    (folder / "bundle.json").write_text(json.dumps(content))
    expected = rf.TrackFinder.load(folder)(hits)
    assert len(expected) > 10
    offsets, track_hits, status = run(_core.TrackFinder.load_bundle(str(folder)), hits)
    assert status == expected.status
    assert np.array_equal(offsets, expected.offsets)
    assert np.array_equal(track_hits, expected.hits)


def test_an_empty_event_and_too_small_limits_are_statuses(hits):
    finder = _core.TrackFinder.load_bundle(str(bundle.SHIPPED / "demo"))
    offsets, track_hits, status = run(finder, hits.take(np.zeros(0, np.int64)))
    assert (list(offsets), len(track_hits), status) == ([0], 0, "empty")
    assert finder.run(hits.x, hits.y, hits.z, hits.module_id, 10**6, 3, 1)[2] == "capacity_exceeded"


def test_saving_writes_the_network_for_cpp_only_where_the_fused_engine_runs_it(hits, folder, tmp_path):
    finder = rf.TrackFinder.load("demo")
    finder.save(tmp_path / "saved")
    assert (tmp_path / "saved" / bundle.LOWERED).read_bytes() == (folder / bundle.LOWERED).read_bytes()
    cpp = _core.TrackFinder.load_bundle(str(tmp_path / "saved"))
    assert np.array_equal(run(cpp, hits)[1], finder(hits).hits)
    pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
    finder.edge_classifier = rf.EdgeClassifier.load(folder / "edge_classifier.onnx", engine="onnxruntime")
    finder.save(tmp_path / "saved")
    assert not (tmp_path / "saved" / bundle.LOWERED).exists()
    with pytest.raises(RuntimeError, match=r"bundle.json: .*edge_classifier.rfgnn.*missing; write the bundle again"):
        _core.TrackFinder.load_bundle(str(tmp_path / "saved"))


FIT = asdict(rf.FitModel())

BROKEN = [
    (lambda c: c.update(needs_rheinfall="99.0.0"), "needs_rheinfall"),
    (lambda c: c.update(format_version=2), "needs_rheinfall"),
    (lambda c: c.update(needs_rheinfall="new"), "needs_rheinfall"),
    (lambda c: c.pop("thresholds"), "thresholds"),
    (lambda c: c["thresholds"].update(method="best"), "method"),
    (lambda c: c["thresholds"].update(cut=1), "cut"),
    (lambda c: c["thresholds"].update(min_length=0), "min_length"),
    (lambda c: c["thresholds"].update(score_cut="0.5"), "score_cut"),
    (lambda c: c["files"]["edge_classifier.rfgnn"].update(bytes=5), "bytes"),
    (lambda c: c["triplet_model"].update(field=-2), "field"),
    (lambda c: c["triplet_model"]["resolution"].update({"256": [1, 1, 1]}), "256"),
    (lambda c: c["triplet_model"].update(default_resolution=[1, 2]), "default_resolution"),
    (lambda c: c.update(fit_model={}), "field"),
    (lambda c: c.update(fit_model={**FIT, "field": 0}), "field"),
    (lambda c: c.update(fit_model={**FIT, "discs": [256]}), "discs"),
    (lambda c: c.update(fit_model={**FIT, "discs": [1.5]}), "discs"),
    (lambda c: c.update(fit_model={**FIT, "layer_x0": {"7": 0}}), "layer_x0"),
    (lambda c: c.update(fit_model={**FIT, "layer_x0": {"256": 1}}), "256"),
    (lambda c: c.update(fit_model={**FIT, "resolution": {"7": [1, 0, 1]}}), "resolution"),
    (lambda c: c["edge_classifier"].update(output="tracks"), "output"),
    (lambda c: c["edge_classifier"].update(precision="fp8"), "precision"),
]


@pytest.mark.parametrize("change, named", BROKEN)
def test_a_wrong_description_is_refused_by_name(folder, change, named):
    content = json.loads((folder / "bundle.json").read_text())
    change(content)
    (folder / "bundle.json").write_text(json.dumps(content))
    with pytest.raises(RuntimeError, match=rf"demo.*{named}"):
        _core.TrackFinder.load_bundle(str(folder))


def test_damaged_and_missing_files_are_refused_by_name(folder, tmp_path):
    with pytest.raises(RuntimeError, match=r"none.bundle\.json"):
        _core.TrackFinder.load_bundle(str(tmp_path / "none"))
    network = folder / bundle.LOWERED
    network.write_bytes(network.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(RuntimeError, match=r"edge_classifier\.rfgnn: .*checksum"):
        _core.TrackFinder.load_bundle(str(folder))
    network.unlink()
    with pytest.raises(RuntimeError, match=r"edge_classifier\.rfgnn: missing from the bundle"):
        _core.TrackFinder.load_bundle(str(folder))
    (folder / "bundle.json").write_bytes(b"{")
    with pytest.raises(RuntimeError, match=r"bundle\.json: not JSON"):
        _core.TrackFinder.load_bundle(str(folder))


def test_the_command_lowers_a_file(tmp_path):
    runner = pytest.importorskip("typer.testing", reason="needs the extra [cli]").CliRunner()
    from rheinfall.cli.app import app

    source = bundle.SHIPPED / "demo" / bundle.EDGE_CLASSIFIER
    result = runner.invoke(app, ["gnn", "lower", str(source), "--out", str(tmp_path / "net.rfgnn"), "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["output_is"] == "logits"
    assert (tmp_path / "net.rfgnn").read_bytes() == (bundle.SHIPPED / "demo" / bundle.LOWERED).read_bytes()
