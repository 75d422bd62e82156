"""Graphs on a CUDA device: what is refused without one, how the room grows; with one, the edges of the CPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import rheinfall as rf
from fake_device_arrays import CUDA, FakeDeviceArray
from rheinfall import _core
from rheinfall.tracking import device as on_device
from test_graph_construction import DOUBLET_WIDE, FOREIGN, A, B, C, make_hits

N_HITS = 60


def module_map() -> rf.ModuleMap:
    modules = np.array([[A, B], [B, C]], np.uint64)
    return rf.ModuleMap(_core.ModuleMap.from_doublets(modules, np.stack([DOUBLET_WIDE] * 2), "angle"))


def hits_on(n: int = N_HITS, seed: int = 0) -> rf.Hits:
    rng = np.random.default_rng(seed)
    points = rng.uniform(1, 100, (n, 3)).astype(np.float32)
    if n:
        points[0, 0] = np.nan
    return make_hits(points, [(A, B, C, FOREIGN)[i % 4] for i in range(n)])


def fake_hits(hits: rf.Hits, **changed: Any) -> rf.DeviceHits:
    arrays = {name: FakeDeviceArray(getattr(hits, name)) for name in ("x", "y", "z", "module_id")}
    return rf.DeviceHits(**(arrays | changed))


def has_device() -> bool:
    try:
        _core.require_cuda_device("test", 0)
    except RuntimeError:
        return False
    return True


def test_without_cuda_or_a_device_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    if has_device():
        pytest.skip("there is a CUDA device")
    points = FakeDeviceArray(np.zeros((5, 3), np.float32))
    missing = r"this library was built without CUDA; configure it|there is no CUDA device 0; the driver offers 0"
    monkeypatch.setattr(on_device, "empty_like", lambda *_: points)
    with pytest.raises(RuntimeError, match=f"radius_graph: ({missing})"):
        rf.radius_graph(points, 1.0)
    with pytest.raises(RuntimeError, match=f"radius_graph: ({missing})"):
        rf.knn_graph(points, 2)
    with pytest.raises(RuntimeError, match=f"build_graph: ({missing})"):
        rf.build_graph(fake_hits(hits_on()), module_map())


@pytest.mark.parametrize(
    ("points", "arguments", "error", "message"),
    [
        (np.zeros((5, 3)), {}, TypeError, "points: expected float32"),
        (np.zeros(5, np.float32), {}, ValueError, "points: expected 2 axes, got 1"),
        (np.zeros((5, 33), np.float32), {}, ValueError, "points: expected 1 to 32 dimensions, got 33"),
        (np.zeros((5, 0), np.float32), {}, ValueError, "points: expected 1 to 32 dimensions, got 0"),
        (np.zeros((5, 6), np.float32)[:, ::2], {}, ValueError, "points: expected a C-contiguous array"),
        (np.zeros((5, 3), np.float32), {"r": np.nan}, ValueError, "r: expected a number >= 0"),
        (np.zeros((5, 3), np.float32), {"r": -1.0}, ValueError, "r: expected a number >= 0"),
        (np.zeros((5, 3), np.float32), {"max_neighbours": 0}, ValueError, "max_neighbours: expected at least 1, got 0"),
        (np.zeros((5, 3), np.float32), {"max_neighbours": 1, "directed": False}, ValueError, "directed: on a device"),
        (np.zeros((5, 3), np.float32), {"directed": False, "return_counts": True}, ValueError, "directed: on a device"),
    ],
)
def test_points_on_a_device_are_checked(points: Any, arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        rf.radius_graph(FakeDeviceArray(points), **({"r": 1.0} | arguments))


def test_what_the_core_fills_is_checked() -> None:
    """Before CUDA is asked for anything."""
    points, counts = np.zeros((5, 3), np.float32), np.zeros(5, np.int64)
    edges, room = np.zeros((2, 7), np.int64), np.zeros(256, np.uint8)
    aligned = room[-room.ctypes.data % 64 :][:128]

    def run(points: Any = points, counts: Any = counts, edges: Any = edges, scratch: Any = aligned) -> None:
        given = [FakeDeviceArray(array).__dlpack__() for array in (points, counts, edges, scratch)]
        _core.radius_graph_on_device(given[0], 1.0, None, False, True, *given[1:], 1, 0)

    for changed, error, message in (
        ({"counts": counts.astype(np.int32)}, TypeError, "counts: expected int64"),
        ({"edges": np.zeros((3, 7), np.int64)}, ValueError, r"edges: expected shape \(2, capacity\)"),
        ({"edges": np.zeros(7, np.int64)}, ValueError, "edges: expected 2 axes, got 1"),
        ({"scratch": aligned[:0]}, ValueError, "scratch: expected at least 128 bytes"),
        ({"scratch": aligned[:127]}, ValueError, "scratch: expected at least 128 bytes"),
        ({"scratch": aligned[1:]}, ValueError, "scratch: expected at least 128 bytes, aligned to 64"),
        ({"scratch": aligned.view(np.int8)}, TypeError, "scratch: expected uint8"),
        ({}, RuntimeError, "CUDA"),
    ):
        if changed or not has_device():
            with pytest.raises(error, match=message):
                run(**changed)
    with pytest.raises(ValueError, match="out: expected at most as many edges as there are"):
        _core.take_edges_on_device(
            FakeDeviceArray(edges).__dlpack__(), FakeDeviceArray(np.zeros((2, 8), np.int64)).__dlpack__(), 1, 0
        )


@pytest.mark.parametrize("strides", [(1, 1), (0, 1), (7, 3)])
def test_strides_of_no_edges_say_nothing(strides: tuple[int, int]) -> None:
    """PyTorch's (2, 0) has strides (1, 1), where those of C order are (0, 1)."""
    room = np.zeros((2, 8), np.int64)
    none = _core.array_at(room.ctypes.data, 0, (2, 0), strides, "i", 8, room)
    with pytest.raises(ValueError, match="out: expected at most as many edges as there are"):
        _core.take_edges_on_device(none, FakeDeviceArray(room).__dlpack__(), 1, 0)
    some = _core.array_at(room.ctypes.data, 0, (2, 1), (8, 8), "i", 8, room)
    with pytest.raises(ValueError, match="edges: expected a C-contiguous array"):
        _core.take_edges_on_device(some, FakeDeviceArray(room).__dlpack__(), 1, 0)


