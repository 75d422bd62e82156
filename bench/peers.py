"""What a physicist would write without this library: NumPy, scipy, networkx, ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Map:
    """A module map as arrays, indices instead of module numbers."""

    modules: Any
    doublets: Any
    doublet_limits: Any
    triplets: Any  # (n, 2) doublets
    triplet_limits: Any


def prepare_map(module_map: Any) -> Map:
    """Arrays of a map; not part of what is timed."""
    doublet_modules, doublet_limits = module_map.doublets()
    modules = np.unique(doublet_modules)
    doublets = np.searchsorted(modules, doublet_modules)
    key = doublets[:, 0] * len(modules) + doublets[:, 1]
    triplet_modules, _, limits = module_map.triplets()
    t = np.searchsorted(modules, triplet_modules)
    inner = np.searchsorted(key, t[:, 0] * len(modules) + t[:, 1])
    outer = np.searchsorted(key, t[:, 1] * len(modules) + t[:, 2])
    return Map(modules, doublets, np.asarray(doublet_limits), np.stack([inner, outer], 1), np.asarray(limits))


def _ranges(begin: Any, size: Any) -> tuple[Any, Any]:
    """Concatenated ranges [begin[i], begin[i] + size[i]) and the i of each value."""
    owner = np.repeat(np.arange(len(size)), size)
    first = np.cumsum(size) - size
    return np.arange(len(owner)) - first[owner] + begin[owner], owner


def _inside(values: Any, limits: Any) -> Any:
    return (values >= limits[..., 0]) & (values <= limits[..., 1])


def build_graph(hits: Any, m: Map) -> Any:
    """Edges (2, n) of a map with triplets and the bend as an angle, sorted by (source, target); float32 throughout."""
    with np.errstate(all="ignore"):
        return _build_graph(hits, m)


def _build_graph(hits: Any, m: Map) -> Any:
    at = np.minimum(np.searchsorted(m.modules, hits.module_id), len(m.modules) - 1)
    known = np.flatnonzero(m.modules[at] == hits.module_id)
    order = known[np.argsort(at[known], kind="stable")]
    counts = np.bincount(at[order], minlength=len(m.modules))
    begin = np.cumsum(counts) - counts
    x, y, z = (v[order] for v in (hits.x, hits.y, hits.z))
    r, phi = np.sqrt(x * x + y * y), np.arctan2(y, x)
    eta = np.arcsinh(z / r)

    inner_hits, doublet = _ranges(begin[m.doublets[:, 0]], counts[m.doublets[:, 0]])
    second = m.doublets[doublet, 1]
    outer_hits, pair = _ranges(begin[second], counts[second])
    a, b, doublet = inner_hits[pair], outer_hits, doublet[pair]
    dr = np.where(r[b] == r[a], np.float32(1e-6), r[b] - r[a])
    dzdr = (z[b] - z[a]) / dr
    dphi = _wrap(phi[b] - phi[a])
    quantities = np.stack([z[a] - r[a] * dzdr, dphi, dphi / dr, eta[b] - eta[a]], 1)
    keep = _inside(quantities, m.doublet_limits[doublet]).all(1)
    a, b, doublet, dzdr, quantities = a[keep], b[keep], doublet[keep], dzdr[keep], quantities[keep]
    tagged = _tag(m, a, b, doublet, dzdr, quantities, x, y)
    edges = np.stack([order[a[tagged]], order[b[tagged]]])
    return edges[:, np.lexsort((edges[1], edges[0]))]


def _tag(m: Map, a: Any, b: Any, doublet: Any, dzdr: Any, quantities: Any, x: Any, y: Any) -> Any:
    """Which candidates pass a triplet: join the candidates of its two doublets on the middle hit."""
    size = np.bincount(doublet, minlength=len(m.doublets))
    begin = np.cumsum(size) - size
    active = np.flatnonzero((size[m.triplets[:, 0]] > 0) & (size[m.triplets[:, 1]] > 0))
    first, t = _ranges(begin[m.triplets[active, 0]], size[m.triplets[active, 0]])
    outer = m.triplets[active[t], 1]
    second, pair = _ranges(begin[outer], size[outer])
    first, triplet = first[pair], active[t[pair]]
    same = b[first] == a[second]
    first, second, triplet = first[same], second[same], triplet[same]
    x12, y12 = x[b[first]] - x[a[first]], y[b[first]] - y[a[first]]
    x23, y23 = x[b[second]] - x[a[second]], y[b[second]] - y[a[second]]
    bend = np.arctan2(x12 * y23 - y12 * x23, x12 * x23 + y12 * y23)
    differences = np.stack([dzdr[first] - dzdr[second], bend], 1)
    limits = m.triplet_limits[triplet]
    passes = _inside(np.concatenate([quantities[first], quantities[second], differences], 1), limits).all(1)
    tagged = np.zeros(len(a), bool)
    tagged[first[passes]] = True
    tagged[second[passes]] = True
    return tagged


def _wrap(angle: Any) -> Any:
    pi, two_pi = np.float32(np.pi), np.float32(2 * np.pi)
    return np.where(angle > pi, angle - two_pi, np.where(angle <= -pi, angle + two_pi, angle))


def canonical_labels(labels: Any) -> Any:
    """The smallest hit of each label, per hit: equal for equal partitions."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first[inverse.reshape(-1)]


