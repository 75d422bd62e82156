"""The C interface of the shared library, called through ctypes, gives the tracks that Python gives."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rheinfall as rf
from rheinfall.tracking import bundle
from rheinfall.tracking.hit_order import canonical_hit_order

ROOT = Path(__file__).parents[2]
CHI2_MAX, SCALE, MIN_LENGTH = 25.0, np.float32(25), 4


def _is_current(library: Path) -> bool:
    sources = [*(ROOT / "cpp").rglob("*.?pp"), *(ROOT / "cpp").rglob("*.h"), ROOT / "CMakeLists.txt"]
    return library.is_file() and library.stat().st_mtime > max(s.stat().st_mtime for s in sources)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installed shared library: that of `make test` if it is newer than the sources, else a fresh one."""
    made = ROOT / "build" / "prefix"
    if any(_is_current(library) for library in made.glob("lib*/librheinfall.so")):
        return made
    if shutil.which("cmake") is None or shutil.which("ninja") is None:
        pytest.skip("no installed C++ package at build/prefix, and no cmake and ninja to make one")
    build, target = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("prefix")
    options = ["-DBUILD_SHARED_LIBS=ON", "-DRHEINFALL_CUDA=OFF", "-DCMAKE_BUILD_TYPE=Release"]
    for command in (
        ["cmake", "-S", str(ROOT), "-B", str(build), "-G", "Ninja", *options],
        ["cmake", "--build", str(build), "-j", "2"],
        ["cmake", "--install", str(build), "--prefix", str(target)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture(scope="module")
def events() -> list[Any]:
    return list(rf.simulation.simulate(3, pile_up=5, seed=99))


@pytest.fixture(scope="module")
def map_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("map") / "demo.rfmap"
    rf.ModuleMap.build(rf.simulation.simulate(20, pile_up=5, seed=1)).save(path, statistics=False)
    return path


class Error(ctypes.Structure):
    _fields_ = [("file", ctypes.c_char * 512), ("key", ctypes.c_char * 64), ("reason", ctypes.c_char * 512)]


class Options(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("method", ctypes.c_int32),
        *((name, ctypes.c_float) for name in ("chi2_max", "score_cut", "sure", "walk_min", "walk_add")),
        ("min_length", ctypes.c_size_t),
        *((name, ctypes.c_float) for name in ("chi2_scale", "field", "layer_x0", "field_spread", "min_chi2_pt")),
        ("resolution", ctypes.c_float * 3 * 256),
        ("quadruplet_chi2_max", ctypes.c_float),
    ]


class Limits(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in ("n_hits", "n_doublets", "n_edges", "n_threads")]


class Hits(ctypes.Structure):
    _fields_ = [*((name, ctypes.c_void_p) for name in ("x", "y", "z", "module_id")), ("n_hits", ctypes.c_size_t)]


class Tracks(ctypes.Structure):
    _fields_ = [
        ("offsets", ctypes.c_void_p),
        ("offsets_capacity", ctypes.c_size_t),
        ("hits", ctypes.c_void_p),
        ("hits_capacity", ctypes.c_size_t),
        ("labels", ctypes.c_void_p),
    ]


class Result(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("n_tracks", "n_track_hits", "n_edges", "n_pruned_edges"),
            *("n_doublets", "n_unknown_modules", "n_not_finite"),
        )
    ]


@pytest.fixture(scope="module")
def library(prefix: Path) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(next(prefix.glob("lib*/librheinfall.so"))))
    for name in ("rf_finder_load", "rf_workspace_create"):
        getattr(loaded, name).restype = ctypes.c_void_p
    loaded.rf_version.restype = loaded.rf_status_string.restype = ctypes.c_char_p
    loaded.rf_finder_workspace_size.restype = ctypes.c_size_t
    return loaded