def test_hits_on_a_device_are_checked() -> None:
    hits = hits_on()
    assert len(fake_hits(hits)) == N_HITS
    assert len(fake_hits(hits_on(0))) == 0
    assert fake_hits(hits).device == 0
    for changed, error, message in (
        ({"x": FakeDeviceArray(hits.x.astype(np.float64))}, TypeError, "hits.x: expected float32"),
        ({"module_id": FakeDeviceArray(hits.module_id.view(np.int64))}, TypeError, "hits.module_id: expected uint64"),
        ({"y": FakeDeviceArray(hits.y[:-1])}, ValueError, "hits: expected x, y, z and module_id of one length"),
        ({"z": FakeDeviceArray(hits.z[:, None])}, ValueError, "hits.z: expected 1 axes, got 2"),
        ({"z": FakeDeviceArray(hits.z, (CUDA, 1))}, ValueError, "hits.z: expected an array on CUDA device 0"),
        ({"z": hits.z}, TypeError, "hits.z: expected an array on a CUDA device"),
        ({"x": [1.0]}, TypeError, "hits.x: expected an array with DLPack or CUDA's array interface, got list"),
    ):
        with pytest.raises(error, match=message):
            fake_hits(hits, **changed)
    with pytest.raises(TypeError, match="triplet_model: expected None"):
        rf.build_graph(fake_hits(hits), module_map(), rf.TripletModel())  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="results on a device are made for PyTorch and CuPy"):
        on_device._empty(fake_hits(hits).x, (1,), "uint8")


