"""Graph construction with a module map: hits in, edges and their features out."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import overload

import numpy as np

from rheinfall import _core
from rheinfall.event import Bool, Float32, Hits, Int64
from rheinfall.tracking.arguments import require_integer
from rheinfall.tracking.device import DeviceGraph, DeviceHits, build_graph_on_device
from rheinfall.tracking.module_map import ModuleMap


@dataclass(frozen=True)
class TripletModel:
    """What the triplet chi² needs to know of a detector.

    Attributes:
        resolution: volume number -> standard deviations of a hit [mm] along the azimuth, along z and along the radius.
        default_resolution: of the volumes not named.
        field: magnetic field along z [T].
        layer_x0: thickness of a layer [radiation lengths].
        field_spread: relative change of the field from one segment to the next.
        min_chi2_pt: momentum above which multiple scattering no longer shrinks [GeV].

    Raises:
        ValueError: a number that is not positive and finite, or a volume outside 0 to 255.
    """

    resolution: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    default_resolution: tuple[float, float, float] = (0.05, 0.1, 0.1)
    field: float = 2.0
    layer_x0: float = 0.03
    field_spread: float = 0.05
    min_chi2_pt: float = 10.0

    def __post_init__(self) -> None:
        for name in ("field", "layer_x0", "min_chi2_pt"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name}: expected a number > 0, got {getattr(self, name)}")
        if not 0 <= self.field_spread < np.inf:
            raise ValueError(f"field_spread: expected a number >= 0, got {self.field_spread}")
        check_resolution(self.resolution, self.default_resolution)

    def table(self) -> Float32:
        """float32 (256, 3): the resolution by volume number."""
        return resolution_table(self.resolution, self.default_resolution)

    def arguments(self) -> tuple[Float32, float, float, float, float]:
        """What the core's functions take."""
        return self.table(), self.field, self.layer_x0, self.field_spread, self.min_chi2_pt


Sigmas = tuple[float, float, float]


def resolution_table(resolution: dict[int, Sigmas], default: Sigmas) -> Float32:
    """float32 (256, 3): the resolution by volume number."""
    table = np.tile(np.asarray(default, np.float32), (256, 1))
    for volume, sigmas in resolution.items():
        table[volume] = sigmas
    return table


def check_resolution(resolution: dict[int, Sigmas], default: Sigmas) -> None:
    """Raises ValueError for a volume outside 0 to 255 or a standard deviation that is not positive and finite."""
    for volume, sigmas in resolution.items():
        if not 0 <= volume < 256:
            raise ValueError(f"resolution: expected volumes 0 to 255, got {volume}")
        _check_sigmas(f"resolution[{volume}]", sigmas)
    _check_sigmas("default_resolution", default)


def _check_sigmas(name: str, sigmas: tuple[float, float, float]) -> None:
    if len(sigmas) != 3 or not all(0 < s < np.inf for s in sigmas):
        raise ValueError(f"{name}: expected three standard deviations > 0 [mm], got {sigmas}")


# Names of the columns, in the order of the arrays.
NODE_FEATURES = ("r", "phi", "z", "eta")
EDGE_FEATURES = (
    "dr",
    "dphi",
    "dz",
    "deta",
    "phi_slope",
    "r_phi_slope",
    "chi2_out_best",
    "chi2_out_second",
    "chi2_in_best",
    "chi2_in_second",
)


@dataclass
class Graph:
    """The graph of one event.

    Attributes:
        edge_index: int64 C-contiguous (2, n_edges), inner and outer hit, sorted by (source, target), no duplicates.
        hits: the hits, in the caller's order; each is a node.
        status: "ok", or the gravest of "empty" (no edges), "unknown_modules", "not_finite", "capacity_exceeded" (the
            event needs more than `build_graph` was allowed; there are no edges then).
        n_doublets: hit pairs that passed a doublet's limits, before triplets; all of them, if they were too many.
        n_unknown_modules: hits on modules that the map does not know; they are isolated nodes.
        n_not_finite: hits with a NaN or infinite coordinate; isolated too.
        triplet_model: for the chi² of edge continuations.
    """

    edge_index: Int64
    hits: Hits
    status: str = "ok"
    n_doublets: int = 0
    n_unknown_modules: int = 0
    n_not_finite: int = 0
    triplet_model: TripletModel = field(default_factory=TripletModel)

    def __repr__(self) -> str:
        return f"Graph({self.n_nodes} nodes, {self.n_edges} edges, status={self.status!r})"

    @property
    def n_nodes(self) -> int:
        """Number of hits."""
        return len(self.hits)

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return int(self.edge_index.shape[1])

    @cached_property
    def node_features(self) -> Float32:
        """float32 (n_nodes, 4): r / 1000, phi / pi, z / 1000, eta (ACORN's scaling); zeros where not finite."""
        return _core.node_features(*contiguous_arrays(self.hits))

    @cached_property
    def edge_features(self) -> Float32:
        """float32 (n_edges, 10).

        dr, dphi / pi, dz, deta, phi slope clamped to ±100 and mean r × phi slope of the scaled node features (ACORN),
        then log(1 + chi²) / 4 of the best and the second-best continuation outward, and inward.
        """
        return _core.edge_features(*contiguous_arrays(self.hits), self.edge_index, self.triplet_chi2)

    @cached_property
    def triplet_chi2(self) -> Float32:
        """float32 (4, n_edges): chi² (2 degrees of freedom) of the best and second-best continuation out, then in.

        Two edges that share a hit are compared in the curvature of the circle through the beam line and in cot θ,
        within resolution and multiple scattering; 10,000 where there is no continuation, and at most.
        """
        arguments = (*contiguous_arrays(self.hits), self.edge_index, *self.triplet_model.arguments())
        return _core.triplet_chi2(*arguments)

    def select(self, mask: Bool) -> Graph:
        """The graph with the edges of `mask`, bool (n_edges,), alone."""
        return self._with_edges(np.ascontiguousarray(self.edge_index[:, mask]))

    def _with_edges(self, edges: Int64) -> Graph:
        status = "empty" if self.status == "ok" and edges.shape[1] == 0 else self.status
        return Graph(
            edges, self.hits, status, self.n_doublets, self.n_unknown_modules, self.n_not_finite, self.triplet_model
        )

    def prune(self, chi2_max: float, quadruplet_chi2_max: float | None = None) -> Graph:
        """The graph without the edges that continue badly; the chi² of those that stay is that within it.

        Args:
            chi2_max: an edge stays if its best continuation on either side has a triplet chi² below this.
            quadruplet_chi2_max: an edge also stays if it is one of three in a row with a chi² (3 degrees of freedom)
                below this: that of the curvatures of the circles through their first and through their last three hits,
                and of cot θ. It asks nothing of the beam line, and so keeps the edges of displaced particles.

        Raises:
            ValueError: `quadruplet_chi2_max` is no finite number above 0 in float32.
        """
        if quadruplet_chi2_max is not None and not is_float32_above_zero(quadruplet_chi2_max):
            raise ValueError(f"quadruplet_chi2_max: expected a float32 above 0, got {quadruplet_chi2_max}")
        arguments = (*contiguous_arrays(self.hits), self.edge_index, *self.triplet_model.arguments())
        edges, chi2 = _core.prune_edges(*arguments, chi2_max, quadruplet_chi2_max or 0.0)
        pruned = self._with_edges(edges)
        pruned.__dict__["triplet_chi2"] = chi2
        return pruned


