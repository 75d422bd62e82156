"""Reading and writing events: round trips, real files, and the one error that each bad input gives."""

from __future__ import annotations

import gzip
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from rheinfall import io
from rheinfall.event import decode_module_id, encode_module_id

SHARED = Path(os.environ.get("RHEINFALL_SHARED", Path(__file__).resolve().parents[3] / "shared"))
TRACKML = SHARED / "data" / "trackml"
needs_trackml = pytest.mark.skipif(not TRACKML.is_dir(), reason=f"needs the TrackML events in {TRACKML}")

HITS = """hit_id,x,y,z,volume_id,layer_id,module_id
7,-86.7962,-14.7304,-1502.5,7,2,1
3,-68.7035,-10.899,-1502.5,7,2,13
12,1.5,2,3e1,255,4095,1048575
"""
TRUTH = """hit_id,particle_id,tx,ty,tz,tpx,tpy,tpz,weight
3,0,0,0,0,0,0,0,0.0
7,4503668346847232,0,0,0,0,0,0,0.25
12,18446744073709551615,0,0,0,0,0,0,0.5
"""
PARTICLES = """particle_id,particle_type,vx,vy,vz,px,py,pz,q,nhits
4503668346847232,-211,0.04,0.027,6.04,3,4,0,-1,11
4503805785800704,321,1.5,1.5,6.04,30,8,109,1,10
"""


def write(folder: Path, kind: str, text: str, suffix: str = ".csv") -> Path:
    path = folder / f"event000000001-{kind}{suffix}"
    data = text.encode()
    path.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    return path


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    write(tmp_path, "hits", HITS)
    write(tmp_path, "truth", TRUTH, ".csv.gz")
    write(tmp_path, "particles", PARTICLES)
    return tmp_path / "event000000001"


def test_reads_an_event_in_file_order(prefix: Path) -> None:
    event = io.read_event(prefix)
    assert event.name == "event000000001"
    assert event.hits.hit_id.tolist() == [7, 3, 12]
    assert event.hits.x.dtype == np.float32
    np.testing.assert_array_equal(event.hits.z, np.array([-1502.5, -1502.5, 30], np.float32))
    np.testing.assert_array_equal(event.hits.module_id, encode_module_id([7, 7, 255], [2, 2, 4095], [1, 13, 1048575]))
    assert [v.tolist() for v in decode_module_id(event.hits.module_id[2:])] == [[255], [4095], [1048575]]
    assert event.truth is not None
    assert event.truth.particle_id.tolist() == [4503668346847232, 0, 18446744073709551615]
    assert event.truth.known.all()
    assert event.truth.weight is not None
    assert event.truth.weight.tolist() == [0.25, 0, 0.5]
    particles = event.truth.particles
    assert particles is not None
    np.testing.assert_allclose(particles.pt[0], 5)
    assert particles.charge.tolist() == [-1, 1]
    assert particles.primary.tolist() == [True, False]  # radii 0.05 and 2.12 mm


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_reads_by_hits_file_as_by_prefix(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, "hits", HITS, suffix)
    by_file, by_prefix = io.read_event(path), io.read_event(str(tmp_path / "event000000001"))
    assert by_file.name == by_prefix.name == "event000000001"
    np.testing.assert_array_equal(by_file.hits.x, by_prefix.hits.x)
    assert by_file.truth is None


def test_takes_columns_in_any_order_and_line_ends_of_any_kind(tmp_path: Path) -> None:
    text = "module_id,layer_id,note,volume_id,z,y,x,hit_id\r\n1,2,odd text,7,3,2,1,9\r\n\r\n"
    event = io.read_event(write(tmp_path, "hits", "\ufeff" + text))
    assert (event.hits.x[0], event.hits.y[0], event.hits.z[0], event.hits.hit_id[0]) == (1, 2, 3, 9)


def test_file_of_any_name_is_a_hits_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(HITS)
    event = io.read_event(path)
    assert (event.name, len(event.hits), event.truth) == ("mine", 3, None)


def test_header_alone_is_an_event_without_hits(tmp_path: Path) -> None:
    write(tmp_path, "hits", HITS.splitlines()[0])
    write(tmp_path, "truth", TRUTH.splitlines()[0])
    event = io.read_event(tmp_path / "event000000001")
    assert len(event.hits) == 0
    assert event.truth is not None
    assert len(event.truth.known) == 0


def test_truth_can_be_left_unread(prefix: Path) -> None:
    assert io.read_event(prefix, truth=False).truth is None