def test_what_lies_on_a_device_is_not_taken_elsewhere() -> None:
    hits = hits_on()
    arrays = (FakeDeviceArray(getattr(hits, name)) for name in ("x", "y", "z", "module_id", "hit_id"))
    with pytest.raises(TypeError, match=r"hits.x: expected an array in host memory; rheinfall.DeviceHits"):
        rf.Hits(*arrays)
    edges = FakeDeviceArray(np.zeros((2, 0), np.int64))
    graph = rf.DeviceGraph(edges, fake_hits(hits), "ok", 0, 0, 0)
    for name in ("node_features", "edge_features"):
        with pytest.raises(TypeError, match="graph: features are made in host memory alone"):
            getattr(graph, name)
    with pytest.raises(TypeError, match="edge_index: expected a C-contiguous 2-D int64 NumPy array, got Fake"):
        rf.build_tracks(edges, np.zeros(0, np.float32), n_nodes=N_HITS)


class HostCore:
    """The core's device functions, computed on the host: with the capacities, results and statuses of the device."""

    def __init__(self) -> None:
        self.capacities: list[int] = []

    def radius_graph_device_bytes(self, points: Any, *_: Any) -> int:
        return int(points.array.nbytes)

    def radius_graph_on_device(self, points: Any, *given: Any) -> tuple[str, int]:
        r, cap, loop, directed, counts, edges, _, _, _ = given
        if not np.isfinite(points.array).all():
            return "not_finite", 0
        found, counts.array[:] = _core.radius_graph(points.array, r, cap, loop, directed)
        self.capacities.append(edges.shape[1])
        return self.fill(edges, found), found.shape[1]

    def take_edges_on_device(self, edges: Any, out: Any, stream: int, device: int) -> None:
        out.array[:] = edges.array[:, : out.shape[1]]

    def fill(self, edges: Any, found: Any) -> str:
        if found.shape[1] > edges.shape[1]:
            return "capacity_exceeded"
        edges.array[:, : found.shape[1]] = found
        return "ok"


class HostMap:
    def __init__(self, module_map: rf.ModuleMap, core: HostCore) -> None:
        self.map, self.core = module_map, core

    def scratch_bytes(self, n_hits: int, n_doublets: int) -> int:
        return n_hits + n_doublets

    def build(self, x: Any, y: Any, z: Any, module_id: Any, n_doublets: int, edges: Any, *_: Any) -> Any:
        everything = 1 << 30
        hits = x.array, y.array, z.array, module_id.array
        found, status, needed, unknown, not_finite = _core.build_graph(self.map.core, *hits, everything, everything)
        self.core.capacities.append(edges.shape[1])
        if needed > n_doublets:
            return "capacity_exceeded", 0, needed, unknown, not_finite
        filled = self.core.fill(edges, found)
        return filled if filled != "ok" else status, found.shape[1], needed, unknown, not_finite


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> HostCore:
    core = HostCore()
    functions = {name: getattr(core, name) for name in dir(core) if "device" in name}
    monkeypatch.setattr(on_device, "_core", SimpleNamespace(check_hits_on_device=lambda *_: 0, **functions))
    monkeypatch.setattr(on_device, "capsule", lambda array, *_, **__: array)
    monkeypatch.setattr(
        on_device, "empty_like", lambda x, shape, dtype, _: FakeDeviceArray(np.full(shape, 7, dtype), x.device)
    )
    monkeypatch.setattr(rf.ModuleMap, "on_device", lambda self, device: HostMap(self, core))
    return core


@pytest.mark.parametrize("n", [0, 1, 2, 33, 300])
@pytest.mark.parametrize("cap", [None, 1, 3, 64])
@pytest.mark.parametrize("loop", [False, True])
def test_radius_graphs_get_the_room_that_they_need(host: HostCore, n: int, cap: int | None, loop: bool) -> None:
    points = np.random.default_rng(n).uniform(size=(n, 3)).astype(np.float32)
    for r in (0.0, 0.3, 2.0, np.inf):
        expected, expected_counts = rf.radius_graph(points, r, cap, loop, return_counts=True)
        edges, counts = rf.radius_graph(FakeDeviceArray(points), r, cap, loop, return_counts=True)
        np.testing.assert_array_equal(edges.array, expected)
        np.testing.assert_array_equal(counts.array, expected_counts)
        assert edges.array.flags.c_contiguous
        if cap is None:
            undirected = rf.radius_graph(FakeDeviceArray(points), r, cap, loop, directed=False)
            np.testing.assert_array_equal(undirected.array, rf.radius_graph(points, r, cap, loop, directed=False))
    if n == 300 and cap is None:
        assert host.capacities[-1] == 300 * (299 + 2 * loop) // 2  # that of the last, undirected, after 32 a point


