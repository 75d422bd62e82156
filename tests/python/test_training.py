"""Training: gradients against autograd, the exported network against torch, repeatability, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rheinfall.event import Particles, Truth
from rheinfall.gnn import EdgeClassifier
from rheinfall.training import (
    MIRRORS,
    Mirror,
    TrainingConfig,
    TrainingGraph,
    label_edges,
    list_graphs,
    load_graph,
    save_graph,
    train,
)
from rheinfall.training.scores import area_under_curve, edge_figures

torch = pytest.importorskip("torch", reason="needs the extra [train]")
pytest.importorskip("onnx", reason="needs the extra [train]")
ort = pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")


def toy_graph(seed: int, n_nodes: int = 200, n_edges: int = 800) -> TrainingGraph:
    """An edge is true if the fourth features of its ends agree in sign, or its own first feature says so."""
    rng = np.random.default_rng(seed)
    nodes = rng.normal(size=(n_nodes, 4)).astype(np.float32)
    edge_index = rng.integers(0, n_nodes, size=(2, n_edges))
    features = rng.normal(size=(n_edges, 7)).astype(np.float32)
    label = (nodes[edge_index[0], 3] * nodes[edge_index[1], 3] + features[:, 6] > 0.3).astype(np.uint8)
    weight = (rng.random(n_edges) < 0.9).astype(np.float32)
    return TrainingGraph(nodes, edge_index, features, label, weight)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "graphs"
    path.mkdir()
    for seed in range(5):
        save_graph(path / f"graph{seed}.npz", toy_graph(seed))
    return path


def silent(line: str) -> None:
    pass


def test_segment_sums_and_their_gradients_match_autograd():
    from rheinfall.training.segments import EdgeLists, gather_ends, sum_edges

    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(0, 7, (2, 30), generator=generator)  # nodes without edges and parallel edges occur
    edges = EdgeLists(edge_index.numpy(), 9)
    at_source, at_target, rows = (torch.randn(n, 3, generator=generator, requires_grad=True) for n in (9, 9, 30))

    def loss(gathered: Any, incoming: Any, outgoing: Any) -> Any:
        return (gathered**2).sum() + (incoming * torch.arange(9.0)[:, None]).sin().sum() + (outgoing**3).sum()

    inputs = (at_source, at_target, rows)
    ours = torch.autograd.grad(loss(gather_ends(at_source, at_target, edges), *sum_edges(rows, edges)), inputs)
    source, target = edge_index
    zeros = torch.zeros(9, 3)
    plain = loss(
        at_source[source] + at_target[target], zeros.index_add(0, target, rows), zeros.index_add(0, source, rows)
    )
    for ours_i, plain_i in zip(ours, torch.autograd.grad(plain, inputs), strict=True):
        torch.testing.assert_close(ours_i, plain_i, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n_node_features, n_edge_features", [(4, 10), (3, 1)])
@pytest.mark.parametrize("hidden, iterations, recurrent", [(16, 4, False), (5, 1, False), (8, 3, True), (5, 1, True)])
def test_exported_network_gives_what_torch_gives(
    tmp_path, n_node_features, n_edge_features, hidden, iterations, recurrent
):
    from rheinfall.training.export import build_onnx, save_onnx
    from rheinfall.training.features import FeatureScaling
    from rheinfall.training.network import edge_logits, make_parameters
    from rheinfall.training.segments import EdgeLists

    rng = np.random.default_rng(2)
    parameters = make_parameters(n_node_features, n_edge_features, hidden, iterations, 3, recurrent)
    assert any(name.startswith("edge.1") for name in parameters) == (iterations > 1 and not recurrent)
    for name, p in parameters.items():
        if name.endswith("bias"):
            p.detach().copy_(torch.from_numpy(rng.normal(size=p.shape).astype(np.float32)))

    def scaling(n: int) -> FeatureScaling:
        return FeatureScaling(*rng.normal(size=(2, n)).astype(np.float32), clip=2.0)

    nodes_scaling, edges_scaling = scaling(n_node_features), scaling(n_edge_features)
    weights = {name: p.detach().numpy() for name, p in parameters.items()}
    path = tmp_path / "network.onnx"
    save_onnx(build_onnx(weights, iterations, nodes_scaling, edges_scaling, {"key": "value"}), path)
    plain = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    classifier = EdgeClassifier.load(path)
    assert classifier.info["repaired_scatters"] == 0
    for n_nodes, n_edges in ((300, 2000), (7, 1), (50, 400)):
        nodes = rng.normal(size=(n_nodes, n_node_features)).astype(np.float32)
        features = rng.normal(size=(n_edges, n_edge_features)).astype(np.float32)
        edge_index = rng.integers(0, n_nodes, size=(2, n_edges))
        with torch.no_grad():
            expected = edge_logits(
                parameters,
                iterations,
                torch.from_numpy(nodes_scaling.apply(nodes)),
                torch.from_numpy(edges_scaling.apply(features)),
                EdgeLists(edge_index, n_nodes),
            ).numpy()
        feed = {"node_features": nodes, "edge_index": edge_index, "edge_features": features}
        np.testing.assert_allclose(plain.run(["edge_logits"], feed)[0], expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(classifier.logits(nodes, edge_index, features), expected, rtol=1e-4, atol=1e-4)


def test_training_learns_and_stores_how(tmp_path, folder):
    lines: list[str] = []
    config = TrainingConfig(steps=150, n_validation=1, checkpoint_every=75, learning_rate=1e-2, mirrors=())
    result = train(folder, tmp_path / "out", config, log=lines.append)
    assert result.figures["auc"] > 0.9
    assert result.steps == 150
    assert result.provenance["training_graphs"] == [f"graph{i}.npz" for i in range(4)]
    assert result.provenance["validation_graphs"] == ["graph4.npz"]
    assert any("AUC" in line for line in lines)
    held_out = toy_graph(99)
    scores = EdgeClassifier.load(result.path)(held_out.node_features, held_out.edge_index, held_out.edge_features)
    assert area_under_curve(scores, held_out.label) > 0.9


def test_same_seed_same_file_and_another_seed_another(tmp_path, folder):
    config = TrainingConfig(steps=5, n_validation=1)
    files = [train(folder, tmp_path / name, config, log=silent).path.read_bytes() for name in ("a", "b")]
    assert files[0] == files[1]
    other = train(folder, tmp_path / "c", TrainingConfig(steps=5, n_validation=1, seed=2), log=silent)
    assert other.path.read_bytes() != files[0]


def test_resumed_run_equals_an_uninterrupted_one(tmp_path, folder):
    config = TrainingConfig(steps=7, n_validation=1, checkpoint_every=2)
    whole = train(folder, tmp_path / "whole", config, log=silent).path.read_bytes()

    def stop(line: str) -> None:
        if line.startswith("step 6"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(folder, tmp_path / "parts", config, log=stop)
    assert not (tmp_path / "parts" / "edge_classifier.onnx").exists()
    resumed = train(folder, tmp_path / "parts", config, resume=True, log=silent)
    assert resumed.path.read_bytes() == whole
    with pytest.raises(ValueError, match="belongs to other settings"):
        train(folder, tmp_path / "parts", TrainingConfig(steps=8, n_validation=1), resume=True, log=silent)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        train(folder, tmp_path / "empty", config, resume=True, log=silent)


def test_minutes_become_a_number_of_steps_that_repeats_the_run(tmp_path, folder):
    timed = train(folder, tmp_path / "a", TrainingConfig(minutes=0.002, n_validation=1), log=silent)
    assert timed.provenance["config"]["steps"] == timed.steps >= 9


def test_ignored_feature_does_not_matter(tmp_path, folder):
    result = train(folder, tmp_path / "out", TrainingConfig(steps=3, n_validation=1), log=silent)
    model, graph = EdgeClassifier.load(result.path), toy_graph(7)
    scores = model(graph.node_features, graph.edge_index, graph.edge_features)
    turned = graph.node_features.copy()
    turned[:, 1] += 1
    np.testing.assert_array_equal(model(turned, graph.edge_index, graph.edge_features), scores)
    turned[:, 3] += 1
    assert np.any(model(turned, graph.edge_index, graph.edge_features) != scores)


def test_mirrors_turn_the_columns_of_the_graph_features():
    from rheinfall.training.loop import _mirrored

    graph = toy_graph(1)
    config = TrainingConfig(mirrors=(Mirror(node=(0, 9), edge=(2,)),))
    seen = set()
    for step in range(20):
        turned = _mirrored(graph, config, step)
        sign = 1 if np.array_equal(turned.node_features, graph.node_features) else -1
        np.testing.assert_array_equal(turned.node_features[:, 0], sign * graph.node_features[:, 0])
        np.testing.assert_array_equal(turned.edge_features[:, 2], sign * graph.edge_features[:, 2])
        np.testing.assert_array_equal(turned.node_features[:, 1:], graph.node_features[:, 1:])
        seen.add(sign)
    assert seen == {1, -1}
    assert MIRRORS[0] == Mirror(node=(2, 3), edge=(2, 3))


def test_area_under_curve_against_all_pairs():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 20, 300).astype(np.float32) / 20
    label = (rng.random(300) < 0.3 + 0.4 * scores).astype(np.uint8)
    true, false = scores[label == 1][:, None], scores[label == 0][None]
    expected = np.mean((true > false) + 0.5 * (true == false))
    assert area_under_curve(scores, label) == pytest.approx(expected)
    assert np.isnan(area_under_curve(scores, np.ones(300, np.uint8)))
    figures = edge_figures(np.array([0.1, 0.5, 0.9], np.float32), np.array([0, 1, 1], np.uint8), cuts=(0.5,))
    assert figures["cuts"] == [{"cut": 0.5, "efficiency": 0.5, "purity": 1.0}]  # the cut is strict


def test_labels_and_weights():
    def column(*values: float) -> Any:
        return np.array(values, np.float32)

    particles = Particles(
        np.array([5, 3], np.uint64), *(column(0, 0) for _ in range(3)), column(2, 0.1), column(0, 0), column(0, 0),
        column(1, 1), np.array([True, True]),
    )  # fmt: skip
    truth = Truth(np.array([5, 5, 3, 3, 0, 0, 5], np.uint64), np.array([True] * 6 + [False]), particles)
    edges = np.array([[0, 2, 1, 4, 0], [1, 3, 2, 5, 6]])
    label, weight = label_edges(edges, truth, min_pt=1.0, low_pt_weight=0.25)
    assert label.tolist() == [1, 1, 0, 0, 0]  # noise with noise is no particle, unknown is not judged
    assert weight.tolist() == [1, 0.25, 1, 1, 0]
    assert label.dtype == np.uint8
    assert weight.dtype == np.float32


@pytest.mark.parametrize("n_sectors", [1, 4])
def test_sectors_hold_each_edge_inside_one_sector_once(n_sectors):
    from rheinfall.training.sectors import split_sectors

    graph = toy_graph(3)
    rng = np.random.default_rng(4)
    phi = rng.uniform(-1, 1, len(graph.node_features)).astype(np.float32)  # in units of pi
    phi[:4] = -1.0, 1.0, np.float32(1.0000001), 0.0
    graph.node_features[:, 1] = phi
    parts = list(split_sectors(graph, n_sectors))
    assert len(parts) == n_sectors
    sector = np.clip(((phi.astype(np.float64) + 1) // (2 / n_sectors)).astype(int), 0, n_sectors - 1)
    assert len(np.unique(sector)) == n_sectors
    for number, part in enumerate(parts):
        kept = [e for e, (a, b) in enumerate(graph.edge_index.T) if sector[a] == sector[b] == number]
        np.testing.assert_array_equal(part.edge_features, graph.edge_features[kept])
        np.testing.assert_array_equal(part.label, graph.label[kept])
        np.testing.assert_array_equal(part.weight, graph.weight[kept])
        for end in (0, 1):
            ours = part.node_features[part.edge_index[end]]
            np.testing.assert_array_equal(ours, graph.node_features[graph.edge_index[end, kept]])
        assert len(np.unique(part.edge_index)) == len(part.node_features), "no node without an edge"


def test_an_empty_graph_has_empty_sectors():
    from rheinfall.training.sectors import split_sectors

    parts = list(split_sectors(toy_graph(0, n_nodes=5, n_edges=0), 3))
    assert [(p.edge_index.shape, p.node_features.shape) for p in parts] == [((2, 0), (0, 4))] * 3


def test_bad_graphs_are_named(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match=r"no \.npz training graphs"):
        list_graphs(tmp_path)
    with pytest.raises(ValueError, match=r"more than n_validation = 5 graphs, found 5"):
        train(folder, tmp_path / "out", TrainingConfig(n_validation=5), log=silent)
    good = toy_graph(0)
    path = tmp_path / "bad.npz"
    np.savez(path, node_features=good.node_features)
    with pytest.raises(ValueError, match=r"bad\.npz: .*lacks edge_index, edge_features, label, weight"):
        load_graph(path)
    path.write_bytes((folder / "graph0.npz").read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"bad\.npz: not a training graph"):
        load_graph(path)
    arrays = {name: getattr(good, name) for name in ("node_features", "edge_index", "edge_features", "label", "weight")}
    for name, value, message in (
        ("label", good.label.astype(np.int64), "label: expected 1-D uint8, got int64"),
        ("weight", good.weight[1:], "weight: expected 800 rows as in edge_index, got 799"),
        ("edge_index", good.edge_index + 10, "expected .* indices of 200 nodes"),
        ("node_features", good.node_features * np.float32(np.nan), "node_features: expected finite values"),
    ):
        np.savez(path, **{**arrays, name: value})
        with pytest.raises(ValueError, match=message):
            load_graph(path)
    with pytest.raises(ValueError, match="hidden: expected at least 1"):
        TrainingConfig(hidden=0)