def test_partial_truth_is_unknown_elsewhere_and_keeps_ambiguous_rows(tmp_path: Path) -> None:
    write(tmp_path, "hits", HITS)
    write(tmp_path, "pixeltruth", "hit_id,particle_id,pt,lay,ambiguous\n12,5,0.3,0,1\n3,0,0,0,0\n")
    event = io.read_event(tmp_path / "event000000001")
    assert event.truth is not None
    assert event.truth.known.tolist() == [False, True, True]
    assert event.truth.particle_id.tolist() == [0, 0, 5]
    assert event.truth.particles is None
    assert event.truth.weight is None
    assert event.notes == ("1 coincident hits whose particles may be exchanged, kept as known truth",)


def test_full_truth_goes_before_partial(prefix: Path) -> None:
    write(prefix.parent, "pixeltruth", "hit_id,particle_id\n12,5\n")
    event = io.read_event(prefix)
    assert event.truth is not None
    assert event.truth.known.all()


def test_iterates_over_a_folder_by_name(tmp_path: Path) -> None:
    for name in ("event2", "event1"):
        (tmp_path / f"{name}-hits.csv").write_text(HITS)
    (tmp_path / "event1-hits.csv.gz").write_bytes(gzip.compress(HITS.encode()))
    assert [event.name for event in io.iter_events(tmp_path)] == ["event1", "event2"]


# Bad input ----------------------------------------------------------------------------------------------------------

LINE_2 = "7,-86.7962,-14.7304,-1502.5,7,2,1"
NO_MODULE = "hit_id,x,y,z,volume_id,layer_id\n1,2,3,4,5,6\n"
HIT_FAULTS = {
    "missing column": (NO_MODULE, 1, "module_id", "missing column, expected each of hit_id, x, y, z, volume_id"),
    "repeated column": (HITS.replace("x,y", "x,x"), 1, "x", "repeated column"),
    "no header": (HITS.split("\n", 1)[1], 1, "hit_id", "missing column"),
    "word": (HITS.replace("-10.899", "east"), 3, "y", "expected a finite number (float32), got 'east'"),
    "empty field": (HITS.replace("-10.899", ""), 3, "y", "expected a finite number (float32), got ''"),
    "nan": (HITS.replace("-10.899", "nan"), 3, "y", "expected a finite number (float32), got 'nan'"),
    "infinite": (HITS.replace("3e1", "inf"), 4, "z", "expected a finite number (float32), got 'inf'"),
    "above float32": (HITS.replace("3e1", "3e39"), 4, "z", "expected a finite number (float32), got '3e39'"),
    "fractional id": (HITS.replace("7,2,13", "7,2,13.0"), 3, "module_id", "expected an integer of 64 bits, got '13.0'"),
    "negative id": (HITS.replace("\n3,", "\n-3,"), 3, "hit_id", "expected a non-negative integer below 2^64, got '-3'"),
    "enormous id": (HITS.replace("\n3,", f"\n{2**64},"), 3, "hit_id", f"below 2^64, got '{2**64}'"),
    "duplicate": (HITS.replace("\n12,", "\n7,"), 4, "hit_id", "duplicate hit_id 7, already on line 2"),
    "negative volume": (HITS.replace("7,2,13", "-7,2,13"), 3, "volume_id", "expected a number from 0 to 255, got -7"),
    "large volume": (HITS.replace("7,2,13", "256,2,13"), 3, "volume_id", "expected a number from 0 to 255, got 256"),
    "large layer": (HITS.replace("4095", "4096"), 4, "layer_id", "expected a number from 0 to 4095, got 4096"),
    "large module": (HITS.replace("1048575", "1048576"), 4, "module_id", "from 0 to 1048575, got 1048576"),
    "field missing": (HITS.replace("7,2,13", "7,2"), 3, "module_id", "expected 7 fields as in the header, got 6"),
    "field too many": (HITS.replace("7,2,13", "7,2,13,1"), 3, None, "expected 7 fields as in the header, got 8"),
    "line cut": (HITS[:-25], 4, "y", "expected 7 fields as in the header, got 2"),
    "blank line": (HITS.replace("\n3,", "\n\n3,"), 3, "hit_id", "expected 7 fields as in the header, got 0"),
    "empty": ("", 1, None, "empty file, expected a header with the columns hit_id, x, y, z"),
    "blank": ("\n \n", 1, None, "empty file"),
}


