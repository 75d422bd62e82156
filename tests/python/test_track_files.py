"""Tracks read from files, those of other finders too, and `rheinfall find --compare`."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rheinfall as rf
from rheinfall import io


def make_hits(n: int, seed: int = 1) -> rf.Hits:
    rng = np.random.default_rng(seed)
    x, y, z = rng.choice([-2.0, -1.0, 1.0, 2.0, 5.0], (3, n)).astype(np.float32)  # equal distances
    return rf.Hits(x, y, z, np.arange(n, dtype=np.uint64), rng.permutation(n).astype(np.uint64) * np.uint64(7))


@pytest.mark.parametrize("suffix", io.TRACK_SUFFIXES)
def test_what_is_written_is_read_back(tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="needs the extra [io]")
    for seed in range(20):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 40))
        hits = make_hits(n, seed)
        used = rng.permutation(n)[: int(rng.integers(0, n + 1))]
        groups = [part for part in np.array_split(used, int(rng.integers(1, 6))) if len(part)]
        offsets = np.cumsum([0, *map(len, groups)]).astype(np.int64)
        tracks = rf.Tracks(offsets, np.concatenate([*groups, np.zeros(0, np.int64)]).astype(np.int64), np.zeros(n))
        again = io.read_tracks(io.write_tracks(tmp_path / f"{seed}{suffix}", tracks, hits), hits)
        distance = hits.x.astype(float) ** 2 + hits.y.astype(float) ** 2 + hits.z.astype(float) ** 2
        expected = [sorted(part.tolist(), key=lambda h, d=distance: (d[h], h)) for part in groups]  # type: ignore[misc]
        assert [track.tolist() for track in again] == expected
        labels = np.full(n, -1)
        for i, track in enumerate(expected):
            labels[track] = i
        np.testing.assert_array_equal(again.labels, labels)


def test_files_of_other_finders(tmp_path: Path) -> None:
    hits = rf.Hits(
        *np.arange(1, 13, dtype=np.float32).reshape(3, 4), np.zeros(4, np.uint64), np.arange(10, 14).astype("u8")
    )
    path = tmp_path / "other.csv"
    path.write_text("event_id,track_id,hit_id\n1,40,12\n1,7,11\n1,-1,13\n1,7,10\n1,40,11\n")
    tracks = io.read_tracks(path, hits)
    assert [track.tolist() for track in tracks] == [[0, 1], [1, 2]]  # by track_id, from inside to outside; one shared
    assert tracks.labels.tolist() == [0, 0, 1, -1]
    path.write_text("hit_id,track_id\n")
    assert len(io.read_tracks(path, hits)) == 0
    for text, words in (
        ("hit_id,track_id\n10,1\n99,1\n", "line 3, column hit_id: unknown hit_id 99"),
        ("hit_id,track_id\n10,1\n11,1\n10,1\n", "hit_id 10 stands twice in track 1"),
        ("hit_id,track\n10,1\n", "column track_id: missing column"),
        ("hit_id,track_id\n10,x\n", "line 2, column track_id"),
    ):
        path.write_text(text)
        with pytest.raises(io.EventFileError, match=words):
            io.read_tracks(path, hits)
    with pytest.raises(io.EventFileError, match="no such file"):
        io.read_tracks(tmp_path / "absent.csv", hits)
    with pytest.raises(ValueError, match="expected a name that ends in"):
        io.read_tracks(tmp_path / "tracks.root", hits)


def test_bad_parquet_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrow = pytest.importorskip("pyarrow", reason="needs the extra [io]")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra [io]")
    hits, path = make_hits(4), tmp_path / "tracks.parquet"
    with pytest.raises(io.EventFileError, match="no such file"):
        io.read_tracks(path, hits)
    path.write_text("no parquet")
    with pytest.raises(io.EventFileError, match="expected columns track_id"):
        io.read_tracks(path, hits)
    parquet.write_table(arrow.table({"track_id": [0, 1]}), path)
    with pytest.raises(io.EventFileError, match="expected columns track_id"):
        io.read_tracks(path, hits)
    parquet.write_table(arrow.table({"track_id": [0], "hit_id": [[0, 5]]}), path)
    with pytest.raises(io.EventFileError, match="unknown hit_id 5, expected one of the event's 4 hits"):
        io.read_tracks(path, hits)
    with pytest.raises(io.EventFileError, match="unknown hit_id 0"):
        io.read_tracks(path, make_hits(0))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"rheinfall\[io\]"):
        io.read_tracks(path, hits)


def test_a_comparison_is_written_with_fields_for_what_is_known(tmp_path: Path) -> None:
    particle = np.array([1, 1, 1, 2, 2, 2, 3, 3, 3], np.uint64)
    truth = rf.Truth(particle, np.ones(9, np.bool_), None)
    offsets = np.array([0, 3, 6])
    one, two = (rf.Tracks(offsets, np.array(hits), np.zeros(9)) for hits in ([0, 1, 2, 3, 4, 5], [6, 7, 8, 0, 1, 2]))
    selection: dict[str, Any] = {"min_pt": None, "eta_max": None, "primary_only": False}
    compared = rf.metrics.compare_tracks(one, two, truth, names=("A", "B"), **selection)
    path = io.write_comparison(tmp_path / "c.csv", compared)
    assert path.read_text() == "particle_id,found_by,pt,eta,phi,radius,n_hits\n2,A,,,,,3\n3,B,,,,,3\n"
    same = rf.metrics.compare_tracks(one, one, truth, **selection)
    assert io.write_comparison(path, same).read_text() == "particle_id,found_by,pt,eta,phi,radius,n_hits\n"
    with pytest.raises(ValueError, match="expected a name that ends in"):
        io.write_comparison(tmp_path / "c.txt", compared)
    compared.names = ("A,B", "C")
    with pytest.raises(ValueError, match="no comma"):
        io.write_comparison(path, compared)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two events, and in the folder tracks what another finder found: of the demo's tracks all but every third."""
    folder = tmp_path_factory.mktemp("events")
    (folder / "tracks").mkdir()
    finder = rf.TrackFinder.load("demo")
    for i, event in enumerate(rf.simulation.simulate(2, pile_up=4, seed=11)):
        io.write_event(folder / f"event{i}", event)
        tracks = finder(event.hits)
        kept = tracks.select(np.arange(len(tracks)) % 3 != 2)
        io.write_tracks(folder / "tracks" / f"event{i}-tracks.csv.gz", kept, event.hits)
    return folder


