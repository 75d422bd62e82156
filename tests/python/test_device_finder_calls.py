"""The finder on a CUDA device from Python: what it refuses, how its room grows; on a device, the tracks of the CPU."""

from __future__ import annotations

import pickle
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import rheinfall as rf
from fake_device_arrays import FakeDeviceArray
from rheinfall.tracking import device_finder as on_device
from test_tracking_device import fake_hits, has_device


@pytest.fixture(scope="module")
def finder() -> rf.TrackFinder:
    return rf.TrackFinder.load("demo")


@pytest.fixture(scope="module")
def hits() -> rf.Hits:
    return next(iter(rf.simulation.simulate(1, pile_up=3, seed=8))).hits


def expect_equal(found: rf.Tracks, expected: rf.Tracks) -> None:
    for name in ("offsets", "hits", "labels"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    assert found.status == expected.status


def test_without_cuda_or_a_device_it_says_so(finder: rf.TrackFinder, hits: rf.Hits) -> None:
    if has_device():
        pytest.skip("there is a CUDA device")
    missing = r"this library was built without CUDA; configure it|there is no CUDA device 0; the driver offers 0"
    with pytest.raises(RuntimeError, match=f"DeviceTrackFinder: ({missing})"):
        finder.to_device()
    with pytest.raises(RuntimeError, match=f"DeviceTrackFinder: ({missing})"):
        finder(fake_hits(hits))


def test_what_has_no_device_version_is_refused(finder: rf.TrackFinder) -> None:
    cuts = replace(finder.thresholds, chi2_max=5.0, quadruplet_chi2_max=3.0)
    with pytest.raises(ValueError, match="quadruplet_chi2_max: quadruplets have no device version"):
        rf.TrackFinder(finder.module_map, finder.edge_classifier, cuts).to_device()
    with pytest.raises(TypeError, match="hits: expected Hits, got int"):
        finder(3)  # type: ignore[call-overload]


class HostArray(FakeDeviceArray):
    """With what PyTorch's arrays have besides."""

    def __getitem__(self, index: Any) -> HostArray:
        return HostArray(self.array[index], self.device)

    def cpu(self) -> HostArray:
        return self

    def numpy(self) -> Any:
        return self.array


class HostFinder:
    """The core's finder on a device, computed by the finder of the CPU, with the device's room and statuses."""

    def __init__(self, *given: Any) -> None:
        self.given = given

    def scratch_bytes(self, n_hits: int, n_doublets: int, n_edges: int) -> int:
        return 1


@pytest.fixture
def rooms(monkeypatch: pytest.MonkeyPatch, finder: rf.TrackFinder, hits: rf.Hits) -> list[tuple[int, int]]:
    """The room that each call asked for."""
    seen: list[tuple[int, int]] = []

    class HostBound:
        def __init__(self, core: Any, x: Any, y: Any, z: Any, modules: Any, n_hits: Any, *rest: Any) -> None:
            self.n_doublets, self.n_edges, *self.out = rest
            self.event = rf.Hits(x.array, y.array, z.array, modules.array, np.arange(len(x.array), dtype=np.uint64))
            seen.append((self.n_doublets, self.n_edges))

        def run(self, stream: int) -> None:
            self.tracks = finder(self.event)
            for to, values in zip(self.out, (self.tracks.offsets, self.tracks.hits, self.tracks.labels), strict=False):
                to.array[: len(values)] = values

        def read(self, stream: int) -> Any:
            graph = rf.build_graph(self.event, finder.module_map)
            edges = graph.edge_index.shape[1]
            if graph.n_doublets > self.n_doublets:
                return "capacity_exceeded", 0, 0, 0, 0, graph.n_doublets, 0, 0
            if edges > self.n_edges:
                return "capacity_exceeded", 0, 0, edges, edges, graph.n_doublets, 0, 0
            return self.tracks.status, len(self.tracks), len(self.tracks.hits), edges, 7, graph.n_doublets, 0, 0

    monkeypatch.setattr(on_device, "_core", SimpleNamespace(FinderOnDevice=HostFinder, BoundFinder=HostBound))
    monkeypatch.setattr(on_device, "plan_of", lambda cuts: SimpleNamespace())
    monkeypatch.setattr(on_device, "capsule", lambda array, *_, **__: array)
    monkeypatch.setattr(rf.DeviceHits, "capsules", lambda self, _: (self.x, self.y, self.z, self.module_id))
    monkeypatch.setattr(on_device, "empty_like", lambda x, shape, dtype, _: HostArray(np.full(shape, 7, dtype)))
    return seen


def test_events_get_the_room_that_they_need(
    rooms: list[tuple[int, int]], finder: rf.TrackFinder, hits: rf.Hits, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = finder(hits)
    assert len(expected) > 20
    device = rf.DeviceTrackFinder(finder)
    found = device(fake_hits(hits))
    assert len(found) == len(expected)
    expect_equal(found.to_host(), expected)
    assert found.counts["pruned_edges"] == 7

    monkeypatch.setattr(on_device, "FIRST_ROOM", (0, 0, 5))
    rooms.clear()
    expect_equal(device(fake_hits(hits)).to_host(), expected)
    graph = rf.build_graph(hits, finder.module_map)
    needed = graph.n_doublets, graph.edge_index.shape[1]
    assert rooms == [(5, 5), (needed[0], 5), needed]
    for limits in ({"max_edges": needed[1] - 1}, {"max_doublets": needed[0] - 1}):
        full = device(fake_hits(hits), **limits)
        assert (full.status, len(full)) == ("capacity_exceeded", 0)


def test_the_device_computes_a_network_in_its_precision(rooms: list[tuple[int, int]], finder: rf.TrackFinder) -> None:
    for precision in ("fp32", "bf16"):
        network = finder.edge_classifier.with_precision(precision)  # type: ignore[arg-type]
        given = rf.TrackFinder(finder.module_map, network, finder.thresholds).to_device()._core.given
        assert given[3] == precision


def test_bound_finders_are_run_again(rooms: list[tuple[int, int]], finder: rf.TrackFinder, hits: rf.Hits) -> None:
    hits = hits.take(np.arange(len(hits)))  # a copy
    given = fake_hits(hits)
    bound = rf.DeviceTrackFinder(finder).bind(given, 1 << 20, 1 << 18)
    for _ in range(2):
        bound.run()
        expect_equal(bound.tracks().to_host(), finder(hits))
        given.x.array[: len(hits) // 2] = 0  # another event in the same arrays
        hits = rf.Hits(given.x.array, hits.y, hits.z, hits.module_id, hits.hit_id)
    assert len(rooms) == 1
    with pytest.raises(TypeError, match="hits: expected DeviceHits, got Hits"):
        rf.DeviceTrackFinder(finder)(hits)  # type: ignore[arg-type]


def test_finders_with_a_device_pickle(rooms: list[tuple[int, int]], finder: rf.TrackFinder, hits: rf.Hits) -> None:
    assert finder.to_device() is finder.to_device()
    expect_equal(pickle.loads(pickle.dumps(finder))(hits), finder(hits))
    finder._devices.clear()


@pytest.mark.gpu
def test_tracks_of_torch_on_a_gpu(finder: rf.TrackFinder) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available() or not has_device():
        pytest.skip("no CUDA device, or PyTorch or this library without CUDA")

    def moved(hits: rf.Hits) -> rf.DeviceHits:
        names = ("x", "y", "z", "module_id")
        return rf.DeviceHits(*(torch.from_numpy(getattr(hits, name).copy()).cuda() for name in names))

    events = [event.hits for event in rf.simulation.simulate(3, pile_up=20, seed=9)]
    for hits in (*events, events[0].take(np.zeros(0, np.int64))):
        found = finder(moved(hits))
        assert found.hits.is_cuda
        expect_equal(found.to_host(), finder(hits))
    # Events in flight on two streams, and a CUDA graph that replays on fewer hits.
    device = finder.to_device()
    streams = [torch.cuda.Stream() for _ in range(2)]
    bound = []
    for stream, hits in zip(streams, events, strict=False):
        with torch.cuda.stream(stream):
            bound.append(device.bind(moved(hits), 1 << 21, 1 << 19))
            bound[-1].run()
    for flying, hits in zip(bound, events, strict=False):
        expect_equal(flying.tracks().to_host(), finder(hits))
    half = events[2].take(np.arange(len(events[2]) // 2))
    room = moved(events[2])
    n_hits = torch.tensor([len(half)], dtype=torch.int32, device="cuda")
    torch.cuda.synchronize()
    with torch.cuda.stream(streams[0]):
        whole = device.bind(room, 1 << 21, 1 << 19, n_hits=n_hits)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=streams[0]):
        whole.run()
    graph.replay()
    torch.cuda.synchronize()
    tracks = whole.tracks().to_host()
    expected = finder(half)
    np.testing.assert_array_equal(tracks.hits, expected.hits)
    np.testing.assert_array_equal(tracks.labels[: len(half)], expected.labels)
    assert (tracks.labels[len(half) :] == -1).all()