def message_of(error: io.EventFileError, path: Path) -> str:
    """The message without the file, which must come first."""
    text = str(error)
    assert text.startswith(str(path))
    assert error.file == str(path)
    place = "" if error.line is None else f", line {error.line}"
    place += "" if error.column is None else f", column {error.column}"
    assert text.startswith(f"{path}{place}: ")
    return text.removeprefix(f"{path}{place}: ")


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
@pytest.mark.parametrize("fault", HIT_FAULTS)
def test_bad_hits_file_is_one_clear_error(tmp_path: Path, fault: str, suffix: str) -> None:
    text, line, column, problem = HIT_FAULTS[fault]
    path = write(tmp_path, "hits", text, suffix)
    with pytest.raises(io.EventFileError) as caught:
        io.read_event(tmp_path / "event000000001")
    assert (caught.value.line, caught.value.column) == (line, column)
    assert problem in message_of(caught.value, path)
    assert isinstance(caught.value, ValueError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


TRUTH_FAULTS = {
    "unknown hit": (TRUTH.replace("\n7,", "\n8,"), 3, "hit_id", "unknown hit_id 8, expected one of the event's 3 hits"),
    "beyond": (TRUTH.replace("\n12,", "\n99,"), 4, "hit_id", "unknown hit_id 99"),
    "row missing": (
        TRUTH[: TRUTH.index("12,18")],
        None,
        "hit_id",
        "expected a row for every hit, got none for 1 of 3, first hit_id 12",
    ),
    "twice": (TRUTH.replace("\n7,", "\n3,"), 3, "hit_id", "duplicate hit_id 3, already on line 2"),
    "word": (TRUTH.replace("4503668346847232", "muon"), 3, "particle_id", "got 'muon'"),
    "no particle": (TRUTH.replace("particle_id", "particle"), 1, "particle_id", "missing column"),
    "nan weight": (TRUTH.replace("0.25", "nan"), 3, "weight", "got 'nan'"),
    "negative weight": (TRUTH.replace("0.25", "-1"), 3, "weight", "expected a number of at least 0, got -1.0"),
}


@pytest.mark.parametrize("fault", TRUTH_FAULTS)
def test_bad_truth_file_is_one_clear_error(tmp_path: Path, fault: str) -> None:
    text, line, column, problem = TRUTH_FAULTS[fault]
    write(tmp_path, "hits", HITS)
    path = write(tmp_path, "truth", text)
    with pytest.raises(io.EventFileError) as caught:
        io.read_event(tmp_path / "event000000001")
    assert (caught.value.line, caught.value.column) == (line, column)
    assert problem in message_of(caught.value, path)


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        (PARTICLES.replace("4503805785800704", "4503668346847232"), 3, "particle_id", "already on line 2"),
        (PARTICLES.replace("4503805785800704", "0"), 3, "particle_id", "expected a positive particle_id, got 0"),
        (PARTICLES.replace("0.027", "inf"), 2, "vy", "got 'inf'"),
        (PARTICLES.replace("nhits", "primary"), 2, "primary", "expected a number from 0 to 1, got 11"),
    ],
)
def test_bad_particles_file_is_one_clear_error(prefix: Path, text: str, line: int, column: str, problem: str) -> None:
    path = write(prefix.parent, "particles", text)
    with pytest.raises(io.EventFileError) as caught:
        io.read_event(prefix)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert problem in message_of(caught.value, path)


def test_truncated_gzip_names_the_line_where_the_data_end(tmp_path: Path) -> None:
    lines = [LINE_2.replace("7,", f"{i},", 1).replace(".5", f".{i * 7919 % 10007}") for i in range(20000)]
    data = gzip.compress("\n".join([HITS.splitlines()[0], *lines]).encode())
    path = tmp_path / "event000000001-hits.csv.gz"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(io.EventFileError, match="truncated gzip file, its data end within this line") as caught:
        io.read_event(path)
    assert 6000 < (caught.value.line or 0) < 14000


def test_damaged_or_uncompressed_gzip_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "event000000001-hits.csv.gz"
    path.write_text(HITS)
    with pytest.raises(io.EventFileError, match=r"expected gzip data, since the name ends in \.gz"):
        io.read_event(path)
    data = bytearray(gzip.compress(HITS.encode()))
    data[-6] ^= 1  # checksum
    path.write_bytes(data)
    with pytest.raises(io.EventFileError, match="gz: damaged gzip file: CRC check failed"):
        io.read_event(path)


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    path = tmp_path / "event000000001-hits.csv"
    path.write_bytes(HITS.encode().replace(b"-10.899", b"\xff\xfe"))
    with pytest.raises(io.EventFileError, match="line 3: expected comma-separated text, got bytes that are not UTF-8"):
        io.read_event(path)


