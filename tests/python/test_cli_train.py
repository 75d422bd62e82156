from __future__ import annotations

import json
from pathlib import Path

import pytest

import rheinfall
from rheinfall.cli import ExitCode, main

for package in ("typer", "rich", "torch", "onnx", "onnxruntime"):
    pytest.importorskip(package)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_from_simulated_events_to_a_bundle_that_finds_tracks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: object) -> str:
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == ExitCode.OK
        return capsys.readouterr().out

    events, module_map, bundle = tmp_path / "events", tmp_path / "map.rfmap", tmp_path / "bundle"
    run("simulate", 12, "--out", events, "--pile-up", 3, "--seed", 4, "--quiet")
    run("module-map", "build", events, "--out", module_map, "--quiet")
    options = ("--hidden", 4, "--iterations", 1, "--steps", 20, "--min-length", 4)
    document = json.loads(run("train", events, "--module-map", module_map, "--out", bundle, *options, "--json"))
    assert document["steps"] == 20
    assert document["thresholds"]["min_length"] == 4
    provenance = rheinfall.TrackFinder.load(bundle).info["provenance"]
    assert len(provenance["events"]) == 12
    assert provenance["thresholds_chosen_on"] == ["event000000010", "event000000011"]
    assert len(provenance["module_map"]["sha256"]) == 64

    page, out = tmp_path / "event.html", tmp_path / "tracks.csv.gz"
    found = json.loads(
        run("find", events / "event000000011", "--finder", bundle, "--display", page, "--out", out, "--json")
    )
    (event,) = found["events"]
    assert event["status"] == "unknown_modules"  # noise on modules that none of the twelve events reached
    assert event["n_tracks"] > 0
    assert event["counts"]["pruned_edges"] <= event["n_edges"]
    assert set(event["timings_ms"]) >= {"graph", "classify", "build", "total", "read"}
    assert event["truth"]["efficiency"]["value"] > 0.3
    assert page.stat().st_size > 1e6
    assert out.exists()


def test_reproduce_asks_for_the_detectors_of_trackml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("acts")
    assert main(["reproduce", "trackml", "--out", str(tmp_path / "bundle")]) == ExitCode.USAGE
    assert "--detectors: trackml needs TrackML's detectors.csv" in capsys.readouterr().err
