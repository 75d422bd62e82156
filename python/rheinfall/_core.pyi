"""Compiled core of rheinfall"""

from collections.abc import Sequence
from typing import Annotated, Final

import numpy
from numpy.typing import NDArray


def build_info() -> dict:
    """
    How the core was built: version, cuda (bool), isa (of this machine), compiler.
    """

def set_num_threads(n: int) -> None:
    """
    Set how many threads the stages may use; by default the cores that this process may run on.

    No result depends on it.
    """

def get_num_threads() -> int:
    """How many threads the stages may use."""

def require_cuda_device(who: str, device: int) -> None:
    """
    Raise a RuntimeError that says what is missing, unless CUDA and a device are there.
    """

def device_of(who: str, address: int) -> int:
    """The CUDA device on which memory lies; the current one for 0."""

def order_after(stream: int, other: int, device: int) -> None:
    """
    Work given to a stream from now on waits for what another one holds now.
    """

def array_at(address: int, device: int, shape: Sequence[int], strides: Sequence[int], kind: str, bytes: int, owner: object) -> NDArray:
    """
    An array with DLPack in the memory of a CUDA device; strides in elements.
    """

class Forest:
    """A forest of decision trees; see rheinfall.quantized.Forest."""

    @staticmethod
    def from_json(text: str, file_name: str, isa: str) -> Forest:
        """
        Read a document of docs/forest_format.md; a RuntimeError says what is wrong with it.
        """

    @property
    def n_features(self) -> int: ...

    @property
    def n_classes(self) -> int: ...

    @property
    def info(self) -> dict: ...

    def run(self, x: Annotated[NDArray, dict(order='C', device='cpu', writable=False)], out: Annotated[NDArray, dict(order='C', device='cpu')]) -> str:
        """
        Compute raw scores of x (n, n_features) into out (n, n_classes); returns the status.
        """

class EdgeClassifier:
    """A compiled graph network; see rheinfall.EdgeClassifier."""

    @staticmethod
    def parse(data: bytes, name: str, isa: str, precision: str) -> EdgeClassifier:
        """A network in the format of docs/gnn_format.md."""

    @property
    def n_node_features(self) -> int: ...

    @property
    def n_edge_features(self) -> int: ...

    @property
    def isa(self) -> str: ...

    def explain(self, n_nodes: int, n_edges: int) -> str:
        """The plan as text."""

    def linear_flops(self, n_nodes: int, n_edges: int) -> float:
        """Floating-point operations of linear operations."""

    def workspace_size(self, n_nodes: int, n_edges: int, n_threads: int) -> int:
        """Bytes of memory that one graph takes."""

    def run(self, node_features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], edge_index: Annotated[NDArray[numpy.int64], dict(shape=(2, None), order='C', device='cpu', writable=False)], edge_features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], scores: bool, n_threads: int) -> tuple[Annotated[NDArray[numpy.float32], dict(shape=(None,))], str]:
        """
        Results in the order of the edges, and a status. n_threads 0: as set_num_threads says.
        """

def checksum(data: bytes) -> int:
    """The checksum of our files."""

def build_graph(map: ModuleMap, x: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], y: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], z: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], module_id: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)], max_doublets: int, max_edges: int) -> tuple[NDArray[numpy.int64], str, int, int, int]:
    """
    Edges (2, n_edges), status, n_doublets, n_unknown_modules, n_not_finite. See rheinfall.build_graph.
    """

def triplet_chi2(x: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], y: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], z: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], module_id: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)], edge_index: Annotated[NDArray[numpy.int64], dict(shape=(2, None), order='C', device='cpu', writable=False)], resolution: Annotated[NDArray[numpy.float32], dict(shape=(256, 3), order='C', device='cpu', writable=False)], field: float, layer_x0: float, field_spread: float, min_chi2_pt: float) -> NDArray[numpy.float32]:
    """
    chi2 of the best and second-best continuation outward, then inward: (4, n_edges).
    """

def prune_edges(x: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], y: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], z: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], module_id: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)], edge_index: Annotated[NDArray[numpy.int64], dict(shape=(2, None), order='C', device='cpu', writable=False)], resolution: Annotated[NDArray[numpy.float32], dict(shape=(256, 3), order='C', device='cpu', writable=False)], field: float, layer_x0: float, field_spread: float, min_chi2_pt: float, chi2_max: float, quadruplet_chi2_max: float) -> tuple[NDArray[numpy.int64], NDArray[numpy.float32]]:
    """
    Edges with a best chi2 below chi2_max, or in a quadruplet with one below quadruplet_chi2_max (0: none is),
    and their chi2 among themselves.
    """