def components_scipy(edges: Any, scores: Any, n: int, cut: float) -> Any:
    """Labels of connected components."""
    keep = scores > np.float32(cut)
    return _label(edges[:, keep], n)


def _label(edges: Any, n: int) -> Any:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    matrix = coo_matrix((np.ones(edges.shape[1], np.int8), (edges[0], edges[1])), (n, n))
    return connected_components(matrix, directed=False)[1]


def components_networkx(edges: Any, scores: Any, n: int, cut: float) -> Any:
    """Labels of connected components."""
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(range(n))
    graph.add_edges_from(edges[:, scores > np.float32(cut)].T.tolist())
    labels = np.empty(n, np.int64)
    for label, nodes in enumerate(nx.connected_components(graph)):
        labels[list(nodes)] = label
    return labels


def mutual_best(edges: Any, scores: Any, n: int, cut: float, sure: float) -> Any:
    """Labels of the components of mutually best edges, or sure ones."""
    keep = scores > np.float32(cut)
    edges, scores = edges[:, keep], scores[keep]
    best = np.ones(edges.shape[1], bool)
    for end, other in ((0, 1), (1, 0)):
        order = np.lexsort((edges[other], -scores, edges[end]))
        first = np.ones(len(order), bool)
        first[1:] = edges[end][order[1:]] != edges[end][order[:-1]]
        chosen = np.zeros(len(order), bool)
        chosen[order[first]] = True
        best &= chosen
    return _label(edges[:, best | (scores > np.float32(sure))], n)


def radius_pairs(points: Any, radius: float) -> Any:
    """Pairs (2, n) within a radius, each once."""
    from scipy.spatial import cKDTree

    return cKDTree(points.astype(np.float64)).query_pairs(radius, output_type="ndarray").T


def onnx_runtime(classifier: Any, graph: Any) -> tuple[Callable[[], Any], int]:
    """A bare session of the same network on the same arrays, and the bytes of its inputs and output."""
    import tempfile
    from pathlib import Path

    import onnxruntime as ort

    import rheinfall as rf

    options = ort.SessionOptions()
    options.intra_op_num_threads = rf.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        classifier.save(path)
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    load = classifier.load_options
    feed = {load["node_features"]: graph.node_features, load["edge_index"]: graph.edge_index}
    if "edge_features" in load:
        feed[load["edge_features"]] = graph.edge_features

    def run() -> Any:
        value = session.run([load["output_name"]], feed)[0].reshape(-1)
        return 1 / (1 + np.exp(-value)) if load["output"] == "logits" else value

    return run, sum(array.nbytes for array in feed.values()) + 4 * graph.n_edges
