"""What is no path, no map, no model and no event is refused by the argument's name."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rheinfall as rf

PATHS = r"expected a path, a str or an os\.PathLike, got"


@pytest.fixture(scope="module")
def event() -> rf.Event:
    return next(iter(rf.simulation.simulate(1, pile_up=2, seed=9)))


@pytest.fixture(scope="module")
def module_map(event: rf.Event) -> rf.ModuleMap:
    return rf.ModuleMap.build([event])


@pytest.fixture(scope="module")
def tracks(event: rf.Event) -> Any:
    return rf.build_tracks(np.array([[0, 1], [1, 2]]), np.ones(2, np.float32), n_nodes=len(event.hits))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"module_map": "x"}, TypeError, r"^module_map: expected rheinfall\.ModuleMap, got str$"),
        ({"module_map": None}, TypeError, r"^module_map: expected rheinfall\.ModuleMap, got NoneType$"),
        ({"triplet_model": "x"}, TypeError, r"^triplet_model: expected rheinfall\.TripletModel, got str$"),
        ({"max_edges": "x"}, TypeError, "^max_edges: expected an integer, got 'x'$"),
        ({"max_edges": 2.5}, TypeError, r"^max_edges: expected an integer, got 2\.5$"),
        ({"max_doublets": True}, TypeError, "^max_doublets: expected an integer, got True$"),
        ({"max_doublets": 2**32}, ValueError, "^max_doublets: expected at most 4294967295, got 4294967296$"),
    ],
)
def test_build_graph(
    event: rf.Event, module_map: rf.ModuleMap, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    arguments: dict[str, Any] = {"module_map": module_map, **options}
    with pytest.raises(error, match=message):
        rf.build_graph(event.hits, **arguments)


@pytest.mark.parametrize("model", ["x", 0, False])
def test_fit_tracks(event: rf.Event, tracks: Any, model: Any) -> None:
    with pytest.raises(TypeError, match=r"^model: expected a FitModel or a TripletModel, got (str|int|bool)$"):
        rf.fit_tracks(tracks, event.hits, model)


@pytest.mark.parametrize("value", [None, 5, b"demo"])
def test_paths(event: rf.Event, module_map: rf.ModuleMap, tracks: Any, value: Any) -> None:
    finder = rf.TrackFinder.load("demo")
    fitted = finder.fit(event.hits, tracks)
    for name, call in (
        ("name_or_path", lambda: rf.TrackFinder.load(value)),
        ("path", lambda: finder.save(value)),
        ("path", lambda: rf.ModuleMap.load(value)),
        ("path", lambda: module_map.save(value)),
        ("path", lambda: rf.io.read_event(value)),
        ("folder", lambda: rf.io.iter_events(value)),
        ("prefix", lambda: rf.io.write_event(value, event)),
        ("path", lambda: rf.io.read_tracks(value, event.hits)),
        ("path", lambda: rf.io.write_tracks(value, tracks, event.hits)),
        ("path", lambda: rf.io.write_parameters(value, fitted)),
    ):
        with pytest.raises(TypeError, match=f"^{name}: {PATHS} {type(value).__name__}$"):
            call()


def test_hits_of_track_files(event: rf.Event, tracks: Any, tmp_path: Path) -> None:
    path = rf.io.write_tracks(tmp_path / "tracks.csv", tracks, event.hits)
    bad: Any
    for bad in (None, event):
        with pytest.raises(TypeError, match=r"^hits: expected rheinfall\.Hits, got (NoneType|Event)$"):
            rf.io.read_tracks(path, bad)
        with pytest.raises(TypeError, match=r"^hits: expected rheinfall\.Hits, got (NoneType|Event)$"):
            rf.io.write_tracks(path, tracks, bad)


def test_fields_of_hits_that_were_replaced(event: rf.Event, module_map: rf.ModuleMap, tracks: Any) -> None:
    finder = rf.TrackFinder.load("demo")
    calls = (finder, lambda hits: rf.build_graph(hits, module_map), lambda hits: rf.fit_tracks(tracks, hits))
    for call in calls:
        hits = copy.copy(event.hits)
        hits.x = hits.x.astype(np.float64)  # type: ignore[assignment]
        with pytest.raises(TypeError, match=r"^hits\.x: expected a 1-D float32 array, got float64 "):
            call(hits)
        hits = copy.copy(event.hits)
        hits.module_id = hits.module_id[:-1]
        with pytest.raises(ValueError, match=r"^hits\.module_id: expected \d+ values as in hits\.x, got \d+$"):
            call(hits)
