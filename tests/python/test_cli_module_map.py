from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rheinfall.cli import ExitCode, main

pytest.importorskip("typer")
pytest.importorskip("rich")


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("events")
    assert main(["simulate", "3", "--out", str(folder), "--pile-up", "3", "--seed", "2", "--quiet"]) == ExitCode.OK
    return folder


def run(*arguments: Any) -> int:
    return main(["module-map", *map(str, arguments)])


def run_json(capsys: pytest.CaptureFixture[str], *arguments: Any) -> dict[str, Any]:
    capsys.readouterr()
    assert run(*arguments, "--json") == ExitCode.OK
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_build_is_the_same_for_any_number_of_workers(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "one.rfmap", tmp_path / "two.rfmap"
    document = run_json(capsys, "build", events, "--out", one)
    assert document["n_modules"] > 0
    assert document["n_triplets"] > document["n_modules"]
    assert document["bytes"] == one.stat().st_size
    run_json(capsys, "build", events, "--out", two, "--workers", 2)
    assert one.read_bytes() == two.read_bytes()
    inspected = run_json(capsys, "inspect", one)
    inspected.pop("coverage")
    assert inspected == document
    assert run("inspect", one) == ExitCode.OK
    assert f"{document['n_triplets']:,}" in capsys.readouterr().out


def test_merged_maps_are_the_map_of_all_events(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [tmp_path / f"{i}.rfmap" for i in range(3)]
    for i, part in enumerate(parts):
        run_json(capsys, "build", events / f"event00000000{i}", "--out", part)
    run_json(capsys, "merge", *parts, "--out", tmp_path / "merged.rfmap")
    run_json(capsys, "merge", *parts[::-1], "--out", tmp_path / "reversed.rfmap")
    run_json(capsys, "build", events, "--out", tmp_path / "all.rfmap")
    everything = (tmp_path / "all.rfmap").read_bytes()
    assert (tmp_path / "merged.rfmap").read_bytes() == everything
    assert (tmp_path / "reversed.rfmap").read_bytes() == everything


def test_limits_reach_merged_and_pruned_maps(events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full, core = tmp_path / "full.rfmap", tmp_path / "core.rfmap"
    document = run_json(capsys, "build", events, "--out", full)
    options = ["--core", 2, "--sigmas", 0.5, "--min-occurrence", 2, "--absolute", "0.1,0,0,0.001,0,0.002"]
    options += ["--max-phi-slope", 4e-4]
    run_json(capsys, "build", events, "--out", core, *options)
    run_json(capsys, "merge", full, "--out", tmp_path / "merged.rfmap", *options)
    assert (tmp_path / "merged.rfmap").read_bytes() == core.read_bytes()
    run_json(capsys, "prune", full, "--out", tmp_path / "pruned.rfmap", *options, "--statistics")
    assert (tmp_path / "pruned.rfmap").read_bytes() == core.read_bytes()
    bare = run_json(capsys, "prune", full, "--out", tmp_path / "bare.rfmap")
    assert not bare["statistics"]
    assert bare["n_triplets"] == document["n_triplets"]
    assert full.read_bytes().startswith((tmp_path / "bare.rfmap").read_bytes())
    rare = run_json(capsys, "prune", tmp_path / "bare.rfmap", "--out", tmp_path / "rare.rfmap", "--min-occurrence", 2)
    assert 0 < rare["n_triplets"] < bare["n_triplets"]
    again = run_json(capsys, "prune", full, "--out", tmp_path / "again.rfmap", "--min-occurrence", 2)
    assert (tmp_path / "again.rfmap").read_bytes() == (tmp_path / "rare.rfmap").read_bytes()
    assert again["bytes"] < bare["bytes"]


def test_inspect_draws_coverage_and_names_what_is_thin(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "map.rfmap"
    run_json(capsys, "build", events, "--out", path)
    coverage = run_json(capsys, "inspect", path)["coverage"]
    assert coverage["min_occurrence"] == 1
    assert coverage["thin"] == [
        f"layer {layer['volume']}/{layer['layer']}: {layer['rare_share']:.1%} of the triples on triplets seen once"
        for layer in coverage["layers"]
        if layer["rare_share"] > 0.005
    ]
    assert coverage["thin"], "three events cover little"
    assert run("inspect", path) == ExitCode.OK
    out = capsys.readouterr().out
    assert all(f"thin: {line}" in " ".join(out.split()) for line in coverage["thin"])
    assert "█" in out
    assert run("inspect", path, "--thin", 1) == ExitCode.OK
    assert "nothing is thin" in capsys.readouterr().out


def test_a_map_is_converted_to_the_present_format(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "map.rfmap"
    run_json(capsys, "build", events, "--out", path)
    document = run_json(capsys, "convert", path, tmp_path / "converted.rfmap")
    assert document["format_version"] == 2
    assert (tmp_path / "converted.rfmap").read_bytes() == path.read_bytes()


def test_a_picture_of_the_coverage(events: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run("build", events, "--out", tmp_path / "map.rfmap", "--quiet") == ExitCode.OK
    assert run("inspect", tmp_path / "map.rfmap", "--plot", tmp_path / "map.png", "--quiet") == ExitCode.OK
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_options_reach_the_map(events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = run_json(capsys, "build", events, "--out", tmp_path / "a.rfmap")
    bare = run_json(capsys, "build", events, "--out", tmp_path / "b.rfmap", "--no-statistics")
    rare = run_json(capsys, "build", events, "--out", tmp_path / "c.rfmap", "--min-occurrence", 2)
    hard = run_json(capsys, "build", events, "--out", tmp_path / "d.rfmap", "--min-pt", 2)
    for option in (["--max-eta", 1], ["--max-radius", 1], ["--min-hits", 9], ["--primary-only"]):
        fewer = run_json(capsys, "build", events, "--out", tmp_path / "e.rfmap", *option)
        assert 0 < fewer["n_triplets"] < plain["n_triplets"], option
    slope = run_json(capsys, "build", events, "--out", tmp_path / "f.rfmap", "--bend", "slope_difference")
    assert slope["convention"].endswith("bend=slope_difference")
    assert (plain["statistics"], bare["statistics"]) == (True, False)
    assert bare["bytes"] < plain["bytes"]
    assert bare["n_triplets"] == plain["n_triplets"] > rare["n_triplets"]
    assert hard["n_triplets"] < plain["n_triplets"]


def test_errors(events: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def expect(code: ExitCode, words: str, *arguments: Any) -> None:
        capfd.readouterr()
        assert run(*arguments) == code
        out, error = capfd.readouterr()
        assert out == ""
        assert error.count("\n") == 1
        assert words in error

    damaged = tmp_path / "damaged.rfmap"
    damaged.write_bytes(b"not a map")
    expect(ExitCode.BAD_INPUT, "damaged.rfmap", "inspect", damaged)
    expect(ExitCode.BAD_INPUT, "absent.rfmap", "inspect", tmp_path / "absent.rfmap")
    expect(ExitCode.USAGE, "expected a name", "convert", tmp_path / "map.dat", tmp_path / "map.txt")
    (tmp_path / "map.txt").touch()
    whole, bare, slope = (tmp_path / name for name in ("whole.rfmap", "bare.rfmap", "slope.rfmap"))
    for path, options in ((whole, []), (bare, ["--no-statistics"]), (slope, ["--bend", "slope_difference"])):
        assert run("build", events / "event000000000", "--out", path, "--quiet", *options) == ExitCode.OK
    out = ["--out", tmp_path / "m.rfmap"]
    expect(ExitCode.BAD_INPUT, "bare.rfmap: merge: this map carries limits only", "merge", bare, whole, *out)
    expect(ExitCode.BAD_INPUT, "bare.rfmap: merge: this map carries limits only", "merge", whole, bare, *out)
    expect(ExitCode.BAD_INPUT, "slope.rfmap: merge: the two maps measure the bend", "merge", whole, slope, *out)
    expect(ExitCode.BAD_INPUT, "bare.rfmap: with_limits: this map carries", "prune", bare, *out, "--core", 2)
    expect(ExitCode.BAD_INPUT, "powers of two as occurrence, got 3", "prune", bare, *out, "--min-occurrence", 3)
    expect(ExitCode.BAD_INPUT, "bare.rfmap: save with statistics", "prune", bare, *out, "--statistics")
    expect(ExitCode.USAGE, "--absolute: expected six numbers", "prune", whole, *out, "--absolute", "1,2")
    expect(ExitCode.USAGE, "--convention", "convert", tmp_path / "map.txt", tmp_path / "m.rfmap")
    for hits in events.glob("event000000000-hits*"):
        (tmp_path / hits.name).write_bytes(hits.read_bytes())
    expect(ExitCode.BAD_INPUT, "no truth", "build", tmp_path, "--out", tmp_path / "m.rfmap")
    expect(ExitCode.BAD_OUTPUT, "nowhere", "build", events, "--out", tmp_path / "nowhere" / "m.rfmap")