def _run_in_c(library: ctypes.CDLL, map_path: Path, hits: Any) -> tuple[Any, Any, Any, Result, int]:
    options, error, result = Options(), Error(), Result()
    library.rf_finder_options_defaults(ctypes.byref(options))
    assert options.struct_size == ctypes.sizeof(Options)
    options.chi2_max, options.min_length = CHI2_MAX, MIN_LENGTH
    finder = library.rf_finder_load(bytes(map_path), ctypes.byref(options), ctypes.byref(error))
    assert finder, error.reason
    n = len(hits)
    limits = Limits(n, 100 * n, 20 * n, 1)
    size = library.rf_finder_workspace_size(ctypes.c_void_p(finder), ctypes.byref(limits))
    workspace = library.rf_workspace_create(ctypes.c_size_t(size), None, ctypes.byref(error))
    assert workspace, error.reason
    offsets, found, labels = np.empty(n + 1, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    c_hits = Hits(hits.x.ctypes.data, hits.y.ctypes.data, hits.z.ctypes.data, hits.module_id.ctypes.data, n)
    tracks = Tracks(offsets.ctypes.data, n + 1, found.ctypes.data, n, labels.ctypes.data)
    status = library.rf_finder_run(
        ctypes.c_void_p(finder),
        ctypes.c_void_p(workspace),
        *(ctypes.byref(argument) for argument in (c_hits, limits)),
        None,
        None,
        *(ctypes.byref(argument) for argument in (tracks, result)),
    )
    library.rf_workspace_free(ctypes.c_void_p(workspace))
    library.rf_finder_free(ctypes.c_void_p(finder))
    return offsets[: result.n_tracks + 1], found[: result.n_track_hits], labels, result, status


def _run_in_python(map_path: Path, hits: Any) -> tuple[Any, Any, Any, int, int]:
    order = canonical_hit_order(hits)
    graph = rf.build_graph(hits.take(order), rf.ModuleMap.load(map_path))
    pruned = graph.prune(CHI2_MAX)
    chi2 = pruned.triplet_chi2
    total = np.minimum(chi2[0], SCALE) + np.minimum(chi2[2], SCALE)
    scores = np.float32(1) / (np.float32(1) + total / (np.float32(2) * SCALE))
    tracks = rf.build_tracks(pruned, scores, "mutual_best", min_length=MIN_LENGTH)
    labels = np.empty_like(tracks.labels)
    labels[order] = tracks.labels
    return tracks.offsets, order[tracks.hits], labels, graph.n_edges, pruned.n_edges


@pytest.mark.parametrize("event_number", range(3))
def test_c_and_python_find_the_same_tracks(
    library: ctypes.CDLL, map_path: Path, events: list[Any], event_number: int
) -> None:
    hits = events[event_number].hits
    offsets, found, labels, result, status = _run_in_c(library, map_path, hits)
    expected = _run_in_python(map_path, hits)
    assert result.n_tracks > 10
    assert library.rf_status_string(status).decode() in ("ok", "unknown_modules")
    for ours, theirs in zip((offsets, found, labels), expected[:3], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (result.n_edges, result.n_pruned_edges) == expected[3:]


def test_a_missing_map_is_an_error_object(library: ctypes.CDLL, tmp_path: Path) -> None:
    error = Error()
    assert library.rf_finder_load(bytes(tmp_path / "none.rfmap"), None, ctypes.byref(error)) is None
    assert error.file == bytes(tmp_path / "none.rfmap")
    assert error.reason
    assert library.rf_version().decode() == rf.__version__


def build_example(name: str, prefix: Path, folder: Path) -> Path:
    compiler = shutil.which("c++") or pytest.skip("no C++ compiler")
    libdir = next(prefix.glob("lib*/librheinfall.so")).parent
    program, source = folder / name, ROOT / "examples" / f"{name}.cpp"
    options = ["-std=c++20", "-O1", f"-I{prefix}/include", "-pthread"]
    link = [f"-L{libdir}", "-lrheinfall", f"-Wl,-rpath,{libdir}"]
    subprocess.run([compiler, str(source), "-o", str(program), *options, *link], check=True)
    return program


def test_example_host_runs_simulated_events_without_allocating(
    prefix: Path, map_path: Path, events: list[Any], tmp_path: Path
) -> None:
    host = build_example("hlt_host", prefix, tmp_path)
    paths = [rf.io.write_event(tmp_path / f"event{i}", e, suffix=".csv")[0] for i, e in enumerate(events)]
    done = subprocess.run([host, map_path, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "allocations in the event loop: 0"
    for line, event in zip(lines, events, strict=False):
        assert f": {len(event.hits)} hits, " in line
    # A bundle: its network too, as Python finds them.
    done = subprocess.run([host, bundle.SHIPPED / "demo", *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    finder = rf.TrackFinder.load("demo")
    for line, path in zip(done.stdout.splitlines(), paths, strict=False):
        tracks = finder(rf.io.read_event(path).hits)
        assert f", {len(tracks)} tracks with {len(tracks.hits)} hits, {tracks.status}" in line


@pytest.mark.parametrize(("n_lines", "cut", "line"), [(5, 1, 5), (5, 2, 5), (5, 9, 5), (1, 3, 1), (5, 0, None)])
def test_example_host_refuses_a_file_that_was_cut(
    prefix: Path, map_path: Path, events: list[Any], tmp_path: Path, n_lines: int, cut: int, line: int | None
) -> None:
    path = rf.io.write_event(tmp_path / "event", events[0], suffix=".csv")[0]
    lines = path.read_bytes().splitlines(keepends=True)
    text = b"".join(lines[:n_lines])
    path.write_bytes(text[: len(text) - cut])
    host = build_example("hlt_host", prefix, tmp_path)
    done = subprocess.run([host, map_path, path], capture_output=True, text=True, check=False)
    if line is None:
        assert (done.returncode, done.stderr) == (0, "")
        assert ": 4 hits, " in done.stdout
    else:
        problem = "expected hit_id,x,y,z,volume_id,layer_id,module_id and the end of the line"
        assert (done.returncode, done.stderr) == (3, f"hlt_host: {path}:{line}: {problem}\n")


def test_example_trigger_runs_the_network_of_the_python_example(prefix: Path, tmp_path: Path) -> None:
    script = ROOT / "examples" / "quantized_network.py"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, str(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "score" in done.stdout
    host = build_example("trigger_host", prefix, tmp_path)
    done = subprocess.run(
        [host, tmp_path / "anomaly_score.json", "1e9", "500"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("0 of 500 events accepted, 0 bad, ")
    assert done.stdout.endswith("allocations in the event loop: 0\n")
    (tmp_path / "anomaly_score.json").write_text("{}")
    done = subprocess.run([host, tmp_path / "anomaly_score.json", "1"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "anomaly_score.json" in done.stderr


def test_a_program_that_embeds_python_calls_the_api(tmp_path: Path) -> None:
    pybind11 = pytest.importorskip("pybind11", reason="no pybind11 (pip install rheinfall[test])")
    compiler = shutil.which("c++") or pytest.skip("no C++ compiler")
    include, libdir = sysconfig.get_path("include"), sysconfig.get_config_var("LIBDIR")
    if not sysconfig.get_config_var("Py_ENABLE_SHARED") or not (Path(include) / "Python.h").is_file():
        pytest.skip("this Python cannot be embedded: no shared libpython, or no headers")
    program = tmp_path / "embed_python"
    source = ROOT / "tests" / "consumer" / "embed_python.cpp"
    library = f"-lpython{sysconfig.get_config_var('LDVERSION')}"
    flags = ["-std=c++20", "-fvisibility=hidden", f"-I{include}", f"-I{pybind11.get_include()}"]
    link = [f"-L{libdir}", library, f"-Wl,-rpath,{libdir}"]
    subprocess.run([compiler, str(source), "-o", str(program), *flags, *link], check=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{rf.__version__}: ")
