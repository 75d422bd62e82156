from __future__ import annotations

import csv
import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

import rheinfall
from rheinfall.cli import ExitCode, main
from rheinfall.cli.exit_codes import MEANINGS
from rheinfall.cli.output import Output, make_table

pytest.importorskip("typer")
pytest.importorskip("rich")


class StubFinder:
    """Finds the tracks of the truth's order: every three hits in turn are a track."""

    info: ClassVar[dict[str, Any]] = {"name": "stub"}
    timings: ClassVar[dict[str, float]] = {"graph": 1.5, "prune": 0.25, "build": 0.5, "total": 2.5}
    counts: ClassVar[dict[str, int]] = {"hits": 9, "edges": 1234, "pruned_edges": 567, "tracks": 3}
    status = "ok"

    @classmethod
    def load(cls, name: str) -> StubFinder:
        if name != "stub":
            raise ValueError(f"{name}: no such bundle, expected stub or a path")
        return cls()

    def __call__(self, hits: Any) -> Any:
        n = len(hits) // 3
        return SimpleNamespace(offsets=np.arange(n + 1) * 3, hits=np.arange(3 * n), status=self.status)

    def fit(self, hits: Any, tracks: Any) -> Any:
        return rheinfall.fit_tracks(tracks, hits)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> type[StubFinder]:
    monkeypatch.setattr(rheinfall, "TrackFinder", StubFinder, raising=False)
    return StubFinder


