"""From an event with truth to a training graph, as a finder will see it."""

from __future__ import annotations

from rheinfall.event import Event
from rheinfall.tracking.graph import TripletModel, build_graph
from rheinfall.tracking.hit_order import canonical_hit_order
from rheinfall.tracking.module_map import ModuleMap
from rheinfall.training.graph_files import TrainingGraph, label_edges


def make_graph(
    event: Event,
    module_map: ModuleMap,
    chi2_max: float | None,
    triplet_model: TripletModel | None = None,
    min_pt: float = 0.0,
    quadruplet_chi2_max: float | None = None,
) -> TrainingGraph:
    """The pruned graph of an event, its hits in canonical order, with the answers.

    Args:
        event: an event with truth.
        module_map: what connects modules.
        chi2_max: of `Graph.prune`; None: no edge is dropped.
        triplet_model: of `build_graph`.
        min_pt: of `label_edges`.
        quadruplet_chi2_max: of `Graph.prune`.

    Raises:
        ValueError: the event has no truth.
    """
    if event.truth is None:
        raise ValueError(f"event {event.name!r}: no truth to learn from")
    order = canonical_hit_order(event.hits)
    graph = build_graph(event.hits.take(order), module_map, triplet_model)
    if chi2_max is not None:
        graph = graph.prune(chi2_max, quadruplet_chi2_max)
    label, weight = label_edges(graph.edge_index, event.truth.take(order), min_pt)
    return TrainingGraph(graph.node_features, graph.edge_index, graph.edge_features, label, weight)