def find(*arguments: Any) -> int:
    pytest.importorskip("typer")
    from rheinfall.cli import main

    return main(["find", *map(str, arguments), "--finder", "demo"])


def test_find_compares_with_the_tracks_of_another(
    tmp_path: Path, events: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare = ("--compare", events / "tracks", "--min-pt", 0.5)
    assert find(events, *compare, "--out", tmp_path, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    finder, n_alone = rf.TrackFinder.load("demo"), 0
    for i, described in enumerate(document["events"]):
        event = io.read_event(events / f"event{i}")
        assert event.truth is not None
        tracks = finder(event.hits)
        other = tracks.select(np.arange(len(tracks)) % 3 != 2)
        expected = rf.metrics.compare_tracks(tracks, other, event.truth, min_pt=0.5, hits=event.hits)
        found = described["comparison"]
        assert found["names"] == ["demo", "tracks"]
        assert (found["first"]["n_tracks"], found["second"]["n_tracks"]) == (len(tracks), len(other))
        assert (found["first"]["n_alone"], found["second"]["n_alone"]) == (len(tracks) - len(other), 0)
        assert found["n_identical"] == len(other)
        for name, side in (("first", found["first"]), ("second", found["second"])):
            assert side["n_particles_alone"] == len(expected.particles[name])
            assert side["efficiency"]["value"] == getattr(expected, name).efficiency
        n_alone += found["first"]["n_particles_alone"]
        path = tmp_path / f"event{i}-tracks-comparison.csv"
        assert described["files"]["comparison"] == str(path)
        rows = list(csv.DictReader(path.read_text().splitlines()))
        assert [int(row["particle_id"]) for row in rows] == expected.particles["first"].tolist()
        assert {row["found_by"] for row in rows} == {"demo"}
        table = expected.first.particles
        place = np.searchsorted(table.particle_id, expected.particles["first"])
        assert [float(row["pt"]) for row in rows] == pytest.approx(table.pt[place], rel=1e-6)
        assert [int(row["n_hits"]) for row in rows] == table.n_hits[place].tolist()
    assert document["comparison"]["first"]["n_particles_alone"] == n_alone > 0
    assert document["comparison"]["second"]["efficiency"]["total"] == document["all_events"]["efficiency"]["total"]
    assert find(events, *compare) == 0
    text = capsys.readouterr().out
    both, neither = (document["comparison"][f"n_particles_{which}"] for which in ("both", "neither"))
    assert f"particles found by both {both:,}, by neither {neither:,}" in text
    assert "two finders" in text


def test_find_compares_with_another_bundle_and_draws_both(
    tmp_path: Path, events: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[dict[str, Any]] = []
    monkeypatch.setattr("rheinfall.cli.find.write_plots", lambda out, folder, finders: drawn.append(finders) or [])
    pytest.importorskip("mplhep", reason="needs the extra [plots]")
    plots = ("--plots", tmp_path / "plots")
    assert find(events / "event0", "--compare", "demo", *plots, "--json") == 0
    found = json.loads(capsys.readouterr().out)["comparison"]
    assert found["names"] == ["demo", "demo (compared)"]
    assert found["n_identical"] == found["first"]["n_tracks"] == found["second"]["n_tracks"] > 0
    assert (found["n_particles_neither"], found["first"]["n_alone"]) == (
        found["first"]["efficiency"]["total"] - found["n_particles_both"],
        0,
    )
    one, two = drawn[0].values()
    assert list(drawn[0]) == found["names"]
    assert one.match.counts == two.match.counts
    np.testing.assert_array_equal(one.fitted["pt"], two.fitted["pt"])


def test_bad_comparisons_are_one_clear_error(tmp_path: Path, events: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tracks = events / "tracks" / "event0-tracks.csv.gz"
    event = events / "event0"

    def expect(code: int, words: str, *arguments: Any) -> None:
        assert find(*arguments) == code
        out, error = capfd.readouterr()
        assert (out, error.count("\n")) == ("", 1)
        assert words in error

    before = tracks.read_bytes()
    expect(2, "would overwrite the tracks to compare with", event, "--compare", tracks, "--out", tracks)
    expect(2, "{event}", events, "--compare", tracks)
    clash = ("--out", tmp_path / "a.csv", "--parameters", tmp_path / "a-comparison.csv")
    expect(2, "would overwrite", event, "--compare", tracks, *clash)
    expect(2, "without commas", event, "--compare", tmp_path / "a,b.csv")
    expect(4, "neither a shipped bundle", event, "--compare", "nowhere")
    expect(4, "absent.csv: no such file", event, "--compare", tmp_path / "absent.csv")
    expect(4, "event0-tracks.csv: no such file", event, "--compare", tmp_path)
    expect(4, "unknown hit_id", event, "--compare", events / "tracks" / "event1-tracks.csv.gz")
    (tmp_path / "event0-hits.csv.gz").write_bytes((events / "event0-hits.csv.gz").read_bytes())
    expect(4, "--compare needs events with truth", tmp_path / "event0", "--compare", tracks)
    assert tracks.read_bytes() == before
