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
    assert run_json(capsys, "inspect", one) == document
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


def test_options_reach_the_map(events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = run_json(capsys, "build", events, "--out", tmp_path / "a.rfmap")
    bare = run_json(capsys, "build", events, "--out", tmp_path / "b.rfmap", "--no-statistics")
    rare = run_json(capsys, "build", events, "--out", tmp_path / "c.rfmap", "--min-occurrence", 2)
    hard = run_json(capsys, "build", events, "--out", tmp_path / "d.rfmap", "--min-pt", 2)
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
    expect(ExitCode.USAGE, "--convention", "convert", tmp_path / "map.txt", tmp_path / "m.rfmap")
    for hits in events.glob("event000000000-hits*"):
        (tmp_path / hits.name).write_bytes(hits.read_bytes())
    expect(ExitCode.BAD_INPUT, "no truth", "build", tmp_path, "--out", tmp_path / "m.rfmap")
    expect(ExitCode.BAD_OUTPUT, "nowhere", "build", events, "--out", tmp_path / "nowhere" / "m.rfmap")