def test_points_that_are_not_finite_are_refused(host: HostCore) -> None:
    points = np.full((3, 2), np.inf, np.float32)
    with pytest.raises(ValueError, match="points: expected finite coordinates, some are not"):
        rf.radius_graph(FakeDeviceArray(points), 1.0)


@pytest.mark.parametrize("n", [0, 1, 3, 60, 400])
def test_graphs_get_the_room_that_they_need(host: HostCore, n: int) -> None:
    hits, mm = hits_on(n), module_map()
    for limits in ({}, {"max_edges": 10}, {"max_doublets": 10}, {"max_edges": 2000, "max_doublets": 2000}):
        expected = rf.build_graph(hits, mm, **limits)
        graph = rf.build_graph(fake_hits(hits), mm, **limits)
        np.testing.assert_array_equal(graph.edge_index.array, expected.edge_index)
        assert graph.edge_index.array.shape == expected.edge_index.shape
        assert graph.edge_index.array.flags.c_contiguous
        for name in ("status", "n_nodes", "n_edges", "n_doublets", "n_unknown_modules", "n_not_finite"):
            assert getattr(graph, name) == getattr(expected, name), (name, limits)


@pytest.mark.gpu
def test_graphs_of_torch_on_a_gpu() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available() or not has_device():
        pytest.skip("no CUDA device, or PyTorch or this library without CUDA")
    mm = module_map()
    for n in (0, 1, 60, 5000):
        hits = hits_on(n)
        moved = (torch.from_numpy(getattr(hits, name)).cuda() for name in ("x", "y", "z", "module_id"))
        graph = rf.build_graph(rf.DeviceHits(*moved), mm)
        expected = rf.build_graph(hits, mm)
        assert graph.edge_index.is_cuda
        assert np.array_equal(graph.edge_index.cpu().numpy(), expected.edge_index)
        assert graph.status == expected.status
        points = np.random.default_rng(n).uniform(size=(n, 3)).astype(np.float32)
        on_gpu = torch.from_numpy(points).cuda()
        for found, wanted in (
            (rf.radius_graph(on_gpu, 0.3), rf.radius_graph(points, 0.3)),
            (rf.knn_graph(on_gpu, 5), rf.knn_graph(points, 5)),
        ):
            assert np.array_equal(found.cpu().numpy(), wanted)


@pytest.mark.gpu
def test_streams_of_torch_do_not_meet_on_a_gpu() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available() or not has_device():
        pytest.skip("no CUDA device, or PyTorch or this library without CUDA")
    mm = module_map()
    events = [hits_on(n) for n in (5000, 4000)]
    clouds = [np.random.default_rng(n).uniform(size=(n, 3)).astype(np.float32) for n in (5000, 4000)]
    streams = [torch.cuda.Stream() for _ in events]
    for _ in range(3):
        found = []
        for stream, hits, points in zip(streams, events, clouds, strict=True):
            with torch.cuda.stream(stream):
                moved = (torch.from_numpy(getattr(hits, name)).cuda() for name in ("x", "y", "z", "module_id"))
                graph = rf.build_graph(rf.DeviceHits(*moved), mm)
                found.append((graph.edge_index, rf.radius_graph(torch.from_numpy(points).cuda(), 0.1)))
        torch.cuda.synchronize()
        for (edges, near), hits, points in zip(found, events, clouds, strict=True):
            assert np.array_equal(edges.cpu().numpy(), rf.build_graph(hits, mm).edge_index)
            assert np.array_equal(near.cpu().numpy(), rf.radius_graph(points, 0.1))