def write_small_event(folder: Path, name: str = "event000000007", *, truth: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    prefix = folder / name
    rng = np.random.default_rng(1)
    hits = [f"{i + 1},{x:.3f},{y:.3f},{z:.3f},8,2,{i}" for i, (x, y, z) in enumerate(rng.normal(0, 99, (9, 3)))]
    Path(f"{prefix}-hits.csv").write_text("\n".join(["hit_id,x,y,z,volume_id,layer_id,module_id", *hits, ""]))
    if truth:
        rows = [f"{i + 1},{100 + i // 3 if i < 6 else 0}" for i in range(9)]
        Path(f"{prefix}-truth.csv").write_text("\n".join(["hit_id,particle_id", *rows, ""]))
        particles = [f"{p},0,0,0,3,4,1,1" for p in (100, 101, 102)]
        Path(f"{prefix}-particles.csv").write_text("\n".join(["particle_id,vx,vy,vz,px,py,pz,q", *particles, ""]))
    return prefix


def run_json(capsys: pytest.CaptureFixture[str], *arguments: Any) -> dict[str, Any]:
    assert main([*map(str, arguments), "--json"]) == ExitCode.OK
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


@pytest.mark.usefixtures("stub")
def test_find_judges_writes_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = write_small_event(tmp_path)
    out, page = tmp_path / "tracks.csv", tmp_path / "event.html"
    document = run_json(capsys, "find", prefix, "--finder", "stub", "--out", out, "--display", page)
    (event,) = document["events"]
    assert (event["event"], event["n_hits"], event["n_tracks"], event["status"]) == ("event000000007", 9, 3, "ok")
    assert event["timings_ms"]["graph"] == 1.5
    assert event["n_edges"] == 1234
    truth = event["truth"]
    assert (truth["kind"], truth["rule"]) == ("full", "double_majority")
    assert (truth["efficiency"]["passed"], truth["efficiency"]["total"]) == (2, 2)  # particle 102 has no hit
    assert truth["fake_rate"]["value"] == pytest.approx(1 / 3)  # three noise hits
    assert document["all_events"]["efficiency"]["value"] == 1
    assert out.read_text().split()[:3] == ["hit_id,track_id", "1,0", "2,0"]
    assert "<html" in page.read_text()


@pytest.mark.usefixtures("stub")
def test_find_prints_stages_and_rates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "event.html"
    assert main(["find", str(write_small_event(tmp_path)), "--finder", "stub", "--display", str(page)]) == ExitCode.OK
    text = capsys.readouterr().out
    for part in (
        "event000000007",
        "graph construction",
        "1,234 edges",
        "567 edges left",
        "9 hits",
        "3 tracks",
        "double_majority",
        "100.00 %",
        "event.html",
    ):
        assert part in text


def test_full_metrics_are_those_of_the_library(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["event0", "event1"]
    for name, event in zip(names, rheinfall.simulation.simulate(2, pile_up=3, seed=4), strict=True):
        assert event.truth is not None
        event.truth.weight = np.linspace(0, 1, len(event.hits), dtype=np.float32)
        rheinfall.io.write_event(tmp_path / name, event)
    find = ("find", tmp_path, "--finder", "demo", "--min-pt", 0.5, "--metrics", "full")
    document = run_json(capsys, *find)
    finder, matches, edges, components = rheinfall.TrackFinder.load("demo"), [], [], []
    for name, described in zip(names, document["events"], strict=True):
        event = rheinfall.io.read_event(tmp_path / name)
        assert event.truth is not None
        tracks = finder(event.hits)
        matches.append(rheinfall.metrics.match_tracks(tracks, event.truth, min_pt=0.5))
        graph = rheinfall.build_graph(event.hits, finder.module_map, finder.triplet_model)
        cut = finder.thresholds.chi2_max
        graph = graph if cut is None else graph.prune(cut, finder.thresholds.quadruplet_chi2_max)
        scores = finder.edge_classifier(graph)
        edges.append(rheinfall.metrics.match_edges(graph, event.truth, scores=scores, min_pt=0.5))
        truth = described["truth"]
        assert truth["trackml_score"] == rheinfall.metrics.trackml_score(tracks, event.truth)
        for rate, counts in edges[-1].counts.items():
            assert (truth["edges"][rate]["passed"], truth["edges"][rate]["total"]) == counts
        report = finder.build(finder.score_edges(event.hits), report=True).report
        assert report is not None
        assert all(getattr(report, key) == n for key, n in described["components"].items())
        assert described["components"]["n_components"] > 0
        components.append(described["components"])
        assert truth["edges"]["auc"] == pytest.approx(edges[-1].auc, abs=1e-6)  # sums in another order of hits
    for variable, described in document["binned"].items():
        curve = rheinfall.metrics.combine(matches).binned(variable, described["edges"])
        assert described["n_passed"] == curve.n_passed.tolist()
        assert described["n_total"] == curve.n_total.tolist()
        assert sum(described["n_total"]) + described["n_outside"] == document["all_events"]["efficiency"]["total"] > 0
    assert main([str(argument) for argument in find]) == ExitCode.OK
    text = capsys.readouterr().out
    n_passed, n_total = (sum(e.counts["efficiency"][i] for e in edges) for i in (0, 1))
    assert re.search(rf"efficiency .* {n_passed:,} / {n_total:,} +of the true edges", text)
    for key in ("n_whole", "n_unused_hits"):
        label = key.removeprefix("n_").replace("_", " ")
        assert re.search(rf"^{label} +{sum(c[key] for c in components):,} ", text, re.M)
    assert re.search(r"TrackML score +\d+\.\d+ % +mean of 2 events", text)
    for words in ("area under the ROC curve", "pT [GeV]", "-1 to 0"):
        assert words in text
    short = run_json(capsys, *find[:-2])
    assert "binned" not in short
    assert "edges" not in short["events"][0]["truth"]
    assert short["events"][0]["truth"]["trackml_score"] == document["events"][0]["truth"]["trackml_score"]


@pytest.mark.usefixtures("stub")
def test_find_writes_parameters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = write_small_event(tmp_path)
    path = tmp_path / "fits.csv"
    (event,) = run_json(capsys, "find", prefix, "--finder", "stub", "--parameters", path)["events"]
    assert event["files"] == {"parameters": str(path)}
    assert event["timings_ms"]["total"] == pytest.approx(2.5 + event["timings_ms"]["fit"])
    hits = rheinfall.io.read_event(prefix).hits
    expected = rheinfall.fit_tracks(StubFinder()(hits), hits)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["track_id"] for row in rows] == ["0", "1", "2"]
    assert [row["status"] for row in rows] == ["ok"] * 3
    for name in ("pt", "eta", "phi", "d0", "z0", "chi2", "sigma_q_over_pt"):
        assert [np.float32(row[name]) for row in rows] == getattr(expected, name).tolist()
    assert main(["find", str(prefix), "--finder", "stub", "--parameters", "fits.txt"]) == ExitCode.USAGE


def test_parameters_without_a_fit_are_empty_fields(tmp_path: Path) -> None:
    hits = rheinfall.Hits(*np.ones((3, 2), np.float32), np.zeros(2, np.uint64), np.arange(2, dtype=np.uint64))
    tracks = rheinfall.Tracks(np.array([0, 2]), np.arange(2), np.zeros(2, np.int64))
    path = rheinfall.io.write_parameters(tmp_path / "fits.csv.gz", rheinfall.fit_tracks(tracks, hits))
    head, row = gzip.decompress(path.read_bytes()).decode().splitlines()
    cells = dict(zip(head.split(","), row.split(","), strict=True))
    assert (cells.pop("track_id"), cells.pop("n_dof"), cells.pop("status")) == ("0", "0", "too_few_hits")
    assert set(cells.values()) == {""}
    with pytest.raises(ValueError, match="expected a name that ends in"):
        rheinfall.io.write_parameters(tmp_path / "fits.txt", rheinfall.fit_tracks(tracks, hits))
    pyarrow = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.read_table(
        rheinfall.io.write_parameters(tmp_path / "f.parquet", rheinfall.fit_tracks(tracks, hits))
    )
    assert table["status"].to_pylist() == ["too_few_hits"]
    assert np.isnan(table["pt"].to_pylist()[0])


@pytest.mark.usefixtures("stub")
def test_find_many_events_from_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in (3, 1, 2):
        write_small_event(tmp_path / "in", f"event{i}", truth=i != 2)
    out = tmp_path / "out"
    out.mkdir()
    document = run_json(capsys, "find", tmp_path / "in", "--finder", "stub", "--out", out)
    assert [event["event"] for event in document["events"]] == ["event1", "event2", "event3"]
    assert [event["truth"]["kind"] for event in document["events"]] == ["full", "none", "full"]
    assert document["all_events"]["efficiency"]["total"] == 4
    assert sorted(path.name for path in out.iterdir()) == [f"event{i}-tracks.csv" for i in (1, 2, 3)]
    assert main(["find", str(tmp_path / "in"), "--finder", "stub"]) == ExitCode.OK
    text = capsys.readouterr().out
    assert "3 events" in text
    assert "median" in text


@pytest.mark.usefixtures("stub")
def test_quiet_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["find", str(write_small_event(tmp_path)), "--finder", "stub", "--quiet"]) == ExitCode.OK
    assert capfd.readouterr() == ("", "")


