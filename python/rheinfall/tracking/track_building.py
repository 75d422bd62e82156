"""Track building: from scored edges to tracks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rheinfall import _core
from rheinfall.event import Float32, Int64
from rheinfall.tracking.arguments import (
    MAX_HITS,
    require_array,
    require_bool,
    require_choice,
    require_edge_index,
    require_integer,
    require_number,
    require_scores,
)
from rheinfall.tracking.tracks import Tracks

METHODS = ("components", "mutual_best", "cc_and_walk", "walk", "d_walk", "junction_removal", "layer_merge")
ON_CYCLE = ("raise", "status", "break")
STATUSES = ("ok", "empty", "unknown_modules", "not_finite", "cycle", "capacity_exceeded")


def build_tracks(
    graph_or_edge_index: Any,
    scores: Float32,
    method: str = "mutual_best",
    *,
    score_cut: float | None = None,
    sure: float | None = None,
    weak: float | None = None,
    walk_min: float | None = None,
    walk_add: float | None = None,
    shared_layers: int = 1,
    n_nodes: int | None = None,
    hits: Any = None,
    min_length: int = 3,
    orient: bool = False,
    on_cycle: str = "raise",
    report: bool = False,
) -> Tracks:
    """Build tracks from the scores of a graph's edges.

    Every method first keeps the edges with score > `score_cut`; each hit ends in at most one track; tracks are numbered
    by their smallest hit index. Neither the order of the edges nor the number of threads changes the result.

    * `"components"`: connected components (cut 0.5).
    * `"mutual_best"`: keep an edge if it is the best-scored one out of its source *and* into its target (ties to the
      smaller index), or if its score > `sure`; then components (cut 0.5, sure 0.75).
    * `"layer_merge"`: merge clusters edge by edge in the order of falling score (ties to the smaller source, then
      target), unless the two have hits on more than `shared_layers` common layers; a weak edge, with score <= `weak`,
      only where one of the two has hits on at least three layers, so that it lengthens tracks but starts none; an edge
      with score > `sure` merges whatever the layers (cut 0.15, weak 0.5, sure 0.995). Needs `hits` with `module_id`,
      whose bits from 36 on name the layer. Of the methods here this one comes closest to perfect scores on real ones
      (docs/track_building.md).
    * `"junction_removal"`: as mutual best, without `sure` (cut 0.5).
    * `"walk"`: from hits in topological order, follow the best neighbour if its score > `walk_min` and every other one
      with score > `walk_add`, among hits not yet retired; the longest path (most hits, then the larger score of the
      last edge, then the smaller last hit) is a track and its hits retire; where it is shorter than `min_length`, its
      first hit alone retires (cut 0.01, min 0.1, add 0.6; the walkthrough of acorn, without enumerating paths).
    * `"cc_and_walk"`: components that are single chains of at least 3 hits are tracks as they stand, the walk on the
      rest (same thresholds; acorn's default).
    * `"d_walk"`: keep an edge if it passes the walk's rule among the edges out of its source and among those into its
      target; then, per component, take the path with the largest sum of scores, delete its hits, repeat (same
      thresholds).

    Args:
        graph_or_edge_index: an object with `edge_index`, `n_nodes` and perhaps `hits`, or an edge_index: int64
            (2, n_edges), source = inner hit, target = outer hit.
        scores: float32 (n_edges,) in [0, 1], which logits are not. Edges with NaN or infinite scores are not used;
            status "not_finite".
        method: one of the above.
        score_cut, sure, weak, walk_min, walk_add: thresholds, compared strictly, as float32; None for the method's own.
            Those that the method's description does not name have no effect.
        shared_layers: "layer_merge" only, at least 0.
        n_nodes: number of hits; by default the graph's, else that of `hits`, else the largest index + 1.
        hits: object with float32 x, y, z [mm]; by default the graph's. With hits, the hits of a track are ordered by
            3-D distance from the origin, else topologically; ties by index.
        min_length: shorter tracks are dropped.
        orient: turn the edges so that they lead away from the origin (needs hits).
        on_cycle: the walks need a graph without cycles. "raise" a ValueError that names the hits; give no tracks and
            the "status" `cycle`; or "break" cycles (status `cycle` too): within each strongly connected set of hits,
            drop the edges that do not lead outward (to a larger distance from the origin; without hits, to a larger
            index).
        report: tell in `tracks.report` what became of the components of the edges with score > `score_cut`; see
            `rheinfall.metrics.report_components`. Costs another run of "components".

    Raises:
        TypeError, ValueError: wrong dtype, layout, size, index, threshold or score; cycles, if asked to.
    """
    edge_index, n_nodes, hits, graph_status = _unpack(graph_or_edge_index, n_nodes, hits)
    require_scores(scores, edge_index.shape[1])
    plan = _core.TrackBuildingPlan(require_choice("method", method, METHODS))
    cuts = {"score_cut": score_cut, "sure": sure, "weak": weak, "walk_min": walk_min, "walk_add": walk_add}
    for name, value in cuts.items():
        if value is not None:
            setattr(plan, name, require_number(name, value))
    plan.min_length = require_integer("min_length", min_length, 1)
    plan.shared_layers = require_integer("shared_layers", shared_layers, 0)
    plan.orient = require_bool("orient", orient)
    plan.break_cycles = require_choice("on_cycle", on_cycle, ON_CYCLE) == "break"
    report = require_bool("report", report)
    arrays = (*_positions(hits), _modules(hits, method))
    try:
        offsets, track_hits, labels, status = _core.build_tracks(plan, edge_index, scores, n_nodes, *arrays)
    except MemoryError:
        raise MemoryError(f"n_nodes: not enough memory for {n_nodes} hits, {_largest_index(edge_index)}") from None
    if status == "cycle" and not plan.break_cycles:
        if on_cycle == "raise":
            raise ValueError(_describe_cycle(track_hits, method))
        track_hits = track_hits[:0]
    tracks = Tracks(offsets, track_hits, labels, max(status, graph_status, key=STATUSES.index))
    if not report:
        return tracks
    from rheinfall.metrics.comparison import report_components

    found = report_components(
        tracks, edge_index, scores, score_cut=plan.score_cut, n_nodes=n_nodes, min_length=min_length
    )
    return replace(tracks, report=found)


def plan_of(cuts: Any) -> _core.TrackBuildingPlan:
    """The plan of a finder's `Thresholds`."""
    plan = _core.TrackBuildingPlan(cuts.method)
    for name in ("score_cut", "sure", "walk_min", "walk_add"):
        if getattr(cuts, name) is not None:
            setattr(plan, name, getattr(cuts, name))
    plan.weak = plan.score_cut if cuts.weak is None else cuts.weak
    plan.min_length = cuts.min_length
    return plan


def _modules(hits: Any, method: str) -> Any:
    """The module ids where the method asks for them."""
    if method != "layer_merge":
        return None
    if getattr(hits, "module_id", None) is None:
        raise ValueError("layer_merge: hits with x, y, z and module_id are needed to tell layers apart")
    return require_array("hits.module_id", hits.module_id, "uint64", 1)


def _positions(hits: Any) -> tuple[Any, Any, Any]:
    """x, y and z, or None for each without hits."""
    if hits is None:
        return None, None, None
    if not all(hasattr(hits, axis) for axis in "xyz"):
        raise TypeError(f"hits: expected an object with float32 arrays x, y, z [mm], got {type(hits).__name__}")
    x, y, z = (require_array(f"hits.{axis}", getattr(hits, axis), "float32", 1) for axis in "xyz")
    return x, y, z


def _largest_index(edge_index: Int64) -> str:
    return f"the largest index of edge_index is {edge_index.max()}" if edge_index.size else "edge_index is empty"


def _unpack(graph: Any, n_nodes: int | None, hits: Any) -> tuple[Int64, int, Any, str]:
    """edge_index, n_nodes, hits and status of a graph or of a bare edge_index."""
    status = "ok"
    if n_nodes is not None:
        n_nodes = require_integer("n_nodes", n_nodes, 0, MAX_HITS)
    if hasattr(graph, "edge_index"):
        n_graph = require_integer("graph.n_nodes", getattr(graph, "n_nodes", None), 0, MAX_HITS)
        if n_nodes is not None and n_nodes != n_graph:
            raise ValueError(f"n_nodes: the graph has {n_graph} nodes, got {n_nodes}")
        n_nodes = n_graph
        hits = getattr(graph, "hits", None) if hits is None else hits
        status = require_choice("graph.status", getattr(graph, "status", "ok"), STATUSES)
        graph = graph.edge_index
    edge_index = require_edge_index(graph)
    if n_nodes is None and hits is not None:
        n_nodes = len(_positions(hits)[0])
    elif n_nodes is None:
        largest = int(edge_index.max()) if edge_index.size else -1
        if largest >= MAX_HITS:
            raise ValueError(f"edge_index: expected indices below {MAX_HITS}, got {largest}")
        n_nodes = max(largest + 1, 0)
    return edge_index, n_nodes, hits, status


def _describe_cycle(on_cycles: Int64, method: str) -> str:
    shown = ", ".join(str(hit) for hit in on_cycles[:10]) + (", ..." if len(on_cycles) > 10 else "")
    return (
        f"edge_index: {method} needs a graph without cycles; {len(on_cycles)} hits lie on cycles: {shown} "
        '(orient=True with hits turns edges outward, on_cycle="break" drops the inward ones)'
    )