def is_float32_above_zero(value: float) -> bool:
    """Neither too small nor too large for the float32 that cuts are compared as."""
    return 2.0**-149 <= value <= float(np.finfo(np.float32).max)


# Far above real events: 10,000 pions need 3.5 million doublets and 340,000 edges with the map of the bundle trackml.
MAX_DOUBLETS = 1 << 26
MAX_EDGES = 1 << 24


@overload
def build_graph(
    hits: Hits,
    module_map: ModuleMap,
    triplet_model: TripletModel | None = None,
    *,
    max_doublets: int = MAX_DOUBLETS,
    max_edges: int = MAX_EDGES,
) -> Graph: ...


@overload
def build_graph(
    hits: DeviceHits, module_map: ModuleMap, *, max_doublets: int = MAX_DOUBLETS, max_edges: int = MAX_EDGES
) -> DeviceGraph: ...


def build_graph(
    hits: Hits | DeviceHits,
    module_map: ModuleMap,
    triplet_model: TripletModel | None = None,
    *,
    max_doublets: int = MAX_DOUBLETS,
    max_edges: int = MAX_EDGES,
) -> Graph | DeviceGraph:
    """Build the graph of an event with a module map.

    An edge is a pair of hits within the limits of a module doublet that, with another such pair sharing one of its
    hits, is within the limits of a module triplet (of a map without triplets: each pair within its doublet's limits).
    Which edges there are depends neither on the order of the hits nor on the number of threads. Algorithm: the module
    map of C. Rougier et al., "ATLAS ITk Track Reconstruction with a GNN-based Pipeline" (2022).

    Args:
        hits: the hits of one event; as `DeviceHits` they lie on a CUDA device, and so does the graph.
        module_map: the map; a device gets its copy at its first event.
        triplet_model: resolutions for `Graph.triplet_chi2`; not for a device, which has no features.
        max_doublets, max_edges: an event that needs more has the status "capacity_exceeded" and no edges, so that one
            broken event cannot take all memory; a doublet takes 33 bytes, an edge 32.

    Raises:
        TypeError: not hits, not a module map, not a triplet model.
        ValueError: a maximum that is not between 0 and 2^32 - 1.
        RuntimeError: hits on a device, and CUDA is missing.
    """
    if not isinstance(hits, Hits | DeviceHits):
        raise TypeError(f"hits: expected rheinfall.Hits, got {type(hits).__name__}")
    if not isinstance(module_map, ModuleMap):
        raise TypeError(f"module_map: expected rheinfall.ModuleMap, got {type(module_map).__name__}")
    if not isinstance(triplet_model, TripletModel | None):
        raise TypeError(f"triplet_model: expected rheinfall.TripletModel, got {type(triplet_model).__name__}")
    max_doublets = require_integer("max_doublets", max_doublets, 0, 2**32 - 1)
    max_edges = require_integer("max_edges", max_edges, 0, 2**32 - 1)
    if isinstance(hits, DeviceHits):
        if triplet_model is not None:
            raise TypeError("triplet_model: expected None with hits on a device, where no features are made")
        return build_graph_on_device(hits, module_map, max_doublets, max_edges)
    edge_index, status, n_doublets, n_unknown, n_not_finite = _core.build_graph(
        module_map.core, *contiguous_arrays(hits), max_doublets, max_edges
    )
    return Graph(edge_index, hits, status, n_doublets, n_unknown, n_not_finite, triplet_model or TripletModel())


def contiguous_arrays(hits: Hits) -> tuple[Float32, Float32, Float32, np.ndarray[tuple[int], np.dtype[np.uint64]]]:
    hits.__post_init__()  # a field may have been replaced since
    # A view of every second hit, say, is a legal `Hits`; the core wants contiguous arrays.
    x, y, z = (np.ascontiguousarray(v) for v in (hits.x, hits.y, hits.z))
    return x, y, z, np.ascontiguousarray(hits.module_id)


__all__ = ["EDGE_FEATURES", "NODE_FEATURES", "Graph", "TripletModel", "build_graph"]