def expect_error(capfd: pytest.CaptureFixture[str], code: ExitCode, words: str, *arguments: Any) -> None:
    assert main([str(argument) for argument in arguments]) == code
    out, error = capfd.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert error.startswith("rheinfall: ")
    assert words in error


@pytest.mark.usefixtures("stub")
def test_find_errors_are_one_line_with_their_code(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    prefix = write_small_event(tmp_path / "in")
    write_small_event(tmp_path / "in", "event000000008")
    find = ("find", prefix, "--finder", "stub")
    expect_error(capfd, ExitCode.BAD_INPUT, "nowhere", "find", tmp_path / "nowhere", "--finder", "stub")
    expect_error(capfd, ExitCode.BAD_INPUT, "no such bundle", "find", prefix, "--finder", "other")
    expect_error(capfd, ExitCode.USAGE, "{event}", "find", prefix.parent, "--finder", "stub", "--out", "one.csv")
    expect_error(capfd, ExitCode.USAGE, "rule: expected one of", *find, "--rule", "best")
    assert main([*map(str, find), "--metrics", "best"]) == ExitCode.USAGE
    assert "'short', 'full'" in capfd.readouterr().err
    expect_error(capfd, ExitCode.BAD_OUTPUT, "absent", *find, "--out", tmp_path / "absent" / "tracks.csv")
    expect_error(capfd, ExitCode.USAGE, ".parquet", *find, "--out", tmp_path / "tracks.txt")
    both = tmp_path / "both.csv"
    expect_error(capfd, ExitCode.USAGE, "would overwrite", *find, "--out", both, "--parameters", both)
    (tmp_path / "other").mkdir()
    twin = write_small_event(tmp_path / "other")
    (tmp_path / "tracks").mkdir()
    expect_error(capfd, ExitCode.USAGE, "would overwrite", *find, twin, "--out", tmp_path / "tracks")
    assert not both.exists()
    (tmp_path / "empty").mkdir()
    expect_error(capfd, ExitCode.BAD_INPUT, "no events", "find", tmp_path / "empty", "--finder", "stub")
    hits = Path(f"{prefix}-hits.csv")
    hits.write_text(hits.read_text().replace("volume_id", "volume"))
    expect_error(capfd, ExitCode.BAD_INPUT, "volume_id", *find)


def test_bad_status_is_told_by_the_exit_code(
    tmp_path: Path, stub: type[StubFinder], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    find = ["find", str(write_small_event(tmp_path)), "--finder", "stub"]
    monkeypatch.setattr(stub, "status", "cycle")
    assert main([*find, "--json"]) == ExitCode.BAD_STATUS
    out, error = capfd.readouterr()
    assert json.loads(out)["events"][0]["status"] == "cycle"  # the result is there all the same
    assert error == "rheinfall: bad status of event000000007: cycle\n"
    monkeypatch.setattr(stub, "status", "unknown_modules")
    assert main([*find, "--json"]) == ExitCode.OK
    assert "warning" in capfd.readouterr().err


def test_usage_errors_and_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["find"]) == ExitCode.USAGE
    assert main(["nonsense"]) == ExitCode.USAGE
    assert main(["simulate", "0"]) == ExitCode.USAGE
    capfd.readouterr()
    for command in ([], ["find"], ["simulate"], ["module-map"], ["module-map", "build"], ["quantized"], ["info"]):
        assert main([*command, "--help"]) == ExitCode.OK
        text = " ".join(capfd.readouterr().out.split())
        assert "4 an input file is missing or bad" in text


def test_the_manual_lists_every_exit_code_and_command() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    listed = re.findall(r"^\| (\d+) \| ([\w ]+)", manual, re.M)
    assert [int(code) for code, _ in listed] == [int(code) for code in MEANINGS]
    for (_, words), meaning in zip(listed, MEANINGS.values(), strict=True):
        assert meaning.startswith(words.strip())
    for command in ("find", "simulate", "module-map build", "module-map convert", "quantized run", "info"):
        assert f"`rheinfall {command}" in manual


def test_simulate_writes_what_read_event_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--pile-up", 2, "--seed", 5)
    document = run_json(capsys, "simulate", 2, "--out", tmp_path / "a", *options)
    assert [event["event"] for event in document["events"]] == ["event000000000", "event000000001"]
    for described in document["events"]:
        event = rheinfall.io.read_event(tmp_path / "a" / described["event"])
        assert len(event.hits) == described["n_hits"] > 0
        assert event.truth is not None
        assert event.truth.known.all()
    run_json(capsys, "simulate", 1, "--out", tmp_path / "b", "--first-event", 1, *options)
    name = "event000000001-hits.csv.gz"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    run_json(capsys, "simulate", 1, "--out", tmp_path / "c", "--noise", 0, "--no-compress", *options)
    assert "\n0," not in (tmp_path / "c" / "event000000000-truth.csv").read_text()


def test_simulate_refuses_options_that_do_not_go_together(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    simulate = ("simulate", "--out", tmp_path / "e")
    expect_error(capfd, ExitCode.USAGE, "--fatras needs --detectors", *simulate, "--fatras")
    expect_error(capfd, ExitCode.USAGE, "only --fatras", *simulate, "--detectors", "d.csv")
    fatras = (*simulate, "--fatras", "--detectors", tmp_path / "absent.csv")
    expect_error(capfd, ExitCode.BAD_INPUT, "absent.csv: no such file", *fatras)
    expect_error(capfd, ExitCode.USAGE, "--particles", *fatras, "--pile-up", 3)
    (tmp_path / "file").touch()
    expect_error(capfd, ExitCode.BAD_OUTPUT, "file", "simulate", "--out", tmp_path / "file" / "events")


def test_info_tells_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    document = run_json(capsys, "info")
    assert document["version"] == rheinfall.__version__
    assert document["build"]["compiler"]
    assert document["extras"]["cli"]["typer"]
    assert main(["--version"]) == ExitCode.OK
    assert capsys.readouterr().out == f"{rheinfall.__version__}\n"


def run_module(*arguments: str, prelude: str = "") -> subprocess.CompletedProcess[str]:
    """`python -m rheinfall` in a process of its own, after `prelude`."""
    run = f"import runpy, sys; sys.argv[1:] = {list(arguments)!r}; runpy.run_module('rheinfall', run_name='__main__')"
    code = f"{prelude}\n{run}"
    root = str(Path(rheinfall.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


WITHOUT_TYPER = "import sys; sys.modules['typer'] = sys.modules['rich'] = None"


def test_without_the_extra_the_error_names_it() -> None:
    result = run_module("info", prelude=WITHOUT_TYPER)
    assert result.returncode == ExitCode.MISSING_EXTRA
    assert result.stderr.count("\n") == 1
    assert "pip install 'rheinfall[cli]'" in result.stderr


@pytest.mark.parametrize("option, below", [("--cmake-dir", "lib/cmake/rheinfall"), ("--include-dir", "include")])
def test_directories_of_a_wheel_need_no_extra(option: str, below: str) -> None:
    folder = Path(rheinfall.__file__).parent / below
    result = run_module(option, prelude=WITHOUT_TYPER)
    if folder.is_dir():
        assert (result.returncode, result.stdout.strip()) == (ExitCode.OK, str(folder))
    else:  # run from the source tree
        assert (result.returncode, result.stdout) == (ExitCode.BAD_INPUT, "")
        assert "is for an installed package" in result.stderr


def test_exit_codes_reach_the_shell() -> None:
    assert run_module("find").returncode == ExitCode.USAGE
    missing = run_module("simulate", "--fatras")
    assert (missing.returncode, missing.stdout) == (ExitCode.USAGE, "")
    assert "Traceback" not in missing.stderr
    assert run_module("info", "--json").returncode == ExitCode.OK


def test_tables_show_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    Output().say(make_table("run[a]", ("name", "n"), [("dense[b]", "[/c]")]))
    assert {"run[a]", "dense[b]", "[/c]"} <= set(capsys.readouterr().out.split())
