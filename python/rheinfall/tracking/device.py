"""Graphs on a CUDA device: arrays of PyTorch or CuPy in, arrays of the same package on the same device out.

Scratch memory comes from the package, too, and all work goes to its current stream. Each call waits for the number of
edges, which shapes the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from rheinfall import _core
from rheinfall._device_arrays import capsule, cuda_device, empty_like, stream_of

if TYPE_CHECKING:
    from rheinfall.tracking.module_map import ModuleMap

ADVICE = "copy them to one of these"
MOST_EDGES = (1 << 31) - 2  # that the device numbers


@dataclass(frozen=True)
class DeviceHits:
    """Hits of one event on a CUDA device.

    Attributes:
        x, y, z: float32 (n_hits,), C-contiguous, position [mm].
        module_id: uint64 (n_hits,), the sensor; see `encode_module_id`.

    Raises:
        TypeError, ValueError: wrong dtype, layout or length, or not all on one device.
    """

    x: Any
    y: Any
    z: Any
    module_id: Any

    def __post_init__(self) -> None:
        _core.check_hits_on_device(*self.capsules(stream_of(self.x, name="hits.x")), self.device)

    @property
    def device(self) -> int:
        """Number of the CUDA device."""
        return cuda_device(self.x, "hits.x")

    def capsules(self, stream: int) -> tuple[Any, Any, Any, Any]:
        """What the core takes."""
        names = ("x", "y", "z", "module_id")
        x, y, z, module_id = (capsule(getattr(self, name), f"hits.{name}", stream) for name in names)
        return x, y, z, module_id

    def __len__(self) -> int:
        return int(self.x.shape[0])


@dataclass(frozen=True)
class DeviceGraph:
    """The graph of one event on a CUDA device; attributes as of `Graph`, but features, which are made on the CPU alone.

    Attributes:
        edge_index: int64 (2, n_edges), of the package of the hits, on their device.
        hits: the nodes.
        status, n_doublets, n_unknown_modules, n_not_finite: as of `Graph`.
    """

    edge_index: Any
    hits: DeviceHits
    status: str
    n_doublets: int
    n_unknown_modules: int
    n_not_finite: int

    @property
    def n_nodes(self) -> int:
        """Number of hits."""
        return len(self.hits)

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return int(self.edge_index.shape[1])

    @property
    def node_features(self) -> NoReturn:
        """Raises a TypeError that says where features are made; so does `edge_features`."""
        raise TypeError(
            "graph: features are made in host memory alone; copy the hits there and build the graph of them"
        )

    edge_features = node_features


def build_graph_on_device(hits: DeviceHits, module_map: ModuleMap, max_doublets: int, max_edges: int) -> DeviceGraph:
    """`build_graph` where the hits lie."""
    n_hits, device, stream = len(hits), hits.device, stream_of(hits.x, name="hits.x")
    map_on_device = module_map.on_device(device)
    doublets, capacity = min(max_doublets, 24 * n_hits + 1024), min(max_edges, 4 * n_hits + 1024)
    if n_hits == 0:
        return DeviceGraph(_empty(hits.x, (2, 0), "int64"), hits, "empty", 0, 0, 0)
    while True:
        edges = _empty(hits.x, (2, capacity), "int64")
        scratch = _empty(hits.x, (map_on_device.scratch_bytes(n_hits, doublets),), "uint8")
        status, n_edges, *counts = map_on_device.build(
            *hits.capsules(stream), doublets, _out(edges, stream), _out(scratch, stream), stream
        )
        if status != "capacity_exceeded":
            break
        doublets, capacity = max(doublets, counts[0]), max(capacity, n_edges)
        if doublets > max_doublets or capacity > max_edges:
            n_edges = 0  # none was written
            break
    return DeviceGraph(_first(edges, n_edges, stream, device), hits, status, *counts)


def radius_graph_on_device(
    points: Any, r: float, max_neighbours: int | None, loop: bool, directed: bool, return_counts: bool
) -> Any:
    """`radius_graph` where the points lie."""
    if not directed and (max_neighbours is not None or return_counts):
        raise ValueError("directed: on a device, a cap and counts are for both directions alone")
    stream, device = stream_of(points, name="points"), cuda_device(points, "points")
    plan = r, max_neighbours, loop, directed
    _core.radius_graph_device_bytes(capsule(points, "points", stream), *plan, 0, device)
    n_points = int(points.shape[0])
    counts = _empty(points, (n_points,), "int64")
    # Dense enough for an embedding; a graph that needs more says how much.
    capacity = min(n_points * (32 if max_neighbours is None else min(max_neighbours, 32)), MOST_EDGES)
    status, n_edges = "ok", 0
    edges = _empty(points, (2, capacity), "int64")
    while n_points > 0:
        n_bytes = _core.radius_graph_device_bytes(capsule(points, "points", stream), *plan, capacity, device)
        scratch = _empty(points, (n_bytes,), "uint8")
        given = capsule(points, "points", stream)
        arrays = _out(counts, stream), _out(edges, stream), _out(scratch, stream)
        status, n_edges = _core.radius_graph_on_device(given, *plan, *arrays, stream, device)
        if status != "capacity_exceeded":
            break
        capacity = n_edges
        edges = _empty(points, (2, capacity), "int64")
    if status == "not_finite":
        raise ValueError("points: expected finite coordinates, some are not")
    edge_index = _first(edges, n_edges, stream, device)
    return (edge_index, counts) if return_counts else edge_index


def _empty(x: Any, shape: tuple[int, ...], dtype: str) -> Any:
    return empty_like(x, shape, dtype, ADVICE)


def _out(array: Any, stream: int) -> Any:
    return capsule(array, "out", stream, writable=True)


def _first(edges: Any, n_edges: int, stream: int, device: int) -> Any:
    """The first edges, in an array of their own."""
    if n_edges == edges.shape[1]:
        return edges
    out = _empty(edges, (2, n_edges), "int64")
    _core.take_edges_on_device(_out(edges, stream), _out(out, stream), stream, device)
    return out


__all__ = ["DeviceGraph", "DeviceHits", "build_graph_on_device", "radius_graph_on_device"]