def edge_features(x: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], y: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], z: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], module_id: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)], edge_index: Annotated[NDArray[numpy.int64], dict(shape=(2, None), order='C', device='cpu', writable=False)], chi2: Annotated[NDArray[numpy.float32], dict(shape=(4, None), order='C', device='cpu', writable=False)]) -> NDArray[numpy.float32]:
    """Edge features (n_edges, 10)."""

def canonical_hit_order(x: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], y: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], z: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], module_id: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> NDArray[numpy.int64]:
    """Indices (n_hits,) that sort hits by (module_id, z, phi, x, y, index)."""

def node_features(x: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], y: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], z: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], module_id: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> NDArray[numpy.float32]:
    """Node features (n_hits, 4)."""

class LimitRule:
    """How a triplet's limits follow from what training saw."""

    def __init__(self, *, relative: float = 0.0, sigmas: float = 2.0, sigmas_differences: float = 4.0, prior_weight: float = 4.0, core: float = 5.0, min_occurrence: int = 1, remove_two_cycles: bool = True, absolute: Sequence[float] = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0], max_phi_slope: float = 1e+30) -> None: ...

    @property
    def absolute(self) -> list[float]: ...

    @property
    def relative(self) -> float: ...

    @property
    def sigmas(self) -> float: ...

    @property
    def sigmas_differences(self) -> float: ...

    @property
    def prior_weight(self) -> float: ...

    @property
    def core(self) -> float: ...

    @property
    def min_occurrence(self) -> int: ...

    @property
    def max_phi_slope(self) -> float: ...

    @property
    def remove_two_cycles(self) -> bool: ...

class ModuleMap:
    """Module pairs and triples that particles connect, with their limits."""

    @staticmethod
    def load(path: str) -> ModuleMap: ...

    @staticmethod
    def from_bytes(bytes: bytes, name: str) -> ModuleMap: ...

    @staticmethod
    def from_triplets(modules: Annotated[NDArray[numpy.uint64], dict(shape=(None, None), order='C', device='cpu', writable=False)], occurrence: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)], limits: Annotated[NDArray[numpy.float32], dict(shape=(None, None, 2), order='C', device='cpu', writable=False)], bend: str) -> ModuleMap: ...

    @staticmethod
    def from_doublets(modules: Annotated[NDArray[numpy.uint64], dict(shape=(None, None), order='C', device='cpu', writable=False)], limits: Annotated[NDArray[numpy.float32], dict(shape=(None, None, 2), order='C', device='cpu', writable=False)], bend: str) -> ModuleMap: ...

    def save(self, path: str, appendix: bytes) -> None: ...

    def to_bytes(self) -> bytes: ...

    def triplets(self) -> tuple[NDArray[numpy.uint64], NDArray[numpy.uint8], NDArray[numpy.float32]]:
        """Modules (n, 3), log2 of the occurrence (n,), limits (n, 10, 2)."""

    def doublets(self) -> tuple[NDArray[numpy.uint64], NDArray[numpy.float32]]:
        """Modules (n, 2), limits (n, 4, 2)."""

    @property
    def modules(self) -> NDArray[numpy.uint64]: ...

    @property
    def n_bytes(self) -> int: ...

    @property
    def n_modules(self) -> int: ...

    @property
    def n_doublets(self) -> int: ...

    @property
    def n_triplets(self) -> int: ...

    @property
    def bend(self) -> str: ...

    @property
    def convention(self) -> str: ...

    @property
    def file_format_version(self) -> int: ...

    format_version: Final[int] = ...
    """(arg: object, /) -> int"""

class ModuleMapBuilder:
    """Gathers the quantities of true hit triples by module triplet."""

    def __init__(self, bend: str = 'angle') -> None: ...

    def add(self, x: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], y: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], z: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], module_id: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)], triples: Annotated[NDArray[numpy.uint32], dict(shape=(None, 3), order='C', device='cpu', writable=False)]) -> None:
        """Add the hit triples of one event: uint32 (n, 3), inner to outer."""

    def merge(self, other: ModuleMapBuilder) -> None:
        """Add what another builder saw; exact and associative."""

    def finish(self, rule: LimitRule) -> ModuleMap:
        """Make the map."""

    def counts(self) -> tuple[NDArray[numpy.uint64], NDArray[numpy.uint64]]:
        """
        Modules (n, 3) and occurrences (n,) of the triplets seen, by rising modules.
        """

    @property
    def n_triplets(self) -> int: ...

    @property
    def bend(self) -> str: ...

    def to_bytes(self) -> bytes: ...

    @staticmethod
    def from_bytes(bytes: bytes, name: str) -> ModuleMapBuilder: ...

    @staticmethod
    def load(path: str) -> ModuleMapBuilder: ...

