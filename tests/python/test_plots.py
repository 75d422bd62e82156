"""Plots of efficiencies and rates: what is drawn, read back from the axes."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import rheinfall as rf
from rheinfall import metrics
from rheinfall.metrics.plots import DEFAULT_BINS, bins_of

PLOTS = all(importlib.util.find_spec(name) for name in ("matplotlib", "mplhep"))
needs_plots = pytest.mark.skipif(not PLOTS, reason="needs the extra [plots]")


def make_event(seed: int, n_particles: int = 60) -> tuple[Any, rf.Truth]:
    """Particles of 4 hits, every third with a track, every fifth of these with a second; 5 tracks of noise."""
    rng = np.random.default_rng(seed)
    ids = np.arange(1, n_particles + 1)
    angle, pt = rng.uniform(-np.pi, np.pi, n_particles), rng.uniform(0.2, 12, n_particles)
    columns = {
        "vx": rng.choice([0.0, 25.0, 120.0], n_particles),
        "vy": np.zeros(n_particles),
        "vz": np.zeros(n_particles),
        "px": pt * np.cos(angle),
        "py": pt * np.sin(angle),
        "pz": pt * np.sinh(rng.uniform(-3, 3, n_particles)),
        "charge": np.ones(n_particles),
    }
    table = rf.Particles(
        ids.astype(np.uint64),
        **{name: column.astype(np.float32) for name, column in columns.items()},
        primary=columns["vx"] == 0,
    )
    particle = np.concatenate([np.repeat(ids, 4), np.zeros(15, np.int64)])
    tracks = [list(range(4 * i, 4 * i + 4)) for i in range(0, n_particles, 3)]
    tracks += [track[:3] for track in tracks[::5]]
    tracks += [list(range(4 * n_particles + 3 * i, 4 * n_particles + 3 * i + 3)) for i in range(5)]
    truth = rf.Truth(particle.astype(np.uint64), np.ones(len(particle), np.bool_), table)
    offsets = np.cumsum([0, *map(len, tracks)]).astype(np.int64)
    return SimpleNamespace(offsets=offsets, hits=np.array([h for t in tracks for h in t], np.int64)), truth


def drawn(axes: Any) -> dict[str, list[tuple[float, ...]]]:
    """Of each curve by its label the points (left, right, low, value, high) that can be seen."""
    curves = {}
    for container in axes.containers:
        line, _, (across, upright) = container.lines
        rows = []
        for (x, y), flat, tall in zip(line.get_xydata(), across.get_segments(), upright.get_segments(), strict=True):
            if np.isfinite(y):
                assert flat[:, 1].tolist() == [y, y]
                assert tall[:, 0].tolist() == [x, x]
                rows.append((*flat[:, 0].tolist(), tall[0, 1], y, tall[1, 1]))
        curves[container.get_label()] = rows
    return curves


@needs_plots
@pytest.mark.parametrize("variable", metrics.particles.VARIABLES)
def test_the_efficiency_is_drawn_as_counted_by_hand(variable: str) -> None:
    tracks, truth = make_event(1)
    matches = metrics.match_tracks(tracks, truth, min_pt=0.5, primary_only=variable != "radius")
    axes = metrics.plot_efficiency({"one": matches}, variable)
    particles = truth.particles
    assert particles is not None
    wanted = (particles.pt > 0.5) & (np.abs(particles.eta) < 4) & (particles.primary | (variable == "radius"))
    has_track = (particles.particle_id - 1) % 3 == 0
    values = getattr(particles, variable)
    borders = bins_of(variable, 0.5)
    expected = []
    for low, high in pairwise(borders):
        inside = wanted & (values >= low) & (values < high)
        passed, total = int(np.sum(inside & has_track)), int(np.sum(inside))
        if total:
            interval = [float(bound) for bound in metrics.clopper_pearson(passed, total)]
            expected.append((low, high, interval[0], passed / total, interval[1]))
    assert len(expected) > 2
    np.testing.assert_allclose(drawn(axes)["one"], expected, rtol=1e-12, atol=1e-12)
    assert axes.get_legend().get_texts()[0].get_text() == "one"
    assert "double_majority" in axes.get_ylabel()
    assert "pT > 0.5 GeV" in axes.get_title(loc="left")


@needs_plots
def test_two_finders_side_by_side_and_what_lies_outside() -> None:
    tracks, truth = make_event(2)
    good = metrics.match_tracks(tracks, truth, primary_only=False)
    none = metrics.match_tracks(SimpleNamespace(offsets=np.zeros(1, np.int64), hits=np.zeros(0, np.int64)), truth)
    axes = metrics.plot_efficiency({"good": good, "none": none.reselect(primary_only=False)}, "pt", [2, 4, 6])
    n_outside = int(np.sum(good.selected & ((good.particles.pt < 2) | (good.particles.pt > 6))))
    assert n_outside > 0
    assert axes.get_legend().get_title().get_text() == "Clopper-Pearson, 68.3 %"
    curves = drawn(axes)
    assert list(curves) == [f"good ({n_outside} outside)", f"none ({n_outside} outside)"]
    assert [row[3] for row in curves[f"none ({n_outside} outside)"]] == [0, 0]
    with pytest.raises(ValueError, match="one rule and selection, got 2"):
        metrics.plot_efficiency({"good": good, "none": none}, "pt")
    with pytest.raises(ValueError, match="one or more"):
        metrics.plot_efficiency({}, "pt")
    for wrong, what in (([good], "list"), ({"good": [good]}, "list at 'good'")):
        with pytest.raises(TypeError, match=f"finders: expected a dictionary from names to TrackMatches .*{what}"):
            metrics.plot_efficiency(wrong, "pt")
    with pytest.raises(TypeError, match="curves: expected a dictionary from names to BinnedEfficiency"):
        metrics.plot_binned({"good": good}, "efficiency")
    with pytest.raises(ValueError, match="variable: expected one of pt, eta, phi, radius"):
        metrics.plot_efficiency({"good": good}, "mass")
    bins = {"a": good.binned("pt", [1, 2]), "b": good.binned("eta", [1, 2])}
    with pytest.raises(ValueError, match=r"of one variable, got \['eta', 'pt'\]"):
        metrics.plot_binned(bins, "efficiency")


@needs_plots
def test_settings_of_the_caller_stay_and_axes_may_be_given(tmp_path: Path) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    matches = metrics.match_tracks(*make_event(3))
    before = dict(mpl.rcParams)
    axes = Figure().subplots(1, 2)
    assert metrics.plot_efficiency({"a": matches}, "eta", axes=axes[1]) is axes[1]
    assert not axes[0].containers
    path = metrics.save_plot(axes[1], tmp_path / "plot.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert dict(mpl.rcParams) == before


def test_rates_of_tracks_in_bins_of_theirs() -> None:
    tracks, truth = make_event(4)
    matches = metrics.match_tracks(tracks, truth)
    n = len(tracks.offsets) - 1
    values = np.arange(n, dtype=np.float64)
    values[0] = np.nan  # no fit
    fakes = matches.binned_tracks("fake_rate", "number", values, [0, n - 5, n])
    assert (fakes.n_passed.tolist(), fakes.n_total.tolist(), fakes.n_outside) == ([0, 5], [n - 6, 5], 1)
    duplicates = matches.binned_tracks("duplicate_rate", "number", values, [0, 20, n])
    assert (duplicates.n_passed.tolist(), duplicates.n_total.tolist()) == ([0, 4], [19, 4])
    unmatched = matches.binned_tracks("unmatched_rate", "number", values, [0, n])
    assert unmatched.n_passed.tolist() == [5]
    with pytest.raises(ValueError, match="rate: expected one of fake_rate"):
        matches.binned_tracks("efficiency", "number", values, [0, n])
    with pytest.raises(ValueError, match=rf"values: expected shape \({n},\)"):
        matches.binned_tracks("fake_rate", "number", values[1:], [0, n])


def test_another_selection_gives_what_matching_anew_gives() -> None:
    tracks, truth = make_event(5)
    matches = metrics.match_tracks(tracks, truth)
    changes: dict[str, Any] = {"min_pt": 0.3, "eta_max": 2.0, "primary_only": False}
    anew = metrics.match_tracks(tracks, truth, **changes)
    again = matches.reselect(**changes)
    assert (again.selection, again.counts) == (anew.selection, anew.counts)
    assert matches.counts != again.counts
    with pytest.raises(TypeError, match="unexpected min_layers"):
        matches.reselect(min_layers=3)
    bare = rf.Truth(truth.particle_id, truth.known, None)
    by_hits = metrics.match_tracks(tracks, bare, min_pt=None, eta_max=None, primary_only=False)
    with pytest.raises(ValueError, match="needs momenta"):
        by_hits.reselect(min_pt=1.0)


@needs_plots
def test_axes_that_begin_at_zero_are_linear() -> None:
    matches = metrics.match_tracks(*make_event(7), min_pt=None)
    assert metrics.plot_efficiency({"a": matches}, "pt", [0, 5, 12]).get_xscale() == "linear"
    assert metrics.plot_efficiency({"a": matches}, "pt").get_xscale() == "log"


def test_bins_begin_at_the_cut_on_the_momentum() -> None:
    assert bins_of("pt", 0.9)[:3] == [0.9, 1, 1.5]
    assert bins_of("pt", 1.0)[:2] == [1.0, 1.5]
    assert bins_of("pt", 500.0) == [500.0, 1000.0]
    for variable, borders in DEFAULT_BINS.items():
        assert bins_of(variable) == list(borders)
        assert np.all(np.diff(borders) > 0)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mplhep", None)
    matches = metrics.match_tracks(*make_event(6))
    with pytest.raises(ImportError, match=r"pip install 'rheinfall\[plots\]'"):
        metrics.plot_efficiency({"a": matches}, "pt")


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("events")
    for i, event in enumerate(rf.simulation.simulate(2, pile_up=3, seed=9)):
        rf.io.write_event(folder / f"event{i}", event)
    return folder


@needs_plots
def test_find_writes_plots_where_there_is_truth(
    tmp_path: Path, events: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("typer")
    from rheinfall.cli import ExitCode, main

    folder = tmp_path / "new" / "plots"
    find = ["find", str(events), "--finder", "demo", "--plots", str(folder)]
    assert main(find) == ExitCode.OK
    names = [f"efficiency_{v}.png" for v in ("pt", "eta", "radius")]
    names += [f"{rate}_{v}.png" for rate in ("fake_rate", "duplicate_rate", "unmatched_rate") for v in ("pt", "eta")]
    assert re.findall(r"^plot       (.*)$", capfd.readouterr().out, re.M) == [str(folder / name) for name in names]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)

    (tmp_path / "file").touch()
    assert main([*find[:-1], str(tmp_path / "file")]) == ExitCode.BAD_OUTPUT
    assert "expected a folder" in capfd.readouterr().err
    page = ["--display", str(folder / "efficiency_pt.png")]
    one = ["find", str(events / "event0"), *find[2:]]
    assert main([*one, *page]) == ExitCode.USAGE
    assert "expected a name that ends in .html" in capfd.readouterr().err


@needs_plots
def test_without_truth_there_is_a_warning_and_no_plot(
    tmp_path: Path, events: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("typer")
    from rheinfall.cli import ExitCode, main

    (tmp_path / "event0-hits.csv.gz").write_bytes((events / "event0-hits.csv.gz").read_bytes())
    find = ["find", str(tmp_path / "event0"), "--finder", "demo", "--plots", str(tmp_path / "plots")]
    assert main([*find, "--json"]) == ExitCode.OK
    out, error = capfd.readouterr()
    assert json.loads(out)["plots"] == []
    assert "no plots" in error
    assert not list((tmp_path / "plots").iterdir())


def test_truth_of_two_kinds_is_not_summed(tmp_path: Path, events: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("typer")
    from rheinfall.cli import ExitCode, main

    for i in (0, 1):
        event = rf.io.read_event(events / f"event{i}")
        assert event.truth is not None
        if i == 1:
            event.truth.known[::7] = False
            event.truth.particle_id[::7] = 0
        rf.io.write_event(tmp_path / f"event{i}", event)
    assert main(["find", str(tmp_path), "--finder", "demo", "--metrics", "full"]) == ExitCode.OK
    out, error = capfd.readouterr()
    assert "no rates over all events" in error
    assert "efficiency" in out  # of each event
    assert "pT [GeV]" not in out
