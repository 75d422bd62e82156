"""Writing events and tracks, and events as Awkward arrays and ROOT trees: what is written is read back."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rheinfall import io
from rheinfall.event import Event, Hits, Particles, Truth, encode_module_id


def make_event(seed: int = 1, n: int = 400, *, partial: bool = False, truth: bool = True) -> Event:
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.integers(-6, 5, (3, n))
    x, y, z = (rng.normal(size=(3, n)) * scale).astype(np.float32)
    module_id = encode_module_id(rng.integers(0, 256, n), rng.integers(0, 4096, n), rng.integers(0, 1 << 20, n))
    hits = Hits(x, y, z, module_id, rng.permutation(np.arange(5, 5 + 3 * n, 3)).astype(np.uint64))
    if not truth:
        return Event(hits)
    ids = np.unique(rng.integers(1, 2**64, 30, dtype=np.uint64))
    known = rng.random(n) < 0.5 if partial else np.ones(n, np.bool_)
    particle_id = np.where(known, rng.choice(np.append(ids, np.uint64(0)), n), np.uint64(0))
    numbers = rng.normal(size=(7, len(ids))).astype(np.float32)
    particles = Particles(ids, *numbers, primary=rng.random(len(ids)) < 0.5)
    weight = np.where(known, rng.random(n), 0).astype(np.float32)
    return Event(hits, Truth(particle_id, known, particles, weight))


def assert_same(a: Event, b: Event) -> None:
    for name in ("x", "y", "z", "module_id", "hit_id"):
        np.testing.assert_array_equal(getattr(a.hits, name), getattr(b.hits, name), strict=True)
    assert (a.truth is None) == (b.truth is None)
    if a.truth is None or b.truth is None:
        return
    for name in ("particle_id", "known", "weight"):
        np.testing.assert_array_equal(getattr(a.truth, name), getattr(b.truth, name), strict=True)
    assert a.truth.particles is not None
    assert b.truth.particles is not None
    for name in ("particle_id", "vx", "vy", "vz", "px", "py", "pz", "charge", "primary"):
        np.testing.assert_array_equal(getattr(a.truth.particles, name), getattr(b.truth.particles, name), strict=True)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
@pytest.mark.parametrize("options", [{}, {"partial": True}, {"truth": False}, {"n": 0}])
def test_event_written_is_event_read(tmp_path: Path, suffix: str, options: dict[str, Any]) -> None:
    event = make_event(**options)
    prefix = tmp_path / "new" / "event000000007"
    files = io.write_event(prefix, event, suffix=suffix)
    assert sorted(files) == sorted(prefix.parent.iterdir())
    assert all(path.name.endswith(suffix) for path in files)
    again = io.read_event(prefix)
    assert again.name == "event000000007"
    assert_same(event, again)


def test_every_float32_survives_the_text(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    bits = rng.integers(0, 2**32, 60_000, dtype=np.uint32).view(np.float32)
    values = bits[np.isfinite(bits)]
    n = len(values)
    hits = Hits(values, values, values, np.zeros(n, np.uint64), np.arange(n, dtype=np.uint64))
    io.write_event(tmp_path / "e", Event(hits), suffix=".csv")
    read = io.read_event(tmp_path / "e").hits.x
    np.testing.assert_array_equal(read.view(np.uint32), values.view(np.uint32))


def test_same_event_gives_the_same_bytes_and_counts_hits(tmp_path: Path) -> None:
    event = make_event()
    first, second = (io.write_event(tmp_path / name / "event1", event) for name in ("a", "b"))
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
    rows = np.loadtxt(tmp_path / "a" / "event1-particles.csv.gz", delimiter=",", skiprows=1, dtype=str)
    assert event.truth is not None
    for row in rows:
        assert int(row[8]) == np.count_nonzero(event.truth.particle_id == np.uint64(row[0]))


def test_writer_refuses_what_a_reader_would_misread(tmp_path: Path) -> None:
    event = make_event(truth=False)
    (tmp_path / "event1-truth.csv").write_text("old")
    with pytest.raises(FileExistsError, match=r"event1-truth\.csv: a reader would take it"):
        io.write_event(tmp_path / "event1", event)
    with pytest.raises(ValueError, match=r"suffix: expected one of \.csv, \.csv\.gz, got '\.txt'"):
        io.write_event(tmp_path / "event2", event, suffix=".txt")
    event.hits.y[3] = np.nan
    with pytest.raises(ValueError, match=r"hits\.y: expected finite coordinates, got nan at 3"):
        io.write_event(tmp_path / "event2", event)


# Tracks -------------------------------------------------------------------------------------------------------------

TRACKS = SimpleNamespace(offsets=np.array([0, 3, 3, 5]), hits=np.array([4, 0, 2, 1, 4]))


def test_tracks_as_submission(tmp_path: Path) -> None:
    hits = make_event(n=6).hits
    expected = [
        "hit_id,track_id",
        *(f"{hits.hit_id[h]},{t}" for h, t in zip(TRACKS.hits, [0, 0, 0, 2, 2], strict=True)),
    ]
    plain = io.write_tracks(tmp_path / "tracks.csv", TRACKS, hits)
    assert plain.read_text().splitlines() == expected
    packed = io.write_tracks(tmp_path / "tracks.csv.gz", TRACKS, hits)
    assert gzip.decompress(packed.read_bytes()).decode().splitlines() == expected


def test_tracks_as_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra [io]")
    hits = make_event(n=6).hits
    rows = parquet.read_table(io.write_tracks(tmp_path / "tracks.parquet", TRACKS, hits)).to_pylist()
    assert [row["track_id"] for row in rows] == [0, 1, 2]
    assert [row["hit_id"] for row in rows] == [hits.hit_id[[4, 0, 2]].tolist(), [], hits.hit_id[[1, 4]].tolist()]


def test_no_tracks(tmp_path: Path) -> None:
    none = SimpleNamespace(offsets=np.zeros(1, np.int64), hits=np.zeros(0, np.int64))
    path = io.write_tracks(tmp_path / "tracks.csv", none, make_event(n=6).hits)
    assert path.read_text() == "hit_id,track_id\n"


def test_bad_tracks_are_refused(tmp_path: Path) -> None:
    hits = make_event(n=4).hits
    with pytest.raises(ValueError, match=r"tracks\.hits: expected indices from 0 to 3, got 0 to 4"):
        io.write_tracks(tmp_path / "tracks.csv", TRACKS, hits)
    with pytest.raises(ValueError, match="expected a name that ends in"):
        io.write_tracks(
            tmp_path / "tracks.root", SimpleNamespace(offsets=np.zeros(1, np.int64), hits=TRACKS.hits[:0]), hits
        )


# Awkward and ROOT ---------------------------------------------------------------------------------------------------


def test_awkward_round_trip() -> None:
    pytest.importorskip("awkward", reason="needs the extra [io]")
    events = [make_event(1, 30, partial=True), make_event(2, 0, partial=True), make_event(3, 50)]
    again = io.from_awkward(io.to_awkward(events))
    assert [event.name for event in again] == ["event000000000", "event000000001", "event000000002"]
    for a, b in zip(events, again, strict=True):
        assert_same(a, b)


def test_awkward_of_no_events_and_of_unlike_events() -> None:
    pytest.importorskip("awkward", reason="needs the extra [io]")
    assert io.from_awkward(io.to_awkward([])) == []
    with pytest.raises(ValueError, match="expected particle_id in all 2 events or in none, got it in 1"):
        io.to_awkward([make_event(1), make_event(2, truth=False)])


def test_awkward_with_module_numbers_and_no_truth() -> None:
    ak = pytest.importorskip("awkward", reason="needs the extra [io]")
    columns = {"x": [[1.0, 2], []], "y": [[1, 2], []], "z": [[1, 2], []]}
    columns.update(volume_id=[[7, 8], []], layer_id=[[2, 4], []], module_id=[[1, 9], []])
    first, second = io.from_awkward(ak.Array(columns_to_records(columns)))
    np.testing.assert_array_equal(first.hits.module_id, encode_module_id([7, 8], [2, 4], [1, 9]))
    assert first.hits.hit_id.tolist() == [0, 1]
    assert first.truth is None
    assert len(second.hits) == 0


def columns_to_records(columns: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z": None}, "awkward array, column z: missing field, expected x, y, z, module_id"),
        ({"y": [[1.0], [2.0]]}, "awkward array, column y: event 1: expected 2 entries as in x, got 1"),
        (
            {"y": [[1.0], [2.0, float("nan")]]},
            "column y: event 1, entry 1: expected a finite number (float32), got nan",
        ),
        ({"y": [["a"], ["b", "c"]]}, "column y: expected a list of numbers per event"),
        ({"y": [1.0, 2.0]}, "column y: expected a list of numbers per event"),
        ({"y": [[1.0], [2.0, None]]}, "column y: expected a list of numbers per event"),
        (
            {"module_id": [[1], [2, -3]]},
            "column module_id: event 1, entry 1: expected an integer from 0 to 2^64 - 1, got -3",
        ),
        ({"module_id": [[1.0], [2.0, 3.0]]}, "column module_id: expected integers, got float64"),
        ({"hit_id": [[1], [2, 2]]}, "column hit_id: event 1, entry 1: expected no duplicate, got 2"),
        (
            {"particle_id": [[1], [2, 2]], "weight": [[1.0], [0.5, -1.0]]},
            "column weight: event 1, entry 1: expected a number of at least 0, got -1.0",
        ),
        ({"particles_particle_id": [[1], [2]]}, "column particles_vx: missing field of the particle table"),
    ],
)
def test_bad_awkward_array_is_one_clear_error(change: dict[str, Any], message: str) -> None:
    ak = pytest.importorskip("awkward", reason="needs the extra [io]")
    columns: dict[str, Any] = {name: [[1.0], [2.0, 3.0]] for name in "xyz"}
    columns["module_id"] = [[1], [2, 3]]
    columns.update(change)
    columns = {name: values for name, values in columns.items() if values is not None}
    with pytest.raises(io.EventFileError) as caught:
        io.from_awkward(ak.Array(columns_to_records(columns)))
    assert message in str(caught.value)


def test_root_round_trip(tmp_path: Path) -> None:
    uproot = pytest.importorskip("uproot", reason="needs the extra [io]")
    ak = pytest.importorskip("awkward", reason="needs the extra [io]")
    events = [make_event(1, 30), make_event(3, 50)]
    array = io.to_awkward(events)
    path = tmp_path / "events.root"
    with uproot.recreate(path) as file:
        columns = {
            name: ak.values_astype(array[name], np.uint8) if "known" in name or "primary" in name else array[name]
            for name in ak.fields(array)
        }
        file.mktree("events", {name: values.type.content for name, values in columns.items()})
        file["events"].extend(columns)
    for tree in ("events", None):
        for a, b in zip(events, io.read_root(path, tree), strict=True):
            assert_same(a, b)
    with pytest.raises(io.EventFileError, match=r"no tree 'hits', expected one of \['events'\]"):
        io.read_root(path, "hits")
    with pytest.raises(io.EventFileError, match="no such file"):
        io.read_root(tmp_path / "none.root")
    (tmp_path / "text.root").write_text("hello, this is not a ROOT file at all" * 50)
    with pytest.raises(io.EventFileError, match="expected a ROOT file"):
        io.read_root(tmp_path / "text.root")


def test_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("pyarrow", "awkward", "uproot"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"rheinfall\[io\]"):
        io.write_tracks(tmp_path / "tracks.parquet", TRACKS, make_event(n=6).hits)
    with pytest.raises(ImportError, match=r"rheinfall\[io\]"):
        io.from_awkward([])
    with pytest.raises(ImportError, match=r"rheinfall\[io\]"):
        io.read_root(tmp_path / "events.root")