class Network:
    """A quantized network; see rheinfall.quantized.Network."""

    @staticmethod
    def from_json(text: str, file_name: str, isa: str) -> Network:
        """
        Read a document of docs/quantized_format.md; a RuntimeError says what is wrong with it.
        """

    @property
    def n_inputs(self) -> int: ...

    @property
    def n_outputs(self) -> int: ...

    @property
    def isa(self) -> str: ...

    @property
    def inputs(self) -> list: ...

    @property
    def outputs(self) -> list: ...

    def workspace_size(self, n_events: int) -> int:
        """Bytes of workspace for so many events."""

    def describe(self) -> dict:
        """
        What is known of the network and its layers; see rheinfall.quantized.Network.describe.
        """

    def run(self, x: Annotated[NDArray, dict(order='C', device='cpu', writable=False)], out: Annotated[NDArray, dict(order='C', device='cpu')]) -> str:
        """
        Compute events x (n, n_inputs) into out (n, n_outputs); returns the status.
        """

class DeviceCalls:
    """A network on a CUDA device; see rheinfall.quantized.DeviceNetwork."""

    def __init__(self, network: object, device: int, kernel: str) -> None: ...

    def upload(self) -> None:
        """Lower and upload, if that was not done before."""

    def result_of(self, x: Annotated[NDArray, dict(writable=False)]) -> tuple:
        """Shape and element type of the result for x."""

    def run(self, x: Annotated[NDArray, dict(writable=False)], out: NDArray, stream: int, flags: NDArray | None = None, packed: bool = False) -> None:
        """Fill out in the order of a stream."""

    def run_and_wait(self, x: Annotated[NDArray, dict(writable=False)], out: NDArray, stream: int) -> None:
        """
        Fill out, wait for it, and refuse values that the input's type does not hold.
        """

    @property
    def kernel(self) -> str: ...

    @property
    def device(self) -> int: ...

def radius_graph(points: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], r: float, max_neighbours: int | None, loop: bool, directed: bool) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(2, None))], Annotated[NDArray[numpy.int64], dict(shape=(None,))]]:
    """
    Edges between neighbours; see rheinfall.radius_graph.

    Returns (edge_index, number of edges out of each point before any cap).
    """

class TrackBuildingPlan:
    """A track building method and its thresholds."""

    def __init__(self, method: str) -> None:
        """The method with its default thresholds."""

    @property
    def score_cut(self) -> float: ...

    @score_cut.setter
    def score_cut(self, arg: float, /) -> None: ...

    @property
    def sure(self) -> float: ...

    @sure.setter
    def sure(self, arg: float, /) -> None: ...

    @property
    def weak(self) -> float: ...

    @weak.setter
    def weak(self, arg: float, /) -> None: ...

    @property
    def walk_min(self) -> float: ...

    @walk_min.setter
    def walk_min(self, arg: float, /) -> None: ...

    @property
    def walk_add(self) -> float: ...

    @walk_add.setter
    def walk_add(self, arg: float, /) -> None: ...

    @property
    def shared_layers(self) -> int: ...

    @shared_layers.setter
    def shared_layers(self, arg: int, /) -> None: ...

    @property
    def min_length(self) -> int: ...

    @min_length.setter
    def min_length(self, arg: int, /) -> None: ...

    @property
    def orient(self) -> bool: ...

    @orient.setter
    def orient(self, arg: bool, /) -> None: ...

    @property
    def break_cycles(self) -> bool: ...

    @break_cycles.setter
    def break_cycles(self, arg: bool, /) -> None: ...

def build_tracks(plan: TrackBuildingPlan, edge_index: Annotated[NDArray[numpy.int64], dict(shape=(2, None), order='C', device='cpu', writable=False)], scores: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], n_nodes: int, x: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, y: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, z: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, module_id: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)] | None) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None,))], Annotated[NDArray[numpy.int64], dict(shape=(None,))], Annotated[NDArray[numpy.int64], dict(shape=(None,))], str]:
    """
    Build tracks from scored edges; see rheinfall.build_tracks.

    Returns (offsets, hits, labels, status). With status "cycle" and no tracks, hits lists the hits on cycles.
    """