def test_missing_files_and_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(io.EventFileError, match=r"event5: no such event, expected a file event5-hits\.csv or"):
        io.read_event(tmp_path / "event5")
    with pytest.raises(io.EventFileError, match=r"event5-hits\.csv: no such file"):
        io.read_event(tmp_path / "event5-hits.csv")
    with pytest.raises(io.EventFileError, match="got a folder: use iter_events"):
        io.read_event(tmp_path)
    with pytest.raises(io.EventFileError, match="no events, expected files named"):
        io.iter_events(tmp_path)
    with pytest.raises(io.EventFileError, match="expected a folder"):
        io.iter_events(tmp_path / "none")


# Detectors ----------------------------------------------------------------------------------------------------------

DETECTORS = (
    ",volume_id,layer_id,module_id,cx,cy,cz,rot_xu,rot_xv,rot_xw,rot_yu,rot_yv,rot_yw,rot_zu,rot_zv,rot_zw,"
    "module_t,module_minhu,module_maxhu,module_hv,pitch_u,pitch_v\n"
    "0,7,2,1,-65.8,-5.2,-1502.5,1,2,3,4,5,6,7,8,9,0.15,8.4,8.5,36,0.05,0.056\n"
    "1,7,2,13,-139.9,-6.5,-1502,1,2,3,4,5,6,7,8,9,0.15,8.4,8.5,36,0.05,0.056\n"
)


def test_hit_on_an_unknown_module_is_told(prefix: Path, tmp_path: Path) -> None:
    path = tmp_path / "detectors.csv"
    path.write_text(DETECTORS)
    with pytest.raises(io.EventFileError) as caught:
        io.read_event(prefix, detectors=path)
    assert str(caught.value) == (
        f"{prefix}-hits.csv, line 4, column volume_id, layer_id, module_id: "
        f"unknown module (255, 4095, 1048575), expected one of the 2 of {path}"
    )
    with pytest.raises(io.EventFileError, match="unknown module"):
        next(iter(io.iter_events(tmp_path, detectors=path)))


def test_reads_detectors(tmp_path: Path) -> None:
    path = tmp_path / "detectors.csv"
    path.write_text(DETECTORS)
    detectors = io.read_detectors(path)
    np.testing.assert_array_equal(detectors.module_id, encode_module_id([7, 7], [2, 2], [1, 13]))
    np.testing.assert_allclose(detectors.center[1], [-139.9, -6.5, -1502])
    assert detectors.rotation[0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    np.testing.assert_allclose([detectors.half_v[0], detectors.pitch_v[0]], [36, 0.056])
    path.write_text(DETECTORS.replace("7,2,13", "7,2,1"))
    with pytest.raises(io.EventFileError, match=r"line 3, .*: duplicate module \(7, 2, 1\), already on line 2"):
        io.read_detectors(path)


# Real files ---------------------------------------------------------------------------------------------------------


@needs_trackml
def test_reads_event_21000() -> None:
    event = io.read_event(TRACKML / "event21000" / "event000021000", detectors=TRACKML / "detectors.csv.gz")
    assert len(event.hits) == 125_576
    assert event.truth is not None
    assert event.truth.particles is not None
    assert len(event.truth.particles) == 12_670
    assert np.count_nonzero(event.truth.known) == 66_114
    volume, _, _ = decode_module_id(event.hits.module_id)
    np.testing.assert_array_equal(event.truth.known, volume <= 9)  # pixels
    assert np.isin(event.truth.particle_id[event.truth.particle_id > 0], event.truth.particles.particle_id).all()
    assert event.notes[0].startswith("4 coincident hits")


@needs_trackml
def test_reads_the_small_event() -> None:
    event = next(iter(io.iter_events(TRACKML / "small")))
    assert len(event.hits) == 5_527
    assert event.truth is not None
    assert event.truth.particles is not None
    assert len(event.truth.particles) == 548
    assert event.truth.known.all()
    assert np.count_nonzero(event.truth.particle_id == 0) == 829


@needs_trackml
def test_reads_all_detectors() -> None:
    detectors = io.read_detectors(TRACKML / "detectors.csv.gz")
    assert len(detectors) == 18_728
    determinants = np.linalg.det(detectors.rotation.astype(np.float64))
    np.testing.assert_allclose(np.abs(determinants), 1, atol=1e-4)  # six digits in the file
