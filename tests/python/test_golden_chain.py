"""The Exa.TrkX pipeline stage by stage on its published event of 314 hits (exatrkx-service, exatrxk-cpp-ctd2022)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import rheinfall as rf

SHARED = Path(os.environ.get("RHEINFALL_SHARED", Path(__file__).resolve().parents[3] / "shared"))
GOLDEN = SHARED / "data" / "exatrkx" / "golden"
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"needs the golden Exa.TrkX event in {GOLDEN}")

RADIUS = 1.6
FILTER_CUT = 0.21
N_HITS = 314


def read(name, dtype):
    return np.loadtxt(GOLDEN / f"{name}.csv", delimiter=",").astype(dtype)


def sigmoid(logits):
    return (1.0 / (1.0 + np.exp(-logits.astype(np.float64)))).astype(np.float32)


def pairs(edge_index):
    """Unordered pairs, sorted."""
    return sorted((min(a, b), max(a, b)) for a, b in edge_index.T.tolist())


def classes(labels):
    """The partition that labels describe, as a set of sets."""
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


@pytest.fixture(scope="module")
def edges():
    return np.ascontiguousarray(read("applyfilter_output_EDGE_LIST_AFTER_FILTER", np.int64))


def test_the_radius_graph_of_the_embedding_has_exactly_its_pairs():
    points = read("embed_output_OUTPUT__0", np.float32)
    assert points.shape == (N_HITS, 8)
    frnn = read("frnn_output_OUTPUT0", np.int64)
    edge_index = rf.radius_graph(points, RADIUS, directed=False)
    assert edge_index.shape == frnn.shape == (2, 2334)
    assert (frnn[0] > frnn[1]).all()
    assert pairs(edge_index) == pairs(frnn)


def test_the_filter_keeps_exactly_its_edges_in_file_order(edges):
    frnn = read("frnn_output_OUTPUT0", np.int64)
    kept = frnn[:, sigmoid(read("filter_output_OUTPUT__0", np.float32)) > FILTER_CUT]
    assert kept.shape == (2, 584)
    np.testing.assert_array_equal(kept, edges)


def test_components_of_the_golden_scores_are_the_golden_classes(edges):
    scores = sigmoid(read("gnn_output_OUTPUT__0", np.float32))
    check_classes(rf.build_tracks(edges, scores, "components", score_cut=0.5, n_nodes=N_HITS, min_length=1))


def test_the_whole_chain_from_our_own_stages():
    pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
    pytest.importorskip("onnx", reason="needs the extra [onnx]")
    ours = rf.radius_graph(read("embed_output_OUTPUT__0", np.float32), RADIUS, directed=False)[::-1]
    filter_logits = dict(
        zip(map(tuple, read("frnn_output_OUTPUT0", int).T), read("filter_output_OUTPUT__0", np.float32), strict=True)
    )
    filter_scores = sigmoid(np.array([filter_logits[a, b] for a, b in ours.T.tolist()]))
    kept = np.ascontiguousarray(ours[:, filter_scores > FILTER_CUT])
    model = rf.EdgeClassifier.load(SHARED / "data" / "exatrkx" / "gnn.onnx", repair_scatter=True)
    nodes = read("in_e", np.float32)
    logits = model.logits(nodes, kept)
    edges = read("applyfilter_output_EDGE_LIST_AFTER_FILTER", int)
    golden = dict(zip(map(tuple, edges.T), read("gnn_output_OUTPUT__0", float), strict=True))
    assert len(golden) == kept.shape[1] == 584
    assert max(abs(logit - golden[a, b]) for logit, (a, b) in zip(logits, kept.T.tolist(), strict=True)) < 2e-4
    scores = model(nodes, kept)
    check_classes(rf.build_tracks(kept, scores, "components", score_cut=0.5, n_nodes=N_HITS, min_length=1))


def check_classes(tracks):
    golden = read("wcc_output_OUTPUT0", np.int64)
    assert len(golden) == N_HITS - 1  # the file has no row for the last hit
    assert (tracks.labels >= 0).all()
    assert len(classes(golden)) == 37
    assert classes(tracks.labels[: N_HITS - 1]) == classes(golden)