class TrackFinder:
    """The chain as a C++ host runs it; see rheinfall.TrackFinder."""

    @staticmethod
    def load_bundle(folder: str) -> TrackFinder:
        """A bundle with its lowered network."""

    def run(self, x: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], y: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], z: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], module_id: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)], n_doublets: int, n_edges: int, n_threads: int = 0) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None,))], Annotated[NDArray[numpy.int64], dict(shape=(None,))], str]:
        """
        Offsets, hits and status of an event's tracks; room for so many hit pairs and edges.
        """

def radius_graph_device_bytes(points: Annotated[NDArray, dict(writable=False)], r: float, max_neighbours: int | None, loop: bool, directed: bool, capacity: int, device: int) -> int:
    """Bytes of scratch memory of radius_graph_on_device."""

def radius_graph_on_device(points: Annotated[NDArray, dict(writable=False)], r: float, max_neighbours: int | None, loop: bool, directed: bool, counts: NDArray, edges: NDArray, scratch: NDArray, stream: int, device: int) -> tuple:
    """
    Fill counts (n,) and edges (2, capacity), and wait: status and number of edges.
    """

def take_edges_on_device(edges: NDArray, out: NDArray, stream: int, device: int) -> None:
    """
    Copy the first columns of edges to out (2, n), in the order of a stream.
    """

def check_hits_on_device(x: Annotated[NDArray, dict(writable=False)], y: Annotated[NDArray, dict(writable=False)], z: Annotated[NDArray, dict(writable=False)], module_id: Annotated[NDArray, dict(writable=False)], device: int) -> int:
    """Their number; refuses what build_graph does not take."""

class ModuleMapOnDevice:
    """A module map in the memory of a CUDA device."""

    def __init__(self, map: ModuleMap, device: int) -> None: ...

    def scratch_bytes(self, n_hits: int, n_doublets: int) -> int:
        """Bytes of scratch memory of build."""

    def build(self, x: Annotated[NDArray, dict(writable=False)], y: Annotated[NDArray, dict(writable=False)], z: Annotated[NDArray, dict(writable=False)], module_id: Annotated[NDArray, dict(writable=False)], n_doublets: int, edges: NDArray, scratch: NDArray, stream: int) -> tuple:
        """
        Fill edges (2, capacity), and wait: status, n_edges, n_doublets, n_unknown_modules, n_not_finite.
        """

    @property
    def bytes(self) -> int: ...

    @property
    def device(self) -> int: ...

class FinderOnDevice:
    """A finder in the memory of a CUDA device."""

    def __init__(self, map: ModuleMap, network: bytes, name: str, precision: str, scores: bool, plan: TrackBuildingPlan, chi2_max: float | None, resolution: Annotated[NDArray[numpy.float32], dict(shape=(256, 3), order='C', device='cpu', writable=False)], field: float, layer_x0: float, field_spread: float, min_chi2_pt: float, device: int) -> None: ...

    def scratch_bytes(self, n_hits: int, n_doublets: int, n_edges: int) -> int:
        """Bytes of scratch memory of an event."""

    @property
    def device(self) -> int: ...

class BoundFinder:
    """A finder on a device with the arrays of one event in flight."""

    def __init__(self, finder: FinderOnDevice, x: Annotated[NDArray, dict(writable=False)], y: Annotated[NDArray, dict(writable=False)], z: Annotated[NDArray, dict(writable=False)], module_id: Annotated[NDArray, dict(writable=False)], n_hits: Annotated[NDArray, dict(writable=False)] | None, n_doublets: int, n_edges: int, offsets: NDArray, hits: NDArray, labels: NDArray, scratch: NDArray) -> None: ...

    def run(self, stream: int) -> None:
        """Find the tracks in the order of a stream; returns at once."""

    def read(self, stream: int) -> tuple:
        """
        Wait: status, n_tracks, n_track_hits, n_edges, n_pruned_edges, n_doublets, n_unknown_modules, n_not_finite.
        """

def fit_tracks(x: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], y: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], z: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], module_id: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], hits: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], resolution: Annotated[NDArray[numpy.float32], dict(shape=(256, 3), order='C', device='cpu', writable=False)], layer_x0: Annotated[NDArray[numpy.float32], dict(shape=(256), order='C', device='cpu', writable=False)], is_disc: Annotated[NDArray[numpy.bool_], dict(shape=(256), order='C', device='cpu', writable=False)], field: float) -> tuple[Annotated[NDArray[numpy.float32], dict(shape=(None, None))], Annotated[NDArray[numpy.uint8], dict(shape=(None,))]]:
    """
    Fit a helix to each track; see rheinfall.fit_tracks.

    Returns (parameters, status): float32 (13, n_tracks), uint8 (n_tracks,).
    """
